//! `Meter`: whether a client sends more than it may, for how long it is held back, and when that is enough.
//!
//! A client that is too fast is not read until it has room again: its messages wait in its own socket, and the network
//! slows it down. Whoever is held back and has not caught up for longer than the patience is disconnected.

use std::time::Duration;

use mqttkit_codec::{Instant, ReasonCode};

use crate::config::Config;
use crate::policy::Limits;
use crate::rate::Rate;

/// What one client has sent.
#[derive(Debug)]
pub(super) struct Meter {
    messages: Option<Gauge>,
    bytes: Option<Gauge>,
    patience: Duration,
    /// When it was first held back. What it sent since then has not all been read.
    behind_since: Option<Instant>,
    held: Option<Hold>,
}

#[derive(Debug)]
struct Gauge {
    rate: Rate,
    full_at: Instant,
}

/// Until when nothing is taken from the client, and what it has too much of.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Instant,
    reason: ReasonCode,
}

impl Meter {
    /// `None` for a client that nothing is asked of, so that nothing is counted.
    pub(super) fn new(config: &Config, limits: &Limits) -> Option<Box<Self>> {
        let gauge = |rate: Option<Rate>, own: Option<Rate>| {
            let rate = rate.map_or(own, |rate| Some(rate.stricter(own)))?;
            Some(Gauge { rate, full_at: Instant::ZERO })
        };
        let messages = gauge(config.message_rate, limits.message_rate);
        let bytes = gauge(config.byte_rate, limits.byte_rate);
        let any = messages.is_some() || bytes.is_some();
        let patience = config.rate_patience;
        any.then(|| Box::new(Self { messages, bytes, patience, behind_since: None, held: None }))
    }

    /// The client sent these bytes, which made up so many messages.
    pub(super) fn count(&mut self, now: Instant, messages: usize, bytes: usize) {
        let gauges = [
            (&mut self.messages, messages, ReasonCode::MessageRateTooHigh),
            (&mut self.bytes, bytes, ReasonCode::QuotaExceeded),
        ];
        for (gauge, amount, reason) in gauges {
            let Some(gauge) = gauge else { continue };
            gauge.full_at = gauge.rate.spend(gauge.full_at, now, amount);
            let until = gauge.rate.free_at(gauge.full_at);
            if until > now && self.held.is_none_or(|held| held.until < until) {
                self.held = Some(Hold { until, reason });
                self.behind_since.get_or_insert(now);
            }
        }
    }

    /// Whether nothing is to be taken from the client.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Everything that the client has sent was read.
    pub(super) fn caught_up(&mut self) {
        if self.held.is_none() {
            self.behind_since = None;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held?;
        let end = self.behind_since.map_or(held.until, |since| since + self.patience);
        Some(held.until.min(end))
    }

    /// Lets the client go on if it is time. The reason is why it must be disconnected, if it must.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<ReasonCode> {
        let held = self.held?;
        if self.behind_since.is_some_and(|since| since + self.patience <= now) {
            return Some(held.reason);
        }
        if held.until <= now {
            self.held = None;
        }
        None
    }
}
