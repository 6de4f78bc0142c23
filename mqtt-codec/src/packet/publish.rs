//! PUBLISH: a message.

use bytes::{BufMut, Bytes, BytesMut};

use super::Body;
use crate::error::{DecodeCause, EncodeError};
use crate::property::PublishProperties;
use crate::topic::{TopicName, check_name};
use crate::types::{PacketId, PacketType, QoS, Version};
use crate::wire::{Read, Reader, field_len};

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

    #[expect(clippy::inline_always, reason = "it has one caller, and its result is large to move")]
    #[inline(always)]
    pub(crate) fn read(first_byte: u8, mut reader: Reader) -> Read<Self> {
        let qos = match check_flags(first_byte) {
            Ok(qos) => qos,
            Err((cause, field)) => return Err(reader.error_at(cause, field, 0)),
        };
        let at = reader.position();
        let topic = reader.field(TOPIC)?;
        if let Err(error) = check_name(reader.bytes(topic.clone())) {
            return Err(reader.error_at(error.into(), TOPIC, at));
        }
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce(reader.packet_id()?),
            QoS::ExactlyOnce => Delivery::ExactlyOnce(reader.packet_id()?),
        };
        let properties = PublishProperties::read(&mut reader)?;
        if topic.is_empty() && !properties.has(0x23) {
            return Err(reader.error_at(DecodeCause::MissingTopic, TOPIC, at));
        }
        Ok(Self {
            dup: first_byte & DUP != 0,
            retain: first_byte & RETAIN != 0,
            delivery,
            topic: TopicName::from_checked(reader.share_field(topic)),
            properties,
            payload: reader.into_rest(),
        })
    }

    /// The length of the body without the payload.
    #[inline]
    pub(crate) fn head_len(&self, version: Version) -> usize {
        let mut len = field_len(self.topic.as_bytes());
        if self.delivery != Delivery::AtMostOnce {
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
        if let Some(id) = self.delivery.packet_id() {
            out.put_u16(id.get());
        }
        if version.has_properties() {
            self.properties.write(out);
        }
    }
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

impl Body for Publish {
    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.topic.is_aliased() && !(version.has_properties() && self.properties.has(0x23)) {
            return Err(EncodeError::MissingTopic);
        }
        Ok(())
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        let mut byte = ((PacketType::Publish as u8) << 4) | (self.delivery.qos().as_u8() << 1);
        // [MQTT-3.3.1-2]: DUP is 0 with QoS 0, whatever the field says.
        if self.dup && self.delivery != Delivery::AtMostOnce {
            byte |= DUP;
        }
        if self.retain {
            byte |= RETAIN;
        }
        byte
    }

    #[inline]
    fn body_len(&self, version: Version) -> usize {
        self.head_len(version) + self.payload.len()
    }

    #[inline]
    fn write_body(&self, version: Version, out: &mut BytesMut) {
        self.write_head(version, out);
        out.put_slice(&self.payload);
    }
}
