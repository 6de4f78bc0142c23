//! `Field`: the bytes of a string or of binary data; few are kept in place, more are shared.

use core::fmt;
use core::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::put_field;

/// How many bytes are kept in place: as many as a [`Bytes`] takes itself, but for one that is the length.
const IN_PLACE: usize = 31;

/// At most 65,535 bytes.
///
/// To copy a few bytes costs less than to count one more reference to a buffer, which every copy and every drop
/// does again, in memory that other threads contend for. And few bytes that are kept do not pin a large buffer.
///
/// All of it is made of whole words: a processor that has just written a part of a word is slow to read it all.
#[derive(Clone)]
#[repr(u64)]
pub(crate) enum Field {
    /// Bytes, and in the last their number.
    InPlace(Words),
    /// A span of a buffer.
    Shared(Bytes),
}

#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Words([[u8; 8]; 4]);

impl Field {
    pub(crate) const EMPTY: Self = Self::InPlace(Words([[0; 8]; 4]));

    /// A span of `frame`, or a copy of it.
    #[inline]
    pub(crate) fn of(frame: &Bytes, span: Range<usize>) -> Self {
        match frame.get(span.start..).and_then(|bytes| Self::in_place(bytes, span.len())) {
            Some(field) => field,
            None => Self::Shared(frame.slice(span)),
        }
    }

    /// A copy of the first `len` of these bytes, if they are few.
    #[inline]
    pub(crate) fn in_place(bytes: &[u8], len: usize) -> Option<Self> {
        if len > IN_PLACE {
            return None;
        }
        // A copy of known length takes a few instructions, so copy all there is room for.
        if let [first, second, third, fourth, ..] = *bytes.as_chunks().0 {
            let last = u64::from_le_bytes(fourth) & (u64::MAX >> 8) | (len as u64) << 56;
            return Some(Self::InPlace(Words([first, second, third, last.to_le_bytes()])));
        }
        Some(Self::copy_of(bytes.get(..len)?))
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut words = Words([[0; 8]; 4]);
        let [copy @ .., len] = words.0.as_flattened_mut() else { return Self::EMPTY };
        match copy.get_mut(..bytes.len()) {
            Some(copy) => {
                copy.copy_from_slice(bytes);
                *len = bytes.len() as u8;
                Self::InPlace(words)
            }
            None => Self::Shared(Bytes::copy_from_slice(bytes)),
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::InPlace(Words(words)) => {
                let len = words[3][7];
                words.as_flattened().get(..usize::from(len)).unwrap_or_default()
            }
            Self::Shared(bytes) => bytes,
        }
    }

    /// What [`write`](Self::write) takes, in bytes.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        2 + match self {
            Self::InPlace(Words(words)) => usize::from(words[3][7]),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// Writes the bytes behind their length.
    #[inline]
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            // Again a copy of known length, if there is room, of which the end is taken back.
            Self::InPlace(Words(words)) if out.capacity() - out.len() >= 2 + size_of::<Words>() => {
                let len = words[3][7];
                out.put_u16(len.into());
                let end = out.len() + usize::from(len);
                out.put_slice(words.as_flattened());
                out.truncate(end);
            }
            _ => put_field(out, self.as_slice()),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes,
            Self::InPlace(..) => Bytes::copy_from_slice(self.as_slice()),
        }
    }

    /// A copy that does not pin the buffer it was read from.
    pub(crate) fn detached(&self) -> Self {
        Self::copy_of(self.as_slice())
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_slice().escape_ascii())
    }
}

impl Default for Field {
    fn default() -> Self {
        Self::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn spans_of_any_length_keep_their_bytes() {
        let frame: Bytes = (0..=255).collect::<Vec<u8>>().into();
        for len in 0..=256 {
            for span in [0..len, 256 - len..256, (256 - len) / 2..(256 - len) / 2 + len] {
                let field = Field::of(&frame, span.clone());
                assert_eq!(field.as_slice(), &frame[span.clone()]);
                assert_eq!(field.detached().as_slice(), &frame[span.clone()]);
                assert_eq!(matches!(field, Field::InPlace(..)), len <= IN_PLACE);
                for room in [0, 2 + len, 512] {
                    let mut out = BytesMut::with_capacity(room);
                    field.write(&mut out);
                    assert_eq!(out[..2], (len as u16).to_be_bytes());
                    assert_eq!(out[2..], frame[span.clone()]);
                }
                assert_eq!(field.into_bytes(), &frame[span]);
            }
        }
    }
}
