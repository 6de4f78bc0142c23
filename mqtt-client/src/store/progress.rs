//! `Progress`: how far a store has come, and who waits for that.

use super::StoreError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store says how far it has come by. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    durable: AtomicU64,
    error: OnceLock<StoreError>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By the op that is waited for; the second number tells those apart that wait for the same.
    wakers: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

/// One who waits. Its place is given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    progress: Progress,
    key: Option<(u64, u64)>,
}

impl Progress {
    /// For a store that is used without a client, in a test of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// All ops up to the one with this number are kept, whatever happens from now on.
    ///
    /// Numbers only grow; a lower one than before does nothing. It wakes tasks, so it must not be called under a lock
    /// that [`Store::submit`](super::Store::submit) takes.
    pub fn durable(&self, up_to: u64) {
        if self.shared.durable.fetch_max(up_to, Ordering::AcqRel) >= up_to {
            return;
        }
        let ready = {
            let mut waiting = self.lock();
            let rest = waiting.wakers.split_off(&(up_to + 1, 0));
            std::mem::replace(&mut waiting.wakers, rest)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// The store has failed: nothing that is not durable yet ever will be. The first error stays.
    pub fn fail(&self, error: StoreError) {
        if self.shared.error.set(error).is_ok() {
            let all = std::mem::take(&mut self.lock().wakers);
            all.into_values().for_each(Waker::wake);
        }
    }

    /// The number of the last op that is kept for certain; 0 for none.
    pub fn position(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Why it has failed, if it has.
    pub fn error(&self) -> Option<&StoreError> {
        self.shared.error.get()
    }

    pub(crate) fn wait(&self) -> Wait {
        Wait { progress: self.clone(), key: None }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// Whether this op is durable, or never will be.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, op: u64) -> Poll<Result<(), StoreError>> {
        if let Some(answer) = self.answer(op) {
            return Poll::Ready(answer);
        }
        let mut waiting = self.progress.lock();
        let key = match self.key {
            Some(key) if key.0 == op => key,
            other => {
                other.and_then(|key| waiting.wakers.remove(&key));
                waiting.next += 1;
                (op, waiting.next)
            }
        };
        waiting.wakers.insert(key, cx.waker().clone());
        drop(waiting);
        self.key = Some(key);
        // It may have come about meanwhile, before the waker was there.
        self.answer(op).map_or(Poll::Pending, Poll::Ready)
    }

    fn answer(&self, op: u64) -> Option<Result<(), StoreError>> {
        if self.progress.position() >= op {
            return Some(Ok(()));
        }
        self.progress.error().map(|error| Err(error.clone()))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.progress.lock().wakers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_when_its_op_is_durable_and_forgotten_when_it_goes() {
        let progress = Progress::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let (mut first, mut second) = (progress.wait(), progress.wait());
        assert!(first.poll(&cx, 2).is_pending() && second.poll(&cx, 3).is_pending());
        assert!(first.poll(&cx, 2).is_pending(), "polled twice, woken once");
        progress.durable(1);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        progress.durable(2);
        progress.durable(1);
        assert_eq!((count.0.load(Ordering::Relaxed), progress.position()), (1, 2));
        assert_eq!(first.poll(&cx, 2), Poll::Ready(Ok(())));
        drop(second);
        assert!(progress.lock().wakers.is_empty());
    }

    #[test]
    fn a_failure_is_the_answer_to_all_that_is_not_durable() {
        let progress = Progress::new();
        let mut wait = progress.wait();
        let cx = Context::from_waker(Waker::noop());
        progress.durable(1);
        assert!(wait.poll(&cx, 2).is_pending());
        progress.fail(StoreError::Custom("first".into()));
        progress.fail(StoreError::InUse);
        assert_eq!(wait.poll(&cx, 2), Poll::Ready(Err(StoreError::Custom("first".into()))));
        assert_eq!(wait.poll(&cx, 1), Poll::Ready(Ok(())));
    }
}
