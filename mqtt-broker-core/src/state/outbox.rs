//! `Outbox`: the bounded queue of messages that wait for one client.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::{Instant, Message, QoS};

use super::group::Serial;
use crate::config::Overflow;

/// What a message costs in a queue beside its bytes, in the accounting of limits.
const OVERHEAD: usize = 64;

/// A published message, shared by everything it is queued for.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) message: Message,
    /// When its lifetime ends. [MQTT-3.3.2-5]
    pub(super) expires: Option<Instant>,
    /// Whether it has memory of its own and pins no read buffer.
    detached: bool,
}

/// One message for one client.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Arc<Routed>,
    pub(super) ids: Ids,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// The group that it is for, or 0.
    pub(super) group: Serial,
    /// What the store knows it by, or 0.
    pub(super) number: u64,
}

/// The identifiers of the subscriptions that a delivery is for. Most have none, and nearly all of the rest one.
#[derive(Clone, Debug, Default)]
pub(super) enum Ids {
    #[default]
    None,
    One(NonZeroU32),
    Many(Box<[NonZeroU32]>),
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Queued>,
    bytes: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// What became of a message that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// It was dropped for lack of room.
    Dropped,
    /// It waits, and this many older ones were dropped for it.
    Displaced(u64),
    /// There is no room, and the policy is to disconnect.
    Overrun,
}

impl Routed {
    pub(super) fn new(message: Message, now: Instant) -> Self {
        let lifetime = message.properties.message_expiry_interval();
        let expires = lifetime.map(|seconds| now + Duration::from_secs(seconds.into()));
        Self::expiring(message, expires)
    }

    pub(super) fn expiring(message: Message, expires: Option<Instant>) -> Self {
        Self { message, expires, detached: false }
    }

    /// One that a store has kept.
    pub(super) fn restored(message: Message, expires: Option<Instant>) -> Self {
        Self { message, expires, detached: true }
    }

    /// A copy that can be kept for long.
    pub(super) fn detached(&self) -> Self {
        Self { message: self.message.detached(), expires: self.expires, detached: true }
    }

    /// What it counts for in the limits, in bytes.
    pub(super) fn cost(&self) -> usize {
        let Message { topic, payload, properties, .. } = &self.message;
        topic.as_bytes().len() + payload.len() + properties.as_bytes().len() + OVERHEAD
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The properties that the message has now: its lifetime less the time it waited. [MQTT-3.3.2-6]
    fn age(&self, message: &mut Message, now: Instant) {
        let Some(expires) = self.expires else { return };
        let left = expires - now;
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        if message.properties.message_expiry_interval() != Some(seconds) {
            message.properties =
                std::mem::take(&mut message.properties).with_message_expiry_interval(seconds);
        }
    }
}

impl Queued {
    /// The message as the client gets it; `None` if its lifetime is over.
    pub(super) fn into_message(self, now: Instant) -> Option<Message> {
        if self.message.is_expired(now) {
            return None;
        }
        Some(self.into_sent(now))
    }

    /// The same of one that was sent already, whose lifetime does not matter any more.
    pub(super) fn into_sent(self, now: Instant) -> Message {
        let mut message = self.message.message.clone();
        self.message.age(&mut message, now);
        message.qos = self.qos;
        message.retain = self.retain;
        for &id in self.ids.as_slice() {
            message.properties = message.properties.with_subscription_identifier(id);
        }
        message
    }
}

impl Ids {
    pub(super) fn new(id: Option<NonZeroU32>) -> Self {
        id.map_or(Self::None, Self::One)
    }

    pub(super) fn add(&mut self, id: Option<NonZeroU32>) {
        let Some(id) = id else { return };
        *self = match self.as_slice() {
            [] => Self::One(id),
            more => Self::Many(more.iter().copied().chain([id]).collect()),
        };
    }

    /// The only one, of a delivery for one subscription.
    pub(super) fn first(&self) -> Option<NonZeroU32> {
        self.as_slice().first().copied()
    }

    pub(super) fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter()
    }

    /// The QoS of the message that is next.
    pub(super) fn next_qos(&self) -> Option<QoS> {
        self.queue.front().map(|queued| queued.qos)
    }

    /// Queues a message. `gone` is told what the store knows those by that had to go for it.
    pub(super) fn push(
        &mut self,
        queued: Queued,
        room: Room,
        overflow: Overflow,
        mut gone: impl FnMut(u64),
    ) -> Pushed {
        let cost = queued.message.cost();
        let mut displaced = 0;
        while !self.has_room(cost, room) {
            match overflow {
                Overflow::Disconnect if queued.qos > QoS::AtMostOnce => return Pushed::Overrun,
                Overflow::DropOldest if queued.qos > QoS::AtMostOnce => match self.pop() {
                    Some(oldest) => {
                        displaced += 1;
                        gone(oldest.number);
                    }
                    None => return Pushed::Dropped,
                },
                // Also where there is no room even in an empty queue: its limit is zero messages.
                _ => return Pushed::Dropped,
            }
        }
        self.bytes += cost;
        self.queue.push_back(queued);
        if displaced > 0 { Pushed::Displaced(displaced) } else { Pushed::Queued }
    }

    /// Queues what a store has kept, whatever room there is.
    pub(super) fn restore(&mut self, queued: Queued) {
        self.bytes += queued.message.cost();
        self.queue.push_back(queued);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.bytes -= queued.message.cost();
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            // A burst is over: an idle client holds little memory.
            self.queue = VecDeque::new();
        }
        Some(queued)
    }

    /// Takes out what came for groups.
    pub(super) fn take_shared(&mut self) -> impl Iterator<Item = Queued> {
        let (shared, own): (VecDeque<_>, _) =
            std::mem::take(&mut self.queue).into_iter().partition(|queued| queued.group != 0);
        self.queue = own;
        self.bytes -= shared.iter().map(|queued| queued.message.cost()).sum::<usize>();
        shared.into_iter()
    }

    /// The client is gone for now: keeps what a session keeps, detached from the read buffers it came in.
    /// Returns how many messages of QoS 1 and 2 had no room.
    pub(super) fn go_offline(&mut self, room: Room, keep_qos0: bool, mut gone: impl FnMut(u64)) -> u64 {
        let mut dropped = 0;
        let queue = std::mem::take(self).queue;
        for mut queued in queue {
            if queued.qos == QoS::AtMostOnce && !keep_qos0 {
                continue;
            }
            if !queued.message.detached {
                queued.message = Arc::new(queued.message.detached());
            }
            let (counts, number) = (queued.qos > QoS::AtMostOnce, queued.number);
            if self.push(queued, room, Overflow::DropNewest, |_| {}) == Pushed::Dropped && counts {
                dropped += 1;
                gone(number);
            }
        }
        dropped
    }

    /// A single message always fits an empty queue, so that every message that was taken can be delivered.
    fn has_room(&self, cost: usize, room: Room) -> bool {
        self.queue.len() < room.messages && (self.queue.is_empty() || self.bytes + cost <= room.bytes)
    }
}

/// Slots that an empty queue keeps for the next messages.
const KEPT_CAPACITY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::TopicName;

    fn queued(payload: &str, qos: QoS) -> Queued {
        let message = Message::new(TopicName::try_from("t").unwrap(), payload.to_owned()).with_qos(qos);
        let message = Arc::new(Routed::new(message, Instant::ZERO));
        Queued { message, ids: Ids::None, qos, retain: false, group: 0, number: 0 }
    }

    fn payloads(mut outbox: Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop())
            .map(|queued| String::from_utf8(queued.message.message.payload.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn each_policy_bounds_the_queue_in_its_way() {
        let room = Room { messages: 2, bytes: usize::MAX };
        for (overflow, last, left) in [
            (Overflow::DropNewest, Pushed::Dropped, ["a", "b"]),
            (Overflow::DropOldest, Pushed::Displaced(1), ["b", "c"]),
            (Overflow::Disconnect, Pushed::Overrun, ["a", "b"]),
        ] {
            let mut outbox = Outbox::default();
            assert_eq!(outbox.push(queued("a", QoS::AtLeastOnce), room, overflow, |_| {}), Pushed::Queued);
            assert_eq!(outbox.push(queued("b", QoS::AtMostOnce), room, overflow, |_| {}), Pushed::Queued);
            assert_eq!(outbox.push(queued("x", QoS::AtMostOnce), room, overflow, |_| {}), Pushed::Dropped);
            assert_eq!(outbox.push(queued("c", QoS::ExactlyOnce), room, overflow, |_| {}), last);
            assert_eq!(payloads(outbox), left);
        }
    }

    #[test]
    fn bytes_are_bounded_but_one_message_always_fits() {
        let room = Room { messages: 10, bytes: 100 };
        let mut outbox = Outbox::default();
        let large = "x".repeat(1000);
        assert_eq!(
            outbox.push(queued(&large, QoS::AtLeastOnce), room, Overflow::DropNewest, |_| {}),
            Pushed::Queued
        );
        assert_eq!(
            outbox.push(queued("a", QoS::AtLeastOnce), room, Overflow::DropNewest, |_| {}),
            Pushed::Dropped
        );
        outbox.pop();
        assert_eq!(outbox.bytes, 0);
        assert_eq!(
            outbox.push(queued("a", QoS::AtLeastOnce), room, Overflow::DropNewest, |_| {}),
            Pushed::Queued
        );
    }

    #[test]
    fn a_queue_without_room_at_all_does_not_spin() {
        let room = Room { messages: 0, bytes: 0 };
        let mut outbox = Outbox::default();
        let pushed = outbox.push(queued("a", QoS::AtLeastOnce), room, Overflow::DropOldest, |_| {});
        assert_eq!(pushed, Pushed::Dropped);
    }
}
