//! Publishing: one message to the outbox of everybody it is for.

use std::sync::Arc;

use bytes::Bytes;
use mqttkit_codec::{Instant, Message, PacketId, QoS, ReasonCode, Str, TopicName, Will};

use super::group::{Pick, Serial};
use super::outbox::{Ids, Pushed, Queued, Room, Routed, cost_of};
use super::router::{Match, Wish};
use super::session::{LinkKind, LinkStatus, Session};
use super::{ClientKey, State};
use crate::config::Overflow;
use crate::events::{DropCause, Event};
use crate::remarks::Remark;
use crate::store::{DeliveryRecord, Retention, Source, StoreOp};

/// One session that a publication is for, and how it gets it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) slot: usize,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: Ids,
    /// The group that it is for, or 0.
    pub(super) group: Serial,
}

/// A publication on its way to its receivers: as it came, and a copy for those that will keep it for long.
pub(super) struct Shared {
    fresh: Arc<Routed>,
    detached: Option<Arc<Routed>>,
    /// What becomes of it is logged.
    traced: bool,
}

/// What the memory of a message that was not read here may be part of, in bytes.
pub(crate) const UNKNOWN: usize = 32 << 10;

impl State {
    /// Publishes a message of a client, and takes as much of it as is needed. The reason is what to acknowledge it with.
    /// If it is of QoS 2 its identifier is taken with it.
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        client: ClientKey,
        message: &mut Message,
        packet_id: Option<PacketId>,
    ) -> ReasonCode {
        let Some(session) = self.current(client) else {
            // The session has a new owner; the message is not lost, since its sender has no acknowledgement.
            return ReasonCode::UnspecifiedError;
        };
        let mut source = None;
        if message.qos > QoS::AtMostOnce {
            let is_local = session.presence.link().is_some_and(|link| link.kind == LinkKind::Local);
            source = packet_id
                .filter(|_| session.kept && message.qos == QoS::ExactlyOnce)
                .map(|packet_id| Source::Client { client_id: session.client_id.clone(), packet_id });
            if self.store_refuses(message, is_local) {
                return ReasonCode::QuotaExceeded;
            }
        }
        self.route(now, Some(client.slot), message, source, true)
    }

    /// What is published from now on was read into a buffer of this size, in bytes, and nothing before was.
    pub(crate) fn begin_buffer(&mut self, size: usize) {
        self.buffer = self.buffer.next(size);
    }

    /// Publishes a message of the host.
    pub(crate) fn publish_host(&mut self, now: Instant, mut message: Message) -> ReasonCode {
        self.begin_buffer(UNKNOWN);
        if self.store_refuses(&message, true) {
            return ReasonCode::QuotaExceeded;
        }
        self.route(now, None, &mut message, None, true)
    }

    /// Publishes the will of a session.
    pub(super) fn publish_will(&mut self, now: Instant, slot: usize, will: Will) {
        let session = &self.sessions[slot];
        let client_id = session.recorded.then(|| session.client_id.clone());
        self.publish_will_of(now, client_id.as_ref(), will);
    }

    /// The same of a session that may be gone, by the name by which the store knows the will.
    pub(super) fn publish_will_of(&mut self, now: Instant, client_id: Option<&Str>, will: Will) {
        let source = client_id.map(|client_id| Source::Will { client_id: client_id.clone() });
        self.begin_buffer(UNKNOWN);
        self.route(now, None, &mut Message::from(will), source, false);
    }

    /// A client of the network is not read while the store is behind; the host can only be told.
    fn store_refuses(&mut self, message: &Message, is_host: bool) -> bool {
        message.qos > QoS::AtMostOnce && (self.journal.has_failed() || (is_host && self.journal.is_behind()))
    }

    /// `refusable`: whoever published it can be told that it was refused, if it has a version that can say so.
    fn route(
        &mut self,
        now: Instant,
        from: Option<usize>,
        message: &mut Message,
        source: Option<Source>,
        refusable: bool,
    ) -> ReasonCode {
        let topic = message.topic.as_bytes();
        let most = self.config.max_topic_levels;
        // Short ones are not counted.
        if message.topic.is_aliased() || (topic.len() >= most && levels(topic) > most) {
            return ReasonCode::TopicNameInvalid;
        }
        if !message.properties.is_empty() {
            // These mean something between one sender and one receiver only.
            let properties = std::mem::take(&mut message.properties);
            message.properties = properties.without_topic_alias().without_subscription_identifiers();
        }
        self.sequence += 1;
        self.find(from, message);
        if self.config.overflow == Overflow::Refuse
            && refusable
            && self.understands_refusal(from)
            && !self.all_have_room(message)
        {
            self.matches.clear();
            self.counters.refused += 1;
            return ReasonCode::QuotaExceeded;
        }
        self.counters.published += 1;
        if self.observers.wants_messages() {
            self.observers
                .emit(|| Event::Published { topic: message.topic.detached(), size: message.payload.len() });
        }
        let mut matches = std::mem::take(&mut self.matches);
        let reason = if matches.is_empty() { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        let traced = self.is_traced(&message.topic);
        if traced {
            self.note_published(from, message, matches.len());
        } else {
            self.push_encoded(message, &mut matches);
        }
        if !matches.is_empty() || message.retain || self.journal.is_kept() {
            let number = self.sequence;
            let message = std::mem::replace(message, Message::new(TopicName::ALIASED, Bytes::new()));
            let routed = Routed::new(message, self.buffer, now);
            let retention = if routed.message.retain { self.retain(&routed) } else { Retention::Untouched };
            let mut shared = Shared::new(Arc::new(routed), traced);
            for delivery in matches.drain(..) {
                self.push(now, &mut shared, delivery);
            }
            self.journal.published(&shared.fresh, number, retention, source);
        }
        self.matches = matches;
        reason
    }

    /// An MQTT 3 client cannot be told that its message was refused.
    fn understands_refusal(&self, from: Option<usize>) -> bool {
        let link = from.and_then(|slot| self.sessions.get(slot)?.presence.link());
        let who = link.and_then(|link| link.client.as_deref());
        who.is_none_or(|client| client.version().has_properties())
    }

    /// Keeps the message for later subscribers, or forgets the one that was kept.
    fn retain(&mut self, routed: &Routed) -> Retention {
        let (messages, bytes) = (self.config.max_retained_messages, self.config.max_retained_bytes);
        let room = Room { messages, bytes, alone: 0 };
        let is_kept = self.retained.store(routed, self.sequence, room);
        if !is_kept {
            self.counters.retained_refused += 1;
        }
        match routed.message.topic.as_bytes() {
            // What the broker says of itself it says anew.
            [b'$', b'S', b'Y', b'S', b'/', ..] => Retention::Untouched,
            _ if is_kept && !routed.message.payload.is_empty() => Retention::Set,
            _ => Retention::Cleared,
        }
    }

    fn note_published(&mut self, from: Option<usize>, message: &Message, receivers: usize) {
        let publisher = from.and_then(|slot| self.sessions.get(slot));
        self.observers.remarks.add(Remark::Published {
            topic: message.topic.detached(),
            from: publisher.map(|session| session.client_id.clone()),
            qos: message.qos,
            retain: message.retain,
            size: message.payload.len(),
            receivers,
        });
    }

    /// Fills `matches` with everybody the message is for, each session once for all its own subscriptions.
    pub(super) fn find(&mut self, from: Option<usize>, message: &Message) {
        let Self { router, sessions, matches, groups, sequence, random, config, .. } = self;
        let deliver = |slot, wish: Wish, group| Delivery {
            slot,
            qos: message.qos.min(wish.options.qos),
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: message.retain && wish.options.retain_as_published,
            ids: Ids::new(wish.id),
            group,
        };
        router.for_each_match(&message.topic, |found| match found {
            // [MQTT-3.8.3-3]
            Match::Session(slot, wish) if wish.options.no_local && from == Some(slot) => {}
            Match::Session(slot, wish) => {
                let Some(session) = sessions.get_mut(slot) else { return };
                if session.mark == *sequence {
                    // [MQTT-3.3.4-2]: overlapping subscriptions make one delivery, with the highest QoS and,
                    // [MQTT-3.3.4-4], all identifiers.
                    let known = &mut matches[session.place as usize];
                    known.qos = known.qos.max(message.qos.min(wish.options.qos));
                    known.retain |= message.retain && wish.options.retain_as_published;
                    known.ids.add(wish.id);
                } else {
                    (session.mark, session.place) = (*sequence, matches.len() as u32);
                    matches.push(deliver(slot, wish, 0));
                }
            }
            Match::Group(group) => groups.push(group),
        });
        for group in groups.drain(..) {
            let pick = Pick::new(config.shared_strategy, from, message.topic.as_str(), random);
            let online = |slot| sessions.get(slot).is_some_and(Session::is_online);
            let outstanding = |slot| sessions.get(slot).map_or(0, Session::outstanding);
            if let Some((slot, wish, serial)) = router.member(group, pick, online, outstanding) {
                matches.push(deliver(slot, wish, serial));
            }
        }
    }

    /// Whether everybody who is to get the message with QoS 1 or 2 has room for it.
    fn all_have_room(&self, message: &Message) -> bool {
        let cost = cost_of(message);
        self.matches.iter().filter(|delivery| delivery.qos > QoS::AtMostOnce).all(|delivery| {
            let session = self.sessions.get(delivery.slot);
            session.is_none_or(|session| {
                let (room, _) = session.room(&self.config);
                session.outbox.has_room(cost, room.within(&self.budget, self.sessions.len()))
            })
        })
    }

    pub(super) fn push(&mut self, now: Instant, shared: &mut Shared, delivery: Delivery) {
        let Delivery { slot, qos, retain, ids, group } = delivery;
        let sessions = self.sessions.len();
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let (room, online) = session.room(&self.config);
        if !online && qos == QoS::AtMostOnce && !self.config.offline_qos0 {
            return;
        }
        let whole = room;
        let room = whole.within(&self.budget, sessions);
        let local = session.presence.link().is_some_and(|link| link.kind == LinkKind::Local);
        let blocked = session.presence.link().is_some_and(|link| link.status == LinkStatus::Blocked);
        let keep = !online || local || blocked || !session.outbox.may_pin(&shared.fresh);
        let message = if keep { shared.detached() } else { Arc::clone(&shared.fresh) };
        // There would have been room, had the broker more memory.
        let cost = message.cost();
        let short = room.bytes < whole.bytes
            && !session.outbox.has_room(cost, room)
            && session.outbox.has_room(cost, whole);
        let Self { journal, router, .. } = self;
        let kept = session.kept && qos > QoS::AtMostOnce;
        let number = if kept { journal.next_delivery() } else { 0 };
        let client_id = &session.client_id;
        let delivery = kept.then(|| DeliveryRecord {
            number,
            client_id: client_id.clone(),
            qos,
            retain,
            identifiers: ids.as_slice().to_vec(),
            group: router.name_of(group).cloned(),
        });
        let queued = Queued { message, ids, qos, retain, group, number, pins: false };
        let pushed = session.outbox.push(queued, room, self.config.overflow, |delivery| {
            if delivery > 0 {
                journal.tell(|_| StoreOp::Dropped { client_id: client_id.clone(), delivery });
            }
        });
        if let Some(delivery) = delivery
            && matches!(pushed, Pushed::Queued | Pushed::Displaced(_))
        {
            journal.waits(delivery);
        }
        let cause = match (online, qos) {
            _ if short => DropCause::Memory,
            (false, _) => DropCause::Offline,
            (true, QoS::AtMostOnce) => DropCause::SlowQos0,
            (true, _) => DropCause::Slow,
        };
        let count = match pushed {
            Pushed::Queued => 0,
            Pushed::Displaced(count) => count,
            Pushed::Dropped | Pushed::Overrun => 1,
        };
        self.counters.lose(&mut self.observers, &session.client_id, cause, count);
        if count > 0
            && online
            && session.slow_at.is_none()
            && let Some(patience) = self.config.slow_consumer_timeout
        {
            session.slow_at = Some(now + patience);
            self.timers.set(slot, None, session.slow_at);
        }
        if shared.traced {
            let (topic, client_id) = (shared.fresh.message.topic.detached(), session.client_id.clone());
            self.observers.remarks.add(match pushed {
                Pushed::Queued | Pushed::Displaced(_) => Remark::Queued { topic, client_id, qos },
                Pushed::Dropped | Pushed::Overrun => Remark::Lost { topic, client_id, cause },
            });
        }
        match pushed {
            Pushed::Queued | Pushed::Displaced(_) => self.wake(slot),
            Pushed::Overrun if online => {
                debug_assert_eq!(self.config.overflow, Overflow::Disconnect);
                self.kick_slot(slot, ReasonCode::QuotaExceeded.into());
            }
            Pushed::Dropped | Pushed::Overrun => {}
        }
    }
}

impl Shared {
    pub(super) fn new(message: Arc<Routed>, traced: bool) -> Self {
        Self { fresh: message, detached: None, traced }
    }

    fn detached(&mut self) -> Arc<Routed> {
        if self.fresh.is_detached() {
            return Arc::clone(&self.fresh);
        }
        Arc::clone(self.detached.get_or_insert_with(|| Arc::new(self.fresh.detached())))
    }
}

pub(super) fn levels(topic: &[u8]) -> usize {
    1 + topic.iter().map(|&byte| usize::from(byte == b'/')).sum::<usize>()
}
