//! Errors that teach: the rule that was broken, the field, and the byte at which it shows.

use core::fmt;

use crate::reason::ReasonCode;
use crate::topic::TopicError;
use crate::types::{PacketType, Version};

/// Why bytes are not an MQTT packet.
///
/// After one of these nothing more can be decoded from the stream: its framing is lost or its sender is not
/// to be trusted. [`reason_code`](Self::reason_code) says what to tell the peer before closing.
/// [`Codec::take_forgiven`](crate::Codec::take_forgiven) gives one that was overlooked.
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
    /// Will QoS is not 0, but the Will Flag is not set.
    WillQoSWithoutWill,
    /// Will Retain is set, the Will Flag is not.
    WillRetainWithoutWill,
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
    /// An AUTH names no Authentication Method.
    AuthWithoutMethod,
    /// The code does not exist, or not in this packet.
    InvalidReasonCode(u8),
    /// The answer to a CONNECT of MQTT 5.0 has the form of MQTT 3, with this return code: the server does not speak
    /// MQTT 5.0. Connect again with [`Version::V311`].
    Mqtt3ConnAck(u8),
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

    /// The normative statement that is broken, `MQTT-3.3.2-2`, if the specification numbers it.
    ///
    /// The numbers are those of MQTT 5.0 on a 5.0 connection and those of 3.1.1 otherwise, as 3.1 has none.
    pub const fn statement(&self) -> Option<&'static str> {
        if self.version.has_properties() { self.statement_of_v5() } else { self.statement_of_v311() }
    }

    const fn statement_of_v5(&self) -> Option<&'static str> {
        use DecodeCause as C;
        use PacketType as P;
        Some(match (self.cause, self.packet) {
            (C::InvalidFlags(_), Some(P::PubRel)) => "MQTT-3.6.1-1",
            (C::InvalidFlags(_), Some(P::Subscribe)) => "MQTT-3.8.1-1",
            (C::InvalidFlags(_), Some(P::Unsubscribe)) => "MQTT-3.10.1-1",
            (C::InvalidFlags(_), Some(P::Disconnect)) => "MQTT-3.14.1-1",
            (C::InvalidFlags(_), Some(P::Auth)) => "MQTT-3.15.1-1",
            (C::InvalidFlags(_), _) => "MQTT-2.1.3-1",
            (C::VariableByteIntegerNotMinimal, _) => "MQTT-1.5.5-1",
            (C::InvalidUtf8, _) => "MQTT-1.5.4-1",
            (C::Nul, _) => "MQTT-1.5.4-2",
            (C::InvalidQoS, Some(P::Publish)) => "MQTT-3.3.1-4",
            (C::InvalidQoS, Some(P::Connect)) => "MQTT-3.1.2-12",
            (C::DupWithoutQoS, _) => "MQTT-3.3.1-2",
            (C::ZeroPacketId, _) => "MQTT-2.2.1-3",
            (C::Topic(TopicError::Empty), _) => "MQTT-4.7.3-1",
            (C::Topic(TopicError::Nul), _) => "MQTT-4.7.3-2",
            (C::Topic(TopicError::TooLong(_)), _) => "MQTT-4.7.3-3",
            (C::Topic(TopicError::WildcardInName), Some(P::Publish)) => "MQTT-3.3.2-2",
            (C::Topic(TopicError::WildcardInName), _) => "MQTT-4.7.0-1",
            (C::Topic(TopicError::MultiLevelWildcard), _) => "MQTT-4.7.1-1",
            (C::Topic(TopicError::SingleLevelWildcard), _) => "MQTT-4.7.1-2",
            (C::Topic(TopicError::ShareName), _) => "MQTT-4.8.2-1",
            (C::Topic(TopicError::WildcardInShareName | TopicError::ShareWithoutFilter), _) => "MQTT-4.8.2-2",
            (C::EmptyList, Some(P::Subscribe)) => "MQTT-3.8.3-2",
            (C::EmptyList, Some(P::SubAck)) => "MQTT-3.9.3-1",
            (C::EmptyList, Some(P::Unsubscribe)) => "MQTT-3.10.3-2",
            (C::EmptyList, Some(P::UnsubAck)) => "MQTT-3.11.3-1",
            (C::UnknownProtocolName, _) => "MQTT-3.1.2-1",
            (C::UnsupportedProtocolLevel(_), _) => "MQTT-3.1.2-2",
            (C::ReservedBits(_), Some(P::Connect)) => "MQTT-3.1.2-3",
            (C::ReservedBits(_), Some(P::ConnAck)) => "MQTT-3.2.2-1",
            (C::ReservedBits(_), Some(P::Subscribe)) => "MQTT-3.8.3-5",
            (C::WillQoSWithoutWill, _) => "MQTT-3.1.2-11",
            (C::WillRetainWithoutWill, _) => "MQTT-3.1.2-13",
            (C::InvalidReasonCode(_), Some(P::ConnAck)) => "MQTT-3.2.2-8",
            (C::InvalidReasonCode(_), Some(P::PubAck)) => "MQTT-3.4.2-1",
            (C::InvalidReasonCode(_), Some(P::PubRec)) => "MQTT-3.5.2-1",
            (C::InvalidReasonCode(_), Some(P::PubRel)) => "MQTT-3.6.2-1",
            (C::InvalidReasonCode(_), Some(P::PubComp)) => "MQTT-3.7.2-1",
            (C::InvalidReasonCode(_), Some(P::SubAck)) => "MQTT-3.9.3-2",
            (C::InvalidReasonCode(_), Some(P::UnsubAck)) => "MQTT-3.11.3-2",
            (C::InvalidReasonCode(_), Some(P::Disconnect)) => "MQTT-3.14.2-1",
            (C::InvalidReasonCode(_), Some(P::Auth)) => "MQTT-3.15.2-1",
            (C::SessionPresentWithError, _) => "MQTT-3.2.2-6",
            (C::InvalidPropertyValue(0x08), _) => "MQTT-3.3.2-14",
            (C::InvalidPropertyValue(0x23), _) => "MQTT-3.3.2-8",
            (C::NoLocalOnSharedSubscription, _) => "MQTT-3.8.3-4",
            (C::AuthWithoutMethod, _) => "MQTT-4.12.0-5",
            _ => return None,
        })
    }

    const fn statement_of_v311(&self) -> Option<&'static str> {
        use DecodeCause as C;
        use PacketType as P;
        Some(match (self.cause, self.packet) {
            (C::InvalidFlags(_), Some(P::PubRel)) => "MQTT-3.6.1-1",
            (C::InvalidFlags(_), Some(P::Subscribe)) => "MQTT-3.8.1-1",
            (C::InvalidFlags(_), Some(P::Unsubscribe)) => "MQTT-3.10.1-1",
            (C::InvalidFlags(_), Some(P::Disconnect)) => "MQTT-3.14.1-1",
            (C::InvalidFlags(_), _) => "MQTT-2.2.2-2",
            (C::InvalidUtf8, _) => "MQTT-1.5.3-1",
            (C::Nul, _) => "MQTT-1.5.3-2",
            (C::InvalidQoS, Some(P::Publish)) => "MQTT-3.3.1-4",
            (C::InvalidQoS, Some(P::Connect)) => "MQTT-3.1.2-14",
            // Printed as "MQTT-3-8.3-4" in the specification.
            (C::InvalidQoS | C::ReservedBits(_), Some(P::Subscribe)) => "MQTT-3.8.3-4",
            (C::DupWithoutQoS, _) => "MQTT-3.3.1-2",
            (C::ZeroPacketId, _) => "MQTT-2.3.1-1",
            (C::Topic(TopicError::Empty) | C::MissingTopic, _) => "MQTT-4.7.3-1",
            (C::Topic(TopicError::Nul), _) => "MQTT-4.7.3-2",
            (C::Topic(TopicError::TooLong(_)), _) => "MQTT-4.7.3-3",
            (C::Topic(TopicError::WildcardInName), Some(P::Publish)) => "MQTT-3.3.2-2",
            (C::Topic(TopicError::WildcardInName), _) => "MQTT-4.7.1-1",
            (C::Topic(TopicError::MultiLevelWildcard), _) => "MQTT-4.7.1-2",
            (C::Topic(TopicError::SingleLevelWildcard), _) => "MQTT-4.7.1-3",
            (C::EmptyList, Some(P::Subscribe)) => "MQTT-3.8.3-3",
            (C::EmptyList, Some(P::SubAck)) => "MQTT-3.8.4-5",
            (C::EmptyList, Some(P::Unsubscribe)) => "MQTT-3.10.3-2",
            (C::UnknownProtocolName, _) => "MQTT-3.1.2-1",
            (C::UnsupportedProtocolLevel(_), _) => "MQTT-3.1.2-2",
            (C::ReservedBits(_), Some(P::Connect)) => "MQTT-3.1.2-3",
            (C::WillQoSWithoutWill, _) => "MQTT-3.1.2-13",
            (C::WillRetainWithoutWill, _) => "MQTT-3.1.2-15",
            (C::PasswordWithoutUserName, _) => "MQTT-3.1.2-22",
            (C::EmptyClientId, _) => "MQTT-3.1.3-8",
            (C::InvalidReasonCode(_), Some(P::SubAck)) => "MQTT-3.9.3-2",
            (C::SessionPresentWithError, _) => "MQTT-3.2.2-4",
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
            C::InvalidPropertyValue(0x23) => ReasonCode::TopicAliasInvalid,
            // "It is a Protocol Error if the Maximum QoS field has the value 3"; elsewhere QoS 3 is malformed.
            C::InvalidQoS if matches!(self.packet, Some(PacketType::Subscribe)) => ReasonCode::ProtocolError,
            C::DuplicateProperty(_)
            | C::InvalidPropertyValue(_)
            | C::AuthenticationDataWithoutMethod
            | C::AuthWithoutMethod
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
            Self::WillQoSWithoutWill => f.write_str("Will QoS is set but the Will Flag is not"),
            Self::WillRetainWithoutWill => f.write_str("Will Retain is set but the Will Flag is not"),
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
            Self::AuthWithoutMethod => f.write_str("AUTH must name its Authentication Method"),
            Self::InvalidReasonCode(code) => write!(f, "reason code {code:#04x} is not allowed here"),
            Self::Mqtt3ConnAck(0) => f.write_str(
                "the server accepts as MQTT 3 does a connection that asked for MQTT 5.0: connect with MQTT 3.1.1",
            ),
            Self::Mqtt3ConnAck(code) => write!(
                f,
                "the server refuses as MQTT 3 does, with return code {code}, a connection that asked for MQTT 5.0: \
                 connect with MQTT 3.1.1",
            ),
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
    /// A CONNECT has no client identifier, which MQTT 3.1.1 allows with a clean session only [MQTT-3.1.3-7] and
    /// MQTT 3.1 not at all.
    EmptyClientId,
    /// No Local is set on a shared subscription. [MQTT-3.8.3-4]
    NoLocalOnSharedSubscription,
    /// There is Authentication Data without an Authentication Method.
    AuthenticationDataWithoutMethod,
    /// An AUTH names no Authentication Method. [MQTT-4.12.0-5]
    AuthWithoutMethod,
    /// An AUTH on a connection whose CONNECT named no Authentication Method. [MQTT-4.12.0-6], [MQTT-4.12.0-7]
    NoAuthenticationMethod,
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
            Self::EmptyClientId => {
                f.write_str("CONNECT: MQTT 3.1 needs a client identifier, 3.1.1 if the session is to be kept")
            }
            Self::NoLocalOnSharedSubscription => {
                f.write_str("SUBSCRIBE: No Local is set on a shared subscription")
            }
            Self::AuthenticationDataWithoutMethod => {
                f.write_str("Authentication Data without an Authentication Method")
            }
            Self::AuthWithoutMethod => f.write_str("AUTH must name its Authentication Method"),
            Self::NoAuthenticationMethod => f.write_str("AUTH: CONNECT named no authentication method"),
        }
    }
}

impl core::error::Error for EncodeError {}
