//! Acknowledgements that the application gives, sent in the order in which the messages came.

use alloc::collections::VecDeque;

use crate::reason::ReasonCode;
use crate::types::PacketId;

/// Messages of one QoS that wait for the application, the oldest first. [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    queue: VecDeque<(PacketId, Option<ReasonCode>)>,
}

impl PendingAcks {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, id: PacketId) {
        self.queue.push_back((id, None));
    }

    /// One that was answered on an earlier connection.
    pub(super) fn push_answered(&mut self, id: PacketId, reason: ReasonCode) {
        self.queue.push_back((id, Some(reason)));
    }

    /// Takes the application's answer. Answers that are due can then be popped.
    pub(super) fn answer(&mut self, id: PacketId, reason: ReasonCode) {
        let mut open = self.queue.iter_mut();
        if let Some(entry) = open.find(|(pending, answer)| *pending == id && answer.is_none()) {
            entry.1 = Some(reason);
        }
    }

    /// Waits no longer for the application's answer.
    pub(super) fn forget(&mut self, id: PacketId) {
        self.queue.retain(|&(pending, answer)| pending != id || answer.is_some());
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
