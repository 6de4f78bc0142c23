//! Why a command is refused.

use core::fmt;

use crate::error::EncodeError;
use crate::types::QoS;

/// Why a message or a request was not taken. Nothing was sent and nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no connection yet, or no more.
    NotConnected,
    /// The connection completes what is in flight and then ends.
    Draining,
    /// As many messages as the peer's Receive Maximum allows are in flight: try again after the next
    /// acknowledgement. [MQTT-3.3.4-7]
    QuotaExhausted,
    /// All 65,535 packet identifiers are in use.
    NoPacketId,
    /// The server does not support this QoS. [MQTT-3.2.2-11]
    QoSNotSupported(QoS),
    /// The server does not support retained messages. [MQTT-3.2.2-14]
    RetainNotSupported,
    /// The message brings a topic alias above what the peer allows. [MQTT-3.3.2-9]
    TopicAliasAboveMaximum {
        /// The alias.
        alias: u16,
        /// The highest that is allowed.
        maximum: u16,
    },
    /// The packet cannot be written: it is larger than the peer takes, above all.
    Encode(EncodeError),
}

impl From<EncodeError> for PublishError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::Draining => f.write_str("the connection is about to end"),
            Self::QuotaExhausted => f.write_str("as many messages as the peer allows are unacknowledged"),
            Self::NoPacketId => f.write_str("all packet identifiers are in use"),
            Self::QoSNotSupported(maximum) => {
                write!(f, "the server supports QoS {} at most", maximum.as_u8())
            }
            Self::TopicAliasAboveMaximum { alias, maximum } => {
                write!(f, "topic alias {alias} is above the peer's maximum of {maximum}")
            }
            Self::RetainNotSupported => f.write_str("the server does not support retained messages"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PublishError {}

/// Why a client's goodbye was not said. Nothing was sent, and the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectError {
    /// It sets a Session Expiry Interval although that of CONNECT was 0, or absent: the session ends with its
    /// connection, and nothing can change that any more. (MQTT 5.0, chapter 3.14.2.2.2)
    SessionExpiry {
        /// The interval, in seconds.
        seconds: u32,
    },
}

impl fmt::Display for DisconnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionExpiry { seconds } => write!(
                f,
                "DISCONNECT cannot set a session expiry of {seconds} s where CONNECT had none: the session ends now"
            ),
        }
    }
}

impl core::error::Error for DisconnectError {}
