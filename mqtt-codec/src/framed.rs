//! `Codec` as an `Encoder` and a `Decoder` of tokio-util, for its `Framed`.

use core::fmt;
// The feature of this file brings the feature `std` with it.
#[cfg(feature = "std")]
use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::codec::Codec;
use crate::error::{DecodeError, EncodeError};
use crate::packet::Packet;

/// Why a `Framed` stream ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum FramedError {
    /// The transport failed, or ended within a packet.
    Io(io::Error),
    /// What the peer sent is not MQTT.
    Decode(DecodeError),
    /// A packet cannot be written. Nothing was written of it, and the stream can go on.
    Encode(EncodeError),
}

impl fmt::Display for FramedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FramedError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Decode(_) | Self::Encode(_) => None,
        }
    }
}

impl From<io::Error> for FramedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecodeError> for FramedError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for FramedError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl Decoder for Codec {
    type Item = Packet;
    type Error = FramedError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, FramedError> {
        Ok(Self::decode(self, input)?)
    }
}

impl Encoder<Packet> for Codec {
    type Error = FramedError;

    fn encode(&mut self, packet: Packet, out: &mut BytesMut) -> Result<(), FramedError> {
        Ok(Self::encode(self, &packet, out)?)
    }
}
