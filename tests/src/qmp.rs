//! QEMU's machine protocol: one JSON object a line, over a socket of the file
//! system. Plug, pull and another disc are all that the tests do with it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// Came before the answer to a command, and nobody has waited for them yet.
    events: VecDeque<Value>,
}

/// QEMU answers at once or is stuck.
const ANSWER: Duration = Duration::from_secs(30);

impl Qmp {
    pub fn connect(socket: &Path) -> Result<Self> {
        let end = Instant::now() + ANSWER;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                // QEMU makes the socket some time after it was started.
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error).with_context(|| format!("no QMP at {}", socket.display())),
            }
        };
        stream.set_read_timeout(Some(ANSWER))?;
        let mut qmp = Self { reader: BufReader::new(stream), events: VecDeque::new() };
        qmp.message()?; // the greeting
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.reader.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut message = self.message()?;
            if let Some(error) = message.get("error") {
                bail!("QMP {command} {arguments}: {error}");
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            self.events.push_back(message);
        }
    }

    /// Waits for an event of that name; others are passed over.
    pub fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            let message = match self.events.pop_front() {
                Some(message) => message,
                None => self.message().with_context(|| format!("waiting for the event {name}"))?,
            };
            if message["event"] == name {
                return Ok(message);
            }
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).context("QEMU does not answer")?;
        if read == 0 {
            bail!("QEMU closed its QMP socket");
        }
        serde_json::from_str(&line).with_context(|| format!("QMP said no JSON: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A QEMU that answers each line it reads with the next of these.
    fn talk(answers: &'static [&'static str]) -> Result<Qmp> {
        let dir = tempfile::tempdir()?;
        let listener = UnixListener::bind(dir.path().join("qmp"))?;
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in answers {
                writeln!(reader.get_mut(), "{answer}").unwrap();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
            }
        });
        Qmp::connect(&dir.path().join("qmp"))
    }

    #[test]
    fn an_answer_is_told_from_an_event_and_from_an_error() {
        const ANSWERS: &[&str] = &[
            r#"{"QMP": {}}"#,
            "{\"event\": \"RESUME\"}\n{\"return\": {}}",
            r#"{"return": 7}"#,
            "{\"error\": {\"desc\": \"no such bus\"}}\n{\"event\": \"OTHER\"}\n{\"event\": \"DEVICE_DELETED\"}",
        ];
        let mut qmp = talk(ANSWERS).unwrap();
        assert_eq!(qmp.execute("query", &json!({})).unwrap(), 7);
        let error = qmp.execute("device_add", &json!({})).unwrap_err().to_string();
        assert!(error.contains("no such bus"), "{error}");
        for name in ["RESUME", "DEVICE_DELETED"] {
            assert_eq!(qmp.event(name).unwrap(), json!({ "event": name }));
        }
    }
}
