//! `NetLink`: one type for a connection of any of the four schemes, on either side.

use crate::accept::Permit;
use crate::error::LinkError;
use crate::io::ByteStream;
use crate::link::Link;
use crate::replay::Replay;
use crate::stream::StreamLink;
use crate::ws::{CloseReason, WsLink};
use bytes::{Buf, BytesMut};
use std::fmt;
use std::task::{Context, Poll};

#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// A connection over the socket `S`: TCP, TLS, WebSocket, or WebSocket over TLS.
///
/// One type for all, so that nothing needs boxing. [`connect`](crate::connect()) and [`Acceptor`](crate::Acceptor)
/// make it.
pub struct NetLink<S>(Inner<S>, Option<Box<Permit>>);

/// What [`connect`](crate::connect()) returns on the runtime `R`.
pub type ClientLink<R> = NetLink<<R as crate::Runtime>::Stream>;
/// What an [`Acceptor`](crate::Acceptor) makes of the socket `S`.
pub type ServerLink<S> = NetLink<S>;

// What a WebSocket or a TLS session has beyond the socket plain connections shall not pay for.
enum Inner<S> {
    Tcp(StreamLink<Replay<S>>),
    Ws(Box<WsLink<Replay<S>>>),
    #[cfg(feature = "tls")]
    Tls(Box<StreamLink<Sealed<S>>>),
    #[cfg(feature = "tls")]
    Wss(Box<WsLink<Sealed<S>>>),
}

/// A TLS session, with its first bytes perhaps read already, over a socket likewise.
#[cfg(feature = "tls")]
type Sealed<S> = Replay<TlsStream<Replay<S>>>;

/// The same expression for whichever link it is.
macro_rules! each {
    ($inner:expr, $link:ident => $result:expr) => {
        match $inner {
            Inner::Tcp($link) => $result,
            Inner::Ws($link) => $result,
            #[cfg(feature = "tls")]
            Inner::Tls($link) => $result,
            #[cfg(feature = "tls")]
            Inner::Wss($link) => $result,
        }
    };
}

impl<S: ByteStream> NetLink<S> {
    pub(crate) fn tcp(stream: Replay<S>) -> Self {
        Self(Inner::Tcp(StreamLink::new(stream)), None)
    }

    pub(crate) fn ws(link: WsLink<Replay<S>>) -> Self {
        Self(Inner::Ws(Box::new(link)), None)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(stream: Sealed<S>) -> Self {
        Self(Inner::Tls(Box::new(StreamLink::new(stream))), None)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn wss(link: WsLink<Sealed<S>>) -> Self {
        Self(Inner::Wss(Box::new(link)), None)
    }

    /// Keeps a place among a listener's connections as long as it lives.
    pub(crate) fn with_permit(mut self, permit: Option<Permit>) -> Self {
        self.1 = permit.map(Box::new);
        self
    }

    /// The socket at the bottom.
    pub fn socket(&self) -> &S {
        match &self.0 {
            Inner::Tcp(link) => link.get_ref().get_ref(),
            Inner::Ws(link) => link.get_ref().get_ref().get_ref(),
            #[cfg(feature = "tls")]
            Inner::Tls(link) => link.get_ref().get_ref().get_ref().get_ref(),
            #[cfg(feature = "tls")]
            Inner::Wss(link) => link.get_ref().get_ref().get_ref().get_ref().get_ref(),
        }
    }

    /// What the peer said when it closed a WebSocket, once it has. `None` otherwise, and for TCP and TLS.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.0 {
            Inner::Ws(link) => link.get_ref().close_reason(),
            #[cfg(feature = "tls")]
            Inner::Wss(link) => link.get_ref().close_reason(),
            _ => None,
        }
    }
}

impl<S: ByteStream> Link for NetLink<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        each!(&mut self.0, link => link.poll_recv(cx, buf))
    }
    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        each!(&mut self.0, link => link.poll_recv_room(cx, buf))
    }
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        each!(&mut self.0, link => link.poll_send(cx, data))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        each!(&mut self.0, link => link.poll_flush(cx))
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        each!(&mut self.0, link => link.poll_close(cx))
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        each!(&mut self.0, link => link.poll_shutdown(cx))
    }
    fn set_close_reason(&mut self, reason: CloseReason) {
        each!(&mut self.0, link => link.set_close_reason(reason));
    }
}

impl<S: fmt::Debug> fmt::Debug for NetLink<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(&self.0, link => link.fmt(f))
    }
}
