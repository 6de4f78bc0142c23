//! AUTH: one step of an enhanced authentication, MQTT 5.0 only.

use bytes::{BufMut, BytesMut};

use super::{Body, check_reason, fixed_first_byte, read_reason};
use crate::error::{DecodeCause, EncodeError};
use crate::property::AuthProperties;
use crate::reason::ReasonCode;
use crate::types::{PacketType, Version};
use crate::wire::{Read, Reader};

/// A step of an enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication, or Re-authenticate.
    pub reason: ReasonCode,
    /// Method and data.
    pub properties: AuthProperties,
}

impl Auth {
    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let mut auth = Self { reason: ReasonCode::Success, properties: AuthProperties::new() };
        // Reason and Property Length can be omitted together, unlike in an acknowledgement not one of them.
        if reader.remaining() > 0 {
            auth.reason = read_reason(&mut reader, PacketType::Auth)?;
            let at = reader.position();
            auth.properties = AuthProperties::read(&mut reader)?;
            if auth.lacks_method() {
                return Err(reader.error_at(DecodeCause::AuthWithoutMethod, "Authentication Method", at));
            }
        }
        reader.finish()?;
        Ok(auth)
    }

    /// [MQTT-4.12.0-5]: it names the method. Section 3.15.2.1 provides for an empty packet all the same; the connection
    /// finds out that its method is not that of CONNECT.
    fn lacks_method(&self) -> bool {
        !self.is_plain() && !self.properties.has(0x15)
    }

    /// Success without properties is said by an empty packet.
    fn is_plain(&self) -> bool {
        self.reason == ReasonCode::Success && self.properties.is_empty()
    }
}

impl Body for Auth {
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.has_properties() {
            return Err(EncodeError::NotInVersion { packet: PacketType::Auth, version });
        }
        self.properties.check()?;
        check_reason(self.reason, PacketType::Auth)?;
        if self.lacks_method() { Err(EncodeError::AuthWithoutMethod) } else { Ok(()) }
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Auth)
    }

    fn body_len(&self, _: Version) -> usize {
        if self.is_plain() { 0 } else { 1 + self.properties.encoded_len() }
    }

    fn write_body(&self, _: Version, out: &mut BytesMut) {
        if !self.is_plain() {
            out.put_u8(self.reason.as_u8());
            self.properties.write(out);
        }
    }
}
