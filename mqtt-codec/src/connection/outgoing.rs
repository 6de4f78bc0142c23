//! Messages of ours: sent by name or alias, no more at a time than the peer takes, and again when a session resumes.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::BytesMut;

use super::aliases::{Alias, OwnAliases};
use super::closed::ProtocolError;
use super::common::{Core, CoreEvent};
use super::refused::PublishError;
use crate::codec::Codec;
use crate::error::EncodeError;
use crate::message::Message;
use crate::packet::publish::View;
use crate::packet::{Delivery, PubAck, PubComp, PubRec, PubRel, Publish};
use crate::reason::ReasonCode;
use crate::session::InFlight;
use crate::topic::TopicName;
use crate::types::{Instant, PacketId, PacketType, QoS};

/// What a connection knows of our messages, beyond the session.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What the peer takes at all.
    pub(super) limits: Limits,
    /// How many more QoS 1 and 2 messages the peer takes now.
    quota: u16,
    /// What most connections never have.
    rest: Option<Box<Rest>>,
    /// None where none may be set.
    aliases: Option<Box<OwnAliases>>,
    /// Whether a QoS 2 message is sent when the application says so, and not when it is published.
    pub(super) holds_qos2: bool,
}

/// What is left of an earlier connection.
#[derive(Debug, Default)]
struct Rest {
    /// Messages that must be sent again before new ones.
    resend: VecDeque<PacketId>,
    /// Messages that came to their end without a packet of the peer, and that the application is still to be told of.
    settled: VecDeque<(PacketId, ReasonCode)>,
}

/// What the peer said that it takes.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) receive_maximum: u16,
    pub(super) maximum_qos: QoS,
    pub(super) retain_available: bool,
    pub(super) topic_alias_maximum: u16,
    /// How many of those aliases this side sets by itself.
    pub(super) automatic_aliases: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            topic_alias_maximum: 0,
            automatic_aliases: 0,
        }
    }
}

impl Limits {
    fn check(&self, qos: QoS, retain: bool) -> Result<(), PublishError> {
        // [MQTT-3.2.2-11]
        if qos > self.maximum_qos {
            return Err(PublishError::QoSNotSupported(self.maximum_qos));
        }
        // [MQTT-3.2.2-14]
        if retain && !self.retain_available {
            return Err(PublishError::RetainNotSupported);
        }
        Ok(())
    }

    /// An application may set aliases itself. [MQTT-3.3.2-9], [MQTT-3.3.2-11]
    fn check_alias(&self, message: &Message) -> Result<(), PublishError> {
        let maximum = self.topic_alias_maximum;
        match message.properties.topic_alias() {
            Some(alias) if alias.get() > maximum => {
                Err(PublishError::TopicAliasAboveMaximum { alias: alias.get(), maximum })
            }
            _ => Ok(()),
        }
    }
}

impl Outgoing {
    /// Ends a message that no packet of the peer will end.
    pub(super) fn settle(&mut self, id: PacketId, reason: ReasonCode) {
        self.rest.get_or_insert_default().settled.push_back((id, reason));
    }

    /// The end of such a message.
    pub(super) fn take_settled(&mut self) -> Option<(PacketId, ReasonCode)> {
        self.rest.as_mut()?.settled.pop_front()
    }

    /// The message to send again next.
    fn next_resend(&self) -> Option<PacketId> {
        self.rest.as_ref()?.resend.front().copied()
    }

    /// The memory that our own aliases take, in bytes, about.
    pub(super) fn alias_memory(&self) -> usize {
        self.aliases.as_ref().map_or(0, |aliases| aliases.memory())
    }

    pub(super) fn end_connection(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.resend = VecDeque::new();
        }
        self.aliases = None;
    }
}

// ---- sending

impl Core {
    /// Publishes a message. The quota is checked for QoS 1 and 2.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<Option<PacketId>, PublishError> {
        self.outgoing.limits.check(message.qos, message.retain)?;
        self.outgoing.limits.check_alias(&message)?;
        if self.is_draining() {
            return Err(PublishError::Draining);
        }
        if message.qos == QoS::AtMostOnce {
            self.send_publish(now, &message.into_publish(Delivery::AtMostOnce))?;
            return Ok(None);
        }
        if self.send_quota() == 0 {
            return Err(PublishError::QuotaExhausted);
        }
        let id = self.session.outbound.next_id().ok_or(PublishError::NoPacketId)?;
        let delivery = match message.qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce(id),
            _ => Delivery::AtLeastOnce(id),
        };
        let mut publish = message.into_publish(delivery);
        if publish.topic.is_aliased() {
            // On the next connection nobody would know what it was.
            return Err(EncodeError::MissingTopic.into());
        }
        if self.outgoing.holds_qos2 && delivery.qos() == QoS::ExactlyOnce {
            // What the peer does not take is found out now.
            self.codec.encode_publish_header(&publish, &mut BytesMut::new())?;
        } else {
            self.send_publish(now, &publish)?;
        }
        publish.properties.remove(0x23);
        self.session.outbound.insert(InFlight::Publish(publish), true);
        self.outgoing.quota -= 1;
        Ok(Some(id))
    }

    /// Publishes a message that others have too, with QoS 0 and this RETAIN. Nothing of it is taken.
    pub(super) fn publish_shared(
        &mut self,
        now: Instant,
        message: &Message,
        retain: bool,
    ) -> Result<(), PublishError> {
        self.outgoing.limits.check(QoS::AtMostOnce, retain)?;
        if !message.properties.is_empty() {
            self.outgoing.limits.check_alias(message)?;
        }
        if self.is_draining() {
            return Err(PublishError::Draining);
        }
        if self.outgoing.aliases.is_some() {
            let message = Message { retain, ..message.clone() };
            self.send_publish(now, &message.into_publish(Delivery::AtMostOnce))?;
        } else {
            self.transmit.publish(&self.codec, View::at_most_once(message, retain))?;
            self.sent_at = now;
        }
        Ok(())
    }

    /// What encodes packets that any connection like this one can send.
    pub(super) fn shared_codec(&self) -> Option<&Codec> {
        self.outgoing.aliases.is_none().then_some(&self.codec)
    }

    pub(super) fn publish_encoded(&mut self, now: Instant, packets: &[u8]) -> Result<(), PublishError> {
        if self.is_draining() {
            return Err(PublishError::Draining);
        }
        self.transmit.append(packets);
        self.sent_at = now;
        Ok(())
    }

    /// Sends a message that was held back.
    pub(super) fn send_held(&mut self, now: Instant, id: PacketId) {
        let Some(InFlight::Publish(publish)) = self.session.outbound.get(id) else { return };
        let publish = publish.clone();
        if let Err(error) = self.send_publish(now, &publish) {
            self.give_up(now, id, publish.delivery.qos(), error.into());
        }
    }

    /// Sends a message, by its alias if it has one. The session keeps it by its name, since an alias does not
    /// outlive the connection. [MQTT-3.3.2-7]
    fn send_publish(&mut self, now: Instant, publish: &Publish) -> Result<(), EncodeError> {
        let aliases = self.outgoing.aliases.as_mut();
        match aliases.as_ref().map_or(Alias::None, |aliases| aliases.choose(&publish.topic)) {
            Alias::None => self.transmit.publish(&self.codec, publish.view())?,
            alias @ (Alias::New(number) | Alias::Known(number)) => {
                let mut aliased = publish.clone();
                aliased.properties = aliased.properties.with_topic_alias(number);
                if matches!(alias, Alias::Known(_)) {
                    aliased.topic = TopicName::ALIASED;
                }
                match self.transmit.publish(&self.codec, aliased.view()) {
                    Ok(()) => {
                        if let Some(aliases) = aliases {
                            aliases.used(&publish.topic, alias);
                        }
                    }
                    // The alias itself may be what makes it too large.
                    Err(EncodeError::PacketTooLarge { .. }) => {
                        self.transmit.publish(&self.codec, publish.view())?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.sent_at = now;
        Ok(())
    }

    /// How many QoS 1 and 2 messages may be published now. None overtakes one that is sent again.
    pub(super) fn send_quota(&self) -> usize {
        let may_send =
            self.outgoing.rest.as_ref().is_none_or(|rest| rest.resend.is_empty()) && self.is_open();
        if may_send { usize::from(self.outgoing.quota) } else { 0 }
    }

    /// Begins with what an earlier connection left in flight, in its order. [MQTT-4.4.0-1], [MQTT-4.6.0-1]
    pub(super) fn resume(&mut self, now: Instant) {
        let aliases = self.outgoing.limits.automatic_aliases;
        self.outgoing.aliases = (aliases > 0).then(|| Box::new(OwnAliases::new(aliases)));
        self.outgoing.quota = self.outgoing.limits.receive_maximum;
        for id in self.session.outbound.in_order() {
            match self.session.outbound.get(id) {
                // These wait for no quota. [MQTT-3.3.4-8], [MQTT-3.3.4-10]
                Some(InFlight::Release { .. }) => self.send_ack(now, &PubRel::new(id)),
                Some(InFlight::Publish(_)) => {
                    self.outgoing.rest.get_or_insert_default().resend.push_back(id);
                }
                _ => {}
            }
            self.pump_resend(now);
        }
    }

    /// Sends again as far as the quota reaches.
    fn pump_resend(&mut self, now: Instant) {
        while let Some(id) = self.outgoing.next_resend() {
            // One that the peer has acknowledged after all, unasked, needs it no more.
            if let Some(InFlight::Publish(publish)) = self.session.outbound.get(id) {
                let taken = self.outgoing.limits.check(publish.delivery.qos(), publish.retain);
                if taken.is_ok() && self.outgoing.quota == 0 {
                    return;
                }
                // [MQTT-3.3.1-1]
                let again = Publish { dup: true, ..publish.clone() };
                match taken.and_then(|()| Ok(self.send_publish(now, &again)?)) {
                    Ok(()) => {
                        self.outgoing.quota -= 1;
                        self.session.outbound.count(id);
                    }
                    Err(error) => self.give_up(now, id, again.delivery.qos(), error),
                }
            }
            if let Some(rest) = &mut self.outgoing.rest {
                rest.resend.pop_front();
            }
        }
    }

    /// Ends a message that the peer took before and takes no longer, or it would be in the way for ever.
    /// [MQTT-3.1.2-25], [MQTT-3.2.2-11], [MQTT-3.2.2-14]
    ///
    /// The peer may have it from an earlier connection all the same. If it is of QoS 2 the peer holds its identifier
    /// then, and would take the next message with that for the same. So it is released like one that arrived, and its
    /// identifier stays in use until PUBCOMP, whatever its reason. [MQTT-4.3.3-11]
    fn give_up(&mut self, now: Instant, id: PacketId, qos: QoS, error: PublishError) {
        if qos == QoS::ExactlyOnce {
            self.session.outbound.replace(id, InFlight::Release { told: true });
            self.send_ack(now, &PubRel::new(id));
        } else {
            self.session.outbound.remove(id);
        }
        let reason = match error {
            PublishError::QoSNotSupported(_) => ReasonCode::QoSNotSupported,
            PublishError::RetainNotSupported => ReasonCode::RetainNotSupported,
            _ => ReasonCode::PacketTooLarge,
        };
        self.outgoing.settle(id, reason);
    }
}

// ---- what the peer says of them

impl Core {
    pub(super) fn on_puback(
        &mut self,
        now: Instant,
        ack: &PubAck,
    ) -> Result<Option<CoreEvent>, ProtocolError> {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            Some(InFlight::Publish(publish)) if publish.delivery.qos() == QoS::AtLeastOnce => {
                Ok(Some(self.complete(now, id, ack.reason)))
            }
            Some(_) => Err(wrong_ack(PacketType::PubAck, id)),
            // A peer that acknowledges twice harms nobody.
            None => Ok(None),
        }
    }

    pub(super) fn on_pubrec(
        &mut self,
        now: Instant,
        ack: &PubRec,
    ) -> Result<Option<CoreEvent>, ProtocolError> {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            Some(InFlight::Publish(publish)) if publish.delivery.qos() == QoS::ExactlyOnce => {
                if ack.reason.is_error() {
                    return Ok(Some(self.complete(now, id, ack.reason)));
                }
                self.release(now, id);
                Ok(None)
            }
            Some(InFlight::Release { .. }) => {
                self.send_ack(now, &PubRel::new(id));
                Ok(None)
            }
            Some(_) => Err(wrong_ack(PacketType::PubRec, id)),
            None => {
                if !ack.reason.is_error() {
                    let reason = ReasonCode::PacketIdentifierNotFound;
                    self.send_ack(now, &PubRel::new(id).with_reason(reason));
                }
                Ok(None)
            }
        }
    }

    pub(super) fn on_pubcomp(
        &mut self,
        now: Instant,
        ack: &PubComp,
    ) -> Result<Option<CoreEvent>, ProtocolError> {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            // PUBREC has said that the message is there. That its identifier is no longer known is no error after a
            // lost PUBCOMP, and there is no other reason that is one.
            Some(&InFlight::Release { told }) => {
                let event = self.complete(now, id, ReasonCode::Success);
                Ok((!told).then_some(event))
            }
            Some(_) => Err(wrong_ack(PacketType::PubComp, id)),
            None => Ok(None),
        }
    }

    /// The peer has a QoS 2 message: from here on it is not sent again. [MQTT-4.3.3-4]
    pub(super) fn release(&mut self, now: Instant, id: PacketId) {
        self.session.outbound.replace(id, InFlight::Release { told: false });
        self.send_ack(now, &PubRel::new(id));
    }

    /// A message of ours is done: frees its identifier and its place in the quota.
    fn complete(&mut self, now: Instant, packet_id: PacketId, reason: ReasonCode) -> CoreEvent {
        if let Some((_, true)) = self.session.outbound.remove(packet_id) {
            self.outgoing.quota = self.outgoing.quota.saturating_add(1);
            self.pump_resend(now);
        }
        CoreEvent::Acknowledged { packet_id, reason }
    }
}

fn wrong_ack(packet: PacketType, packet_id: PacketId) -> ProtocolError {
    ProtocolError::WrongAcknowledgement { packet, packet_id }
}
