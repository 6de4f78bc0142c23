//! `Hub`: what one tells and any number of bounded readers hear. Nobody is ever waited for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Where the driver tells something and readers take it.
#[derive(Debug)]
pub(crate) struct Hub<T> {
    /// How much is kept for each reader.
    capacity: usize,
    /// How many readers there are, so that the driver need not lock for none.
    count: AtomicUsize,
    state: Mutex<State<T>>,
}

/// What a reader hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<T> {
    /// The next that was told.
    Told(T),
    /// So many were thrown away before the next, since the reader was slow.
    Missed(u64),
}

/// Names a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

#[derive(Debug)]
struct State<T> {
    readers: Vec<Reader<T>>,
    next_id: u64,
    /// The first reader is there before it comes, so that it hears everything from the beginning on.
    first_is_free: bool,
    ended: bool,
}

#[derive(Debug)]
struct Reader<T> {
    id: ReaderId,
    queue: VecDeque<T>,
    missed: u64,
    waker: Option<Waker>,
}

impl<T: Clone> Hub<T> {
    /// Whose readers hear what is told after they came.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { readers: Vec::new(), next_id: 0, first_is_free: false, ended: false };
        Self { capacity, count: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Whose first reader also hears what was told before it came.
    pub(crate) fn with_first(capacity: usize) -> Self {
        let hub = Self::new(capacity);
        hub.subscribe();
        hub.lock().first_is_free = true;
        hub
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn tell(&self, told: &T) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        for reader in &mut state.readers {
            if reader.queue.len() == self.capacity {
                reader.queue.pop_front();
                reader.missed += 1;
            }
            reader.queue.push_back(told.clone());
            wakers.extend(reader.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nothing more will be told.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let wakers: Vec<_> = state.readers.iter_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn subscribe(&self) -> ReaderId {
        let mut state = self.lock();
        if std::mem::take(&mut state.first_is_free) {
            return ReaderId(0);
        }
        let id = ReaderId(state.next_id);
        state.next_id += 1;
        state.readers.push(Reader { id, queue: VecDeque::new(), missed: 0, waker: None });
        self.count.store(state.readers.len(), Ordering::Relaxed);
        id
    }

    pub(crate) fn unsubscribe(&self, id: ReaderId) {
        let mut state = self.lock();
        state.readers.retain(|reader| reader.id != id);
        self.count.store(state.readers.len(), Ordering::Relaxed);
    }

    /// How many the reader has missed and not heard of; they count as heard of then.
    pub(crate) fn take_missed(&self, id: ReaderId) -> u64 {
        let mut state = self.lock();
        let reader = state.readers.iter_mut().find(|reader| reader.id == id);
        reader.map_or(0, |reader| std::mem::take(&mut reader.missed))
    }

    /// The next for this reader; `None` behind the last.
    pub(crate) fn poll_recv(&self, cx: &Context<'_>, id: ReaderId) -> Poll<Option<Heard<T>>> {
        let mut state = self.lock();
        let ended = state.ended;
        let Some(reader) = state.readers.iter_mut().find(|reader| reader.id == id) else {
            return Poll::Ready(None);
        };
        if reader.missed > 0 {
            return Poll::Ready(Some(Heard::Missed(std::mem::take(&mut reader.missed))));
        }
        match reader.queue.pop_front() {
            Some(told) => Poll::Ready(Some(Heard::Told(told))),
            None if ended => Poll::Ready(None),
            None => {
                reader.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(hub: &Hub<u64>, id: ReaderId) -> Poll<Option<Heard<u64>>> {
        hub.poll_recv(&Context::from_waker(Waker::noop()), id)
    }

    fn told(told: u64) -> Poll<Option<Heard<u64>>> {
        Poll::Ready(Some(Heard::Told(told)))
    }

    #[test]
    fn the_first_reader_hears_the_past_and_a_slow_one_learns_what_it_missed() {
        let hub = Hub::with_first(4);
        hub.tell(&0);
        let first = hub.subscribe();
        assert_eq!(next(&hub, first), told(0));
        let second = hub.subscribe();
        assert!(next(&hub, second).is_pending());
        for number in 1..=7 {
            hub.tell(&number);
        }
        assert_eq!(next(&hub, second), Poll::Ready(Some(Heard::Missed(3))));
        assert_eq!(next(&hub, second), told(4));
        assert_eq!(hub.take_missed(first), 3);
        assert_eq!(next(&hub, first), told(4), "it has been told what it missed");
        hub.unsubscribe(second);
        assert_eq!(next(&hub, second), Poll::Ready(None));
    }

    #[test]
    fn without_a_first_nothing_is_kept_for_nobody() {
        let hub = Hub::new(4);
        assert!(!hub.is_watched());
        hub.tell(&1);
        let reader = hub.subscribe();
        assert!(hub.is_watched());
        assert!(next(&hub, reader).is_pending());
        hub.unsubscribe(reader);
        assert!(!hub.is_watched());
    }

    #[test]
    fn readers_hear_the_last_before_the_end() {
        let hub = Hub::with_first(4);
        hub.tell(&1);
        hub.end();
        let first = hub.subscribe();
        assert_eq!(next(&hub, first), told(1));
        assert_eq!(next(&hub, first), Poll::Ready(None));
    }
}
