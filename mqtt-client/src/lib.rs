//! An MQTT client over TCP, TLS and WebSocket that reconnects, resumes and tells the truth about every message.
//!
//! ```no_run
//! use mqttkit_client::{Client, QoS};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut messages) = Client::builder("ws://localhost:8083/mqtt").connect().await?;
//! client.subscribe("home/+/temperature", QoS::AtLeastOnce).await?;
//!
//! let ticket = client.publish("home/kitchen/temperature", "21.5", QoS::AtLeastOnce).await?;
//! ticket.await?; // the server has it
//!
//! if let Some(message) = messages.recv().await {
//!     println!("{}: {:?}", message.topic, message.payload);
//! }
//! client.disconnect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! | | |
//! | --- | --- |
//! | [`Options`] | what to connect to and how to behave; [`Client::builder`] begins one |
//! | [`Client`] | the handle: publish, subscribe, unsubscribe, disconnect; cheap to clone |
//! | [`Messages`] | the bounded stream of what arrives |
//! | [`SubscriptionStream`] | one for some subscriptions alone, with a [`SlowReader`] policy of its own |
//! | [`Acknowledgement`] | tells the server that a message is in safe hands, for those who want to say it themselves |
//! | [`Ticket`] | what becomes of one message: its state, its end, cancelling it, a deadline |
//! | [`Delivery`] | how a message is treated on its way: time to live, priority, full queues, no connection |
//! | [`store`] | what survives the process |
//! | [`Metrics`] | all of it in numbers |
//! | [`Events`] | what happens to the connection, with a [`Continuity`] report for each new one |
//! | [`Packets`] | every packet that goes by, for those who watch |
//! | [`Driver`] | the future behind it all; spawned for you, or yours to run |
//!
//! # What can be relied on
//!
//! * **Order.** Messages and requests are sent in the order in which they were queued, also across reconnects.
//! * **Bounds.** Everything queued is bounded in messages and in bytes. A full outgoing queue makes
//!   [`publish`](Client::publish) wait; a full incoming one stops the reading, so that the server waits.
//! * **No lock-up.** Publishing, subscribing and awaiting tickets from the task that takes the messages cannot dead-lock,
//!   whatever is full. [`Messages`] says how, and what it costs.
//! * **No silent loss.** A ticket resolves with the server's answer, however many reconnects it takes, or with a typed
//!   error. What a reconnect resumed, sent again or found lost is in the [`Continuity`] report.
//! * **Cancel-safety.** Every async function says what a dropped future leaves behind.
//!
//! # Who connects
//!
//! User name and password, or a token, are [options](Options::user_name), and fresh ones for each connection come from
//! a [recipe](Options::recipe). The [`authentication`] in rounds of MQTT 5.0 takes an
//! [`Authenticator`](authentication::Authenticator); SCRAM-SHA-256 is there with the feature `scram`.
//!
//! # Runtimes
//!
//! Nothing here names a runtime but [`Options::connect`] and [`Options::connect_in_background`], which are for tokio
//! (feature `tokio`). The same with `_on` takes any [`Runtime`](transport::Runtime); a [`Connector`] takes the place of
//! the network. `smol` and `async-std` are features, too: `connect_on(&SmolRuntime::new())`.
//!
//! # Features
//!
//! `tokio`, `aws-lc-rs` and `platform-verifier` are on by default. `ring` instead of `aws-lc-rs`, `webpki-roots` instead
//! of `platform-verifier`: see [`transport`]. `scram` is SCRAM-SHA-256, `json` is for [`typed`] payloads,
//! `blocking` for programs without a runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acknowledgement;
mod alarm;
pub mod authentication;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod connector;
mod continuity;
mod delivery;
mod driver;
mod error;
mod event;
mod hub;
mod inbox;
mod messages;
mod metrics;
mod net;
mod options;
mod outbox;
mod packets;
mod promise;
mod reconnect;
pub mod request;
mod shared;
pub mod store;
mod subscription;
mod ticket;
pub mod typed;
#[cfg(unix)]
mod unix;

pub use acknowledgement::Acknowledgement;
pub use client::Client;
pub use connector::{Attempt, Connector, Credentials, Failure, Opened};
pub use continuity::Continuity;
pub use delivery::{Delivery, Offline, Priority, WhenFull};
pub use driver::Driver;
pub use error::{
    ConnectError, DisconnectCause, DisconnectError, Leftover, OptionsError, PublishError, SubscribeError,
};
pub use event::{Event, Events, Restored};
pub use inbox::{SlowReader, StreamEnd};
pub use messages::Messages;
pub use metrics::Metrics;
pub use net::NetConnector;
pub use options::{Options, Parts};
pub use packets::{Packets, Passed};
pub use reconnect::{GiveUp, Jitter, ReconnectPolicy, Trouble};
pub use subscription::{OnDrop, StreamOptions, SubscriptionStream};
pub use ticket::{Ticket, TicketState};
#[cfg(unix)]
pub use unix::UnixConnector;

/// The packets and values of the protocol.
pub use mqttkit_codec as codec;
pub use mqttkit_codec::{
    Message, PublishProperties, QoS, ReasonCode, RetainHandling, SubscribeProperties, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version, Will,
};
/// What carries the protocol: URLs, TLS, WebSocket, runtimes.
pub use mqttkit_ws_transport as transport;

#[doc = include_str!("../PARITY.md")]
pub mod parity {}

/// The README's examples are compiled with the documentation's.
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../README.md")]
mod readme {}
