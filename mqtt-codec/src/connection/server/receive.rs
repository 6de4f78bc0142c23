//! What a server receives.

use super::{Phase, ServerConnection, ServerEvent};
use crate::connection::closed::{Closed, ProtocolError};
use crate::connection::common::auth_fits;
use crate::packet::{Auth, Disconnect, Packet};
use crate::types::{Instant, PacketType};

type Handled = Result<Option<ServerEvent>, ProtocolError>;

impl ServerConnection {
    pub(super) fn on_packet(&mut self, now: Instant, packet: Packet) -> Handled {
        match (self.phase, packet) {
            (Phase::AwaitConnect { .. }, Packet::Connect(connect)) => {
                self.remember(&connect);
                self.phase = Phase::AwaitAnswer;
                Ok(Some(ServerEvent::Connect(connect)))
            }
            (Phase::Connected | Phase::Authenticating { .. }, Packet::Disconnect(disconnect)) => {
                self.on_disconnect(disconnect)
            }
            (Phase::Connected | Phase::Authenticating { .. }, Packet::Auth(auth)) => self.on_auth(auth),
            (Phase::Connected, Packet::Subscribe(subscribe)) => Ok(Some(ServerEvent::Subscribe(subscribe))),
            (Phase::Connected, Packet::Unsubscribe(unsubscribe)) => {
                Ok(Some(ServerEvent::Unsubscribe(unsubscribe)))
            }
            (Phase::Connected, Packet::PingReq) => {
                // [MQTT-3.12.4-1]; two bytes are never too large
                let _ = self.core.send(now, &Packet::PingResp);
                Ok(None)
            }
            (Phase::Connected, Packet::PubRec(ack)) if self.config.stepwise => {
                self.on_stepwise_pubrec(now, &ack)
            }
            (Phase::Connected, Packet::PubRel(ack)) if self.config.stepwise => {
                Ok(self.on_stepwise_pubrel(now, &ack))
            }
            (Phase::Connected, packet) => Ok(self.core.handle(now, packet)?.map(Into::into)),
            (_, other) => Err(ProtocolError::UnexpectedPacket(other.packet_type())),
        }
    }

    fn on_disconnect(&mut self, disconnect: Disconnect) -> Handled {
        let expiry = disconnect.properties.session_expiry_interval().unwrap_or(0);
        if expiry > 0 && self.client.session_expiry == 0 {
            return Err(ProtocolError::SessionExpiryAtDisconnect);
        }
        self.core.close(Closed::Peer(disconnect));
        Ok(None)
    }

    fn on_auth(&mut self, auth: Auth) -> Handled {
        // [MQTT-4.12.0-5]
        let method = auth.properties.authentication_method();
        if method.is_none() || method.as_ref() != self.client.authentication_method.as_deref() {
            return Err(ProtocolError::BadAuthenticationMethod);
        }
        if !auth_fits(auth.reason, false, self.phase == Phase::Connected) {
            return Err(ProtocolError::UnexpectedPacket(PacketType::Auth));
        }
        if self.phase != Phase::Connected {
            self.phase = Phase::AwaitAnswer;
        }
        Ok(Some(ServerEvent::Auth(auth)))
    }
}
