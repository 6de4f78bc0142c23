//! DISCONNECT: the goodbye, of either side in MQTT 5.0, of the client alone before.

use bytes::{BufMut, BytesMut};

use super::{Body, check_reason, fixed_first_byte, read_reason};
use crate::error::EncodeError;
use crate::property::DisconnectProperties;
use crate::reason::ReasonCode;
use crate::types::{PacketType, Version};
use crate::wire::{Read, Reader};

/// The last packet of a connection. Before MQTT 5.0 it says nothing but goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// MQTT 5.0 properties.
    pub properties: DisconnectProperties,
}

impl Disconnect {
    /// A goodbye for this reason.
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: DisconnectProperties::new() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let mut disconnect = Self::new(ReasonCode::NORMAL_DISCONNECTION);
        if reader.version().has_properties() && reader.remaining() > 0 {
            disconnect.reason = read_reason(&mut reader, PacketType::Disconnect)?;
            if reader.remaining() > 0 {
                disconnect.properties = DisconnectProperties::read(&mut reader)?;
            }
        }
        reader.finish()?;
        Ok(disconnect)
    }
}

impl Body for Disconnect {
    fn check(&self, _: Version) -> Result<(), EncodeError> {
        check_reason(self.reason, PacketType::Disconnect)
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Disconnect)
    }

    fn body_len(&self, version: Version) -> usize {
        if !version.has_properties() {
            0
        } else if !self.properties.is_empty() {
            1 + self.properties.encoded_len()
        } else {
            usize::from(self.reason != ReasonCode::NORMAL_DISCONNECTION)
        }
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        if self.body_len(version) > 0 {
            out.put_u8(self.reason.as_u8());
        }
        if version.has_properties() && !self.properties.is_empty() {
            self.properties.write(out);
        }
    }
}
