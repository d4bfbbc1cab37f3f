//! The guest's serial console, read by a thread so that the guest never blocks
//! on us, and asked with deadlines so that we never block on the guest.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ansi;

/// Between two looks at the text.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Debug, Default)]
struct Heard {
    raw: Vec<u8>,
    ended: bool,
}

/// What was waited for did not come.
#[derive(Debug, Clone)]
pub struct Missed {
    wanted: String,
    ended: bool,
    after: Duration,
    /// Everything that was said until then.
    pub text: String,
}

impl Missed {
    /// Without the console.
    pub fn summary(&self) -> String {
        let how = if self.ended { "the console ended" } else { "the deadline passed" };
        format!("waited for {}, and {how} after {:.1?}", self.wanted, self.after)
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.summary(), quoted(&self.text))
    }
}

impl std::error::Error for Missed {}

impl Console {
    /// What comes from `source` is kept, and passed on to `echo` as it comes.
    pub fn listen(mut source: impl Read + Send + 'static, mut echo: impl Write + Send + 'static) -> Self {
        let console = Self { shared: Arc::default() };
        let listener = console.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = match source.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // An error is an end like any other here: the guest says no more.
                    Ok(0) | Err(_) => break listener.hear(|heard| heard.ended = true),
                    Ok(read) => read,
                };
                listener.hear(|heard| heard.raw.extend_from_slice(&buffer[..read]));
                // The guest is to be listened to even where nobody looks on.
                let _ = echo.write_all(&buffer[..read]).and_then(|()| echo.flush());
            }
        });
        console
    }

    fn hear(&self, what: impl FnOnce(&mut Heard)) {
        what(&mut self.lock());
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far, without escape sequences.
    pub fn text(&self) -> String {
        ansi::strip(&self.lock().raw)
    }

    /// Waits until `find` finds something in the text. The deadline is a bound
    /// on hanging, not a measurement.
    pub fn wait<T>(&self, wanted: &str, deadline: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T, Missed> {
        let end = Instant::now() + deadline;
        let mut heard = self.lock();
        loop {
            let text = ansi::strip(&heard.raw);
            if let Some(found) = find(&text) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if heard.ended || left.is_zero() {
                let after = deadline.saturating_sub(left);
                return Err(Missed { wanted: wanted.into(), ended: heard.ended, after, text });
            }
            drop(self.shared.1.wait_timeout(heard, left));
            // QEMU passes on byte by byte, and all of the text is looked at each time.
            thread::sleep(PAUSE.min(left));
            heard = self.lock();
        }
    }

    /// Waits for a text that stands anywhere, and gives the rest of its line.
    pub fn expect(&self, wanted: &str, deadline: Duration) -> Result<String, Missed> {
        self.wait(&format!("`{wanted}`"), deadline, |text| rest_of_line(text, wanted))
    }
}

/// What follows `wanted` on its line, once the line is whole.
fn rest_of_line(text: &str, wanted: &str) -> Option<String> {
    let (_, rest) = text.split_once(wanted)?;
    rest.split_once('\n').map(|(line, _)| line.trim_end().to_owned())
}

/// The console under a heading, for the end of an error's text.
pub fn quoted(text: &str) -> String {
    format!("\n--- console ---\n{}\n--- end of console ---", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn heard(said: &'static [u8]) -> Console {
        Console::listen(said, io::sink())
    }

    #[test]
    fn what_was_said_is_found_with_the_rest_of_its_line() {
        let console = heard(b"a\r\nTOKEN root=\x1b[1mrootfs\x1b[0m\r\nb\n");
        assert_eq!(console.expect("TOKEN root=", SOON).unwrap(), "rootfs");
    }

    #[test]
    fn a_line_that_was_never_finished_is_not_taken_for_whole() {
        let error = heard(b"TOKEN root=roo").expect("TOKEN root=", SOON).unwrap_err().to_string();
        assert!(error.contains("the console ended"), "{error}");
        assert!(error.contains("TOKEN root=roo"), "the console belongs in the error: {error}");
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (reader, _writer) = io::pipe().unwrap();
        let console = Console::listen(reader, io::sink());
        let error = console.expect("anything", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("the deadline passed"), "{error}");
    }

    #[test]
    fn a_listener_that_went_away_does_not_end_the_listening() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let console = Console::listen(&b"one\ntwo\n"[..], writer);
        assert_eq!(console.expect("two", SOON).unwrap(), "");
    }
}
