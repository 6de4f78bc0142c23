//! `Writer`: the thread that appends to the log, in groups, and makes it short again.

use super::log::{self, TITLE};
use super::{Batch, Fsync, Progress, Snapshot, StoreError};
use bytes::BytesMut;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    fsync: Fsync,
    compact_at: u64,
    pub(super) file: File,
    /// Of the file, in bytes.
    length: u64,
    /// Of the file when it was last short.
    short: u64,
    /// What the file amounts to.
    snapshot: Snapshot,
    /// Something was written that the disk was not told of, since then.
    unsynced: Option<Instant>,
    buffer: BytesMut,
}

/// Bytes in one group.
const GROUP: usize = 4 << 20;
/// The file is written anew when it is so many times as long as it must be.
const HISTORY: u64 = 4;

impl Writer {
    /// Opens a log and cuts off what is not whole.
    pub(super) fn open(path: &Path, fsync: Fsync, compact_at: u64) -> Result<(Self, Snapshot), StoreError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (whole, snapshot) = log::read(&bytes)?;
        drop(bytes);
        let mut length = whole as u64;
        if snapshot.cut() > 0 {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        if length == 0 {
            file.write_all(TITLE)?;
            length = TITLE.len() as u64;
        }
        file.sync_all()?;
        sync_directory(path)?;
        let writer = Self {
            path: path.to_owned(),
            fsync,
            compact_at,
            file,
            length,
            short: 0,
            snapshot: snapshot.clone(),
            unsynced: None,
            buffer: BytesMut::new(),
        };
        Ok((writer, snapshot))
    }

    /// Writes until there is nobody any more who could submit something, or the disk fails.
    pub(super) fn run(mut self, batches: &Receiver<Batch>, progress: &Progress) {
        if let Err(error) = self.write_all(batches, progress) {
            progress.fail(error);
        }
    }

    fn write_all(&mut self, batches: &Receiver<Batch>, progress: &Progress) -> Result<(), StoreError> {
        loop {
            let first = match self.next_sync() {
                None => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(time) => batches.recv_timeout(time),
            };
            match first {
                Ok(batch) => {
                    let mut last = self.take(batch)?;
                    while self.buffer.len() < GROUP
                        && let Ok(batch) = batches.try_recv()
                    {
                        last = self.take(batch)?;
                    }
                    self.write()?;
                    progress.durable(last);
                    if self.length > self.compact_at && self.length / HISTORY > self.short {
                        self.compact()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return if self.fsync == Fsync::Never { Ok(()) } else { self.sync() };
                }
            }
        }
    }

    /// How long until the disk must be told, if at all.
    fn next_sync(&self) -> Option<Duration> {
        match (self.fsync, self.unsynced) {
            (Fsync::Every(period), Some(since)) => Some(period.saturating_sub(since.elapsed())),
            _ => None,
        }
    }

    /// Adds a batch to the group. Returns the number of its last op.
    fn take(&mut self, batch: Batch) -> Result<u64, StoreError> {
        let last = batch.last();
        for op in batch.ops {
            log::append(&op, &mut self.buffer)?;
            self.snapshot.apply(op);
        }
        Ok(last)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.file.write_all(&self.buffer)?;
        self.length += self.buffer.len() as u64;
        if self.buffer.capacity() > GROUP {
            self.buffer = BytesMut::new();
        }
        self.buffer.clear();
        self.unsynced.get_or_insert_with(Instant::now);
        if self.fsync == Fsync::Always || self.next_sync().is_some_and(|time| time.is_zero()) {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced.take().is_some() {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Writes what the log amounts to into a new one, which takes its place when it is on the disk.
    fn compact(&mut self) -> Result<(), StoreError> {
        let mut bytes = BytesMut::from(TITLE);
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = File::create(&new)?;
        let mut length = 0;
        for op in self.snapshot.to_ops() {
            log::append(&op, &mut bytes)?;
            if bytes.len() >= GROUP {
                length += bytes.len() as u64;
                file.write_all(&bytes.split())?;
            }
        }
        length += bytes.len() as u64;
        self.short = length;
        if length > self.length / HISTORY {
            // There is not enough history for it to be worth while; look again when there is more.
            drop(file);
            fs::remove_file(&new)?;
            return Ok(());
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory(&self.path)?;
        self.file = file;
        self.length = length;
        self.unsynced = None;
        Ok(())
    }
}

/// Makes the name of a file as durable as the file. Where a directory cannot be opened, its system does that by itself.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
