//! MQTT over WebSocket, TCP and TLS as a stream of bytes, on any runtime.
//!
//! Where to look:
//!
//! - [`Link`] and [`LinkExt`]: what everything here becomes, and what client and broker are written against.
//! - [`Endpoint`] and [`connect()`]: from a URL to a link.
//! - [`Acceptor`] and [`Listener`]: from a listening socket to links.
//! - [`ByteStream`] with [`StreamLink`], [`Frames`] with [`FramesLink`]: a transport of your own.
//! - [`Runtime`]: another async runtime.
//! - [`pipe`]: a connection in memory.
//! - [`doctor`]: why a URL does not work, and which one does.
//! - [`ws`] and [`tls`]: the layers one by one, over any byte stream.
//!
//! # Read me
#![cfg_attr(all(feature = "tokio", feature = "tls"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
mod connect;
pub mod doctor;
mod error;
mod frames;
mod io;
mod link;
mod memory;
mod mirror;
mod net;
mod proxy;
mod replay;
pub mod rt;
mod scratch;
mod sniff;
mod stream;
pub mod tls;
mod url;
pub mod ws;

pub use accept::{
    AcceptError, AcceptOptions, Accepted, Acceptor, Cidr, CidrError, Crowded, ForwardedHeader, PeerInfo,
    ProxyHeaderError, ProxyProtocol,
};
pub use connect::{
    Attempt, BoxError, ConnectError, ConnectOptions, Dialer, Phase, Target, connect, connect_by, connect_over,
};
pub use error::LinkError;
pub use frames::{Frames, FramesLink, MAX_FRAME_PAYLOAD};
pub use io::{ByteStream, FuturesIo};
pub use link::{Link, LinkExt};
pub use memory::{MemoryLink, MemoryStream, pipe};
pub use mirror::Signpost;
pub use net::{ClientLink, NetLink, ServerLink};
pub use proxy::{Proxy, ProxyError, ProxyUrlError, SocksReply};
#[cfg(unix)]
pub use rt::UnixSockets;
pub use rt::{AcceptFault, ListenOptions, Listener, Runtime, Sleep};
pub use sniff::{SNIFF_LEN, Sniffed, sniff};
pub use stream::StreamLink;
pub use url::{DEFAULT_PATH, Endpoint, Host, Scheme, UrlError};
pub use ws::{CloseReason, Violation};

/// The HTTP types of the public interface.
pub use http;

#[cfg(any(feature = "tokio", feature = "tls"))]
pub use io::TokioIo;
#[cfg(any(feature = "async-std", feature = "smol"))]
pub use rt::async_io::AsyncIo;
#[cfg(feature = "async-std")]
pub use rt::async_std::AsyncStdRuntime;
#[cfg(feature = "smol")]
pub use rt::smol::SmolRuntime;
#[cfg(feature = "tokio")]
pub use rt::tokio::TokioRuntime;
/// The TLS types of the public interface.
#[cfg(feature = "tls")]
pub use rustls;
