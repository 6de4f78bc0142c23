//! `PasswordFile`: users and their passwords in a file, hashed with argon2.

mod file;
mod hashing;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use mqttkit_codec::ReasonCode;

use self::file::Users;
use self::hashing::Hashing;
use super::{Admission, BoxFuture, ConnectRequest, Identity, Policy, Refusal};

pub use file::{hash_password, set_password};
pub use hashing::Job;

/// Users and their passwords: one `name:hash` in a line, where the hash is that of argon2 as a PHC string. Lines that
/// begin with `#` are comments. [`set_password`] makes such files.
///
/// A client is in by its user name and password. A wrong password is refused, a user who is not in the file is
/// [unknown](Refusal::unknown), after as much time as the first user of the file would have taken.
///
/// Hashing takes tens of milliseconds and as many megabytes on purpose. It happens where blocking work belongs, a few
/// at a time, and never on the task of a connection. When too many clients wait for it, the next is refused with
/// [`ServerBusy`](ReasonCode::ServerBusy).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mqttkit_broker_core::{Broker, PasswordFile};
///
/// let users = PasswordFile::open("users")?;
/// let broker = Broker::builder().policy(users).build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PasswordFile {
    shared: Arc<Shared>,
}

struct Shared {
    path: Option<PathBuf>,
    users: RwLock<Arc<Users>>,
    hashing: Hashing,
}

/// Why a file of passwords cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line has no `:`.
    #[error("line {line}: expected NAME:HASH")]
    Line {
        /// Which line; the first is 1.
        line: usize,
    },
    /// What follows the name is no hash of argon2.
    #[error("line {line}: the password of {user:?} is not hashed with argon2")]
    Hash {
        /// Which line; the first is 1.
        line: usize,
        /// Whose.
        user: String,
    },
    /// A user is there twice.
    #[error("line {line}: {user:?} is there already")]
    Twice {
        /// Which line; the first is 1.
        line: usize,
        /// Who.
        user: String,
    },
    /// The name is empty, begins with `#` or has a `:` or a line break in it.
    #[error("{user:?} cannot be the name of a user in a file")]
    Name {
        /// The name.
        user: String,
    },
    /// No hash can be made: the system has no random numbers.
    #[error("the password cannot be hashed")]
    Unhashable,
}

impl PasswordFile {
    /// From a file, on tokio: hashing happens on its threads for blocking work.
    ///
    /// # Errors
    /// [`PasswordError`].
    #[cfg(feature = "tokio")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PasswordError> {
        Self::open_with(path, on_tokio)
    }

    /// From text, on tokio.
    ///
    /// # Errors
    /// [`PasswordError`], but for [`PasswordError::Io`].
    #[cfg(feature = "tokio")]
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        Self::parse_with(text, on_tokio)
    }

    /// From a file; `run` is given blocking work and has it done elsewhere, on smol with
    /// `|job| smol::unblock(job).detach()`.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn open_with(
        path: impl AsRef<Path>,
        run: impl Fn(Job) + Send + Sync + 'static,
    ) -> Result<Self, PasswordError> {
        let path = path.as_ref();
        Ok(Self::new(Some(path.to_owned()), file::read(path)?, run))
    }

    /// From text; `run` as in [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// [`PasswordError`], but for [`PasswordError::Io`].
    pub fn parse_with(text: &str, run: impl Fn(Job) + Send + Sync + 'static) -> Result<Self, PasswordError> {
        Ok(Self::new(None, Users::parse(text)?, run))
    }

    fn new(path: Option<PathBuf>, users: Users, run: impl Fn(Job) + Send + Sync + 'static) -> Self {
        let shared = Shared { path, users: RwLock::new(Arc::new(users)), hashing: Hashing::new(run) };
        Self { shared: Arc::new(shared) }
    }

    /// Reads the file again. Clients that are in stay in. Reads from the disk, so not for a task that others wait for.
    ///
    /// # Errors
    /// [`PasswordError`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), PasswordError> {
        let Some(path) = &self.shared.path else { return Ok(()) };
        let users = Arc::new(file::read(path)?);
        *self.shared.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        Ok(())
    }

    fn users(&self) -> Arc<Users> {
        Arc::clone(&self.shared.users.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Policy for PasswordFile {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            if request.exchange.is_some() {
                return Err(Refusal::unknown_method());
            }
            let connect = request.connect;
            let (Some(name), Some(password)) = (&connect.user_name, &connect.password) else {
                return Err(Refusal::unknown());
            };
            let users = self.users();
            let known = users.contains(name);
            let (user, password) = (name.as_str().to_owned(), password.to_vec());
            let right = self.shared.hashing.run(move || users.verify(&user, &password)).await;
            match right {
                Some(true) => Ok(Identity::named(name).into()),
                Some(false) if known => Err(Refusal::new(ReasonCode::BadUserNameOrPassword)),
                Some(false) => Err(Refusal::unknown()),
                None => Err(Refusal::new(ReasonCode::ServerBusy)),
            }
        })
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[cfg(feature = "tokio")]
fn on_tokio(job: Job) {
    tokio::task::spawn_blocking(job);
}

#[cfg(test)]
mod tests;
