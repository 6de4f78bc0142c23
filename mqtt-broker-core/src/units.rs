//! How the values of [`Config`](crate::Config) are written in a file: durations, bytes, QoS, and what is off.
//!
//! For `#[serde(with = "…")]` on fields of your own too. What they write they read, and what a person would write.
//!
//! ```
//! use std::time::Duration;
//!
//! use mqttkit_broker_core::units;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Mine {
//!     #[serde(with = "units::duration")]
//!     patience: Duration,
//! }
//!
//! let mine: Mine = toml::from_str("patience = '1h 30m'")?;
//! assert_eq!(mine.patience, Duration::from_secs(5400));
//! assert_eq!(toml::to_string(&mine)?, "patience = \"90m\"\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(clippy::ref_option, reason = "serde hands over a reference to the field")]

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::{self, U64Deserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::doorman::Tolerance;
use crate::rate::Rate;

/// `"1500ms"`, `"10s"`, `"1h 30m"`, `"30d"`, `"forever"`; a bare number is seconds.
pub mod duration {
    use super::{Deserializer, Duration, Reader, Serializer, Written, parse_duration};

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Written(*value))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a duration such as \"10s\", \"1h 30m\" or \"forever\"",
            number: Some(|seconds| Some(Duration::from_secs(seconds))),
            text: Some(parse_duration),
        })
    }
}

/// A duration, or `"off"`.
pub mod duration_or_off {
    use super::{Deserializer, Duration, OFF, Reader, Serializer, duration, parse_duration};

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, serializer),
            None => serializer.serialize_str(OFF),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a duration such as \"10s\", or \"off\"",
            number: Some(|seconds| Some(Some(Duration::from_secs(seconds)))),
            text: Some(|text| if text == OFF { Some(None) } else { parse_duration(text).map(Some) }),
        })
    }
}

/// `"2 MiB"`, `"64KiB"`, or a bare number of bytes.
pub mod bytes {
    use super::{BYTE_UNITS, Deserializer, Reader, Serializer, parse_bytes};

    /// Writes it.
    pub fn serialize<T: Copy + TryInto<u64>, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = (*value).try_into().unwrap_or(u64::MAX);
        let unit = BYTE_UNITS.into_iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
        match unit {
            Some((unit, size)) => serializer.collect_str(&format_args!("{} {unit}", bytes / size)),
            // Nothing that a file can hold is larger.
            None => serializer.serialize_u64(bytes.min(i64::MAX.unsigned_abs())),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a number of bytes such as 65536 or \"64 KiB\"",
            number: Some(|bytes| T::try_from(bytes).ok()),
            text: Some(|text| T::try_from(parse_bytes(text)?).ok()),
        })
    }
}

/// A number, or `"off"`.
pub mod number_or_off {
    use super::{
        DeserializeOwned, Deserializer, IntoDeserializer, OFF, Reader, Serialize, Serializer,
        U64Deserializer, value::Error,
    };

    /// Writes it.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(OFF),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a number that is not too large, or \"off\"",
            number: Some(|number| {
                let number: U64Deserializer<Error> = number.into_deserializer();
                T::deserialize(number).ok().map(Some)
            }),
            text: Some(|text| (text == OFF).then_some(None)),
        })
    }
}

/// Something that has a form of its own as text, or `"off"`.
pub mod text_or_off {
    use super::{Deserializer, Display, Error, FromStr, OFF, Serializer};

    /// Writes it.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(OFF),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        if text == OFF {
            return Ok(None);
        }
        text.parse().map(Some).map_err(D::Error::custom)
    }
}

/// `"100/s"`, `"100/s, burst 1000"`, `"64 KiB/s"`, a bare number per second, or `"off"`.
pub mod rate_or_off {
    use super::{Deserializer, OFF, Reader, Serializer, parse_rate};
    use crate::rate::Rate;

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            None => serializer.serialize_str(OFF),
            Some(rate) if rate.burst() == rate.count() => {
                serializer.collect_str(&format_args!("{}/s", rate.count()))
            }
            Some(rate) => serializer.collect_str(&format_args!("{}/s, burst {}", rate.count(), rate.burst())),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a rate such as \"100/s\" or \"100/s, burst 1000\", or \"off\"",
            number: Some(|count| {
                u32::try_from(count)
                    .ok()
                    .filter(|count| *count > 0)
                    .map(|count| Some(Rate::per_second(count)))
            }),
            text: Some(|text| if text == OFF { Some(None) } else { parse_rate(text).map(Some) }),
        })
    }
}

/// `"15 in 1m, ban 5m"`, or `"off"`.
pub mod tolerance_or_off {
    use super::{Deserializer, OFF, Reader, Serializer, Written, parse_tolerance};
    use crate::doorman::Tolerance;

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Option<Tolerance>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            None => serializer.serialize_str(OFF),
            Some(Tolerance { times, within, ban }) => {
                let (within, ban) = (Written(*within), Written(*ban));
                serializer.collect_str(&format_args!("{times} in {within}, ban {ban}"))
            }
        }
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tolerance>, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "a tolerance such as \"15 in 1m, ban 5m\", or \"off\"",
            number: None,
            text: Some(|text| if text == OFF { Some(None) } else { parse_tolerance(text).map(Some) }),
        })
    }
}

/// 0, 1 or 2.
pub mod qos {
    use mqttkit_codec::QoS;

    use super::{Deserializer, Reader, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &QoS, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*value as u8)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QoS, D::Error> {
        deserializer.deserialize_any(Reader {
            expects: "0, 1 or 2",
            number: Some(|number| match number {
                0 => Some(QoS::AtMostOnce),
                1 => Some(QoS::AtLeastOnce),
                2 => Some(QoS::ExactlyOnce),
                _ => None,
            }),
            text: None,
        })
    }
}

/// A text; the empty one is none.
pub mod text_or_none {
    use super::{Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_deref().unwrap_or_default())
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

const OFF: &str = "off";
const FOREVER: &str = "forever";

const DAY: u64 = 24 * 60 * 60;

/// From the longest to the shortest, in nanoseconds.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", DAY * 1_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const BYTE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// As [`duration`] writes it.
pub(crate) struct Written(pub(crate) Duration);

impl Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Duration::MAX {
            return f.write_str(FOREVER);
        }
        let nanos = self.0.as_nanos();
        let unit = TIME_UNITS.into_iter().find(|(_, size)| nanos.is_multiple_of(u128::from(*size)));
        match unit.filter(|_| nanos > 0) {
            Some((unit, size)) => write!(f, "{}{unit}", nanos / u128::from(size)),
            None => f.write_str("0s"),
        }
    }
}

/// As [`duration`] reads it.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == FOREVER {
        return Some(Duration::MAX);
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, nanos) = TIME_UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let one = Duration::from_nanos(nanos);
        total = total.checked_add(one.checked_mul(number.try_into().ok()?)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    if unit.is_empty() || unit == "B" {
        return Some(number);
    }
    let (_, size) = BYTE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(size)
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (count, burst) = match text.split_once(',') {
        Some((count, burst)) => (count, Some(burst.trim().strip_prefix("burst ")?)),
        None => (text, None),
    };
    let number = |text: &str| u32::try_from(parse_bytes(text)?).ok().filter(|number| *number > 0);
    let rate = Rate::per_second(number(count.trim().strip_suffix("/s")?.trim_end())?);
    Some(match burst {
        Some(burst) => rate.with_burst(number(burst)?),
        None => rate,
    })
}

fn parse_tolerance(text: &str) -> Option<Tolerance> {
    let (times, rest) = text.split_once(" in ")?;
    let (within, ban) = rest.split_once(',')?;
    let ban = ban.trim().strip_prefix("ban ")?;
    Some(Tolerance {
        times: times.trim().parse().ok()?,
        within: parse_duration(within)?,
        ban: parse_duration(ban)?,
    })
}

/// The number that a text begins with, and what stands behind it.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

/// Reads a number or a text.
struct Reader<T> {
    expects: &'static str,
    number: Option<fn(u64) -> Option<T>>,
    text: Option<fn(&str) -> Option<T>>,
}

impl<T> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expects)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        let read = self.number.and_then(|read| read(value));
        read.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        let read = self.text.and_then(|read| read(value));
        read.ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for (text, duration) in [
            ("10s", Duration::from_secs(10)),
            ("1500ms", Duration::from_millis(1500)),
            ("90m", Duration::from_secs(5400)),
            ("30d", Duration::from_secs(30 * DAY)),
            ("0s", Duration::ZERO),
            ("7ns", Duration::from_nanos(7)),
            ("forever", Duration::MAX),
        ] {
            assert_eq!(parse_duration(text), Some(duration), "{text}");
            assert_eq!(Written(duration).to_string(), text);
        }
        assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration(" 2 s "), Some(Duration::from_secs(2)));
        for wrong in ["", "s", "10", "10 parsecs", "-1s", "1.5s", "99999999999999999999s", "9999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_and_tolerances_are_read_as_people_say_them() {
        assert_eq!(parse_rate("100/s"), Some(Rate::per_second(100)));
        assert_eq!(parse_rate("100/s, burst 1000"), Some(Rate::per_second(100).with_burst(1_000)));
        assert_eq!(parse_rate("64 KiB/s, burst 1 MiB"), Some(Rate::per_second(65_536).with_burst(1 << 20)));
        for wrong in ["", "100", "/s", "0/s", "100/m", "100/s, 1000", "5 GiB/s", "100/s, burst 0"] {
            assert_eq!(parse_rate(wrong), None, "{wrong}");
        }
        let minute = Duration::from_secs(60);
        let tolerance = Tolerance { times: 15, within: minute, ban: 5 * minute };
        assert_eq!(parse_tolerance("15 in 1m, ban 5m"), Some(tolerance));
        for wrong in ["", "15", "15 in 1m", "15 in 1m, 5m", "x in 1m, ban 5m", "15 in x, ban 5m"] {
            assert_eq!(parse_tolerance(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_have_binary_units() {
        assert_eq!(parse_bytes("64 KiB"), Some(64 << 10));
        assert_eq!(parse_bytes("2MiB"), Some(2 << 20));
        assert_eq!(parse_bytes("1GiB"), Some(1 << 30));
        assert_eq!(parse_bytes("17"), Some(17));
        for wrong in ["", "MiB", "2 MB", "2 parsecs", "-1", "99999999999 GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }
}
