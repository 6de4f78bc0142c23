//! `Alarm`: a moment that a handle waits for, by the driver's one timer.

use crate::shared::Shared;
use mqttkit_codec::Instant;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Ready when its moment has come, or the driver has ended.
#[derive(Debug)]
pub(crate) struct Alarm {
    shared: Arc<Shared>,
    key: Key,
}

/// A moment, and what tells apart those that wait for the same.
type Key = (Instant, u64);

impl Alarm {
    pub(crate) fn new(shared: Arc<Shared>, at: Instant) -> Self {
        let (key, is_first) = shared.alarms.add(at);
        if is_first {
            shared.outbox.wake_driver();
        }
        Self { shared, key }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.alarms.poll(cx, self.key)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.alarms.lock().waiting.remove(&self.key);
    }
}

/// All moments that handles wait for.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// How many have been set and not gone off, so that the driver need not lock for none.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One that is not here has gone off.
    waiting: BTreeMap<Key, Option<Waker>>,
    next: u64,
    ended: bool,
}

impl Alarms {
    /// Returns whether it comes before all others.
    fn add(&self, at: Instant) -> (Key, bool) {
        let mut state = self.lock();
        let key = (at, state.next);
        state.next += 1;
        if state.ended {
            return (key, false);
        }
        state.waiting.insert(key, None);
        self.count.store(state.waiting.len(), Ordering::Release);
        (key, state.waiting.first_key_value().is_some_and(|(first, _)| *first == key))
    }

    fn poll(&self, cx: &Context<'_>, key: Key) -> Poll<()> {
        match self.lock().waiting.get_mut(&key) {
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Lets those go off whose moment has come. Returns the next moment.
    pub(crate) fn fire(&self, now: Instant) -> Option<Instant> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut due = Vec::new();
        let mut state = self.lock();
        while let Some(first) = state.waiting.first_entry().filter(|first| first.key().0 <= now) {
            due.extend(first.remove());
        }
        let next = state.waiting.first_key_value().map(|(&(at, _), _)| at);
        self.count.store(state.waiting.len(), Ordering::Release);
        drop(state);
        due.into_iter().for_each(Waker::wake);
        next
    }

    /// Lets all go off: there is no timer any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let all = std::mem::take(&mut state.waiting);
        self.count.store(0, Ordering::Release);
        drop(state);
        all.into_values().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::Duration;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    #[test]
    fn they_go_off_in_their_order_and_at_the_end() {
        let shared = Arc::new(Shared::for_tests());
        let mut two = Alarm::new(Arc::clone(&shared), at(2));
        let mut one = Alarm::new(Arc::clone(&shared), at(1));
        let dropped = Alarm::new(Arc::clone(&shared), at(3));
        let mut four = Alarm::new(Arc::clone(&shared), at(4));
        assert!((&mut one).now_or_never().is_none());
        assert_eq!(shared.alarms.fire(at(1)), Some(at(2)));
        assert!((&mut one).now_or_never().is_some());
        assert!((&mut two).now_or_never().is_none());
        drop(dropped);
        assert_eq!(shared.alarms.fire(at(2)), Some(at(4)));
        assert!((&mut two).now_or_never().is_some());
        shared.alarms.end();
        assert!((&mut four).now_or_never().is_some());
        assert!(Alarm::new(shared, at(9)).now_or_never().is_some());
    }
}
