//! The byte seam: what a TCP, TLS or custom stream must offer, and adapters for the two families of IO traits.
//!
//! Everything in this crate that needs a byte stream asks for [`ByteStream`]. A tokio stream gets there through
//! [`TokioIo`], a stream of the futures family (async-std, smol, …) through [`FuturesIo`]; both compile to the
//! calls they wrap. One trait of our own instead of two families means one WebSocket and one HTTP upgrade for
//! every runtime, and neither family pays for the other.

use crate::scratch;
use bytes::BytesMut;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A bidirectional, non-blocking stream of bytes.
///
/// Implement it directly for an unusual transport, or wrap what you have in [`TokioIo`] or [`FuturesIo`].
/// The rules are those of the traits it stands for: `Pending` means that the waker of `cx` will be called, and
/// only the waker of the latest call of each direction needs to be kept.
pub trait ByteStream: Send + Unpin {
    /// Reads into `buf`; `Ok(0)` on a non-empty `buf` is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads at most `limit` bytes into the room that `buf` has behind its end; without room it makes a little. `Ok(0)` is
    /// the end of the stream.
    ///
    /// Unless a stream knows better, they come by way of a buffer of the thread.
    fn poll_read_room(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        scratch::with(|scratch| {
            let room = (buf.capacity() - buf.len()).max(1);
            let limit = limit.min(room).min(scratch.len());
            let n = ready!(self.poll_read(cx, &mut scratch[..limit]))?;
            buf.extend_from_slice(&scratch[..n]);
            Poll::Ready(Ok(n))
        })
    }

    /// Writes some of `data` and says how much.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some of several slices in order and says how much in total.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|s| !s.is_empty()).map_or(&[][..], |s| s);
        self.poll_write(cx, first)
    }

    /// Whether [`poll_write_vectored`](Self::poll_write_vectored) is better than one call per slice.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// Hands buffered bytes down until nothing is held back here.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, then ends the writing half. Reading goes on until the peer ends its half.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: ByteStream + ?Sized> ByteStream for Box<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, buf)
    }
    fn poll_read_room(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_read_room(cx, buf, limit)
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, data)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        (**self).is_write_vectored()
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }
}

/// A stream of the futures family as a [`ByteStream`].
///
/// Shutting it down is the stream's `poll_close`. Sockets of smol's `net` end their writing half there; those of
/// async-std and bare `async_io::Async` only flush, so that the peer never sees the end. `AsyncIo` (feature `smol` or
/// `async-std`) is for these.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuturesIo<S>(S);

impl<S> FuturesIo<S> {
    /// Wraps `stream`.
    pub fn new(stream: S) -> Self {
        Self(stream)
    }
    /// The wrapped stream.
    pub fn get_ref(&self) -> &S {
        &self.0
    }
    /// The wrapped stream, to change.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0
    }
    /// Unwraps the stream.
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin> ByteStream for FuturesIo<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        // The futures traits cannot tell. Their sockets write vectored; wrappers that do not write the first slice.
        true
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(any(feature = "tokio", feature = "tls"))]
pub use tokio_io::TokioIo;

/// The tokio side needs only tokio's IO traits, which exist without its runtime; TLS uses them on every runtime.
#[cfg(any(feature = "tokio", feature = "tls"))]
mod tokio_io {
    use super::{ByteStream, Context, IoSlice, Pin, Poll, io};
    #[cfg(feature = "tokio")]
    use bytes::{BufMut, BytesMut};
    use std::task::ready;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    /// A stream with tokio's IO traits as a [`ByteStream`].
    #[derive(Debug, Clone, Copy, Default)]
    pub struct TokioIo<S>(S);

    impl<S> TokioIo<S> {
        /// Wraps `stream`.
        pub fn new(stream: S) -> Self {
            Self(stream)
        }
        /// The wrapped stream.
        pub fn get_ref(&self) -> &S {
            &self.0
        }
        /// The wrapped stream, to change.
        pub fn get_mut(&mut self) -> &mut S {
            &mut self.0
        }
        /// Unwraps the stream.
        pub fn into_inner(self) -> S {
            self.0
        }
    }

    impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for TokioIo<S> {
        fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            let mut buf = ReadBuf::new(buf);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
            Poll::Ready(Ok(buf.filled().len()))
        }
        #[cfg(feature = "tokio")]
        fn poll_read_room(
            &mut self,
            cx: &mut Context<'_>,
            buf: &mut BytesMut,
            limit: usize,
        ) -> Poll<io::Result<usize>> {
            tokio_util::io::poll_read_buf(Pin::new(&mut self.0), cx, &mut buf.limit(limit))
        }
        fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, data)
        }
        fn poll_write_vectored(
            &mut self,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write_vectored(cx, slices)
        }
        fn is_write_vectored(&self) -> bool {
            self.0.is_write_vectored()
        }
        fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}
