//! CONNECT: the first packet of a connection, the only one that says which version it is.

use bytes::{BufMut, BytesMut};

use super::{Body, fixed_first_byte};
use crate::error::{DecodeCause, EncodeError};
use crate::property::{ConnectProperties, WillProperties};
use crate::text::{Binary, Str};
use crate::topic::{TopicError, TopicName};
use crate::types::{PacketType, QoS, Version};
use crate::wire::{Read, Reader};

/// The first packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connect {
    /// The version the client speaks from here on.
    pub version: Version,
    /// Clean Start; Clean Session in MQTT 3, where it also says that the session ends with the connection.
    pub clean_start: bool,
    /// The longest silence the client promises, in seconds; 0 is no limit.
    pub keep_alive: u16,
    /// Who the client is; empty asks the server for a name.
    pub client_id: Str,
    /// The message to publish when the client is gone without a goodbye.
    pub will: Option<Will>,
    /// User name.
    pub user_name: Option<Str>,
    /// Password.
    pub password: Option<Binary>,
    /// MQTT 5.0 properties.
    pub properties: ConnectProperties,
    /// The sender is a bridge between brokers: it set the high bit of the protocol level in MQTT 3, which
    /// mosquitto's bridges do.
    pub bridge: bool,
}

/// What the server publishes for a client that is gone without a goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub payload: Binary,
    /// With which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// MQTT 5.0 properties.
    pub properties: WillProperties,
}

impl Will {
    /// A will of QoS 0, not retained.
    pub const fn new(topic: TopicName, payload: Binary) -> Self {
        Self { topic, payload, qos: QoS::AtMostOnce, retain: false, properties: WillProperties::new() }
    }
}

const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS_SHIFT: u8 = 3;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;
const RESERVED: u8 = 0x01;
/// mosquitto's bridges mark themselves in the protocol level of MQTT 3.
const BRIDGE: u8 = 0x80;

impl Connect {
    /// A clean start with a keep-alive of 60 seconds and nothing else.
    pub const fn new(version: Version, client_id: Str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::new(),
            bridge: false,
        }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Read<Self> {
        let (version, bridge) = read_version(&mut reader)?;
        reader.set_version(version);
        const FLAGS: &str = "Connect Flags";
        let at = reader.position();
        let flags = reader.u8(FLAGS)?;
        // [MQTT-3.1.2-3]
        if flags & RESERVED != 0 {
            reader.forgive(DecodeCause::ReservedBits(flags), FLAGS, at)?;
        }
        let Some(will_qos) = QoS::from_u8((flags >> WILL_QOS_SHIFT) & 3) else {
            return Err(reader.error_at(DecodeCause::InvalidQoS, FLAGS, at));
        };
        // [MQTT-3.1.2-11]
        if flags & WILL == 0 && will_qos != QoS::AtMostOnce {
            reader.forgive(DecodeCause::WillQoSWithoutWill, FLAGS, at)?;
        }
        // [MQTT-3.1.2-13]
        if flags & WILL == 0 && flags & WILL_RETAIN != 0 {
            reader.forgive(DecodeCause::WillRetainWithoutWill, FLAGS, at)?;
        }
        // [MQTT-3.1.2-22] of MQTT 3.1.1; MQTT 5.0 allows it
        let no_user_name = flags & PASSWORD != 0 && flags & USER_NAME == 0 && version < Version::V5;
        if no_user_name {
            reader.forgive(DecodeCause::PasswordWithoutUserName, FLAGS, at)?;
        }
        let keep_alive = reader.u16("Keep Alive")?;
        let properties = ConnectProperties::read(&mut reader)?;
        let clean_start = flags & CLEAN_START != 0;
        let client_id = read_client_id(&mut reader, clean_start)?;
        let will = if flags & WILL == 0 {
            None
        } else {
            let properties = WillProperties::read(&mut reader)?;
            let topic = read_topic(&mut reader, "Will Topic")?;
            let payload = reader.binary("Will Payload")?;
            Some(Will { topic, payload, qos: will_qos, retain: flags & WILL_RETAIN != 0, properties })
        };
        let user_name = match flags & USER_NAME {
            0 => no_user_name.then_some(Str::EMPTY),
            _ => Some(reader.string("User Name")?),
        };
        let password = if flags & PASSWORD == 0 { None } else { Some(reader.binary("Password")?) };
        reader.finish()?;
        Ok(Self {
            version,
            clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
            bridge,
        })
    }
}

/// Reads Protocol Name and Protocol Level, which belong together.
fn read_version(reader: &mut Reader<'_>) -> Read<(Version, bool)> {
    const NAME: &str = "Protocol Name";
    const LEVEL: &str = "Protocol Level";
    let start = reader.position();
    let name = reader.field(NAME)?;
    let at = reader.position();
    // [MQTT-3.1.2-1]
    let is_v31 = match reader.bytes(name) {
        b"MQTT" => false,
        b"MQIsdp" => true,
        _ => return Err(reader.error_at(DecodeCause::UnknownProtocolName, NAME, start)),
    };
    let level = reader.u8(LEVEL)?;
    // [MQTT-3.1.2-2]
    match (is_v31, level & !BRIDGE, level & BRIDGE != 0) {
        (true, 3, bridge) => Ok((Version::V31, bridge)),
        (false, 4, bridge) => Ok((Version::V311, bridge)),
        (false, 5, false) => Ok((Version::V5, false)),
        _ => Err(reader.error_at(DecodeCause::UnsupportedProtocolLevel(level), LEVEL, at)),
    }
}

fn read_client_id(reader: &mut Reader<'_>, clean_start: bool) -> Read<Str> {
    const FIELD: &str = "Client Identifier";
    let at = reader.position();
    let id = reader.string(FIELD)?;
    let cause = match reader.version() {
        // MQTT 3.1 also says "at most 23 characters", which its successors lifted and nobody enforces.
        Version::V31 if id.as_bytes().is_empty() => DecodeCause::NoClientId,
        // [MQTT-3.1.3-8] of MQTT 3.1.1
        Version::V311 if id.as_bytes().is_empty() && !clean_start => DecodeCause::EmptyClientId,
        _ => return Ok(id),
    };
    Err(reader.error_at(cause, FIELD, at))
}

/// Reads a topic name that must not be empty.
fn read_topic(reader: &mut Reader<'_>, field: &'static str) -> Read<TopicName> {
    let at = reader.position();
    let topic = reader.topic(field)?;
    if topic.is_aliased() { Err(reader.error_at(TopicError::Empty.into(), field, at)) } else { Ok(topic) }
}

impl Body for Connect {
    fn check(&self, _: Version) -> Result<(), EncodeError> {
        if self.will.as_ref().is_some_and(|will| will.topic.is_aliased()) {
            return Err(EncodeError::MissingTopic);
        }
        // [MQTT-3.1.2-22]
        if self.version < Version::V5 && self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        match self.version {
            // [MQTT-3.1.3-7]
            Version::V311 if self.client_id.as_bytes().is_empty() && !self.clean_start => {
                Err(EncodeError::EmptyClientId)
            }
            Version::V31 if self.client_id.as_bytes().is_empty() => Err(EncodeError::EmptyClientId),
            Version::V31 | Version::V311 => Ok(()),
            Version::V5 => self.properties.check(),
        }
    }

    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Connect)
    }

    /// The version is the packet's own, not the codec's.
    fn body_len(&self, _: Version) -> usize {
        let v5 = self.version.has_properties();
        let mut len = 2 + self.version.protocol_name().len() + 4;
        len += self.client_id.encoded_len();
        if v5 {
            len += self.properties.encoded_len();
        }
        if let Some(will) = &self.will {
            len += will.topic.encoded_len() + will.payload.encoded_len();
            if v5 {
                len += will.properties.encoded_len();
            }
        }
        len += self.user_name.as_ref().map_or(0, Str::encoded_len);
        len + self.password.as_ref().map_or(0, Binary::encoded_len)
    }

    fn write_body(&self, _: Version, out: &mut BytesMut) {
        let v5 = self.version.has_properties();
        let bridge = if self.bridge && !v5 { BRIDGE } else { 0 };
        let (level, flags) = (self.version.level() | bridge, self.flags());
        let [high, low] = self.keep_alive.to_be_bytes();
        if self.version == Version::V31 {
            out.put_slice(&[0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, flags, high, low]);
        } else {
            out.put_slice(&[0, 4, b'M', b'Q', b'T', b'T', level, flags, high, low]);
        }
        if v5 {
            self.properties.write(out);
        }
        self.client_id.write(out);
        if let Some(will) = &self.will {
            if v5 {
                will.properties.write(out);
            }
            will.topic.write(out);
            will.payload.write(out);
        }
        if let Some(name) = &self.user_name {
            name.write(out);
        }
        if let Some(password) = &self.password {
            password.write(out);
        }
    }
}

impl Connect {
    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos.as_u8() << WILL_QOS_SHIFT);
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

impl From<TopicError> for DecodeCause {
    fn from(error: TopicError) -> Self {
        match error {
            // Not about topics: the same cause as in any other string.
            TopicError::InvalidUtf8 => Self::InvalidUtf8,
            TopicError::Nul => Self::Nul,
            error => Self::Topic(error),
        }
    }
}

impl Will {
    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            topic: self.topic.detached(),
            payload: self.payload.detached(),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.detached(),
        }
    }
}
