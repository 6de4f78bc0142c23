//! The task of one client: bytes of the link ⇄ [`Peer`] ⇄ state. The one place that waits for several things.
//!
//! A poll reads what there is, does the work under one lock, and writes everything in one go. While more is
//! waiting to be written than the watermark allows, nothing is read: a client that floods and does not read slows
//! down itself alone.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqttkit_codec::{Closed, Instant, ReasonCode, Str};
use mqttkit_ws_transport::{CloseReason, Link, LinkExt, PeerInfo};
use tracing::debug;

use crate::broker::Inner;
use crate::house::{Member, Seat};
use crate::log::{Ended, Log};
use crate::notify::{ABORT, LOOK, Notify, SHUT_DOWN, WAITED};
use crate::peer::{Asking, Peer, Turn};
use crate::policy::{BoxFuture, Refusal};
use crate::scratch;
use crate::trace::Tap;

/// Serves one client until its connection ends.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its argument twice")]
pub(crate) fn run<L: Link>(mut connection: Connection<L>) -> impl Future<Output = Closed> + Send + use<L> {
    async move {
        poll_fn(|cx| connection.poll(cx)).await;
        Box::pin(connection.end()).await;
        connection.closed().clone()
    }
}

/// The task of a connection that comes to a listener. What it takes is most of what an idle client costs: it is written by
/// hand, so that it takes no more than the connection, and what the handshake and the end need is theirs alone.
///
/// ```text
///   Coming ──▶ Here ──▶ Leaving ──▶ Gone
/// ```
#[expect(clippy::large_enum_variant, reason = "it is what the task is for")]
pub(crate) enum Task<L: Link> {
    /// It shakes hands. `None` comes of those that come to nothing.
    Coming(BoxFuture<'static, Option<Connection<L>>>),
    Here(Connection<L>),
    Leaving(BoxFuture<'static, ()>),
    Gone,
}

impl<L: Link + 'static> Future for Task<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Coming(coming) => match ready!(coming.as_mut().poll(cx)) {
                    Some(connection) => *self = Self::Here(connection),
                    None => return Poll::Ready(()),
                },
                Self::Here(connection) => {
                    ready!(connection.poll(cx));
                    if let Self::Here(mut connection) = mem::replace(&mut *self, Self::Gone) {
                        *self = Self::Leaving(Box::pin(async move { connection.end().await }));
                    }
                }
                Self::Leaving(leaving) => {
                    ready!(leaving.as_mut().poll(cx));
                    *self = Self::Gone;
                }
                Self::Gone => return Poll::Ready(()),
            }
        }
    }
}

/// One client, from its link to the state.
pub(crate) struct Connection<L: Link> {
    inner: Arc<Inner>,
    link: L,
    /// The link has neither failed nor been given up.
    link_works: bool,
    peer: Peer,
    /// What was read and not yet decoded.
    input: BytesMut,
    /// There may be complete packets in `input`.
    undecoded: bool,
    /// What the state had for us at the last turn.
    turn: Turn,
    /// The policy thinks about the client.
    verdict: Option<Box<Asking>>,
    /// When a client is refused that could not be let in by then.
    patience: Option<Instant>,
    /// The link holds bytes that it has not written.
    unflushed: bool,
    /// When a link that takes no bytes is given up.
    write_by: Option<Instant>,
    /// When it is woken at the latest.
    woken_by: Option<Instant>,
    /// Since it is a client.
    opened: Option<Instant>,
    /// The switches of tracing as they were when this connection last looked.
    traces_seen: u32,
    /// Somebody traces this client, or might when it says who it is.
    tap: Option<Box<Tap>>,
    /// Its place in the house, given back last of all.
    member: Member,
    _seats: (Seat, Option<Seat>),
}

/// How often one poll goes around before it lets other tasks have the thread.
const ROUNDS: usize = 8;

/// How many others may write first.
const FEW: usize = 4;

impl<L: Link> Connection<L> {
    /// Of a client that has said nothing yet.
    pub(crate) fn new(
        inner: Arc<Inner>,
        link: L,
        info: PeerInfo,
        notify: Arc<Notify>,
        seats: (Seat, Option<Seat>),
        member: Member,
    ) -> Self {
        inner.start_keeper();
        let now = inner.now();
        let rules = Arc::clone(inner.rules());
        let peer = Peer::new(rules, inner.store_progress(), now, info, notify);
        Self {
            inner,
            link,
            link_works: true,
            peer,
            input: BytesMut::new(),
            undecoded: false,
            turn: Turn::Idle,
            verdict: None,
            patience: None,
            unflushed: false,
            write_by: None,
            woken_by: None,
            opened: None,
            traces_seen: 0,
            tap: None,
            member,
            _seats: seats,
        }
    }

    /// Ready when the connection is over and all that could be written is.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // One for all rounds, which are short.
        let now = self.inner.now();
        self.peer.notify().register(cx.waker());
        for _ in 0..ROUNDS {
            let flags = self.peer.notify().take_flags();
            let traces = self.inner.traces().epoch();
            if traces != self.traces_seen {
                self.traces_seen = traces;
                self.look_at_traces();
            }
            if flags & ABORT != 0 {
                self.give_up(now);
            } else if flags & SHUT_DOWN != 0 {
                self.peer.shut_down(now);
            }
            self.check_time(now);
            let decided = self.peer.poll_verdict(cx, now, &mut self.verdict);
            let listening = self.may_receive();
            let received = listening && self.receive(cx, now);
            if decided || received || flags & LOOK != 0 || self.has_work() {
                let woken = self.take_turn(now, flags & LOOK != 0);
                if flags & WAITED == 0 && self.lets_others_go_first(woken) {
                    self.peer.notify().ring(WAITED);
                    return Poll::Pending;
                }
            }
            let wrote = self.send(cx, now);
            if self.is_done() {
                return Poll::Ready(());
            }
            if wrote && matches!(self.turn, Turn::Blocked) {
                // There is room again for what the state could not hand out.
                self.turn = Turn::Again;
            }
            let moved = decided || received;
            if !moved && !self.has_work() {
                self.rest();
            }
            self.peer.weigh(now, self.input.capacity());
            // Who weighs too much is at its end, and that is work.
            let moves = moved || self.has_work();
            // Who begins to listen must ask the link once, or nothing would wake this task.
            let begins = !listening && self.may_receive();
            if !moves && !begins && !self.is_due(now) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether a turn is due without anything from outside.
    fn has_work(&self) -> bool {
        let undecoded = self.undecoded && !self.peer.is_held();
        undecoded || matches!(self.turn, Turn::Again) || self.peer.is_ending()
    }

    /// Whether the client may send now.
    fn may_receive(&mut self) -> bool {
        self.link_works
            && !self.undecoded
            && self.peer.takes_input()
            && self.peer.transmit().remaining() < self.inner.config().transmit_watermark
    }

    /// Receives once.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let before = self.input.len();
        if before == 0 {
            // What has been taken from the old one pins it for who knows how long; each read has one of its own.
            self.input = BytesMut::new();
        }
        match self.link.poll_recv(cx, &mut self.input) {
            Poll::Pending => {
                self.peer.caught_up();
                return false;
            }
            Poll::Ready(Ok(0)) => self.peer.handle_closed(now),
            Poll::Ready(Ok(_)) => {
                self.undecoded = true;
                if let Some(tap) = &mut self.tap
                    && !tap.received(&self.input[before..], self.inner.traces())
                {
                    self.tap = None;
                }
            }
            Poll::Ready(Err(error)) => {
                debug!(%error, "the link failed");
                self.give_up(now);
            }
        }
        true
    }

    /// Decodes, changes the state, fetches messages. The state is left alone where it is not concerned: by pings,
    /// acknowledgements that free no place, and packets that are not complete. Returns how many others were woken.
    fn take_turn(&mut self, now: Instant, look: bool) -> usize {
        let was_open = self.peer.is_open();
        let was_listening = was_open && self.peer.takes_input();
        let Self { peer, input, inner, turn, undecoded, .. } = self;
        let (outcome, woken) = scratch::work(|work| {
            *undecoded = peer.decode(now, input, work);
            let concerned = look || !work.is_empty() || !matches!(turn, Turn::Idle);
            if concerned || peer.is_waiting() || peer.is_ending() {
                inner.with_state_ringing(|state| peer.apply(now, state, work))
            } else {
                (Turn::Idle, 0)
            }
        });
        self.turn = outcome;
        if let Some(connect) = self.peer.take_newcomer() {
            self.verdict = self.peer.ask(connect).map(Box::new);
        }
        if !was_listening && self.peer.is_open() && self.peer.takes_input() {
            // What came behind the CONNECT, or while nothing was read.
            self.undecoded = !self.input.is_empty();
        }
        if self.peer.is_open() && !was_open {
            self.opened = Some(now);
            if let Some(client) = self.peer.client() {
                Log::connected(client);
            }
            if self.traces_seen != 0 {
                // It may be known by another identifier than it gave.
                self.look_at_traces();
            }
        }
        if self.verdict.is_some() || self.peer.is_waiting() {
            self.patience.get_or_insert(now + self.inner.config().authenticate_timeout);
        } else {
            self.patience = None;
        }
        woken
    }

    /// Whether those whom the last turn woke write before this connection does. What was read is mostly messages, and what is
    /// to be written their acknowledgements: a subscriber would have its message later by as long as that write takes, and
    /// what comes meanwhile is acknowledged in the same one. Not where they are many: a publisher would wait for all their
    /// writes.
    fn lets_others_go_first(&mut self, woken: usize) -> bool {
        (1..=FEW).contains(&woken) && self.peer.transmit().has_remaining()
    }

    /// Begins or ends to read along, if somebody has changed whom that concerns.
    fn look_at_traces(&mut self) {
        let traces = self.inner.traces();
        let max = self.inner.config().max_packet_size;
        let known = if self.peer.is_open() { self.peer.client_id() } else { None };
        let Some(client_id) = known else {
            // It has not said who it is, so that all of it must be heard from its first byte on.
            if self.tap.is_none() && self.peer.is_silent() && self.input.is_empty() && traces.is_any() {
                self.tap = Some(Box::new(Tap::at_start(max)));
            }
            return;
        };
        if !traces.has(client_id) {
            self.tap = None;
        } else if self.tap.as_ref().is_none_or(|tap| tap.client_id().is_none()) {
            let (client_id, version) = (client_id.clone(), self.peer.version());
            let aligned = !self.peer.transmit().has_remaining();
            self.tap = Some(Box::new(Tap::midway(client_id, version, max, &self.input, aligned)));
        }
    }

    fn log_end(&self, closed: &Closed) {
        let now = self.inner.now();
        let ended = Ended {
            client_id: self.client_id(),
            peer: self.peer.info(),
            closed,
            lasted: self.opened.map(|opened| now - opened),
        };
        self.inner.log().ended(now, &ended);
    }

    fn client_id(&self) -> Option<&str> {
        self.peer.client_id().map(Str::as_str)
    }

    /// Sends what there is. Returns whether the link took any of it.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let transmit = self.peer.transmit();
        let before = transmit.remaining();
        if !self.link_works || (before == 0 && !self.unflushed) {
            self.write_by = None;
            return false;
        }
        let mut sent = Poll::Ready(Ok(()));
        if before > 0 {
            self.unflushed = true;
            sent = match &mut self.tap {
                None => self.link.poll_send(cx, transmit),
                Some(tap) => {
                    let sent = self.link.poll_send(cx, &mut tap.copying(transmit));
                    tap.sent(!self.peer.transmit().has_remaining());
                    sent
                }
            };
        }
        let wrote = before - self.peer.transmit().remaining();
        if let Poll::Ready(Ok(())) = sent {
            sent = self.link.poll_flush(cx);
            self.unflushed = sent.is_pending();
        }
        match sent {
            Poll::Ready(Ok(())) => self.write_by = None,
            Poll::Ready(Err(error)) => {
                debug!(%error, "the link failed");
                self.give_up(now);
            }
            Poll::Pending if wrote > 0 => self.write_by = Some(now + self.write_timeout()),
            Poll::Pending => {
                let write_by = now + self.write_timeout();
                self.write_by.get_or_insert(write_by);
            }
        }
        wrote > 0
    }

    /// A goodbye gets less time than a message.
    fn write_timeout(&self) -> Duration {
        let config = self.inner.config();
        if self.peer.closed().is_some() { config.close_timeout } else { config.write_timeout }
    }

    fn check_time(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
        if self.patience.is_some_and(|at| at <= now) {
            self.patience = None;
            self.verdict = None;
            self.peer.refuse(now, &Refusal::new(ReasonCode::ServerUnavailable));
        }
        if self.write_by.is_some_and(|at| at <= now) {
            debug!("the client reads nothing");
            self.give_up(now);
        }
    }

    /// Whether something is due. If not, this task is woken when it is, or a little later.
    ///
    /// An alarm is set only when the last one would come too late; that it may come too early is harmless, and spares
    /// setting one with every packet.
    fn is_due(&mut self, now: Instant) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        if deadline > now && self.woken_by.is_none_or(|at| deadline < at || at <= now) {
            self.woken_by = Some(self.inner.set_alarm(&self.member, now, deadline));
        }
        deadline <= now
    }

    fn deadline(&self) -> Option<Instant> {
        [self.peer.poll_timeout(), self.patience, self.write_by].into_iter().flatten().min()
    }

    /// The link is of no more use.
    fn give_up(&mut self, now: Instant) {
        self.link_works = false;
        self.write_by = None;
        self.verdict = None;
        self.peer.handle_closed(now);
    }

    fn is_done(&mut self) -> bool {
        let written = !self.unflushed && !self.peer.transmit().has_remaining();
        self.peer.closed().is_some() && (written || !self.link_works)
    }

    /// Nothing to do for now: keeps no memory for it.
    fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.peer.transmit().shrink();
    }

    /// How the connection has ended.
    fn closed(&self) -> &Closed {
        self.peer.closed().unwrap_or(&Closed::Transport)
    }

    /// The connection is over: says so to everybody.
    async fn end(&mut self) {
        self.log_end(self.closed());
        self.input = BytesMut::new();
        self.peer.weigh(self.inner.now(), 0);
        self.say_goodbye().await;
    }

    /// Ends the link so that the client sees what was sent and that this is the end.
    async fn say_goodbye(&mut self) {
        if !self.link_works {
            return;
        }
        let reason = match self.closed() {
            Closed::Local(ReasonCode::ServerShuttingDown) => CloseReason::GOING_AWAY,
            Closed::Protocol(_) => {
                CloseReason::new(1002, "MQTT protocol error").unwrap_or(CloseReason::PROTOCOL_ERROR)
            }
            _ => CloseReason::NORMAL,
        };
        self.link.set_close_reason(reason);
        let mut timer =
            self.inner.runtime().sleep_until(self.inner.now() + self.inner.config().close_timeout);
        let answered = {
            let mut finish = pin!(self.link.finish());
            poll_fn(|cx| {
                if self.peer.notify().take(cx.waker()) & ABORT != 0
                    || Pin::new(&mut timer).poll(cx).is_ready()
                {
                    return Poll::Ready(false);
                }
                finish.as_mut().poll(cx).map(|_| true)
            })
            .await
        };
        if !answered {
            // Whatever of the end the link can say at once.
            poll_fn(|cx| {
                let _ = self.link.poll_shutdown(cx);
                Poll::Ready(())
            })
            .await;
        }
    }
}

/// A connection that is dropped in the middle is a connection that was cut.
impl<L: Link> Drop for Connection<L> {
    fn drop(&mut self) {
        if self.peer.closed().is_none() {
            let now = self.inner.now();
            self.peer.handle_closed(now);
            let peer = &mut self.peer;
            self.inner.with_state(|state| peer.apply(now, state, &mut Vec::new()));
            self.log_end(&Closed::Transport);
        }
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use mqttkit_ws_transport::{Runtime, ServerLink, TokioRuntime};

    use super::Connection;

    /// It is most of the task of a client, and what an idle client costs most.
    #[test]
    fn a_connection_is_small() {
        let size = size_of::<Connection<ServerLink<<TokioRuntime as Runtime>::Stream>>>();
        assert!(size <= 656, "a connection is {size} bytes");
    }
}
