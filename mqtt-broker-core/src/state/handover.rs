//! Handing over: what a member of a shared subscription leaves undone when its session ends, another member gets.

use std::collections::HashMap;
use std::sync::Arc;

use mqttkit_codec::{Instant, Outgoing, PacketId, QoS, Str};

use super::State;
use super::group::{Pick, Serial};
use super::outbox::{Ids, Routed};
use super::publish::{Delivery, Shared};
use super::session::Session;
use crate::events::DropCause;
use crate::policy::mounted_topic;
use crate::store::{Pending, Retention, StoreOp};

/// Where a message in flight came from, if it came to its receiver for a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(super) group: Serial,
    /// When its lifetime ends.
    pub(super) expires: Option<Instant>,
}

/// The QoS 1 messages in flight that another member may get. Of QoS 2 there are none: a delivery that has begun stays
/// with its session. [MQTT-4.8.2-4], [MQTT-4.8.2-5]
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most clients are in no group")]
pub(crate) struct InFlightForGroups(Option<Box<HashMap<PacketId, Origin>>>);

impl InFlightForGroups {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|map| map.is_empty())
    }

    pub(super) fn insert(&mut self, id: PacketId, origin: Origin) {
        self.0.get_or_insert_default().insert(id, origin);
    }

    pub(super) fn get(&self, id: PacketId) -> Option<&Origin> {
        self.0.as_ref()?.get(&id)
    }

    pub(crate) fn remove(&mut self, id: PacketId) {
        if let Some(map) = &mut self.0 {
            map.remove(&id);
        }
    }
}

/// A message whose receiver is gone.
pub(super) struct Orphan {
    message: Arc<Routed>,
    group: Serial,
    qos: QoS,
    retain: bool,
    /// Where it was.
    pending: Pending,
}

impl Session {
    /// What other members of its groups may get, in the order in which it would have got them: first what it has not
    /// acknowledged, then what was not sent yet.
    pub(super) fn take_orphans(&mut self) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        if let Some(left) = self.presence.take_left().filter(|left| !left.for_groups.is_empty()) {
            for (id, outgoing) in left.in_flight.export().outgoing {
                let (Some(origin), Outgoing::Published(mut message)) = (left.for_groups.get(id), outgoing)
                else {
                    continue;
                };
                if let Some(mount_point) = &self.mount_point {
                    let Some(topic) = mounted_topic(mount_point, &message.topic) else { continue };
                    message.topic = topic;
                }
                let properties = std::mem::take(&mut message.properties);
                message.properties = properties.without_subscription_identifiers();
                let (qos, retain) = (message.qos, message.retain);
                let message = Arc::new(Routed::of_its_own(message.detached(), origin.expires));
                let pending = Pending::InFlight { packet_id: id };
                orphans.push(Orphan { message, group: origin.group, qos, retain, pending });
            }
        }
        orphans.extend(self.outbox.take_shared().map(|queued| Orphan {
            message: queued.message,
            group: queued.group,
            qos: queued.qos,
            retain: queued.retain,
            pending: Pending::Queue { delivery: queued.number },
        }));
        orphans
    }
}

impl State {
    /// Gives what this client leaves behind to other members, as far as there are any. If the store keeps its session,
    /// a message goes there from one to the other in one step, so that none is lost or doubled.
    pub(super) fn hand_over(&mut self, now: Instant, client_id: &Str, kept: bool, orphans: Vec<Orphan>) {
        for Orphan { message, group, qos, retain, pending } in orphans {
            let topic = message.message.topic.as_str();
            let pick = Pick::new(self.config.shared_strategy, None, topic, &mut self.random);
            let traced = self.is_traced(&message.message.topic);
            let Self { router, sessions, counters, observers, .. } = self;
            if message.is_expired(now) {
                counters.lose(observers, client_id, DropCause::Expired, 1);
                continue;
            }
            let online = |slot| sessions.get(slot).is_some_and(Session::is_online);
            let outstanding = |slot| sessions.get(slot).map_or(0, Session::outstanding);
            let Some((slot, wish)) = router.member_of(group, pick, online, outstanding) else {
                counters.lose(observers, client_id, DropCause::SessionEnded, 1);
                continue;
            };
            let delivery = Delivery {
                slot,
                qos: qos.min(wish.options.qos),
                retain: retain && wish.options.retain_as_published,
                ids: Ids::new(wish.id),
                group,
            };
            self.push(now, &mut Shared::new(Arc::clone(&message), traced), delivery);
            let is_known = !matches!(pending, Pending::Queue { delivery: 0 });
            if kept && is_known {
                for to in self.journal.take_deliveries() {
                    let client_id = client_id.clone();
                    self.journal.tell(|_| StoreOp::Moved { client_id, pending, to });
                }
            } else {
                self.sequence += 1;
                self.journal.published(&message, self.sequence, Retention::Untouched, None);
            }
        }
    }
}
