//! What each op does to a snapshot, and the ops that make one.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttkit_codec::{PacketId, QoS, Str, Will};

use super::op::{
    DeliveryRecord, MessageRecord, Pending, Retention, SentFrom, SessionRecord, Source, StoreOp,
};
use super::snapshot::{
    CursorRecord, InFlightRecord, KeptSession, QueuedRecord, Snapshot, SubscriptionRecord,
};

pub(super) fn apply(snapshot: &mut Snapshot, op: &StoreOp) {
    match op {
        StoreOp::Session { client_id, session } => {
            let record = detached_session(session);
            if let Some(known) = snapshot.sessions.get_mut(client_id) {
                known.record = record;
            } else {
                let session = KeptSession { record, ..KeptSession::default() };
                snapshot.sessions.insert(client_id.detached(), session);
            }
        }
        StoreOp::SessionEnded { client_id } => {
            snapshot.sessions.remove(client_id);
        }
        StoreOp::Published { source, message, retention, deliveries } => {
            publish(snapshot, message, *retention, deliveries);
            if let Some(source) = source {
                settle(snapshot, source);
            }
        }
        StoreOp::Settled { source } => settle(snapshot, source),
        StoreOp::RetainedCleared { topic } => {
            snapshot.retained.remove(topic);
        }
        StoreOp::Moved { client_id, pending, to } => {
            let from = snapshot.sessions.get_mut(client_id).and_then(|session| session.take(*pending));
            if let (Some(message), Some(session)) = (from, snapshot.sessions.get_mut(&to.client_id)) {
                session.queue.insert(to.number, QueuedRecord::new(message, to));
            }
        }
        StoreOp::Subscribed { client_id, .. }
        | StoreOp::Unsubscribed { client_id, .. }
        | StoreOp::RetainedSent { client_id, .. }
        | StoreOp::Sent { client_id, .. }
        | StoreOp::Received { client_id, .. }
        | StoreOp::Completed { client_id, .. }
        | StoreOp::Dropped { client_id, .. }
        | StoreOp::Released { client_id, .. } => {
            if let Some(session) = snapshot.sessions.get_mut(client_id) {
                session.apply(op);
            }
        }
    }
}

fn publish(
    snapshot: &mut Snapshot,
    message: &Arc<MessageRecord>,
    retention: Retention,
    deliveries: &[DeliveryRecord],
) {
    let mut copy = None;
    let mut message = || Arc::clone(copy.get_or_insert_with(|| detached_message(message)));
    for delivery in deliveries {
        if let Some(session) = snapshot.sessions.get_mut(&delivery.client_id) {
            session.queue.insert(delivery.number, QueuedRecord::new(message(), delivery));
        }
    }
    match retention {
        Retention::Untouched => {}
        Retention::Set => {
            let message = message();
            snapshot.retained.insert(message.message.topic.clone(), message);
        }
        Retention::Cleared => {
            snapshot.retained.remove(&message().message.topic);
        }
    }
}

fn settle(snapshot: &mut Snapshot, source: &Source) {
    match source {
        Source::Client { client_id, packet_id } => {
            if let Some(session) = snapshot.sessions.get_mut(client_id) {
                session.received.insert(*packet_id);
            }
        }
        Source::Will { client_id } => {
            if let Some(session) = snapshot.sessions.get_mut(client_id) {
                session.record.will = None;
            }
        }
    }
}

impl KeptSession {
    /// Applies what concerns this session alone.
    fn apply(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Subscribed { filter, options, identifier, retained_up_to, .. } => {
                let earlier = self.subscriptions.remove(filter).and_then(|subscription| subscription.cursor);
                let cursor = retained_up_to.map(|up_to| CursorRecord { up_to, after: None }).or(earlier);
                let subscription = SubscriptionRecord { options: *options, identifier: *identifier, cursor };
                self.subscriptions.insert(filter.detached(), subscription);
            }
            StoreOp::Unsubscribed { filter, .. } => {
                self.subscriptions.remove(filter);
            }
            StoreOp::RetainedSent { filter, up_to, .. } => {
                if let Some(subscription) = self.subscriptions.get_mut(filter) {
                    match (up_to, &mut subscription.cursor) {
                        (Some(topic), Some(cursor)) => cursor.after = Some(topic.detached()),
                        (Some(_), None) => {}
                        (None, cursor) => *cursor = None,
                    }
                }
            }
            StoreOp::Sent { packet_id, from, .. } => self.send(*packet_id, from),
            StoreOp::Received { packet_id, .. } => {
                let sent = self.remove(*packet_id);
                if !matches!(sent, Some(InFlightRecord::Sent(sent)) if sent.qos == QoS::AtLeastOnce) {
                    self.in_flight.push_back((*packet_id, InFlightRecord::Released));
                }
            }
            StoreOp::Completed { packet_id, .. } => {
                self.remove(*packet_id);
            }
            StoreOp::Dropped { delivery, .. } => {
                self.queue.remove(delivery);
            }
            StoreOp::Released { packet_id, .. } => {
                self.received.remove(packet_id);
            }
            _ => {}
        }
    }

    fn send(&mut self, packet_id: PacketId, from: &SentFrom) {
        let sent = match from {
            SentFrom::Queue { delivery } => self.queue.remove(delivery),
            SentFrom::Retained { filter, message, qos, identifier } => {
                let message = detached_message(message);
                if let Some(cursor) =
                    self.subscriptions.get_mut(filter).and_then(|subscription| subscription.cursor.as_mut())
                {
                    cursor.after = Some(message.message.topic.clone());
                }
                let identifiers = identifier.iter().copied().collect();
                Some(QueuedRecord { message, qos: *qos, retain: true, identifiers, group: None })
            }
        };
        if let Some(sent) = sent {
            self.remove(packet_id);
            self.in_flight.push_back((packet_id, InFlightRecord::Sent(sent)));
        }
    }

    fn remove(&mut self, packet_id: PacketId) -> Option<InFlightRecord> {
        // The first to be sent is nearly always the first to be acknowledged.
        let at = self.in_flight.iter().position(|&(id, _)| id == packet_id)?;
        self.in_flight.remove(at).map(|(_, record)| record)
    }

    /// The message of what is not done, which is so from now on.
    fn take(&mut self, pending: Pending) -> Option<Arc<MessageRecord>> {
        let queued = match pending {
            Pending::Queue { delivery } => self.queue.remove(&delivery)?,
            Pending::InFlight { packet_id } => match self.remove(packet_id)? {
                InFlightRecord::Sent(sent) => sent,
                InFlightRecord::Released => return None,
            },
        };
        Some(queued.message)
    }
}

/// Sessions with their subscriptions, then messages in their order with all the sessions they wait for, then what is in
/// flight.
pub(super) fn to_ops(snapshot: &Snapshot) -> impl Iterator<Item = StoreOp> + '_ {
    let sessions = snapshot.sessions.iter().flat_map(|(client_id, session)| session.to_ops(client_id));
    let released =
        snapshot.sessions.iter().flat_map(|(client_id, session)| session.in_flight_to_ops(client_id));
    sessions.chain(published(snapshot)).chain(released)
}

/// All messages, each in one op: retained, waiting, and waiting again of those in flight, which are sent behind it.
fn published(snapshot: &Snapshot) -> impl Iterator<Item = StoreOp> + '_ {
    let mut messages: BTreeMap<(u64, *const MessageRecord), (Retention, Vec<DeliveryRecord>)> =
        BTreeMap::new();
    let mut records: BTreeMap<*const MessageRecord, &Arc<MessageRecord>> = BTreeMap::new();
    let entry = |message: &Arc<MessageRecord>| (message.number, Arc::as_ptr(message));
    for message in snapshot.retained.values() {
        records.insert(Arc::as_ptr(message), message);
        messages.entry(entry(message)).or_default().0 = Retention::Set;
    }
    for (client_id, session) in &snapshot.sessions {
        for (number, queued) in session.all_messages() {
            records.insert(Arc::as_ptr(&queued.message), &queued.message);
            let delivery = DeliveryRecord {
                number,
                client_id: client_id.clone(),
                qos: queued.qos,
                retain: queued.retain,
                identifiers: queued.identifiers.clone(),
                group: queued.group.clone(),
            };
            messages.entry(entry(&queued.message)).or_default().1.push(delivery);
        }
    }
    messages.into_iter().filter_map(move |((_, pointer), (retention, deliveries))| {
        let message = Arc::clone(records.get(&pointer)?);
        Some(StoreOp::Published { source: None, message, retention, deliveries })
    })
}

impl KeptSession {
    fn to_ops<'a>(&'a self, client_id: &'a Str) -> impl Iterator<Item = StoreOp> + 'a {
        let session = StoreOp::Session { client_id: client_id.clone(), session: self.record.clone() };
        let subscribed = self.subscriptions.iter().map(|(filter, subscription)| StoreOp::Subscribed {
            client_id: client_id.clone(),
            filter: filter.clone(),
            options: subscription.options,
            identifier: subscription.identifier,
            retained_up_to: subscription.cursor.as_ref().map(|cursor| cursor.up_to),
        });
        let cursors = self.subscriptions.iter().filter_map(|(filter, subscription)| {
            let up_to = Some(subscription.cursor.as_ref()?.after.clone()?);
            Some(StoreOp::RetainedSent { client_id: client_id.clone(), filter: filter.clone(), up_to })
        });
        let received = self.received.iter().map(|&packet_id| StoreOp::Settled {
            source: Source::Client { client_id: client_id.clone(), packet_id },
        });
        [session].into_iter().chain(subscribed).chain(cursors).chain(received)
    }

    /// What waits, and what is in flight under numbers that nothing has that waits.
    fn all_messages(&self) -> impl Iterator<Item = (u64, &QueuedRecord)> {
        let sent = self.in_flight.iter().filter_map(|(packet_id, record)| match record {
            InFlightRecord::Sent(sent) => Some((in_flight_number(*packet_id), sent)),
            InFlightRecord::Released => None,
        });
        self.queue.iter().map(|(&number, queued)| (number, queued)).chain(sent)
    }

    fn in_flight_to_ops<'a>(&'a self, client_id: &'a Str) -> impl Iterator<Item = StoreOp> + 'a {
        self.in_flight.iter().map(|&(packet_id, ref record)| {
            let client_id = client_id.clone();
            match record {
                InFlightRecord::Released => StoreOp::Received { client_id, packet_id },
                InFlightRecord::Sent(_) => {
                    let from = SentFrom::Queue { delivery: in_flight_number(packet_id) };
                    StoreOp::Sent { client_id, packet_id, from }
                }
            }
        })
    }
}

/// Numbers of deliveries that no broker reaches by counting.
fn in_flight_number(packet_id: PacketId) -> u64 {
    u64::MAX - u64::from(packet_id.get())
}

fn detached_message(record: &MessageRecord) -> Arc<MessageRecord> {
    let MessageRecord { number, message, expires } = record;
    Arc::new(MessageRecord { number: *number, message: message.detached(), expires: *expires })
}

fn detached_session(record: &SessionRecord) -> SessionRecord {
    SessionRecord {
        mount_point: record.mount_point.as_ref().map(Str::detached),
        will: record.will.as_ref().map(Will::detached),
        ..record.clone()
    }
}
