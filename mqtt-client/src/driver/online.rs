//! One connection: a link, the codec's state machine, and the turns in which bytes go between them.

mod outward;

use super::authentication::Authentication;
use super::intake::{Hand, Intake};
use super::tap::Tap;
use super::work::Work;
use crate::authentication::AuthenticationError;
use crate::error::{DisconnectCause, PublishError};
use crate::outbox::{Budget, Outgoing};
use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConnection, ClientEvent, Closed, Codec, ConnAck, Disconnect, Instant, ReasonCode,
    Session, Timeout, Version,
};
use mqttkit_ws_transport::{Link, LinkError, LinkExt};
use outward::HIGH_WATER;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Unwritten acknowledgements, in bytes, at which reading stops: a peer that sends but does not read.
const MAX_RESPONSES: usize = 256 << 10;
/// Room that is made for the rest of a packet that has begun to arrive, in bytes, if that is not more than what is there.
const ROOM: usize = 128 << 10;
/// What a stream link receives at a time, at most.
const READ: usize = 32 << 10;
/// Bytes received after which the application gets its turn with the messages they brought: while these are in the
/// processor's cache, and before the next that are large take other memory.
const PLENTY: u64 = 64 << 10;
/// Turns with plenty in a row for which acknowledgements wait, so that one system call sends those of them all.
const ROW: u8 = 4;
/// Packets handled before it is the writer's turn again.
const EVENTS_PER_TURN: usize = 256;

pub(super) struct Online<L> {
    link: L,
    connection: ClientConnection,
    /// What was read and is not decoded.
    input: BytesMut,
    /// The length of the packet that arrives, or of the one before.
    last_len: usize,
    /// Bytes that links have taken, this one and those before it.
    written: u64,
    /// The link takes no more for now.
    blocked: bool,
    /// The link may hold bytes back.
    unflushed: bool,
    /// QoS 0 messages that the link has not taken, or holds back.
    unwritten: VecDeque<Unwritten>,
    /// Unwritten bytes that answer what was read.
    responses: usize,
    /// Turns with plenty in a row since something was written.
    row: u8,
    clean_start: bool,
    /// Nothing has been sent or received.
    fresh: bool,
    tap: Option<Tap>,
    authentication: Option<Authentication>,
    /// The server has accepted, but the authenticator is not satisfied with it yet: nothing is sent until then.
    held: Option<ClientEvent>,
    /// What the authenticator does not put up with.
    not_authentic: Option<AuthenticationError>,
    established: Option<Instant>,
    /// Something came of this connection: a message or an acknowledgement.
    useful: bool,
    /// The link takes no more. What it still has to say comes first: the server's reason for closing, perhaps.
    write_error: Option<LinkError>,
    link_error: Option<LinkError>,
    /// The peer cannot hear a goodbye.
    deaf: bool,
    overrun: bool,
    end: Option<End>,
}

/// A QoS 0 message and the position in the stream of bytes where it ends.
struct Unwritten {
    end: u64,
    outgoing: Outgoing,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    Refused(Box<ConnAck>),
    NoAnswer,
    Cause(DisconnectCause),
}

/// What is left of a connection that ended.
pub(super) struct Remains<L> {
    pub(super) session: Session,
    /// When it was established, if it was.
    pub(super) established: Option<Instant>,
    pub(super) useful: bool,
    /// To say goodbye with, if the peer can still hear it.
    pub(super) goodbye: Option<(L, ClientConnection)>,
}

/// What a turn brought.
pub(super) enum Turn {
    Progress,
    /// The same, and other tasks have something to do with it now.
    Plenty,
    Idle,
    Ended(End),
}

impl<L: Link> Online<L> {
    pub(super) fn new(
        link: L,
        connection: ClientConnection,
        clean_start: bool,
        written: u64,
        authentication: Option<Authentication>,
    ) -> Self {
        Self {
            link,
            connection,
            input: BytesMut::new(),
            last_len: 0,
            written,
            blocked: false,
            unflushed: false,
            unwritten: VecDeque::new(),
            responses: 0,
            row: 0,
            clean_start,
            fresh: true,
            tap: None,
            authentication,
            held: None,
            not_authentic: None,
            established: None,
            useful: false,
            write_error: None,
            link_error: None,
            deaf: false,
            overrun: false,
            end: None,
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.established.is_some()
    }

    /// Whether everything that was taken has been written.
    pub(super) fn is_flushed(&self) -> bool {
        self.unwritten.is_empty()
    }

    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// How much more may be taken out of the queue.
    pub(super) fn budget(&mut self, work: &Work) -> Budget {
        if self.established.is_none() || self.connection.is_closed() {
            return Budget::default();
        }
        let quota = self.connection.send_quota();
        work.budget(HIGH_WATER.saturating_sub(self.connection.transmit().remaining()), quota)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let authentication = self.authentication.as_ref().and_then(Authentication::poll_timeout);
        self.connection.poll_timeout().into_iter().chain(authentication).min()
    }

    pub(super) fn authentication(&mut self) -> Option<&mut Authentication> {
        self.authentication.as_mut()
    }

    pub(super) fn acknowledge(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        self.connection.ack(now, token, reason);
    }

    /// Says goodbye. The next turn ends the connection.
    pub(super) fn disconnect(&mut self, now: Instant, disconnect: &Disconnect) {
        if self.connection.disconnect(now, disconnect).is_err() {
            // It asks for what cannot be, which was refused before it came here.
            let _ = self.connection.disconnect(now, &Disconnect::new(disconnect.reason));
        }
    }

    /// Sends, receives and handles what can be without waiting.
    pub(super) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        work: &mut Work,
        intake: &mut Intake,
    ) -> Turn {
        self.check_time(now, self.may_read(work, intake));
        self.watch(work);
        let mut progress = self.authenticate(cx, now, work, intake);
        let mut plenty = false;
        if self.established.is_some() {
            progress |= intake.forward(&mut Hand { cx, now, connection: &mut self.connection });
            progress |= self.fill(now, work);
        }
        // Whatever the server is told by these bytes is kept first, even if they are the last ones.
        if self.is_kept(cx, work) {
            if self.end.is_none() {
                // If nothing more comes after all, the next turn writes.
                progress |= self.is_in_row() || self.write(cx, work);
                let received = work.shared.counters.bytes_received.get();
                progress |= self.read(cx, now, work, intake);
                plenty = Self::is_plenty(work, received);
                self.row = if plenty { self.row % ROW + 1 } else { 0 };
            }
            if self.end.is_some()
                && self.is_kept(cx, work)
                && let Some(end) = self.end.take()
            {
                work.release();
                return Turn::Ended(end);
            }
        }
        work.release();
        match (progress, plenty) {
            (_, true) => Turn::Plenty,
            (true, false) => Turn::Progress,
            (false, false) => Turn::Idle,
        }
    }

    /// Takes it apart. What did not get out goes back to `work`.
    pub(super) fn finish(mut self, work: &mut Work) -> Remains<L> {
        let session = self.connection.take_session();
        let mut back = Vec::new();
        let mut lost = 0;
        for Unwritten { end, outgoing } in self.unwritten {
            if end <= self.written {
                // In the link's hands: nobody knows.
                lost += 1;
                work.complete(outgoing, Err(PublishError::Lost));
            } else {
                outgoing.ticket.put_back();
                back.push(outgoing);
            }
        }
        work.put_back(back.into_iter());
        work.connection_ended(self.written, lost, self.established.is_some());
        work.release();
        Remains {
            session,
            established: self.established,
            useful: self.useful,
            goodbye: (!self.deaf).then_some((self.link, self.connection)),
        }
    }

    // ---- enhanced authentication

    /// Lets the authenticator go on. Returns whether something came of it.
    fn authenticate(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        work: &mut Work,
        intake: &mut Intake,
    ) -> bool {
        let mut progress = false;
        while let Some(authentication) = &mut self.authentication {
            match authentication.poll(cx, now) {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(auth))) => {
                    if let Err(error) = self.connection.auth(now, &auth) {
                        self.distrust(now, AuthenticationError::of(error.into()));
                    }
                }
                Poll::Ready(Ok(None)) => {
                    if let Some(event) = self.held.take() {
                        self.connected(now, work, intake, event);
                    }
                }
                Poll::Ready(Err(error)) => self.distrust(now, error),
            }
            progress = true;
        }
        progress
    }

    /// Passes on what the server says, and holds `event` until the authenticator is satisfied.
    fn hear(&mut self, now: Instant, event: ClientEvent) {
        let Some(authentication) = &mut self.authentication else { return };
        let heard = match &event {
            ClientEvent::Auth(auth) => authentication.received(auth),
            ClientEvent::Connected { connack, .. } => {
                authentication.accepted(connack.properties.authentication_data())
            }
            _ => Ok(()),
        };
        match heard {
            Ok(()) if matches!(event, ClientEvent::Connected { .. }) => self.held = Some(event),
            Ok(()) => {}
            Err(error) => self.distrust(now, error),
        }
    }

    /// Ends a connection whose server has not authenticated as it should.
    fn distrust(&mut self, now: Instant, error: AuthenticationError) {
        if let Some(authentication) = &mut self.authentication {
            authentication.fail(&error);
        }
        self.not_authentic = Some(error);
        self.held = None;
        if self.established.is_some() {
            let _ = self.connection.disconnect(now, &Disconnect::new(ReasonCode::UnspecifiedError));
        } else {
            self.deaf = true;
            self.connection.handle_closed(now);
        }
    }

    fn connected(&mut self, now: Instant, work: &mut Work, intake: &mut Intake, event: ClientEvent) {
        let ClientEvent::Connected { connack, lost } = event else { return };
        self.established = Some(now);
        // As the codec does: MQTT 3.1 has no Session Present, its sessions are taken to be there.
        let resumed =
            connack.session_present || (self.connection.version() == Version::V31 && !self.clean_start);
        intake.connection_established(work.router(), resumed);
        let end = self.written + self.connection.transmit().remaining() as u64;
        let identifiers = self.connection.version().has_properties()
            && connack.properties.subscription_identifier_available().unwrap_or(true);
        work.connection_established(Arc::new(*connack), resumed, lost, end, identifiers);
    }

    /// Notes what the store must know, and says whether it has written all that.
    fn is_kept(&self, cx: &Context<'_>, work: &mut Work) -> bool {
        work.notes.incoming(self.connection.session());
        work.notes.are_durable(cx)
    }

    fn check_time(&mut self, now: Instant, reading: bool) {
        if self.connection.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        // The answer to a ping may lie behind messages for which there is no room.
        if !reading {
            self.connection.handle_held_back(now);
        }
        self.connection.handle_timeout(now);
        if !reading {
            self.connection.handle_held_back(now);
        }
    }

    fn may_read(&self, work: &Work, intake: &Intake) -> bool {
        // A server that does not read may be one that waits for this side to do so.
        let awaited = self.blocked || work.is_waiting() || self.established.is_none();
        self.responses < MAX_RESPONSES && (awaited || !intake.is_full())
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant, work: &mut Work, intake: &mut Intake) -> bool {
        let mut progress = false;
        let unwritten = self.connection.transmit().remaining();
        let received = work.shared.counters.bytes_received.get();
        for _ in 0..EVENTS_PER_TURN {
            if self.held.is_some() && !self.connection.is_closed() {
                break;
            }
            if !self.may_read(work, intake) && !self.connection.is_closed() && !self.fail(now) {
                break;
            }
            match self.connection.poll_event(now, &mut self.input) {
                Some(event) => {
                    progress = true;
                    self.handle(cx, now, work, intake, event);
                }
                None if self.end.is_some() || self.connection.is_closed() => break,
                None if Self::is_plenty(work, received) => break,
                None => match self.receive(cx, now, work) {
                    Poll::Ready(()) => progress = true,
                    Poll::Pending if self.fail(now) => {}
                    Poll::Pending => break,
                },
            }
        }
        // When the application is done with its messages, their memory takes the next ones.
        if self.input.is_empty() && !Self::is_plenty(work, received) {
            // Whoever keeps a message then does not share its buffer with what comes later.
            self.input = BytesMut::new();
        }
        self.responses += self.connection.transmit().remaining().saturating_sub(unwritten);
        progress
    }

    /// Whether there is nothing to write but acknowledgements, and more of them are about to come.
    fn is_in_row(&mut self) -> bool {
        (1..ROW).contains(&self.row) && self.connection.transmit().remaining() == self.responses
    }

    /// Whether enough has come since so many bytes were received.
    fn is_plenty(work: &Work, received: u64) -> bool {
        work.shared.counters.bytes_received.get() - received >= PLENTY
    }

    /// Ends the connection if it cannot be written to; there is nothing more to read now.
    fn fail(&mut self, now: Instant) -> bool {
        let error = self.write_error.take();
        let failed = error.is_some();
        if let Some(error) = error {
            self.lost(now, error);
        }
        failed
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Instant, work: &Work) -> Poll<()> {
        let received = if make_room(&mut self.input, &mut self.last_len) {
            self.link.poll_recv_room(cx, &mut self.input)
        } else {
            self.link.poll_recv(cx, &mut self.input)
        };
        match received {
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => self.connection.handle_closed(now),
            Poll::Ready(Ok(n)) => {
                work.shared.counters.bytes_received.add(n as u64);
                self.fresh = false;
                if let Some(tap) = &mut self.tap {
                    tap.received(&self.input[self.input.len() - n..]);
                    self.tell_packets(work);
                }
            }
            Poll::Ready(Err(error)) => {
                self.lost(now, error);
            }
        }
        Poll::Ready(())
    }

    fn lost(&mut self, now: Instant, error: LinkError) {
        self.link_error = Some(error);
        self.deaf = true;
        self.connection.handle_closed(now);
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        work: &mut Work,
        intake: &mut Intake,
        event: ClientEvent,
    ) {
        match event {
            ClientEvent::Connected { .. } if self.authentication.is_none() => {
                self.connected(now, work, intake, event);
            }
            ClientEvent::Connected { .. } | ClientEvent::Auth(_) => {
                self.hear(now, event);
                self.authenticate(cx, now, work, intake);
            }
            ClientEvent::Publish { message, token, .. } => {
                self.useful = true;
                work.shared.counters.messages_received.add(1);
                let mut hand = Hand { cx, now, connection: &mut self.connection };
                if intake.take(&mut hand, work.router(), message, token).is_err() {
                    self.overrun = true;
                    let _ = self.connection.disconnect(now, &Disconnect::new(ReasonCode::QuotaExceeded));
                }
            }
            ClientEvent::Acknowledged { packet_id, reason } => {
                self.useful = true;
                work.acknowledged(now, packet_id, reason);
            }
            ClientEvent::Received { packet_id } => {
                self.useful = true;
                work.received(now, packet_id);
            }
            ClientEvent::SubAck(ack) => work.answered(ack.packet_id, &ack.reasons),
            ClientEvent::UnsubAck(ack) => work.answered(ack.packet_id, &ack.reasons),
            ClientEvent::Closed(closed) => self.closed(closed),
            _ => {}
        }
    }

    fn closed(&mut self, closed: Closed) {
        if let Some(error) = self.not_authentic.take() {
            self.end = Some(End::Cause(DisconnectCause::Authentication(error)));
            return;
        }
        self.end = Some(match closed {
            Closed::Refused(connack) => End::Refused(connack),
            Closed::Timeout(Timeout::ConnAck) => End::NoAnswer,
            Closed::Timeout(_) => End::Cause(DisconnectCause::Silent),
            Closed::Peer(disconnect) => End::Cause(DisconnectCause::Server(disconnect)),
            Closed::Protocol(error) => End::Cause(DisconnectCause::Protocol(error)),
            Closed::Local(_) if self.overrun => End::Cause(DisconnectCause::Overrun),
            Closed::Local(reason) => End::Cause(DisconnectCause::Local(reason)),
            _ => End::Cause(match self.link_error.take() {
                Some(error) => DisconnectCause::Link(error),
                None => DisconnectCause::Ended,
            }),
        });
    }
}

impl<L: Link> Remains<L> {
    /// Writes what is unwritten, above all a DISCONNECT, and ends the transport as its kind demands.
    pub(super) async fn say_goodbye((mut link, mut connection): (L, ClientConnection)) {
        if link.send_all(connection.transmit()).await.is_ok() {
            // Whether the peer answers the goodbye does not matter any more.
            let _ = link.finish().await;
        }
    }
}

/// Lets a large packet arrive where it stays, instead of moving what is there of it again and again. `last` is the length
/// of the packet before: large ones seldom come alone. Of what the peer declares no more is believed than it has shown, or
/// [`ROOM`].
fn make_room(input: &mut BytesMut, last: &mut usize) -> bool {
    if let Some(total) = Codec::peek_len(input) {
        *last = total as usize;
    }
    let missing = last.saturating_sub(input.len());
    if *last <= READ || missing == 0 {
        return false;
    }
    input.reserve(missing.min(input.len().max(ROOM)));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_is_missing_but_not_for_what_is_only_said() {
        let room = |bytes: &[u8]| {
            let mut input = BytesMut::from(bytes);
            let mut last = 0;
            make_room(&mut input, &mut last);
            input.capacity()
        };
        assert!(room(b"\x30\x80\x80\x04") >= 65_536 + 4);
        assert_eq!(room(b"\x30\x02ab"), 4, "what is small is copied");
        assert!(room(b"\x30\xff\xff\xff\x7f") < 2 * (ROOM + READ), "256 MiB are announced");
    }
}
