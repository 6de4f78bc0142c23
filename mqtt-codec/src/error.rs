//! Errors that teach: the rule that was broken, the field, and the byte at which it shows.

use core::fmt;

use crate::reason::ReasonCode;
use crate::topic::TopicError;
use crate::types::{PacketType, Version};

/// Why bytes are not an MQTT packet.
///
/// After one of these nothing more can be decoded from the stream: its framing is lost or its sender is not
/// to be trusted. [`reason_code`](Self::reason_code) says what to tell the peer before closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub(crate) cause: DecodeCause,
    pub(crate) packet: Option<PacketType>,
    pub(crate) version: Version,
    pub(crate) field: &'static str,
    pub(crate) offset: u32,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeCause {
    /// The packet type is 0, which is forbidden, or AUTH outside of MQTT 5.0.
    ReservedPacketType(u8),
    /// The low four bits of the first byte are not what the packet type demands.
    InvalidFlags(u8),
    /// A variable-byte integer takes more than four bytes.
    VariableByteIntegerTooLong,
    /// A variable-byte integer takes more bytes than its value needs.
    VariableByteIntegerNotMinimal,
    /// The packet is larger than the limit that was set for it.
    PacketTooLarge {
        /// Its size on the wire, in bytes.
        size: u32,
        /// The limit, in bytes.
        limit: u32,
    },
    /// The packet ends within this field.
    Truncated,
    /// Bytes are left after the last field.
    TrailingBytes(u32),
    /// A string is not well-formed UTF-8.
    InvalidUtf8,
    /// A string contains U+0000.
    Nul,
    /// A QoS of 3.
    InvalidQoS,
    /// DUP is set on a message of QoS 0.
    DupWithoutQoS,
    /// A Packet Identifier of zero.
    ZeroPacketId,
    /// A topic name or filter breaks a rule.
    Topic(TopicError),
    /// The packet has neither a topic name nor a topic alias.
    MissingTopic,
    /// A list that must have an element is empty.
    EmptyList,
    /// Neither `MQTT` nor `MQIsdp`.
    UnknownProtocolName,
    /// A protocol level that does not exist, or not with this protocol name.
    UnsupportedProtocolLevel(u8),
    /// A bit that must be zero is set.
    ReservedBits(u8),
    /// Will QoS or Will Retain are set, the Will Flag is not.
    WillFlagsWithoutWill,
    /// There is a password but no user name, which MQTT 3 forbids.
    PasswordWithoutUserName,
    /// The client identifier is empty, but the session is to be kept.
    EmptyClientId,
    /// The client identifier is empty, which MQTT 3.1 forbids altogether.
    NoClientId,
    /// There is no property with this identifier.
    UnknownProperty(u8),
    /// The property does not belong into this packet.
    PropertyNotAllowed(u8),
    /// The property stands twice and must not.
    DuplicateProperty(u8),
    /// The property's value is outside its range.
    InvalidPropertyValue(u8),
    /// Authentication Data without an Authentication Method.
    AuthenticationDataWithoutMethod,
    /// The code does not exist, or not in this packet.
    InvalidReasonCode(u8),
    /// Session Present together with a refusal.
    SessionPresentWithError,
    /// Retain Handling of 3.
    InvalidRetainHandling,
    /// No Local on a shared subscription.
    NoLocalOnSharedSubscription,
}

impl DecodeError {
    /// What is wrong.
    pub const fn cause(&self) -> DecodeCause {
        self.cause
    }

    /// The packet it is wrong with; `None` if the first byte does not say.
    pub const fn packet(&self) -> Option<PacketType> {
        self.packet
    }

    /// The field, in the specification's words.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Where the offending field starts, in bytes from the first byte of the packet.
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// The normative statement that is broken, `MQTT-3.3.2-2`, if the specification numbers it; the number is
    /// of the version that is spoken.
    pub const fn statement(&self) -> Option<&'static str> {
        use DecodeCause as C;
        let v5 = self.version.has_properties();
        Some(match self.cause {
            C::InvalidFlags(_) if v5 => "MQTT-2.1.3-1",
            C::InvalidFlags(_) => "MQTT-2.2.2-2",
            C::VariableByteIntegerNotMinimal if v5 => "MQTT-1.5.5-1",
            C::InvalidUtf8 if v5 => "MQTT-1.5.4-1",
            C::InvalidUtf8 => "MQTT-1.5.3-1",
            C::Nul if v5 => "MQTT-1.5.4-2",
            C::Nul => "MQTT-1.5.3-2",
            C::InvalidQoS => match self.packet {
                Some(PacketType::Publish) => "MQTT-3.3.1-4",
                Some(PacketType::Connect) if v5 => "MQTT-3.1.2-12",
                Some(PacketType::Connect) => "MQTT-3.1.2-14",
                _ if v5 => "MQTT-3.8.3-5",
                _ => "MQTT-3.8.3-4",
            },
            C::DupWithoutQoS => "MQTT-3.3.1-2",
            C::ZeroPacketId if v5 => "MQTT-2.2.1-3",
            C::ZeroPacketId => "MQTT-2.3.1-1",
            C::Topic(TopicError::Empty) => "MQTT-4.7.3-1",
            C::Topic(TopicError::Nul) => "MQTT-4.7.3-2",
            C::Topic(TopicError::TooLong(_)) => "MQTT-4.7.3-3",
            C::Topic(TopicError::WildcardInName) => "MQTT-3.3.2-2",
            C::Topic(TopicError::MultiLevelWildcard) => "MQTT-4.7.1-1",
            C::Topic(TopicError::SingleLevelWildcard) => "MQTT-4.7.1-2",
            C::Topic(TopicError::ShareName) => "MQTT-4.8.2-1",
            C::Topic(TopicError::ShareWithoutFilter) => "MQTT-4.8.2-2",
            C::EmptyList => match self.packet {
                Some(PacketType::Unsubscribe) => "MQTT-3.10.3-2",
                _ if v5 => "MQTT-3.8.3-2",
                _ => "MQTT-3.8.3-3",
            },
            C::UnknownProtocolName => "MQTT-3.1.2-1",
            C::UnsupportedProtocolLevel(_) => "MQTT-3.1.2-2",
            C::ReservedBits(_) => match self.packet {
                Some(PacketType::Connect) => "MQTT-3.1.2-3",
                Some(PacketType::ConnAck) => "MQTT-3.2.2-1",
                _ if v5 => "MQTT-3.8.3-5",
                _ => "MQTT-3.8.3-4",
            },
            C::WillFlagsWithoutWill if v5 => "MQTT-3.1.2-11",
            C::WillFlagsWithoutWill => "MQTT-3.1.2-13",
            C::PasswordWithoutUserName => "MQTT-3.1.2-22",
            C::EmptyClientId => "MQTT-3.1.3-8",
            C::InvalidReasonCode(_) => match self.packet {
                Some(PacketType::ConnAck) if v5 => "MQTT-3.2.2-8",
                Some(PacketType::PubAck) => "MQTT-3.4.2-1",
                Some(PacketType::PubRec) => "MQTT-3.5.2-1",
                Some(PacketType::PubRel) => "MQTT-3.6.2-1",
                Some(PacketType::PubComp) => "MQTT-3.7.2-1",
                Some(PacketType::SubAck) if v5 => "MQTT-3.9.3-2",
                Some(PacketType::SubAck) => "MQTT-3.9.3-2",
                Some(PacketType::UnsubAck) => "MQTT-3.11.3-2",
                Some(PacketType::Disconnect) => "MQTT-3.14.2-1",
                Some(PacketType::Auth) => "MQTT-3.15.2-1",
                _ => return None,
            },
            C::SessionPresentWithError if v5 => "MQTT-3.2.2-6",
            C::SessionPresentWithError => "MQTT-3.2.2-4",
            C::InvalidPropertyValue(0x08) => "MQTT-3.3.2-14",
            C::InvalidPropertyValue(0x23) => "MQTT-3.3.2-8",
            C::NoLocalOnSharedSubscription => "MQTT-3.8.3-4",
            _ => return None,
        })
    }

    /// What to tell the peer in a CONNACK or DISCONNECT before closing.
    pub const fn reason_code(&self) -> ReasonCode {
        use DecodeCause as C;
        match self.cause {
            C::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            C::UnknownProtocolName | C::UnsupportedProtocolLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            C::EmptyClientId | C::NoClientId => ReasonCode::ClientIdentifierNotValid,
            C::Topic(TopicError::WildcardInName | TopicError::Empty) => ReasonCode::TopicNameInvalid,
            C::Topic(
                TopicError::MultiLevelWildcard
                | TopicError::SingleLevelWildcard
                | TopicError::ShareName
                | TopicError::ShareWithoutFilter,
            ) => ReasonCode::TopicFilterInvalid,
            C::InvalidPropertyValue(0x23) => ReasonCode::TopicAliasInvalid,
            C::DuplicateProperty(_)
            | C::InvalidPropertyValue(_)
            | C::AuthenticationDataWithoutMethod
            | C::EmptyList
            | C::MissingTopic
            | C::SessionPresentWithError
            | C::InvalidRetainHandling
            | C::NoLocalOnSharedSubscription => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(packet) = self.packet {
            write!(f, "{packet}: ")?;
        }
        write!(f, "{} at byte {}: {}", self.field, self.offset, self.cause)?;
        if let Some(statement) = self.statement() {
            write!(f, " [{statement}]")?;
        }
        Ok(())
    }
}

impl core::error::Error for DecodeError {}

impl fmt::Display for DecodeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedPacketType(t) => write!(f, "packet type {t} is reserved in this version"),
            Self::InvalidFlags(flags) => write!(f, "flags {flags:#06b} are not allowed for this packet type"),
            Self::VariableByteIntegerTooLong => f.write_str("variable-byte integer of more than four bytes"),
            Self::VariableByteIntegerNotMinimal => {
                f.write_str("variable-byte integer takes more bytes than its value needs")
            }
            Self::PacketTooLarge { size, limit } => {
                write!(f, "packet of {size} bytes exceeds the limit of {limit}")
            }
            Self::Truncated => f.write_str("the packet ends within this field"),
            Self::TrailingBytes(n) => write!(f, "{n} bytes are left after the last field"),
            Self::InvalidUtf8 => f.write_str("not well-formed UTF-8"),
            Self::Nul => f.write_str("contains the character U+0000"),
            Self::InvalidQoS => f.write_str("QoS 3 does not exist"),
            Self::DupWithoutQoS => f.write_str("DUP is set on a message of QoS 0"),
            Self::ZeroPacketId => f.write_str("a packet identifier must not be 0"),
            Self::Topic(error) => error.fmt(f),
            Self::MissingTopic => f.write_str("neither a topic name nor a topic alias"),
            Self::EmptyList => f.write_str("at least one entry is required"),
            Self::UnknownProtocolName => f.write_str("neither \"MQTT\" nor \"MQIsdp\""),
            Self::UnsupportedProtocolLevel(level) => write!(f, "protocol level {level} is not supported"),
            Self::ReservedBits(bits) => write!(f, "reserved bits are set in {bits:#010b}"),
            Self::WillFlagsWithoutWill => {
                f.write_str("Will QoS or Will Retain are set but the Will Flag is not")
            }
            Self::PasswordWithoutUserName => f.write_str("a password needs a user name in MQTT 3"),
            Self::EmptyClientId => {
                f.write_str("an empty client identifier needs Clean Session set to 1 in MQTT 3.1.1")
            }
            Self::NoClientId => f.write_str("MQTT 3.1 asks for a client identifier of 1 to 23 characters"),
            Self::UnknownProperty(id) => write!(f, "there is no property {id:#04x}"),
            Self::PropertyNotAllowed(id) => {
                write!(f, "property {} is not allowed here", crate::property::name(id))
            }
            Self::DuplicateProperty(id) => write!(f, "property {} stands twice", crate::property::name(id)),
            Self::InvalidPropertyValue(id) => {
                write!(f, "property {} has a value outside its range", crate::property::name(id))
            }
            Self::AuthenticationDataWithoutMethod => {
                f.write_str("Authentication Data without an Authentication Method")
            }
            Self::InvalidReasonCode(code) => write!(f, "reason code {code:#04x} is not allowed here"),
            Self::SessionPresentWithError => f.write_str("Session Present is set in a refusal"),
            Self::InvalidRetainHandling => f.write_str("Retain Handling 3 does not exist"),
            Self::NoLocalOnSharedSubscription => f.write_str("No Local is set on a shared subscription"),
        }
    }
}

/// Why a packet cannot be written. Nothing was written when this is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The packet would be larger than the limit, or than MQTT can express.
    PacketTooLarge {
        /// What it would take on the wire, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u32,
    },
    /// The version has no such packet.
    NotInVersion {
        /// The packet.
        packet: PacketType,
        /// The version of the codec.
        version: Version,
    },
    /// A list that must have an element is empty.
    EmptyList(PacketType),
    /// A message has neither a topic name nor a topic alias.
    MissingTopic,
    /// The reason code does not belong into this packet.
    InvalidReasonCode {
        /// The packet.
        packet: PacketType,
        /// The code.
        code: ReasonCode,
    },
    /// An MQTT 3 CONNECT has a password but no user name. [MQTT-3.1.2-22]
    PasswordWithoutUserName,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketTooLarge { size, limit } => {
                write!(f, "packet of {size} bytes exceeds the limit of {limit}")
            }
            Self::NotInVersion { packet, version } => write!(f, "MQTT {version} has no {packet}"),
            Self::EmptyList(packet) => write!(f, "{packet} needs at least one entry"),
            Self::MissingTopic => f.write_str("PUBLISH has neither a topic name nor a topic alias"),
            Self::InvalidReasonCode { packet, code } => write!(f, "{packet} cannot carry {code}"),
            Self::PasswordWithoutUserName => f.write_str("CONNECT: a password needs a user name in MQTT 3"),
        }
    }
}

impl core::error::Error for EncodeError {}
