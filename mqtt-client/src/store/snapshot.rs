//! `Snapshot`: what a sequence of ops amounts to.

use super::{StoreOp, StoredMessage};
use mqttkit_codec::{PacketId, Str};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a store holds: the effect of all ops so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    client_id: Option<Str>,
    /// By key, so in the order in which they were accepted.
    queued: BTreeMap<u64, StoredMessage>,
    /// In the order in which they were sent or, from then on, received.
    in_flight: BTreeMap<u64, Sent>,
    /// The place of each in there.
    places: HashMap<u64, u64>,
    incoming: BTreeSet<PacketId>,
    next_place: u64,
    /// Bytes of a record that was not complete, and thrown away.
    cut: u64,
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) key: u64,
    pub(crate) packet_id: PacketId,
    /// None once the server has it.
    pub(crate) message: Option<StoredMessage>,
}

impl Snapshot {
    /// Of a store that is new.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one more op. One about a message that is not there does nothing: it is complete.
    pub fn apply(&mut self, op: StoreOp) {
        match op {
            StoreOp::Session { client_id } => self.client_id = Some(client_id),
            StoreOp::Queued(stored) => {
                self.queued.insert(stored.key, stored);
            }
            StoreOp::Sent { key, packet_id } => {
                if let Some(message) = self.queued.remove(&key) {
                    self.send(Sent { key, packet_id, message: Some(message) });
                }
            }
            StoreOp::Received { key, packet_id } => {
                self.forget(key);
                self.send(Sent { key, packet_id, message: None });
            }
            StoreOp::Completed { key } => self.forget(key),
            StoreOp::IncomingAcknowledged(packet_id) => {
                self.incoming.insert(packet_id);
            }
            StoreOp::IncomingReleased(packet_id) => {
                self.incoming.remove(&packet_id);
            }
            StoreOp::SessionLost => {
                self.incoming.clear();
                self.places.clear();
                let sent = std::mem::take(&mut self.in_flight).into_values();
                self.queued.extend(sent.filter_map(|sent| Some((sent.key, sent.message?))));
            }
        }
    }

    /// A short sequence of ops with the same effect.
    pub fn to_ops(&self) -> impl Iterator<Item = StoreOp> + '_ {
        let session =
            self.client_id.iter().map(|client_id| StoreOp::Session { client_id: client_id.clone() });
        let sent = self.in_flight.values().flat_map(|Sent { key, packet_id, message }| {
            let (key, packet_id) = (*key, *packet_id);
            let (first, second) = match message {
                Some(stored) => (StoreOp::Queued(stored.clone()), Some(StoreOp::Sent { key, packet_id })),
                None => (StoreOp::Received { key, packet_id }, None),
            };
            std::iter::once(first).chain(second)
        });
        let queued = self.queued.values().cloned().map(StoreOp::Queued);
        let incoming = self.incoming.iter().copied().map(StoreOp::IncomingAcknowledged);
        session.chain(sent).chain(queued).chain(incoming)
    }

    /// Says that an incomplete record of so many bytes was thrown away, as a crash in the middle of a write leaves one.
    #[must_use]
    pub fn with_cut(self, bytes: u64) -> Self {
        Self { cut: bytes, ..self }
    }

    /// The client identifier of the session, if there is one.
    pub fn client_id(&self) -> Option<&Str> {
        self.client_id.as_ref()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.queued.len() + self.in_flight.len()
    }

    /// Whether there is nothing to go on with, not even an identifier.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.incoming.is_empty()
    }

    /// The messages that were not sent, in the order in which they were accepted.
    pub fn queued(&self) -> impl Iterator<Item = &StoredMessage> {
        self.queued.values()
    }

    /// The messages that were sent, in their order: the key, the packet identifier, and the message unless the server has
    /// taken it over.
    pub fn in_flight(&self) -> impl Iterator<Item = (u64, PacketId, Option<&StoredMessage>)> {
        self.in_flight.values().map(|sent| (sent.key, sent.packet_id, sent.message.as_ref()))
    }

    /// The QoS 2 messages that were received and are not released.
    pub fn incoming(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.incoming.iter().copied()
    }

    /// The bytes of an incomplete record that was thrown away.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    pub(crate) fn next_key(&self) -> u64 {
        let queued = self.queued.keys().next_back().copied();
        let sent = self.places.keys().max().copied();
        queued.max(sent).map_or(1, |key| key + 1)
    }

    /// Takes it apart: what was sent, in order, and what was not.
    pub(crate) fn into_messages(self) -> (Vec<Sent>, Vec<StoredMessage>) {
        (self.in_flight.into_values().collect(), self.queued.into_values().collect())
    }

    fn send(&mut self, sent: Sent) {
        self.next_place += 1;
        self.places.insert(sent.key, self.next_place);
        self.in_flight.insert(self.next_place, sent);
    }

    fn forget(&mut self, key: u64) {
        self.queued.remove(&key);
        if let Some(place) = self.places.remove(&key) {
            self.in_flight.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::{Message, QoS, TopicName};

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    fn queued(key: u64) -> StoreOp {
        let message = Message::new(TopicName::try_from("t").unwrap(), key.to_string());
        StoreOp::Queued(StoredMessage::new(key, message.with_qos(QoS::ExactlyOnce)))
    }

    fn after(ops: impl IntoIterator<Item = StoreOp>) -> Snapshot {
        let mut snapshot = Snapshot::new();
        ops.into_iter().for_each(|op| snapshot.apply(op));
        snapshot
    }

    fn sent(snapshot: &Snapshot) -> Vec<(u64, bool)> {
        snapshot.in_flight().map(|(key, _, message)| (key, message.is_some())).collect()
    }

    #[test]
    fn messages_go_their_way_and_the_short_form_has_the_same_effect() {
        let ops = [
            StoreOp::Session { client_id: Str::try_from("c").unwrap() },
            queued(1),
            queued(2),
            queued(3),
            queued(4),
            StoreOp::Sent { key: 2, packet_id: id(1) },
            StoreOp::Sent { key: 1, packet_id: id(2) },
            StoreOp::Sent { key: 3, packet_id: id(3) },
            StoreOp::Received { key: 2, packet_id: id(1) },
            StoreOp::Completed { key: 1 },
            StoreOp::Completed { key: 99 },
            StoreOp::Sent { key: 99, packet_id: id(9) },
            StoreOp::IncomingAcknowledged(id(5)),
            StoreOp::IncomingAcknowledged(id(6)),
            StoreOp::IncomingReleased(id(5)),
        ];
        let snapshot = after(ops);
        assert_eq!(sent(&snapshot), [(3, true), (2, false)]);
        assert_eq!(snapshot.queued().map(|stored| stored.key).collect::<Vec<_>>(), [4]);
        assert_eq!(snapshot.incoming().collect::<Vec<_>>(), [id(6)]);
        assert_eq!((snapshot.len(), snapshot.next_key()), (3, 5));
        let short = after(snapshot.to_ops());
        assert_eq!(sent(&short), sent(&snapshot));
        assert!(short.to_ops().eq(snapshot.to_ops()));
        assert_eq!(snapshot.to_ops().count(), 6);

        let mut lost = snapshot;
        lost.apply(StoreOp::SessionLost);
        assert_eq!(lost.queued().map(|stored| stored.key).collect::<Vec<_>>(), [3, 4]);
        assert!(sent(&lost).is_empty() && lost.incoming().next().is_none());
    }
}
