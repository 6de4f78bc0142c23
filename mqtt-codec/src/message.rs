//! `Message`: what an application publishes and receives, free of how it is delivered.

use bytes::Bytes;

use crate::packet::{Delivery, Publish, Will};
use crate::property::PublishProperties;
use crate::topic::TopicName;
use crate::types::QoS;

/// An application message.
///
/// Unlike a [`Publish`] it has no Packet Identifier and no DUP: those belong to one delivery of it.
///
/// ```
/// use mqttkit_codec::{Message, QoS, TopicName};
///
/// let message = Message::new(TopicName::try_from("home/door")?, "open").with_qos(QoS::AtLeastOnce);
/// # assert_eq!(message.payload, "open");
/// # Ok::<(), mqttkit_codec::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// Where it goes.
    pub topic: TopicName,
    /// What it says.
    pub payload: Bytes,
    /// What is promised about its delivery.
    pub qos: QoS,
    /// Whether it is kept for later subscribers, or, when received: whether it was kept.
    pub retain: bool,
    /// MQTT 5.0 properties.
    pub properties: PublishProperties,
}

impl Message {
    /// A message of QoS 0, not retained, without properties.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PublishProperties::new(),
        }
    }

    /// The same with a QoS.
    #[must_use]
    pub fn with_qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    /// The same, retained or not.
    #[must_use]
    pub fn with_retain(self, retain: bool) -> Self {
        Self { retain, ..self }
    }

    /// The same with properties.
    #[must_use]
    pub fn with_properties(self, properties: PublishProperties) -> Self {
        Self { properties, ..self }
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            topic: self.topic.detached(),
            payload: Bytes::copy_from_slice(&self.payload),
            properties: self.properties.detached(),
            ..*self
        }
    }

    pub(crate) fn into_publish(self, delivery: Delivery) -> Publish {
        Publish {
            dup: false,
            retain: self.retain,
            delivery,
            topic: self.topic,
            properties: self.properties,
            payload: self.payload,
        }
    }
}

impl From<Publish> for Message {
    fn from(publish: Publish) -> Self {
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            properties: publish.properties,
        }
    }
}

/// The message that a will becomes; its Will Delay Interval is for the server alone.
impl From<Will> for Message {
    fn from(will: Will) -> Self {
        Self {
            topic: will.topic,
            payload: will.payload.into_bytes(),
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.into_message_properties(),
        }
    }
}
