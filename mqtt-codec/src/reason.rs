//! Reason codes: one enum, and one table that says which packet may carry which.

use core::fmt;

use crate::types::PacketType;

/// Where a code may stand: one bit for each packet type that has a reason code.
type Places = u16;

const fn place(packet: PacketType) -> Places {
    1 << packet as u16
}

const CONNACK: Places = place(PacketType::ConnAck);
const PUBACK: Places = place(PacketType::PubAck) | place(PacketType::PubRec);
const PUBREL: Places = place(PacketType::PubRel) | place(PacketType::PubComp);
const SUBACK: Places = place(PacketType::SubAck);
const UNSUBACK: Places = place(PacketType::UnsubAck);
const DISCONNECT: Places = place(PacketType::Disconnect);
const AUTH: Places = place(PacketType::Auth);

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $places:expr;)*) => {
        /// A Reason Code: how an operation ended. Codes from 0x80 up are failures.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl ReasonCode {
            /// The code with this number, if the specification defines one.
            pub const fn from_u8(code: u8) -> Option<Self> {
                Some(match code {
                    $($code => Self::$name,)*
                    _ => return None,
                })
            }

            /// The specification's name, in words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn places(self) -> Places {
                match self {
                    $(Self::$name => $places,)*
                }
            }

            /// Every code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

reason_codes! {
    /// Success; also Normal disconnection and Granted QoS 0.
    #[default]
    Success = 0x00, "success", CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    /// The subscription was accepted with QoS 1 at most.
    GrantedQoS1 = 0x01, "granted QoS 1", SUBACK;
    /// The subscription was accepted with QoS 2 at most.
    GrantedQoS2 = 0x02, "granted QoS 2", SUBACK;
    /// The client leaves, and its will is to be published.
    DisconnectWithWill = 0x04, "disconnect with will message", DISCONNECT;
    /// The message was taken, but nobody subscribes to it.
    NoMatchingSubscribers = 0x10, "no matching subscribers", PUBACK;
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11, "no subscription existed", UNSUBACK;
    /// One more step of an enhanced authentication.
    ContinueAuthentication = 0x18, "continue authentication", AUTH;
    /// The client starts to authenticate again.
    ReAuthenticate = 0x19, "re-authenticate", AUTH;
    /// The sender keeps the reason to itself, or no other code fits.
    UnspecifiedError = 0x80, "unspecified error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// A packet could not be parsed.
    MalformedPacket = 0x81, "malformed packet", CONNACK | DISCONNECT;
    /// A packet was out of order or said something that is not allowed.
    ProtocolError = 0x82, "protocol error", CONNACK | DISCONNECT;
    /// The packet is valid, but this receiver does not process it.
    ImplementationSpecificError = 0x83, "implementation specific error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// The server does not speak the version asked for.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", CONNACK;
    /// The Client Identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid", CONNACK;
    /// User name or password are wrong.
    BadUserNameOrPassword = 0x86, "bad user name or password", CONNACK;
    /// The client may not do this.
    NotAuthorized = 0x87, "not authorized", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// The server is not available.
    ServerUnavailable = 0x88, "server unavailable", CONNACK;
    /// The server is busy: try again later.
    ServerBusy = 0x89, "server busy", CONNACK | DISCONNECT;
    /// This client is banned by an administrator.
    Banned = 0x8A, "banned", CONNACK;
    /// The server is shutting down.
    ServerShuttingDown = 0x8B, "server shutting down", DISCONNECT;
    /// The authentication method is not supported, or is not the one in use.
    BadAuthenticationMethod = 0x8C, "bad authentication method", CONNACK | DISCONNECT;
    /// Nothing was received for one and a half times the keep-alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout", DISCONNECT;
    /// Another connection uses the same Client Identifier.
    SessionTakenOver = 0x8E, "session taken over", DISCONNECT;
    /// The topic filter is well-formed but not accepted.
    TopicFilterInvalid = 0x8F, "topic filter invalid", SUBACK | UNSUBACK | DISCONNECT;
    /// The topic name is well-formed but not accepted.
    TopicNameInvalid = 0x90, "topic name invalid", CONNACK | PUBACK | DISCONNECT;
    /// The Packet Identifier is already in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use", PUBACK | SUBACK | UNSUBACK;
    /// The Packet Identifier is not known.
    PacketIdentifierNotFound = 0x92, "packet identifier not found", PUBREL;
    /// More unacknowledged messages were sent than the Receive Maximum allows.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", DISCONNECT;
    /// The topic alias is zero or above the Topic Alias Maximum.
    TopicAliasInvalid = 0x94, "topic alias invalid", DISCONNECT;
    /// The packet is larger than the Maximum Packet Size.
    PacketTooLarge = 0x95, "packet too large", CONNACK | DISCONNECT;
    /// Messages arrive too fast.
    MessageRateTooHigh = 0x96, "message rate too high", DISCONNECT;
    /// A limit set by the implementation or an administrator was exceeded.
    QuotaExceeded = 0x97, "quota exceeded", CONNACK | PUBACK | SUBACK | DISCONNECT;
    /// The connection was closed by an administrator.
    AdministrativeAction = 0x98, "administrative action", DISCONNECT;
    /// The payload does not have the format its indicator promises.
    PayloadFormatInvalid = 0x99, "payload format invalid", CONNACK | PUBACK | DISCONNECT;
    /// The server does not support retained messages.
    RetainNotSupported = 0x9A, "retain not supported", CONNACK | DISCONNECT;
    /// The server does not support this QoS.
    QoSNotSupported = 0x9B, "QoS not supported", CONNACK | DISCONNECT;
    /// The client should use another server for now.
    UseAnotherServer = 0x9C, "use another server", CONNACK | DISCONNECT;
    /// The client should use another server from now on.
    ServerMoved = 0x9D, "server moved", CONNACK | DISCONNECT;
    /// The server does not support shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", SUBACK | DISCONNECT;
    /// Connections are made too fast.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", CONNACK | DISCONNECT;
    /// The connection has lasted as long as it was allowed to.
    MaximumConnectTime = 0xA0, "maximum connect time", DISCONNECT;
    /// The server does not support subscription identifiers.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported", SUBACK | DISCONNECT;
    /// The server does not support wildcard subscriptions.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", SUBACK | DISCONNECT;
}

impl ReasonCode {
    /// DISCONNECT's name for 0x00.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// SUBACK's name for 0x00.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// The code as its number.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Whether the operation failed: the number is 0x80 or more.
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether the specification lets a packet of this type carry this code.
    pub const fn is_allowed_in(self, packet: PacketType) -> bool {
        self.places() & place(packet) != 0
    }

    /// SUBACK's code for a granted QoS.
    pub const fn granted(qos: crate::QoS) -> Self {
        match qos {
            crate::QoS::AtMostOnce => Self::GRANTED_QOS_0,
            crate::QoS::AtLeastOnce => Self::GrantedQoS1,
            crate::QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }

    /// The QoS that this SUBACK code grants, or `None` for a refusal.
    pub const fn granted_qos(self) -> Option<crate::QoS> {
        crate::QoS::from_u8(self as u8)
    }

    /// The CONNACK return code of MQTT 3.1 and 3.1.1 that says the same, as well as it can.
    pub const fn to_v3_return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned => 5,
            _ => 3,
        }
    }

    /// The code for a CONNACK return code of MQTT 3.1 and 3.1.1, or `None` for a reserved one.
    pub const fn from_v3_return_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.as_u8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for number in 0..=u8::MAX {
            if let Some(code) = ReasonCode::from_u8(number) {
                assert_eq!(code.as_u8(), number);
            }
        }
        assert_eq!(ReasonCode::ALL.len(), 43);
    }

    #[test]
    fn return_codes_of_version_3_survive_a_round_trip() {
        for number in 0..=5 {
            assert_eq!(ReasonCode::from_v3_return_code(number).unwrap().to_v3_return_code(), number);
        }
        assert_eq!(ReasonCode::from_v3_return_code(6), None);
    }
}
