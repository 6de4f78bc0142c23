//! How a connection ends.

use core::fmt;

use alloc::boxed::Box;

use crate::error::DecodeError;
use crate::packet::{ConnAck, Disconnect};
use crate::reason::ReasonCode;
use crate::types::{PacketId, PacketType};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The peer said goodbye.
    Peer(Disconnect),
    /// The server refused the connection. For clients only.
    Refused(Box<ConnAck>),
    /// The transport ended without a goodbye.
    Transport,
    /// The peer was silent for too long.
    Timeout(Timeout),
    /// The peer broke a rule; it was told so, where the version can.
    Protocol(ProtocolError),
    /// This side ended it, for this reason.
    Local(ReasonCode),
}

impl Closed {
    /// Whether the server must publish the client's will. [MQTT-3.1.2-8], [MQTT-3.1.2-10]
    ///
    /// For the server's side: only a client's DISCONNECT with reason 0x00 discards it.
    pub fn publishes_will(&self) -> bool {
        !matches!(self, Self::Peer(Disconnect { reason: ReasonCode::NORMAL_DISCONNECTION, .. }))
    }

    /// The other server that this one says to use, in a refusal or a goodbye.
    pub fn server_reference(&self) -> Option<crate::Str> {
        match self {
            Self::Refused(connack) => connack.properties.server_reference(),
            Self::Peer(disconnect) => disconnect.properties.server_reference(),
            _ => None,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(disconnect) => write!(f, "the peer disconnected: {}", disconnect.reason),
            Self::Refused(connack) => write!(f, "the server refused the connection: {}", connack.reason),
            Self::Transport => f.write_str("the connection was cut without a DISCONNECT"),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Local(reason) => write!(f, "closed by this side: {reason}"),
        }
    }
}

/// What did not arrive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The client's first packet.
    Connect,
    /// The server's answer to CONNECT.
    ConnAck,
    /// Any packet, for one and a half times the keep-alive. [MQTT-3.1.2-22]
    KeepAlive,
    /// The answer to PINGREQ, or anything else.
    PingResp,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no CONNECT arrived in time",
            Self::ConnAck => "no CONNACK arrived in time: is there an MQTT server at the other end?",
            Self::KeepAlive => "nothing arrived for one and a half times the keep-alive",
            Self::PingResp => "nothing arrived after a PINGREQ: the connection is dead",
        })
    }
}

/// A rule of the protocol that the peer broke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A packet is malformed.
    Decode(DecodeError),
    /// The first packet of a client is not CONNECT. [MQTT-3.1.0-1]
    ConnectExpected(PacketType),
    /// The first packet of a server is neither CONNACK nor AUTH. [MQTT-3.2.0-1]
    ConnAckExpected(PacketType),
    /// A packet that this role never sends, or not at this time.
    UnexpectedPacket(PacketType),
    /// An acknowledgement of the wrong kind for the message it names.
    WrongAcknowledgement {
        /// What arrived.
        packet: PacketType,
        /// The message it names.
        packet_id: PacketId,
    },
    /// More unacknowledged QoS 1 and 2 messages than the Receive Maximum allows. [MQTT-3.3.4-7], [MQTT-3.3.4-9]
    ReceiveMaximumExceeded(u16),
    /// A topic alias above the Topic Alias Maximum. [MQTT-3.1.2-26], [MQTT-3.2.2-17]
    TopicAliasAboveMaximum {
        /// The alias.
        alias: u16,
        /// The highest that is allowed.
        maximum: u16,
    },
    /// A topic alias that was never given a topic.
    UnknownTopicAlias(u16),
    /// Session Present although a clean start was asked for. [MQTT-3.2.2-2]
    SessionPresentAfterCleanStart,
    /// A DISCONNECT sets a session expiry where CONNECT had none, or comes from a server. [MQTT-3.14.2-2]
    SessionExpiryAtDisconnect,
    /// An AUTH without, or with another, authentication method than CONNECT's. [MQTT-4.12.0-5]
    BadAuthenticationMethod,
    /// A PUBLISH of a client with a Subscription Identifier. [MQTT-3.3.4-6]
    SubscriptionIdentifierFromClient,
    /// A Reason String or User Properties in a packet in which the client asked for none. [MQTT-3.1.2-29]
    UnwantedText(PacketType),
    /// A SUBACK or UNSUBACK that answers no open request of its kind, or not with as many reasons as the request has
    /// filters. [MQTT-3.8.4-6], [MQTT-3.11.3-1]
    UnknownRequest {
        /// What arrived.
        packet: PacketType,
        /// The request it names.
        packet_id: PacketId,
    },
}

impl ProtocolError {
    /// What the peer is told in DISCONNECT or CONNACK.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason_code(),
            Self::ReceiveMaximumExceeded(_) => ReasonCode::ReceiveMaximumExceeded,
            Self::TopicAliasAboveMaximum { .. } => ReasonCode::TopicAliasInvalid,
            Self::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
            _ => ReasonCode::ProtocolError,
        }
    }
}

impl From<DecodeError> for ProtocolError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::ConnectExpected(packet) => {
                write!(f, "the first packet must be CONNECT, not {packet} [MQTT-3.1.0-1]")
            }
            Self::ConnAckExpected(packet) => {
                write!(f, "the server's first packet must be CONNACK, not {packet} [MQTT-3.2.0-1]")
            }
            Self::UnexpectedPacket(packet) => write!(f, "{packet} is not allowed here"),
            Self::WrongAcknowledgement { packet, packet_id } => {
                write!(f, "{packet} for message {packet_id} does not fit its QoS or state")
            }
            Self::ReceiveMaximumExceeded(maximum) => {
                write!(f, "more than {maximum} messages are unacknowledged [MQTT-3.3.4-9]")
            }
            Self::TopicAliasAboveMaximum { alias, maximum } => {
                write!(f, "topic alias {alias} is above the maximum of {maximum}")
            }
            Self::UnknownTopicAlias(alias) => write!(f, "topic alias {alias} has no topic yet"),
            Self::SessionPresentAfterCleanStart => {
                f.write_str("Session Present is set although a clean start was asked for [MQTT-3.2.2-2]")
            }
            Self::SessionExpiryAtDisconnect => {
                f.write_str("DISCONNECT sets a session expiry where CONNECT had none, or is a server's")
            }
            Self::SubscriptionIdentifierFromClient => {
                f.write_str("a client's PUBLISH carries a subscription identifier [MQTT-3.3.4-6]")
            }
            Self::UnwantedText(packet) => {
                write!(f, "{packet} carries a reason string or user properties, unasked [MQTT-3.1.2-29]")
            }
            Self::BadAuthenticationMethod => {
                f.write_str("the authentication method is not the one of CONNECT [MQTT-4.12.0-5]")
            }
            Self::UnknownRequest { packet, packet_id } => {
                write!(f, "{packet} does not fit request {packet_id}, or there is no such request")
            }
        }
    }
}

impl core::error::Error for ProtocolError {}
