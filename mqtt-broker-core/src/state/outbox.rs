//! `Outbox`: the bounded queue of messages that wait for one client.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mqttkit_codec::{Instant, Message, QoS};

use super::group::Serial;
use crate::budget::{Budget, MESSAGE, PLACE};
use crate::config::{Config, Overflow};

/// What a message costs in a queue beside its bytes, in the accounting of limits.
const OVERHEAD: usize = 64;

/// A published message, shared by everything it is queued for.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) message: Message,
    /// When its lifetime ends. [MQTT-3.3.2-5]
    pub(super) expires: Option<Instant>,
    /// What it was read into.
    buffer: ReadBuffer,
    /// In how many queues it waits. Changed only under the lock of the state.
    places: AtomicU32,
}

/// A buffer that messages were read into, and that each of them pins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadBuffer {
    /// What tells it from others; 0 is that of a message with memory of its own.
    number: u64,
    size: usize,
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
    /// It is the oldest in its queue that pins its read buffer.
    pub(super) pins: bool,
}

/// How much memory the messages in one queue may pin beyond their own, in bytes. A message that would pin more is copied,
/// which is cheap against a client that is already behind.
const PINNED: usize = 512 << 10;

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
    /// No message before this one is of QoS 0.
    first_qos0: usize,
    /// What the read buffers of those messages that have `pins` are larger than they are.
    pinned: usize,
    budget: Arc<Budget>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// The bytes of a single message, which may be more than that: it fits an empty queue all the same.
    pub(super) alone: usize,
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

impl Room {
    /// What may wait for a client that is not connected.
    pub(super) fn offline(config: &Config) -> Self {
        Self { messages: config.offline_messages, bytes: config.offline_bytes, alone: usize::MAX }
    }

    /// As far as the budget goes.
    pub(super) fn within(self, budget: &Budget, sessions: usize) -> Self {
        let alone = self.alone.min(budget.free());
        Self { bytes: self.bytes.min(budget.queue(sessions)).min(alone), alone, ..self }
    }
}

impl Routed {
    /// One that has just been read.
    pub(super) fn new(message: Message, buffer: ReadBuffer, now: Instant) -> Self {
        let lifetime = message.properties.message_expiry_interval();
        let expires = lifetime.map(|seconds| now + Duration::from_secs(seconds.into()));
        Self { message, expires, buffer, places: AtomicU32::new(0) }
    }

    /// One that has memory of its own.
    pub(super) fn of_its_own(message: Message, expires: Option<Instant>) -> Self {
        Self { message, expires, buffer: ReadBuffer::default(), places: AtomicU32::new(0) }
    }

    /// A copy that can be kept for long.
    pub(super) fn detached(&self) -> Self {
        Self::of_its_own(self.message.detached(), self.expires)
    }

    /// Whether it pins no read buffer.
    pub(super) fn is_detached(&self) -> bool {
        self.buffer.number == 0
    }

    /// What it pins beside itself, in bytes.
    fn pins(&self) -> usize {
        self.buffer.size.saturating_sub(self.cost())
    }

    /// What it counts for in the limits, in bytes.
    pub(super) fn cost(&self) -> usize {
        let Message { topic, payload, properties, .. } = &self.message;
        topic.as_bytes().len() + payload.len() + properties.as_bytes().len() + OVERHEAD
    }

    /// It waits in one more queue. Returns what that adds to the budget's weight: the first place brings the message.
    fn take_place(&self) -> usize {
        let places = self.places.load(Ordering::Relaxed);
        self.places.store(places + 1, Ordering::Relaxed);
        if places == 0 { PLACE + MESSAGE + self.cost() } else { PLACE }
    }

    /// It waits in one queue less.
    fn leave_place(&self) -> usize {
        let places = self.places.load(Ordering::Relaxed) - 1;
        self.places.store(places, Ordering::Relaxed);
        if places == 0 { PLACE + MESSAGE + self.cost() } else { PLACE }
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

/// Whether a message goes with QoS 0 and as it was published, to a client that is told properties or is not.
pub(super) fn goes_as_published(qos: QoS, ids: &Ids, message: &Routed, has_properties: bool) -> bool {
    let as_is = !has_properties || (ids.as_slice().is_empty() && message.expires.is_none());
    as_is && qos == QoS::AtMostOnce
}

impl ReadBuffer {
    /// Another one, of this size in bytes.
    pub(super) fn next(self, size: usize) -> Self {
        Self { number: self.number + 1, size }
    }
}

impl Queued {
    /// Whether it can be written from where it is, but for RETAIN.
    pub(super) fn is_as_published(&self, has_properties: bool) -> bool {
        goes_as_published(self.qos, &self.ids, &self.message, has_properties)
    }

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
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, first_qos0: 0, pinned: 0, budget }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// What waits.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter()
    }

    /// What all that waits takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message may wait here as it is. If not it must be copied, so that it pins no read buffer.
    pub(super) fn may_pin(&self, message: &Routed) -> bool {
        self.pinned == 0 || self.pinned + message.pins() <= PINNED || self.is_pinned(message)
    }

    /// Whether the message that came last pins the same read buffer.
    fn is_pinned(&self, message: &Routed) -> bool {
        self.queue.back().is_some_and(|last| last.message.buffer.number == message.buffer.number)
    }

    /// Counts what a message pins that is about to be queued.
    fn pin(&mut self, queued: &mut Queued) {
        queued.pins = !queued.message.is_detached() && !self.is_pinned(&queued.message);
        if queued.pins {
            self.pinned += queued.message.pins();
        }
    }

    /// The same for a message that was taken from this place. Those of one read buffer stand behind each other.
    fn unpin(&mut self, queued: &Queued, at: usize) {
        if queued.pins {
            self.pinned -= queued.message.pins();
            if let Some(next) = self.queue.get_mut(at)
                && next.message.buffer.number == queued.message.buffer.number
            {
                next.pins = true;
                self.pinned += next.message.pins();
            }
        }
    }

    /// The message that is next.
    pub(super) fn next(&self) -> Option<&Queued> {
        self.queue.front()
    }

    /// The QoS of the message that is next.
    pub(super) fn next_qos(&self) -> Option<QoS> {
        self.queue.front().map(|queued| queued.qos)
    }

    /// Queues a message. `gone` is told what the store knows those by that had to go for it.
    pub(super) fn push(
        &mut self,
        mut queued: Queued,
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
                // What is of QoS 0 no store knows of.
                Overflow::DropOldestQos0 if queued.qos > QoS::AtMostOnce && self.pop_qos0() => {
                    displaced += 1;
                }
                // Also where there is no room even in an empty queue: its limit is zero messages.
                _ => return Pushed::Dropped,
            }
        }
        self.bytes += cost;
        self.budget.wait(0, queued.message.take_place());
        self.pin(&mut queued);
        self.queue.push_back(queued);
        if displaced > 0 { Pushed::Displaced(displaced) } else { Pushed::Queued }
    }

    /// Queues what a store has kept, whatever room there is.
    pub(super) fn restore(&mut self, mut queued: Queued) {
        self.bytes += queued.message.cost();
        self.budget.wait(0, queued.message.take_place());
        self.pin(&mut queued);
        self.queue.push_back(queued);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.bytes -= queued.message.cost();
        self.budget.wait(queued.message.leave_place(), 0);
        self.first_qos0 = self.first_qos0.saturating_sub(1);
        self.unpin(&queued, 0);
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            // A burst is over: an idle client holds little memory.
            self.queue = VecDeque::new();
        }
        Some(queued)
    }

    /// Drops the oldest message of QoS 0. Returns whether there was one.
    fn pop_qos0(&mut self) -> bool {
        let mut rest = self.queue.range(self.first_qos0..);
        let Some(found) = rest.position(|queued| queued.qos == QoS::AtMostOnce) else {
            self.first_qos0 = self.queue.len();
            return false;
        };
        self.first_qos0 += found;
        if let Some(queued) = self.queue.remove(self.first_qos0) {
            self.bytes -= queued.message.cost();
            self.budget.wait(queued.message.leave_place(), 0);
            self.unpin(&queued, self.first_qos0);
        }
        true
    }

    /// Whether half of the room is free again.
    pub(super) fn is_half_empty(&self, room: Room) -> bool {
        self.queue.len() <= room.messages / 2 && self.bytes <= room.bytes / 2
    }

    /// Takes out what came for groups.
    pub(super) fn take_shared(&mut self) -> impl Iterator<Item = Queued> {
        let (shared, own): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|queued| queued.group != 0);
        self.first_qos0 = 0;
        self.pinned = 0;
        for mut queued in own {
            self.pin(&mut queued);
            self.queue.push_back(queued);
        }
        for queued in &shared {
            self.bytes -= queued.message.cost();
            self.budget.wait(queued.message.leave_place(), 0);
        }
        shared.into_iter()
    }

    /// The client is gone for now: keeps what a session keeps, detached from the read buffers it came in.
    /// Returns how many messages of QoS 1 and 2 had no room.
    pub(super) fn go_offline(&mut self, room: Room, keep_qos0: bool, mut gone: impl FnMut(u64)) -> u64 {
        let mut dropped = 0;
        let mut before = std::mem::replace(self, Self::new(Arc::clone(&self.budget)));
        while let Some(mut queued) = before.pop() {
            if queued.qos == QoS::AtMostOnce && !keep_qos0 {
                continue;
            }
            if !queued.message.is_detached() {
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
    pub(super) fn has_room(&self, cost: usize, room: Room) -> bool {
        let fits = self.bytes + cost <= room.bytes || (self.queue.is_empty() && cost <= room.alone);
        fits && self.queue.len() < room.messages
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        while self.pop().is_some() {}
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
        let message = Arc::new(Routed::new(message, ReadBuffer::default().next(0), Instant::ZERO));
        Queued { message, ids: Ids::None, qos, retain: false, group: 0, number: 0, pins: false }
    }

    fn payloads(mut outbox: Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop())
            .map(|queued| String::from_utf8(queued.message.message.payload.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn each_policy_bounds_the_queue_in_its_way() {
        let room = Room { messages: 2, bytes: usize::MAX, alone: usize::MAX };
        for (overflow, last, left) in [
            (Overflow::DropNewest, Pushed::Dropped, ["a", "b"]),
            (Overflow::DropOldest, Pushed::Displaced(1), ["b", "c"]),
            (Overflow::DropOldestQos0, Pushed::Displaced(1), ["a", "c"]),
            (Overflow::Refuse, Pushed::Dropped, ["a", "b"]),
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
    fn the_oldest_of_qos_0_is_found_wherever_it_is() {
        let room = Room { messages: 6, bytes: usize::MAX, alone: usize::MAX };
        let mut outbox = Outbox::default();
        let mut push =
            |payload: &str, qos| outbox.push(queued(payload, qos), room, Overflow::DropOldestQos0, |_| {});
        for (payload, qos) in [("1", 1), ("a", 0), ("2", 1), ("b", 0), ("3", 1), ("c", 0)] {
            let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            assert_eq!(push(payload, qos), Pushed::Queued);
        }
        assert_eq!(push("4", QoS::AtLeastOnce), Pushed::Displaced(1));
        assert_eq!(push("5", QoS::AtLeastOnce), Pushed::Displaced(1));
        outbox.pop();
        let mut push =
            |payload: &str, qos| outbox.push(queued(payload, qos), room, Overflow::DropOldestQos0, |_| {});
        assert_eq!(push("d", QoS::AtMostOnce), Pushed::Queued);
        assert_eq!(push("6", QoS::AtLeastOnce), Pushed::Displaced(1));
        assert_eq!(push("7", QoS::AtLeastOnce), Pushed::Displaced(1));
        assert_eq!(push("8", QoS::AtLeastOnce), Pushed::Dropped);
        assert_eq!(payloads(outbox), ["2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn bytes_are_bounded_but_one_message_always_fits() {
        let room = Room { messages: 10, bytes: 100, alone: usize::MAX };
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
    fn a_message_weighs_once_however_many_wait_for_it() {
        let budget = Arc::new(Budget::new(1 << 20));
        let room = Room { messages: 10, bytes: usize::MAX, alone: usize::MAX };
        let mut outboxes: Vec<Outbox> = (0..3).map(|_| Outbox::new(Arc::clone(&budget))).collect();
        let message = queued(&"x".repeat(1_000), QoS::AtLeastOnce).message;
        let weight = message.cost() + MESSAGE;
        for (number, outbox) in outboxes.iter_mut().enumerate() {
            for group in 0..2 {
                let queued = Queued {
                    message: Arc::clone(&message),
                    ids: Ids::None,
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    group,
                    number: 0,
                    pins: false,
                };
                outbox.push(queued, room, Overflow::DropNewest, |_| {});
            }
            assert_eq!(budget.used(), weight + (number + 1) * 2 * PLACE);
        }
        outboxes[0].pop();
        assert_eq!(budget.used(), weight + 5 * PLACE);
        assert_eq!(outboxes[1].take_shared().count(), 1);
        assert_eq!(budget.used(), weight + 4 * PLACE);
        outboxes[2].go_offline(Room { messages: 1, ..room }, false, |_| {});
        assert_eq!(budget.used(), 2 * weight + 3 * PLACE, "it has a copy of its own");
        outboxes.clear();
        assert_eq!(budget.used(), 0);
    }

    /// However many messages each of them is full of, and whichever of those go first.
    #[test]
    fn messages_that_wait_pin_few_read_buffers() {
        const MOST: usize = 4;
        let room = Room { messages: 1_000, bytes: usize::MAX, alone: usize::MAX };
        let mut outbox = Outbox::default();
        let pinned = |outbox: &Outbox| {
            let mut buffers: Vec<_> = outbox.iter().map(|queued| queued.message.buffer.number).collect();
            buffers.retain(|&number| number > 0);
            buffers.dedup();
            assert_eq!(outbox.pinned == 0, buffers.is_empty());
            assert_eq!(outbox.pinned.div_ceil(PINNED / MOST), buffers.len());
            buffers.len()
        };
        let mut buffer = ReadBuffer::default();
        for number in 1..=20 {
            buffer = buffer.next(PINNED / MOST);
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
                let message = Message::new(TopicName::try_from("t").unwrap(), "x").with_qos(qos);
                let fresh = Arc::new(Routed::new(message, buffer, Instant::ZERO));
                let message = if outbox.may_pin(&fresh) { fresh } else { Arc::new(fresh.detached()) };
                let queued =
                    Queued { message, ids: Ids::None, qos, retain: false, group: 0, number: 0, pins: false };
                outbox.push(queued, room, Overflow::DropOldestQos0, |_| {});
            }
            assert_eq!(pinned(&outbox), MOST.min(number));
        }
        assert_eq!(outbox.iter().filter(|queued| !queued.message.is_detached()).count(), 3 * MOST);
        while outbox.pop_qos0() {
            assert_eq!(pinned(&outbox), MOST, "one of QoS 1 is left of each");
        }
        for left in (0..20).rev() {
            outbox.pop();
            assert_eq!(pinned(&outbox), (left + MOST).saturating_sub(20));
        }
    }

    #[test]
    fn a_message_that_is_too_much_alone_is_dropped() {
        let room = Room { messages: 10, bytes: 100, alone: 500 };
        let mut outbox = Outbox::default();
        for (size, pushed) in [(1_000, Pushed::Dropped), (300, Pushed::Queued)] {
            let queued = queued(&"x".repeat(size), QoS::AtLeastOnce);
            assert_eq!(outbox.push(queued, room, Overflow::DropOldest, |_| {}), pushed);
        }
    }

    #[test]
    fn a_queue_without_room_at_all_does_not_spin() {
        let room = Room { messages: 0, bytes: 0, alone: usize::MAX };
        let mut outbox = Outbox::default();
        let pushed = outbox.push(queued("a", QoS::AtLeastOnce), room, Overflow::DropOldest, |_| {});
        assert_eq!(pushed, Pushed::Dropped);
    }
}
