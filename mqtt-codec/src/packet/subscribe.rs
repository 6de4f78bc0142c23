//! SUBSCRIBE and SUBACK.

use core::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::list::sealed::Entry;
use super::{Body, List, check_reason, fixed_first_byte};
use crate::error::{DecodeCause, EncodeError};
use crate::field::Field;
use crate::property::{AckProperties, SubscribeProperties};
use crate::reason::ReasonCode;
use crate::topic::{TopicFilter, check_filter};
use crate::types::{PacketId, PacketType, QoS, Version};
use crate::wire::{Read, Reader, put_field};

/// Asks for one or more subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Which SUBACK answers it.
    pub packet_id: PacketId,
    /// MQTT 5.0 properties.
    pub properties: SubscribeProperties,
    /// The subscriptions asked for, at least one.
    pub subscriptions: List<Subscription>,
}

/// A topic filter with what is wanted of its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Which messages.
    pub filter: TopicFilter,
    /// How.
    pub options: SubscriptionOptions,
}

/// The Subscription Options. All but the QoS are of MQTT 5.0 and left out before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// Maximum QoS: messages of a higher one are delivered with this.
    pub qos: QoS,
    /// No Local: not those that this client published itself.
    pub no_local: bool,
    /// Retain As Published: RETAIN as the publisher set it, instead of 0.
    pub retain_as_published: bool,
    /// Whether retained messages are sent when the subscription is made.
    pub retain_handling: RetainHandling,
}

/// Whether retained messages are sent when a subscription is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// They are sent.
    #[default]
    Send = 0,
    /// They are sent if the subscription is new.
    SendIfNew = 1,
    /// They are not sent.
    DoNotSend = 2,
}

const NO_LOCAL: u8 = 0x04;

impl SubscriptionOptions {
    /// Only a QoS.
    pub const fn new(qos: QoS) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    const fn to_byte(self) -> u8 {
        self.qos.as_u8()
            | if self.no_local { NO_LOCAL } else { 0 }
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    const fn from_byte(byte: u8) -> Result<Self, DecodeCause> {
        let Some(qos) = QoS::from_u8(byte & 3) else { return Err(DecodeCause::InvalidQoS) };
        // [MQTT-3.8.3-5]
        if byte & 0xC0 != 0 {
            return Err(DecodeCause::ReservedBits(byte));
        }
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeCause::InvalidRetainHandling),
        };
        let no_local = byte & NO_LOCAL != 0;
        Ok(Self { qos, no_local, retain_as_published: byte & 0x08 != 0, retain_handling })
    }
}

impl Subscription {
    /// A filter with a QoS.
    pub const fn new(filter: TopicFilter, qos: QoS) -> Self {
        Self { filter, options: SubscriptionOptions::new(qos) }
    }
}

impl Entry for Subscription {
    fn len_at(raw: &[u8]) -> Option<usize> {
        let len = 3 + usize::from(u16::from_be_bytes([*raw.first()?, *raw.get(1)?]));
        (len <= raw.len()).then_some(len)
    }

    fn read_checked(raw: &Bytes, Range { start, end }: Range<usize>) -> Option<Self> {
        let options = SubscriptionOptions::from_byte(*raw.get(end - 1)?).ok()?;
        let filter = TopicFilter::from_checked(Field::of(raw, start + 2..end - 1));
        Some(Self { filter, options })
    }

    fn put(&self, out: &mut BytesMut) {
        put_field(out, self.filter.as_bytes());
        out.put_u8(self.options.to_byte());
    }
}

const FILTER: &str = "Topic Filter";
const OPTIONS: &str = "Subscription Options";

impl Subscribe {
    /// Asks for these subscriptions.
    pub fn new(packet_id: PacketId, subscriptions: impl IntoIterator<Item = Subscription>) -> Self {
        Self {
            packet_id,
            properties: SubscribeProperties::new(),
            subscriptions: subscriptions.into_iter().collect(),
        }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let packet_id = reader.packet_id()?;
        let properties = SubscribeProperties::read(&mut reader)?;
        let (cleaned, len) = match check_entries(&reader, reader.peek_rest()) {
            Ok(len) => (None, len),
            Err(error) => {
                reader.forgive(error.cause, error.field, error.offset as usize)?;
                let cleaned = without_reserved_bits(reader.peek_rest(), reader.version());
                let len = check_entries(&reader, &cleaned)?;
                (Some(cleaned), len)
            }
        };
        // [MQTT-3.8.3-2]
        if len == 0 {
            return Err(reader.error(DecodeCause::EmptyList, FILTER));
        }
        let raw = cleaned.unwrap_or_else(|| reader.into_rest());
        Ok(Self { packet_id, properties, subscriptions: List::from_checked(raw, len) })
    }
}

/// The same entries without the reserved bits of their options. It is a copy, since many may read the original.
#[cold]
fn without_reserved_bits(raw: &[u8], version: Version) -> Bytes {
    let mut cleaned = BytesMut::from(raw);
    let mut entries = &mut cleaned[..];
    while let Some(len) = Subscription::len_at(entries) {
        let (entry, rest) = entries.split_at_mut(len);
        if let Some(options) = entry.last_mut() {
            *options &= !reserved_bits(version);
        }
        entries = rest;
    }
    cleaned.freeze()
}

/// [MQTT-3.8.3-5]; [MQTT-3-8.3-4] of MQTT 3.1.1
const fn reserved_bits(version: Version) -> u8 {
    if version.has_properties() { 0xc0 } else { 0xfc }
}

/// Checks all entries, which stand where the reader is, and counts them.
fn check_entries(reader: &Reader<'_>, raw: &[u8]) -> Read<usize> {
    let v5 = reader.version().has_properties();
    let start = reader.position();
    let (mut at, mut count) = (0, 0);
    while at < raw.len() {
        let Some(len) = Subscription::len_at(&raw[at..]) else {
            let only_options = TopicFilter::len_at(&raw[at..]).is_some();
            let (field, at) = if only_options { (OPTIONS, raw.len()) } else { (FILTER, at) };
            return Err(reader.error_at(DecodeCause::Truncated, field, start + at));
        };
        let filter = &raw[at + 2..at + len - 1];
        check_filter(filter).map_err(|error| reader.error_at(error.into(), FILTER, start + at))?;
        let byte = raw[at + len - 1];
        let bad_options = |cause| Err(reader.error_at(cause, OPTIONS, start + at + len - 1));
        // [MQTT-3-8.3-4] of MQTT 3.1.1: the upper six bits are reserved
        if !v5 && byte & !3 != 0 {
            return bad_options(DecodeCause::ReservedBits(byte));
        }
        match SubscriptionOptions::from_byte(byte) {
            // [MQTT-3.8.3-4]
            Ok(options) if options.no_local && filter.starts_with(b"$share/") => {
                return bad_options(DecodeCause::NoLocalOnSharedSubscription);
            }
            Ok(_) => {}
            Err(cause) => return bad_options(cause),
        }
        at += len;
        count += 1;
    }
    Ok(count)
}

impl Body for Subscribe {
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.subscriptions.is_empty() {
            return Err(EncodeError::EmptyList(PacketType::Subscribe));
        }
        // [MQTT-3.8.3-4]
        let no_local_on_shared = |entry: &[u8]| {
            entry.last().is_some_and(|options| options & NO_LOCAL != 0)
                && entry.get(2..).is_some_and(|filter| filter.starts_with(b"$share/"))
        };
        if version.has_properties() && self.subscriptions.raw_entries().any(no_local_on_shared) {
            return Err(EncodeError::NoLocalOnSharedSubscription);
        }
        Ok(())
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Subscribe)
    }

    fn body_len(&self, version: Version) -> usize {
        let properties = if version.has_properties() { self.properties.encoded_len() } else { 0 };
        2 + properties + self.subscriptions.as_bytes().len()
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.has_properties() {
            self.properties.write(out);
            out.put_slice(self.subscriptions.as_bytes());
        } else {
            // Of the options a QoS is all there is.
            for (options, filter) in self.subscriptions.raw_entries().filter_map(<[u8]>::split_last) {
                out.put_slice(filter);
                out.put_u8(options & 3);
            }
        }
    }
}

/// Answers a SUBSCRIBE, one reason for each subscription in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The SUBSCRIBE it answers.
    pub packet_id: PacketId,
    /// MQTT 5.0 properties.
    pub properties: AckProperties,
    /// The QoS granted, or why the subscription was refused.
    pub reasons: List<ReasonCode>,
}

impl SubAck {
    /// Answers with these reasons.
    pub fn new(packet_id: PacketId, reasons: impl IntoIterator<Item = ReasonCode>) -> Self {
        Self { packet_id, properties: AckProperties::new(), reasons: reasons.into_iter().collect() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let packet_id = reader.packet_id()?;
        let properties = AckProperties::read(&mut reader)?;
        let v5 = reader.version().has_properties();
        // [MQTT-3.9.3-2] of both: MQTT 3 knows the three QoS and 0x80
        let allowed = |code: ReasonCode| {
            code.is_allowed_in(PacketType::SubAck)
                && (v5 || code.granted_qos().is_some() || code == ReasonCode::UnspecifiedError)
        };
        let reasons = read_reasons(reader, allowed)?;
        Ok(Self { packet_id, properties, reasons })
    }
}

impl Entry for ReasonCode {
    fn len_at(raw: &[u8]) -> Option<usize> {
        (!raw.is_empty()).then_some(1)
    }

    fn read_checked(raw: &Bytes, span: Range<usize>) -> Option<Self> {
        Self::from_u8(*raw.get(span.start)?)
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.as_u8());
    }
}

/// Reads reason codes to the end of the packet.
pub(super) fn read_reasons(
    reader: Reader<'_>,
    allowed: impl Fn(ReasonCode) -> bool,
) -> Read<List<ReasonCode>> {
    const FIELD: &str = "Reason Code";
    let codes = reader.peek_rest();
    if codes.is_empty() {
        return Err(reader.error(DecodeCause::EmptyList, FIELD));
    }
    for (index, &code) in codes.iter().enumerate() {
        if !ReasonCode::from_u8(code).is_some_and(&allowed) {
            let at = reader.position() + index;
            return Err(reader.error_at(DecodeCause::InvalidReasonCode(code), FIELD, at));
        }
    }
    let len = codes.len();
    Ok(List::from_checked(reader.into_rest(), len))
}

/// Checks that there are reason codes and that this packet may carry them.
pub(super) fn check_reasons(reasons: &List<ReasonCode>, packet: PacketType) -> Result<(), EncodeError> {
    if reasons.is_empty() {
        return Err(EncodeError::EmptyList(packet));
    }
    let mut codes = reasons.as_bytes().iter().filter_map(|&code| ReasonCode::from_u8(code));
    codes.try_for_each(|reason| check_reason(reason, packet))
}

impl Body for SubAck {
    fn check(&self, _: Version) -> Result<(), EncodeError> {
        check_reasons(&self.reasons, PacketType::SubAck)
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::SubAck)
    }

    fn body_len(&self, version: Version) -> usize {
        let properties = if version.has_properties() { self.properties.encoded_len() } else { 0 };
        2 + properties + self.reasons.len()
    }

    fn write_body(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.has_properties() {
            self.properties.write(out);
            out.put_slice(self.reasons.as_bytes());
        } else {
            // MQTT 3 has one code for every refusal.
            for code in self.reasons.as_bytes() {
                out.put_u8((*code).min(ReasonCode::UnspecifiedError.as_u8()));
            }
        }
    }
}
