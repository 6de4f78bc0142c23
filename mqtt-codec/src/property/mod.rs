//! The properties of MQTT 5.0: typed sets, made of one table.
//!
//! A set is validated in one pass when it is read and then kept as the raw bytes of the wire, which are walked
//! when a property is asked for; most properties of most packets are never looked at.

mod accessors;
mod table;
mod validate;

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::EncodeError;
use crate::field::Field;
use crate::text::Str;
use crate::wire::{self, MAX_VARINT, Read, Reader, Varint, field_len, peek_varint, varint_len};

use table::entry;
use validate::{validate, value_len};

pub(crate) use table::name;
pub use table::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PropertySet,
    PublishProperties, SubscribeProperties, UnsubscribeProperties, WillProperties, set,
};
pub(crate) use validate::Invalid;

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
    pub(crate) fn from_raw(raw: Bytes) -> Result<Self, (&'static str, crate::error::DecodeCause)> {
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
