//! UNSUBSCRIBE and UNSUBACK.

use core::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::list::sealed::Entry;
use super::subscribe::{check_reasons, read_reasons};
use super::{Body, List, fixed_first_byte};
use crate::error::{DecodeCause, EncodeError};
use crate::field::Field;
use crate::property::{AckProperties, UnsubscribeProperties};
use crate::reason::ReasonCode;
use crate::topic::{TopicFilter, check_filter};
use crate::types::{PacketId, PacketType, Version};
use crate::wire::{Read, Reader, put_field};

/// Ends one or more subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Which UNSUBACK answers it.
    pub packet_id: PacketId,
    /// MQTT 5.0 properties.
    pub properties: UnsubscribeProperties,
    /// The filters of the subscriptions, at least one.
    pub filters: List<TopicFilter>,
}

impl Unsubscribe {
    /// Ends the subscriptions with these filters.
    pub fn new(packet_id: PacketId, filters: impl IntoIterator<Item = TopicFilter>) -> Self {
        Self { packet_id, properties: UnsubscribeProperties::new(), filters: filters.into_iter().collect() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        const FILTER: &str = "Topic Filter";
        let packet_id = reader.packet_id()?;
        let properties = UnsubscribeProperties::read(&mut reader)?;
        let (raw, start) = (reader.peek_rest(), reader.position());
        let (mut at, mut count) = (0, 0);
        while at < raw.len() {
            let Some(len) = TopicFilter::len_at(&raw[at..]) else {
                return Err(reader.error_at(DecodeCause::Truncated, FILTER, start + at));
            };
            check_filter(&raw[at + 2..at + len])
                .map_err(|error| reader.error_at(error.into(), FILTER, start + at))?;
            at += len;
            count += 1;
        }
        // [MQTT-3.10.3-2]
        if count == 0 {
            return Err(reader.error(DecodeCause::EmptyList, FILTER));
        }
        Ok(Self { packet_id, properties, filters: List::from_checked(reader.into_rest(), count) })
    }
}

impl Entry for TopicFilter {
    fn len_at(raw: &[u8]) -> Option<usize> {
        let len = 2 + usize::from(u16::from_be_bytes([*raw.first()?, *raw.get(1)?]));
        (len <= raw.len()).then_some(len)
    }

    fn read_checked(raw: &Bytes, Range { start, end }: Range<usize>) -> Option<Self> {
        Some(Self::from_checked(Field::of(raw, start + 2..end)))
    }

    fn put(&self, out: &mut BytesMut) {
        put_field(out, self.as_bytes());
    }
}

impl Body for Unsubscribe {
    fn check(&self, _: Version) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::EmptyList(PacketType::Unsubscribe));
        }
        Ok(())
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Unsubscribe)
    }

    fn body_len(&self, version: Version) -> usize {
        let properties = if version.has_properties() { self.properties.encoded_len() } else { 0 };
        2 + properties + self.filters.as_bytes().len()
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.has_properties() {
            self.properties.write(out);
        }
        out.put_slice(self.filters.as_bytes());
    }
}

/// Answers an UNSUBSCRIBE, one reason for each filter in the same order; before MQTT 5.0 without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// The UNSUBSCRIBE it answers.
    pub packet_id: PacketId,
    /// MQTT 5.0 properties.
    pub properties: AckProperties,
    /// How it went with each filter.
    pub reasons: List<ReasonCode>,
}

impl UnsubAck {
    /// Answers with these reasons.
    pub fn new(packet_id: PacketId, reasons: impl IntoIterator<Item = ReasonCode>) -> Self {
        Self { packet_id, properties: AckProperties::new(), reasons: reasons.into_iter().collect() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let packet_id = reader.packet_id()?;
        if !reader.version().has_properties() {
            reader.finish()?;
            return Ok(Self::new(packet_id, []));
        }
        let properties = AckProperties::read(&mut reader)?;
        let reasons = read_reasons(reader, |code| code.is_allowed_in(PacketType::UnsubAck))?;
        Ok(Self { packet_id, properties, reasons })
    }
}

impl Body for UnsubAck {
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.has_properties() { check_reasons(&self.reasons, PacketType::UnsubAck) } else { Ok(()) }
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::UnsubAck)
    }

    fn body_len(&self, version: Version) -> usize {
        if version.has_properties() { 2 + self.properties.encoded_len() + self.reasons.len() } else { 2 }
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.has_properties() {
            self.properties.write(out);
            out.put_slice(self.reasons.as_bytes());
        }
    }
}
