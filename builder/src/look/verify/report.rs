//! What was found, as text and in JSON (docs/reading.md).

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will not do what it should.
    Fault,
    /// It works, and somebody will be surprised.
    Advice,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// An address, or a path of the image.
    pub place: String,
    pub what: String,
}

/// What happens on one kind of machine.
#[derive(Debug, Serialize)]
pub struct Boot {
    pub firmware: &'static str,
    pub attachment: &'static str,
    pub boots: bool,
    pub what: String,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub image: String,
    pub sound: bool,
    pub findings: Vec<Finding>,
    pub boots: Vec<Boot>,
}

impl Report {
    pub(super) fn new(image: &str) -> Self {
        Self { image: image.into(), sound: true, findings: Vec::new(), boots: Vec::new() }
    }

    pub(super) fn add(&mut self, severity: Severity, place: impl fmt::Display, what: impl Into<String>) {
        self.sound &= severity != Severity::Fault;
        self.findings.push(Finding { severity, place: place.to_string(), what: what.into() });
    }

    pub(super) fn fault(&mut self, place: impl fmt::Display, what: impl Into<String>) {
        self.add(Severity::Fault, place, what);
    }

    pub(super) fn advise(&mut self, place: impl fmt::Display, what: impl Into<String>) {
        self.add(Severity::Advice, place, what);
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
    std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>().join(": ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { severity, place, what } in &self.findings {
            let severity = if *severity == Severity::Fault { "FAULT " } else { "advice" };
            writeln!(f, "{severity}  {place}: {what}")?;
        }
        for Boot { firmware, attachment, boots, what } in &self.boots {
            let sign = if *boots { "boots" } else { "stays" };
            writeln!(f, "{sign}   {firmware}, {attachment}: {what}")?;
        }
        writeln!(f, "{}: {}", self.image, if self.sound { "sound" } else { "NOT SOUND" })
    }
}
