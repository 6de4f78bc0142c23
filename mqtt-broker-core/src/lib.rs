//! An MQTT broker to embed: give it any byte stream, or let it listen on TCP, TLS, WebSocket.

mod broker;
mod config;
mod connection;
mod house;
mod keeper;
mod listener;
mod local;
mod notify;
mod peer;
mod policy;
mod runtime;
mod scratch;
#[cfg(test)]
mod sim;
mod state;
mod stats;

pub use broker::{Broker, Builder, ServeError};
pub use config::{Config, Overflow};
pub use listener::{Listen, ListenError, Listening};
pub use local::{LocalClient, LocalError};
pub use policy::{Action, AllowAll, BoxFuture, Client, ConnectRequest, Identity, Policy, Refusal};
pub use stats::{Dropped, Stats};

/// The words of MQTT in the public interface.
pub use mqttkit_codec::{
    Closed, Connect, Message, PublishProperties, QoS, ReasonCode, RetainHandling, Str, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
pub use mqttkit_ws_transport as transport;
