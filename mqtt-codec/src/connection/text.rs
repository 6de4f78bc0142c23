//! Reason Strings and User Properties: what a packet can do without, and must where the peer does not take it.

use super::common::Core;
use crate::error::EncodeError;
use crate::packet::{Auth, ConnAck, Disconnect, EncodePacket, Packet, SubAck, UnsubAck};
use crate::property::{Properties, PropertySet};
use crate::types::Instant;

impl Core {
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
