//! `WsFrames`: tungstenite over a byte stream, polled; binary messages out, everything else handled.
//!
//! ```text
//!            read Close                      second poll_close
//!   Open ───────────────────► PeerClosed ───────────────────────► Shut
//!    │ │ poll_close                                                 ▲
//!    │ └────────► CloseSent ── read Close / end ──► PeerClosed ─────┤
//!    │ violation                                                    │
//!    └──────────► Failed (close code sent, input discarded) ────────┘
//! ```

use super::WsLimits;
use super::close::{CloseReason, Violation};
use crate::error::LinkError;
use crate::frames::Frames;
use crate::io::ByteStream;
use crate::scratch;
use crate::stream::already_gone;
use bytes::Bytes;
use std::io;
use std::task::{Context, Poll, Waker, ready};
use tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Messages without payload (ping, pong, empty binary) handled in one poll before other tasks get their turn.
const MAX_IDLE_FRAMES: usize = 64;
/// What is discarded at most after a violation, so that the peer can still read the close frame.
const MAX_DISCARD: usize = 4 << 20;

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WsRole {
    /// Masks what it sends.
    Client,
    /// Demands masked frames.
    Server,
}

/// An open WebSocket as [`Frames`].
///
/// Pings are answered, pongs ignored, an empty frame is not the end. Text frames and violations end the connection
/// with the close code that says why.
#[derive(Debug)]
pub struct WsFrames<S> {
    engine: WebSocket<Bridge<S>>,
    state: State,
    /// The engine holds bytes that the stream did not take; it must be flushed before the next frame.
    blocked: bool,
    goodbye: CloseReason,
    discarded: usize,
}

#[derive(Debug)]
enum State {
    Open,
    CloseSent,
    PeerClosed(CloseReason),
    Failed,
    Shut,
}

impl<S: ByteStream> WsFrames<S> {
    /// Speaks WebSocket on `stream`, on which the upgrade is done. `read` are the bytes of the stream that were
    /// received behind the head of the upgrade.
    pub fn new(stream: S, role: WsRole, read: Vec<u8>, limits: WsLimits) -> Self {
        let read_buffer = limits.read_buffer_size.max(1024);
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer)
            // Not bounded by the engine, but by us: no frame is handed over while bytes are blocked, so the buffer holds
            // at most its target size, one message and the control frame that answers the peer.
            .write_buffer_size(limits.write_buffer_size)
            .max_message_size(Some(limits.max_message_size))
            .max_frame_size(Some(limits.max_frame_size));
        let role = match role {
            WsRole::Client => Role::Client,
            WsRole::Server => Role::Server,
        };
        let engine = WebSocket::from_partially_read(Bridge::new(stream), read, role, Some(config));
        Self { engine, state: State::Open, blocked: false, goodbye: CloseReason::NORMAL, discarded: 0 }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.engine.get_ref().stream
    }

    /// What the peer said when it closed, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        if let State::PeerClosed(reason) = &self.state { Some(reason) } else { None }
    }

    /// Ends the connection for a fault of the peer: tells it `goodbye` as far as the stream takes it now; the rest
    /// is `poll_close`'s.
    fn fail(&mut self, error: LinkError, goodbye: &CloseReason) -> LinkError {
        self.state = State::Failed;
        self.engine.close(goodbye.to_frame()).ok();
        error
    }

    fn peer_closed(&mut self, reason: CloseReason) -> Option<Result<Bytes, LinkError>> {
        // Our answer is queued in the engine; it leaves now or in poll_close.
        self.engine.flush().ok();
        let ours = matches!(self.state, State::CloseSent);
        let result = (!ours && !reason.is_normal()).then(|| Err(LinkError::ClosedByPeer(reason.clone())));
        self.state = State::PeerClosed(reason);
        result
    }

    fn ended(&mut self) -> Option<Result<Bytes, LinkError>> {
        if matches!(self.state, State::CloseSent) {
            self.state = State::PeerClosed(CloseReason::NO_STATUS);
            return None;
        }
        self.state = State::Failed;
        Some(Err(LinkError::ClosedAbruptly))
    }

    fn sort_error(&mut self, error: WsError) -> Option<Result<Bytes, LinkError>> {
        Some(Err(match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return self.ended(),
            WsError::Protocol(error) => {
                let violation = Violation::from_engine(&error);
                self.fail(LinkError::Protocol(violation), &CloseReason::PROTOCOL_ERROR)
            }
            WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                self.fail(LinkError::MessageTooLarge { size, limit: max_size }, &CloseReason::MESSAGE_TOO_BIG)
            }
            WsError::Utf8(_) => {
                self.fail(LinkError::Protocol(Violation::InvalidUtf8), &CloseReason::INVALID_DATA)
            }
            WsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.ended(),
            WsError::Io(error) => {
                self.state = State::Failed;
                LinkError::from_stream(error)
            }
            _ => self.fail(LinkError::Protocol(Violation::Other), &CloseReason::PROTOCOL_ERROR),
        }))
    }

    /// After a violation: swallows input until the peer ends, since closing a socket with unread bytes resets it and
    /// may take the close frame with it.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.engine.flush().ok();
        scratch::with(|scratch| {
            while self.discarded < MAX_DISCARD {
                match ready!(self.engine.get_mut().stream.poll_read(cx, scratch)) {
                    Ok(0) | Err(_) => self.discarded = MAX_DISCARD,
                    Ok(n) => self.discarded += n,
                }
            }
            Poll::Ready(())
        })
    }

    fn poll_engine_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.engine.get_mut().sender(cx);
        let result = self.engine.flush();
        match result {
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.engine.get_mut().sender_waits = true;
                return Poll::Pending;
            }
            _ => self.engine.get_mut().sender_waits = false,
        }
        self.blocked = false;
        Poll::Ready(match result {
            // The close handshake is complete; nothing is left to flush.
            Ok(()) | Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => Ok(()),
            Err(WsError::Io(error)) => Err(LinkError::from_stream(error)),
            Err(_) => Err(LinkError::Closed),
        })
    }
}

impl<S: ByteStream> Frames for WsFrames<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, LinkError>>> {
        match self.state {
            State::Open | State::CloseSent => {}
            State::PeerClosed(_) | State::Shut => return Poll::Ready(None),
            State::Failed => {
                self.engine.get_mut().receiver(cx);
                return self.poll_discard(cx).map(|()| None);
            }
        }
        self.engine.get_mut().receiver(cx);
        for _ in 0..MAX_IDLE_FRAMES {
            match self.engine.read() {
                Ok(Message::Binary(data)) if data.is_empty() => {}
                Ok(Message::Binary(data)) => return Poll::Ready(Some(Ok(data))),
                // The engine has queued the pong; its next read sends it.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                // [MQTT-6.0.0-1]: binary frames only, anything else closes the connection.
                Ok(Message::Text(_)) => {
                    let error = self.fail(LinkError::TextFrame, &CloseReason::UNSUPPORTED_DATA);
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(Message::Close(frame)) => {
                    return Poll::Ready(self.peer_closed(CloseReason::from_frame(frame)));
                }
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(self.sort_error(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !matches!(self.state, State::Open) {
            return Poll::Ready(Err(LinkError::Closed));
        }
        if self.blocked { self.poll_engine_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn start_send(&mut self, message: Bytes) -> Result<(), LinkError> {
        if !matches!(self.state, State::Open) {
            return Err(LinkError::Closed);
        }
        match self.engine.write(Message::Binary(message)) {
            Ok(()) => Ok(()),
            // The engine has taken the frame, the stream has not taken all of it.
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(WsError::Io(error)) => Err(LinkError::from_stream(error)),
            Err(_) => Err(LinkError::Closed),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.state {
            State::Shut => Poll::Ready(Ok(())),
            _ => self.poll_engine_flush(cx),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.state {
            State::Open => {
                self.engine.get_mut().sender(cx);
                self.state = State::CloseSent;
                // A full stream leaves the frame in the engine, which the flush below waits for.
                self.engine.close(self.goodbye.to_frame()).ok();
                self.poll_engine_flush(cx)
            }
            // Half-closing the stream now could make a proxy drop the peer's answer.
            State::CloseSent => self.poll_engine_flush(cx),
            State::PeerClosed(_) | State::Failed => {
                // Whether the last words still got through does not matter any more.
                let _ = ready!(self.poll_engine_flush(cx));
                let ended = ready!(self.engine.get_mut().stream.poll_shutdown(cx));
                if matches!(self.state, State::PeerClosed(_)) {
                    self.state = State::Shut;
                }
                Poll::Ready(ended.or_else(already_gone).map_err(LinkError::from_stream))
            }
            State::Shut => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if matches!(self.state, State::Open) {
            let _ = self.poll_close(cx);
        }
        if matches!(self.state, State::CloseSent) {
            self.state = State::PeerClosed(CloseReason::NO_STATUS);
        }
        self.poll_close(cx)
    }

    fn set_close_reason(&mut self, reason: CloseReason) {
        self.goodbye = reason;
    }
}

/// The stream as the engine sees it: blocking calls that answer `WouldBlock` instead.
///
/// The engine writes on its own while it reads (pong, close). Such a write must not displace the waker of a sender
/// that waits for the same stream, or the sender would sleep for ever: it uses the sender's waker while one waits,
/// and the receiver's otherwise. Whoever is woken pushes out all there is.
#[derive(Debug)]
struct Bridge<S> {
    stream: S,
    read_waker: Waker,
    write_waker: Waker,
    sender_waits: bool,
}

impl<S> Bridge<S> {
    fn new(stream: S) -> Self {
        let waker = Waker::noop();
        Self { stream, read_waker: waker.clone(), write_waker: waker.clone(), sender_waits: false }
    }

    fn receiver(&mut self, cx: &Context<'_>) {
        self.read_waker.clone_from(cx.waker());
        if !self.sender_waits {
            self.write_waker.clone_from(cx.waker());
        }
    }

    fn sender(&mut self, cx: &Context<'_>) {
        self.write_waker.clone_from(cx.waker());
    }
}

impl<S: ByteStream> io::Read for Bridge<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        unblock(self.stream.poll_read(&mut Context::from_waker(&self.read_waker), buf))
    }
}

impl<S: ByteStream> io::Write for Bridge<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        unblock(self.stream.poll_write(&mut Context::from_waker(&self.write_waker), data))
    }

    fn flush(&mut self) -> io::Result<()> {
        unblock(self.stream.poll_flush(&mut Context::from_waker(&self.write_waker)))
    }
}

fn unblock<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
