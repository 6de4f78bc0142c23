//! Delivering: from the outbox of a session to its connection, as fast as that can take it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use mqttkit_codec::{Instant, Message, PublishError, QoS, ServerConnection, matches};

use super::exchange::{Note, RetainedNote};
use super::handover::{InFlightForGroups, Origin};
use super::outbox::{Item, ReadBuffer};
use super::retained::Found;
use super::session::LinkStatus;
use super::{ClientKey, State};
use crate::budget::SMALL;
use crate::events::DropCause;
use crate::peer::{Step, Steps, waits_for};
use crate::policy::unmounted_topic;
use crate::remarks::Remark;
use crate::store::StoreOp;

/// How far [`State::drain`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Everything is in the connection; the bell rings for more.
    Empty,
    /// The connection cannot take more: drain again when it has written or received acknowledgements.
    Blocked,
    /// The turn was long enough; there may be more.
    Again,
}

/// What a client in this process gets.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Message),
    /// The turn was long enough; ask again.
    Again,
    Nothing,
}

/// The next message for a client.
enum Next {
    /// With the read buffer that it pins, the group that it is for, and what the store is to be told.
    Message(Message, ReadBuffer, Option<Origin>, Note),
    Blocked,
    Again,
    Empty,
}

/// Messages moved in one turn, while the state is locked.
const TURN: usize = 1024;
/// How many messages in flight to one client may pin the read buffers they came in, each another, and how many read buffers
/// those may pin that are more.
const PINNED: usize = 16;

/// The read buffers that messages in flight to one client pin. A message that would pin one too many is copied.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    /// The number of the latest of them.
    latest: u64,
    /// How many different ones it may be, since nothing was in flight.
    count: u32,
}

impl Pins {
    /// Whether a message may stay in its read buffer, while so many others are in flight.
    fn allow(&mut self, buffer: ReadBuffer, in_flight: usize) -> bool {
        if in_flight == 0 {
            *self = Self::default();
        }
        if buffer.number() == self.latest {
            return true;
        }
        if in_flight >= PINNED && self.count as usize >= PINNED {
            return false;
        }
        self.latest = buffer.number();
        self.count = self.count.saturating_add(1);
        true
    }
}

impl State {
    /// Moves messages from the session of a client into its connection.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        client: ClientKey,
        connection: &mut ServerConnection,
        for_groups: &mut InFlightForGroups,
        pins: &mut Pins,
        mut steps: Option<&mut Steps>,
    ) -> Drained {
        if self.current(client).is_none() {
            return Drained::Blocked;
        }
        let encoding = self.encoding(client.slot, connection);
        let session = &mut self.sessions[client.slot];
        // In flight in a session that stays is in flight for who knows how long.
        let keeps = session.expiry > Duration::ZERO;
        let window = session.presence.link_mut().map_or(0, |link| {
            link.encoding = encoding;
            usize::from(link.window)
        });
        let max_in_flight = usize::from(self.config.max_in_flight.get());
        let share = self.budget.share().max(SMALL);
        let watermark = self.config.transmit_watermark.min(share);
        let max_bytes = self.config.max_in_flight_bytes.min(share);
        let mut left = TURN;
        while left > 0 {
            left = self.drain_shared(now, client, connection, (left, watermark)).saturating_sub(1);
            // What a connection at its end is given would be lost.
            if connection.is_closed() || connection.transmit().remaining() >= watermark {
                return self.drained(client, Drained::Blocked);
            }
            let quota = connection.send_quota();
            let in_flight = window.saturating_sub(quota);
            let only_qos0 =
                quota == 0 || in_flight >= max_in_flight || connection.in_flight_bytes() >= max_bytes;
            let (message, origin, note) = match self.next(now, client, only_qos0) {
                Next::Message(message, _, _, note) if message.qos == QoS::AtMostOnce => (message, None, note),
                Next::Message(message, buffer, origin, note) => {
                    let may_stay = buffer.is_none() || (!keeps && pins.allow(buffer, in_flight));
                    (if may_stay { message } else { message.detached() }, origin, note)
                }
                Next::Blocked => return self.drained(client, Drained::Blocked),
                Next::Empty => return self.drained(client, Drained::Empty),
                Next::Again => continue,
            };
            let qos = message.qos;
            let origin = origin.filter(|_| qos == QoS::AtLeastOnce);
            let Ok(id) = connection.publish(now, message) else {
                // [MQTT-3.1.2-25]: as if it had been sent. Nothing else can be wrong with it here.
                self.too_large(client.slot, &note);
                continue;
            };
            self.counters.delivered += 1;
            if let (Some(id), Some(origin)) = (id, origin) {
                for_groups.insert(id, origin);
            }
            if let (Some(id), Some(steps)) = (id, &mut steps) {
                let before = self.journal.position();
                self.sent(client.slot, id, note);
                if qos == QoS::ExactlyOnce {
                    steps.take(now, connection, waits_for(before, self.journal.position()), Step::Send(id));
                }
            }
        }
        self.drained(client, Drained::Again)
    }

    /// Moves messages of QoS 0, as long as they come next and are encoded, or go as they are: without a copy, or a share,
    /// of any. Returns how many of so many are left to be moved in this turn.
    fn drain_shared(
        &mut self,
        now: Instant,
        client: ClientKey,
        connection: &mut ServerConnection,
        (mut left, watermark): (usize, usize),
    ) -> usize {
        let Self { sessions, counters, observers, retained, traced, .. } = self;
        let Some(session) = sessions.get_mut(client.slot) else { return left };
        if connection.is_closed() {
            return left;
        }
        let is_plain = session.mount_point.is_none() && traced.is_empty();
        let has_properties = connection.version().has_properties();
        let mut count = |sent: Result<(), PublishError>, messages: usize| match sent {
            Ok(()) => counters.delivered += messages as u64,
            Err(_) => counters.lose(observers, &session.client_id, DropCause::TooLarge, messages as u64),
        };
        if let Some(cursor) = session.cursors.front_mut() {
            if !is_plain {
                return left;
            }
            return cursor.give(now, retained, has_properties, left, |message| {
                let has_room = connection.transmit().remaining() < watermark;
                if has_room {
                    // [MQTT-3.3.1-8]
                    count(connection.publish_shared(now, message, true), 1);
                }
                has_room
            });
        }
        let outbox = &mut session.outbox;
        while left > 0 && connection.transmit().remaining() < watermark {
            match outbox.next() {
                Some(Item::Run(run)) => count(connection.publish_encoded(now, run.packets()), run.messages()),
                Some(Item::One(queued))
                    if is_plain
                        && queued.is_as_published(has_properties)
                        && !queued.message.is_expired(now) =>
                {
                    if left == TURN {
                        connection.transmit().reserve(outbox.bytes().min(watermark));
                    }
                    count(connection.publish_shared(now, &queued.message.message, queued.retain), 1);
                }
                _ => break,
            }
            outbox.pop();
            left -= 1;
        }
        left
    }

    fn too_large(&mut self, slot: usize, note: &Note) {
        if let Some(session) = self.sessions.get(slot) {
            self.counters.lose(&mut self.observers, &session.client_id, DropCause::TooLarge, 1);
            self.unsent(slot, note);
        }
    }

    /// The next message for a client in this process.
    pub(crate) fn receive(&mut self, now: Instant, client: ClientKey) -> Received {
        match self.next(now, client, false) {
            Next::Message(message, ..) => {
                self.counters.delivered += 1;
                Received::Message(message)
            }
            Next::Again => Received::Again,
            Next::Empty | Next::Blocked => {
                self.drained(client, Drained::Empty);
                Received::Nothing
            }
        }
    }

    /// What was retained comes before what has been published since.
    fn next(&mut self, now: Instant, client: ClientKey, only_qos0: bool) -> Next {
        if self.current(client).is_none() {
            return Next::Empty;
        }
        let session = &mut self.sessions[client.slot];
        let mut note = Note::Nothing;
        let queued = if let Some(cursor) = session.cursors.front_mut() {
            match cursor.next(now, &mut self.retained, only_qos0) {
                Ok(Found::Message(queued, number)) => {
                    if session.kept && queued.qos > QoS::AtMostOnce {
                        let (filter, qos) = (cursor.filter.clone(), queued.qos);
                        let (message, id) = (Arc::clone(&queued.message), queued.ids.first());
                        note = Note::Retained(Box::new(RetainedNote { filter, message, number, qos, id }));
                    }
                    queued
                }
                Ok(Found::Again) => return Next::Again,
                Ok(Found::Expired(topic)) => {
                    self.journal.tell(|_| StoreOp::RetainedCleared { topic });
                    return Next::Again;
                }
                Ok(Found::End) => {
                    if let Some(cursor) = session.cursors.pop_front().filter(|_| session.kept) {
                        let (client_id, filter) = (session.client_id.clone(), cursor.filter);
                        self.journal.tell(|_| StoreOp::RetainedSent { client_id, filter, up_to: None });
                    }
                    return Next::Again;
                }
                Err(()) => return Next::Blocked,
            }
        } else {
            match session.outbox.next() {
                None => return Next::Empty,
                Some(Item::Run(_)) => return Next::Again,
                Some(Item::One(queued)) if queued.qos > QoS::AtMostOnce && only_qos0 => return Next::Blocked,
                Some(Item::One(_)) => {}
            }
            let Some(Item::One(queued)) = session.outbox.pop() else { return Next::Empty };
            if session.kept && queued.number > 0 {
                note = Note::Queued(queued.number);
            }
            queued
        };
        let origin =
            (queued.group != 0).then(|| Origin { group: queued.group, expires: queued.message.expires });
        let buffer = queued.message.buffer;
        let Some(mut message) = queued.into_message(now) else {
            self.counters.lose(&mut self.observers, &session.client_id, DropCause::Expired, 1);
            self.unsent(client.slot, &note);
            return Next::Again;
        };
        let delivered = self.traced.iter().any(|filter| matches(filter.pattern(), message.topic.as_str()));
        let delivered = delivered.then(|| message.topic.detached());
        if let Some(mount_point) = &session.mount_point {
            let Some(topic) = unmounted_topic(mount_point, &message.topic) else {
                // `t/#` also matches `t`, which has no name below `t/`.
                self.unsent(client.slot, &note);
                return Next::Again;
            };
            message.topic = topic;
        }
        if let Some(topic) = delivered {
            let (client_id, qos) = (session.client_id.clone(), message.qos);
            self.observers.remarks.add(Remark::Delivered { topic, client_id, qos });
        }
        Next::Message(message, buffer, origin, note)
    }

    /// What waits and what lasts, weighed again.
    #[cfg(test)]
    pub(crate) fn weights(&self) -> (usize, usize) {
        let mut messages = std::collections::HashMap::new();
        let mut places = 0;
        for queued in self.sessions.iter().flat_map(|(_, session)| session.outbox.iter()) {
            places += 1;
            messages.insert(std::sync::Arc::as_ptr(&queued.message), queued.message.cost());
        }
        let bodies: usize = messages.values().map(|cost| cost + crate::budget::MESSAGE).sum();
        let sessions: usize = self.sessions.iter().map(|(_, session)| session.weight()).sum();
        let runs: usize = self.sessions.iter().flat_map(|(_, session)| session.outbox.runs()).sum();
        (
            runs + places * crate::budget::PLACE + bodies,
            sessions + self.retained.weight() + self.router.weight(),
        )
    }

    /// The messages in the longest queue.
    #[cfg(test)]
    pub(crate) fn longest_queue(&self) -> usize {
        self.sessions.iter().map(|(_, session)| session.outbox.len()).max().unwrap_or(0)
    }

    fn drained(&mut self, client: ClientKey, drained: Drained) -> Drained {
        if let Some(session) = self.sessions.get_mut(client.slot)
            && let Some(link) = session.presence.link_mut().filter(|link| link.id == client.link)
            && link.kick.is_none()
        {
            if session.slow_at.is_some() && session.outbox.is_half_empty(link.room()) {
                self.timers.set(client.slot, session.slow_at.take(), None);
            }
            link.status = match drained {
                Drained::Empty => LinkStatus::Idle,
                Drained::Blocked | Drained::Again => LinkStatus::Blocked,
            };
        }
        drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_flight_pin_few_read_buffers() {
        let mut pins = Pins::default();
        let mut buffer = ReadBuffer::default();
        let mut allowed = 0;
        for in_flight in 0..100 {
            buffer = buffer.next(1 << 16);
            let may = pins.allow(buffer, in_flight);
            assert_eq!(pins.allow(buffer, in_flight), may, "another in the same");
            allowed += usize::from(may);
        }
        assert_eq!(allowed, PINNED);
        assert!(pins.allow(buffer.next(1), 0), "nothing is in flight any more");
    }
}
