//! PUBACK, PUBREC, PUBREL, PUBCOMP: an identifier, a reason, and rarely more.

use bytes::{BufMut, BytesMut};

use super::{Body, check_reason, fixed_first_byte, read_reason};
use crate::codec::Codec;
use crate::error::EncodeError;
use crate::property::AckProperties;
use crate::reason::ReasonCode;
use crate::types::{PacketId, PacketType, Version};
use crate::wire::{Read, Reader};

macro_rules! acks {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Before MQTT 5.0 it carries the identifier alone: the reason is success and the rest is left out.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Which message this is about.
            pub packet_id: PacketId,
            /// How it went.
            pub reason: ReasonCode,
            /// MQTT 5.0 properties.
            pub properties: AckProperties,
        }

        impl $name {
            /// Success, without properties.
            pub const fn new(packet_id: PacketId) -> Self {
                Self { packet_id, reason: ReasonCode::Success, properties: AckProperties::new() }
            }

            /// The same with a reason.
            #[must_use]
            pub fn with_reason(self, reason: ReasonCode) -> Self {
                Self { reason, ..self }
            }

            pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
                let mut ack = Self::new(reader.packet_id()?);
                // A short packet means success, and no property length means no properties.
                if reader.version().has_properties() && reader.remaining() > 0 {
                    ack.reason = read_reason(&mut reader, PacketType::$name)?;
                    if reader.remaining() > 0 {
                        ack.properties = AckProperties::read(&mut reader)?;
                    }
                }
                reader.finish()?;
                Ok(ack)
            }
        }

        impl Body for $name {
            fn check(&self, _: Version) -> Result<(), EncodeError> {
                check_reason(self.reason, PacketType::$name)
            }

            fn first_byte(&self) -> u8 {
                fixed_first_byte(PacketType::$name)
            }

            fn body_len(&self, version: Version) -> usize {
                if !version.has_properties() {
                    2
                } else if !self.properties.is_empty() {
                    3 + self.properties.encoded_len()
                } else if self.reason == ReasonCode::Success {
                    2
                } else {
                    3
                }
            }

            fn write_body(&self, version: Version, out: &mut BytesMut) {
                out.put_u16(self.packet_id.get());
                if !version.has_properties() {
                    return;
                }
                if self.reason != ReasonCode::Success || !self.properties.is_empty() {
                    out.put_u8(self.reason.as_u8());
                }
                if !self.properties.is_empty() {
                    self.properties.write(out);
                }
            }

            fn encode(&self, codec: &Codec, out: &mut BytesMut) -> Result<(), EncodeError> {
                // Most are nothing but an identifier.
                if self.reason == ReasonCode::Success && self.properties.is_empty() {
                    let [high, low] = self.packet_id.get().to_be_bytes();
                    return codec.encode_short([self.first_byte(), 2, high, low], out);
                }
                codec.encode_body(self, out)
            }
        }
    )*};
}

acks! {
    /// Answers a QoS 1 PUBLISH.
    PubAck;
    /// Answers a QoS 2 PUBLISH: received.
    PubRec;
    /// Answers a PUBREC: release it.
    PubRel;
    /// Answers a PUBREL: complete.
    PubComp;
}
