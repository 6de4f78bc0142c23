//! `MemoryStore`: what survives a broker, but not the process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, Progress, Snapshot, Store, StoreError, StoreOp};

/// A store in memory: the next broker that is built with it, or with a clone of it, goes on where the last one was.
///
/// Everything is durable at once, unless it is [paused](Self::pause): then it plays a disk that is slow, a power cut, a
/// disk that is full, for tests of what a program does then.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mqttkit_broker_core::store::MemoryStore;
/// use mqttkit_broker_core::{Broker, Message, QoS};
///
/// let store = MemoryStore::new();
/// let broker = Broker::builder().store(store.clone())?.build();
/// broker.publish(Message::new("door".try_into()?, "open").with_retain(true));
/// broker.shutdown(std::time::Duration::from_secs(1)).await;
///
/// let next = Broker::builder().store(store)?.build();
/// let mut client = next.local_client()?;
/// client.subscribe("door".try_into()?, QoS::AtMostOnce)?;
/// assert_eq!(client.recv().await.ok_or("kicked")?.payload, "open");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    snapshot: Snapshot,
    progress: Option<Progress>,
    /// Ops that were written since it was opened.
    written: u64,
    /// Ops that wait to be written.
    waiting: VecDeque<StoreOp>,
    /// How many more are written at once; `None` for all.
    allowed: Option<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is written.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    /// Writes nothing more by itself.
    pub fn pause(&self) {
        self.pause_after(0);
    }

    /// Writes this many ops more by itself.
    pub fn pause_after(&self, ops: u64) {
        self.lock().allowed = Some(ops);
        self.write_allowed();
    }

    /// Writes everything that waits, and everything from now on.
    pub fn resume(&self) {
        self.lock().allowed = None;
        self.write_allowed();
    }

    /// Writes up to this many of the ops that wait, in their order. Returns how many it wrote.
    pub fn write(&self, ops: u64) -> u64 {
        let (progress, written, count) = {
            let mut shared = self.lock();
            let count = shared.write(ops);
            (shared.progress.clone(), shared.written, count)
        };
        if let Some(progress) = progress {
            progress.durable(written);
        }
        count
    }

    /// How many ops wait. They are lost when the store is opened again.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many ops were written since it was opened.
    pub fn written(&self) -> u64 {
        self.lock().written
    }

    /// Fails: what waits is never written, nor what comes, until it is opened again.
    pub fn fail(&self, error: StoreError) {
        let progress = {
            let mut shared = self.lock();
            shared.waiting.clear();
            shared.progress.take()
        };
        if let Some(progress) = progress {
            progress.fail(error);
        }
    }

    /// What it will hold when it has written everything.
    #[cfg(test)]
    pub(crate) fn snapshot_of_all(&self) -> Snapshot {
        let shared = self.lock();
        let mut snapshot = shared.snapshot.clone();
        shared.waiting.iter().for_each(|op| snapshot.apply(op));
        snapshot
    }

    /// What is allowed by itself.
    fn write_allowed(&self) {
        let allowed = self.lock().allowed;
        let written = self.write(allowed.unwrap_or(u64::MAX));
        if let Some(allowed) = &mut self.lock().allowed {
            *allowed = allowed.saturating_sub(written);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn write(&mut self, ops: u64) -> u64 {
        let count = ops.min(self.waiting.len() as u64);
        for op in self.waiting.drain(..usize::try_from(count).unwrap_or(usize::MAX)) {
            self.snapshot.apply(&op);
        }
        self.written += count;
        count
    }
}

impl Store for MemoryStore {
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError> {
        let mut shared = self.lock();
        shared.waiting.clear();
        shared.written = 0;
        shared.progress = Some(progress);
        Ok(shared.snapshot.clone())
    }

    fn submit(&self, batch: Batch) {
        {
            let mut shared = self.lock();
            if shared.progress.is_none() {
                return;
            }
            shared.waiting.extend(batch.ops);
        }
        self.write_allowed();
    }
}
