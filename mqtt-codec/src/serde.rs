//! serde of the values that programs keep and configure. Reading checks what making them checks.
//!
//! Numbers stand for themselves, text is text, a version is what people call it ("3.1.1"), properties are the bytes of
//! the wire.

use alloc::string::String;
use core::fmt::Display;

use bytes::Bytes;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::property::{Properties, PropertySet};
use crate::{Binary, PacketId, QoS, ReasonCode, Str, TopicFilter, TopicName, Version};

/// A value that is written as one that is simpler, and made of it if that is allowed.
macro_rules! through {
    ($($type:ty as $simple:ty: $write:expr, $read:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let write: fn(&Self, S) -> Result<S::Ok, S::Error> = $write;
                write(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read: fn($simple) -> Result<Self, D::Error> = $read;
                read(<$simple>::deserialize(deserializer)?)
            }
        }
    )*};
}

through! {
    QoS as u8: |qos, out| out.serialize_u8(qos.as_u8()), |level| known(Self::from_u8(level), level, "a QoS, 0 to 2");
    ReasonCode as u8: |code, out| out.serialize_u8(code.as_u8()), |code| known(Self::from_u8(code), code, "a reason code");
    PacketId as u16: |id, out| out.serialize_u16(id.get()), |id| known(Self::new(id), id, "a packet identifier, not 0");
    Version as String: |version, out| out.collect_str(version), |name| version(&name);
    Str as String: |text, out| out.serialize_str(text), |text| valid(Self::try_from(&text));
    TopicName as String: |topic, out| out.serialize_str(topic.as_str()), |text| valid(Self::try_from(&text));
    TopicFilter as String: |filter, out| out.serialize_str(filter.as_str()), |text| valid(Self::try_from(&text));
    Binary as Bytes: |data, out| out.serialize_bytes(data), |data| valid(Self::try_from(&data[..]));
}

impl<P: PropertySet> Serialize for Properties<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de, P: PropertySet> Deserialize<'de> for Properties<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let properties = Self::from_raw(Bytes::deserialize(deserializer)?);
        properties.map_err(|(name, cause)| D::Error::custom(format_args!("{name}: {cause}")))
    }
}

fn known<T, N: Into<u64>, E: Error>(value: Option<T>, number: N, what: &'static str) -> Result<T, E> {
    value.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number.into()), &what))
}

fn valid<T, C: Display, E: Error>(result: Result<T, C>) -> Result<T, E> {
    result.map_err(E::custom)
}

fn version<E: Error>(name: &str) -> Result<Version, E> {
    match name {
        "3.1" => Ok(Version::V31),
        "3.1.1" => Ok(Version::V311),
        "5.0" => Ok(Version::V5),
        _ => Err(E::invalid_value(Unexpected::Str(name), &"\"3.1\", \"3.1.1\" or \"5.0\"")),
    }
}
