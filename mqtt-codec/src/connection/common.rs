//! What both roles have in common: messages in both directions, their acknowledgements, and the end.

use alloc::collections::VecDeque;

use super::acks::{AckToken, PendingAcks};
use super::aliases::{Alias, OwnAliases, PeerAliases};
use super::closed::{Closed, ProtocolError, PublishError};
use crate::codec::Codec;
use crate::error::EncodeError;
use crate::message::Message;
use crate::packet::{
    Auth, ConnAck, Delivery, Disconnect, EncodePacket, Packet, PubAck, PubComp, PubRec, PubRel, Publish,
    SubAck, UnsubAck,
};
use crate::property::{Properties, PropertySet};
use crate::reason::ReasonCode;
use crate::session::{InFlight, Received, Session};
use crate::text::Str;
use crate::topic::TopicName;
use crate::transmit::Transmit;
use crate::types::{Instant, PacketId, QoS, Version};

/// The state of a connection that does not depend on the role.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) codec: Codec,
    pub(super) transmit: Transmit,
    pub(super) session: Session,
    /// When a packet was last received and last sent.
    pub(super) received_at: Instant,
    pub(super) sent_at: Instant,
    /// Where the end of the connection stands.
    end: End,
    /// Whether this side may say goodbye; a server before MQTT 5.0 can only close. [MQTT-3.14.0-1]
    pub(super) says_goodbye: bool,
    /// The goodbye that waits for what is in flight, and when it waits no longer.
    drain: Option<(Disconnect, Instant)>,
    /// How many more QoS 1 and 2 messages the peer takes now.
    quota: u16,
    /// Messages of an earlier connection that must be sent again before new ones.
    resend: VecDeque<PacketId>,
    /// Messages that came to their end without a packet of the peer, and that the application is still to be told of.
    settled: VecDeque<(PacketId, ReasonCode)>,
    pending_acks: PendingAcks,
    pending_recs: PendingAcks,
    /// How many QoS 1 and 2 messages this side takes at a time.
    receive_maximum: u16,
    peer_aliases: PeerAliases,
    own_aliases: OwnAliases,
    /// Whether messages are acknowledged without being asked.
    pub(super) automatic_acknowledgement: bool,
    /// Whether Reason Strings and User Properties may be sent. [MQTT-3.1.2-29]
    pub(super) problem_information: bool,
}

/// ```text
///   Open ──close()──▶ Pending ──take_closed()──▶ Done
/// ```
#[derive(Debug)]
enum End {
    Open,
    /// Over, and the application does not know yet.
    Pending(Closed),
    Done,
}

/// What a packet means to the application, whichever the role.
pub(super) enum CoreEvent {
    Publish { message: Message, dup: bool, token: Option<AckToken> },
    Acknowledged { packet_id: PacketId, reason: ReasonCode },
}

type Handled = Result<Option<CoreEvent>, ProtocolError>;

impl Core {
    pub(super) fn new(codec: Codec, receive_maximum: u16, topic_alias_maximum: u16, now: Instant) -> Self {
        Self {
            codec,
            transmit: Transmit::default(),
            session: Session::new(),
            received_at: now,
            sent_at: now,
            end: End::Open,
            says_goodbye: true,
            drain: None,
            quota: 0,
            resend: VecDeque::new(),
            settled: VecDeque::new(),
            pending_acks: PendingAcks::default(),
            pending_recs: PendingAcks::default(),
            receive_maximum,
            peer_aliases: PeerAliases::new(topic_alias_maximum),
            own_aliases: OwnAliases::default(),
            automatic_acknowledgement: false,
            problem_information: true,
        }
    }

    /// The connection is established: resumes the session, with this many messages allowed at a time, and sets
    /// up to `aliases` topic aliases by itself.
    pub(super) fn start(&mut self, now: Instant, quota: u16, aliases: u16) {
        self.own_aliases = OwnAliases::new(aliases);
        self.session.epoch = self.session.epoch.wrapping_add(1);
        self.quota = quota;
        self.resend = self.session.outbound.in_order();
        self.pump_resend(now);
    }

    // ---- the end

    pub(super) fn is_open(&self) -> bool {
        matches!(self.end, End::Open)
    }

    /// Ends the connection; the first cause stays.
    pub(super) fn close(&mut self, closed: Closed) {
        if self.is_open() {
            self.session.outbound.end_connection();
            self.resend = VecDeque::new();
            self.peer_aliases.clear();
            self.own_aliases = OwnAliases::default();
            self.end = End::Pending(closed);
        }
    }

    /// The cause of the end, once.
    pub(super) fn take_closed(&mut self) -> Option<Closed> {
        match core::mem::replace(&mut self.end, End::Done) {
            End::Pending(closed) => Some(closed),
            End::Open => {
                self.end = End::Open;
                None
            }
            End::Done => None,
        }
    }

    /// Says goodbye as far as the version can, and closes.
    pub(super) fn disconnect(&mut self, now: Instant, disconnect: &Disconnect, closed: Closed) {
        if self.is_open() {
            if self.says_goodbye {
                let _ = self.send_with_text(now, disconnect);
            }
            self.close(closed);
        }
    }

    /// Takes no more messages, and says goodbye when all in flight are complete or at the deadline.
    pub(super) fn drain(&mut self, now: Instant, disconnect: Disconnect, deadline: Instant) {
        self.drain = Some((disconnect, deadline));
        self.continue_drain(now);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// When the goodbye waits no longer.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        self.drain.as_ref().map(|&(_, deadline)| deadline)
    }

    /// Says the goodbye if it is time for it.
    pub(super) fn continue_drain(&mut self, now: Instant) {
        let Some((_, deadline)) = &self.drain else { return };
        let unanswered = self.pending_acks.len() + self.session.inbound.len();
        if now < *deadline && self.session.outbound.messages() + unanswered > 0 {
            return;
        }
        if let Some((disconnect, _)) = self.drain.take() {
            let reason = disconnect.reason;
            self.disconnect(now, &disconnect, Closed::Local(reason));
        }
    }

    // ---- sending

    pub(super) fn send<P: EncodePacket>(&mut self, now: Instant, packet: &P) -> Result<(), EncodeError> {
        self.sent_at = now;
        self.transmit.packet(&self.codec, packet)
    }

    /// Sends a packet whose Reason String and User Properties may have to be left out, because the peer does not
    /// want them or because the packet is too large with them. [MQTT-3.4.2-2] and its like in other packets
    pub(super) fn send_with_text<P: HasText>(&mut self, now: Instant, packet: &P) -> Result<(), EncodeError> {
        let allowed = self.problem_information || P::ALWAYS_ALLOWED;
        if allowed {
            match self.send(now, packet) {
                Err(EncodeError::PacketTooLarge { .. }) => {}
                done => return done,
            }
        }
        self.send(now, &packet.without_text())
    }

    /// Sends an AUTH with the method of CONNECT, whichever it brings. [MQTT-4.12.0-5]
    pub(super) fn send_auth(
        &mut self,
        now: Instant,
        auth: &Auth,
        method: Option<&Str>,
    ) -> Result<(), EncodeError> {
        // [MQTT-4.12.0-6], [MQTT-4.12.0-7]
        let method = method.ok_or(EncodeError::NoAuthenticationMethod)?;
        if auth.properties.authentication_method().as_ref() == Some(method) {
            return self.send_with_text(now, auth);
        }
        let properties = auth.properties.clone().with_authentication_method(method);
        self.send_with_text(now, &Auth { properties, reason: auth.reason })
    }

    /// Acknowledgements have a fixed size that every peer takes; a limit below it is the peer's own fault.
    fn send_ack<P: EncodePacket>(&mut self, now: Instant, packet: &P) {
        if self.send(now, packet).is_err() {
            self.close(Closed::Local(ReasonCode::PacketTooLarge));
        }
    }

    /// Publishes a message. The quota is checked for QoS 1 and 2.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<Option<PacketId>, PublishError> {
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
        self.send_publish(now, &publish)?;
        publish.properties.remove(0x23);
        self.session.outbound.insert(InFlight::Publish(publish), true);
        self.quota -= 1;
        Ok(Some(id))
    }

    /// Sends a message, by its alias if it has one. The session keeps it by its name, since an alias does not
    /// outlive the connection. [MQTT-3.3.2-7]
    fn send_publish(&mut self, now: Instant, publish: &Publish) -> Result<(), EncodeError> {
        let alias = self.own_aliases.choose(&publish.topic);
        match alias {
            Alias::None => self.transmit.publish(&self.codec, publish)?,
            Alias::New(number) | Alias::Known(number) => {
                let mut aliased = publish.clone();
                aliased.properties = aliased.properties.with_topic_alias(number);
                if matches!(alias, Alias::Known(_)) {
                    aliased.topic = TopicName::ALIASED;
                }
                self.transmit.publish(&self.codec, &aliased)?;
                self.own_aliases.used(&publish.topic, alias);
            }
        }
        self.sent_at = now;
        Ok(())
    }

    /// How many QoS 1 and 2 messages may be published now. None overtakes one that is sent again.
    pub(super) fn send_quota(&self) -> usize {
        if self.resend.is_empty() && self.is_open() { usize::from(self.quota) } else { 0 }
    }

    /// Sends again what is in flight, in the order it was first sent, as far as the quota reaches.
    /// [MQTT-4.4.0-1]
    fn pump_resend(&mut self, now: Instant) {
        while let Some(&id) = self.resend.front() {
            match self.session.outbound.get(id) {
                Some(InFlight::Release) => self.send_ack(now, &PubRel::new(id)),
                Some(InFlight::Publish(publish)) => {
                    if self.quota == 0 {
                        return;
                    }
                    // [MQTT-3.3.1-1]
                    let again = Publish { dup: true, ..publish.clone() };
                    if self.send_publish(now, &again).is_err() {
                        // Larger than the peer takes now. [MQTT-3.1.2-25]: it counts as delivered.
                        self.session.outbound.remove(id);
                        self.settle(id, ReasonCode::PacketTooLarge);
                    } else {
                        self.quota -= 1;
                        self.session.outbound.count(id);
                    }
                }
                _ => {}
            }
            self.resend.pop_front();
        }
    }

    /// Ends a message that no packet of the peer will end.
    pub(super) fn settle(&mut self, id: PacketId, reason: ReasonCode) {
        self.settled.push_back((id, reason));
    }

    /// The end of such a message.
    pub(super) fn take_settled(&mut self) -> Option<CoreEvent> {
        let (packet_id, reason) = self.settled.pop_front()?;
        Some(CoreEvent::Acknowledged { packet_id, reason })
    }

    // ---- receiving

    /// Handles the packets that both roles send; `Err` gives back one that is not of those.
    pub(super) fn handle(&mut self, now: Instant, packet: Packet) -> Result<Handled, Packet> {
        Ok(match packet {
            Packet::Publish(publish) => self.on_publish(now, publish),
            Packet::PubAck(ack) => self.on_puback(now, &ack),
            Packet::PubRec(ack) => self.on_pubrec(now, &ack),
            Packet::PubRel(ack) => {
                self.on_pubrel(now, ack.packet_id);
                Ok(None)
            }
            Packet::PubComp(ack) => self.on_pubcomp(now, &ack),
            other => return Err(other),
        })
    }

    fn on_publish(&mut self, now: Instant, mut publish: Publish) -> Handled {
        self.peer_aliases.resolve(&mut publish)?;
        let (dup, delivery) = (publish.dup, publish.delivery);
        let token = |packet_id, epoch| Some(AckToken { packet_id, qos: delivery.qos(), epoch });
        let epoch = self.session.epoch;
        let token = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) => {
                self.check_receive_maximum()?;
                self.pending_acks.push(id);
                token(id, epoch)
            }
            Delivery::ExactlyOnce(id) => match self.session.inbound.get(id) {
                None => {
                    self.check_receive_maximum()?;
                    self.session.inbound.set(id, Received::Delivered);
                    self.pending_recs.push(id);
                    token(id, epoch)
                }
                // [MQTT-4.3.3-10]: it was delivered before and must not be again.
                Some(Received::Accepted) => {
                    self.send_ack(now, &PubRec::new(id));
                    return Ok(None);
                }
                Some(Received::Delivered) => {
                    if !self.pending_recs.contains(id) {
                        self.pending_recs.push(id);
                    }
                    return Ok(None);
                }
            },
        };
        let token = match token {
            Some(token) if self.automatic_acknowledgement => {
                self.ack(now, token, ReasonCode::Success);
                None
            }
            token => token,
        };
        Ok(Some(CoreEvent::Publish { message: publish.into(), dup, token }))
    }

    /// [MQTT-3.3.4-7], [MQTT-3.3.4-9]; before MQTT 5.0 there is no such limit and identifiers alone bound it
    fn check_receive_maximum(&self) -> Result<(), ProtocolError> {
        let open = self.pending_acks.len() + self.session.inbound.len();
        let maximum = if self.codec.version() == Version::V5 { self.receive_maximum } else { u16::MAX };
        if open >= usize::from(maximum) {
            return Err(ProtocolError::ReceiveMaximumExceeded(maximum));
        }
        Ok(())
    }

    /// Takes the application's answer to a message and sends all that are due. A reason that is none of PUBACK and
    /// PUBREC, which carry the same, is sent as the plainest that is.
    pub(super) fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        let id = token.packet_id;
        let reason = match reason {
            reason if reason.is_allowed_in(crate::PacketType::PubAck) => reason,
            reason if reason.is_error() => ReasonCode::UnspecifiedError,
            _ => ReasonCode::Success,
        };
        if token.qos == QoS::AtLeastOnce {
            if token.epoch == self.session.epoch {
                self.pending_acks.answer(id, reason);
            }
        } else if token.epoch >= self.session.first_epoch
            && self.session.inbound.get(id) == Some(Received::Delivered)
        {
            if reason.is_error() {
                self.session.inbound.remove(id);
            } else {
                self.session.inbound.set(id, Received::Accepted);
            }
            self.pending_recs.answer(id, reason);
        }
        if !self.is_open() {
            return;
        }
        while let Some((id, reason)) = self.pending_acks.pop() {
            self.send_ack(now, &PubAck::new(id).with_reason(reason));
        }
        while let Some((id, reason)) = self.pending_recs.pop() {
            self.send_ack(now, &PubRec::new(id).with_reason(reason));
        }
    }

    fn on_puback(&mut self, now: Instant, ack: &PubAck) -> Handled {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            Some(InFlight::Publish(publish)) if publish.delivery.qos() == QoS::AtLeastOnce => {
                Ok(Some(self.complete(now, id, ack.reason)))
            }
            Some(_) => Err(wrong_ack(crate::PacketType::PubAck, id)),
            // A peer that acknowledges twice harms nobody.
            None => Ok(None),
        }
    }

    fn on_pubrec(&mut self, now: Instant, ack: &PubRec) -> Handled {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            Some(InFlight::Publish(publish)) if publish.delivery.qos() == QoS::ExactlyOnce => {
                if ack.reason.is_error() {
                    return Ok(Some(self.complete(now, id, ack.reason)));
                }
                // [MQTT-4.3.3-4]: from here on the message is not sent again.
                self.session.outbound.replace(id, InFlight::Release);
                self.send_ack(now, &PubRel::new(id));
                Ok(None)
            }
            Some(InFlight::Release) => {
                self.send_ack(now, &PubRel::new(id));
                Ok(None)
            }
            Some(_) => Err(wrong_ack(crate::PacketType::PubRec, id)),
            None => {
                if !ack.reason.is_error() {
                    let reason = ReasonCode::PacketIdentifierNotFound;
                    self.send_ack(now, &PubRel::new(id).with_reason(reason));
                }
                Ok(None)
            }
        }
    }

    fn on_pubrel(&mut self, now: Instant, id: PacketId) {
        // [MQTT-4.3.3-11]; one that is not known is answered too, or its sender would wait for ever.
        let known = self.session.inbound.remove(id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(now, &PubComp::new(id).with_reason(reason));
    }

    fn on_pubcomp(&mut self, now: Instant, ack: &PubComp) -> Handled {
        let id = ack.packet_id;
        match self.session.outbound.get(id) {
            // PUBREC has said that the message is there. That its identifier is no longer known is no error after a
            // lost PUBCOMP, and there is no other reason that is one.
            Some(InFlight::Release) => Ok(Some(self.complete(now, id, ReasonCode::Success))),
            Some(_) => Err(wrong_ack(crate::PacketType::PubComp, id)),
            None => Ok(None),
        }
    }

    /// A message of ours is done: frees its identifier and its place in the quota.
    fn complete(&mut self, now: Instant, packet_id: PacketId, reason: ReasonCode) -> CoreEvent {
        if let Some((_, true)) = self.session.outbound.remove(packet_id) {
            self.quota = self.quota.saturating_add(1);
            self.pump_resend(now);
        }
        CoreEvent::Acknowledged { packet_id, reason }
    }
}

/// An application may set aliases itself, up to what the peer allows. [MQTT-3.3.2-9], [MQTT-3.3.2-11]
pub(super) fn check_alias(message: &Message, maximum: u16) -> Result<(), PublishError> {
    match message.properties.topic_alias() {
        Some(alias) if alias.get() > maximum => {
            Err(PublishError::TopicAliasAboveMaximum { alias: alias.get(), maximum })
        }
        _ => Ok(()),
    }
}

/// Whether an AUTH with this reason may be sent now. [MQTT-4.12.0-2], [MQTT-4.12.0-3]
///
/// The server ends an exchange, which before CONNACK is for CONNACK to do, and the client begins a later one.
pub(super) const fn auth_fits(reason: ReasonCode, by_server: bool, connected: bool) -> bool {
    match reason {
        ReasonCode::ContinueAuthentication => true,
        ReasonCode::Success => by_server && connected,
        ReasonCode::ReAuthenticate => !by_server && connected,
        _ => false,
    }
}

fn wrong_ack(packet: crate::PacketType, packet_id: PacketId) -> ProtocolError {
    ProtocolError::WrongAcknowledgement { packet, packet_id }
}

/// Packets with a Reason String and User Properties, which can be left out.
pub(super) trait HasText: EncodePacket {
    /// CONNACK and DISCONNECT may carry them even when Request Problem Information is 0. [MQTT-3.1.2-29]
    const ALWAYS_ALLOWED: bool;

    fn without_text(&self) -> Self;
}

/// Whether a packet carries text that Request Problem Information can forbid. [MQTT-3.1.2-29]
pub(super) fn has_text(packet: &Packet) -> bool {
    fn any<P: PropertySet>(properties: &Properties<P>) -> bool {
        properties.has(0x1F) || properties.has(0x26)
    }
    match packet {
        Packet::PubAck(ack) => any(&ack.properties),
        Packet::PubRec(ack) => any(&ack.properties),
        Packet::PubRel(ack) => any(&ack.properties),
        Packet::PubComp(ack) => any(&ack.properties),
        Packet::SubAck(ack) => any(&ack.properties),
        Packet::UnsubAck(ack) => any(&ack.properties),
        Packet::Auth(auth) => any(&auth.properties),
        _ => false,
    }
}

fn strip<P: PropertySet>(properties: &Properties<P>) -> Properties<P> {
    let mut stripped = properties.clone();
    stripped.remove(0x26);
    stripped.remove(0x1F);
    stripped
}

macro_rules! has_text {
    ($($packet:ident: $always:literal),*) => {$(
        impl HasText for $packet {
            const ALWAYS_ALLOWED: bool = $always;

            fn without_text(&self) -> Self {
                Self { properties: strip(&self.properties), ..self.clone() }
            }
        }
    )*};
}

has_text!(ConnAck: true, Disconnect: true, SubAck: false, UnsubAck: false, Auth: false);
