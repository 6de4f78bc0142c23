//! WebSocket: the upgrade on both sides and the byte stream of binary frames that MQTT runs in.
//!
//! Frame headers, close codes and the keys of the handshake are tungstenite's work, driven directly over our byte seam:
//! one code path for every runtime, a poll costs no waker indirection, and an idle connection holds no buffer.

mod client;
mod close;
mod engine;
mod frame;
pub(crate) mod head;
mod keep_alive;
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
    /// How much may be buffered before it is written to the stream, in bytes. Default 16 KiB. The buffer takes at
    /// most this and one frame, and holds nothing after a flush.
    pub write_buffer_size: usize,
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
