//! The tickets of messages that wait for PUBACK or PUBCOMP, by packet identifier.

use crate::delivery::Delivery;
use crate::outbox::Load;
use crate::ticket::TicketResolver;
use mqttkit_codec::{Instant, PacketId, QoS};

/// What is known of a message that a connection has taken; the message itself is in the codec's session.
#[derive(Debug)]
pub(super) struct Flying {
    pub(super) ticket: TicketResolver,
    pub(super) load: Load,
    pub(super) delivery: Delivery,
    pub(super) expires: Option<Instant>,
    pub(super) qos: QoS,
}

impl Flying {
    /// Whether its PUBLISH was handed to a connection that could send all of it.
    pub(super) fn was_written(&self) -> bool {
        self.ticket.end() != Some(u64::MAX)
    }
}

/// The codec uses low identifiers again, so it stays about as long as there are messages.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Vec<Option<Flying>>,
    len: usize,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, id: PacketId, flying: Flying) {
        let index = index(id);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.len += usize::from(self.slots[index].replace(flying).is_none());
    }

    pub(super) fn get(&self, id: PacketId) -> Option<&Flying> {
        self.slots.get(index(id))?.as_ref()
    }

    pub(super) fn remove(&mut self, id: PacketId) -> Option<Flying> {
        let flying = self.slots.get_mut(index(id))?.take()?;
        self.len -= 1;
        if self.len == 0 && self.slots.len() > IDLE_SLOTS {
            self.slots = Vec::new();
        }
        Some(flying)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flying> {
        self.slots.iter().flatten()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (PacketId, &Flying)> {
        (1..=u16::MAX).zip(&self.slots).filter_map(|(id, slot)| Some((PacketId::new(id)?, slot.as_ref()?)))
    }

    pub(super) fn take_all(&mut self) -> Vec<Flying> {
        self.len = 0;
        std::mem::take(&mut self.slots).into_iter().flatten().collect()
    }
}

fn index(id: PacketId) -> usize {
    usize::from(id.get()) - 1
}

/// Up to so many slots are kept when all of them are free.
const IDLE_SLOTS: usize = 64;
