//! What a build shows while it runs: bars on a terminal, plain lines in a pipe.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Nothing,
    Lines,
    Bars,
}

/// Tells about one step after the other, on standard error.
#[derive(Debug)]
pub struct Progress {
    show: Show,
}

impl Progress {
    pub fn new(show: Show) -> Self {
        Self { show }
    }

    pub fn for_stderr(quiet: bool) -> Self {
        Self::new(match quiet {
            true => Show::Nothing,
            false if std::io::stderr().is_terminal() => Show::Bars,
            false => Show::Lines,
        })
    }

    /// Starts a step; `bytes` is how many there will be, where that is known.
    pub fn step(&self, title: impl Into<String>, bytes: Option<u64>) -> Step {
        let title = title.into();
        let bar = match (self.show, bytes) {
            (Show::Bars, Some(bytes)) => {
                let style =
                    "{spinner} {msg:28} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
                let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
                bar.with_style(ProgressStyle::with_template(style).expect("the template is valid"))
            }
            (Show::Bars, None) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.with_style(
                    ProgressStyle::with_template("{spinner} {msg:28} {elapsed}").expect("the template is valid"),
                )
            }
            _ => ProgressBar::hidden(),
        };
        bar.set_message(title.clone());
        if self.show == Show::Bars {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Step { show: self.show, title, bar, start: Instant::now() }
    }

    /// A line between the steps: a warning, or advice.
    pub fn note(&self, text: &str) {
        if self.show != Show::Nothing {
            say(text);
        }
    }
}

#[derive(Debug)]
pub struct Step {
    show: Show,
    title: String,
    bar: ProgressBar,
    start: Instant,
}

impl Step {
    pub fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// [`Step::at`], with what the bytes were packed to so far.
    pub fn packed(&self, read: u64, written: u64) {
        self.at(read);
        self.bar.set_message(format!("{}, to {}", self.title, percent(written, read)));
    }

    /// Ends the step, with what came of it.
    pub fn done(self, result: &str) {
        self.bar.finish_and_clear();
        if self.show != Show::Nothing {
            say(&format!("{:28} {result} ({:.1} s)", self.title, self.start.elapsed().as_secs_f64()));
        }
    }
}

/// `1.5 MiB`: for people.
pub fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// `32.5%`: what part of `whole` `part` is, rounded down.
pub fn percent(part: u64, whole: u64) -> String {
    let permille = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{}%", permille / 10, permille % 10)
}

fn say(text: &str) {
    // A closed standard error is no reason to lose an image.
    let _ = writeln!(std::io::stderr(), "{text}");
}
