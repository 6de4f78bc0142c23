//! Acknowledgements that the application gives, sent in the order in which the messages came.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::reason::ReasonCode;
use crate::types::PacketId;

/// Messages of one QoS that wait for the application, the oldest first. [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    /// `None` until there is a message: most connections never have one.
    queue: Option<Box<Queue>>,
}

type Queue = VecDeque<(PacketId, Option<ReasonCode>)>;

impl PendingAcks {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    pub(super) fn push(&mut self, id: PacketId) {
        self.queue.get_or_insert_default().push_back((id, None));
    }

    /// One that was answered on an earlier connection.
    pub(super) fn push_answered(&mut self, id: PacketId, reason: ReasonCode) {
        self.queue.get_or_insert_default().push_back((id, Some(reason)));
    }

    /// Takes the application's answer. Answers that are due can then be popped.
    pub(super) fn answer(&mut self, id: PacketId, reason: ReasonCode) {
        let mut open = self.queue.iter_mut().flat_map(|queue| queue.iter_mut());
        if let Some(entry) = open.find(|(pending, answer)| *pending == id && answer.is_none()) {
            entry.1 = Some(reason);
        }
    }

    /// Waits no longer for the application's answer.
    pub(super) fn forget(&mut self, id: PacketId) {
        if let Some(queue) = &mut self.queue {
            queue.retain(|&(pending, answer)| pending != id || answer.is_some());
        }
    }

    /// The next answer that may be sent: all before it have been.
    pub(super) fn pop(&mut self) -> Option<(PacketId, ReasonCode)> {
        let queue = self.queue.as_mut()?;
        let &(id, answer) = queue.front()?;
        let reason = answer?;
        queue.pop_front();
        if queue.is_empty() {
            queue.shrink_to(IDLE_CAPACITY);
        }
        Some((id, reason))
    }
}

/// What an empty queue keeps.
const IDLE_CAPACITY: usize = 32;
