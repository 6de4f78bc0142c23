//! Topic names and topic filters: validated once, matched often.

mod filter_map;

use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::field::Field;
use crate::text::{self, Str, TextError};

pub use filter_map::FilterMap;

/// Why text is not a topic name or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// No characters at all. [MQTT-4.7.3-1]
    Empty,
    /// Longer than 65,535 bytes. [MQTT-4.7.3-3]
    TooLong(usize),
    /// Not well-formed UTF-8. [MQTT-1.5.4-1]
    InvalidUtf8,
    /// Contains U+0000. [MQTT-4.7.3-2]
    Nul,
    /// A `+` or `#` in the name of a topic. [MQTT-3.3.2-2]
    WildcardInName,
    /// A `#` that is not a whole level, or not the last one. [MQTT-4.7.1-1]
    MultiLevelWildcard,
    /// A `+` that is not a whole level. [MQTT-4.7.1-2]
    SingleLevelWildcard,
    /// An empty share name. [MQTT-4.8.2-1]
    ShareName,
    /// A `+` or `#` in a share name. [MQTT-4.8.2-2]
    WildcardInShareName,
    /// `$share/name` without a filter behind it. [MQTT-4.8.2-2]
    ShareWithoutFilter,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic must have at least one character"),
            Self::TooLong(len) => write!(f, "a topic of {len} bytes exceeds the limit of 65535"),
            Self::InvalidUtf8 => f.write_str("not well-formed UTF-8"),
            Self::Nul => f.write_str("contains the character U+0000"),
            Self::WildcardInName => f.write_str("a topic name must not contain the wildcards '+' and '#'"),
            Self::MultiLevelWildcard => f.write_str("'#' must be a whole level, and the last one"),
            Self::SingleLevelWildcard => f.write_str("'+' must be a whole level"),
            Self::ShareName => f.write_str("a share name must have at least one character"),
            Self::WildcardInShareName => {
                f.write_str("a share name must not contain the wildcards '+' and '#'")
            }
            Self::ShareWithoutFilter => f.write_str("\"$share/name/\" must be followed by a topic filter"),
        }
    }
}

impl core::error::Error for TopicError {}

impl From<TextError> for TopicError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::TooLong(len) => Self::TooLong(len),
            TextError::InvalidUtf8 => Self::InvalidUtf8,
            TextError::Nul => Self::Nul,
        }
    }
}

/// The name of a topic: at least one character, no wildcards.
///
/// ```
/// use mqttkit_codec::{TopicError, TopicName};
///
/// let topic = TopicName::try_from("home/kitchen/temperature")?;
/// assert_eq!(topic.levels().count(), 3);
/// assert_eq!(TopicName::try_from("home/+"), Err(TopicError::WildcardInName));
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Str);

/// What a subscription asks for: a topic name, or a pattern with `+` and `#`, perhaps shared.
///
/// ```
/// use mqttkit_codec::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::try_from("home/+/temperature")?;
/// assert!(filter.matches(&TopicName::try_from("home/kitchen/temperature")?));
///
/// let shared = TopicFilter::try_from("$share/workers/jobs/#")?;
/// assert_eq!(shared.share_name(), Some("workers"));
/// assert_eq!(shared.pattern(), "jobs/#");
/// # Ok::<(), mqttkit_codec::TopicError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Str);

const SHARE_PREFIX: &str = "$share/";

impl TopicName {
    /// Stands for the name in a PUBLISH that names its topic by a topic alias alone. A connection resolves
    /// the alias, so this never reaches an application.
    pub const ALIASED: Self = Self(Str::EMPTY);

    /// Whether this is [`ALIASED`](Self::ALIASED) and not a name.
    pub fn is_aliased(&self) -> bool {
        self.0.as_bytes().is_empty()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The bytes of the name; cheaper than [`as_str`](Self::as_str).
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The levels between the slashes; a level may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/')
    }

    /// Whether it starts with `$`, and so matches no filter that starts with a wildcard. [MQTT-4.7.2-1]
    pub fn is_dollar(&self) -> bool {
        self.as_bytes().first() == Some(&b'$')
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// The text.
    pub fn into_str(self) -> Str {
        self.0
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

    /// Takes bytes that `check_name` has passed.
    #[inline]
    pub(crate) const fn from_checked(bytes: Field) -> Self {
        Self(Str::from_checked(bytes))
    }
}

impl TopicFilter {
    /// The filter as it was written, with its share prefix.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The bytes of the filter; cheaper than [`as_str`](Self::as_str).
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether this is a shared subscription, `$share/name/…`.
    pub fn is_shared(&self) -> bool {
        self.as_bytes().starts_with(SHARE_PREFIX.as_bytes())
    }

    /// The share name of a shared subscription.
    pub fn share_name(&self) -> Option<&str> {
        self.as_str().strip_prefix(SHARE_PREFIX)?.split('/').next()
    }

    /// The part that is matched: all of it, or what follows the share name.
    pub fn pattern(&self) -> &str {
        let text = self.as_str();
        match text.strip_prefix(SHARE_PREFIX) {
            Some(rest) => rest.split_once('/').map_or(rest, |(_, pattern)| pattern),
            None => text,
        }
    }

    /// Whether it contains a wildcard.
    pub fn has_wildcard(&self) -> bool {
        self.as_bytes().iter().any(|&byte| byte == b'+' || byte == b'#')
    }

    /// Whether a message with this topic is for this subscription.
    pub fn matches(&self, topic: &TopicName) -> bool {
        matches(self.pattern(), topic.as_str())
    }

    /// A copy with memory of its own, which does not pin the buffer it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// The text.
    pub fn into_str(self) -> Str {
        self.0
    }

    #[inline]
    pub(crate) const fn from_checked(bytes: Field) -> Self {
        Self(Str::from_checked(bytes))
    }
}

/// Whether a filter, without share prefix, matches a topic name. Both are taken to be valid.
///
/// A filter that starts with a wildcard does not match a topic that starts with `$`. [MQTT-4.7.2-1]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for level in filter.split('/') {
        match (level, topic_levels.next()) {
            // `#` also stands for the parent level, so it may meet the end of the name.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// The rules for a name, but for its length.
#[inline]
pub(crate) fn check_name(bytes: &[u8]) -> Result<(), TopicError> {
    if text::is_plain::<true>(bytes) { Ok(()) } else { check_name_slowly(bytes) }
}

#[cold]
fn check_name_slowly(bytes: &[u8]) -> Result<(), TopicError> {
    text::check(bytes)?;
    // [MQTT-3.3.2-2]
    if bytes.contains(&b'+') || bytes.contains(&b'#') { Err(TopicError::WildcardInName) } else { Ok(()) }
}

pub(crate) fn check_filter(bytes: &[u8]) -> Result<(), TopicError> {
    text::check(bytes)?;
    // [MQTT-4.7.3-1]
    if bytes.is_empty() {
        return Err(TopicError::Empty);
    }
    let mut pattern = bytes;
    if let Some(rest) = bytes.strip_prefix(SHARE_PREFIX.as_bytes()) {
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (name, filter) = rest.split_at(end);
        // [MQTT-4.8.2-1]
        if name.is_empty() {
            return Err(TopicError::ShareName);
        }
        // [MQTT-4.8.2-2]
        if name.iter().any(|&byte| byte == b'+' || byte == b'#') {
            return Err(TopicError::WildcardInShareName);
        }
        pattern = filter.get(1..).unwrap_or_default();
        if pattern.is_empty() {
            return Err(TopicError::ShareWithoutFilter);
        }
    }
    if are_wildcards_levels(pattern) { Ok(()) } else { Err(misplaced_wildcard(pattern)) }
}

/// Whether each wildcard is a level of its own, and `#` the last.
fn are_wildcards_levels(pattern: &[u8]) -> bool {
    let is_level = |at: usize, wildcard: u8| {
        let starts = at == 0 || pattern.get(at - 1) == Some(&b'/');
        match pattern.get(at + 1) {
            None => starts,
            // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
            Some(&next) => starts && wildcard == b'+' && next == b'/',
        }
    };
    // Pieces without a wildcard, which are most, are passed over whole.
    let pieces = pattern.chunks(8).zip((0..).step_by(8));
    pieces.filter(|(piece, _)| !text::is_plain::<true>(piece)).all(|(piece, start)| {
        piece.iter().zip(start..).all(|(&byte, at)| !matches!(byte, b'+' | b'#') || is_level(at, byte))
    })
}

/// What is wrong in the first level that has a wildcard which is not all of it.
#[cold]
fn misplaced_wildcard(pattern: &[u8]) -> TopicError {
    let mut levels = pattern.split(|&byte| byte == b'/').peekable();
    while let Some(level) = levels.next() {
        if level.contains(&b'#') && (level.len() > 1 || levels.peek().is_some()) {
            return TopicError::MultiLevelWildcard;
        }
        if level.contains(&b'+') && level.len() > 1 {
            return TopicError::SingleLevelWildcard;
        }
    }
    TopicError::MultiLevelWildcard
}

impl TryFrom<Str> for TopicName {
    type Error = TopicError;

    fn try_from(text: Str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        check_name(text.as_bytes())?;
        Ok(Self(text))
    }
}

impl TryFrom<Str> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: Str) -> Result<Self, TopicError> {
        check_filter(text.as_bytes())?;
        Ok(Self(text))
    }
}

/// The conversions and formats that both types have.
macro_rules! topic_text {
    ($($type:ident),*) => {$(
        impl TryFrom<&str> for $type {
            type Error = TopicError;

            fn try_from(text: &str) -> Result<Self, TopicError> {
                Self::try_from(Str::try_from(text)?)
            }
        }

        impl TryFrom<alloc::string::String> for $type {
            type Error = TopicError;

            fn try_from(text: alloc::string::String) -> Result<Self, TopicError> {
                Self::try_from(Str::try_from(text)?)
            }
        }

        impl TryFrom<&alloc::string::String> for $type {
            type Error = TopicError;

            fn try_from(text: &alloc::string::String) -> Result<Self, TopicError> {
                Self::try_from(text.as_str())
            }
        }

        impl TryFrom<Bytes> for $type {
            type Error = TopicError;

            fn try_from(text: Bytes) -> Result<Self, TopicError> {
                Self::try_from(Str::try_from(text)?)
            }
        }

        impl core::str::FromStr for $type {
            type Err = TopicError;

            fn from_str(text: &str) -> Result<Self, TopicError> {
                Self::try_from(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

topic_text!(TopicName, TopicFilter);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules as the specification puts them, level by level.
    fn is_valid_level(level: &str, is_last: bool) -> bool {
        match level {
            "#" => is_last,
            "+" => true,
            _ => !level.contains(['+', '#']),
        }
    }

    proptest! {
        #[test]
        fn wildcards_are_levels(filter in "[a/+#é]{1,20}") {
            let last = filter.split('/').count() - 1;
            let valid = filter.split('/').enumerate().all(|(at, level)| is_valid_level(level, at == last));
            prop_assert_eq!(check_filter(filter.as_bytes()).is_ok(), valid);
            let name = TopicName::try_from(&filter);
            prop_assert_eq!(name.is_ok(), !filter.contains(['+', '#']));
        }
    }
}
