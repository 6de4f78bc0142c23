//! PUBLISH: a message.

use core::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Body;
use crate::codec::Codec;
use crate::error::{DecodeCause, EncodeError};
use crate::field::Field;
use crate::message::Message;
use crate::property::{self, Invalid, PublishProperties};
use crate::strictness::Leniency;
use crate::topic::{TopicName, check_name};
use crate::types::{PacketId, PacketType, QoS, Version};
use crate::wire::{self, Read, Varint, error, peek_varint, split_field};

/// A message on its way from one side to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// DUP: this may have been sent before. Means nothing with QoS 0.
    pub dup: bool,
    /// RETAIN: keep it for later subscribers, or, on its way to one: it was kept.
    pub retain: bool,
    /// The QoS, and the identifier that comes with it.
    pub delivery: Delivery,
    /// Where it goes.
    pub topic: TopicName,
    /// MQTT 5.0 properties.
    pub properties: PublishProperties,
    /// What it says.
    pub payload: Bytes,
}

/// The QoS of a message in flight, with the identifier that QoS 1 and 2 need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl Delivery {
    /// The QoS.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce(_) => QoS::AtLeastOnce,
            Self::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The identifier of a QoS 1 or 2 message.
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(id) | Self::ExactlyOnce(id) => Some(id),
        }
    }
}

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;
const TOPIC: &str = "Topic Name";
const TRUNCATED: DecodeCause = DecodeCause::Truncated;

impl Publish {
    /// A message of QoS 0 without properties, not retained.
    pub const fn new(topic: TopicName, payload: Bytes) -> Self {
        Self {
            dup: false,
            retain: false,
            delivery: Delivery::AtMostOnce,
            topic,
            properties: PublishProperties::new(),
            payload,
        }
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            topic: self.topic.detached(),
            properties: self.properties.detached(),
            payload: Bytes::copy_from_slice(&self.payload),
            ..*self
        }
    }

    /// What is written of it.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        let mut first_byte = ((PacketType::Publish as u8) << 4) | (self.delivery.qos().as_u8() << 1);
        // [MQTT-3.3.1-2]: DUP is 0 with QoS 0, whatever the field says.
        if self.dup && self.delivery != Delivery::AtMostOnce {
            first_byte |= DUP;
        }
        if self.retain {
            first_byte |= RETAIN;
        }
        View {
            first_byte,
            packet_id: self.delivery.packet_id(),
            topic: &self.topic,
            properties: &self.properties,
            payload: &self.payload,
        }
    }
}

/// What is written of a PUBLISH, whoever has it: a message that goes to many is not copied for each of them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    first_byte: u8,
    packet_id: Option<PacketId>,
    topic: &'a TopicName,
    properties: &'a PublishProperties,
    pub(crate) payload: &'a Bytes,
}

impl<'a> View<'a> {
    /// A message as QoS 0, with this RETAIN.
    #[inline]
    pub(crate) fn at_most_once(message: &'a Message, retain: bool) -> Self {
        let first_byte = ((PacketType::Publish as u8) << 4) | if retain { RETAIN } else { 0 };
        let Message { topic, properties, payload, .. } = message;
        Self { first_byte, packet_id: None, topic, properties, payload }
    }

    /// The length of the body without the payload.
    #[inline]
    pub(crate) fn head_len(&self, version: Version) -> usize {
        let mut len = self.topic.encoded_len();
        if self.packet_id.is_some() {
            len += 2;
        }
        if version.has_properties() {
            len += self.properties.encoded_len();
        }
        len
    }

    /// Writes the body without the payload.
    #[inline]
    pub(crate) fn write_head(&self, version: Version, out: &mut BytesMut) {
        self.topic.write(out);
        if let Some(id) = self.packet_id {
            out.put_u16(id.get());
        }
        if version.has_properties() {
            self.properties.write(out);
        }
    }
}

/// A PUBLISH that was checked where it lies in a buffer. It is the packet that speed depends on: nothing is shared
/// before all is right, and what is short is copied while it is at hand.
pub(crate) struct Checked {
    first_byte: u8,
    delivery: Delivery,
    topic: Range<usize>,
    /// If it is short.
    copied_topic: Option<Field>,
    properties: property::Checked<property::set::Publish>,
    /// The length of the properties, in front of the payload.
    properties_len: usize,
    payload_len: usize,
}

impl Checked {
    /// Checks a whole packet of which the fixed header has been read.
    #[expect(clippy::inline_always, reason = "it has one caller, and its result is large to move")]
    #[inline(always)]
    pub(crate) fn new(
        frame: &[u8],
        header: usize,
        qos: QoS,
        version: Version,
        leniency: &mut Leniency<'_>,
    ) -> Read<Self> {
        // What is wrong, with which field, and what stands from there on.
        let fault = |cause, field, rest: &[u8]| {
            error(cause, Some(PacketType::Publish), version, field, frame.len() - rest.len())
        };
        let error = |cause, field, rest| Err(fault(cause, field, rest));
        let body = frame.get(header..).unwrap_or_default();
        let Some((topic, mut rest)) = split_field(body) else { return error(TRUNCATED, TOPIC, body) };
        if let Err(cause) = check_name(topic) {
            return error(cause.into(), TOPIC, body);
        }
        let copied_topic = Field::in_place(body.get(2..).unwrap_or_default(), topic.len());
        let mut delivery = Delivery::AtMostOnce;
        if qos != QoS::AtMostOnce {
            const FIELD: &str = "Packet Identifier";
            let Some((&id, behind)) = rest.split_first_chunk() else { return error(TRUNCATED, FIELD, rest) };
            // [MQTT-2.2.1-3]
            let Some(id) = PacketId::new(u16::from_be_bytes(id)) else {
                return error(DecodeCause::ZeroPacketId, FIELD, rest);
            };
            rest = behind;
            delivery = match qos {
                QoS::ExactlyOnce => Delivery::ExactlyOnce(id),
                _ => Delivery::AtLeastOnce(id),
            };
        }
        let (mut properties, mut properties_len) = (property::Checked::NONE, 0);
        if version.has_properties() {
            const FIELD: &str = "Property Length";
            let (len, start) = match peek_varint(rest) {
                Varint::Value(len, start) => (len as usize, start),
                Varint::NotMinimal(len, start) => {
                    leniency.forgive(fault(DecodeCause::VariableByteIntegerNotMinimal, FIELD, rest))?;
                    (len as usize, start)
                }
                Varint::Incomplete => return error(TRUNCATED, FIELD, rest),
                Varint::TooLong => return error(DecodeCause::VariableByteIntegerTooLong, FIELD, rest),
            };
            rest = rest.get(start..).unwrap_or_default();
            if len > 0 {
                let Some((raw, behind)) = rest.split_at_checked(len) else {
                    return error(TRUNCATED, "Properties", rest);
                };
                properties = match property::Checked::new(raw) {
                    Ok(checked) => checked,
                    Err(Invalid { cause, id, at }) => {
                        return error(cause, property::name(id), rest.get(at..).unwrap_or_default());
                    }
                };
                (properties_len, rest) = (len, behind);
            }
        }
        if topic.is_empty() && !properties.has(0x23) {
            return error(DecodeCause::MissingTopic, TOPIC, body);
        }
        Ok(Self {
            first_byte: frame.first().copied().unwrap_or_default(),
            delivery,
            topic: header + 2..header + 2 + topic.len(),
            copied_topic,
            properties,
            properties_len,
            payload_len: rest.len(),
        })
    }

    /// Takes the packet, of `len` bytes, from the buffer it was checked in.
    #[expect(clippy::inline_always, reason = "it has one caller, and its result is large to move")]
    #[inline(always)]
    pub(crate) fn take(self, len: usize, input: &mut BytesMut) -> Publish {
        let Self { first_byte, delivery, topic: span, copied_topic, properties, properties_len, payload_len } =
            self;
        let publish = |topic, properties, payload| Publish {
            dup: first_byte & DUP != 0,
            retain: first_byte & RETAIN != 0,
            delivery,
            topic: TopicName::from_checked(topic),
            properties,
            payload,
        };
        if let (Some(topic), 0) = (&copied_topic, properties_len) {
            let topic = topic.clone();
            // A frame of its own, to which nobody refers, need not be in memory.
            let payload = tail(input.split_to(len).freeze(), payload_len);
            return publish(topic, PublishProperties::new(), payload);
        }
        let frame = input.split_to(len).freeze();
        let topic = copied_topic.unwrap_or_else(|| Field::of(&frame, span));
        let end = len.saturating_sub(payload_len);
        let raw = wire::share(&frame, end - properties_len..end);
        publish(topic, properties.share(raw), tail(frame, payload_len))
    }
}

/// The last `len` bytes; nothing is pinned for none.
#[inline]
fn tail(mut frame: Bytes, len: usize) -> Bytes {
    if len == 0 {
        return Bytes::new();
    }
    // Saturating, which cannot be out of bounds.
    frame.advance(frame.len().saturating_sub(len));
    frame
}

/// Checks the low four bits of the first byte; an error comes with its field.
pub(crate) const fn check_flags(first_byte: u8) -> Result<QoS, (DecodeCause, &'static str)> {
    match QoS::from_u8((first_byte >> 1) & 3) {
        // [MQTT-3.3.1-4]
        None => Err((DecodeCause::InvalidQoS, "QoS")),
        // [MQTT-3.3.1-2]
        Some(QoS::AtMostOnce) if first_byte & DUP != 0 => Err((DecodeCause::DupWithoutQoS, "DUP")),
        Some(qos) => Ok(qos),
    }
}

impl Body for View<'_> {
    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.topic.is_aliased() && !(version.has_properties() && self.properties.has(0x23)) {
            return Err(EncodeError::MissingTopic);
        }
        Ok(())
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        self.first_byte
    }

    #[inline]
    fn body_len(&self, version: Version) -> usize {
        self.head_len(version) + self.payload.len()
    }

    #[inline]
    fn write_body(&self, version: Version, out: &mut BytesMut) {
        self.write_head(version, out);
        out.put_slice(self.payload);
    }
}

impl Body for Publish {
    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        self.view().check(version)
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        self.view().first_byte
    }

    #[inline]
    fn body_len(&self, version: Version) -> usize {
        self.view().body_len(version)
    }

    #[inline]
    fn write_body(&self, version: Version, out: &mut BytesMut) {
        self.view().write_body(version, out);
    }

    #[inline]
    fn encode(&self, codec: &Codec, out: &mut BytesMut) -> Result<(), EncodeError> {
        codec.encode_body(&self.view(), out)
    }
}
