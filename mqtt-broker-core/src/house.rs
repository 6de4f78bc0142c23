//! `House`: who is in it, connections, handshakes and listeners, and how all are asked to leave.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mqttkit_codec::Instant;
use slab::Slab;

use crate::alarms::Alarms;
use crate::notify::{ABORT, Notify, SHUT_DOWN, TIME};

/// Everything that runs for the broker and must be told when it shuts down.
#[derive(Debug, Default)]
pub(crate) struct House {
    rooms: Mutex<Rooms>,
    seats: Arc<Seats>,
}

/// Places for connections: those of the broker, or of one listener.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: AtomicUsize,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Rooms {
    closing: bool,
    members: Slab<Arc<Notify>>,
    alarms: Alarms,
    /// Who waits until everybody has left.
    waiting: Vec<Waker>,
}

/// One member of the house. Leaves when dropped.
#[derive(Debug)]
pub(crate) struct Member {
    house: Arc<House>,
    key: usize,
}

/// The place of one connection among those that are allowed. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
}

impl House {
    /// Lets somebody in, unless the house is closing.
    pub(crate) fn enter(self: &Arc<Self>, notify: Arc<Notify>) -> Option<Member> {
        let mut rooms = self.lock();
        if rooms.closing {
            return None;
        }
        let key = rooms.members.insert(notify);
        Some(Member { house: Arc::clone(self), key })
    }

    pub(crate) fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Lets nobody in any more and asks everybody to leave.
    pub(crate) fn close(&self) {
        self.ring_all(SHUT_DOWN);
    }

    /// Lets nobody in any more and has everybody leave at once.
    pub(crate) fn clear(&self) {
        self.ring_all(ABORT);
    }

    /// Ready when everybody has left.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rooms = self.lock();
        if rooms.members.is_empty() {
            return Poll::Ready(());
        }
        if !rooms.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            rooms.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// When [`ring_due`](Self::ring_due) has somebody to wake.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.lock().alarms.next()
    }

    /// Wakes those whose time has come.
    pub(crate) fn ring_due(&self, now: Instant) {
        loop {
            let due: Vec<Arc<Notify>> = {
                let mut rooms = self.lock();
                let Some(due) = rooms.alarms.pop(now) else { return };
                // Who has left may have been followed by another, whom it does no harm.
                due.into_iter().filter_map(|key| rooms.members.get(key as usize)).map(Arc::clone).collect()
            };
            for notify in due {
                notify.ring(TIME);
            }
        }
    }

    fn ring_all(&self, flag: u8) {
        let members: Vec<Arc<Notify>> = {
            let mut rooms = self.lock();
            rooms.closing = true;
            rooms.members.iter().map(|(_, notify)| Arc::clone(notify)).collect()
        };
        for notify in members {
            notify.ring(flag);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// Takes a place for a connection, if there are not `limit` taken.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Seat> {
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < limit).then_some(taken + 1));
        if taken.is_err() {
            self.refuse();
            return None;
        }
        Some(Seat { seats: Arc::clone(self) })
    }

    /// Counts a connection for which there was no place.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Connections for which there was no place.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Member {
    /// Has the member woken at this time or a little later. Returns by when it is to ask again, and whether nobody is to
    /// be woken before it.
    pub(crate) fn set_alarm(&self, now: Instant, deadline: Instant) -> (Instant, bool) {
        let mut rooms = self.house.lock();
        let next = rooms.alarms.next();
        let rings = rooms.alarms.set(now, deadline, self.key);
        (rings.min(deadline), next.is_none_or(|next| rings < next))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let waiting = {
            let mut rooms = self.house.lock();
            rooms.members.try_remove(self.key);
            if rooms.members.is_empty() { std::mem::take(&mut rooms.waiting) } else { Vec::new() }
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_enters_a_closing_house_and_it_is_empty_when_the_last_has_left() {
        let house = Arc::new(House::default());
        let (a, b) = (Arc::new(Notify::default()), Arc::new(Notify::default()));
        let members = [house.enter(Arc::clone(&a)).unwrap(), house.enter(Arc::clone(&b)).unwrap()];
        house.close();
        assert!(house.enter(Arc::clone(&a)).is_none());
        assert_eq!(a.take(Waker::noop()) | b.take(Waker::noop()), SHUT_DOWN);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(house.poll_empty(&mut cx).is_pending());
        drop(members);
        assert!(house.poll_empty(&mut cx).is_ready());
    }

    #[test]
    fn seats_are_limited_and_given_back() {
        let seats = Arc::new(Seats::default());
        let seat = seats.take(1).unwrap();
        assert!(seats.take(1).is_none());
        assert_eq!((seats.taken(), seats.refused()), (1, 1));
        drop(seat);
        assert!(seats.take(1).is_some());
    }
}
