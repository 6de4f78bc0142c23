//! `Budget`: the memory that all the broker keeps may take together, and how much of it is taken.
//!
//! What is kept is weighed: its bytes, and what they cost beside. Whatever waits for one client, in a queue or in flight,
//! may have a part of what is free of three quarters, so that the more of them there are the less each has. An eighth is
//! for those that need little: however greedy the others are, each session finds a little there. Another eighth is for
//! what clients are sending, shared in the same way. What lasts, sessions, subscriptions and retained messages, may take
//! half of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The weights. Those of connections are written by all of them; the others only under the lock of the state, where a
/// load and a store are enough.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limit: usize,
    connections: AtomicUsize,
    /// What clients are sending: a part of that.
    sent: AtomicUsize,
    queued: AtomicUsize,
    lasting: AtomicUsize,
}

/// The weight of one connection. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
    /// What the client is sending, of that.
    sent: usize,
}

/// What one client may have, as a part of what is free.
const PART: usize = 16;
/// As much everybody may have, whatever is free: it is not more than a connection takes anyway.
pub(crate) const SMALL: usize = 4 << 10;
/// As much every queue may have out of its eighth, as long as there is so much for each session.
const LITTLE: usize = 16 << 10;
/// A connection is not weighed again for less than this.
const GRAIN: usize = 1 << 10;
/// A message beside its bytes: its own structure, and what the allocator adds.
pub(crate) const MESSAGE: usize = 256;
/// Its place in one queue, of which up to half may be empty.
pub(crate) const PLACE: usize = 112;
/// A retained message beside its bytes, with its place in the order of topics.
pub(crate) const RETAINED: usize = 256;
/// A session that has nothing.
pub(crate) const SESSION: usize = 1536;
/// A connection that has nothing, with who it is.
pub(crate) const CONNECTION: usize = 3 << 10;
/// A subscription beside its filter, and each level of one.
pub(crate) const SUBSCRIPTION: usize = 160;
pub(crate) const LEVEL: usize = 96;

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// What there is.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What is taken.
    pub(crate) fn used(&self) -> usize {
        let weights = [&self.connections, &self.queued, &self.lasting];
        weights.into_iter().map(|weight| weight.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn free(&self) -> usize {
        self.limit.saturating_sub(self.used())
    }

    /// What one client may have now of one kind.
    pub(crate) fn share(&self) -> usize {
        self.share_of(self.used())
    }

    fn share_of(&self, used: usize) -> usize {
        (self.limit / 4 * 3).saturating_sub(used) / PART
    }

    /// What may wait in one queue, if there are so many sessions, and what is free at all.
    pub(crate) fn queue(&self, sessions: usize) -> (usize, usize) {
        let used = self.used();
        (self.queue_of(self.share_of(used), sessions), self.limit.saturating_sub(used))
    }

    fn queue_of(&self, share: usize, sessions: usize) -> usize {
        // Usually there is plenty, and nothing to divide.
        if share >= LITTLE { share } else { share.max(LITTLE.min(self.limit / 8 / sessions.max(1))) }
    }

    /// How much one client may be sending.
    pub(crate) fn sending(&self) -> usize {
        (self.limit / 8).saturating_sub(self.sent.load(Ordering::Relaxed)) / PART
    }

    /// Whether so much more may be kept for long, in the name of somebody who has so much already.
    pub(crate) fn may_last(&self, more: usize, has: usize) -> bool {
        more <= self.room_to_last() && has.saturating_add(more) <= self.share().max(SMALL)
    }

    /// How much more may be kept for long.
    pub(crate) fn room_to_last(&self) -> usize {
        let lasting = self.lasting.load(Ordering::Relaxed);
        (self.limit / 2).saturating_sub(lasting).min(self.free())
    }

    /// Something is kept for long in place of something else. Only under the lock of the state.
    pub(crate) fn last(&self, old: usize, new: usize) {
        replace(&self.lasting, old, new);
    }

    /// Something waits in place of something else. Only under the lock of the state.
    pub(crate) fn wait(&self, old: usize, new: usize) {
        replace(&self.queued, old, new);
    }

    /// What waits, and what lasts.
    #[cfg(test)]
    pub(crate) fn weights(&self) -> (usize, usize, usize) {
        let weight = |weight: &AtomicUsize| weight.load(Ordering::Relaxed);
        (weight(&self.queued), weight(&self.lasting), weight(&self.connections))
    }
}

fn replace(weight: &AtomicUsize, old: usize, new: usize) {
    let before = weight.load(Ordering::Relaxed);
    weight.store((before + new).saturating_sub(old), Ordering::Relaxed);
}

/// Like [`replace`], for many at once.
fn change(weight: &AtomicUsize, old: usize, new: usize) {
    match new.cmp(&old) {
        std::cmp::Ordering::Less => weight.fetch_sub(old - new, Ordering::Relaxed),
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => weight.fetch_add(new - old, Ordering::Relaxed),
    };
}

impl Charge {
    /// Of a connection that has nothing yet.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0, sent: 0 }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What it weighs now, and how much of that the client is sending, if that is worth mentioning. `least` always is.
    pub(crate) fn set(&mut self, bytes: usize, sent: usize, least: usize) {
        let little = bytes.abs_diff(self.bytes) < GRAIN && bytes != least;
        if bytes == self.bytes || little {
            return;
        }
        change(&self.budget.connections, self.bytes, bytes);
        change(&self.budget.sent, self.sent, sent);
        self.bytes = bytes;
        self.sent = sent;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_are_the_less_each_may_have_and_something_is_left() {
        let budget = Budget::new(1 << 30);
        for _ in 0..1_000 {
            budget.wait(0, budget.queue(1_000).0);
        }
        assert!(budget.used() < 800 << 20, "{}", budget.used());
        assert_eq!(budget.queue(1_000).0, LITTLE);
        for _ in 0..7_000 {
            budget.wait(0, budget.queue(8_000).0);
        }
        assert!(budget.used() < 1 << 30);
        assert_eq!(budget.queue(8_000).0, LITTLE);
        assert!(budget.queue(1_000_000).0 < 200);
    }

    #[test]
    fn what_lasts_may_take_half() {
        let budget = Budget::new(1 << 20);
        let mut kept = 0;
        while budget.may_last(1_000, 0) {
            budget.last(0, 1_000);
            kept += 1;
        }
        assert_eq!(kept, 524);
        assert!(!budget.may_last(100_000, 0));
        budget.last(400_000, 0);
        assert!(budget.may_last(30_000, 0));
        assert!(!budget.may_last(30_000, 30_000), "more than its share");
    }

    #[test]
    fn a_connection_gives_back_what_it_had() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut charge = Charge::new(Arc::clone(&budget));
        for (bytes, expected) in
            [(5_000, 5_000), (5_500, 5_000), (7_000, 7_000), (100, 100), (0, 0), (2_000, 2_000)]
        {
            charge.set(bytes, bytes / 2, 100);
            let expected = if bytes == 0 { 100 } else { expected };
            assert_eq!(budget.used(), expected, "{bytes}");
        }
        assert_eq!(budget.sending(), ((1 << 17) - 1_000) / PART);
        drop(charge);
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.sending(), (1 << 17) / PART);
    }
}
