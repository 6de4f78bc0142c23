//! An MQTT client over TCP, TLS and WebSocket that reconnects, resumes and tells the truth about every message.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod connector;
mod continuity;
mod driver;
mod error;
mod event;
mod options;
mod outbox;
mod reconnect;
mod shared;
mod subscription;
mod ticket;

pub use client::Client;
pub use connector::{Connector, NetConnector};
pub use continuity::Continuity;
pub use driver::Driver;
pub use error::{ConnectError, DisconnectCause, DisconnectError, OptionsError, PublishError, SubscribeError};
pub use event::{Event, Events};
pub use options::{Options, Parts};
pub use reconnect::{ReconnectPolicy, Trouble};
pub use subscription::Messages;
pub use ticket::Ticket;

/// The packets and values of the protocol.
pub use mqttkit_codec as codec;
pub use mqttkit_codec::{
    Message, PublishProperties, QoS, ReasonCode, RetainHandling, SubscribeProperties, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version, Will,
};
/// What carries the protocol: URLs, TLS, WebSocket, runtimes.
pub use mqttkit_ws_transport as transport;
