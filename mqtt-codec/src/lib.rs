//! MQTT codec.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod codec;
mod connection;
mod error;
mod message;
mod packet;
mod property;
mod reason;
mod session;
mod text;
mod topic;
mod transmit;
mod types;
mod wire;

pub use codec::{Codec, MAX_PACKET_SIZE};
pub use connection::{
    AckToken, ClientConfig, ClientConnection, ClientEvent, Closed, ProtocolError, PublishError, ServerConfig,
    ServerConnection, ServerEvent, Timeout,
};
pub use error::{DecodeCause, DecodeError, EncodeError};
pub use message::Message;
pub use packet::{
    Auth, ConnAck, Connect, Delivery, Disconnect, EncodePacket, List, ListItem, Packet, PubAck, PubComp,
    PubRec, PubRel, Publish, RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions, UnsubAck,
    Unsubscribe, Will,
};
pub use property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, Properties,
    PropertySet, PublishProperties, SubscribeProperties, UnsubscribeProperties, WillProperties, set,
};
pub use reason::ReasonCode;
pub use session::Session;
pub use text::{Binary, Str, TextError};
pub use topic::{FilterMap, TopicError, TopicFilter, TopicName, matches};
pub use transmit::Transmit;
pub use types::{Instant, PacketId, PacketType, QoS, Version};
