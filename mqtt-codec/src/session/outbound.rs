//! Messages and requests of ours that wait for their acknowledgement, and the Packet Identifiers they hold.
//!
//! ```text
//!   QoS 1:  Publish ──PUBACK──▶ (free)
//!   QoS 2:  Publish ──PUBREC──▶ Release ──PUBCOMP──▶ (free)
//!              └──given up, PUBREL──▶┘
//! ```
//!
//! A slab: the identifier is the index plus one, so every step takes constant time and two things in flight
//! can never have the same identifier.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use crate::packet::Publish;
use crate::types::{PacketId, PacketType};

/// What an identifier stands for.
#[derive(Debug)]
pub(crate) enum InFlight {
    /// Sent, or to be sent again on resume; waits for PUBACK or PUBREC.
    Publish(Publish),
    /// A QoS 2 message that was received, or given up; its identifier waits for PUBCOMP.
    Release {
        /// Whether the application knows its end already: it was given up.
        told: bool,
    },
    /// A SUBSCRIBE or UNSUBSCRIBE. It does not outlive its connection.
    Request {
        /// What answers it.
        answer: PacketType,
        /// How many filters it has.
        filters: usize,
    },
}

#[derive(Debug)]
struct Slot {
    /// When it was first sent or released, relative to the others. 0 for a free slot.
    order: u64,
    /// Whether it takes from the send quota of this connection.
    counted: bool,
    entry: Option<InFlight>,
}

/// What is in flight. Most connections never have anything, and hold no table for it.
#[derive(Debug, Default)]
pub(crate) struct Outbound(Option<Box<Table>>);

#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    /// Free slots, the longest free first, so that an identifier rests before it is used again.
    free: VecDeque<u16>,
    messages: usize,
    /// What those messages are long, in bytes.
    bytes: usize,
    next_order: u64,
    /// How many slots there were when the last of them became free, as there may soon be again.
    expected: u16,
}

impl InFlight {
    /// Topic, payload and properties, in bytes.
    fn len(&self) -> usize {
        match self {
            Self::Publish(Publish { topic, payload, properties, .. }) => {
                topic.as_bytes().len() + payload.len() + properties.as_bytes().len()
            }
            Self::Release { .. } | Self::Request { .. } => 0,
        }
    }
}

impl Deref for Outbound {
    type Target = Table;

    fn deref(&self) -> &Table {
        static NOTHING: Table = Table::new();
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Outbound {
    fn deref_mut(&mut self) -> &mut Table {
        self.0.get_or_insert_with(|| Box::new(Table::new()))
    }
}

impl Outbound {
    /// Brings back messages in the order they were first sent. Fails with an identifier that stands twice.
    pub(crate) fn restore(messages: Vec<(PacketId, InFlight)>) -> Result<Self, PacketId> {
        let len = messages.iter().map(|(id, _)| index(*id) + 1).max().unwrap_or(0);
        if messages.is_empty() {
            return Ok(Self::default());
        }
        let mut outbound = Table { messages: messages.len(), ..Table::new() };
        outbound.slots.resize_with(len, || Slot { order: 0, counted: false, entry: None });
        for (id, entry) in messages {
            let slot = &mut outbound.slots[index(id)];
            if slot.entry.is_some() {
                return Err(id);
            }
            outbound.next_order += 1;
            outbound.bytes += entry.len();
            *slot = Slot { order: outbound.next_order, counted: false, entry: Some(entry) };
        }
        let free = (0..u16::MAX).zip(&outbound.slots).filter(|(_, slot)| slot.entry.is_none());
        outbound.free = free.map(|(index, _)| index).collect();
        Ok(Self(Some(Box::new(outbound))))
    }

    /// Forgets what belonged to the connection that ended: requests, and the quota.
    pub(crate) fn end_connection(&mut self) {
        if let Some(table) = &mut self.0 {
            table.end_connection();
        }
    }
}

impl Table {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: VecDeque::new(), messages: 0, bytes: 0, next_order: 0, expected: 0 }
    }

    /// How many messages are in flight.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// What they are long, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory that is taken, in bytes, about.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.slots.capacity() * size_of::<Slot>()
    }

    /// The identifier that [`insert`](Self::insert) will use, or `None` if all are in use.
    pub(crate) fn next_id(&self) -> Option<PacketId> {
        if self.reuses() {
            return PacketId::new(self.free.front()? + 1);
        }
        PacketId::new(u16::try_from(self.slots.len() + 1).ok()?)
    }

    /// Whether the next identifier is one that was used before.
    fn reuses(&self) -> bool {
        self.free.len() > REST || self.slots.len() == usize::from(u16::MAX)
    }

    /// Puts an entry under [`next_id`](Self::next_id); does nothing when there is none.
    pub(crate) fn insert(&mut self, entry: InFlight, counted: bool) {
        let Some(id) = self.next_id() else { return };
        if !matches!(entry, InFlight::Request { .. }) {
            self.messages += 1;
        }
        self.next_order += 1;
        self.bytes += entry.len();
        let slot = Slot { order: self.next_order, counted, entry: Some(entry) };
        if self.reuses() {
            self.free.pop_front();
            self.slots[index(id)] = slot;
        } else {
            if self.slots.capacity() == 0 {
                self.slots.reserve_exact(self.expected.into());
            }
            self.slots.push(slot);
        }
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<&InFlight> {
        self.slots.get(index(id))?.entry.as_ref()
    }

    /// Replaces an entry that is there. It goes behind all others in their order. [MQTT-4.6.0-4]
    pub(crate) fn replace(&mut self, id: PacketId, entry: InFlight) {
        if let Some(slot) = self.slots.get_mut(index(id)).filter(|slot| slot.entry.is_some()) {
            self.next_order += 1;
            slot.order = self.next_order;
            self.bytes += entry.len();
            let old = slot.entry.replace(entry);
            self.bytes -= old.map_or(0, |old| old.len());
        }
    }

    /// Marks an entry as taking from the send quota.
    pub(crate) fn count(&mut self, id: PacketId) {
        if let Some(slot) = self.slots.get_mut(index(id)) {
            slot.counted = true;
        }
    }

    /// Frees an identifier. Returns what it stood for and whether that took from the send quota.
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<(InFlight, bool)> {
        let slot = self.slots.get_mut(index(id))?;
        let entry = slot.entry.take()?;
        self.bytes -= entry.len();
        let counted = core::mem::take(&mut slot.counted);
        if !matches!(entry, InFlight::Request { .. }) {
            self.messages -= 1;
        }
        if self.free.capacity() == 0 {
            self.free.reserve_exact(self.slots.len());
        }
        self.free.push_back(id.get() - 1);
        if self.free.len() == self.slots.len() && self.slots.capacity() > IDLE_SLOTS {
            // All is acknowledged: an idle session keeps little memory.
            self.expected = self.slots.len() as u16;
            self.slots = Vec::new();
            self.free = VecDeque::new();
        }
        Some((entry, counted))
    }

    fn end_connection(&mut self) {
        let requests: Vec<PacketId> = self
            .ids()
            .filter(|&(_, slot)| matches!(slot.entry, Some(InFlight::Request { .. })))
            .map(|(id, _)| id)
            .collect();
        for id in requests {
            self.remove(id);
        }
        for slot in &mut self.slots {
            slot.counted = false;
        }
    }

    /// The messages in flight in the order they were first sent or, from then on, released. [MQTT-4.6.0-1]
    pub(crate) fn in_order(&self) -> VecDeque<PacketId> {
        let mut ids: Vec<(u64, PacketId)> = self
            .ids()
            .filter(|(_, slot)| matches!(slot.entry, Some(InFlight::Publish(_) | InFlight::Release { .. })))
            .map(|(id, slot)| (slot.order, id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    fn ids(&self) -> impl Iterator<Item = (PacketId, &Slot)> {
        (1..=u16::MAX).zip(&self.slots).filter_map(|(id, slot)| Some((PacketId::new(id)?, slot)))
    }
}

/// How many identifiers rest, unless all others are in use: a peer that acknowledges twice then meets none.
const REST: usize = 16;

/// A session with up to this many slots keeps them when all of them are free.
const IDLE_SLOTS: usize = 64;

const fn index(id: PacketId) -> usize {
    id.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_never_collide_and_rest_before_reuse() {
        let mut outbound = Outbound::default();
        let take = |outbound: &mut Outbound| {
            let id = outbound.next_id();
            outbound.insert(InFlight::Request { answer: PacketType::SubAck, filters: 1 }, false);
            id.map(PacketId::get)
        };
        assert_eq!(take(&mut outbound), Some(1));
        assert_eq!(take(&mut outbound), Some(2));
        assert_eq!(take(&mut outbound), Some(3));
        outbound.remove(PacketId::new(2).unwrap());
        outbound.remove(PacketId::new(1).unwrap());
        for id in (4..=u16::MAX).chain([2, 1]) {
            assert_eq!(take(&mut outbound), Some(id));
        }
        assert_eq!(take(&mut outbound), None, "all are in use");
        outbound.remove(PacketId::new(777).unwrap());
        assert_eq!(take(&mut outbound), Some(777));
        assert!(outbound.remove(PacketId::new(777).unwrap()).is_some());
        assert!(outbound.remove(PacketId::new(777).unwrap()).is_none(), "freed once only");
    }
}
