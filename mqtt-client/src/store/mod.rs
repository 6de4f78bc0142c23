//! `Store`: what survives the process, so that a device that loses power sends again.
//!
//! Give one to [`Options::store`](crate::Options::store). [`FileStore`] keeps everything in a file (feature `file-store`);
//! a database or flash memory is a [`Store`] of your own.
//!
//! # What is kept
//!
//! - Messages of QoS 1 and 2, from the moment at which [`publish`](crate::Client::publish) returns until PUBACK or PUBCOMP
//!   is there: with their priority and when they expire, their packet identifier once they are sent, and PUBREC.
//! - The identifiers of QoS 2 messages that were received and are not released, so that they are not delivered twice.
//!
//! The next process loads it, connects with the same client identifier, and goes on: it sends again what is not
//! acknowledged, under the same identifiers, and what was queued. [`Event::Restored`](crate::Event::Restored) and
//! [`Continuity::restored`](crate::Continuity::restored) say how much that is. Tickets end with their process.
//!
//! Not kept: QoS 0, subscriptions (the server has those, in the session), messages that wait for the application. The last
//! matters with QoS 2: what is acknowledged when it is put into the stream is gone with the process. Acknowledge by hand,
//! after the work is done: see [`Acknowledgement`](crate::Acknowledgement).
//!
//! # What waits for the store
//!
//! `publish` waits for its message. The connection waits, before it writes anything, for everything that was noted before:
//! so no PUBLISH leaves whose identifier is not kept, no PUBREL before PUBREC is, no PUBREC or PUBCOMP before the
//! identifier is, or is free. That is what makes QoS 2 exactly once wherever this side is cut. One write of the store
//! covers all that waits (group commit), so throughput falls less than its latency suggests.
//!
//! # When the store fails
//!
//! It fails for good. `publish` says [`PublishError::Store`](crate::PublishError::Store), and so does every open ticket;
//! [`Event::StoreFailed`](crate::Event::StoreFailed) is told, and the client ends without another byte: a promise that
//! cannot be kept is not made. What was kept before is there for the next process.
//!
//! # Writing a store
//!
//! One [`StoreOp`] is one record, written wholly or not at all, and read back in the same order;
//! [`to_bytes`](StoreOp::to_bytes) and [`from_bytes`](StoreOp::from_bytes) make a record of it. Between any two it may be
//! cut. [`Snapshot`] is what a sequence of ops amounts to: [`apply`](Snapshot::apply) them to one when you load, and keep
//! one to make the sequence shorter, by [`to_ops`](Snapshot::to_ops).

mod desk;
mod error;
#[cfg(feature = "file-store")]
mod file;
mod op;
mod progress;
mod snapshot;

use std::fmt::Debug;

pub(crate) use desk::{Desk, Kept};
pub use error::StoreError;
#[cfg(feature = "file-store")]
pub use file::{FileStore, Fsync};
pub use op::{StoreOp, StoredMessage};
pub use progress::Progress;
pub(crate) use progress::Wait;
pub(crate) use snapshot::Sent;
pub use snapshot::Snapshot;

/// Keeps what survives the process; see the [module](self).
///
/// One client at a time.
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads what was kept. It is called once for a client, before anything else, and may block.
    ///
    /// From here on the store tells `progress` how far it has come.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be read, makes no sense, or another client has it. The client is not made then.
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError>;

    /// Takes ops, in their order. It is called from tasks, under a lock, so it must not wait for anything: put them on a
    /// queue, which needs no bound of its own, since what can be under way is bounded by
    /// [`Options::send_queue`](crate::Options::send_queue). It must not call [`Progress`] itself. A failure is told to
    /// [`Progress`] by whoever writes.
    fn submit(&self, batch: Batch);

    /// The client has ended: completes what was submitted and lets go, so that another client can open it. It may block for
    /// a moment. Default: nothing.
    fn close(&self) {}
}

/// Ops to be kept, numbered without a gap from 1 for the first since [`Store::open`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The number of the first op.
    pub first: u64,
    /// The ops, at least one.
    pub ops: Vec<StoreOp>,
}

impl Batch {
    /// The number of the last op: what to tell [`Progress::durable`] when all of it is kept.
    pub fn last(&self) -> u64 {
        self.first + (self.ops.len() as u64).saturating_sub(1)
    }
}
