//! `Desk`: where ops lie between the state and the store, so that neither waits for the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Batch, Progress, Snapshot, Store, StoreError, StoreOp};

/// Ops on their way.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Arc<dyn Store>,
    progress: Progress,
    tray: Mutex<Tray>,
    /// Held by the one who hands over, so that batches stay in order.
    carrier: Mutex<()>,
}

#[derive(Debug)]
struct Tray {
    /// The number of the first op here.
    first: u64,
    ops: Vec<StoreOp>,
}

impl Desk {
    /// Opens a store.
    pub(crate) fn open(store: Arc<dyn Store>) -> Result<(Self, Snapshot), StoreError> {
        let progress = Progress::default();
        let snapshot = store.open(progress.clone())?;
        let tray = Mutex::new(Tray { first: 1, ops: Vec::new() });
        Ok((Self { store, progress, tray, carrier: Mutex::new(()) }, snapshot))
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Lays ops down, in the order in which the state has made them: called under its lock.
    pub(crate) fn lay(&self, ops: &mut Vec<StoreOp>) {
        if !ops.is_empty() {
            self.tray().ops.append(ops);
        }
    }

    /// Hands over what lies there, or leaves that to whoever is doing it. Not to be called under a lock.
    pub(crate) fn hand_over(&self) {
        // Who hands over looks again afterwards, so nothing is left lying by those who came meanwhile.
        while !self.tray().ops.is_empty() {
            let _carrier = match self.carrier.try_lock() {
                Ok(carrier) => carrier,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let batch = {
                let mut tray = self.tray();
                let batch = Batch::new(tray.first, std::mem::take(&mut tray.ops));
                tray.first += batch.ops.len() as u64;
                batch
            };
            if !batch.ops.is_empty() && !self.progress.has_failed() {
                self.store.submit(batch);
            }
        }
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::Str;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    impl Store for Counting {
        fn open(&self, _: Progress) -> Result<Snapshot, StoreError> {
            Ok(Snapshot::new())
        }

        fn submit(&self, batch: Batch) {
            let before = self.0.swap(batch.last(), Ordering::Relaxed);
            assert_eq!(before + 1, batch.first);
        }
    }

    #[test]
    fn every_op_arrives_once_and_in_order_whoever_carries_it() {
        let store = Arc::new(Counting::default());
        let (desk, _) = Desk::open(Arc::clone(&store) as Arc<dyn Store>).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let client_id = Str::default();
                        desk.lay(&mut vec![StoreOp::SessionEnded { client_id }]);
                        desk.hand_over();
                    }
                });
            }
        });
        assert_eq!(store.0.load(Ordering::Relaxed), 4_000);
    }
}
