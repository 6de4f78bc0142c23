//! Acknowledgements that the application gives, sent in the order in which the messages came.

use alloc::collections::VecDeque;

use crate::reason::ReasonCode;
use crate::types::{PacketId, QoS};

/// Stands for a received QoS 1 or 2 message that waits to be acknowledged by the application.
///
/// Give it to the connection's `ack`, once, when the message is in safe hands and the session is with the connection.
/// A token of an earlier connection is harmless: the sender will send a QoS 1 message again. Those of a session that
/// has ended must be dropped when another [`Session`](crate::Session) takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken {
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    pub(super) epoch: u32,
}

impl AckToken {
    /// The Packet Identifier of the message.
    pub const fn packet_id(&self) -> PacketId {
        self.packet_id
    }

    /// The QoS of the message.
    pub const fn qos(&self) -> QoS {
        self.qos
    }
}

/// Messages of one QoS that wait for the application, the oldest first. [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    queue: VecDeque<(PacketId, Option<ReasonCode>)>,
}

impl PendingAcks {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, id: PacketId) {
        self.queue.push_back((id, None));
    }

    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.queue.iter().any(|&(pending, _)| pending == id)
    }

    /// Takes the application's answer. Answers that are due can then be popped.
    pub(super) fn answer(&mut self, id: PacketId, reason: ReasonCode) {
        let mut open = self.queue.iter_mut();
        if let Some(entry) = open.find(|(pending, answer)| *pending == id && answer.is_none()) {
            entry.1 = Some(reason);
        }
    }

    /// The next answer that may be sent: all before it have been.
    pub(super) fn pop(&mut self) -> Option<(PacketId, ReasonCode)> {
        let &(id, answer) = self.queue.front()?;
        let reason = answer?;
        self.queue.pop_front();
        if self.queue.is_empty() {
            self.queue.shrink_to(IDLE_CAPACITY);
        }
        Some((id, reason))
    }
}

/// What an empty queue keeps.
const IDLE_CAPACITY: usize = 32;
