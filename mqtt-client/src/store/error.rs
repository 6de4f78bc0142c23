//! `StoreError`: why a store does not keep what it should.

use std::io;

/// Why a store cannot be opened, or has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("the store: {text}")]
    Io {
        /// The kind of error.
        kind: io::ErrorKind,
        /// What it was about.
        text: String,
    },
    /// It holds what makes no sense: it is damaged, of another version, or no store at all.
    #[error("the store makes no sense: {0}")]
    Corrupt(String),
    /// Another client has it, in this process or in another one.
    #[error("the store is in use")]
    InUse,
    /// It is the store of another session.
    #[error("the store is that of the client {client_id:?}")]
    OtherClient {
        /// The client identifier of the session in it.
        client_id: String,
    },
    /// Something else.
    #[error("the store: {0}")]
    Custom(String),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io { kind: error.kind(), text: error.to_string() }
    }
}
