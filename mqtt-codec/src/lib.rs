//! Sans-IO MQTT 3.1, 3.1.1 and 5.0: packets, wire format, and the protocol state machines of both roles.
//!
//! Nothing in here opens a socket, reads a clock, spawns a thread or awaits. Bytes and the time go in, events and
//! bytes come out; the same input gives the same output. So it serves a client on an unusual runtime, a broker, a
//! proxy, an analyser or a firmware alike. It is `no_std` with `alloc`.
//!
//! # Three layers, each usable alone
//!
//! * **Packets**: [`Packet`] and a type for each of the fifteen, one model for all versions. An older packet is one
//!   whose properties are empty. Fields are shared spans of the buffer they were read from; only short strings
//!   are copied, which is cheaper than to share them.
//! * **[`Codec`]**: bytes to packets and back, a packet at a time, however the bytes arrive. Every error says which
//!   rule was broken, in which field and at which byte: [`DecodeError`]. Faults that leave no doubt what is meant can be
//!   forgiven: [`Strictness`].
//! * **[`ClientConnection`] and [`ServerConnection`]**: keep-alive, acknowledgements, packet identifiers, flow
//!   control, limits; with a [`Session`] that outlives them and is resumed by the next.
//!
//! Beside them: [`TopicName`] and [`TopicFilter`], which are valid by construction, and [`FilterMap`], which finds
//! the subscriptions that match a topic.
//!
//! # The drain loop
//!
//! A connection takes one input at a time: bytes ([`poll_event`](ClientConnection::poll_event)), a passed deadline
//! ([`handle_timeout`](ClientConnection::handle_timeout)), the end of the transport
//! ([`handle_closed`](ClientConnection::handle_closed)), or a command such as
//! [`publish`](ClientConnection::publish). After each, drain it: take events until there is none, send what
//! [`transmit`](ClientConnection::transmit) holds, and be back at [`poll_timeout`](ClientConnection::poll_timeout)
//! at the latest.
//!
//! ```no_run
//! use std::io::{ErrorKind, Read, Write};
//! use std::net::TcpStream;
//! use std::time;
//!
//! use bytes::{Buf, BytesMut};
//! use mqttkit_codec::{
//!     ClientConfig, ClientConnection, ClientEvent, Connect, Instant, QoS, ReasonCode, Session, Subscription, Version,
//! };
//!
//! let started = time::Instant::now();
//! let now = || Instant::new(started.elapsed());
//!
//! let mut socket = TcpStream::connect("localhost:1883")?;
//! let connect = Connect::new(Version::V5, "listener".try_into()?);
//! let mut client = ClientConnection::new(ClientConfig::default(), connect, Session::new(), now())?;
//! let (mut input, mut chunk) = (BytesMut::new(), [0; 4096]);
//!
//! loop {
//!     while let Some(event) = client.poll_event(now(), &mut input) {
//!         match event {
//!             ClientEvent::Connected { .. } => {
//!                 let all = Subscription::new("#".try_into()?, QoS::AtLeastOnce);
//!                 client.subscribe(now(), Default::default(), [all])?;
//!             }
//!             ClientEvent::Publish { message, token, .. } => {
//!                 println!("{}: {:?}", message.topic, message.payload);
//!                 if let Some(token) = token {
//!                     client.ack(now(), token, ReasonCode::Success);
//!                 }
//!             }
//!             ClientEvent::Closed(cause) => return Err(cause.to_string().into()),
//!             _ => {}
//!         }
//!     }
//!     while client.transmit().has_remaining() {
//!         let sent = socket.write(client.transmit().chunk())?;
//!         client.transmit().advance(sent);
//!     }
//!     let patience = client.poll_timeout().map(|deadline| deadline - now());
//!     socket.set_read_timeout(patience.map(|time| time.max(time::Duration::from_millis(1))))?;
//!     match socket.read(&mut chunk) {
//!         Ok(0) => client.handle_closed(now()),
//!         Ok(count) => input.extend_from_slice(&chunk[..count]),
//!         Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
//!             client.handle_timeout(now());
//!         }
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `std` (default): vectored writes of [`Transmit`].
//! * `tokio-util`: [`Codec`] is an `Encoder` and a `Decoder`, for `tokio_util::codec::Framed`.
//! * `serde`: [`Message`], its [`PublishProperties`] and the small values can be written and read.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod codec;
mod connection;
mod error;
mod field;
#[cfg(feature = "tokio-util")]
mod framed;
mod message;
mod packet;
mod property;
mod reason;
#[cfg(feature = "serde")]
mod serde;
mod session;
mod strictness;
mod text;
mod topic;
mod transmit;
mod types;
mod wire;

pub use codec::{Codec, MAX_PACKET_SIZE};
pub use connection::{
    ClientConfig, ClientConnection, ClientEvent, Closed, DisconnectError, ProtocolError, PublishError,
    ServerConfig, ServerConnection, ServerEvent, Timeout,
};
pub use error::{DecodeCause, DecodeError, EncodeError};
#[cfg(feature = "tokio-util")]
pub use framed::FramedError;
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
pub use session::{AckToken, Incoming, Outgoing, Session, SessionState, SessionStateError};
pub use strictness::Strictness;
pub use text::{Binary, Str, TextError};
pub use topic::{FilterMap, TopicError, TopicFilter, TopicName, matches};
pub use transmit::Transmit;
pub use types::{Instant, PacketId, PacketType, QoS, Version};

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
