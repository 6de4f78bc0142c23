//! `StoreOp`: one effect on what survives a restart.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqttkit_codec::{Message, PacketId, QoS, Str, SubscriptionOptions, TopicFilter, TopicName, Will};

/// One effect, complete in itself. What it names that a store does not know, a session that has ended for instance, is
/// passed over: [`Snapshot::apply`](super::Snapshot::apply) says exactly what each amounts to.
///
/// Ops share the memory of messages and names, which may pin the buffer they were read from: a store that keeps them in
/// memory takes copies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOp {
    /// A session begins, or its client has come or gone: what is said of the session itself is replaced; what it holds
    /// stays.
    Session {
        /// Whose.
        client_id: Str,
        /// What is said of it.
        session: SessionRecord,
    },
    /// A session has ended, with all it held.
    SessionEnded {
        /// Whose.
        client_id: Str,
    },
    /// A subscription was made, or replaced.
    Subscribed {
        /// Whose.
        client_id: Str,
        /// To what, with the mount point.
        filter: TopicFilter,
        /// As granted.
        options: SubscriptionOptions,
        /// The Subscription Identifier.
        identifier: Option<NonZeroU32>,
        /// If retained messages are to be sent: those up to this publication. `None` leaves an earlier sending as it is.
        retained_up_to: Option<u64>,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Whose.
        client_id: Str,
        /// From what, with the mount point.
        filter: TopicFilter,
    },
    /// A message was published. All of this happens together, or nothing.
    Published {
        /// What is settled by it.
        source: Option<Source>,
        /// The message.
        message: Arc<MessageRecord>,
        /// What it does to the retained message of its topic.
        retention: Retention,
        /// For which sessions it waits from now on.
        deliveries: Vec<DeliveryRecord>,
    },
    /// A message was taken that nobody is to get and that is not kept.
    Settled {
        /// Where it came from.
        source: Source,
    },
    /// The retained message of a topic is gone.
    RetainedCleared {
        /// Of which topic.
        topic: TopicName,
    },
    /// A subscription has been sent its retained messages.
    RetainedSent {
        /// Whose.
        client_id: Str,
        /// Which.
        filter: TopicFilter,
        /// Up to this topic, in the order of their bytes. `None`: all.
        up_to: Option<TopicName>,
    },
    /// A message is in flight to a client from now on, behind those that are. If the identifier stood for another, that
    /// is replaced.
    Sent {
        /// To whom.
        client_id: Str,
        /// By which identifier.
        packet_id: PacketId,
        /// Which message.
        from: SentFrom,
    },
    /// A client has a QoS 2 message: it waits for PUBCOMP, behind all that is in flight. A QoS 1 message is done.
    Received {
        /// Who has it.
        client_id: Str,
        /// By which identifier.
        packet_id: PacketId,
    },
    /// A message in flight is done: acknowledged, or refused.
    Completed {
        /// Who acknowledged.
        client_id: Str,
        /// By which identifier.
        packet_id: PacketId,
    },
    /// A message that waited will not be sent: it has expired, or there was no room for it.
    Dropped {
        /// For whom it waited.
        client_id: Str,
        /// The number of the delivery.
        delivery: u64,
    },
    /// A client releases the identifier of a QoS 2 message of its own.
    Released {
        /// Who released it.
        client_id: Str,
        /// The identifier.
        packet_id: PacketId,
    },
    /// A message of a shared subscription goes from a session that ends to another member.
    Moved {
        /// From whom.
        client_id: Str,
        /// Where it was there.
        pending: Pending,
        /// To whom, and as what.
        to: DeliveryRecord,
    },
}

/// What is said of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRecord {
    /// How long it outlives its connection; `None` for ever. With zero it holds nothing but a will.
    pub expiry: Option<Duration>,
    /// What stands before all its topics.
    pub mount_point: Option<Str>,
    /// Its client is a bridge.
    pub bridge: bool,
    /// What is published when the client is gone, after the delay it says.
    pub will: Option<Will>,
    /// When the client went; `None` while it is connected.
    pub left: Option<SystemTime>,
}

/// A message, as the broker knows it: its topic has the mount point, its properties are those that go to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageRecord {
    /// Counts publications: a later one has a higher number.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// When its lifetime ends.
    pub expires: Option<SystemTime>,
}

/// A message for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryRecord {
    /// Names this delivery. Of one session, a later one has a higher number.
    pub number: u64,
    /// For whom.
    pub client_id: Str,
    /// With which QoS, 1 or 2.
    pub qos: QoS,
    /// Whether with RETAIN.
    pub retain: bool,
    /// The identifiers of the subscriptions it is for.
    pub identifiers: Vec<NonZeroU32>,
    /// The shared subscription it is for.
    pub group: Option<TopicFilter>,
}

/// What is settled by a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A QoS 2 message of a kept session: its identifier is taken until it is released.
    Client {
        /// Who published it.
        client_id: Str,
        /// By which identifier.
        packet_id: PacketId,
    },
    /// A will, which is published once.
    Will {
        /// Whose.
        client_id: Str,
    },
}

/// What a publication does to the retained message of its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retention {
    /// Nothing.
    #[default]
    Untouched,
    /// It is the retained message from now on.
    Set,
    /// There is none any more: the message was empty, or there was no room.
    Cleared,
}

/// Where a message was that is in flight now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SentFrom {
    /// It waited.
    Queue {
        /// The number of the delivery.
        delivery: u64,
    },
    /// It is a retained message, for a new subscription. All topics up to its own are done with.
    Retained {
        /// The subscription.
        filter: TopicFilter,
        /// The message.
        message: Arc<MessageRecord>,
        /// With which QoS, 1 or 2.
        qos: QoS,
        /// The Subscription Identifier.
        identifier: Option<NonZeroU32>,
    },
}

/// Where a message of a session is that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pending {
    /// It waits.
    Queue {
        /// The number of the delivery.
        delivery: u64,
    },
    /// It was sent.
    InFlight {
        /// By which identifier.
        packet_id: PacketId,
    },
}

impl MessageRecord {
    /// A message that does not expire.
    pub fn new(number: u64, message: Message) -> Self {
        Self { number, message, expires: None }
    }
}

impl DeliveryRecord {
    /// A delivery without RETAIN, identifiers and group.
    pub fn new(number: u64, client_id: Str, qos: QoS) -> Self {
        Self { number, client_id, qos, retain: false, identifiers: Vec::new(), group: None }
    }
}

impl StoreOp {
    /// What it counts for in [`Config::store_bytes`](crate::Config::store_bytes).
    pub(crate) fn cost(&self) -> usize {
        let message = match self {
            Self::Published { message, .. } | Self::Sent { from: SentFrom::Retained { message, .. }, .. } => {
                let Message { topic, payload, properties, .. } = &message.message;
                topic.as_bytes().len() + payload.len() + properties.as_bytes().len()
            }
            _ => 0,
        };
        let deliveries = match self {
            Self::Published { deliveries, .. } => size_of::<DeliveryRecord>() * deliveries.len(),
            _ => 0,
        };
        size_of::<Self>() + message + deliveries
    }
}
