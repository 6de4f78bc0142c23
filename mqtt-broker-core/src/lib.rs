//! An MQTT broker to embed: give it any byte stream, or let it listen on TCP, TLS, WebSocket and both.
//!
//! MQTT 3.1, 3.1.1 and 5.0 in one broker that is a value in your program. It starts no threads of its own, holds
//! nothing global, and has a bound for everything a stranger could make it keep.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mqttkit_broker_core::{Broker, Listen, Message, QoS};
//!
//! let broker = Broker::builder().build();
//! // A browser connects to ws://localhost:<port>/mqtt, a device to mqtt://localhost:<port>.
//! let web = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await?;
//! let tcp = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await?;
//! println!("ws {} tcp {}", web.local_addr(), tcp.local_addr());
//!
//! // The program itself takes part without a socket.
//! let mut inside = broker.local_client()?;
//! inside.subscribe("sensors/#".try_into()?, QoS::AtLeastOnce)?;
//! broker.publish(Message::new("sensors/door".try_into()?, "open"));
//! println!("{:?}", inside.recv().await);
//!
//! broker.shutdown(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Connections from anywhere
//!
//! [`Broker::serve`] takes any [`Link`](transport::Link), [`Broker::serve_stream`] any byte stream of tokio: a Unix
//! socket, a serial line, one half of a duplex pipe. Spawn the future, or await it where the stream came in.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use mqttkit_broker_core::Broker;
//!
//! let broker = Broker::builder().build();
//! let (ours, theirs) = tokio::io::duplex(64 * 1024);
//! let served = tokio::spawn(broker.serve_stream(ours, None));
//! drop(theirs);
//! println!("ended: {:?}", served.await);
//! # }
//! ```
//!
//! # Bounds
//!
//! [`Config`] has every limit with its default and what happens beyond it. The memory of one connection is bounded
//! by its largest packet, its watermark, its outbox and what is in flight; what does not fit is dropped or disconnects
//! the client, as [`Overflow`] says, and is counted by cause in [`Stats`]. All together they are bounded by
//! [`Config::max_memory`]. Rates bound how fast clients send and come; who does not behave can be [banned](Broker::ban).
//!
//! # Who may do what
//!
//! A [`Policy`] decides who may connect, with all the time it needs, and what a client may publish and subscribe to,
//! at once. Clients within the process and [`Broker::publish`] are the host itself and are not asked.
//!
//! # What survives a restart
//!
//! By default nothing. With a [`store`] sessions, retained messages and wills do, and no acknowledgement leaves before what
//! it promises is kept.
//!
//! # Logs
//!
//! The broker speaks through [`tracing`](https://docs.rs/tracing). Whatever subscriber the host has gets:
//!
//! | target `mqttkit_broker_core::…` | level | messages | fields |
//! | --- | --- | --- | --- |
//! | `client` | info | connected, disconnected | `client`, `user`, `peer`, `via`, `listener`, `scheme`, `version`, `mount_point`; `reason`, `cause`, `seconds` |
//! | `refused` | warn, some a second | refused | `client`, `peer`, `listener`, `reason`, `cause`, `left_out` |
//! | `violation` | warn, some a second | protocol violation | the same |
//! | `dropped` | warn, each cause once a second | messages dropped | `client`: the last one, `cause`, `count` |
//! | `subscription` | debug | subscribed, subscription refused, unsubscribed | `client`, `filter`, `qos` or `reason` |
//! | `listener` | info to error | listening, stopped listening, cannot accept, the listener is unusable | `listener`, `address`, `error` |
//! | `trace` | info | packets in and out; published, queued, delivered, dropped | see [`Broker::trace_client`] and [`Broker::trace_topic`] |
//!
//! `reason` is the reason code as a number. What strangers can cause at will is limited, and `left_out` says how many
//! were not logged. Nothing is logged while the state is locked, and neither payloads nor passwords ever are.
//!
//! # Inside
//!
//! All of the broker's state is synchronous: sessions, subscriptions, retained messages and wills change under one
//! short lock, which no await, no socket and no code of yours ever holds. One task serves one client: it receives
//! what there is, takes the lock once for all of it, and writes everything it has in one go.
//!
//! # Features
//!
//! - `tokio` (default): [`Builder::build`]. Any other runtime comes through [`Builder::build_with`].
//! - `aws-lc-rs` (default) or `ring`: TLS listeners with that provider. `tls`: with a provider of your own.
//! - `passwords`: [`PasswordFile`], which hashes with argon2.
//! - `serde`: [`Config`] from a file, with durations and sizes as people write them, which `units` reads.
//! - `self-signed`: certificates for development, as in [`transport::tls`].

mod alarms;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod broker;
mod budget;
mod capabilities;
mod config;
mod connection;
mod doorman;
mod events;
mod house;
mod keeper;
mod listener;
mod local;
mod log;
mod mount;
mod notify;
mod peer;
mod policy;
mod rate;
mod remarks;
mod rules;
mod runtime;
mod scratch;
#[cfg(test)]
mod sim;
mod state;
mod stats;
pub mod store;
mod trace;
#[cfg(feature = "serde")]
pub mod units;

pub use broker::{Broker, Builder, ServeError};
pub use config::{Config, Overflow, SharedStrategy};
pub use doorman::{Ban, BanCause, BanError, Banned, Tolerance};
pub use events::{DropCause, Event, Events, NotConnected};
pub use listener::{Listen, ListenError, Listening};
pub use local::{LocalClient, LocalError};
pub use mount::Mount;
pub use policy::{
    Acl, AclError, AclProblem, Action, Admission, AllowAll, BoxFuture, CertificateIdentity, CertificateName,
    Chain, Client, ConnectRequest, Decision, Exchange, Identity, Limits, Policy, Refusal, Replaceable,
};
#[cfg(feature = "passwords")]
pub use policy::{Job, PasswordError, PasswordFile, hash_password, set_password};
pub use rate::Rate;
pub use stats::{ClientInfo, Dropped, Stats};
pub use trace::TraceError;

/// The words of MQTT in the public interface.
pub use mqttkit_codec::{
    Closed, Connect, Message, PublishProperties, QoS, ReasonCode, RetainHandling, Str, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
/// Links, listeners and TLS: what the broker stands on.
pub use mqttkit_ws_transport as transport;

#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
