//! Restoring: the state that a store has kept.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::{Incoming, Instant, Outgoing, PacketId, QoS, Session as InFlight, SessionState, Str};
use tracing::warn;

use super::State;
use super::handover::{InFlightForGroups, Origin};
use super::journal::{Clock, Journal};
use super::outbox::{Ids, Queued, Routed};
use super::retained::Cursor;
use super::router::Wish;
use super::session::{FOR_EVER, Left, weight_of_filter};
use crate::policy::unmounted_topic;
use crate::store::{
    InFlightRecord, KeptSession, MessageRecord, Progress, QueuedRecord, SessionRecord, Snapshot, StoreOp,
};

/// Messages that were restored, by their numbers: one that waits for many is there once.
struct Messages {
    clock: Clock,
    now: Instant,
    known: HashMap<u64, Arc<Routed>>,
}

impl State {
    /// Takes over what a store has kept, and tells it all that changes from now on. Limits bound what is new only: what
    /// was kept is not thrown away because they are lower now.
    pub(crate) fn restore(&mut self, now: Instant, snapshot: Snapshot, progress: Progress, clock: Clock) {
        self.sequence = snapshot.last_publication();
        self.journal = Journal::new(&self.config, progress, clock, snapshot.last_delivery());
        let mut messages = Messages { clock, now, known: HashMap::new() };
        for (topic, message) in snapshot.retained {
            let routed = messages.routed(&message);
            if routed.is_expired(now) {
                self.journal.tell(|_| StoreOp::RetainedCleared { topic });
            } else {
                self.retained.restore(routed, message.number);
            }
        }
        let mut sessions: Vec<(Str, KeptSession)> = snapshot.sessions.into_iter().collect();
        // The same order for the same store.
        sessions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut in_flight = Vec::with_capacity(sessions.len());
        for (client_id, kept) in sessions {
            let slot = self.new_session(client_id);
            self.restore_session(now, slot, &kept.record, clock);
            self.restore_subscriptions(slot, &kept);
            in_flight.push((slot, kept.in_flight, kept.received, kept.queue));
        }
        // When all groups have their members.
        for (slot, sent, received, queue) in in_flight {
            for (number, queued) in queue {
                let queued = self.restore_queued(&mut messages, number, queued);
                self.sessions[slot].outbox.restore(queued);
            }
            let incoming = received.into_iter().map(|id| (id, Incoming::Acknowledged)).collect();
            self.restore_in_flight(&mut messages, slot, sent.into(), incoming);
        }
        // Sessions whose time has come, and wills.
        self.handle_timeout(now);
    }

    fn restore_session(&mut self, now: Instant, slot: usize, record: &SessionRecord, clock: Clock) {
        let session = &mut self.sessions[slot];
        session.expiry = record.expiry.unwrap_or(FOR_EVER);
        session.kept = !session.expiry.is_zero();
        session.recorded = true;
        session.bridge = record.bridge;
        session.mount_point = record.mount_point.clone().map(Box::new);
        session.will = record.will.clone().map(Box::new);
        let elapsed = record.left.map_or(Duration::ZERO, |left| clock.since(now, left));
        let expires_at = (session.expiry != FOR_EVER).then(|| now + session.expiry.saturating_sub(elapsed));
        let will_at = session.will.as_ref().map(|will| {
            let delay = Duration::from_secs(will.properties.will_delay_interval().unwrap_or(0).into());
            now + delay.saturating_sub(elapsed)
        });
        session.presence.set_times(expires_at, will_at);
        let deadline = session.deadline();
        self.timers.set(slot, None, deadline);
        if record.left.is_none() {
            // Its client was connected when the broker died, and has been gone since then as far as anybody knows.
            self.record_session(slot, Some(now));
        }
    }

    fn restore_subscriptions(&mut self, slot: usize, kept: &KeptSession) {
        for (filter, subscription) in &kept.subscriptions {
            let wish = Wish { options: subscription.options, id: subscription.identifier };
            self.router.insert(filter, slot, wish);
            let session = &mut self.sessions[slot];
            session.subscriptions.insert(filter.clone());
            session.filters += weight_of_filter(filter);
            if let Some(cursor) = &subscription.cursor {
                let (qos, ids) = (subscription.options.qos, Ids::new(subscription.identifier));
                let mut restored = Cursor::new(filter.clone(), cursor.up_to, qos, ids);
                if let Some(topic) = &cursor.after {
                    restored.go_on_after(topic.clone());
                }
                session.cursors.push_back(restored);
            }
        }
    }

    fn restore_queued(&self, messages: &mut Messages, number: u64, record: QueuedRecord) -> Queued {
        Queued {
            message: messages.routed(&record.message),
            ids: ids(record.identifiers),
            qos: record.qos,
            retain: record.retain,
            group: record.group.and_then(|name| self.router.serial_of(&name)).unwrap_or(0),
            number,
            pins: false,
        }
    }

    fn restore_in_flight(
        &mut self,
        messages: &mut Messages,
        slot: usize,
        sent: Vec<(PacketId, InFlightRecord)>,
        incoming: Vec<(PacketId, Incoming)>,
    ) {
        let mut state = SessionState::default();
        let mut for_groups = InFlightForGroups::new();
        state.incoming = incoming;
        for (id, record) in sent {
            let outgoing = match record {
                InFlightRecord::Released => Outgoing::Released,
                InFlightRecord::Sent(record) => {
                    let queued = self.restore_queued(messages, 0, record);
                    if queued.group != 0 && queued.qos == QoS::AtLeastOnce {
                        let origin = Origin { group: queued.group, expires: queued.message.expires };
                        for_groups.insert(id, origin);
                    }
                    let Some(message) = self.as_sent(messages.now, slot, queued) else { continue };
                    Outgoing::Published(message)
                }
            };
            state.outgoing.push((id, outgoing));
        }
        let session = &mut self.sessions[slot];
        match InFlight::import(state) {
            Ok(in_flight) => {
                session.presence.set_left(Left { in_flight, for_groups });
            }
            // No sequence of ops leads there.
            Err(error) => warn!(client = %session.client_id, %error, "what was in flight is not restored"),
        }
        session.weigh(&self.budget);
    }

    /// A message as its client knows it. Its lifetime does not end while it is in flight: it may have arrived.
    fn as_sent(&self, now: Instant, slot: usize, queued: Queued) -> Option<mqttkit_codec::Message> {
        let mut message = queued.into_sent(now);
        if let Some(mount_point) = &self.sessions[slot].mount_point {
            message.topic = unmounted_topic(mount_point, &message.topic)?;
        }
        Some(message)
    }
}

impl Messages {
    fn routed(&mut self, record: &Arc<MessageRecord>) -> Arc<Routed> {
        let Self { clock, now, known } = self;
        let routed = known.entry(record.number).or_insert_with(|| {
            let left = record.expires.map(|at| at.duration_since(clock.at(*now)).unwrap_or_default());
            // Not longer than its sender said, wherever the clock was put.
            let interval = record.message.properties.message_expiry_interval();
            let left = left.map(|left| match interval {
                Some(seconds) => left.min(Duration::from_secs(seconds.into())),
                None => left,
            });
            Arc::new(Routed::of_its_own(record.message.clone(), left.map(|left| *now + left)))
        });
        Arc::clone(routed)
    }
}

fn ids(identifiers: Vec<NonZeroU32>) -> Ids {
    let mut ids = Ids::None;
    for id in identifiers {
        ids.add(Some(id));
    }
    ids
}
