//! `FileStore`: a store in one file, written by a thread of its own.

mod crc;
mod lock;
mod log;
mod writer;

use super::{Batch, Progress, Snapshot, Store, StoreError};
use lock::Lock;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::Writer;

/// Keeps the session of one client in a file.
///
/// The file is a log: each op is appended, with its length and a checksum. When most of it is history it is written anew,
/// beside the old one, and takes its place. A record that a crash has cut in two is recognised and thrown away, with
/// everything behind it; nobody was told that it was kept. A thread of its own writes, so the client never waits for the
/// disk, but for what it must not do before.
///
/// Beside it lies a file with `.lock` behind the name, which stays: one client at a time has the store, in whatever
/// process. The lock ends with its process.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use mqttkit_client::store::FileStore;
/// use mqttkit_client::{Client, QoS};
/// use std::time::Duration;
///
/// let (client, _) = Client::builder("mqtt://localhost")
///     .client_id("meter-7")
///     .clean_start(false)
///     .session_expiry(Duration::from_secs(7 * 24 * 3600))
///     .store(FileStore::new("/var/lib/meter/session"))
///     .connect_in_background()?;
/// // When this returns the message is on the disk, connected or not.
/// client.publish("meters/7", "42 kWh", QoS::ExactlyOnce).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    fsync: Fsync,
    compact_at: u64,
    open: Mutex<Option<Open>>,
}

/// When the disk is told to write what the operating system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fsync {
    /// Before anything counts as kept: it survives the loss of power. What waits at the same time shares one.
    #[default]
    Always,
    /// Every so often: everything survives the end of the process, however violent, and all but the last such time the
    /// loss of power. QoS 2 messages of that time may be there twice, or be missing.
    Every(Duration),
    /// When the operating system likes: as `Every`, with half a minute or so.
    Never,
}

#[derive(Debug)]
struct Open {
    batches: Sender<Batch>,
    thread: JoinHandle<()>,
    _lock: Lock,
}

/// See [`FileStore::compact_at`].
const COMPACT_AT: u64 = 1 << 20;

impl FileStore {
    /// In this file, which is made if it is not there; its directory must be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fsync: Fsync::default(), compact_at: COMPACT_AT, open: Mutex::new(None) }
    }

    /// When the disk is told to write. Default: always.
    #[must_use]
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.fsync = fsync;
        self
    }

    /// From how many bytes on the file is written anew when more than three quarters of it are history. Default 1 MiB.
    #[must_use]
    pub fn compact_at(mut self, bytes: u64) -> Self {
        self.compact_at = bytes;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for FileStore {
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError> {
        let mut open = self.lock();
        if open.is_some() {
            return Err(StoreError::InUse);
        }
        let lock = Lock::take(&self.path)?;
        let (writer, snapshot) = Writer::open(&self.path, self.fsync, self.compact_at)?;
        let (batches, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("mqttkit-store".into())
            .spawn(move || writer.run(&receiver, &progress))?;
        *open = Some(Open { batches, thread, _lock: lock });
        Ok(snapshot)
    }

    fn submit(&self, batch: Batch) {
        if let Some(open) = &*self.lock() {
            // The writer ends before this only when it has failed, which it has told.
            let _ = open.batches.send(batch);
        }
    }

    fn close(&self) {
        let Some(Open { batches, thread, _lock }) = self.lock().take() else { return };
        drop(batches);
        let _ = thread.join();
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
