//! `List`: the entries of a packet's payload, kept as the bytes of the wire and read when asked for.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use bytes::{Bytes, BytesMut};

/// The entries of a SUBSCRIBE, UNSUBSCRIBE, SUBACK or UNSUBACK.
///
/// It is one span of shared memory, whatever the number of entries, so a packet full of tiny ones costs its
/// receiver no more memory than it took on the wire. Collect it into a `Vec` to index it.
///
/// ```
/// use mqttkit_codec::{List, ReasonCode};
///
/// let reasons: List<ReasonCode> = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized].into_iter().collect();
/// assert_eq!(reasons.iter().filter(|reason| reason.is_error()).count(), 1);
/// ```
pub struct List<T> {
    /// Entries that were checked when the list was made.
    raw: Bytes,
    len: usize,
    item: PhantomData<fn() -> T>,
}

/// What a [`List`] can hold. Implemented for the entries of the four packets, and for nothing else.
pub trait ListItem: sealed::Entry {}

impl<T: sealed::Entry> ListItem for T {}

pub(crate) mod sealed {
    use super::{Bytes, BytesMut, Range};

    pub trait Entry: Sized {
        /// The length of the entry at the start of these bytes, if it is all there.
        fn len_at(raw: &[u8]) -> Option<usize>;
        /// Reads the entry in this span, of which `len_at` gave the length and which was checked before.
        fn read_checked(raw: &Bytes, span: Range<usize>) -> Option<Self>;
        fn put(&self, out: &mut BytesMut);
    }
}

impl<T: ListItem> List<T> {
    /// No entries.
    pub const EMPTY: Self = Self { raw: Bytes::new(), len: 0, item: PhantomData };

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let mut pos = 0;
        core::iter::from_fn(move || {
            let len = T::len_at(self.raw.get(pos..)?)?;
            let span = pos..pos + len;
            pos += len;
            T::read_checked(&self.raw, span)
        })
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { raw: Bytes::copy_from_slice(&self.raw), ..self.clone() }
    }

    /// Takes `len` entries that were checked.
    pub(crate) fn from_checked(raw: Bytes, len: usize) -> Self {
        Self { raw, len, item: PhantomData }
    }

    /// The bytes of each entry.
    pub(crate) fn raw_entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.raw[..];
        core::iter::from_fn(move || {
            let (entry, behind) = rest.split_at_checked(T::len_at(rest)?)?;
            rest = behind;
            Some(entry)
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
}

impl<T: ListItem> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut raw = BytesMut::new();
        let mut len = 0;
        for item in items {
            item.put(&mut raw);
            len += 1;
        }
        Self { raw: raw.freeze(), len, item: PhantomData }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), len: self.len, item: PhantomData }
    }
}

impl<T> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<T> Eq for List<T> {}

impl<T: ListItem + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
