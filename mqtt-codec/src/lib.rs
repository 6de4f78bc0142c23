//! MQTT codec.
#![no_std]

extern crate alloc;

mod codec;
mod error;
mod packet;
mod property;
mod reason;
mod text;
mod topic;
mod types;
mod wire;

pub use codec::{Codec, MAX_PACKET_SIZE};
pub use error::{DecodeCause, DecodeError, EncodeError};
pub use packet::*;
pub use property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, Properties,
    PropertySet, PublishProperties, SubscribeProperties, UnsubscribeProperties, WillProperties, set,
};
pub use reason::ReasonCode;
pub use text::{Binary, Str, TextError};
pub use topic::{FilterMap, TopicError, TopicFilter, TopicName, matches};
pub use types::{Instant, PacketId, PacketType, QoS, Version};
