//! Validation: every property of a set in one pass.

use super::table::{Kind, Places, entry};
use crate::error::DecodeCause;
use crate::text;
use crate::wire::{Varint, peek_varint, split_field};

/// The property that is wrong, and where it stands.
pub(crate) struct Invalid {
    pub(crate) cause: DecodeCause,
    pub(crate) id: u8,
    pub(crate) at: usize,
}

/// Checks every property and returns which are there.
pub(super) fn validate(raw: &[u8], place: Places) -> Result<u64, Invalid> {
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
pub(super) fn value_len(kind: Kind, rest: &[u8]) -> Option<usize> {
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
