//! `StoreError`: why a store does not keep what it should.

use std::error::Error;
use std::sync::Arc;

/// Why a store cannot be opened, or has failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read.
    #[error("the store cannot be read")]
    Read(#[source] Cause),
    /// It was read and makes no sense: it is damaged, or of another version.
    #[error("the store holds what makes no sense")]
    Corrupt(#[source] Cause),
    /// It cannot be written.
    #[error("the store cannot be written")]
    Write(#[source] Cause),
}

/// What is behind it, an [`io::Error`](std::io::Error) for instance.
type Cause = Arc<dyn Error + Send + Sync>;

impl StoreError {
    /// The store cannot be read.
    pub fn read(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Read(cause.into().into())
    }

    /// What was read makes no sense.
    pub fn corrupt(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into().into())
    }

    /// The store cannot be written.
    pub fn write(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Write(cause.into().into())
    }
}
