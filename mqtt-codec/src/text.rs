//! `Str` and `Binary`: the two length-prefixed fields, as checked views of shared bytes.

use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

use alloc::string::String;
use bytes::Bytes;

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

/// A UTF-8 Encoded String: at most 65,535 bytes, no U+0000; a cheap clone of shared bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(Bytes);

impl Str {
    /// The empty string.
    pub const EMPTY: Self = Self(Bytes::new());

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked when it was made; the empty string can never be seen here.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Takes bytes that `check` has passed.
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// Checks what the specification asks of a UTF-8 Encoded String, except its length.
pub(crate) fn check(bytes: &[u8]) -> Result<(), TextError> {
    // One branch-free pass decides the common case: ASCII without NUL.
    let mut odd = 0u8;
    for &byte in bytes {
        odd |= (byte & 0x80) | u8::from(byte == 0);
    }
    if odd == 0 {
        return Ok(());
    }
    if odd & 0x80 != 0 && core::str::from_utf8(bytes).is_err() {
        return Err(TextError::InvalidUtf8);
    }
    if odd & 1 != 0 { Err(TextError::Nul) } else { Ok(()) }
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
        Ok(Self(bytes))
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
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
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

/// Binary Data: at most 65,535 bytes; a cheap clone of shared bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binary(Bytes);

impl Binary {
    /// No bytes.
    pub const EMPTY: Self = Self(Bytes::new());

    /// The data as shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Takes bytes whose length came from a two-byte prefix.
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Bytes> for Binary {
    type Error = TextError;

    fn try_from(bytes: Bytes) -> Result<Self, TextError> {
        check_len(bytes.len())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for Binary {
    type Error = TextError;

    fn try_from(bytes: &[u8]) -> Result<Self, TextError> {
        check_len(bytes.len())?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
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
