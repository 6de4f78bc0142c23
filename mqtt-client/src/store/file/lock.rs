//! `Lock`: one process, and one client in it, has the store.

use super::StoreError;
use std::fs::{File, OpenOptions};
use std::path::Path;

/// Held as long as this lives, and not longer than the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of this store, or says that another has it. The log itself cannot carry it: it is replaced.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
        let file = match options.open(&name) {
            Ok(file) => file,
            // ERROR_SHARING_VIOLATION
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(32) => return Err(StoreError::InUse),
            Err(error) => return Err(error.into()),
        };
        #[cfg(unix)]
        if let Err(errno) = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            return Err(match errno {
                rustix::io::Errno::WOULDBLOCK => StoreError::InUse,
                errno => std::io::Error::from(errno).into(),
            });
        }
        Ok(Self { _file: file })
    }
}
