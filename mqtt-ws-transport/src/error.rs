//! What can go wrong on an established link.

use crate::tls::TlsError;
use crate::ws::{CloseReason, Violation};
use std::io;

/// Why a [`Link`](crate::Link) failed. After one of these the link moves no more data; close or drop it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The operating system reported an error.
    #[error("connection failed: {0}")]
    Io(io::Error),
    /// The TLS session failed. With TLS 1.3 a server that refuses the client's certificate says so only here, after
    /// the client's side of the handshake.
    #[error(transparent)]
    Tls(TlsError),
    /// The stream ended without the farewell its kind requires: a WebSocket without a close frame, TLS without
    /// `close_notify`. Usual when a browser tab dies or a network vanishes.
    #[error("the peer ended the connection without saying goodbye")]
    ClosedAbruptly,
    /// The peer closed the WebSocket and gave a reason other than a normal end (1000, 1001 or none).
    #[error("the peer closed the WebSocket: {0}")]
    ClosedByPeer(CloseReason),
    /// The peer sent a text frame; MQTT allows binary frames only [MQTT-6.0.0-1]. The peer was told with code 1003.
    #[error("the peer sent a WebSocket text frame, MQTT needs binary frames")]
    TextFrame,
    /// The peer broke the WebSocket protocol. It was told with code 1002, or 1007 for invalid UTF-8.
    #[error("the peer broke the WebSocket protocol: {0}")]
    Protocol(Violation),
    /// A frame or message exceeds the limit of this side. The peer was told with code 1009.
    #[error("WebSocket message of {size} bytes exceeds the limit of {limit}")]
    MessageTooLarge {
        /// Bytes announced or received so far.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The peer of a WebSocket answered no ping: its machine or its network is gone, or something in between took the
    /// connection away without a word. Connect again; [`KeepAlive`](crate::ws::KeepAlive) sets the times.
    #[error("{peer} has been silent for {waited:?} after a ping")]
    PeerSilent {
        /// The peer's address, or the host and port that were connected to.
        peer: Box<str>,
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// The local program used a link that is already closed or failed.
    #[error("the link is closed")]
    Closed,
}

impl LinkError {
    /// Sorts an error of a byte stream: TLS reports through it, and an end in the middle of a TLS session is an
    /// abrupt end, not a fault of IO.
    pub(crate) fn from_stream(error: io::Error) -> Self {
        match TlsError::find(error) {
            Ok(error) => Self::Tls(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::ClosedAbruptly,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::from_stream(error)
    }
}
