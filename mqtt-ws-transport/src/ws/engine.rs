//! `WsFrames`: an open WebSocket over a byte stream, polled.
//!
//! ```text
//!            read Close                      second poll_close
//!   Open ───────────────────► PeerClosed ───────────────────────► Shut
//!    │ │ poll_close                                                 ▲
//!    │ └────────► CloseSent ── read Close / end ──► PeerClosed ─────┤
//!    │ violation                                                    │
//!    └──────────► Failed (close code sent, input discarded) ────────┘
//! ```
//!
//! While nothing moves it holds no buffer: a read goes into the thread's buffer and what is left of it that cannot be
//! handed on at once is kept; what is to be sent is gathered until a flush and then released.

use super::close::{CloseReason, Violation};
use super::frame::{Decoder, Encoder, Event, Fault, Kind, MAX_CONTROL};
use super::keep_alive::{Due, KeepAlive, Moved, Watch};
use super::laid::Laid;
use super::message::{Assembly, WsMessage};
use super::packets::{Cutter, PacketsPerFrame};
use super::{WsLimits, WsOptions};
use crate::error::LinkError;
use crate::frames::{Frames, MAX_FRAME_PAYLOAD};
use crate::io::ByteStream;
use crate::rt::Runtime;
use crate::scratch;
use crate::stream::already_gone;
use bytes::{Buf, Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker, ready};

/// The most that one read takes, as for a plain stream.
const MAX_READ: usize = 32 * 1024;
/// What one read into room takes beyond the room at most: the headers of the frames that fill it, so that they do not cost
/// a read of their own.
const HEADERS: usize = 64;
/// What a control frame takes with its header, in bytes.
const CONTROL: usize = MAX_CONTROL + 6;
/// Reads without payload (pings, pongs, empty frames) in one poll before other tasks get their turn.
const MAX_IDLE_READS: usize = 16;
/// What is discarded at most after a violation, so that the peer can still read the close frame.
const MAX_DISCARD: usize = 4 << 20;
/// The payload of our pings. Not empty, since there are peers that take an empty ping for the end.
const PING: &[u8] = b"mqtt";

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
///
/// Programs that speak something else than MQTT take whole messages, text too, with
/// [`poll_message`](Self::poll_message) and [`start_message`](Self::start_message).
#[derive(Debug)]
pub struct WsFrames<S> {
    stream: S,
    state: State,
    decoder: Decoder,
    encoder: Encoder,
    /// Bytes of the stream that were read and not decoded yet.
    ahead: Bytes,
    /// A message of which a part has arrived, where whole ones are asked for.
    assembly: Option<Box<Assembly>>,
    /// Whole frames on their way out.
    out: BytesMut,
    out_limit: usize,
    /// The latest ping not answered yet, since too much is on its way out (RFC 6455 section 5.5.3 allows to leave out
    /// the earlier ones).
    pong: Option<Box<[u8]>>,
    /// The stream has taken bytes that it was not asked to flush.
    unflushed: bool,
    /// Something is on its way out that no sender waits for; receiving pushes it.
    owed: bool,
    /// The sender that waits for the stream. Pushing from the receiving side must not displace it, or it would sleep
    /// for ever; whoever is woken pushes out all there is.
    sender: Option<Waker>,
    /// Found behind bytes that could be handed on: comes after them.
    error: Option<Box<LinkError>>,
    /// `None` for an ordinary end.
    goodbye: Option<Box<CloseReason>>,
    discarded: usize,
    moved: Moved,
    watch: Option<Box<Watch>>,
    cutter: Option<Box<Cutter>>,
}

#[derive(Debug)]
enum State {
    Open,
    CloseSent,
    PeerClosed(Box<CloseReason>),
    Failed,
    Shut,
}

/// What one look at the input gave.
enum Got {
    /// Bytes of binary messages, appended to the caller's buffer.
    Bytes(usize),
    Message(WsMessage),
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// All the bytes there are, whatever their messages.
    Bytes,
    /// The same, as long as there is room for them.
    Room,
    Binary,
    Any,
}

impl<S: ByteStream> WsFrames<S> {
    /// Speaks WebSocket on `stream`, on which the upgrade is done. `read` are the bytes of the stream that were
    /// received behind the head of the upgrade.
    pub fn new(stream: S, role: WsRole, read: Vec<u8>, limits: WsLimits) -> Self {
        let client = role == WsRole::Client;
        Self {
            stream,
            state: State::Open,
            decoder: Decoder::new(!client, limits.max_frame_size, limits.max_message_size),
            encoder: Encoder::new(client),
            ahead: read.into(),
            assembly: None,
            out: BytesMut::new(),
            out_limit: limits.write_buffer_size,
            pong: None,
            unflushed: false,
            owed: false,
            sender: None,
            error: None,
            goodbye: None,
            discarded: 0,
            moved: Moved::default(),
            watch: None,
            cutter: None,
        }
    }

    /// With pings that keep the connection open and find out that the peer is gone; its error
    /// ([`LinkError::PeerSilent`]) names it as `peer`.
    #[must_use]
    pub fn keep_alive<R: Runtime>(
        mut self,
        runtime: &R,
        keep_alive: KeepAlive,
        peer: impl Into<Box<str>>,
    ) -> Self {
        self.watch = Some(Box::new(Watch::new(runtime, keep_alive, peer.into())));
        self
    }

    /// Laying MQTT packets into frames like this.
    #[must_use]
    pub fn packets_per_frame(mut self, packets: PacketsPerFrame) -> Self {
        self.cutter = (packets == PacketsPerFrame::Single).then(Box::default);
        self
    }

    pub(super) fn options<R: Runtime>(self, runtime: &R, options: WsOptions, peer: &str) -> Self {
        let this = self.packets_per_frame(options.packets_per_frame);
        match options.keep_alive {
            Some(keep_alive) => this.keep_alive(runtime, keep_alive, peer),
            None => this,
        }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    #[cfg(test)]
    pub(super) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What the peer said when it closed, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        if let State::PeerClosed(reason) = &self.state { Some(reason) } else { None }
    }

    /// The next whole message, text or binary, empty ones too. `None` is the clean end. Cancel-safe.
    ///
    /// Text is checked as it arrives, and refused (1007) at the first byte that is not UTF-8.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WsMessage, LinkError>>> {
        match ready!(self.poll_input(cx, Want::Any, &mut BytesMut::new())) {
            Ok(Got::Message(message)) => Poll::Ready(Some(Ok(message))),
            Ok(Got::Bytes(_)) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Takes one message as one frame. Call it only after [`poll_ready`](Frames::poll_ready) said so, and flush.
    pub fn start_message(&mut self, message: WsMessage) -> Result<(), LinkError> {
        if !matches!(self.state, State::Open) {
            return Err(LinkError::Closed);
        }
        let (kind, mut data) = match message {
            WsMessage::Binary(data) => (Kind::Binary, data),
            WsMessage::Text(text) => (Kind::Text, Bytes::from(text)),
        };
        self.append(kind, &mut data);
        Ok(())
    }

    /// [`poll_message`](Self::poll_message), to await. `None` is the clean end. Cancel-safe.
    pub async fn recv_message(&mut self) -> Result<Option<WsMessage>, LinkError> {
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Sends one message as one frame and flushes. A future dropped before it was ready may have sent it or not.
    pub async fn send_message(&mut self, message: WsMessage) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_message(message)?;
        poll_fn(|cx| Frames::poll_flush(self, cx)).await
    }

    fn append(&mut self, kind: Kind, data: &mut Bytes) {
        let len = data.len();
        self.encoder.message(kind, data, len, &mut self.out);
        self.moved.sent = true;
    }

    /// Receives until there is something to give. `Got::Bytes(0)` is the clean end.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        want: Want,
        buf: &mut BytesMut,
    ) -> Poll<Result<Got, LinkError>> {
        if self.owed {
            self.push(cx);
        }
        for _ in 0..MAX_IDLE_READS {
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(*error));
            }
            match self.state {
                State::Open | State::CloseSent => {}
                State::PeerClosed(_) | State::Shut => return Poll::Ready(Ok(Got::Bytes(0))),
                State::Failed => return self.poll_discard(cx).map(|()| Ok(Got::Bytes(0))),
            }
            let got = if self.ahead.is_empty() {
                ready!(self.poll_read(cx, want, buf))
            } else {
                let ahead = std::mem::take(&mut self.ahead);
                let mut rest = &ahead[..];
                let got = self.take_apart(&mut rest, want, buf);
                if !rest.is_empty() {
                    self.ahead = ahead.slice_ref(rest);
                }
                got
            };
            if self.owed {
                self.push(cx);
            }
            if let Some(got) = got {
                return Poll::Ready(Ok(got));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, want: Want, buf: &mut BytesMut) -> Poll<Option<Got>> {
        let most = match want {
            Want::Room => (room_in(buf) + HEADERS).min(scratch::LEN),
            _ => MAX_READ,
        };
        let read = scratch::with(|scratch| match self.stream.poll_read(cx, &mut scratch[..most]) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.moved.received = true;
                let mut rest = &scratch[..n];
                let got = self.take_apart(&mut rest, want, buf);
                if !rest.is_empty() {
                    self.ahead = Bytes::copy_from_slice(rest);
                }
                Poll::Ready(Ok(got))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Err(None)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Some(error))),
            Poll::Pending => Poll::Pending,
        });
        match read {
            Poll::Ready(Ok(got)) => Poll::Ready(got),
            Poll::Ready(Err(error)) => {
                self.ended(error);
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.watch(cx);
                if self.error.is_some() { Poll::Ready(None) } else { Poll::Pending }
            }
        }
    }

    fn take_apart(&mut self, input: &mut &[u8], want: Want, buf: &mut BytesMut) -> Option<Got> {
        if want != Want::Room {
            return self.decode(input, want, buf);
        }
        let before = buf.len();
        while matches!(self.state, State::Open | State::CloseSent) {
            // A frame is not longer than what it carries in it.
            let (mut part, rest) = input.split_at(input.len().min(room_in(buf)));
            if part.is_empty() {
                break;
            }
            *input = rest;
            self.decode(&mut part, Want::Bytes, buf);
        }
        let n = buf.len() - before;
        (n > 0).then_some(Got::Bytes(n))
    }

    /// Takes frames apart until there is something to give or `input` is used up; behind a close or a fault nothing is
    /// looked at any more.
    fn decode(&mut self, input: &mut &[u8], want: Want, buf: &mut BytesMut) -> Option<Got> {
        let before = buf.len();
        if want == Want::Bytes {
            if let Some(assembly) = self.assembly.take() {
                buf.unsplit(assembly.data);
            }
            // Once for all frames, not again and again. Next to nothing may be a ping, for which an idle connection is to
            // hold no buffer.
            if input.len() > CONTROL {
                buf.reserve(input.len());
            }
        }
        loop {
            let out =
                if want == Want::Bytes { &mut *buf } else { &mut self.assembly.get_or_insert_default().data };
            let event = self.decoder.decode(input, out, want == Want::Any);
            let text = match &mut self.assembly {
                Some(assembly) if want == Want::Any => assembly.check_text(&self.decoder),
                _ => Ok(()),
            };
            match text.and(event) {
                Ok(None) => break,
                Ok(Some(Event::Message(_))) if want == Want::Bytes => {}
                Ok(Some(Event::Message(kind))) => {
                    match self.assembly.take().unwrap_or_default().message(kind) {
                        Some(message) => return Some(Got::Message(message)),
                        None => self.fault(Violation::InvalidUtf8.into()),
                    }
                }
                Ok(Some(Event::Ping(payload))) => self.answer(payload),
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(reason))) => self.peer_closed(reason),
                Err(fault) => self.fault(fault),
            }
            if !matches!(self.state, State::Open | State::CloseSent) {
                *input = &[];
                break;
            }
        }
        let n = buf.len() - before;
        (n > 0).then_some(Got::Bytes(n))
    }

    fn answer(&mut self, payload: Vec<u8>) {
        if !matches!(self.state, State::Open) {
            return;
        }
        self.owed = true;
        if self.out.len() > self.out_limit {
            self.pong = Some(payload.into());
        } else {
            self.encoder.pong(&payload, &mut self.out);
        }
    }

    fn peer_closed(&mut self, reason: CloseReason) {
        if matches!(self.state, State::Open) {
            self.encoder.close(&reason, &mut self.out);
            self.owed = true;
            if !reason.is_normal() {
                self.error = Some(Box::new(LinkError::ClosedByPeer(reason.clone())));
            }
        }
        self.state = State::PeerClosed(Box::new(reason));
    }

    fn fault(&mut self, fault: Fault) {
        let (error, goodbye) = match fault {
            Fault::Violation(violation @ Violation::InvalidUtf8) => {
                (LinkError::Protocol(violation), CloseReason::INVALID_DATA)
            }
            Fault::Violation(violation) => (LinkError::Protocol(violation), CloseReason::PROTOCOL_ERROR),
            Fault::TooLarge { size, limit } => {
                (LinkError::MessageTooLarge { size, limit }, CloseReason::MESSAGE_TOO_BIG)
            }
            // [MQTT-6.0.0-1]: binary frames only, anything else closes the connection.
            Fault::Text => (LinkError::TextFrame, CloseReason::UNSUPPORTED_DATA),
        };
        self.fail(error, &goodbye);
    }

    /// Ends the connection for a fault of the peer and tells it why, as far as the stream takes it now; the rest is
    /// `poll_close`'s.
    fn fail(&mut self, error: LinkError, goodbye: &CloseReason) {
        if matches!(self.state, State::Open) {
            self.encoder.close(goodbye, &mut self.out);
            self.owed = true;
        }
        self.state = State::Failed;
        self.error = Some(Box::new(error));
    }

    /// The stream has ended (`None`) or failed.
    fn ended(&mut self, error: Option<io::Error>) {
        self.discarded = MAX_DISCARD;
        match error {
            Some(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                self.state = State::Failed;
                self.error = Some(Box::new(LinkError::from_stream(error)));
            }
            _ if matches!(self.state, State::CloseSent) => {
                self.state = State::PeerClosed(Box::new(CloseReason::NO_STATUS));
            }
            _ => {
                self.state = State::Failed;
                self.error = Some(Box::new(LinkError::ClosedAbruptly));
            }
        }
    }

    /// Keep-alive. Only looked at when nothing is there to read.
    fn watch(&mut self, cx: &mut Context<'_>) {
        let Some(watch) = &mut self.watch else { return };
        match watch.poll(cx, &mut self.moved) {
            Due::Ping if matches!(self.state, State::Open) => {
                // Behind a sender that is stuck anyway a ping would only pile up; the deadline runs all the same.
                if self.out.len() <= self.out_limit {
                    self.encoder.ping(PING, &mut self.out);
                    self.push(cx);
                }
                // The timer now runs to the deadline and must know whom to wake.
                if let Due::Silent(waited) =
                    self.watch.as_mut().map_or(Due::Nothing, |w| w.poll(cx, &mut self.moved))
                {
                    self.silent(waited, cx);
                }
            }
            // After our close frame the peer is only waited for.
            Due::Nothing | Due::Ping => {}
            Due::Silent(waited) => self.silent(waited, cx),
        }
    }

    fn silent(&mut self, waited: std::time::Duration, cx: &mut Context<'_>) {
        let peer = self.watch.take().map(|watch| watch.peer).unwrap_or_default();
        self.fail(LinkError::PeerSilent { peer, waited }, &CloseReason::NO_PONG);
        self.push(cx);
        // Nobody is there who would have to read the close frame before the socket goes.
        self.discarded = MAX_DISCARD;
    }

    /// Pushes out what the receiving side owes. A stream that fails here will tell so when it is read.
    fn push(&mut self, cx: &mut Context<'_>) {
        self.owed = true;
        let sender = self.sender.clone();
        let mut context =
            sender.as_ref().map_or_else(|| Context::from_waker(cx.waker()), Context::from_waker);
        if let Poll::Ready(Err(_)) = self.poll_out(&mut context) {
            self.out = BytesMut::new();
            self.owed = false;
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.out.is_empty() {
                let n = ready!(self.stream.poll_write(cx, &self.out))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.out.advance(n);
                self.unflushed = true;
            }
            match self.pong.take() {
                Some(payload) => self.encoder.pong(&payload, &mut self.out),
                None => break,
            }
        }
        self.out = BytesMut::new();
        if self.unflushed {
            ready!(self.stream.poll_flush(cx))?;
            self.unflushed = false;
        }
        self.owed = false;
        Poll::Ready(Ok(()))
    }

    /// [`poll_out`](Self::poll_out) for a sender.
    fn poll_out_for_sender(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let result = self.poll_out(cx);
        self.sender = result.is_pending().then(|| cx.waker().clone());
        result.map_err(LinkError::from_stream)
    }

    /// Whether gathering what is to be sent would bring nothing: it fills frames by itself, and nothing must be laid over it.
    fn goes_straight(&self, data: &dyn Buf) -> bool {
        data.remaining() >= MAX_FRAME_PAYLOAD && !self.encoder.masks() && self.stream.is_write_vectored()
    }

    /// Writes frames straight from where `data` lies, as many as one call takes. Of a frame that the stream takes only a
    /// part of, the rest is gathered.
    fn poll_straight(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        if !self.out.is_empty() {
            ready!(self.poll_out_for_sender(cx))?;
        }
        let frames = Laid::over(data);
        let written = match frames.poll_write(cx, &mut self.stream, data) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(LinkError::Io(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(LinkError::from_stream(error))),
            Poll::Pending => {
                self.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        self.moved.sent = true;
        self.unflushed = true;
        frames.take(written, data, &mut self.out);
        Poll::Ready(Ok(()))
    }

    /// After a violation: swallows input until the peer ends, since closing a socket with unread bytes resets it and
    /// may take the close frame with it.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        scratch::with(|scratch| {
            while self.discarded < MAX_DISCARD {
                match ready!(self.stream.poll_read(cx, scratch)) {
                    Ok(0) | Err(_) => self.discarded = MAX_DISCARD,
                    Ok(n) => self.discarded += n,
                }
            }
            Poll::Ready(())
        })
    }
}

fn room_in(buf: &BytesMut) -> usize {
    buf.capacity() - buf.len()
}

impl<S: ByteStream> Frames for WsFrames<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, LinkError>>> {
        loop {
            match ready!(self.poll_input(cx, Want::Binary, &mut BytesMut::new())) {
                Ok(Got::Message(message)) if message.is_empty() => {}
                Ok(Got::Message(message)) => return Poll::Ready(Some(Ok(message.into_bytes()))),
                Ok(Got::Bytes(_)) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn poll_recv_into(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        match ready!(self.poll_input(cx, Want::Bytes, buf))? {
            Got::Bytes(n) => Poll::Ready(Ok(n)),
            Got::Message(_) => Poll::Ready(Ok(0)),
        }
    }

    fn poll_recv_room(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        let want = if room_in(buf) > 0 { Want::Room } else { Want::Bytes };
        match ready!(self.poll_input(cx, want, buf))? {
            Got::Bytes(n) => Poll::Ready(Ok(n)),
            Got::Message(_) => Poll::Ready(Ok(0)),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !matches!(self.state, State::Open) {
            // Who only sends shall hear the reason too.
            return Poll::Ready(Err(self.error.take().map_or(LinkError::Closed, |error| *error)));
        }
        if self.out.len() > self.out_limit || self.sender.is_some() {
            return self.poll_out_for_sender(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, message: Bytes) -> Result<(), LinkError> {
        self.start_message(WsMessage::Binary(message))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        while data.has_remaining() {
            ready!(self.poll_ready(cx))?;
            if let Some(cutter) = &mut self.cutter {
                if let Some(mut packet) = cutter.next(data) {
                    self.append(Kind::Binary, &mut packet);
                }
            } else if self.goes_straight(data) {
                ready!(self.poll_straight(cx, data))?;
            } else {
                let len = data.remaining().min(MAX_FRAME_PAYLOAD);
                self.encoder.message(Kind::Binary, data, len, &mut self.out);
                self.moved.sent = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.state {
            State::Shut => Poll::Ready(Ok(())),
            _ => self.poll_out_for_sender(cx),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.state {
            State::Open => {
                self.state = State::CloseSent;
                let goodbye = self.goodbye.take().map_or(CloseReason::NORMAL, |reason| *reason);
                self.encoder.close(&goodbye, &mut self.out);
                self.poll_out_for_sender(cx)
            }
            // Half-closing the stream now could make a proxy drop the peer's answer.
            State::CloseSent => self.poll_out_for_sender(cx),
            State::PeerClosed(_) | State::Failed => {
                // Whether the last words still got through does not matter any more.
                let _ = ready!(self.poll_out_for_sender(cx));
                let ended = ready!(self.stream.poll_shutdown(cx));
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
            self.state = State::PeerClosed(Box::new(CloseReason::NO_STATUS));
        }
        self.poll_close(cx)
    }

    fn set_close_reason(&mut self, reason: CloseReason) {
        self.goodbye = Some(Box::new(reason));
    }
}
