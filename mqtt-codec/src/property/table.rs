//! The property table: what each property is and where it may stand.

use super::Properties;

/// How a value stands on the wire, and its range.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A byte of 0 or 1.
    Flag,
    U16,
    NonZeroU16,
    U32,
    NonZeroU32,
    /// A variable-byte integer which is not zero.
    NonZeroVarint,
    Text,
    /// Text without wildcards.
    Topic,
    Data,
    Pair,
}

/// Where a property may stand: one bit for each set.
pub(super) type Places = u16;

pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) places: Places,
    /// The sets in which it may stand more than once.
    pub(super) repeats: Places,
}

macro_rules! property_sets {
    ($($(#[$doc:meta])* $alias:ident, $kind:ident = $bit:literal;)*) => {
        /// Markers for the packet whose properties a [`Properties`] holds.
        pub mod set {
            $(
                #[doc = concat!("Marks [`", stringify!($alias), "`](super::", stringify!($alias), ").")]
                #[derive(Debug)]
                pub enum $kind {}

                impl super::sealed::Sealed for $kind {}

                impl super::PropertySet for $kind {
                    const PLACE: u16 = 1 << $bit;
                }
            )*
        }
        $(
            $(#[$doc])*
            pub type $alias = Properties<set::$kind>;
        )*
    };
}

property_sets! {
    /// The properties of CONNECT.
    ConnectProperties, Connect = 0;
    /// The properties of a will, inside CONNECT.
    WillProperties, Will = 1;
    /// The properties of CONNACK.
    ConnAckProperties, ConnAck = 2;
    /// The properties of PUBLISH.
    PublishProperties, Publish = 3;
    /// The properties of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    AckProperties, Ack = 4;
    /// The properties of SUBSCRIBE.
    SubscribeProperties, Subscribe = 5;
    /// The properties of UNSUBSCRIBE.
    UnsubscribeProperties, Unsubscribe = 6;
    /// The properties of DISCONNECT.
    DisconnectProperties, Disconnect = 7;
    /// The properties of AUTH.
    AuthProperties, Auth = 8;
}

const CONNECT: Places = <set::Connect as PropertySet>::PLACE;
const WILL: Places = <set::Will as PropertySet>::PLACE;
const CONNACK: Places = <set::ConnAck as PropertySet>::PLACE;
const PUBLISH: Places = <set::Publish as PropertySet>::PLACE;
const ACK: Places = <set::Ack as PropertySet>::PLACE;
const SUBSCRIBE: Places = <set::Subscribe as PropertySet>::PLACE;
const UNSUBSCRIBE: Places = <set::Unsubscribe as PropertySet>::PLACE;
const DISCONNECT: Places = <set::Disconnect as PropertySet>::PLACE;
const AUTH: Places = <set::Auth as PropertySet>::PLACE;
const ANYWHERE: Places =
    CONNECT | WILL | CONNACK | PUBLISH | ACK | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | AUTH;

/// Section 2.2.2.2 of the specification, as it is.
static TABLE: [Option<Entry>; 43] = {
    const fn entry(name: &'static str, kind: Kind, places: Places, repeats: Places) -> Entry {
        Entry { name, kind, places, repeats }
    }
    const NONE: Option<Entry> = None;
    let mut table = [NONE; 43];
    table[0x01] = Some(entry("Payload Format Indicator", Kind::Flag, PUBLISH | WILL, 0));
    table[0x02] = Some(entry("Message Expiry Interval", Kind::U32, PUBLISH | WILL, 0));
    table[0x03] = Some(entry("Content Type", Kind::Text, PUBLISH | WILL, 0));
    table[0x08] = Some(entry("Response Topic", Kind::Topic, PUBLISH | WILL, 0));
    table[0x09] = Some(entry("Correlation Data", Kind::Data, PUBLISH | WILL, 0));
    table[0x0B] = Some(entry("Subscription Identifier", Kind::NonZeroVarint, PUBLISH | SUBSCRIBE, PUBLISH));
    table[0x11] = Some(entry("Session Expiry Interval", Kind::U32, CONNECT | CONNACK | DISCONNECT, 0));
    table[0x12] = Some(entry("Assigned Client Identifier", Kind::Text, CONNACK, 0));
    table[0x13] = Some(entry("Server Keep Alive", Kind::U16, CONNACK, 0));
    table[0x15] = Some(entry("Authentication Method", Kind::Text, CONNECT | CONNACK | AUTH, 0));
    table[0x16] = Some(entry("Authentication Data", Kind::Data, CONNECT | CONNACK | AUTH, 0));
    table[0x17] = Some(entry("Request Problem Information", Kind::Flag, CONNECT, 0));
    table[0x18] = Some(entry("Will Delay Interval", Kind::U32, WILL, 0));
    table[0x19] = Some(entry("Request Response Information", Kind::Flag, CONNECT, 0));
    table[0x1A] = Some(entry("Response Information", Kind::Text, CONNACK, 0));
    table[0x1C] = Some(entry("Server Reference", Kind::Text, CONNACK | DISCONNECT, 0));
    table[0x1F] = Some(entry("Reason String", Kind::Text, CONNACK | ACK | DISCONNECT | AUTH, 0));
    table[0x21] = Some(entry("Receive Maximum", Kind::NonZeroU16, CONNECT | CONNACK, 0));
    table[0x22] = Some(entry("Topic Alias Maximum", Kind::U16, CONNECT | CONNACK, 0));
    table[0x23] = Some(entry("Topic Alias", Kind::NonZeroU16, PUBLISH, 0));
    table[0x24] = Some(entry("Maximum QoS", Kind::Flag, CONNACK, 0));
    table[0x25] = Some(entry("Retain Available", Kind::Flag, CONNACK, 0));
    table[0x26] = Some(entry("User Property", Kind::Pair, ANYWHERE, ANYWHERE));
    table[0x27] = Some(entry("Maximum Packet Size", Kind::NonZeroU32, CONNECT | CONNACK, 0));
    table[0x28] = Some(entry("Wildcard Subscription Available", Kind::Flag, CONNACK, 0));
    table[0x29] = Some(entry("Subscription Identifier Available", Kind::Flag, CONNACK, 0));
    table[0x2A] = Some(entry("Shared Subscription Available", Kind::Flag, CONNACK, 0));
    table
};

pub(super) fn entry(id: u8) -> Option<&'static Entry> {
    TABLE.get(usize::from(id))?.as_ref()
}

/// The specification's name of a property.
pub(crate) fn name(id: u8) -> &'static str {
    entry(id).map_or("unknown property", |entry| entry.name)
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// Implemented by the markers in [`set`], and by nothing else.
pub trait PropertySet: sealed::Sealed + Sized {
    #[doc(hidden)]
    const PLACE: u16;
}
