//! The fifteen packets, one model for all versions: an older packet is one whose properties are empty.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod list;
pub(crate) mod publish;
mod subscribe;
mod unsubscribe;

use bytes::BytesMut;

use crate::codec::Codec;
use crate::error::{DecodeCause, EncodeError};
use crate::types::{PacketId, PacketType, Version};
use crate::wire::{Read, Reader};

pub use ack::{PubAck, PubComp, PubRec, PubRel};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use list::{List, ListItem};
pub use publish::{Delivery, Publish};
pub use subscribe::{RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions};
pub use unsubscribe::{UnsubAck, Unsubscribe};

/// Any control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Client asks for a connection.
    Connect(alloc::boxed::Box<Connect>),
    /// Server answers a CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish),
    /// Answers a QoS 1 PUBLISH.
    PubAck(PubAck),
    /// Answers a QoS 2 PUBLISH.
    PubRec(PubRec),
    /// Answers a PUBREC.
    PubRel(PubRel),
    /// Answers a PUBREL.
    PubComp(PubComp),
    /// Client asks for subscriptions.
    Subscribe(Subscribe),
    /// Answers a SUBSCRIBE.
    SubAck(SubAck),
    /// Client ends subscriptions.
    Unsubscribe(Unsubscribe),
    /// Answers an UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// Client shows that it is alive.
    PingReq,
    /// Answers a PINGREQ.
    PingResp,
    /// Ends the connection.
    Disconnect(Disconnect),
    /// A step of an enhanced authentication, MQTT 5.0.
    Auth(Auth),
}

/// Something that [`Codec::encode`](crate::Codec::encode) can write: [`Packet`] and every packet type.
pub trait EncodePacket: sealed::Body {}

impl<T: sealed::Body> EncodePacket for T {}

pub(crate) mod sealed {
    use super::{BytesMut, Codec, EncodeError, Version};

    /// The body of a packet: what follows the fixed header.
    pub trait Body {
        /// Whether the packet can be written in this version; what it says holds for the other methods too.
        fn check(&self, version: Version) -> Result<(), EncodeError>;
        /// The first byte of the packet.
        fn first_byte(&self) -> u8;
        /// The exact length of the body, in bytes.
        fn body_len(&self, version: Version) -> usize;
        /// Writes the body.
        fn write_body(&self, version: Version, out: &mut BytesMut);

        /// Writes all of the packet. [`Packet`](super::Packet) finds out only once here which one it is.
        fn encode(&self, codec: &Codec, out: &mut BytesMut) -> Result<(), EncodeError>
        where
            Self: Sized,
        {
            codec.encode_body(self, out)
        }
    }
}

pub(crate) use sealed::Body;

/// The first byte of a packet type whose flags are fixed.
pub(crate) const fn fixed_first_byte(packet: PacketType) -> u8 {
    ((packet as u8) << 4)
        | match packet.required_flags() {
            Some(flags) => flags,
            None => 0,
        }
}

impl Packet {
    /// What kind of packet it is.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The Packet Identifier, of the packets that have one.
    pub fn packet_id(&self) -> Option<PacketId> {
        match self {
            Self::Publish(publish) => publish.delivery.packet_id(),
            Self::PubAck(ack) => Some(ack.packet_id),
            Self::PubRec(ack) => Some(ack.packet_id),
            Self::PubRel(ack) => Some(ack.packet_id),
            Self::PubComp(ack) => Some(ack.packet_id),
            Self::Subscribe(packet) => Some(packet.packet_id),
            Self::SubAck(packet) => Some(packet.packet_id),
            Self::Unsubscribe(packet) => Some(packet.packet_id),
            Self::UnsubAck(packet) => Some(packet.packet_id),
            _ => None,
        }
    }

    /// Reads the body of a complete packet; the fixed header has been checked.
    pub(crate) fn read(packet: PacketType, reader: Reader<'_>) -> Read<Self> {
        Ok(match packet {
            // The codec reads it where it lies, and never comes here with one.
            PacketType::Publish => {
                return Err(reader.error_at(
                    DecodeCause::ReservedPacketType(3),
                    "MQTT Control Packet type",
                    0,
                ));
            }
            PacketType::PubAck => Self::PubAck(PubAck::read(reader)?),
            PacketType::PubRec => Self::PubRec(PubRec::read(reader)?),
            PacketType::PubRel => Self::PubRel(PubRel::read(reader)?),
            PacketType::PubComp => Self::PubComp(PubComp::read(reader)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::read(reader)?),
            PacketType::SubAck => Self::SubAck(SubAck::read(reader)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::read(reader)?),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck::read(reader)?),
            PacketType::PingReq => {
                reader.finish()?;
                Self::PingReq
            }
            PacketType::PingResp => {
                reader.finish()?;
                Self::PingResp
            }
            PacketType::Connect => Self::Connect(alloc::boxed::Box::new(Connect::read(reader)?)),
            PacketType::ConnAck => Self::ConnAck(ConnAck::read(reader)?),
            PacketType::Disconnect => Self::Disconnect(Disconnect::read(reader)?),
            PacketType::Auth => Self::Auth(Auth::read(reader)?),
        })
    }

    /// An acknowledgement that is nothing but this identifier, if it is one that can be.
    pub(crate) fn short_ack(packet: PacketType, packet_id: u16) -> Option<Self> {
        let id = PacketId::new(packet_id)?;
        Some(match packet {
            PacketType::PubAck => Self::PubAck(PubAck::new(id)),
            PacketType::PubRec => Self::PubRec(PubRec::new(id)),
            PacketType::PubRel => Self::PubRel(PubRel::new(id)),
            PacketType::PubComp => Self::PubComp(PubComp::new(id)),
            _ => return None,
        })
    }
}

/// Reads a reason code that must be allowed in this packet.
fn read_reason(reader: &mut Reader<'_>, packet: PacketType) -> Read<crate::ReasonCode> {
    const FIELD: &str = "Reason Code";
    let at = reader.position();
    let code = reader.u8(FIELD)?;
    crate::ReasonCode::from_u8(code)
        .filter(|reason| reason.is_allowed_in(packet))
        .ok_or_else(|| reader.error_at(DecodeCause::InvalidReasonCode(code), FIELD, at))
}

fn check_reason(reason: crate::ReasonCode, packet: PacketType) -> Result<(), EncodeError> {
    if reason.is_allowed_in(packet) {
        Ok(())
    } else {
        Err(EncodeError::InvalidReasonCode { packet, code: reason })
    }
}

/// PINGREQ and PINGRESP: a fixed header and nothing else.
struct Empty(PacketType);

impl Body for Empty {
    fn check(&self, _: Version) -> Result<(), EncodeError> {
        Ok(())
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(self.0)
    }

    fn body_len(&self, _: Version) -> usize {
        0
    }

    fn write_body(&self, _: Version, _: &mut BytesMut) {}

    fn encode(&self, codec: &Codec, out: &mut BytesMut) -> Result<(), EncodeError> {
        codec.encode_short([self.first_byte(), 0], out)
    }
}

/// Does the same with whichever packet it is.
macro_rules! with_body {
    ($packet:expr, $body:ident => $use:expr) => {
        match $packet {
            Packet::Connect($body) => $use,
            Packet::ConnAck($body) => $use,
            Packet::Publish($body) => $use,
            Packet::PubAck($body) => $use,
            Packet::PubRec($body) => $use,
            Packet::PubRel($body) => $use,
            Packet::PubComp($body) => $use,
            Packet::Subscribe($body) => $use,
            Packet::SubAck($body) => $use,
            Packet::Unsubscribe($body) => $use,
            Packet::UnsubAck($body) => $use,
            Packet::PingReq => {
                let $body = &Empty(PacketType::PingReq);
                $use
            }
            Packet::PingResp => {
                let $body = &Empty(PacketType::PingResp);
                $use
            }
            Packet::Disconnect($body) => $use,
            Packet::Auth($body) => $use,
        }
    };
}

impl Body for Packet {
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        with_body!(self, body => body.check(version))
    }

    fn first_byte(&self) -> u8 {
        with_body!(self, body => body.first_byte())
    }

    fn body_len(&self, version: Version) -> usize {
        with_body!(self, body => body.body_len(version))
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        with_body!(self, body => body.write_body(version, out));
    }

    #[inline]
    fn encode(&self, codec: &Codec, out: &mut BytesMut) -> Result<(), EncodeError> {
        if let Self::Publish(publish) = self {
            return publish.encode(codec, out);
        }
        with_body!(self, body => body.encode(codec, out))
    }
}

/// `Packet::from` for each packet type.
macro_rules! into_packet {
    ($($name:ident),*) => {$(
        impl From<$name> for Packet {
            fn from(packet: $name) -> Self {
                Self::$name(packet)
            }
        }
    )*};
}

into_packet!(
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth
);

impl From<Connect> for Packet {
    fn from(connect: Connect) -> Self {
        Self::Connect(alloc::boxed::Box::new(connect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets are moved by value through queues: growth here is paid on every message.
    #[test]
    fn packet_types_stay_small() {
        assert!(size_of::<Publish>() <= 120, "Publish is {} bytes", size_of::<Publish>());
        assert!(size_of::<Packet>() <= 120, "Packet is {} bytes", size_of::<Packet>());
        assert!(size_of::<PubAck>() <= 48, "PubAck is {} bytes", size_of::<PubAck>());
    }
}
