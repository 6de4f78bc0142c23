//! Primitive reads and writes: integers, variable-byte integers, strings, binary data.

use core::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{DecodeCause, DecodeError};
use crate::field::Field;
use crate::strictness::Leniency;
use crate::text::{self, Binary, Str, TextError};
use crate::topic::{TopicName, check_name};
use crate::types::{PacketId, PacketType, Version};

/// The largest value of a variable-byte integer, and so the largest Remaining Length.
pub(crate) const MAX_VARINT: u32 = 268_435_455;

/// What [`peek_varint`] found.
pub(crate) enum Varint {
    /// The value, and how many bytes it took.
    Value(u32, usize),
    /// The same, of an integer that takes more bytes than its value needs. [MQTT-1.5.5-1]
    NotMinimal(u32, usize),
    /// The bytes end before the integer does.
    Incomplete,
    /// It does not end within four bytes.
    TooLong,
}

/// Reads a variable-byte integer from the start of `bytes`.
#[inline]
pub(crate) fn peek_varint(bytes: &[u8]) -> Varint {
    // One byte or two, nearly always.
    match *bytes {
        [byte @ ..=0x7f, ..] => Varint::Value(byte.into(), 1),
        [low, high @ 1..=0x7f, ..] => Varint::Value(u32::from(low & 0x7f) | u32::from(high) << 7, 2),
        _ => peek_any_varint(bytes),
    }
}

#[cold]
fn peek_any_varint(bytes: &[u8]) -> Varint {
    let mut value = 0u32;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_minimal = byte != 0 || index == 0;
            return if is_minimal {
                Varint::Value(value, index + 1)
            } else {
                Varint::NotMinimal(value, index + 1)
            };
        }
    }
    if bytes.len() >= 4 { Varint::TooLong } else { Varint::Incomplete }
}

/// How many bytes a variable-byte integer takes.
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

pub(crate) fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(crate) const fn field_len(field: &[u8]) -> usize {
    2 + field.len()
}

/// Writes a length-prefixed field; its type has bounded its length.
pub(crate) fn put_field(out: &mut BytesMut, field: &[u8]) {
    debug_assert!(u16::try_from(field.len()).is_ok());
    out.put_u16(field.len() as u16);
    out.put_slice(field);
}

/// The length-prefixed field at the start of `bytes`, and what follows it.
#[inline]
pub(crate) fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&prefix, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(prefix).into())
}

/// Puts an error together, out of the way of packets that are right.
#[cold]
#[inline(never)]
pub(crate) fn error(
    cause: DecodeCause,
    packet: Option<PacketType>,
    version: Version,
    field: &'static str,
    offset: usize,
) -> DecodeError {
    DecodeError { cause, packet, version, field, offset: offset as u32 }
}

/// Walks the fields of one complete packet, handing out spans of it.
pub(crate) struct Reader<'a> {
    frame: Bytes,
    pos: usize,
    packet: PacketType,
    version: Version,
    leniency: Leniency<'a>,
}

pub(crate) type Read<T> = Result<T, DecodeError>;

impl<'a> Reader<'a> {
    /// `frame` is a whole packet, of which `pos` bytes, the fixed header, have been read.
    #[inline]
    pub(crate) fn new(
        frame: Bytes,
        pos: usize,
        packet: PacketType,
        version: Version,
        leniency: Leniency<'a>,
    ) -> Self {
        Self { frame, pos, packet, version, leniency }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// CONNECT alone says which version it has.
    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    pub(crate) fn remaining(&self) -> usize {
        self.frame.len() - self.pos
    }

    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    /// An error about the field that starts at the current position.
    #[inline]
    pub(crate) fn error(&self, cause: DecodeCause, field: &'static str) -> DecodeError {
        self.error_at(cause, field, self.pos)
    }

    #[inline]
    pub(crate) fn error_at(&self, cause: DecodeCause, field: &'static str, offset: usize) -> DecodeError {
        // Not by reference to the reader, which could not be kept in registers then.
        error(cause, Some(self.packet), self.version, field, offset)
    }

    /// Gives an error for a broken rule unless it is forgiven.
    #[cold]
    pub(crate) fn forgive(&mut self, cause: DecodeCause, field: &'static str, offset: usize) -> Read<()> {
        let error = self.error_at(cause, field, offset);
        self.leniency.forgive(error)
    }

    #[inline]
    fn take(&mut self, len: usize, field: &'static str) -> Read<&[u8]> {
        let end = self.pos + len;
        let Some(bytes) = self.frame.get(self.pos..end) else {
            return Err(self.error(DecodeCause::Truncated, field));
        };
        self.pos = end;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Read<u8> {
        Ok(self.take(1, field)?[0])
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Read<u16> {
        let bytes = self.take(2, field)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    #[inline]
    pub(crate) fn varint(&mut self, field: &'static str) -> Read<u32> {
        let (value, len) = match peek_varint(self.peek_rest()) {
            Varint::Value(value, len) => (value, len),
            Varint::NotMinimal(value, len) => {
                self.forgive(DecodeCause::VariableByteIntegerNotMinimal, field, self.pos)?;
                (value, len)
            }
            Varint::Incomplete => return Err(self.error(DecodeCause::Truncated, field)),
            Varint::TooLong => return Err(self.error(DecodeCause::VariableByteIntegerTooLong, field)),
        };
        self.pos += len;
        Ok(value)
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Read<PacketId> {
        const FIELD: &str = "Packet Identifier";
        let at = self.pos;
        let id = self.u16(FIELD)?;
        // [MQTT-2.2.1-3]
        PacketId::new(id).ok_or_else(|| self.error_at(DecodeCause::ZeroPacketId, FIELD, at))
    }

    /// A span of the frame.
    #[inline]
    pub(crate) fn span(&mut self, len: usize, field: &'static str) -> Read<Range<usize>> {
        let start = self.pos;
        self.take(len, field)?;
        Ok(start..start + len)
    }

    /// The span of a length-prefixed field, without the prefix. Its errors are about the whole field.
    #[inline]
    pub(crate) fn field(&mut self, field: &'static str) -> Read<Range<usize>> {
        if let Some((&prefix, rest)) = self.peek_rest().split_first_chunk() {
            let (start, len) = (self.pos + 2, usize::from(u16::from_be_bytes(prefix)));
            if len <= rest.len() {
                self.pos = start + len;
                return Ok(start..start + len);
            }
        }
        Err(self.error(DecodeCause::Truncated, field))
    }

    /// The bytes of a span that was read.
    #[inline]
    pub(crate) fn bytes(&self, span: Range<usize>) -> &[u8] {
        self.frame.get(span).unwrap_or_default()
    }

    /// The bytes of a span, sharing the frame's memory; none is pinned for an empty one.
    #[inline]
    pub(crate) fn share(&self, span: Range<usize>) -> Bytes {
        share(&self.frame, span)
    }

    /// The bytes of a field whose span was read.
    #[inline]
    pub(crate) fn share_field(&self, span: Range<usize>) -> Field {
        Field::of(&self.frame, span)
    }

    #[inline]
    pub(crate) fn string(&mut self, field: &'static str) -> Read<Str> {
        let start = self.pos;
        let span = self.field(field)?;
        match text::check(self.bytes(span.clone())) {
            Ok(()) => Ok(Str::from_checked(self.share_field(span))),
            Err(error) => Err(self.error_at(error.into(), field, start)),
        }
    }

    /// A topic name; an empty one is not refused here.
    #[inline]
    pub(crate) fn topic(&mut self, field: &'static str) -> Read<TopicName> {
        let start = self.pos;
        let span = self.field(field)?;
        match check_name(self.bytes(span.clone())) {
            Ok(()) => Ok(TopicName::from_checked(self.share_field(span))),
            Err(error) => Err(self.error_at(error.into(), field, start)),
        }
    }

    #[inline]
    pub(crate) fn binary(&mut self, field: &'static str) -> Read<Binary> {
        let span = self.field(field)?;
        Ok(Binary::from_checked(self.share_field(span)))
    }

    /// Everything that is left, unread.
    #[inline]
    pub(crate) fn peek_rest(&self) -> &[u8] {
        self.frame.get(self.pos..).unwrap_or_default()
    }

    /// Everything that is left, as the packet's last field.
    #[inline]
    pub(crate) fn into_rest(mut self) -> Bytes {
        if self.remaining() == 0 {
            return Bytes::new();
        }
        self.frame.advance(self.pos);
        self.frame
    }

    /// Ends the packet; bytes that are left are an error.
    pub(crate) fn finish(mut self) -> Read<()> {
        match self.remaining() {
            0 => Ok(()),
            n => self.forgive(DecodeCause::TrailingBytes(n as u32), "Remaining Length", self.pos),
        }
    }
}

/// The bytes of a span, sharing the frame's memory; none is pinned for an empty one.
#[inline]
pub(crate) fn share(frame: &Bytes, span: Range<usize>) -> Bytes {
    if span.is_empty() { Bytes::new() } else { frame.slice(span) }
}

impl From<TextError> for DecodeCause {
    fn from(error: TextError) -> Self {
        match error {
            TextError::InvalidUtf8 => Self::InvalidUtf8,
            TextError::Nul => Self::Nul,
            // Two-byte prefixes cannot say more.
            TextError::TooLong(_) => Self::Truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_round_trip_at_their_borders() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000, MAX_VARINT] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value as usize));
            assert!(matches!(peek_varint(&out), Varint::Value(v, len) if v == value && len == out.len()));
            assert!(matches!(peek_varint(&out[..out.len() - 1]), Varint::Incomplete));
        }
        assert!(matches!(peek_varint(&[0x80, 0x80, 0x80, 0x80]), Varint::TooLong));
        assert!(matches!(peek_varint(&[0x81, 0x00]), Varint::NotMinimal(1, 2)));
    }
}
