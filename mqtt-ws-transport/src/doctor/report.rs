//! `Report`: the steps of a connection, each with a tick or the diagnosis.

use super::Diagnosis;
use std::fmt;

/// A step on the way to an MQTT session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// Reading the URL.
    Url,
    /// Resolving the host name.
    Dns,
    /// Opening the TCP connection, through a proxy if there is one.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The WebSocket upgrade.
    Upgrade,
    /// The MQTT packet CONNECT and its answer.
    Connect,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Url => "URL",
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Upgrade => "upgrade",
            Self::Connect => "CONNECT",
        })
    }
}

/// What the doctor found. `Display` shows the steps with their ticks, and what to do.
#[derive(Debug)]
pub struct Report {
    url: String,
    passed: Vec<(Step, String)>,
    failed: Option<(Step, Diagnosis)>,
    suggestion: Option<String>,
}

impl Report {
    pub(super) fn new(url: String) -> Self {
        Self { url, passed: Vec::new(), failed: None, suggestion: None }
    }

    pub(super) fn pass(&mut self, step: Step, detail: impl Into<String>) {
        self.passed.push((step, detail.into()));
    }

    pub(super) fn fail(mut self, step: Step, diagnosis: Diagnosis, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self.failed = Some((step, diagnosis));
        self
    }

    /// The URL that was examined, without user name and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The steps that succeeded, in order, with what is known about each.
    pub fn passed(&self) -> impl Iterator<Item = (Step, &str)> {
        self.passed.iter().map(|(step, detail)| (*step, detail.as_str()))
    }

    /// The step that failed.
    pub fn failed_step(&self) -> Option<Step> {
        self.failed.as_ref().map(|(step, _)| *step)
    }

    /// What is wrong. `None` when an MQTT session could be opened.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        self.failed.as_ref().map(|(_, diagnosis)| diagnosis)
    }

    /// A URL that works, or, where that cannot be tried, one that is likely to. Without user name and password.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// 0 when all is well, otherwise [`Diagnosis::code`].
    pub fn exit_code(&self) -> u8 {
        self.diagnosis().map_or(0, Diagnosis::code)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)?;
        for (step, detail) in &self.passed {
            write!(f, "\n  ✓ {step:<8} {detail}")?;
        }
        if let Some((step, diagnosis)) = &self.failed {
            write!(f, "\n  ✗ {step:<8} {diagnosis}\n    → {}", diagnosis.hint())?;
        }
        match &self.suggestion {
            Some(url) => write!(f, "\n    → Try {url}"),
            None => Ok(()),
        }
    }
}
