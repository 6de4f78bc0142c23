//! What is to be done and what waits for the server: it outlives connections, so that tickets do.
//!
//! ```text
//!   handles ──▶ pending ──▶ (a connection) ──▶ in flight ──▶ ticket resolved
//!                  ▲                               │
//!                  └──── connection or session lost ┘
//! ```

mod subscriptions;

use super::in_flight::{Flying, InFlight};
use super::notes::Notes;
use super::router::Router;
use crate::continuity::Continuity;
use crate::error::{Leftover, PublishError};
use crate::event::Event;
use crate::inbox::StreamEnd;
use crate::metrics::Counters;
use crate::outbox::{Budget, Command, Control, Load, Outgoing, Request};
use crate::shared::Shared;
use crate::store::StoreError;
use crate::ticket::{Outcome, TicketResolver};
use mqttkit_codec::{ConnAck, Instant, Message, PacketId, QoS, ReasonCode, TopicFilter};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Context;
use subscriptions::Known;

#[derive(Debug)]
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    /// What the store is told.
    pub(super) notes: Notes,
    /// What was taken out of the queue for a connection, in order.
    pub(super) pending: VecDeque<Command>,
    /// How much is left in the queue.
    queued: usize,
    /// The one message whose round trip is measured.
    probe: Option<(PacketId, Instant)>,
    /// QoS 1 and 2 messages that a connection has taken.
    pub(super) in_flight: InFlight,
    max_in_flight: usize,
    /// Whether a lost session is subscribed anew.
    resubscribes: bool,
    /// Requests that a connection has taken, in order.
    requests: VecDeque<(PacketId, Request)>,
    /// Requests of a connection that ended: to be asked again before anything else.
    reissue: VecDeque<Request>,
    /// What is subscribed to, for when the server has forgotten.
    subscriptions: BTreeMap<TopicFilter, Known>,
    /// Who reads what comes of it.
    router: Router,
    /// The server takes Subscription Identifiers.
    identifiers: bool,
    /// Places in the queue to give back at the end of the turn.
    released: Load,
    /// Connections there have been.
    connections: u64,
    gap: Gap,
    /// Messages of an earlier process, until the first connection.
    pub(super) restored: usize,
    ended: bool,
}

/// What has happened since the last connection ended.
#[derive(Debug, Default)]
struct Gap {
    /// Messages of QoS 0 that were on their way then.
    lost: usize,
    /// The counters as they stood then.
    expired: u64,
    dropped: u64,
}

/// Packet identifiers in use at which nothing more is sent.
const MAX_IDENTIFIERS: usize = 65_000;

impl Work {
    pub(super) fn new(shared: Arc<Shared>, resubscribes: bool) -> Self {
        Self {
            notes: Notes::new(shared.desk().cloned()),
            shared,
            pending: VecDeque::new(),
            queued: 0,
            probe: None,
            in_flight: InFlight::default(),
            max_in_flight: 0,
            resubscribes,
            requests: VecDeque::new(),
            reissue: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            router: Router::default(),
            identifiers: false,
            released: Load::default(),
            connections: 0,
            gap: Gap::default(),
            restored: 0,
            ended: false,
        }
    }

    pub(super) fn set_max_in_flight(&mut self, messages: usize) {
        self.max_in_flight = messages;
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// Takes what the handles have queued, as far as it fits.
    pub(super) fn take(&mut self, cx: &Context<'_>, now: Instant, budget: Budget) -> Control {
        let budget = if self.pending.is_empty() { budget } else { Budget::default() };
        let control = self.shared.outbox.take(cx, now, budget, &mut self.pending);
        self.queued = control.queued;
        self.shared.counters.expired.increase(control.expired);
        control
    }

    /// How much may be taken for a connection that takes so many messages of QoS 1 and 2.
    pub(super) fn budget(&self, bytes: usize, quota: usize) -> Budget {
        let identifiers = MAX_IDENTIFIERS.saturating_sub(self.in_flight.len() + self.requests.len());
        let window = self.max_in_flight.saturating_sub(self.in_flight.len()).min(quota);
        Budget { bytes, window, identifiers }
    }

    /// Gives the places of what is complete back.
    pub(super) fn release(&mut self) {
        if !self.released.is_zero() {
            self.shared.outbox.release(std::mem::take(&mut self.released));
        }
    }

    /// Ends everything: what is not complete never will be. Returns how much that was, the first time.
    pub(super) fn end(&mut self) -> Leftover {
        self.ended = true;
        // Closed first, so that whoever learns of the end finds it everywhere.
        let queued = self.shared.outbox.close();
        self.shared.again.end();
        self.shared.status().connected = false;
        let left = self.leftover(&queued);
        drop(queued);
        self.pending.clear();
        self.requests.clear();
        self.reissue.clear();
        drop(self.in_flight.take_all());
        if let Some(desk) = self.shared.desk() {
            desk.close();
        }
        self.shared.inbox.end(StreamEnd::Client);
        self.router.inboxes().for_each(|inbox| inbox.end(StreamEnd::Client));
        self.shared.alarms.end();
        self.shared.packets.end();
        self.shared.tell(&Event::Ended);
        self.shared.events.end();
        left
    }

    /// The store has failed: says so to all who wait for a message.
    pub(super) fn fail(&mut self, error: &StoreError) {
        let queued = self.shared.outbox.close();
        for command in self.pending.drain(..).chain(queued) {
            command.resolve(Err(PublishError::Store(error.clone())));
        }
        for flying in self.in_flight.take_all() {
            flying.ticket.resolve(Err(PublishError::Store(error.clone())));
        }
    }

    /// What is not complete. Requests that restore a session do not count.
    fn leftover(&self, queued: &[Command]) -> Leftover {
        let asked = self.requests.iter().map(|(_, request)| request).chain(&self.reissue);
        let mut left = Leftover {
            requests: asked.filter(|request| request.ticket.is_some()).count(),
            ..Leftover::default()
        };
        for command in self.pending.iter().chain(queued) {
            match command {
                Command::Publish(_) => left.queued += 1,
                Command::Request(request) => left.requests += usize::from(request.ticket.is_some()),
            }
        }
        for flying in self.in_flight.iter() {
            match flying.ticket.end() {
                Some(_) => left.unacknowledged += 1,
                None => left.received += 1,
            }
        }
        left
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether there is nothing to send and nothing to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.pending.is_empty() && !self.is_waiting() && self.reissue.is_empty()
    }

    /// The same while there is no connection: what only restores a session, or tidies it up, is nothing to wait for.
    pub(super) fn is_idle_offline(&self) -> bool {
        self.queued == 0
            && self.in_flight.len() == 0
            && self.pending.iter().all(is_own)
            && self.reissue.iter().all(|request| request.ticket.is_none())
    }

    pub(super) fn router(&self) -> &Router {
        &self.router
    }

    /// Whether an answer of the server is outstanding.
    pub(super) fn is_waiting(&self) -> bool {
        self.in_flight.len() > 0 || !self.requests.is_empty()
    }

    /// Whether one more QoS 1 or 2 message may be sent, as far as this side is concerned.
    pub(super) fn has_window(&self) -> bool {
        self.in_flight.len() < self.max_in_flight
    }

    pub(super) fn has_identifiers(&self) -> bool {
        self.in_flight.len() + self.requests.len() < MAX_IDENTIFIERS
    }

    // ---- messages

    pub(super) fn sent(&mut self, now: Instant, id: PacketId, flying: Flying) {
        self.probe.get_or_insert((id, now));
        if let Some(key) = flying.ticket.key() {
            self.notes.sent(key, id);
        }
        self.in_flight.insert(id, flying);
        let counters = &self.shared.counters;
        counters.in_flight.set(self.in_flight.len() as u64);
        counters.last_packet_id.set(id.get().into());
    }

    pub(super) fn complete(&mut self, outgoing: Outgoing, outcome: Outcome) {
        self.finish(outgoing.ticket, outgoing.load, outcome);
    }

    pub(super) fn finish(&mut self, ticket: TicketResolver, load: Load, outcome: Outcome) {
        self.released.add(load);
        ticket.resolve(outcome);
    }

    /// A message turns out to be of no use any more when it is about to be sent. Returns whether that is so.
    pub(super) fn is_void(&mut self, now: Instant, outgoing: &Outgoing) -> bool {
        // One that was cancelled has its outcome already.
        let is_expired = outgoing.expires.is_some_and(|expires| expires <= now);
        self.shared.counters.expired.increase(usize::from(is_expired));
        is_expired || !outgoing.ticket.take()
    }

    /// The server has taken a QoS 2 message over.
    pub(super) fn received(&mut self, now: Instant, id: PacketId) {
        self.measure(now, id);
        if let Some(flying) = self.in_flight.get(id) {
            flying.ticket.received();
            if let Some(key) = flying.ticket.key() {
                self.notes.received(key, id);
            }
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant, id: PacketId, reason: ReasonCode) {
        self.measure(now, id);
        if let Some(flying) = self.in_flight.remove(id) {
            self.shared.counters.in_flight.set(self.in_flight.len() as u64);
            let outcome = if reason.is_error() { Err(PublishError::Refused(reason)) } else { Ok(reason) };
            self.finish(flying.ticket, flying.load, outcome);
        }
    }

    fn measure(&mut self, now: Instant, id: PacketId) {
        if let Some((probe, since)) = self.probe
            && probe == id
        {
            self.probe = None;
            self.shared.counters.measured(now - since);
        }
    }

    /// Puts messages that did not get out back in front of the others, in their order.
    pub(super) fn put_back(&mut self, outgoing: impl DoubleEndedIterator<Item = Outgoing>) {
        for outgoing in outgoing.rev() {
            self.pending.push_front(Command::Publish(outgoing));
        }
    }

    // ---- connections

    /// The connection has ended, after so many bytes that were ever written: its requests must be asked again, and what
    /// did not get out goes back into the queue, where it can expire or be cancelled.
    pub(super) fn connection_ended(&mut self, written: u64, lost: usize, was_established: bool) {
        if was_established {
            let Counters { expired, dropped, .. } = &self.shared.counters;
            self.gap = Gap { lost, expired: expired.get(), dropped: dropped.get() };
        }
        self.probe = None;
        self.reissue.extend(self.requests.drain(..).map(|(_, request)| request));
        for flying in self.in_flight.iter() {
            if flying.ticket.end().is_some_and(|end| end > written) {
                flying.ticket.unsent();
            }
        }
        let (back, own): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|command| !is_own(command));
        self.queued += back.len();
        self.pending = own;
        self.shared.outbox.put_back(back.into_iter());
        self.offline();
    }

    /// There is no connection: drops what makes no sense then.
    fn offline(&mut self) {
        let dropped = self.shared.outbox.set_online(false);
        self.queued -= dropped.len().min(self.queued);
        self.shared.counters.dropped.increase(dropped.len());
        for command in dropped {
            command.resolve(Err(PublishError::Offline));
        }
    }

    /// A connection is established. With `resumed` the codec sends again what is in flight; otherwise `lost` are the
    /// messages of the lost session, which are published anew, and the subscriptions are made anew.
    pub(super) fn connection_established(
        &mut self,
        connack: Arc<ConnAck>,
        resumed: bool,
        lost: Vec<(PacketId, Message)>,
        unwritten_end: u64,
        identifiers: bool,
    ) {
        self.connections += 1;
        if !resumed {
            self.notes.session_lost();
        }
        self.identifiers = identifiers;
        let resent = if resumed { self.in_flight.len() } else { 0 };
        // The server that has acknowledged a QoS 2 message knows it; one of QoS 1 it takes for another.
        let mut possibly_duplicated = if resumed {
            let at_least_once = self.in_flight.iter().filter(|flying| flying.qos == QoS::AtLeastOnce);
            at_least_once.filter(|flying| flying.was_written()).count()
        } else {
            0
        };
        let mut again = Vec::with_capacity(lost.len());
        for (id, message) in lost {
            if let Some(flying) = self.in_flight.remove(id) {
                possibly_duplicated += usize::from(flying.was_written());
                let Flying { ticket, load, delivery, expires, .. } = flying;
                again.push(Outgoing { message, ticket, load, delivery, expires });
            }
        }
        for (id, flying) in self.in_flight.entries() {
            if flying.ticket.end() == Some(u64::MAX) {
                flying.ticket.sent(unwritten_end, Some(id));
            }
        }
        let republished = again.len();
        let released = if resumed { Vec::new() } else { self.in_flight.take_all() };
        let unconfirmed = released.len();
        for flying in released {
            // [MQTT-4.3.3-8] With PUBREC the server became the owner of the message.
            self.finish(flying.ticket, flying.load, Ok(ReasonCode::Success));
        }
        // In front of everything: the subscriptions, then what was asked, then what was published.
        self.put_back(again.into_iter());
        let asked_again = self.reissue.iter().filter(|request| request.ticket.is_some()).count();
        while let Some(request) = self.reissue.pop_back() {
            // What restores a session is made afresh below where it is needed.
            if request.ticket.is_some() || connack.session_present {
                self.pending.push_front(Command::Request(request));
            } else {
                self.released.add(request.load);
            }
        }
        // MQTT 3.1 does not say whether the session is there; to subscribe twice does no harm.
        let lost_session = !connack.session_present;
        let resubscribed = if lost_session && self.resubscribes { self.resubscribe() } else { 0 };
        if lost_session && !self.resubscribes {
            self.pending.retain(|command| !is_own(command));
            self.subscriptions.clear();
        }
        let gap = std::mem::take(&mut self.gap);
        let continuity = Continuity {
            session_present: connack.session_present,
            connection: self.connections,
            resent,
            republished,
            unconfirmed,
            resubscribed,
            kept: if lost_session { 0 } else { self.subscriptions.len() },
            asked_again,
            lost: gap.lost,
            expired: (self.shared.counters.expired.get() - gap.expired) as usize,
            dropped: (self.shared.counters.dropped.get() - gap.dropped) as usize,
            restored: std::mem::take(&mut self.restored),
            possibly_duplicated,
            connack: Arc::clone(&connack),
        };
        {
            let mut status = self.shared.status();
            status.connected = true;
            if let Some(id) = connack.properties.assigned_client_identifier() {
                status.client_id = id;
            }
            status.connack = Some(connack);
        }
        let counters = &self.shared.counters;
        counters.connections.add(1);
        counters.messages_resent.add((resent + republished) as u64);
        counters.messages_sent.add(resent as u64);
        counters.in_flight.set(self.in_flight.len() as u64);
        self.shared.outbox.set_online(true);
        self.shared.tell(&Event::Connected(continuity));
    }
}

/// Whether it is one of the driver's own requests.
fn is_own(command: &Command) -> bool {
    matches!(command, Command::Request(Request { ticket: None, .. }))
}
