//! An MQTT broker to embed: give it any byte stream, or let it listen on TCP, TLS, WebSocket.
#![allow(dead_code)]

mod config;
mod notify;
mod peer;
mod policy;
#[cfg(test)]
mod sim;
mod state;
mod stats;

pub use config::{Config, Overflow};
pub use policy::{Action, AllowAll, BoxFuture, Client, ConnectRequest, Identity, Policy, Refusal};
pub use stats::{Dropped, Stats};

pub use mqttkit_codec::ReasonCode;
