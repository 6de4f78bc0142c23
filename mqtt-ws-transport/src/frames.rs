//! The message seam: a transport that has messages instead of a byte stream, and its [`Link`].
//!
//! WebSocket is one such transport, in a browser the only one. Whoever brings another (a data channel, a message
//! bus) implements [`Frames`] and gets a [`Link`] from [`FramesLink`].

use crate::error::LinkError;
use crate::link::Link;
use crate::ws::CloseReason;
use bytes::{Buf, Bytes, BytesMut};
use std::task::{Context, Poll, ready};

/// How many bytes go into one message at most.
///
/// Batching decides the cost of small packets; 16 KiB hold over a hundred of them, and beyond that the cost of the
/// frame itself no longer shows.
pub const MAX_FRAME_PAYLOAD: usize = 16 * 1024;

/// A source and sink of binary messages. Control messages are handled inside and never surface here.
pub trait Frames: Send + Unpin {
    /// The next binary message. `None` is the clean end of the stream.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, LinkError>>>;

    /// Appends the bytes of messages to `buf` and says how many; `Ok(0)` is the clean end of the stream.
    ///
    /// This is what [`FramesLink`] receives with. A transport that can give the bytes of a message as they arrive, or
    /// of several at once, does so here; by default it is one message, copied.
    fn poll_recv_into(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        loop {
            match ready!(self.poll_recv(cx)).transpose()? {
                None => return Poll::Ready(Ok(0)),
                // An empty message carries no byte of the stream and must not be taken for its end.
                Some(message) if message.is_empty() => {}
                Some(message) => {
                    buf.extend_from_slice(&message);
                    return Poll::Ready(Ok(message.len()));
                }
            }
        }
    }

    /// The same into the room that `buf` has, and no more than fits; see [`Link::poll_recv_room`]. By default what
    /// [`poll_recv_into`](Self::poll_recv_into) does.
    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        self.poll_recv_into(cx, buf)
    }

    /// Waits until one message can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Takes one message. Call it only after [`poll_ready`](Self::poll_ready) said so.
    fn start_send(&mut self, message: Bytes) -> Result<(), LinkError>;

    /// Takes bytes out of `data` into messages of its choice, see [`Link::poll_send`]. This is what [`FramesLink`] sends
    /// with; by default each message takes up to [`MAX_FRAME_PAYLOAD`] bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        while data.has_remaining() {
            ready!(self.poll_ready(cx))?;
            let len = data.remaining().min(MAX_FRAME_PAYLOAD);
            self.start_send(data.copy_to_bytes(len))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Pushes out every message taken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Flushes and says goodbye, see [`Link::poll_close`].
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Ends the transport without the peer's part of the goodbye, see [`Link::poll_shutdown`].
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_close(cx)
    }

    /// The code and reason that [`poll_close`](Self::poll_close) gives, where the transport carries one.
    fn set_close_reason(&mut self, reason: CloseReason) {
        drop(reason);
    }
}

/// The byte stream that MQTT sees in a sequence of messages.
#[derive(Debug)]
pub struct FramesLink<F> {
    frames: F,
}

impl<F: Frames> FramesLink<F> {
    /// Carries MQTT in the messages of `frames`.
    pub fn new(frames: F) -> Self {
        Self { frames }
    }

    /// The transport below.
    pub fn get_ref(&self) -> &F {
        &self.frames
    }

    /// The transport below, to change.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.frames
    }

    /// Gives the transport back.
    pub fn into_inner(self) -> F {
        self.frames
    }
}

impl<F: Frames> Link for FramesLink<F> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        self.frames.poll_recv_into(cx, buf)
    }

    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        self.frames.poll_recv_room(cx, buf)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        self.frames.poll_send(cx, data)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.frames.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.frames.poll_close(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.frames.poll_shutdown(cx)
    }

    fn set_close_reason(&mut self, reason: CloseReason) {
        self.frames.set_close_reason(reason);
    }
}
