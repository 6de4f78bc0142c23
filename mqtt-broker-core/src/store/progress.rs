//! `Progress`: how far a store has come, and who waits for that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::error;

use super::StoreError;
use crate::notify::{LOOK, Notify};

/// What a store says how far it has come by. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    durable: AtomicU64,
    has_failed: AtomicBool,
    error: OnceLock<StoreError>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By the op that is waited for; the second number tells those apart that wait for the same.
    bells: BTreeMap<(u64, u64), Arc<Notify>>,
    next: u64,
    /// Rung when the store fails.
    keeper: Option<Arc<Notify>>,
}

/// A place among those who wait. Given up when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    progress: Progress,
    key: (u64, u64),
}

impl Progress {
    /// All ops up to the one with this number are kept, whatever happens from now on.
    ///
    /// Numbers only grow; a lower one than before does nothing. It wakes tasks, so it must not be called under a lock
    /// that [`Store::submit`](super::Store::submit) takes.
    pub fn durable(&self, up_to: u64) {
        let before = self.shared.durable.fetch_max(up_to, Ordering::AcqRel);
        if up_to <= before {
            return;
        }
        let ready = {
            let mut waiting = self.lock();
            let rest = waiting.bells.split_off(&(up_to + 1, 0));
            std::mem::replace(&mut waiting.bells, rest)
        };
        ring(ready.into_values());
    }

    /// The store has failed: nothing that is not durable yet ever will be. The first error stays.
    pub fn fail(&self, error: StoreError) {
        if self.shared.error.set(error).is_err() {
            return;
        }
        self.shared.has_failed.store(true, Ordering::Release);
        let error = self.error().map(|error| error as &dyn std::error::Error);
        error!(error, "the store has failed: nothing is kept any more");
        let (ready, keeper) = {
            let mut waiting = self.lock();
            (std::mem::take(&mut waiting.bells), waiting.keeper.clone())
        };
        ring(ready.into_values().chain(keeper));
    }

    /// The last op that is kept for certain; 0 for none.
    pub(crate) fn position(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Acquire)
    }

    pub(crate) fn error(&self) -> Option<&StoreError> {
        self.shared.error.get()
    }

    /// Has this bell rung when the op is durable, or the store has failed. If that is so already it may not ring: ask
    /// for it afterwards.
    pub(crate) fn register(&self, op: u64, bell: &Arc<Notify>) -> Registration {
        let key = {
            let mut waiting = self.lock();
            waiting.next += 1;
            let key = (op, waiting.next);
            waiting.bells.insert(key, Arc::clone(bell));
            key
        };
        Registration { progress: self.clone(), key }
    }

    pub(crate) fn set_keeper(&self, keeper: &Arc<Notify>) {
        self.lock().keeper = Some(Arc::clone(keeper));
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().bells.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Which op is waited for.
    pub(crate) fn op(&self) -> u64 {
        self.key.0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.progress.lock().bells.remove(&self.key);
    }
}

fn ring(bells: impl Iterator<Item = Arc<Notify>>) {
    for bell in bells {
        bell.ring(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn rang(bell: &Notify) -> bool {
        bell.take(Waker::noop()) & LOOK != 0
    }

    #[test]
    fn bells_ring_when_their_op_is_durable_and_once() {
        let progress = Progress::default();
        let bells: Vec<_> = (0..3).map(|_| Arc::new(Notify::default())).collect();
        let places: Vec<_> =
            bells.iter().zip([2, 2, 3]).map(|(bell, op)| progress.register(op, bell)).collect();
        progress.durable(1);
        assert!(!bells.iter().any(|bell| rang(bell)));
        progress.durable(2);
        progress.durable(1);
        assert_eq!(bells.iter().map(|bell| rang(bell)).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((progress.position(), progress.waiting()), (2, 1));
        drop(places);
        assert_eq!(progress.waiting(), 0, "who has gone is not kept");
    }

    #[test]
    fn everybody_hears_of_a_failure() {
        let progress = Progress::default();
        let (bell, keeper) = (Arc::new(Notify::default()), Arc::new(Notify::default()));
        progress.set_keeper(&keeper);
        let _place = progress.register(7, &bell);
        progress.fail(StoreError::write("first"));
        progress.fail(StoreError::read("second"));
        assert!(rang(&bell) && rang(&keeper) && progress.has_failed());
        assert!(matches!(progress.error(), Some(StoreError::Write(_))));
    }
}
