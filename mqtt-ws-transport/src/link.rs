//! The seam everything above this crate consumes: a source and sink of MQTT byte chunks.

use crate::error::LinkError;
use crate::ws::CloseReason;
use bytes::{Buf, BytesMut};
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};

/// A connection that carries MQTT bytes, whatever is below it: TCP, TLS, WebSocket, memory, your own transport.
///
/// MQTT packets may span, share and straddle the chunks, so feed them to an incremental decoder.
///
/// All calls take `&mut self` and are cancel-safe: nothing is lost when the caller stops polling. Receiving and
/// sending may be polled from different futures of the same or of different tasks; each direction keeps the
/// waker of its latest call.
pub trait Link: Send + Unpin {
    /// Appends received MQTT bytes to `buf` and says how many; `Ok(0)` means that the peer ended the stream cleanly.
    ///
    /// A stream link appends what one read of at most 32 KiB gives. A WebSocket link appends one message, whatever
    /// its length up to the configured limit. Nothing is reserved in `buf` until
    /// bytes have arrived, so an idle connection may keep an empty `BytesMut`.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>>;

    /// The same for the rest of a large packet, for which there is room in `buf`: no more than fits, and without a copy on
    /// the way where the stream can. A link that has no use for this does as ever.
    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        self.poll_recv(cx, buf)
    }

    /// Takes bytes out of `data`. `Ready(Ok(()))` when `data` is empty; `Pending` when the rest must wait, with what
    /// was already taken gone from `data`.
    ///
    /// A stream link writes all chunks of `data` with vectored writes. A WebSocket link puts everything, up to about
    /// 16 KiB, into one binary frame: hand over all you have at once. Bytes may stay buffered until
    /// [`poll_flush`](Self::poll_flush).
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>>;

    /// Pushes out what [`poll_send`](Self::poll_send) buffered.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Flushes and says goodbye: a WebSocket close frame, TLS `close_notify`, the end of the TCP writing half.
    ///
    /// Ready once the goodbye has been handed down, without waiting for the peer. To let the peer see everything
    /// that was sent, go on receiving until `Ok(0)` or an error, or use [`LinkExt::finish`]: a socket that is
    /// dropped while unread bytes lie in it is reset, and the peer may lose what it had not read yet.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Ends the transport now, without the peer's part of the goodbye: behind a close frame that nobody answers
    /// still come TLS `close_notify` and the end of the TCP writing half, so that the peer sees an end and no cut.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_close(cx)
    }

    /// Sets the code and reason that [`poll_close`](Self::poll_close) will give. Only WebSocket carries one; the
    /// default there is 1000.
    fn set_close_reason(&mut self, reason: CloseReason) {
        drop(reason);
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        (**self).poll_recv(cx, buf)
    }
    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        (**self).poll_recv_room(cx, buf)
    }
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        (**self).poll_send(cx, data)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        (**self).poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        (**self).poll_close(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        (**self).poll_shutdown(cx)
    }
    fn set_close_reason(&mut self, reason: CloseReason) {
        (**self).set_close_reason(reason);
    }
}

/// Async versions of the polls of [`Link`].
pub trait LinkExt: Link {
    /// Receives the next bytes into `buf` and says how many; 0 is a clean end. See [`Link::poll_recv`].
    ///
    /// Cancel-safe: a dropped future has received nothing.
    fn recv(&mut self, buf: &mut BytesMut) -> impl Future<Output = Result<usize, LinkError>> + Send {
        poll_fn(move |cx| self.poll_recv(cx, buf))
    }

    /// Sends all of `data` and flushes.
    ///
    /// Cancel-safe in so far as the bytes already taken are gone from `data`: sending the rest later continues the
    /// stream without loss or repetition.
    fn send_all<B: Buf + Send>(
        &mut self,
        data: &mut B,
    ) -> impl Future<Output = Result<(), LinkError>> + Send {
        poll_fn(move |cx| {
            ready!(self.poll_send(cx, data))?;
            self.poll_flush(cx)
        })
    }

    /// Pushes out what is buffered.
    fn flush(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send {
        poll_fn(|cx| self.poll_flush(cx))
    }

    /// Says goodbye without waiting for the peer, see [`Link::poll_close`].
    fn close(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send {
        poll_fn(|cx| self.poll_close(cx))
    }

    /// Says goodbye, then discards what still arrives until the peer ends its side, so that the peer sees all that
    /// was sent and the close code.
    ///
    /// A peer may take its time or never end: run it under a timeout (a second is plenty). It gives up by itself
    /// after 1 MiB.
    fn finish(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send {
        async move {
            const LIMIT: usize = 1 << 20;
            self.close().await?;
            let mut rest = BytesMut::new();
            let mut discarded = 0;
            while discarded < LIMIT {
                match self.recv(&mut rest).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => discarded += n,
                }
                rest.clear();
            }
            // The second goodbye ends the layer below a WebSocket, now that both have said their close.
            self.close().await
        }
    }
}

impl<L: Link + ?Sized> LinkExt for L {}
