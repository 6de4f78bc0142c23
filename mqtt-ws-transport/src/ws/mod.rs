//! WebSocket: the upgrade on both sides and the byte stream of binary frames that MQTT runs in.
//!
//! Frame headers, close codes and the keys of the handshake are tungstenite's work, driven directly over our byte seam:
//! one code path for every runtime, a poll costs no waker indirection, and an idle connection holds no buffer.
//!
//! # Compression
//!
//! There is none: `permessage-deflate` (RFC 7692) is neither offered nor accepted, and both sides of MQTT over WebSocket
//! must work without it. It was weighed and left out:
//!
//! - **Memory.** What makes it worth while for small messages is the context kept from one to the next: 32 KiB to read
//!   and about 256 KiB to write for each connection. Here an idle connection has under 1 KiB. Without the context a
//!   packet of 100 bytes hardly shrinks, and each costs microseconds instead of nanoseconds.
//! - **Secrets.** Compression across messages tells their content by their length (the attack known as CRIME): who can
//!   publish to a topic that a victim receives, and see the length of the victim's encrypted frames, can guess what else
//!   is in them, such as a token. A broker mixes the messages of strangers on every connection, so that it could not be
//!   switched on without a thought.
//! - **Bombs.** A few bytes may stand for gigabytes, in every connection, before any password is checked.
//! - **The rules.** tungstenite has no extensions; a peer that sets a reserved bit is refused (1002), and so is a server
//!   that uses an extension that was not offered.
//!
//! Compress the payload instead: only its publisher's data is in it, it is done once for all subscribers instead of once
//! for each, the broker never unpacks it, and it works over plain MQTT too. MQTT 5 says what it is with the Content Type
//! property (`application/json+gzip`, say) or a user property (`encoding: gzip`); browsers unpack it with
//! `DecompressionStream`. For bulk, a batch of readings in one compressed payload beats any compression of frames.

mod client;
mod close;
mod engine;
mod frame;
pub(crate) mod head;
mod keep_alive;
mod laid;
mod mask;
mod message;
mod packets;
mod request;
mod server;

pub use client::{HandshakeError, connect};
pub use close::{CloseReason, Violation};
pub use engine::{WsFrames, WsRole};
pub use keep_alive::KeepAlive;
pub use message::WsMessage;
pub use packets::PacketsPerFrame;
pub use request::{Upgrade, UpgradeError};
pub use server::{HttpRequest, HttpResponse};

pub(crate) use client::ClientHandshake;
pub(crate) use request::parse as parse_request;
pub(crate) use server::{Served, ServerHandshake, respond};

use crate::frames::FramesLink;

/// MQTT over a WebSocket over the byte stream `S`.
pub type WsLink<S> = FramesLink<WsFrames<S>>;

/// The sub-protocol names of MQTT: the one of the specification [MQTT-6.0.0-3], and the one of MQTT 3.1 clients.
pub const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// The bounds of one WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WsLimits {
    /// The largest message taken, in bytes, all its fragments together. Default 16 MiB.
    ///
    /// It bounds one *message*, not one MQTT packet: a packet may come in many messages. But most clients put a
    /// packet into one message, so it should not be smaller than the packets you expect. Memory follows the bytes
    /// that arrive, up to this.
    pub max_message_size: usize,
    /// The largest single frame taken, in bytes. Default 16 MiB.
    pub max_frame_size: usize,
    /// How much may be buffered before it is written to the stream, in bytes. Default 16 KiB, and 64 KiB for a client,
    /// which has one connection and not many: large packets then take fewer system calls. The buffer takes at most this and
    /// one frame, and holds nothing after a flush.
    pub write_buffer_size: usize,
}

impl WsLimits {
    /// The defaults of a client.
    pub(crate) fn of_client() -> Self {
        Self { write_buffer_size: 64 << 10, ..Self::default() }
    }
}

impl Default for WsLimits {
    fn default() -> Self {
        Self { max_message_size: 16 << 20, max_frame_size: 16 << 20, write_buffer_size: 16 << 10 }
    }
}

impl WsLimits {
    /// With a largest message and frame of `bytes`.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self.max_frame_size = bytes;
        self
    }

    /// With a largest frame of `bytes`.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = bytes;
        self
    }
}

/// How a WebSocket behaves. What it takes at most is in [`WsLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WsOptions {
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) packets_per_frame: PacketsPerFrame,
}

impl Default for WsOptions {
    fn default() -> Self {
        Self { keep_alive: Some(KeepAlive::default()), packets_per_frame: PacketsPerFrame::Many }
    }
}
