//! What a client receives.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use super::{ClientConnection, ClientEvent, Phase};
use crate::codec::MAX_PACKET_SIZE;
use crate::connection::closed::{Closed, ProtocolError};
use crate::connection::common::auth_fits;
use crate::connection::outgoing::Limits;
use crate::connection::text::has_text;
use crate::message::Message;
use crate::packet::{Auth, ConnAck, Disconnect, Packet, PubRec, SubAck, UnsubAck};
use crate::reason::ReasonCode;
use crate::session::InFlight;
use crate::types::{Instant, PacketId, PacketType, QoS, Version};

type Handled = Result<Option<ClientEvent>, ProtocolError>;

impl ClientConnection {
    pub(super) fn on_packet(&mut self, now: Instant, packet: Packet) -> Handled {
        if !self.problem_information && has_text(&packet) {
            return Err(ProtocolError::UnwantedText(packet.packet_type()));
        }
        match (self.phase, packet) {
            (Phase::Connecting { .. }, Packet::ConnAck(connack)) => self.on_connack(now, connack),
            (_, Packet::Auth(auth)) => self.on_auth(auth),
            (Phase::Connecting { .. }, other) => Err(ProtocolError::ConnAckExpected(other.packet_type())),
            // A server's DISCONNECT exists from MQTT 5.0 on. [MQTT-3.14.0-1]
            (Phase::Connected { .. }, Packet::Disconnect(disconnect)) if self.version() == Version::V5 => {
                self.on_disconnect(disconnect)
            }
            (Phase::Connected { .. }, Packet::SubAck(ack)) => self.on_suback(ack),
            (Phase::Connected { .. }, Packet::UnsubAck(ack)) => self.on_unsuback(ack),
            (Phase::Connected { .. }, Packet::PubRec(ack)) => self.on_pubrec(now, &ack),
            (Phase::Connected { .. }, Packet::PingResp) => Ok(None),
            (Phase::Connected { .. }, packet) => Ok(self.core.handle(now, packet)?.map(Into::into)),
        }
    }

    fn on_auth(&mut self, auth: Auth) -> Handled {
        // [MQTT-4.12.0-5]
        let method = auth.properties.authentication_method();
        if method.is_none() || method != self.authentication_method {
            return Err(ProtocolError::BadAuthenticationMethod);
        }
        if !auth_fits(auth.reason, true, self.is_connected()) {
            return Err(ProtocolError::UnexpectedPacket(PacketType::Auth));
        }
        Ok(Some(ClientEvent::Auth(auth)))
    }

    fn on_disconnect(&mut self, disconnect: Disconnect) -> Handled {
        // [MQTT-3.14.2-2]
        if disconnect.properties.session_expiry_interval().is_some() {
            return Err(ProtocolError::SessionExpiryAtDisconnect);
        }
        self.core.close(Closed::Peer(disconnect));
        Ok(None)
    }

    fn on_pubrec(&mut self, now: Instant, ack: &PubRec) -> Handled {
        let packet_id = ack.packet_id;
        let outbound = &self.core.session.outbound;
        let was_published = matches!(outbound.get(packet_id), Some(InFlight::Publish(_)));
        let event = self.core.on_pubrec(now, ack)?.map(Into::into);
        let is_new = self.config.report_receipts && was_published && event.is_none();
        Ok(if is_new { Some(ClientEvent::Received { packet_id }) } else { event })
    }

    fn on_suback(&mut self, ack: SubAck) -> Handled {
        self.answered(PacketType::SubAck, ack.packet_id, ack.reasons.len())?;
        Ok(Some(ClientEvent::SubAck(ack)))
    }

    fn on_unsuback(&mut self, ack: UnsubAck) -> Handled {
        self.answered(PacketType::UnsubAck, ack.packet_id, ack.reasons.len())?;
        Ok(Some(ClientEvent::UnsubAck(ack)))
    }

    fn on_connack(&mut self, now: Instant, connack: ConnAck) -> Handled {
        if connack.reason.is_error() {
            self.core.close(Closed::Refused(Box::new(connack)));
            return Ok(None);
        }
        // [MQTT-3.2.2-2]
        if connack.session_present && self.clean_start {
            return Err(ProtocolError::SessionPresentAfterCleanStart);
        }
        let properties = &connack.properties;
        // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
        if self.version().has_properties() && properties.authentication_method() != self.authentication_method
        {
            return Err(ProtocolError::BadAuthenticationMethod);
        }
        // [MQTT-3.1.2-21]
        self.keep_alive = properties.server_keep_alive().unwrap_or(self.keep_alive);
        let limit = properties.maximum_packet_size().map_or(MAX_PACKET_SIZE, NonZeroU32::get);
        self.core.codec.set_max_outgoing(limit);
        let topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        self.core.outgoing.limits = Limits {
            receive_maximum: properties.receive_maximum().map_or(u16::MAX, NonZeroU16::get),
            maximum_qos: properties.maximum_qos().unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available().unwrap_or(true),
            topic_alias_maximum,
            automatic_aliases: topic_alias_maximum.min(self.config.automatic_topic_aliases),
        };
        // MQTT 3.1 has no Session Present; its sessions are taken to be there.
        let resumes = connack.session_present || (self.version() == Version::V31 && !self.clean_start);
        let lost = if resumes { Vec::new() } else { self.forget_session() };
        self.phase = Phase::Connected { ping: None };
        self.core.start(now);
        Ok(Some(ClientEvent::Connected { connack: Box::new(connack), lost }))
    }

    /// The server has no session: ours ends too, and what was in flight goes back. [MQTT-3.2.2-5]
    ///
    /// One that was released is not lost: the server has taken it, so it is complete, or it was given up.
    fn forget_session(&mut self) -> Vec<(PacketId, Message)> {
        let mut lost = Vec::new();
        for id in self.core.session.outbound.in_order() {
            match self.core.session.outbound.remove(id) {
                Some((InFlight::Publish(publish), _)) => lost.push((id, publish.into())),
                Some((InFlight::Release { told: false }, _)) => {
                    self.core.outgoing.settle(id, ReasonCode::Success);
                }
                _ => {}
            }
        }
        self.core.session.clear();
        lost
    }

    /// A request of ours is answered: frees its identifier. [MQTT-3.8.4-6], [MQTT-3.11.3-1]
    fn answered(
        &mut self,
        packet: PacketType,
        packet_id: PacketId,
        reasons: usize,
    ) -> Result<(), ProtocolError> {
        // An UNSUBACK has reasons from MQTT 5.0 on.
        let bare = packet == PacketType::UnsubAck && !self.version().has_properties();
        match self.core.session.outbound.get(packet_id) {
            Some(&InFlight::Request { answer, filters })
                if answer == packet && (bare || filters == reasons) =>
            {
                self.core.session.outbound.remove(packet_id);
                Ok(())
            }
            _ => Err(ProtocolError::UnknownRequest { packet, packet_id }),
        }
    }
}
