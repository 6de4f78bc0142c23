//! `StreamLink`: any byte stream as a [`Link`]. TCP, TLS, a Unix socket, a serial line.

use crate::error::LinkError;
use crate::io::{ByteStream, FuturesIo};
use crate::link::Link;
use crate::scratch;
use bytes::{Buf, BytesMut};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

/// The most one [`poll_recv`](Link::poll_recv) takes: enough to amortise the system call over some hundred small
/// packets, little enough that one busy peer does not hold the task long.
const MAX_READ: usize = 32 * 1024;
/// The same into room that the caller has made for a large packet.
const MAX_READ_LARGE: usize = 128 * 1024;
/// Slices given to one vectored write. More brings nothing: the batches above are smaller.
pub(crate) const MAX_SLICES: usize = 64;

/// MQTT directly over a byte stream. Holds no buffer of its own.
#[derive(Debug)]
pub struct StreamLink<S> {
    stream: S,
    shut: bool,
}

impl<S: ByteStream> StreamLink<S> {
    /// Carries MQTT over `stream`, from its next byte on.
    pub fn new(stream: S) -> Self {
        Self { stream, shut: false }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below, to change. Reading or writing it directly takes bytes out of the MQTT stream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Gives the stream back. Nothing is buffered, so nothing is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

#[cfg(feature = "tokio")]
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> StreamLink<crate::TokioIo<S>> {
    /// Carries MQTT over a stream with tokio's IO traits.
    pub fn from_tokio(stream: S) -> Self {
        Self::new(crate::TokioIo::new(stream))
    }
}

impl<S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin> StreamLink<FuturesIo<S>> {
    /// Carries MQTT over a stream with the IO traits of the futures family (async-std, smol).
    pub fn from_futures(stream: S) -> Self {
        Self::new(FuturesIo::new(stream))
    }
}

impl<S: ByteStream> Link for StreamLink<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        scratch::with(|scratch| {
            let n = ready!(self.stream.poll_read(cx, &mut scratch[..MAX_READ]))
                .map_err(LinkError::from_stream)?;
            if buf.capacity() == 0 {
                // What growing would do, by a shorter way.
                *buf = BytesMut::from(&scratch[..n]);
            } else {
                buf.extend_from_slice(&scratch[..n]);
            }
            Poll::Ready(Ok(n))
        })
    }

    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        if buf.capacity() == buf.len() {
            return self.poll_recv(cx, buf);
        }
        self.stream.poll_read_room(cx, buf, MAX_READ_LARGE).map_err(LinkError::from_stream)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        if self.shut && data.has_remaining() {
            return Poll::Ready(Err(LinkError::Closed));
        }
        while data.has_remaining() {
            let written = if self.stream.is_write_vectored() && data.chunk().len() < data.remaining() {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = data.chunks_vectored(&mut slices);
                ready!(self.stream.poll_write_vectored(cx, &slices[..count]))?
            } else {
                ready!(self.stream.poll_write(cx, data.chunk()))?
            };
            if written == 0 {
                return Poll::Ready(Err(LinkError::Io(io::ErrorKind::WriteZero.into())));
            }
            data.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.stream.poll_flush(cx).map_err(LinkError::from_stream)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !self.shut {
            ready!(self.stream.poll_shutdown(cx)).or_else(already_gone)?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Ending a stream that the peer has torn down meanwhile is no failure.
pub(crate) fn already_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    }
}
