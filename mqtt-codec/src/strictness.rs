//! `Strictness`: which broken rules are overlooked, decided in one place.

use crate::error::{DecodeCause, DecodeError};
use crate::types::PacketType;
use crate::wire::Read;

/// Whether every rule is enforced when packets are decoded.
///
/// ```
/// use bytes::BytesMut;
/// use mqttkit_codec::{Codec, DecodeCause, Packet, Strictness, Version};
///
/// // A SUBSCRIBE whose header lacks the flag that it must have.
/// let wire = BytesMut::from(&b"\x80\x06\x00\x0a\x00\x01a\x01"[..]);
/// let mut codec = Codec::new(Version::V311);
/// assert_eq!(codec.decode(&mut wire.clone()).unwrap_err().cause(), DecodeCause::InvalidFlags(0));
///
/// codec.set_strictness(Strictness::Lenient);
/// assert!(matches!(codec.decode(&mut wire.clone()), Ok(Some(Packet::Subscribe(_)))));
/// let forgiven = codec.take_forgiven().expect("it is remembered");
/// assert_eq!(forgiven.statement(), Some("MQTT-3.8.1-1"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// A packet that breaks a rule is an error.
    #[default]
    Strict,
    /// What leaves no doubt about its meaning is forgiven, and remembered: the codec and the connections tell by
    /// `take_forgiven` which rule was broken. The packet is what it would be without the fault:
    ///
    /// | what is forgiven | what the packet is then | where it may come from |
    /// | --- | --- | --- |
    /// | flags in the first byte other than the type demands, except in CONNECT and PUBLISH | the same with the right flags | MQTT 3.1 had DUP in PUBREL, SUBSCRIBE and UNSUBSCRIBE as well |
    /// | DUP on a message of QoS 0 | a message without DUP | |
    /// | a Remaining Length or Property Length in more bytes than it needs, but four at most | the same length | a sender that makes room for a length before it knows it |
    /// | the reserved bit of the Connect Flags | without it | |
    /// | Will QoS or Will Retain without the Will Flag | a CONNECT without a will | a client that has settings for a will and no will |
    /// | a password without a user name before MQTT 5.0 | a CONNECT with an empty user name | MQTT 5.0 allows it, for a token |
    /// | reserved bits of the Connect Acknowledge Flags | without them | |
    /// | Session Present in a refusal | a refusal | a server that looks for the session first |
    /// | reserved bits of the options of a subscription | without them | MQTT 5.0 has options there that earlier versions do not have |
    /// | bytes behind the last field of PINGREQ and PINGRESP, and before MQTT 5.0 of CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK and DISCONNECT | without them | MQTT 5.0 has reasons and properties there |
    /// | a refusal in the form of MQTT 3 that answers a CONNECT of MQTT 5.0 | a refusal with the reason code that says the same | a server that does not speak MQTT 5.0 |
    ///
    /// All else is an error as ever. Above all that is what could be meant in two ways, what would be dangerous to
    /// pass on, and what tells another protocol from MQTT: a packet that is cut short or too large, text that is not
    /// UTF-8 or contains U+0000, an identifier of zero, QoS 3, wildcards in a topic name, a reason code or property
    /// that does not exist or belongs elsewhere, flags in the first byte of CONNECT (0x16 is how TLS begins), bytes
    /// behind a CONNECT (they may be a user name), an acceptance in the form of MQTT 3 of a connection that is to
    /// speak MQTT 5.0, and No Local on a shared subscription (who sets it may count on it to prevent a loop).
    Lenient,
}

impl DecodeError {
    /// Whether [`Strictness::Lenient`] overlooks this error.
    pub fn is_forgivable(&self) -> bool {
        use DecodeCause as C;
        use PacketType as P;
        match self.cause {
            C::InvalidFlags(_) => self.packet != Some(P::Connect),
            // One in a property is part of what is kept, and so must be right.
            C::VariableByteIntegerNotMinimal => matches!(self.field, "Remaining Length" | "Property Length"),
            C::TrailingBytes(_) => match self.packet {
                Some(P::PingReq | P::PingResp) => true,
                Some(
                    P::ConnAck | P::PubAck | P::PubRec | P::PubRel | P::PubComp | P::UnsubAck | P::Disconnect,
                ) => !self.version.has_properties(),
                _ => false,
            },
            C::Mqtt3ConnAck(code) => code != 0,
            C::DupWithoutQoS
            | C::ReservedBits(_)
            | C::WillQoSWithoutWill
            | C::WillRetainWithoutWill
            | C::PasswordWithoutUserName
            | C::SessionPresentWithError => true,
            _ => false,
        }
    }
}

/// The strictness for one packet, and what was forgiven in it. Every rule that can be overlooked asks here.
pub(crate) struct Leniency<'a>(Option<&'a mut Option<DecodeError>>);

impl<'a> Leniency<'a> {
    /// Forgives nothing.
    pub(crate) const NONE: Self = Self(None);

    /// Forgives what is forgivable, and keeps the first of it.
    pub(crate) fn new(forgiven: &'a mut Option<DecodeError>) -> Self {
        Self(Some(forgiven))
    }

    /// Gives the error back unless it is forgiven.
    #[inline]
    pub(crate) fn forgive(&mut self, error: DecodeError) -> Read<()> {
        match &mut self.0 {
            Some(forgiven) if error.is_forgivable() => {
                forgiven.get_or_insert(error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}
