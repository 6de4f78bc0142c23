//! CONNACK: the server's answer to CONNECT.

use bytes::{BufMut, BytesMut};

use super::{Body, check_reason, fixed_first_byte, read_reason};
use crate::error::{DecodeCause, EncodeError};
use crate::property::ConnAckProperties;
use crate::reason::ReasonCode;
use crate::types::{PacketType, Version};
use crate::wire::{Read, Reader};

/// The server's answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server still had the session. MQTT 3.1 does not say, it is `false` then.
    pub session_present: bool,
    /// Success, or why the connection is refused. In MQTT 3 the return code, as the reason that says the same.
    pub reason: ReasonCode,
    /// What the server can and cannot do, MQTT 5.0.
    pub properties: ConnAckProperties,
}

impl ConnAck {
    /// An acceptance.
    pub const fn accepted(session_present: bool) -> Self {
        Self { session_present, reason: ReasonCode::Success, properties: ConnAckProperties::new() }
    }

    /// A refusal.
    pub const fn refused(reason: ReasonCode) -> Self {
        Self { session_present: false, reason, properties: ConnAckProperties::new() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        const FLAGS: &str = "Connect Acknowledge Flags";
        let flags = reader.u8(FLAGS)?;
        let version = reader.version();
        // [MQTT-3.2.2-1]; the byte is unused in MQTT 3.1
        if flags > 1 && version != Version::V31 {
            reader.forgive(DecodeCause::ReservedBits(flags), FLAGS, reader.position() - 1)?;
        }
        let mut session_present = flags & 1 != 0 && version != Version::V31;
        let reason = if let Some((code, reason)) = mqtt3_answer(&reader) {
            reader.forgive(DecodeCause::Mqtt3ConnAck(code), "Reason Code", reader.position())?;
            return Ok(Self::refused(reason));
        } else if version.has_properties() {
            read_reason(&mut reader, PacketType::ConnAck)?
        } else {
            let code = reader.u8("Connect Return code")?;
            ReasonCode::from_v3_return_code(code).ok_or_else(|| {
                let at = reader.position() - 1;
                reader.error_at(DecodeCause::InvalidReasonCode(code), "Connect Return code", at)
            })?
        };
        // [MQTT-3.2.2-6]
        if session_present && reason.is_error() {
            let at = reader.position() - 2;
            reader.forgive(DecodeCause::SessionPresentWithError, "Session Present", at)?;
            session_present = false;
        }
        let properties = ConnAckProperties::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { session_present, reason, properties })
    }
}

/// The return code of a CONNACK that has the form of MQTT 3 where one of MQTT 5.0 is due, and what it means. A server
/// that does not know MQTT 5.0 answers so.
fn mqtt3_answer(reader: &Reader<'_>) -> Option<(u8, ReasonCode)> {
    match *reader.peek_rest() {
        [code] if reader.version().has_properties() => Some((code, ReasonCode::from_v3_return_code(code)?)),
        _ => None,
    }
}

impl Body for ConnAck {
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.has_properties() {
            self.properties.check()?;
        }
        check_reason(self.reason, PacketType::ConnAck)
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::ConnAck)
    }

    fn body_len(&self, version: Version) -> usize {
        2 + if version.has_properties() { self.properties.encoded_len() } else { 0 }
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        // [MQTT-3.2.2-6]: a refusal never says that a session is present.
        let present = self.session_present && !self.reason.is_error() && version != Version::V31;
        out.put_u8(u8::from(present));
        if version.has_properties() {
            out.put_u8(self.reason.as_u8());
            self.properties.write(out);
        } else {
            out.put_u8(self.reason.to_v3_return_code());
        }
    }
}
