//! The property table: what each property is, where it may stand, and the typed sets made of it.
//!
//! A set is validated in one pass when it is read and then kept as the raw bytes of the wire, which are walked
//! when a property is asked for; most properties of most packets are never looked at.

use core::fmt;
use core::marker::PhantomData;
use core::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeCause, EncodeError};
use crate::field::Field;
use crate::text::{self, Binary, Str};
use crate::types::QoS;
use crate::wire::{self, MAX_VARINT, Read, Reader, Varint, field_len, peek_varint, split_field, varint_len};

/// How a value stands on the wire, and its range.
#[derive(Clone, Copy)]
enum Kind {
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
type Places = u16;

struct Entry {
    name: &'static str,
    kind: Kind,
    places: Places,
    /// The sets in which it may stand more than once.
    repeats: Places,
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

fn entry(id: u8) -> Option<&'static Entry> {
    TABLE.get(usize::from(id))?.as_ref()
}

/// The specification's name of a property.
pub(crate) fn name(id: u8) -> &'static str {
    entry(id).map_or("unknown property", |entry| entry.name)
}

mod sealed {
    pub trait Sealed {}
}

/// Implemented by the markers in [`set`], and by nothing else.
pub trait PropertySet: sealed::Sealed + Sized {
    #[doc(hidden)]
    const PLACE: u16;
}

/// The properties of one kind of packet; empty for every packet before MQTT 5.0.
///
/// It has a getter and a `with_` setter for each property that the packet may carry, and no other.
///
/// ```
/// use mqttkit_codec::{PublishProperties, Str};
///
/// let properties = PublishProperties::new()
///     .with_message_expiry_interval(60)
///     .with_user_property(&Str::try_from("unit")?, &Str::try_from("°C")?);
/// assert_eq!(properties.message_expiry_interval(), Some(60));
/// assert_eq!(properties.content_type(), None);
/// # Ok::<(), mqttkit_codec::TextError>(())
/// ```
pub struct Properties<P> {
    /// The properties as they stand on the wire, without their length; valid for `P`.
    raw: Bytes,
    /// One bit for each identifier in `raw`.
    present: u64,
    set: PhantomData<fn() -> P>,
}

impl<P: PropertySet> Properties<P> {
    /// No properties.
    pub const fn new() -> Self {
        Self { raw: Bytes::new(), present: 0, set: PhantomData }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The properties as they stand on the wire, without the length in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The User Properties in the order of the wire, as name and value.
    pub fn user_properties(&self) -> impl Iterator<Item = (Str, Str)> + '_ {
        self.values(0x26).filter_map(|at| {
            let name = self.text_at(at)?;
            let value = self.text_at(at + field_len(name.as_bytes()))?;
            Some((name, value))
        })
    }

    /// Adds a User Property behind those that are there.
    #[must_use]
    pub fn with_user_property(self, name: &Str, value: &Str) -> Self {
        self.append(0x26, |out| {
            wire::put_field(out, name.as_bytes());
            wire::put_field(out, value.as_bytes());
        })
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { raw: Bytes::copy_from_slice(&self.raw), ..self.clone() }
    }

    /// Drops every property with this identifier.
    pub(crate) fn remove(&mut self, id: u8) {
        if !self.has(id) {
            return;
        }
        let mut kept = BytesMut::with_capacity(self.raw.len());
        for (found, start, end) in self.walk() {
            if found != id {
                kept.put_slice(&self.raw[start..end]);
            }
        }
        self.raw = kept.freeze();
        self.present &= !(1 << id);
    }

    #[expect(clippy::inline_always, reason = "nearly always there are none, and its result is large to move")]
    #[inline(always)]
    pub(crate) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        if !reader.version().has_properties() {
            return Ok(Self::new());
        }
        let len = reader.varint("Property Length")? as usize;
        if len == 0 {
            return Ok(Self::new());
        }
        let start = reader.position();
        let span = reader.span(len, "Properties")?;
        match Checked::new(reader.bytes(span.clone())) {
            Ok(checked) => Ok(checked.share(reader.share(span))),
            Err(Invalid { cause, id, at }) => Err(reader.error_at(cause, name(id), start + at)),
        }
    }

    /// Properties as they stand on the wire, without the length in front. An error comes with the property's name.
    #[cfg(feature = "serde")]
    pub(crate) fn from_raw(raw: Bytes) -> Result<Self, (&'static str, DecodeCause)> {
        match validate(&raw, P::PLACE) {
            Ok(present) => Ok(Self { raw, present, set: PhantomData }),
            Err(Invalid { cause, id, .. }) => Err((name(id), cause)),
        }
    }

    /// What [`write`](Self::write) takes, in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        varint_len(self.raw.len()) + self.raw.len()
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        wire::put_varint(out, self.raw.len().min(MAX_VARINT as usize) as u32);
        out.put_slice(&self.raw);
    }

    /// What reading them checks too and the setters cannot: that data comes with its method.
    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        if self.has(0x16) && !self.has(0x15) {
            return Err(EncodeError::AuthenticationDataWithoutMethod);
        }
        Ok(())
    }

    pub(crate) fn has(&self, id: u8) -> bool {
        self.present & (1 << id) != 0
    }

    /// Identifier, start and end of each property.
    fn walk(&self) -> impl Iterator<Item = (u8, usize, usize)> + '_ {
        let mut pos = 0;
        core::iter::from_fn(move || {
            let start = pos;
            let id = *self.raw.get(pos)?;
            let len = value_len(entry(id)?.kind, self.raw.get(pos + 1..)?)?;
            pos += 1 + len;
            Some((id, start, pos))
        })
    }

    /// Where the values with this identifier start.
    fn values(&self, id: u8) -> impl Iterator<Item = usize> + '_ {
        let walk = self.has(id).then(|| self.walk());
        walk.into_iter().flatten().filter_map(move |(found, start, _)| (found == id).then_some(start + 1))
    }

    fn value(&self, id: u8) -> Option<usize> {
        self.values(id).next()
    }

    fn u8_of(&self, id: u8) -> Option<u8> {
        self.raw.get(self.value(id)?).copied()
    }

    fn u16_of(&self, id: u8) -> Option<u16> {
        let at = self.value(id)?;
        Some(u16::from_be_bytes(self.raw.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32_of(&self, id: u8) -> Option<u32> {
        let at = self.value(id)?;
        Some(u32::from_be_bytes(self.raw.get(at..at + 4)?.try_into().ok()?))
    }

    fn varint_at(&self, at: usize) -> Option<NonZeroU32> {
        match peek_varint(self.raw.get(at..)?) {
            Varint::Value(value, _) => NonZeroU32::new(value),
            _ => None,
        }
    }

    fn field_at(&self, at: usize) -> Option<Field> {
        let len = usize::from(u16::from_be_bytes(self.raw.get(at..at + 2)?.try_into().ok()?));
        (at + 2 + len <= self.raw.len()).then(|| Field::of(&self.raw, at + 2..at + 2 + len))
    }

    fn text_at(&self, at: usize) -> Option<Str> {
        self.field_at(at).map(Str::from_checked)
    }

    /// Replaces a property that may stand once.
    fn set(mut self, id: u8, put: impl FnOnce(&mut BytesMut)) -> Self {
        self.remove(id);
        self.append(id, put)
    }

    fn append(mut self, id: u8, put: impl FnOnce(&mut BytesMut)) -> Self {
        let mut out = self.raw.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        out.put_u8(id);
        put(&mut out);
        self.raw = out.freeze();
        self.present |= 1 << id;
        self
    }
}

/// Which properties stand in bytes that were checked.
pub(crate) struct Checked<P> {
    present: u64,
    set: PhantomData<fn() -> P>,
}

impl<P: PropertySet> Checked<P> {
    pub(crate) const NONE: Self = Self { present: 0, set: PhantomData };

    #[inline]
    pub(crate) fn new(raw: &[u8]) -> Result<Self, Invalid> {
        validate(raw, P::PLACE).map(|present| Self { present, set: PhantomData })
    }

    pub(crate) const fn has(&self, id: u8) -> bool {
        self.present & (1 << id) != 0
    }

    /// The properties, of a share of the bytes that were checked.
    #[inline]
    pub(crate) fn share(self, raw: Bytes) -> Properties<P> {
        Properties { raw, present: self.present, set: PhantomData }
    }
}

/// The property that is wrong, and where it stands.
pub(crate) struct Invalid {
    pub(crate) cause: DecodeCause,
    pub(crate) id: u8,
    pub(crate) at: usize,
}

/// Checks every property and returns which are there.
fn validate(raw: &[u8], place: Places) -> Result<u64, Invalid> {
    const METHOD: u64 = 1 << 0x15;
    let mut present = 0u64;
    let mut rest = raw;
    let mut data_at = None;
    // Identifiers are variable-byte integers, but all that exist take one byte.
    while let Some((&id, value)) = rest.split_first() {
        let invalid = |cause| Err(Invalid { cause, id, at: raw.len() - rest.len() });
        let Some(entry) = entry(id) else { return invalid(DecodeCause::UnknownProperty(id)) };
        let bit = 1 << id;
        if entry.places & place == 0 {
            return invalid(DecodeCause::PropertyNotAllowed(id));
        }
        if present & bit != 0 && entry.repeats & place == 0 {
            return invalid(DecodeCause::DuplicateProperty(id));
        }
        present |= bit;
        if id == 0x16 {
            data_at = Some(raw.len() - rest.len());
        }
        rest = match check_value(entry.kind, value, id) {
            Ok(rest) => rest,
            Err(cause) => return invalid(cause),
        };
    }
    // Authentication Data needs the method it belongs to.
    if let Some(at) = data_at
        && present & METHOD == 0
    {
        return Err(Invalid { cause: DecodeCause::AuthenticationDataWithoutMethod, id: 0x16, at });
    }
    Ok(present)
}

/// How many bytes the value at the start of `rest` takes, if it is all there.
#[inline]
fn value_len(kind: Kind, rest: &[u8]) -> Option<usize> {
    let field = |rest: &[u8]| Some(2 + usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])));
    let len = match kind {
        Kind::Flag => 1,
        Kind::U16 | Kind::NonZeroU16 => 2,
        Kind::U32 | Kind::NonZeroU32 => 4,
        // Faulty ones have a length too, for `check_value` to see.
        Kind::NonZeroVarint => rest.iter().take(4).position(|byte| byte & 0x80 == 0).map_or(4, |i| i + 1),
        Kind::Text | Kind::Topic | Kind::Data => field(rest)?,
        Kind::Pair => {
            let name = field(rest)?;
            name + field(rest.get(name..)?)?
        }
    };
    (len <= rest.len()).then_some(len)
}

/// Checks the value at the start of `bytes`, and returns what follows it.
#[inline]
fn check_value(kind: Kind, bytes: &[u8], id: u8) -> Result<&[u8], DecodeCause> {
    const TRUNCATED: DecodeCause = DecodeCause::Truncated;
    let (in_range, rest) = match kind {
        Kind::Flag => {
            let (&value, rest) = bytes.split_first().ok_or(TRUNCATED)?;
            (value <= 1, rest)
        }
        Kind::U16 => (true, bytes.split_first_chunk::<2>().ok_or(TRUNCATED)?.1),
        Kind::U32 => (true, bytes.split_first_chunk::<4>().ok_or(TRUNCATED)?.1),
        Kind::NonZeroU16 => {
            let (value, rest) = bytes.split_first_chunk::<2>().ok_or(TRUNCATED)?;
            (*value != [0; 2], rest)
        }
        Kind::NonZeroU32 => {
            let (value, rest) = bytes.split_first_chunk::<4>().ok_or(TRUNCATED)?;
            (*value != [0; 4], rest)
        }
        Kind::NonZeroVarint => match peek_varint(bytes) {
            Varint::Value(number, len) => (number != 0, bytes.get(len..).unwrap_or_default()),
            Varint::NotMinimal(..) => return Err(DecodeCause::VariableByteIntegerNotMinimal),
            Varint::Incomplete => return Err(TRUNCATED),
            Varint::TooLong => return Err(DecodeCause::VariableByteIntegerTooLong),
        },
        Kind::Data => (true, split_field(bytes).ok_or(TRUNCATED)?.1),
        Kind::Text => (true, split_text(bytes)?.1),
        Kind::Topic => {
            let (topic, rest) = split_text(bytes)?;
            // [MQTT-3.3.2-14] no wildcards
            (!topic.is_empty() && !topic.iter().any(|&byte| byte == b'+' || byte == b'#'), rest)
        }
        Kind::Pair => (true, split_text(split_text(bytes)?.1)?.1),
    };
    if in_range { Ok(rest) } else { Err(DecodeCause::InvalidPropertyValue(id)) }
}

/// The text at the start of `bytes`, checked, and what follows it.
#[inline]
fn split_text(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeCause> {
    let (text, rest) = split_field(bytes).ok_or(DecodeCause::Truncated)?;
    text::check(text)?;
    Ok((text, rest))
}

/// One getter and one setter for each property of a set.
macro_rules! accessors {
    ($set:ident: $($(#[$doc:meta])* $kind:ident $get:ident $with:ident = $id:literal;)*) => {
        impl Properties<set::$set> {
            $(accessors!(@ $kind $(#[$doc])* $get $with $id);)*
        }
    };
    (@ flag $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<bool> {
            self.u8_of($id).map(|value| value != 0)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: bool) -> Self {
            self.set($id, |out| out.put_u8(u8::from(value)))
        }
    };
    (@ u16 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<u16> {
            self.u16_of($id)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: u16) -> Self {
            self.set($id, |out| out.put_u16(value))
        }
    };
    (@ nonzero_u16 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<NonZeroU16> {
            self.u16_of($id).and_then(NonZeroU16::new)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: NonZeroU16) -> Self {
            self.set($id, |out| out.put_u16(value.get()))
        }
    };
    (@ u32 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<u32> {
            self.u32_of($id)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: u32) -> Self {
            self.set($id, |out| out.put_u32(value))
        }
    };
    (@ nonzero_u32 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<NonZeroU32> {
            self.u32_of($id).and_then(NonZeroU32::new)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: NonZeroU32) -> Self {
            self.set($id, |out| out.put_u32(value.get()))
        }
    };
    (@ text $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<Str> {
            self.text_at(self.value($id)?)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: &Str) -> Self {
            self.set($id, |out| wire::put_field(out, value.as_bytes()))
        }
    };
    (@ topic $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<crate::TopicName> {
            self.field_at(self.value($id)?).map(crate::TopicName::from_checked)
        }

        $(#[$doc])*
        ///
        /// [`TopicName::ALIASED`](crate::TopicName::ALIASED) is no name and is ignored.
        #[must_use]
        pub fn $with(self, value: &crate::TopicName) -> Self {
            if value.is_aliased() {
                return self;
            }
            self.set($id, |out| wire::put_field(out, value.as_bytes()))
        }
    };
    (@ data $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<Binary> {
            self.field_at(self.value($id)?).map(Binary::from_checked)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: &Binary) -> Self {
            self.set($id, |out| wire::put_field(out, value))
        }
    };
}

accessors! { Connect:
    /// How long the session outlives the connection, in seconds; `u32::MAX` is for ever, absent is 0.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// How many QoS 1 and 2 messages the client takes at a time; absent is 65,535.
    nonzero_u16 receive_maximum with_receive_maximum = 0x21;
    /// The largest packet the client takes, in bytes.
    nonzero_u32 maximum_packet_size with_maximum_packet_size = 0x27;
    /// The highest topic alias the client takes; absent is 0, none.
    u16 topic_alias_maximum with_topic_alias_maximum = 0x22;
    /// Whether CONNACK may carry Response Information; absent is no.
    flag request_response_information with_request_response_information = 0x19;
    /// Whether any packet may carry a Reason String or User Properties; absent is yes.
    flag request_problem_information with_request_problem_information = 0x17;
    /// The method of an enhanced authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
}

/// What a message and a will have in common.
macro_rules! message_accessors {
    ($set:ident) => {
        accessors! { $set:
            /// Whether the payload is UTF-8 text; absent is unspecified bytes.
            flag payload_format_indicator with_payload_format_indicator = 0x01;
            /// The lifetime of the message, in seconds.
            u32 message_expiry_interval with_message_expiry_interval = 0x02;
            /// What the payload is, a MIME type usually.
            text content_type with_content_type = 0x03;
            /// The topic for a response.
            topic response_topic with_response_topic = 0x08;
            /// What tells the requester which request a response belongs to.
            data correlation_data with_correlation_data = 0x09;
        }
    };
}

message_accessors!(Will);
message_accessors!(Publish);

accessors! { Will:
    /// How long the server waits before it publishes the will, in seconds.
    u32 will_delay_interval with_will_delay_interval = 0x18;
}

impl WillProperties {
    /// The properties of the message that the will becomes: all but the Will Delay Interval.
    pub fn into_message_properties(mut self) -> PublishProperties {
        self.remove(0x18);
        Properties { raw: self.raw, present: self.present, set: PhantomData }
    }
}

accessors! { Publish:
    /// A number that stands for the topic on this connection.
    nonzero_u16 topic_alias with_topic_alias = 0x23;
}

impl PublishProperties {
    /// The identifiers of the subscriptions that caused this delivery.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = NonZeroU32> + '_ {
        self.values(0x0B).filter_map(|at| self.varint_at(at))
    }

    /// Adds the identifier of a subscription; numbers above 268,435,455 cannot be expressed and are ignored.
    #[must_use]
    pub fn with_subscription_identifier(self, id: NonZeroU32) -> Self {
        if id.get() > MAX_VARINT {
            return self;
        }
        self.append(0x0B, |out| wire::put_varint(out, id.get()))
    }

    /// Drops the topic alias, which means something on one connection only.
    #[must_use]
    pub fn without_topic_alias(mut self) -> Self {
        self.remove(0x23);
        self
    }

    /// Drops the subscription identifiers, which are for one receiver only.
    #[must_use]
    pub fn without_subscription_identifiers(mut self) -> Self {
        self.remove(0x0B);
        self
    }
}

impl SubscribeProperties {
    /// The number that deliveries for these subscriptions carry.
    pub fn subscription_identifier(&self) -> Option<NonZeroU32> {
        self.varint_at(self.value(0x0B)?)
    }

    /// Sets that number; one above 268,435,455 cannot be expressed and is ignored.
    #[must_use]
    pub fn with_subscription_identifier(self, id: NonZeroU32) -> Self {
        if id.get() > MAX_VARINT {
            return self;
        }
        self.set(0x0B, |out| wire::put_varint(out, id.get()))
    }
}

accessors! { ConnAck:
    /// The session expiry the server chose, in seconds; absent is the client's.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// How many QoS 1 and 2 messages the server takes at a time; absent is 65,535.
    nonzero_u16 receive_maximum with_receive_maximum = 0x21;
    /// Whether the server keeps retained messages; absent is yes.
    flag retain_available with_retain_available = 0x25;
    /// The largest packet the server takes, in bytes.
    nonzero_u32 maximum_packet_size with_maximum_packet_size = 0x27;
    /// The client identifier the server gave to a client that had none.
    text assigned_client_identifier with_assigned_client_identifier = 0x12;
    /// The highest topic alias the server takes; absent is 0, none.
    u16 topic_alias_maximum with_topic_alias_maximum = 0x22;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
    /// Whether the server takes wildcard subscriptions; absent is yes.
    flag wildcard_subscription_available with_wildcard_subscription_available = 0x28;
    /// Whether the server takes subscription identifiers; absent is yes.
    flag subscription_identifier_available with_subscription_identifier_available = 0x29;
    /// Whether the server takes shared subscriptions; absent is yes.
    flag shared_subscription_available with_shared_subscription_available = 0x2A;
    /// The keep-alive the client must use instead of its own, in seconds.
    u16 server_keep_alive with_server_keep_alive = 0x13;
    /// The basis for a response topic.
    text response_information with_response_information = 0x1A;
    /// Another server to use.
    text server_reference with_server_reference = 0x1C;
    /// The method of an enhanced authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
}

impl ConnAckProperties {
    /// The highest QoS the server takes; absent is QoS 2.
    pub fn maximum_qos(&self) -> Option<QoS> {
        self.u8_of(0x24).and_then(QoS::from_u8)
    }

    /// Sets the highest QoS the server takes. QoS 2 is said by leaving the property out.
    #[must_use]
    pub fn with_maximum_qos(mut self, qos: QoS) -> Self {
        if qos == QoS::ExactlyOnce {
            self.remove(0x24);
            return self;
        }
        self.set(0x24, |out| out.put_u8(qos.as_u8()))
    }
}

accessors! { Ack:
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
}

accessors! { Disconnect:
    /// A new session expiry, in seconds; sent by clients only.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
    /// Another server to use.
    text server_reference with_server_reference = 0x1C;
}

accessors! { Auth:
    /// The method of the authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
}

impl<P> Clone for Properties<P> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), present: self.present, set: PhantomData }
    }
}

impl<P: PropertySet> Default for Properties<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> PartialEq for Properties<P> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<P> Eq for Properties<P> {}

impl<P: PropertySet> fmt::Debug for Properties<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (id, start, end) in self.walk() {
            map.entry(&name(id), &self.raw.slice(start + 1..end));
        }
        map.finish()
    }
}
