//! How each state of the boot ended and how long it took, kept for tools,
//! tests and bug reports as JSON.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use crate::contract::run;
use crate::fault::Fault;
use crate::log::{info, warn};

/// The states of a boot, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Early,
    Cmdline,
    Console,
    Devices,
    Medium,
    Check,
    ToRam,
    Persist,
    Root,
    Configure,
    Preflight,
    Handover,
}

impl State {
    const ALL: [Self; 12] = [
        Self::Early,
        Self::Cmdline,
        Self::Console,
        Self::Devices,
        Self::Medium,
        Self::Check,
        Self::ToRam,
        Self::Persist,
        Self::Root,
        Self::Configure,
        Self::Preflight,
        Self::Handover,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Cmdline => "cmdline",
            Self::Console => "console",
            Self::Devices => "devices",
            Self::Medium => "medium",
            Self::Check => "check",
            Self::ToRam => "toram",
            Self::Persist => "persist",
            Self::Root => "root",
            Self::Configure => "configure",
            Self::Preflight => "preflight",
            Self::Handover => "handover",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

#[derive(Debug)]
pub(crate) struct Status {
    started: Instant,
    ended: Vec<Ended>,
    now: Option<(State, Instant)>,
    degraded: Vec<String>,
    fault: Option<Fault>,
    facts: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Ended {
    state: State,
    how: &'static str,
    ms: u128,
    notes: Vec<String>,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            ended: Vec::new(),
            now: None,
            degraded: Vec::new(),
            fault: None,
            facts: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.now.map(|(state, _)| state)
    }

    pub(crate) fn begin(&mut self, state: State) {
        self.now = Some((state, Instant::now()));
    }

    /// The boot goes on without something that was asked for.
    pub(crate) fn degrade(&mut self, why: String) {
        warn!("{why}");
        self.degraded.push(why);
    }

    pub(crate) fn end(&mut self) {
        let how = if self.degraded.is_empty() { "ok" } else { "degraded" };
        self.close(how);
    }

    pub(crate) fn fail(&mut self, fault: &Fault) {
        self.fault = Some(fault.clone());
        self.close("failed");
    }

    /// Something to be known about the boot as a whole.
    pub(crate) fn note(&mut self, key: &'static str, value: String) {
        self.facts.retain(|(known, _)| *known != key);
        self.facts.push((key, value));
    }

    pub(crate) fn forgive(&mut self) {
        self.fault = None;
    }

    fn close(&mut self, how: &'static str) {
        let Some((state, since)) = self.now.take() else { return };
        let ms = since.elapsed().as_millis();
        info!("{}: {how} {ms} ms", state.name());
        self.ended.push(Ended { state, how, ms, notes: std::mem::take(&mut self.degraded) });
    }

    pub(crate) fn save(&self) {
        // A missing status is a worse bug report, not a worse boot.
        if let Err(e) = fs::write(run::STATUS, self.to_json()) {
            warn!("{}: {e}", run::STATUS);
        }
    }

    fn to_json(&self) -> String {
        let mut json = format!("{{\"version\":1,\"ms\":{}", self.started.elapsed().as_millis());
        for (key, value) in &self.facts {
            let _ = write!(json, ",\"{key}\":{}", quoted(value));
        }
        json += ",\"states\":[";
        for (n, Ended { state, how, ms, notes }) in self.ended.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(json, "{comma}\n{{\"state\":\"{}\",\"end\":\"{how}\",\"ms\":{ms}", state.name());
            if !notes.is_empty() {
                let notes: Vec<String> = notes.iter().map(|note| quoted(note)).collect();
                let _ = write!(json, ",\"notes\":[{}]", notes.join(","));
            }
            json += "}";
        }
        json += "\n],\"fault\":";
        match &self.fault {
            Some(fault) => {
                let _ = write!(json, "{{\"code\":\"{}\",\"what\":{}}}", fault.code.name(), quoted(&fault.what));
            }
            None => json += "null",
        }
        json + "}\n"
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

/// RFC 8259, 7: what must be escaped is, and the rest is UTF-8.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Code;

    #[test]
    fn the_whole_run_is_left_as_json() {
        let mut status = Status::new();
        status.begin(State::Early);
        status.end();
        status.begin(State::Devices);
        status.degrade("no \"index\"".into());
        status.end();
        status.note("name", "aurora".into());
        status.note("name", "borealis".into());
        status.begin(State::Medium);
        status.fail(&Fault::new(Code::NoMedium, "none\n"));
        let json = status.to_json();
        for part in [
            r#"{"version":1,"ms":"#,
            r#","name":"borealis","states":["#,
            r#"{"state":"early","end":"ok","ms":0}"#,
            r#"{"state":"devices","end":"degraded","ms":0,"notes":["no \"index\""]}"#,
            r#"{"state":"medium","end":"failed","ms":0}"#,
            r#""fault":{"code":"E_NO_MEDIUM","what":"none\u000a"}}"#,
        ] {
            assert!(json.contains(part), "{part} not in {json}");
        }
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!(State::from_name("lunch"), None);
    }
}
