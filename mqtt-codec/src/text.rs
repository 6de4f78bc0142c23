//! `Str` and `Binary`: the two length-prefixed fields, checked when they are made.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use alloc::string::String;
use bytes::{Bytes, BytesMut};

use crate::field::Field;

/// Why text or data cannot be a length-prefixed MQTT field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// Longer than 65,535 bytes, which is all its length prefix can say.
    TooLong(usize),
    /// Not well-formed UTF-8; surrogates count as ill-formed. [MQTT-1.5.4-1]
    InvalidUtf8,
    /// Contains U+0000. [MQTT-1.5.4-2]
    Nul,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "{len} bytes are too long for an MQTT field of at most 65535"),
            Self::InvalidUtf8 => f.write_str("not well-formed UTF-8"),
            Self::Nul => f.write_str("contains the character U+0000"),
        }
    }
}

impl core::error::Error for TextError {}

/// A UTF-8 Encoded String: at most 65,535 bytes, no U+0000. To clone it never allocates: a short one is copied, a
/// longer one is shared.
#[derive(Clone, Default)]
pub struct Str(Field);

impl Str {
    /// The empty string.
    pub const EMPTY: Self = Self(Field::EMPTY);

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked when it was made; the empty string can never be seen here.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The bytes of the text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The text as shared bytes; allocates for a short one.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// What [`write`](Self::write) takes, in bytes.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    /// Writes it as it stands on the wire.
    #[inline]
    pub(crate) fn write(&self, out: &mut BytesMut) {
        self.0.write(out);
    }

    /// Takes bytes that `check` has passed.
    #[inline]
    pub(crate) const fn from_checked(bytes: Field) -> Self {
        Self(bytes)
    }
}

/// Checks what the specification asks of a UTF-8 Encoded String, except its length.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<(), TextError> {
    if is_plain::<false>(bytes) { Ok(()) } else { check_slowly(bytes) }
}

#[cold]
fn check_slowly(bytes: &[u8]) -> Result<(), TextError> {
    if core::str::from_utf8(bytes).is_err() {
        return Err(TextError::InvalidUtf8);
    }
    if bytes.contains(&0) { Err(TextError::Nul) } else { Ok(()) }
}

/// Whether all bytes are ASCII and none is U+0000, nor, for a `NAME` of a topic, a wildcard. Almost all text is, so
/// it is decided eight bytes at a time.
#[inline]
pub(crate) fn is_plain<const NAME: bool>(bytes: &[u8]) -> bool {
    let mut odds = 0;
    if let Some(&last) = bytes.last_chunk::<8>() {
        for &chunk in bytes.as_chunks::<8>().0 {
            odds |= oddities::<NAME>(u64::from_ne_bytes(chunk));
        }
        // What is left over, together with bytes that were seen already.
        odds |= oddities::<NAME>(u64::from_ne_bytes(last));
    } else if let (Some(&first), Some(&last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_ne_bytes(first), u32::from_ne_bytes(last));
        odds = oddities::<NAME>(u64::from(first) | u64::from(last) << 32);
    } else {
        return bytes.iter().all(|byte| matches!(byte, 1..=0x7f) && !(NAME && matches!(byte, b'+' | b'#')));
    }
    odds & (0x80 * EACH) == 0
}

/// One in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Sets the high bit of a byte in any word that has a byte which is not plain, and in no other word.
#[inline]
const fn oddities<const NAME: bool>(word: u64) -> u64 {
    // To take 1 from an ASCII byte sets its high bit if it is 0. A borrow reaches the next byte from such a 0 only.
    let mut odds = word | word.wrapping_sub(EACH);
    if NAME {
        // The wildcards differ in one bit; with it set, what they have in common becomes 0.
        let difference = (b'+' ^ b'#') as u64;
        let common = (b'+' | b'#') as u64;
        odds |= ((word | (difference * EACH)) ^ (common * EACH)).wrapping_sub(EACH);
    }
    odds
}

fn check_len(len: usize) -> Result<(), TextError> {
    if len > usize::from(u16::MAX) { Err(TextError::TooLong(len)) } else { Ok(()) }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    /// By bytes, which is the order of `str`.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Str {
    /// Hashes as `str` does, so that a map with `Str` keys can be asked for a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl TryFrom<Bytes> for Str {
    type Error = TextError;

    fn try_from(bytes: Bytes) -> Result<Self, TextError> {
        check_len(bytes.len())?;
        check(&bytes)?;
        Ok(Self(Field::Shared(bytes)))
    }
}

impl TryFrom<String> for Str {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        Self::try_from(Bytes::from(text))
    }
}

impl TryFrom<&str> for Str {
    type Error = TextError;

    fn try_from(text: &str) -> Result<Self, TextError> {
        check_len(text.len())?;
        check(text.as_bytes())?;
        Ok(Self(Field::copy_of(text.as_bytes())))
    }
}

impl TryFrom<&String> for Str {
    type Error = TextError;

    fn try_from(text: &String) -> Result<Self, TextError> {
        Self::try_from(text.as_str())
    }
}

impl From<Str> for String {
    fn from(text: Str) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// Binary Data: at most 65,535 bytes. To clone it never allocates: a short one is copied, a longer one is shared.
#[derive(Clone, Default)]
pub struct Binary(Field);

impl Binary {
    /// No bytes.
    pub const EMPTY: Self = Self(Field::EMPTY);

    /// The data as shared bytes; allocates for short data.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// What [`write`](Self::write) takes, in bytes.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    /// Writes it as it stands on the wire.
    #[inline]
    pub(crate) fn write(&self, out: &mut BytesMut) {
        self.0.write(out);
    }

    /// Takes bytes whose length came from a two-byte prefix.
    #[inline]
    pub(crate) const fn from_checked(bytes: Field) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Binary {}

impl PartialOrd for Binary {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Binary {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Binary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl TryFrom<Bytes> for Binary {
    type Error = TextError;

    fn try_from(bytes: Bytes) -> Result<Self, TextError> {
        check_len(bytes.len())?;
        Ok(Self(Field::Shared(bytes)))
    }
}

impl TryFrom<&[u8]> for Binary {
    type Error = TextError;

    fn try_from(bytes: &[u8]) -> Result<Self, TextError> {
        check_len(bytes.len())?;
        Ok(Self(Field::copy_of(bytes)))
    }
}

impl TryFrom<&str> for Binary {
    type Error = TextError;

    fn try_from(text: &str) -> Result<Self, TextError> {
        Self::try_from(text.as_bytes())
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn plain_text_is_told_from_any_other() {
        for len in 0..40 {
            let mut bytes = vec![b'x'; len];
            assert!(is_plain::<true>(&bytes));
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    bytes[at] = byte;
                    let plain = byte.is_ascii() && byte != 0;
                    assert_eq!(is_plain::<false>(&bytes), plain, "{byte} at {at} of {len}");
                    assert_eq!(is_plain::<true>(&bytes), plain && byte != b'+' && byte != b'#');
                }
                // Neighbours that a borrow would reach.
                bytes[at] = 1;
            }
            assert!(is_plain::<true>(&bytes));
        }
    }

    #[test]
    fn short_and_shared_text_are_the_same_text() {
        let (short, shared) = (Str::try_from("text").unwrap(), Str::try_from(Bytes::from("text")).unwrap());
        assert!(matches!((&short.0, &shared.0), (Field::InPlace(..), Field::Shared(_))));
        assert_eq!(short, shared);
        assert_eq!(short.cmp(&shared), Ordering::Equal);
        let map: hashbrown::HashMap<_, _> = [(short, 1)].into_iter().collect();
        assert_eq!((map.get("text"), map.get(&shared)), (Some(&1), Some(&1)));
    }

    #[test]
    fn text_is_checked() {
        assert_eq!(Str::try_from("a/b").unwrap(), "a/b");
        assert_eq!(Str::try_from("\u{feff}é𝄞").unwrap(), "\u{feff}é𝄞");
        assert_eq!(Str::try_from("a\0b"), Err(TextError::Nul));
        assert_eq!(Str::try_from("é\0"), Err(TextError::Nul));
        let surrogate = Bytes::from_static(&[0xed, 0xa0, 0x80]);
        assert_eq!(Str::try_from(surrogate), Err(TextError::InvalidUtf8));
        assert!(Str::try_from(String::from_utf8(vec![b'x'; 65_535]).unwrap()).is_ok());
        assert_eq!(
            Str::try_from(String::from_utf8(vec![b'x'; 65_536]).unwrap()),
            Err(TextError::TooLong(65_536))
        );
    }
}
