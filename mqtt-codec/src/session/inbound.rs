//! QoS 2 messages that were received and are not yet released by their sender.
//!
//! ```text
//!   PUBLISH ──▶ Delivered ──ack()──▶ Accepted ──PUBREL──▶ (forgotten)
//!                  │  │                  │
//!                  │  └──ack(refusal), or PUBREL of a sender that gave it up ──▶ (forgotten)
//!                  └── PUBLISH again: not delivered again, PUBREC again once accepted
//! ```

use alloc::collections::BTreeMap;

use super::token::{AckToken, DeliveryNumber};
use crate::types::PacketId;

/// Where an incoming QoS 2 message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The application has it and has not answered.
    Delivered(DeliveryNumber),
    /// The application took it: PUBREC was or can be sent.
    Accepted,
}

/// An identifier that must not be delivered again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) state: Received,
    /// Whether its PUBLISH came over this connection, and not only over an earlier one.
    pub(crate) is_current: bool,
}

/// The identifiers that must not be delivered again.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    received: BTreeMap<PacketId, Entry>,
}

impl Inbound {
    pub(crate) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The memory that is taken, in bytes, about: the leaves of the tree are not full.
    pub(crate) fn memory(&self) -> usize {
        self.received.len() * 3 / 2 * size_of::<(PacketId, Entry)>()
    }

    /// In ascending order of the identifiers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, Received)> + '_ {
        self.received.iter().map(|(&id, entry)| (id, entry.state))
    }

    pub(crate) fn contains(&self, id: PacketId) -> bool {
        self.received.contains_key(&id)
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Entry> {
        self.received.get_mut(&id)
    }

    /// Returns whether the identifier was free.
    pub(crate) fn insert(&mut self, id: PacketId, entry: Entry) -> bool {
        self.received.insert(id, entry).is_none()
    }

    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Entry> {
        self.received.remove(&id)
    }

    /// The application's answer: one that is refused is forgotten. Returns whether that was still open.
    pub(crate) fn answer(&mut self, token: AckToken, accepted: bool) -> bool {
        let Some(entry) = self.received.get_mut(&token.packet_id) else { return false };
        if entry.state != Received::Delivered(token.delivery) {
            return false;
        }
        if accepted {
            entry.state = Received::Accepted;
        } else {
            self.received.remove(&token.packet_id);
        }
        true
    }

    /// From now on everything came over an earlier connection.
    pub(crate) fn end_connection(&mut self) {
        for entry in self.received.values_mut() {
            entry.is_current = false;
        }
    }
}
