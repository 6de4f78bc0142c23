//! `Snapshot`: what all ops so far amount to.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use mqttkit_codec::{PacketId, QoS, Str, SubscriptionOptions, TopicFilter, TopicName};

use super::op::{DeliveryRecord, MessageRecord, SessionRecord, StoreOp};

/// What a store holds: the state that results from ops, applied in their order.
///
/// It has memory of its own; a message that waits for many sessions is there once.
///
/// ```
/// use mqttkit_broker_core::store::{SessionRecord, Snapshot, StoreOp};
///
/// let mut snapshot = Snapshot::new();
/// snapshot.apply(&StoreOp::Session { client_id: "door".try_into()?, session: SessionRecord::default() });
/// assert_eq!(snapshot.sessions(), 1);
///
/// let mut again = Snapshot::new();
/// snapshot.to_ops().for_each(|op| again.apply(&op));
/// assert_eq!(again, snapshot);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(crate) sessions: HashMap<Str, KeptSession>,
    pub(crate) retained: BTreeMap<TopicName, Arc<MessageRecord>>,
}

/// A session and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptSession {
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: HashMap<TopicFilter, SubscriptionRecord>,
    /// By the numbers of the deliveries, which is their order.
    pub(crate) queue: BTreeMap<u64, QueuedRecord>,
    /// In the order in which they were sent, or released.
    pub(crate) in_flight: VecDeque<(PacketId, InFlightRecord)>,
    /// QoS 2 messages that its client has not released.
    pub(crate) received: BTreeSet<PacketId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRecord {
    pub(crate) options: SubscriptionOptions,
    pub(crate) identifier: Option<NonZeroU32>,
    /// The retained messages that are still to be sent.
    pub(crate) cursor: Option<CursorRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CursorRecord {
    /// None that was published after this one.
    pub(crate) up_to: u64,
    /// The last topic that is done with.
    pub(crate) after: Option<TopicName>,
}

/// A message for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedRecord {
    pub(crate) message: Arc<MessageRecord>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<NonZeroU32>,
    pub(crate) group: Option<TopicFilter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InFlightRecord {
    Sent(QueuedRecord),
    Released,
}

impl Snapshot {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many sessions there are, with those that only hold a will.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many retained messages there are.
    pub fn retained_messages(&self) -> usize {
        self.retained.len()
    }

    /// How many messages wait for clients or are in flight to them, each counted once for each session.
    pub fn messages(&self) -> usize {
        self.sessions.values().map(|session| session.queue.len() + session.in_flight.len()).sum()
    }

    /// Applies the next op.
    pub fn apply(&mut self, op: &StoreOp) {
        super::replay::apply(self, op);
    }

    /// The fewest ops that lead here from nothing: what a file is compacted to. A message that waits for many sessions
    /// is in one of them.
    pub fn to_ops(&self) -> impl Iterator<Item = StoreOp> + '_ {
        super::replay::to_ops(self)
    }

    /// The highest number of a publication that it knows of.
    pub(crate) fn last_publication(&self) -> u64 {
        let retained = self.retained.values().map(|message| message.number);
        let sessions = self.sessions.values().flat_map(|session| {
            let queued = session.queue.values().map(|queued| queued.message.number);
            let in_flight = session.in_flight.iter().map(|(_, in_flight)| match in_flight {
                InFlightRecord::Sent(sent) => sent.message.number,
                InFlightRecord::Released => 0,
            });
            let cursors = session
                .subscriptions
                .values()
                .filter_map(|subscription| subscription.cursor.as_ref().map(|cursor| cursor.up_to));
            queued.chain(in_flight).chain(cursors)
        });
        retained.chain(sessions).max().unwrap_or(0)
    }

    /// The highest number of a delivery that waits.
    pub(crate) fn last_delivery(&self) -> u64 {
        let last = |session: &KeptSession| session.queue.last_key_value().map(|(&number, _)| number);
        self.sessions.values().filter_map(last).max().unwrap_or(0)
    }
}

impl QueuedRecord {
    /// With names of its own; the message is what the caller made of it.
    pub(crate) fn new(message: Arc<MessageRecord>, delivery: &DeliveryRecord) -> Self {
        Self {
            message,
            qos: delivery.qos,
            retain: delivery.retain,
            identifiers: delivery.identifiers.clone(),
            group: delivery.group.as_ref().map(TopicFilter::detached),
        }
    }
}
