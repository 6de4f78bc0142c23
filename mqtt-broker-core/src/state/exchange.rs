//! What the state tells the store of sessions and of the steps of exchanges, and what waits for the store.

use std::num::NonZeroU32;
use std::sync::Arc;

use mqttkit_codec::{Instant, PacketId, QoS, ReasonCode, TopicFilter};

use super::journal::record;
use super::outbox::Routed;
use super::session::FOR_EVER;
use super::{ClientKey, State};
use crate::store::{SentFrom, SessionRecord, StoreOp};

/// What the store is to be told of a message when it is sent.
#[derive(Debug)]
pub(super) enum Note {
    Nothing,
    /// It waited under this number.
    Queued(u64),
    /// It was retained.
    Retained(Box<RetainedNote>),
}

/// A retained message, for a new subscription.
#[derive(Debug)]
pub(super) struct RetainedNote {
    pub(super) filter: TopicFilter,
    pub(super) message: Arc<Routed>,
    /// The number of the publication it came with.
    pub(super) number: u64,
    pub(super) qos: QoS,
    pub(super) id: Option<NonZeroU32>,
}

impl State {
    /// The number of the last op; what has made none since a number was asked for waits for nothing.
    #[inline]
    pub(crate) fn store_position(&self) -> u64 {
        self.journal.position()
    }

    /// What the store has not been told yet, to be emptied under the lock.
    #[inline]
    pub(crate) fn take_ops(&mut self) -> Option<&mut Vec<StoreOp>> {
        self.journal.take()
    }

    /// If more waits for the store than should: the op that must be durable before one goes on who has added to it.
    pub(crate) fn store_is_behind(&mut self) -> Option<u64> {
        self.journal.is_behind().then(|| self.journal.half_way())
    }

    #[inline]
    pub(crate) fn store_has_failed(&self) -> bool {
        self.journal.has_failed()
    }

    /// A client has a message of ours: with PUBREC, or one that it was given up for and may have. Returns whether the
    /// store is told.
    pub(crate) fn received(&mut self, client: ClientKey, packet_id: PacketId) {
        if let Some(session) = self.current(client).filter(|session| session.kept) {
            let client_id = session.client_id.clone();
            self.journal.tell(|_| StoreOp::Received { client_id, packet_id });
        }
    }

    /// A message of ours is done.
    pub(crate) fn acknowledged(&mut self, client: ClientKey, packet_id: PacketId, reason: ReasonCode) {
        // A message that the codec has given up may have arrived before: its identifier is in use until PUBCOMP.
        if reason == ReasonCode::PacketTooLarge {
            return self.received(client, packet_id);
        }
        if let Some(session) = self.current(client).filter(|session| session.kept) {
            let client_id = session.client_id.clone();
            self.journal.tell(|_| StoreOp::Completed { client_id, packet_id });
        }
    }

    /// A client releases a QoS 2 message of its own.
    pub(crate) fn released(&mut self, client: ClientKey, packet_id: PacketId) {
        if let Some(session) = self.current(client).filter(|session| session.kept) {
            let client_id = session.client_id.clone();
            self.journal.tell(|_| StoreOp::Released { client_id, packet_id });
        }
    }

    /// A message was given to a connection, which holds one of QoS 2 back until the store has this.
    pub(super) fn sent(&mut self, slot: usize, packet_id: PacketId, note: Note) {
        let from = match note {
            Note::Nothing => return,
            Note::Queued(delivery) => SentFrom::Queue { delivery },
            Note::Retained(note) => {
                let RetainedNote { filter, message, number, qos, id: identifier } = *note;
                return self.journal.tell(|clock| {
                    let message = record(&message, number, clock);
                    let from = SentFrom::Retained { filter, message, qos, identifier };
                    let client_id = self.sessions[slot].client_id.clone();
                    StoreOp::Sent { client_id, packet_id, from }
                });
            }
        };
        let client_id = self.sessions[slot].client_id.clone();
        self.journal.tell(|_| StoreOp::Sent { client_id, packet_id, from });
    }

    /// A message will not be sent.
    pub(super) fn unsent(&mut self, slot: usize, note: &Note) {
        if let &Note::Queued(delivery) = note {
            let client_id = self.sessions[slot].client_id.clone();
            self.journal.tell(|_| StoreOp::Dropped { client_id, delivery });
        }
    }

    /// Tells the store of a session: that it begins, or its client has come, or has gone at this time.
    pub(super) fn record_session(&mut self, slot: usize, left: Option<Instant>) {
        if !self.journal.is_on() {
            return;
        }
        let session = &mut self.sessions[slot];
        let keeps = !session.expiry.is_zero();
        if session.recorded && session.kept && !keeps {
            // It was to outlive its connection and is not any more.
            session.recorded = false;
            let client_id = session.client_id.clone();
            self.journal.tell(|_| StoreOp::SessionEnded { client_id });
        }
        session.kept = keeps;
        let has_will = session.will.is_some();
        if !keeps && !has_will {
            return;
        }
        session.recorded = true;
        let record = SessionRecord {
            expiry: (session.expiry != FOR_EVER).then_some(session.expiry),
            mount_point: session.mount_point.as_deref().cloned(),
            bridge: session.bridge,
            will: session.will.as_deref().cloned(),
            left: None,
        };
        let client_id = session.client_id.clone();
        self.journal.tell(|clock| {
            let session = SessionRecord { left: left.map(|at| clock.at(at)), ..record };
            StoreOp::Session { client_id, session }
        });
    }
}
