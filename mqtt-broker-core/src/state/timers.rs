//! Timers: when the next session has something to do without its client.

use std::collections::BTreeSet;

use mqttkit_codec::Instant;

/// One deadline for each session that has any. No entry outlives its reason, so reconnecting in a loop costs nothing.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, usize)>);

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Replaces the deadline of a session.
    pub(super) fn set(&mut self, slot: usize, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.0.remove(&(at, slot));
        }
        if let Some(at) = new {
            self.0.insert((at, slot));
        }
    }

    /// Takes a session whose deadline has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        let &(at, slot) = self.0.first().filter(|&&(at, _)| at <= now)?;
        self.0.remove(&(at, slot));
        Some(slot)
    }
}
