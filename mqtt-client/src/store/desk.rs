//! `Desk`: the client's side of its store, which numbers the ops and hands them over in order.

use super::{Batch, Progress, Snapshot, Store, StoreError, StoreOp, StoredMessage};
use mqttkit_codec::{Instant, Str};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub(crate) struct Desk {
    store: Arc<dyn Store>,
    progress: Progress,
    /// What the system clock said at the origin of the instants.
    origin: SystemTime,
    numbers: Mutex<Numbers>,
}

#[derive(Debug)]
struct Numbers {
    /// Of the last op.
    op: u64,
    /// Of the next message.
    key: u64,
    closed: bool,
}

/// That a message is in the store: its end must be noted there.
#[derive(Debug)]
pub(crate) struct Kept {
    desk: Arc<Desk>,
    pub(crate) key: u64,
    /// The op that put it there.
    pub(crate) op: u64,
}

impl Desk {
    /// Opens the store of this session.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        client_id: &Str,
        now: Instant,
    ) -> Result<(Self, Snapshot), StoreError> {
        let progress = Progress::new();
        let snapshot = store.open(progress.clone())?;
        let numbers = Numbers { op: 0, key: snapshot.next_key(), closed: false };
        let origin = SystemTime::now().checked_sub(now.since_origin()).unwrap_or(SystemTime::UNIX_EPOCH);
        let desk = Self { store, progress, origin, numbers: Mutex::new(numbers) };
        match snapshot.client_id() {
            Some(known) if known == client_id => {}
            Some(known) => {
                desk.close();
                return Err(StoreError::OtherClient { client_id: known.as_str().to_owned() });
            }
            None => {
                desk.submit(StoreOp::Session { client_id: client_id.clone() });
            }
        }
        Ok((desk, snapshot))
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// An instant of this process, for another one.
    pub(crate) fn system_time(&self, at: Instant) -> SystemTime {
        const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        self.origin + at.since_origin().min(FAR)
    }

    /// An instant of another process, as far as it lies in this one.
    pub(crate) fn instant(&self, at: SystemTime) -> Instant {
        Instant::new(at.duration_since(self.origin).unwrap_or_default())
    }

    /// Hands an op over. Returns its number.
    pub(crate) fn submit(&self, op: StoreOp) -> u64 {
        self.submit_with(|_| op).0
    }

    /// Puts a message into the store.
    pub(crate) fn keep(self: &Arc<Self>, message: impl FnOnce(u64) -> StoredMessage) -> Kept {
        let (op, key) = self.submit_with(|key| StoreOp::Queued(message(key)));
        Kept { desk: Arc::clone(self), key, op }
    }

    /// A message that an earlier process has put there.
    pub(crate) fn restored(self: &Arc<Self>, key: u64) -> Kept {
        Kept { desk: Arc::clone(self), key, op: 0 }
    }

    pub(crate) fn close(&self) {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.store.close();
    }

    /// The lock is held while the op is handed over, so that they arrive in the order of their numbers.
    fn submit_with(&self, op: impl FnOnce(u64) -> StoreOp) -> (u64, u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = numbers.key;
        let op = op(key);
        numbers.key += u64::from(matches!(op, StoreOp::Queued(_)));
        numbers.op += 1;
        if !numbers.closed && self.progress.error().is_none() {
            self.store.submit(Batch { first: numbers.op, ops: vec![op] });
        }
        (numbers.op, key)
    }
}

impl Kept {
    /// Its end is there, whichever: it need not be kept any more.
    pub(crate) fn complete(self) {
        self.desk.submit(StoreOp::Completed { key: self.key });
    }
}
