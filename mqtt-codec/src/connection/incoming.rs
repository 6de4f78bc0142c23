//! Messages of the peer: delivered once, acknowledged in their order, and no more at a time than allowed.

use alloc::boxed::Box;

use super::acks::PendingAcks;
use super::aliases::PeerAliases;
use super::closed::ProtocolError;
use super::common::Core;
use crate::packet::{Delivery, PubAck, PubComp, PubRec, Publish};
use crate::reason::ReasonCode;
use crate::session::{AckToken, DeliveryNumber, Entry, Received};
use crate::types::{Instant, PacketId, PacketType, QoS, Version};

/// What a connection knows of the peer's messages, beyond the session.
#[derive(Debug)]
pub(super) struct Incoming {
    acks: PendingAcks,
    recs: PendingAcks,
    /// How many QoS 1 and 2 messages of this connection are not complete. Those that came over an earlier one do not
    /// count: the peer begins anew as well. [MQTT-4.9.0-1]
    open: usize,
    /// How many may be.
    receive_maximum: u16,
    /// The highest alias that the peer may set.
    topic_alias_maximum: u16,
    /// None until it sets one.
    aliases: Option<Box<PeerAliases>>,
    /// Whether messages are acknowledged without being asked.
    automatic_acknowledgement: bool,
}

/// What a message is.
pub(super) enum Arrival {
    /// One for the application, with what it acknowledges it by.
    New(Option<AckToken>),
    /// One that the application has had.
    Repeated,
}

impl Incoming {
    pub(super) fn new(
        receive_maximum: u16,
        topic_alias_maximum: u16,
        automatic_acknowledgement: bool,
    ) -> Self {
        Self {
            acks: PendingAcks::default(),
            recs: PendingAcks::default(),
            open: 0,
            receive_maximum,
            topic_alias_maximum,
            aliases: None,
            automatic_acknowledgement,
        }
    }

    /// Whether the application has not answered all messages.
    pub(super) fn awaits_answers(&self) -> bool {
        !self.acks.is_empty() || !self.recs.is_empty()
    }

    /// The memory that the aliases of the peer take, in bytes, about.
    pub(super) fn alias_memory(&self) -> usize {
        self.aliases.as_ref().map_or(0, |aliases| aliases.memory())
    }

    /// Puts the topic in the place of an alias.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), ProtocolError> {
        let Some(alias) = publish.properties.topic_alias() else { return Ok(()) };
        let (alias, maximum) = (alias.get(), self.topic_alias_maximum);
        // [MQTT-3.3.2-9], [MQTT-3.3.2-11]
        if alias > maximum {
            return Err(ProtocolError::TopicAliasAboveMaximum { alias, maximum });
        }
        self.aliases.get_or_insert_default().resolve(alias, publish)
    }

    /// Gives memory back when the connection is over.
    pub(super) fn end_connection(&mut self) {
        self.acks = PendingAcks::default();
        self.recs = PendingAcks::default();
        self.aliases = None;
    }
}

impl Core {
    /// Takes a message in, and puts its topic in the place of an alias.
    #[inline]
    pub(super) fn on_publish(
        &mut self,
        now: Instant,
        publish: &mut Publish,
    ) -> Result<Arrival, ProtocolError> {
        if !publish.properties.is_empty() {
            self.incoming.resolve_alias(publish)?;
        }
        match publish.delivery {
            Delivery::AtMostOnce => Ok(Arrival::New(None)),
            delivery => self.on_acknowledged_publish(now, delivery),
        }
    }

    fn on_acknowledged_publish(
        &mut self,
        now: Instant,
        delivery: Delivery,
    ) -> Result<Arrival, ProtocolError> {
        let number = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) => {
                self.count_incoming()?;
                self.incoming.acks.push(id);
                // Its connection is all that tells it apart: the identifier is not used again before it ends.
                Some(DeliveryNumber { connection: self.session.connection(), serial: 0 })
            }
            Delivery::ExactlyOnce(id) => {
                let Some(number) = self.receive_once(now, id)? else { return Ok(Arrival::Repeated) };
                Some(number)
            }
        };
        let token = number.zip(delivery.packet_id()).map(|(number, packet_id)| AckToken {
            packet_id,
            qos: delivery.qos(),
            delivery: number,
        });
        let token = match token {
            Some(token) if self.incoming.automatic_acknowledgement => {
                self.ack(now, token, ReasonCode::Success);
                None
            }
            token => token,
        };
        Ok(Arrival::New(token))
    }

    /// Takes in the identifier of a QoS 2 message. `None` if it was delivered before and must not be again.
    /// [MQTT-4.3.3-10]
    fn receive_once(&mut self, now: Instant, id: PacketId) -> Result<Option<DeliveryNumber>, ProtocolError> {
        let known = self.session.inbound.get_mut(id).map(|entry| *entry);
        let Some(entry) = known else {
            self.count_incoming()?;
            let number = self.session.next_delivery();
            let entry = Entry { state: Received::Delivered(number), is_current: true };
            self.session.inbound.insert(id, entry);
            self.incoming.recs.push(id);
            return Ok(Some(number));
        };
        if !entry.is_current {
            self.count_incoming()?;
            if let Some(entry) = self.session.inbound.get_mut(id) {
                entry.is_current = true;
            }
        }
        match (entry.state, entry.is_current) {
            (Received::Delivered(_), false) => self.incoming.recs.push(id),
            // Its PUBREC waits for the application.
            (Received::Delivered(_), true) => {}
            (Received::Accepted, false) => {
                self.incoming.recs.push_answered(id, ReasonCode::Success);
                self.send_due_answers(now);
            }
            (Received::Accepted, true) => {
                // Sent twice over one connection, as MQTT 3.1 clients do. While others wait it stays with the PUBREC
                // that was sent, or is to be: a queue that a peer can lengthen must have a bound.
                if self.incoming.recs.is_empty() {
                    self.send_ack(now, &PubRec::new(id));
                }
            }
        }
        Ok(None)
    }

    /// [MQTT-3.3.4-7], [MQTT-3.3.4-9]; before MQTT 5.0 there is no such limit and identifiers alone bound it
    fn count_incoming(&mut self) -> Result<(), ProtocolError> {
        let incoming = &mut self.incoming;
        let maximum = if self.codec.version() == Version::V5 { incoming.receive_maximum } else { u16::MAX };
        if incoming.open >= usize::from(maximum) {
            return Err(ProtocolError::ReceiveMaximumExceeded(maximum));
        }
        incoming.open += 1;
        Ok(())
    }

    /// Takes the application's answer to a message and sends all that are due. A reason that is none of PUBACK and
    /// PUBREC, which carry the same, is sent as the plainest that is.
    pub(super) fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        let id = token.packet_id;
        let reason = match reason {
            reason if reason.is_allowed_in(PacketType::PubAck) => reason,
            reason if reason.is_error() => ReasonCode::UnspecifiedError,
            _ => ReasonCode::Success,
        };
        if token.qos == QoS::AtLeastOnce {
            if token.delivery.connection == self.session.connection() {
                self.incoming.acks.answer(id, reason);
            }
        } else if self.session.inbound.answer(token, !reason.is_error()) {
            self.incoming.recs.answer(id, reason);
        }
        if self.is_open() {
            self.send_due_answers(now);
        }
    }

    fn send_due_answers(&mut self, now: Instant) {
        while let Some((id, reason)) = self.incoming.acks.pop() {
            self.incoming.open = self.incoming.open.saturating_sub(1);
            self.send_ack(now, &PubAck::new(id).with_reason(reason));
        }
        while let Some((id, reason)) = self.incoming.recs.pop() {
            if reason.is_error() {
                // [MQTT-4.3.3-9]: a refusal ends the exchange.
                self.incoming.open = self.incoming.open.saturating_sub(1);
            }
            self.send_ack(now, &PubRec::new(id).with_reason(reason));
        }
    }

    pub(super) fn on_pubrel(&mut self, now: Instant, id: PacketId) {
        let entry = self.session.inbound.remove(id);
        if let Some(Entry { is_current: true, state }) = entry {
            self.incoming.open = self.incoming.open.saturating_sub(1);
            if matches!(state, Received::Delivered(_)) {
                // The sender gave it up before the application answered.
                self.incoming.recs.forget(id);
                self.send_due_answers(now);
            }
        }
        // [MQTT-4.3.3-11]; one that is not known is answered too, or its sender would wait for ever.
        let known = entry.is_some();
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(now, &PubComp::new(id).with_reason(reason));
    }
}
