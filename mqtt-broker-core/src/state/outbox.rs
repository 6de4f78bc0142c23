//! `Outbox`: the bounded queue of messages that wait for one client.

mod queued;
mod run;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use mqttkit_codec::QoS;

pub(super) use self::queued::{Ids, Queued, ReadBuffer, Routed, cost_of, goes_as_published};
pub(super) use self::run::Run;

use self::queued::OVERHEAD;
use crate::budget::Budget;
use crate::config::{Config, Overflow};

/// How much memory the messages in one queue may pin beyond their own, in bytes. A message that would pin more is copied,
/// which is cheap against a client that is already behind.
const PINNED: u32 = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Item>,
    bytes: usize,
    messages: u32,
    /// How much is encoded, of the bytes.
    encoded: u32,
    /// Nothing before this item is of QoS 0.
    first_qos0: u32,
    /// What the read buffers of those messages that have `pins` are larger than they are, in bytes.
    pinned: u32,
    budget: Arc<Budget>,
}

/// What waits: a message, or several of QoS 0 as the bytes that will be sent.
#[derive(Debug)]
pub(super) enum Item {
    One(Queued),
    Run(Run),
}

/// As long as less than this waits in encoded form, small messages are encoded when they are queued, in bytes: a client that
/// keeps up is given them with one copy. One that does not shares the others with everybody they are for.
const ENCODED: u32 = 128 << 10;

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
        let (queue, free) = budget.queue(sessions);
        let alone = self.alone.min(free);
        Self { bytes: self.bytes.min(queue).min(alone), alone, ..self }
    }
}

impl Outbox {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, messages: 0, encoded: 0, first_qos0: 0, pinned: 0, budget }
    }

    /// The messages that wait.
    pub(super) fn len(&self) -> usize {
        self.messages as usize
    }

    /// What waits and is not encoded.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter().filter_map(|item| match item {
            Item::One(queued) => Some(queued),
            Item::Run(_) => None,
        })
    }

    /// What waits and is encoded weighs, in bytes.
    #[cfg(test)]
    pub(super) fn runs(&self) -> impl Iterator<Item = usize> {
        self.queue.iter().filter_map(|item| match item {
            Item::One(_) => None,
            Item::Run(run) => Some(run.weight()),
        })
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
        let last = self.queue.back().and_then(Item::queued);
        last.is_some_and(|last| last.message.buffer.number == message.buffer.number)
    }

    /// Counts what a message pins that is about to be queued.
    fn pin(&mut self, queued: &mut Queued) {
        queued.pins = !queued.message.is_detached() && !self.is_pinned(&queued.message);
        if queued.pins {
            self.pinned += queued.message.pins();
        }
    }

    /// The same for a message that was taken from this place. Those of one read buffer stand behind each other, but for
    /// what is encoded between them, which makes them count once more.
    fn unpin(&mut self, queued: &Queued, at: usize) {
        if queued.pins {
            self.pinned -= queued.message.pins();
            if let Some(Item::One(next)) = self.queue.get_mut(at)
                && next.message.buffer.number == queued.message.buffer.number
                && !next.pins
            {
                next.pins = true;
                self.pinned += next.message.pins();
            }
        }
    }

    /// What is next.
    pub(super) fn next(&self) -> Option<&Item> {
        self.queue.front()
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
                Overflow::DropOldest if queued.qos > QoS::AtMostOnce => match self.drop_first() {
                    Some(number) => {
                        displaced += 1;
                        gone(number);
                    }
                    None => return Pushed::Dropped,
                },
                // What is of QoS 0 no store knows of.
                Overflow::DropOldestQos0 if queued.qos > QoS::AtMostOnce && self.drop_first_qos0() => {
                    displaced += 1;
                }
                // Also where there is no room even in an empty queue: its limit is zero messages.
                _ => return Pushed::Dropped,
            }
        }
        self.restore(queued);
        if displaced > 0 { Pushed::Displaced(displaced) } else { Pushed::Queued }
    }

    /// Queues what a store has kept, whatever room there is.
    pub(super) fn restore(&mut self, queued: Queued) {
        self.enter(Item::One(queued));
    }

    /// Puts it behind all others. What it counts for it counts until it [`leaves`](Self::leaves).
    fn enter(&mut self, mut item: Item) {
        match &mut item {
            Item::One(queued) => {
                self.messages += 1;
                self.bytes += queued.message.cost();
                self.budget.wait(0, queued.message.take_place());
                self.pin(queued);
            }
            Item::Run(run) => {
                self.messages += run.messages() as u32;
                self.bytes += run.cost();
                self.encoded += run.packets().len() as u32;
                self.budget.wait(0, run.weight());
            }
        }
        self.queue.push_back(item);
    }

    /// Queues a message of QoS 0 as the packet that will be sent, which has at most `most` bytes. Returns whether it did: not
    /// if nothing is written, if there is no room, or if so much waits like that already that it may as well be shared with
    /// others.
    pub(super) fn push_encoded(
        &mut self,
        most: usize,
        room: Room,
        write: impl FnOnce(&mut BytesMut),
    ) -> bool {
        if self.encoded >= ENCODED || !self.has_room(most + OVERHEAD, room) {
            return false;
        }
        let len = if let Some(Item::Run(run)) = self.queue.back_mut() {
            let before = run.weight();
            let len = run.push(write);
            if len > 0 {
                self.budget.wait(0, run.weight() - before);
                self.messages += 1;
                self.bytes += len + OVERHEAD;
                self.encoded += len as u32;
            }
            len
        } else {
            let mut run = Run::new();
            let len = run.push(write);
            if len > 0 {
                self.enter(Item::Run(run));
            }
            len
        };
        debug_assert!(len <= most, "{len} of {most}");
        len > 0
    }

    /// Takes what is next, however much that is.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.first_qos0 = self.first_qos0.saturating_sub(1);
        self.leaves(&item, 0);
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            // A burst is over: an idle client holds little memory.
            self.queue = VecDeque::new();
        }
        Some(item)
    }

    /// This was taken from that place.
    fn leaves(&mut self, item: &Item, at: usize) {
        match item {
            Item::One(queued) => {
                self.messages -= 1;
                self.bytes -= queued.message.cost();
                self.budget.wait(queued.message.leave_place(), 0);
                self.unpin(queued, at);
            }
            Item::Run(run) => {
                self.messages -= run.messages() as u32;
                self.bytes -= run.cost();
                self.encoded -= run.packets().len() as u32;
                self.budget.wait(run.weight(), 0);
            }
        }
    }

    /// Drops the oldest message. Returns what the store knows it by.
    fn drop_first(&mut self) -> Option<u64> {
        if self.drop_of_run(0) {
            return Some(0);
        }
        Some(self.pop()?.queued().map_or(0, |queued| queued.number))
    }

    /// Drops the oldest message of QoS 0. Returns whether there was one.
    fn drop_first_qos0(&mut self) -> bool {
        let before = self.first_qos0 as usize;
        let Some(found) = self.queue.range(before..).position(Item::is_of_qos0) else {
            self.first_qos0 = self.queue.len() as u32;
            return false;
        };
        let at = before + found;
        self.first_qos0 = at as u32;
        if !self.drop_of_run(at)
            && let Some(item) = self.queue.remove(at)
        {
            self.leaves(&item, at);
        }
        true
    }

    /// Drops the oldest message of the run at this place, if there is one with more than that.
    fn drop_of_run(&mut self, at: usize) -> bool {
        let Some(Item::Run(run)) = self.queue.get_mut(at).filter(|item| item.messages() > 1) else {
            return false;
        };
        let before = run.packets().len();
        run.drop_first();
        let len = before - run.packets().len();
        self.encoded -= len as u32;
        self.bytes -= len + OVERHEAD;
        self.messages -= 1;
        true
    }

    /// Whether half of the room is free again.
    pub(super) fn is_half_empty(&self, room: Room) -> bool {
        self.len() <= room.messages / 2 && self.bytes <= room.bytes / 2
    }

    /// Takes out what came for groups.
    pub(super) fn take_shared(&mut self) -> impl Iterator<Item = Queued> {
        let all = std::mem::replace(self, Self::new(Arc::clone(&self.budget)));
        let mut shared = Vec::new();
        for item in all.into_items() {
            match item {
                Item::One(queued) if queued.group != 0 => shared.push(queued),
                item => self.enter(item),
            }
        }
        shared.into_iter()
    }

    /// Takes everything out.
    fn into_items(mut self) -> impl Iterator<Item = Item> {
        std::iter::from_fn(move || self.pop())
    }

    /// The client is gone for now: keeps what a session keeps, detached from the read buffers it came in. What is encoded
    /// is of QoS 0, and is not done for a session that would keep that.
    /// Returns how many messages of QoS 1 and 2 had no room.
    pub(super) fn go_offline(&mut self, room: Room, keep_qos0: bool, mut gone: impl FnMut(u64)) -> u64 {
        let mut dropped = 0;
        let before = std::mem::replace(self, Self::new(Arc::clone(&self.budget)));
        for item in before.into_items() {
            let Item::One(mut queued) = item else { continue };
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
        fits && self.len() < room.messages.min(u32::MAX as usize)
    }
}

impl Item {
    /// The message that is not encoded.
    fn queued(&self) -> Option<&Queued> {
        match self {
            Self::One(queued) => Some(queued),
            Self::Run(_) => None,
        }
    }

    fn messages(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Run(run) => run.messages(),
        }
    }

    fn is_of_qos0(&self) -> bool {
        self.queued().is_none_or(|queued| queued.qos == QoS::AtMostOnce)
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
    use crate::budget::{MESSAGE, PLACE};
    use mqttkit_codec::{Instant, Message, TopicName};

    fn queued(payload: &str, qos: QoS) -> Queued {
        let message = Message::new(TopicName::try_from("t").unwrap(), payload.to_owned()).with_qos(qos);
        let message = Arc::new(Routed::new(message, ReadBuffer::default().next(0), Instant::ZERO));
        Queued { message, ids: Ids::None, qos, retain: false, group: 0, number: 0, pins: false }
    }

    /// What waits. What is encoded in the tests are packets of a letter.
    fn payloads(outbox: Outbox) -> Vec<String> {
        let mut payloads = Vec::new();
        for item in outbox.into_items() {
            match item {
                Item::One(queued) => {
                    payloads.push(String::from_utf8(queued.message.message.payload.to_vec()).unwrap());
                }
                Item::Run(run) => {
                    assert_eq!(run.packets().len(), run.messages() * 3);
                    let letters = run.packets().chunks(3).map(|packet| packet[2]);
                    payloads.extend(letters.map(|letter| char::from(letter).to_string()));
                }
            }
        }
        payloads
    }

    fn push_encoded(outbox: &mut Outbox, packet: &[u8], room: Room) -> bool {
        outbox.push_encoded(packet.len(), room, |out| out.extend_from_slice(packet))
    }

    fn encoded(letter: u8) -> [u8; 3] {
        [0x30, 1, letter]
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

    /// Wherever they stand, and by whatever they are pushed out.
    #[test]
    fn encoded_messages_keep_their_places_and_are_dropped_one_by_one() {
        let budget = Arc::new(Budget::new(1 << 20));
        let room = Room { messages: 6, bytes: usize::MAX, alone: usize::MAX };
        for (overflow, left) in [
            (Overflow::DropOldest, ["1", "b", "c", "2", "3", "4"]),
            (Overflow::DropOldestQos0, ["1", "c", "2", "3", "4", "5"]),
            (Overflow::DropNewest, ["a", "1", "b", "c", "2", "3"]),
        ] {
            let mut outbox = Outbox::new(Arc::clone(&budget));
            let push = |outbox: &mut Outbox, payload: &str| {
                outbox.push(queued(payload, QoS::AtLeastOnce), room, overflow, |_| {})
            };
            assert!(push_encoded(&mut outbox, &encoded(b'a'), room));
            push(&mut outbox, "1");
            assert!(
                push_encoded(&mut outbox, &encoded(b'b'), room)
                    && push_encoded(&mut outbox, &encoded(b'c'), room)
            );
            push(&mut outbox, "2");
            push(&mut outbox, "3");
            assert_eq!((outbox.len(), outbox.queue.len()), (6, 5));
            assert!(!push_encoded(&mut outbox, &encoded(b'd'), room), "what is new goes, of QoS 0");
            push(&mut outbox, "4");
            if overflow == Overflow::DropOldestQos0 {
                assert_eq!(push(&mut outbox, "5"), Pushed::Displaced(1));
            }
            assert_eq!(outbox.len(), 6);
            let weight: usize = outbox.runs().sum();
            assert_eq!(
                budget.used(),
                weight + outbox.iter().map(|it| PLACE + MESSAGE + it.message.cost()).sum::<usize>()
            );
            assert_eq!(payloads(outbox), left);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn no_more_is_encoded_for_a_client_that_is_behind() {
        let room = Room { messages: usize::MAX, bytes: usize::MAX, alone: usize::MAX };
        let mut outbox = Outbox::default();
        let packet = [&[0x30, 0xfc, 7][..], &[0; 1020]].concat();
        let count = (0..1_000).take_while(|_| push_encoded(&mut outbox, &packet, room)).count();
        assert_eq!(count, ENCODED as usize / packet.len() + 1);
        assert!(!push_encoded(&mut outbox, &encoded(b'a'), room));
        outbox.drop_first();
        outbox.drop_first();
        assert!(push_encoded(&mut outbox, &encoded(b'a'), room));
        assert_eq!(outbox.pop().unwrap().messages(), count - 1);
        assert_eq!((outbox.len(), outbox.bytes, outbox.encoded), (0, 0, 0));
    }

    #[test]
    fn what_is_encoded_stays_where_it_is_when_groups_are_served() {
        let room = Room { messages: 10, bytes: usize::MAX, alone: usize::MAX };
        let mut outbox = Outbox::default();
        assert!(push_encoded(&mut outbox, &encoded(b'a'), room));
        let of_group = Queued { group: 1, ..queued("g", QoS::AtLeastOnce) };
        outbox.push(of_group, room, Overflow::DropNewest, |_| {});
        outbox.push(queued("1", QoS::AtLeastOnce), room, Overflow::DropNewest, |_| {});
        assert!(push_encoded(&mut outbox, &encoded(b'b'), room));
        assert_eq!(outbox.take_shared().count(), 1);
        assert_eq!(outbox.len(), 3);
        assert_eq!(payloads(outbox), ["a", "1", "b"]);
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
            assert_eq!(outbox.pinned.div_ceil(PINNED / MOST as u32) as usize, buffers.len());
            buffers.len()
        };
        let mut buffer = ReadBuffer::default();
        for number in 1..=20 {
            buffer = buffer.next(PINNED as usize / MOST);
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
        while outbox.drop_first_qos0() {
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
