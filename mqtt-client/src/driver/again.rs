//! Whether, where, when and in which version the driver connects again.

use super::Driver;
use crate::connector::{Connector, Failure};
use crate::error::{ConnectError, DisconnectCause};
use crate::event::Event;
use crate::options::random;
use crate::reconnect::Trouble;
use mqttkit_codec::{Instant, ReasonCode, Version};
use mqttkit_ws_transport::Runtime;
use std::sync::Arc;
use std::time::Duration;

/// Redirections in a row that are followed without a wait.
const MAX_REDIRECTS: u32 = 3;

/// Where the next attempt goes.
#[derive(Clone, Copy)]
enum Next {
    /// To the same server in this version, at once.
    Version(Version),
    /// To another server, at once.
    Server,
    /// Wherever, after a wait.
    Wait,
}

impl<R: Runtime, C: Connector> Driver<R, C> {
    /// Tells of a failed attempt. Returns when to try again, if at all.
    pub(super) fn after_failure(&mut self, now: Instant, error: ConnectError) -> Option<Instant> {
        let error = Arc::new(error);
        let failure = Failure::Connect(Arc::clone(&error));
        let older = self.older_version(&error);
        self.tried = self.tried.saturating_add(u32::from(older.is_none()));
        let next = if let Some(version) = older {
            self.settings.connect.version = version;
            Next::Version(version)
        } else {
            self.settings.connect.version = self.preferred;
            self.elsewhere(&failure)
        };
        if self.fail_fast && self.work.connections() == 0 && matches!(next, Next::Wait) {
            // It was told to nobody, so nobody else has it.
            drop(failure);
            self.first_error = Arc::into_inner(error).or(Some(ConnectError::Closed));
            return None;
        }
        self.tell(&Event::ConnectFailed(error));
        self.retry_at(now, failure, next)
    }

    /// What to speak next, if the version may be what is wrong.
    fn older_version(&self, error: &ConnectError) -> Option<Version> {
        let may_be = match error {
            ConnectError::Refused { connack, .. } => connack.reason == ReasonCode::UnsupportedProtocolVersion,
            ConnectError::Disconnected(
                DisconnectCause::Ended | DisconnectCause::Link(_) | DisconnectCause::Protocol(_),
            ) => true,
            _ => false,
        };
        if !may_be || !self.settings.version_fallback || self.work.connections() > 0 {
            return None;
        }
        match self.settings.connect.version {
            Version::V5 => Some(Version::V311),
            Version::V311 => Some(Version::V31),
            Version::V31 => None,
        }
    }

    /// Whether there is another server to go to without a wait.
    fn elsewhere(&mut self, failure: &Failure) -> Next {
        if self.settings.follow_redirects
            && let Some((reference, moved)) = failure.server_reference()
            && self.connector.redirect(&reference, moved)
        {
            self.redirects = self.redirects.saturating_add(1);
            self.tell(&Event::Redirected { reference, moved });
            return if self.redirects <= MAX_REDIRECTS { Next::Server } else { Next::Wait };
        }
        if matches!(failure, Failure::Connect(_)) && self.tried < self.connector.servers() {
            return Next::Server;
        }
        Next::Wait
    }

    fn retry_at(&mut self, now: Instant, failure: Failure, next: Next) -> Option<Instant> {
        if self.stopping.is_some() && self.work.is_idle_offline() {
            return None;
        }
        let by_hand = std::mem::take(&mut self.reconnect);
        let at_once = by_hand || !matches!(next, Next::Wait);
        let attempt = self.attempt;
        let delay = if at_once {
            Duration::ZERO
        } else {
            let policy = &self.settings.reconnect;
            let trouble = match Trouble::of(&failure) {
                Trouble::Lasting if self.connector.adapts() => Trouble::Busy,
                trouble => trouble,
            };
            if policy.ends_by(&failure) {
                return None;
            }
            policy.delay(attempt, trouble, random())?
        };
        self.last_failure = Some(failure);
        if let Next::Version(version) = next {
            self.tell(&Event::FallingBack { version });
        }
        self.tell(&Event::Reconnecting { attempt, delay });
        if !at_once {
            self.tried = 0;
            self.attempt = self.attempt.saturating_add(1);
        }
        Some(now + delay)
    }

    /// Tells of the end of an established connection. Returns when to connect again, if at all.
    pub(super) fn after_end(&mut self, now: Instant, cause: DisconnectCause) -> Option<Instant> {
        let ours = matches!(cause, DisconnectCause::Local(_)) && self.stopping.is_some();
        let cause = Arc::new(cause);
        let failure = Failure::Disconnected(Arc::clone(&cause));
        self.tell(&Event::Disconnected(cause));
        if ours {
            return None;
        }
        self.tried = 0;
        let next = self.elsewhere(&failure);
        self.retry_at(now, failure, next)
    }
}
