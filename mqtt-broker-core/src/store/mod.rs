//! `Store`: what survives a restart, by effects.
//!
//! The state of the broker is in memory and never waits. What must survive is told to a store as a sequence of
//! [`StoreOp`]s, each one effect: a message was published for these sessions, a client has acknowledged that one. The
//! state emits them in order, under its lock; they reach the store right after it. The store writes them down in its
//! own time and says how far it has come. Whatever promises something to a client waits for that.
//!
//! # What is kept
//!
//! - Sessions that outlive their connection (Session Expiry Interval above 0): their expiry, mount point and will;
//!   their subscriptions with options and identifiers, and how far each has got with its retained messages; the QoS 1
//!   and 2 messages that wait for them; what is in flight to them, by packet identifier; the identifiers of QoS 2
//!   messages that were received from them and are not released.
//! - Retained messages, but for those below `$SYS/`.
//! - The wills of all clients that are connected, and those that wait for their delay. A broker that dies publishes
//!   them when it is back, as the specification allows; clients with a delay have that long to return.
//!
//! QoS 0 messages are not kept; nor are sessions that end with their connection, which ends with the broker. Whose turn
//! it is in a shared subscription is not kept either.
//!
//! # What waits for the store
//!
//! | packet | waits for |
//! | --- | --- |
//! | CONNACK of a session or a will that is kept, or if a kept session ends for it | that, and everything before |
//! | SUBACK, UNSUBACK | the subscription |
//! | PUBACK, PUBREC | the message, for all sessions it is for, and its identifier |
//! | PUBCOMP | that the identifier is free |
//! | PUBLISH of QoS 2 | its identifier |
//! | PUBREL | that the message is there |
//!
//! Nothing else waits: not a PUBLISH of QoS 0 or 1, not a PINGRESP, and not what has no effect that is kept. No lock is
//! held while something waits, and the connection goes on with all the rest. Acknowledgements keep their order; a QoS 2
//! message may be overtaken by one of another QoS, as the specification allows.
//!
//! So QoS 1 is at least once and QoS 2 exactly once, wherever the broker is cut: each packet that makes the other side
//! forget something leaves when this side can no longer do so. What is lost of the ops is lost from the end, so a store
//! holds what the state was at some moment, and nobody was promised anything after it. A QoS 1 message may be sent again
//! as if for the first time, if only the note of its first sending was lost.
//!
//! # Time
//!
//! The state has no clock, only the [`Instant`](mqttkit_codec::Instant)s it is given, which begin anew with every
//! process. When the broker is built, it asks the system clock once what time it is at the origin of those instants; so
//! ops can say when a session was left and when a message expires as [`SystemTime`](std::time::SystemTime)s, and the next
//! process knows what has passed meanwhile. A system clock that was set back makes nothing live longer than its whole
//! interval. A session whose client was connected when the broker died was left when the next broker starts.
//!
//! # When the store is behind, or fails
//!
//! At most [`Config::store_ops`](crate::Config::store_ops) and [`Config::store_bytes`](crate::Config::store_bytes) wait
//! for the store. Beyond it, a connection that has added to them, or is new, is not read until half of that is written,
//! clients with a session or a will to keep are refused as if the server were busy, and messages of the host are refused
//! with 0x97. Others that only receive, or send QoS 0 that nobody keeps, notice nothing.
//!
//! A store that fails does so for good. Nothing that waits for it is ever acknowledged: those connections are ended,
//! with 0x97, so that their clients know and send again. From then on QoS 1 and 2 messages are refused with 0x97 (MQTT 3
//! clients, which cannot be told, are disconnected), subscriptions of kept sessions too, and such sessions are not
//! resumed: 0x88. QoS 0 goes on. It is logged, told as [`Event::StoreFailed`](crate::Event::StoreFailed), and seen in
//! [`Stats`](crate::Stats).
//!
//! # Writing a store
//!
//! Implement [`Store`]. An append-only file does it like this:
//!
//! - [`open`](Store::open): read the file op by op into a [`Snapshot`] with [`Snapshot::apply`]. A last op that is
//!   incomplete was never acknowledged: cut it off. Start a thread that writes, keep the [`Progress`].
//! - [`submit`](Store::submit): put the batch on the thread's queue and return. That queue needs no bound of its own.
//! - the thread: take all batches that wait, append them, sync once (group commit: the slower the disk, the larger the
//!   groups), then [`Progress::durable`] with the last number. On an error [`Progress::fail`].
//! - compaction: the thread keeps a [`Snapshot`] of what it has written, by the same `apply`. When the file is several
//!   times as long as [`Snapshot::to_ops`], it writes those to a new file, syncs it, renames it over the old one and goes
//!   on there. The broker notices nothing.
//!
//! All that ops are made of can be made by a store that reads them back: the fields are public, and what may grow has a
//! constructor with defaults.
//!
//! One op is one record, written wholly or not at all: each is complete in itself, and atomic where two effects belong
//! together. Between any two ops a store may be cut.
//!
//! The default is no store: no op is made, nothing is allocated, and every answer leaves at once. [`MemoryStore`] keeps
//! everything for the next broker in the same process, which is what tests of restarts want.

mod desk;
mod error;
mod memory;
mod op;
mod progress;
mod replay;
mod snapshot;

use std::fmt::Debug;

pub(crate) use desk::Desk;
pub use error::StoreError;
pub use memory::MemoryStore;
pub use op::{DeliveryRecord, MessageRecord, Pending, Retention, SentFrom, SessionRecord, Source, StoreOp};
pub use progress::Progress;
pub(crate) use progress::Registration;
pub use snapshot::Snapshot;
pub(crate) use snapshot::{InFlightRecord, KeptSession, QueuedRecord};

/// Keeps what survives a restart of the broker; see the [module](self).
///
/// One broker at a time: open it again only when the broker that had it is gone.
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads what was kept. It is called once, before the broker is built, and may block.
    ///
    /// From here on the store tells `progress` how far it has come.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be read, or makes no sense. The broker is not built then.
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError>;

    /// Takes ops, in their order. It is called by one thread at a time, not under a lock of the broker's state, but on
    /// the tasks of connections: it must not wait for anything slow. A failure is told to [`Progress`].
    fn submit(&self, batch: Batch);
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
    /// These ops, of which the first has this number.
    pub fn new(first: u64, ops: Vec<StoreOp>) -> Self {
        Self { first, ops }
    }

    /// The number of the last op: what to tell [`Progress::durable`] when all of it is kept.
    pub fn last(&self) -> u64 {
        self.first + (self.ops.len() as u64).saturating_sub(1)
    }
}
