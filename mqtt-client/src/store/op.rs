//! `StoreOp`: one effect that is kept, and its record in bytes.

use super::StoreError;
use crate::delivery::Priority;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqttkit_codec::{Codec, Message, Packet, PacketId, Publish, QoS, Str, Version};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One effect, complete in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOp {
    /// Whose session it is: the first op of all.
    Session {
        /// The client identifier.
        client_id: Str,
    },
    /// A message was accepted from the application.
    Queued(StoredMessage),
    /// A message is about to be sent for the first time, in this session of the server.
    Sent {
        /// The message.
        key: u64,
        /// Its packet identifier.
        packet_id: PacketId,
    },
    /// The server has taken over a QoS 2 message: PUBREC. The message itself is not needed any more.
    Received {
        /// The message.
        key: u64,
        /// Its packet identifier.
        packet_id: PacketId,
    },
    /// A message is complete, or will never be sent: nothing is kept of it.
    Completed {
        /// The message.
        key: u64,
    },
    /// The application has acknowledged a QoS 2 message with this identifier.
    IncomingAcknowledged(PacketId),
    /// The server has released this identifier.
    IncomingReleased(PacketId),
    /// The server has lost the session: all identifiers lose their meaning, messages that were sent are queued again
    /// in front of the others, those that were received are complete.
    SessionLost,
}

/// A message with what must be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its number in this store. Later messages have higher ones.
    pub key: u64,
    /// The message; its QoS is 1 or 2.
    pub message: Message,
    /// Its class.
    pub priority: Priority,
    /// When it is of no more use, as the system clock will say, in milliseconds.
    pub expires: Option<SystemTime>,
}

impl StoredMessage {
    /// A message of normal priority that does not expire.
    pub fn new(key: u64, message: Message) -> Self {
        Self { key, message, priority: Priority::Normal, expires: None }
    }
}

const SESSION: u8 = 1;
const QUEUED: u8 = 2;
const SENT: u8 = 3;
const RECEIVED: u8 = 4;
const COMPLETED: u8 = 5;
const INCOMING_ACKNOWLEDGED: u8 = 6;
const INCOMING_RELEASED: u8 = 7;
const SESSION_LOST: u8 = 8;

const RETAIN: u8 = 1 << 2;
const PRIORITIES: [Priority; Priority::COUNT] = [Priority::Low, Priority::Normal, Priority::High];

impl StoreOp {
    /// Appends the op, in a form that stays readable.
    ///
    /// # Errors
    /// The message is no valid one.
    pub fn to_bytes(&self, out: &mut BytesMut) -> Result<(), StoreError> {
        match self {
            Self::Session { client_id } => {
                out.put_u8(SESSION);
                out.put_slice(client_id.as_str().as_bytes());
            }
            Self::Queued(stored) => return stored.to_bytes(out),
            Self::Sent { key, packet_id } => {
                out.put_u8(SENT);
                out.put_u64(*key);
                out.put_u16(packet_id.get());
            }
            Self::Received { key, packet_id } => {
                out.put_u8(RECEIVED);
                out.put_u64(*key);
                out.put_u16(packet_id.get());
            }
            Self::Completed { key } => {
                out.put_u8(COMPLETED);
                out.put_u64(*key);
            }
            Self::IncomingAcknowledged(id) => {
                out.put_u8(INCOMING_ACKNOWLEDGED);
                out.put_u16(id.get());
            }
            Self::IncomingReleased(id) => {
                out.put_u8(INCOMING_RELEASED);
                out.put_u16(id.get());
            }
            Self::SessionLost => out.put_u8(SESSION_LOST),
        }
        Ok(())
    }

    /// Reads an op from exactly these bytes. The message shares their memory.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::read(bytes).ok_or_else(|| StoreError::Corrupt(format!("a record of {} bytes", bytes.len())))
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let op = match rest.try_get_u8().ok()? {
            SESSION => {
                let client_id = std::str::from_utf8(rest).ok()?;
                return Some(Self::Session { client_id: Str::try_from(client_id).ok()? });
            }
            QUEUED => return StoredMessage::read(rest).map(Self::Queued),
            SENT => Self::Sent { key: rest.try_get_u64().ok()?, packet_id: id(rest)? },
            RECEIVED => Self::Received { key: rest.try_get_u64().ok()?, packet_id: id(rest)? },
            COMPLETED => Self::Completed { key: rest.try_get_u64().ok()? },
            INCOMING_ACKNOWLEDGED => Self::IncomingAcknowledged(id(rest)?),
            INCOMING_RELEASED => Self::IncomingReleased(id(rest)?),
            SESSION_LOST => Self::SessionLost,
            _ => return None,
        };
        rest.is_empty().then_some(op)
    }
}

fn id(bytes: &mut &[u8]) -> Option<PacketId> {
    PacketId::new(bytes.try_get_u16().ok()?)
}

impl StoredMessage {
    /// Topic and properties are written as a PUBLISH of MQTT 5.0 without payload, which the codec checks on reading.
    fn to_bytes(&self, out: &mut BytesMut) -> Result<(), StoreError> {
        let Self { key, message, priority, expires } = self;
        let since = expires.map_or(0, |at| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            u64::try_from(since).unwrap_or(u64::MAX).max(1)
        });
        out.put_u8(QUEUED);
        out.put_u64(*key);
        out.put_u64(since);
        out.put_u8(priority.index() as u8);
        out.put_u8(message.qos.as_u8() | if message.retain { RETAIN } else { 0 });
        let mut head = Publish::new(message.topic.clone(), Bytes::new());
        head.properties = message.properties.clone();
        Codec::new(Version::V5)
            .encode(&head, out)
            .map_err(|error| StoreError::Custom(format!("a message cannot be written: {error}")))?;
        out.put_slice(&message.payload);
        Ok(())
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let key = bytes.try_get_u64().ok()?;
        let expires = bytes.try_get_u64().ok()?;
        let priority = *PRIORITIES.get(usize::from(bytes.try_get_u8().ok()?))?;
        let flags = bytes.try_get_u8().ok()?;
        let mut rest = BytesMut::from(*bytes);
        let Packet::Publish(publish) = Codec::new(Version::V5).decode(&mut rest).ok()?? else { return None };
        let mut message = Message::from(publish);
        message.payload = rest.freeze();
        message.qos = QoS::from_u8(flags & !RETAIN).filter(|&qos| qos != QoS::AtMostOnce)?;
        message.retain = flags & RETAIN != 0;
        let expires = match expires {
            0 => None,
            millis => Some(UNIX_EPOCH.checked_add(Duration::from_millis(millis))?),
        };
        Some(Self { key, message, priority, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::{PublishProperties, TopicName};

    #[test]
    fn every_op_is_read_as_it_was_written_and_no_part_of_it() {
        let id = PacketId::new(7).unwrap();
        let name = Str::try_from("n").unwrap();
        let properties =
            PublishProperties::new().with_message_expiry_interval(9).with_user_property(&name, &name);
        let message = Message::new(TopicName::try_from("a/b").unwrap(), "payload")
            .with_qos(QoS::ExactlyOnce)
            .with_retain(true)
            .with_properties(properties);
        let mut queued = StoredMessage::new(u64::MAX, message);
        queued.priority = Priority::High;
        queued.expires = Some(UNIX_EPOCH + Duration::from_millis(1_234_567));
        let ops = [
            StoreOp::Session { client_id: Str::try_from("me").unwrap() },
            StoreOp::Queued(queued),
            StoreOp::Sent { key: 1, packet_id: id },
            StoreOp::Received { key: 2, packet_id: id },
            StoreOp::Completed { key: 3 },
            StoreOp::IncomingAcknowledged(id),
            StoreOp::IncomingReleased(id),
            StoreOp::SessionLost,
        ];
        for op in ops {
            let mut bytes = BytesMut::new();
            op.to_bytes(&mut bytes).unwrap();
            assert_eq!(StoreOp::from_bytes(&bytes).unwrap(), op);
            if !matches!(op, StoreOp::Session { .. } | StoreOp::Queued(_)) {
                bytes.put_u8(0);
                assert!(StoreOp::from_bytes(&bytes).is_err());
                assert!(StoreOp::from_bytes(&bytes[..bytes.len() - 2]).is_err());
            }
        }
        assert!(StoreOp::from_bytes(&[]).is_err() && StoreOp::from_bytes(&[99]).is_err());
    }
}
