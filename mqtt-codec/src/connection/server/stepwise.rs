//! QoS 2 step by step: an application that writes each step down before it is taken, takes it itself.
//!
//! ```text
//!   ours:   publish() ──▶ send() ──▶ PUBLISH      PUBREC ──▶ Received ──▶ release() ──▶ PUBREL
//!   theirs: PUBREL ──▶ Released ──▶ complete() ──▶ PUBCOMP
//! ```

use super::{ServerConnection, ServerEvent};
use crate::connection::closed::ProtocolError;
use crate::packet::{PubRec, PubRel};
use crate::session::InFlight;
use crate::types::{Instant, PacketId, QoS};

type Handled = Result<Option<ServerEvent>, ProtocolError>;

impl ServerConnection {
    /// Sends a QoS 2 message that was [published](Self::publish), with
    /// [`ServerConfig::stepwise`](super::ServerConfig::stepwise): its identifier is written down.
    ///
    /// It does nothing if the message is not with this connection any more; a session that resumes sends it by itself.
    pub fn send(&mut self, now: Instant, packet_id: PacketId) {
        if self.check_connected().is_ok() {
            self.core.send_held(now, packet_id);
        }
    }

    /// Answers [`ServerEvent::Received`]: the message is released with PUBREL and not sent again.
    pub fn release(&mut self, now: Instant, packet_id: PacketId) {
        if self.check_connected().is_err() {
            return;
        }
        match self.core.session.outbound.get(packet_id) {
            Some(InFlight::Publish(publish)) if publish.delivery.qos() == QoS::ExactlyOnce => {
                self.core.release(now, packet_id);
            }
            Some(InFlight::Release { .. }) => self.core.send_ack(now, &PubRel::new(packet_id)),
            _ => {}
        }
    }

    /// Answers [`ServerEvent::Released`]: the identifier is forgotten and the sender is told so with PUBCOMP.
    pub fn complete(&mut self, now: Instant, packet_id: PacketId) {
        if self.check_connected().is_ok() {
            self.core.on_pubrel(now, packet_id);
            self.core.continue_drain(now);
        }
    }

    /// A PUBREC that is an error, or for nothing that waits for one, needs no step of the application.
    pub(super) fn on_stepwise_pubrec(&mut self, now: Instant, ack: &PubRec) -> Handled {
        match self.core.session.outbound.get(ack.packet_id) {
            Some(InFlight::Publish(publish))
                if publish.delivery.qos() == QoS::ExactlyOnce && !ack.reason.is_error() =>
            {
                Ok(Some(ServerEvent::Received { packet_id: ack.packet_id }))
            }
            _ => Ok(self.core.on_pubrec(now, ack)?.map(Into::into)),
        }
    }

    /// A PUBREL for nothing that is known is answered at once.
    pub(super) fn on_stepwise_pubrel(&mut self, now: Instant, ack: &PubRel) -> Option<ServerEvent> {
        if self.core.session.inbound.contains(ack.packet_id) {
            return Some(ServerEvent::Released { packet_id: ack.packet_id });
        }
        self.core.on_pubrel(now, ack.packet_id);
        None
    }
}
