//! QoS 2 messages that were received and are not yet released by their sender.
//!
//! ```text
//!   PUBLISH ──▶ Delivered ──ack()──▶ Accepted ──PUBREL──▶ (forgotten)
//!                  │                     │
//!                  └── PUBLISH again: not delivered again, PUBREC again once accepted
//! ```

use alloc::collections::BTreeMap;

use crate::types::PacketId;

/// Where an incoming QoS 2 message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The application has it and has not answered.
    Delivered,
    /// The application took it: PUBREC was or can be sent.
    Accepted,
}

/// The identifiers that must not be delivered again.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    received: BTreeMap<PacketId, Received>,
}

impl Inbound {
    pub(crate) fn len(&self) -> usize {
        self.received.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// In ascending order of the identifiers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, Received)> + '_ {
        self.received.iter().map(|(&id, &state)| (id, state))
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<Received> {
        self.received.get(&id).copied()
    }

    pub(crate) fn set(&mut self, id: PacketId, state: Received) {
        self.received.insert(id, state);
    }

    /// Returns whether it was there.
    pub(crate) fn remove(&mut self, id: PacketId) -> bool {
        self.received.remove(&id).is_some()
    }
}
