//! `Peer`: one client of the network without its IO: a codec connection on one side, the state on the other.
//!
//! A turn has two halves. [`decode`](Peer::decode) turns bytes into work and asks the policy, without the lock;
//! [`apply`](Peer::apply) does the work under it. Tests drive the same two halves in simulated time.

mod authentication;
mod entry;
mod meter;
mod permission;
mod steps;

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    AckToken, Closed, Connect, Disconnect, Instant, Message, PacketId, ReasonCode, ServerConnection,
    ServerEvent, Str, SubAck, Subscribe, Subscription, TopicFilter, Transmit, UnsubAck, Version,
};
use mqttkit_ws_transport::PeerInfo;

use self::meter::Meter;
use crate::budget::{CONNECTION, Charge, SMALL};
use crate::doorman::Ban;
use crate::events::NotConnected;
use crate::notify::Notify;
use crate::policy::{Client, Exchange, Refusal};
use crate::rules::Rules;
use crate::state::{ClientKey, Drained, InFlightForGroups, Pins, State};
use crate::store::Progress;

/// The protocol side of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    connection: ServerConnection,
    phase: Phase,
    /// Rung when the state has something for this connection.
    notify: Arc<Notify>,
    rules: Arc<Rules>,
    info: Arc<PeerInfo>,
    client: Option<Arc<Client>>,
    /// The messages in flight that came for shared subscriptions.
    for_groups: InFlightForGroups,
    /// The read buffers that messages in flight pin.
    pins: Pins,
    /// How many QoS 1 and 2 messages the client takes at a time.
    window: u16,
    /// What there is only of a client that comes in or has to come in again, mostly.
    rare: Option<Box<Rare>>,
    /// What waits for the store, if there is one.
    steps: Option<Box<Steps>>,
    /// Of a client whose rates are limited.
    meter: Option<Box<Meter>>,
    /// What this connection weighs in the budget.
    charge: Charge,
    /// Who it is: what it weighs however idle it is.
    base: u32,
    /// A CONNECT that is not decided yet, in bytes.
    undecided: u32,
    /// How large the buffer is, at most, that the latest packets were in.
    buffer: u32,
    /// Nothing was left in it.
    emptied: bool,
}

/// What a connection has for a while, or never.
#[derive(Debug, Default)]
struct Rare {
    /// The client identifier in the CONNECT.
    claimed: Option<Str>,
    /// The enhanced authentication that goes on.
    exchange: Option<Arc<Exchange>>,
    /// The client is to answer a question of the policy.
    challenged: bool,
    /// What ends an enhanced authentication, for CONNACK.
    last_word: Option<Bytes>,
    /// The client comes in, or wants to authenticate again: the policy is to be asked about it.
    newcomer: Option<Box<Connect>>,
    /// It has authenticated again, and the state is still to be told.
    renewed: bool,
    /// When the client must have authenticated again.
    valid_until: Option<Instant>,
    /// A ban that came of what this client did, and that the state is still to be told of.
    ban: Option<Ban>,
}

/// ```text
///   Opening ──CONNECT──▶ Deciding ──admit()──▶ Open ─┐
///                           │  ▲                     ├─ end of the connection ─▶ Done
///                           └──┘ waits for an earlier│
///                                connection ─────────┘
/// ```
#[derive(Debug)]
enum Phase {
    Opening,
    /// The policy decides, or another connection is to give the session back first.
    Deciding(Option<Box<Connect>>),
    Open(ClientKey),
    Done(Box<Closed>),
}

/// Something a client wants of the state.
#[derive(Debug)]
pub(crate) enum Work {
    Connect(Box<Connect>),
    Publish {
        message: Message,
        token: Option<AckToken>,
        verdict: Verdict,
    },
    Subscribe {
        subscribe: Subscribe,
        wishes: Vec<Result<Subscription, ReasonCode>>,
    },
    Unsubscribe {
        packet_id: PacketId,
        filters: Vec<Option<TopicFilter>>,
    },
    /// With a store: it has a QoS 2 message of ours.
    Received(PacketId),
    /// With a store: a message of ours is done.
    Acknowledged(PacketId, ReasonCode),
    /// With a store: it releases a QoS 2 message of its own.
    Released(PacketId),
    /// It broke a rule that the codec connection leaves to us.
    Violation(ReasonCode),
    Closed(Closed),
    /// It has been seen to.
    Done,
}

pub(crate) use authentication::Asking;
pub(crate) use steps::{Step, Steps, waits_for};

pub(crate) type Verdict = Result<(), ReasonCode>;

/// What a turn came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// The state has no more for now: the bell rings.
    Idle,
    /// The state has more, for when this connection can take it.
    Blocked,
    /// The state has more at once.
    Again,
}

/// How many events are decoded before the state is locked for them.
pub(crate) const BATCH: usize = 256;

impl Peer {
    pub(crate) fn new(
        rules: Arc<Rules>,
        store: Option<&Progress>,
        now: Instant,
        info: PeerInfo,
        notify: Arc<Notify>,
    ) -> Self {
        let connection = ServerConnection::new(rules.server(store.is_some()), now);
        let base = CONNECTION + weight_of(&info);
        let mut charge = Charge::new(Arc::clone(&rules.budget));
        charge.set(base, 0, base);
        Self {
            connection,
            phase: Phase::Opening,
            notify,
            rules,
            info: Arc::new(info),
            client: None,
            for_groups: InFlightForGroups::new(),
            pins: Pins::default(),
            window: 0,
            rare: None,
            steps: store.map(|progress| Box::new(Steps::new(progress.clone()))),
            meter: None,
            charge,
            base: length(base),
            undecided: 0,
            buffer: 0,
            emptied: true,
        }
    }

    /// Takes up to [`BATCH`] events from the front of `input`. Returns whether there may be more now: not before
    /// [`takes_input`](Self::takes_input).
    pub(crate) fn decode(&mut self, now: Instant, input: &mut BytesMut, work: &mut Vec<Work>) -> bool {
        if self.steps.as_ref().is_some_and(|steps| steps.is_held()) {
            return false;
        }
        // What was taken from the front before counts too.
        self.buffer = length(input.capacity()).max(if self.emptied { 0 } else { self.buffer });
        let more = self.decode_batch(now, input, work);
        self.emptied = input.is_empty();
        more
    }

    fn decode_batch(&mut self, now: Instant, input: &mut BytesMut, work: &mut Vec<Work>) -> bool {
        while work.len() < BATCH && !self.is_held() {
            let before = input.len();
            let event = self.connection.poll_event(now, input);
            if let Some(meter) = &mut self.meter {
                let is_message = matches!(event, Some(ServerEvent::Publish { .. }));
                meter.count(now, usize::from(is_message), before - input.len());
            }
            let Some(event) = event else { return false };
            match event {
                ServerEvent::Connect(connect) => {
                    self.undecided = length(before - input.len());
                    work.push(Work::Connect(connect));
                }
                ServerEvent::Publish { mut message, token, .. } => {
                    if let Err(reason) = self.rules.capabilities.check_publish(&message) {
                        work.push(Work::Violation(reason));
                        return false;
                    }
                    let verdict = self.place_message(&mut message);
                    work.push(Work::Publish { message, token, verdict });
                }
                ServerEvent::Subscribe(subscribe) => {
                    if self.connection.version().has_properties()
                        && let Err(reason) = self.rules.capabilities.check_subscribe(&subscribe)
                    {
                        work.push(Work::Violation(reason));
                        return false;
                    }
                    let wishes = subscribe.subscriptions.iter();
                    let wishes = wishes.map(|subscription| self.place_subscription(subscription)).collect();
                    work.push(Work::Subscribe { subscribe, wishes });
                }
                ServerEvent::Unsubscribe(unsubscribe) => {
                    let filters =
                        unsubscribe.filters.iter().map(|filter| self.place_filter(filter)).collect();
                    work.push(Work::Unsubscribe { packet_id: unsubscribe.packet_id, filters });
                }
                ServerEvent::Auth(auth) => self.on_auth(&auth, work),
                ServerEvent::Closed(closed) => work.push(Work::Closed(closed)),
                // The connection itself has freed its place; draining fills it again.
                ServerEvent::Acknowledged { packet_id, reason } => {
                    if !self.for_groups.is_empty() {
                        self.for_groups.remove(packet_id);
                    }
                    self.count_in_flight();
                    if self.steps.is_some() {
                        work.push(Work::Acknowledged(packet_id, reason));
                    }
                }
                ServerEvent::Received { packet_id } => work.push(Work::Received(packet_id)),
                ServerEvent::Released { packet_id } => work.push(Work::Released(packet_id)),
                _ => {}
            }
        }
        true
    }

    /// Does the work, then fetches what the state has for this client. `work` is empty afterwards.
    pub(crate) fn apply(&mut self, now: Instant, state: &mut State, work: &mut Vec<Work>) -> Turn {
        let before = state.store_position();
        let turn = self.work(now, state, work);
        work.clear();
        self.await_store(state, before, turn)
    }

    fn work(&mut self, now: Instant, state: &mut State, work: &mut [Work]) -> Turn {
        if !work.is_empty() {
            state.begin_buffer(self.buffer as usize);
        }
        for work in work.iter_mut() {
            // A message stays where it is, and is taken only if somebody keeps it.
            if let (Work::Publish { message, token, verdict }, &Phase::Open(client)) =
                (&mut *work, &self.phase)
            {
                self.on_publish(now, state, client, message, token.take(), *verdict);
                continue;
            }
            match (mem::replace(work, Work::Done), &self.phase) {
                (Work::Connect(connect), _) => {
                    if let Some(connect) = self.on_connect(now, state, connect) {
                        self.rare().newcomer = Some(connect);
                        return Turn::Idle;
                    }
                }
                (Work::Subscribe { subscribe, wishes }, &Phase::Open(client)) => {
                    self.on_subscribe(now, state, client, &subscribe, wishes);
                }
                (Work::Unsubscribe { packet_id, filters }, &Phase::Open(client)) => {
                    self.on_unsubscribe(now, state, client, packet_id, &filters);
                }
                (Work::Received(id), &Phase::Open(client)) => {
                    let before = state.store_position();
                    state.received(client, id);
                    self.answer(now, state, before, Step::Release(id));
                }
                (Work::Acknowledged(id, reason), &Phase::Open(client)) => {
                    state.acknowledged(client, id, reason);
                }
                (Work::Released(id), &Phase::Open(client)) => {
                    let before = state.store_position();
                    state.released(client, id);
                    self.answer(now, state, before, Step::Complete(id));
                }
                (Work::Violation(reason), _) => self.disconnect(now, reason),
                (Work::Closed(closed), _) => self.finish(now, state, &closed),
                // Nothing else comes from a client that is not in.
                (_, Phase::Opening | Phase::Deciding(_) | Phase::Done(_))
                | (Work::Publish { .. } | Work::Done, _) => {}
            }
        }
        self.fetch(now, state)
    }

    /// Whether [`apply`](Self::apply) is to be called for a client that was allowed in, or that waits for the
    /// earlier connection of its session.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Deciding(Some(_))) || self.is_entering()
    }

    /// Whether the client is in and does not know it, since its CONNACK waits for the store.
    fn is_entering(&self) -> bool {
        self.steps.as_ref().is_some_and(|steps| steps.is_entering())
    }

    /// Ends the connection from this side, with a goodbye where the version has one.
    pub(crate) fn disconnect(&mut self, now: Instant, reason: ReasonCode) {
        self.connection.disconnect(now, &Disconnect::new(reason));
    }

    /// The broker shuts down.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        match self.phase {
            Phase::Deciding(_) => self.refuse(now, &Refusal::new(ReasonCode::ServerUnavailable)),
            _ => self.disconnect(now, ReasonCode::ServerShuttingDown),
        }
    }

    /// The transport has ended or failed.
    pub(crate) fn handle_closed(&mut self, now: Instant) {
        self.connection.handle_closed(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(rare) = &mut self.rare
            && rare.valid_until.take_if(|at| *at <= now).is_some()
        {
            self.disconnect(now, ReasonCode::MaximumConnectTime);
        }
        if let Some(meter) = self.meter.as_mut().filter(|meter| meter.holds()) {
            if let Some(reason) = meter.handle_timeout(now) {
                self.meter = None;
                return self.disconnect(now, reason);
            }
            if meter.holds() {
                return;
            }
            // It could not be heard.
            self.connection.forgive_silence(now);
        }
        if self.steps.is_none() || self.silence().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.connection.is_closed() {
            return None;
        }
        let next = match self.meter.as_ref().and_then(|meter| meter.poll_timeout()) {
            Some(held) => Some(held),
            None => self.silence(),
        };
        [next, self.rare.as_ref().and_then(|rare| rare.valid_until)].into_iter().flatten().min()
    }

    /// When the client has been silent for too long.
    fn silence(&self) -> Option<Instant> {
        let timeout = self.connection.poll_timeout();
        match &self.steps {
            Some(steps) => steps.excuse(timeout),
            None => timeout,
        }
    }

    /// Whether the client has sent more than it may for now: nothing is taken from it until a later
    /// [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn is_held(&self) -> bool {
        self.meter.as_ref().is_some_and(|meter| meter.holds()) && !self.connection.is_closed()
    }

    /// Weighs the connection, which has so many bytes of input. Ends it if it takes more than its part of the budget: a
    /// large packet that does not come to its end, too many long aliases.
    pub(crate) fn weigh(&mut self, now: Instant, input: usize) {
        if self.connection.is_closed() {
            self.undecided = 0;
        }
        let (base, undecided) = (self.base as usize, self.undecided as usize);
        let sent = input + undecided + self.connection.memory_for_client();
        let budget = self.charge.budget();
        if sent > SMALL && sent > budget.sending() && !self.connection.is_closed() {
            match self.phase {
                Phase::Deciding(_) => self.refuse(now, &Refusal::new(ReasonCode::QuotaExceeded)),
                _ => self.disconnect(now, ReasonCode::QuotaExceeded),
            }
        }
        let weight = base + undecided + input + self.connection.memory();
        self.charge.set(weight, sent, base);
    }

    /// Everything that the client has sent so far has been decoded.
    pub(crate) fn caught_up(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.caught_up();
        }
    }

    /// The bytes to send.
    pub(crate) fn transmit(&mut self) -> &mut Transmit {
        self.connection.transmit()
    }

    /// Whether the connection is over and [`apply`](Self::apply) has still to tell the state.
    pub(crate) fn is_ending(&self) -> bool {
        self.connection.is_closed() && self.closed().is_none()
    }

    /// How the connection ended, once the state knows.
    pub(crate) fn closed(&self) -> Option<&Closed> {
        match &self.phase {
            Phase::Done(closed) => Some(closed),
            _ => None,
        }
    }

    /// Whether the client may send: not while it waits to be let in.
    pub(crate) fn takes_input(&self) -> bool {
        let may = match self.phase {
            Phase::Opening => true,
            Phase::Open(_) => {
                !self.steps.as_ref().is_some_and(|steps| steps.is_entering() || steps.is_held())
            }
            Phase::Deciding(_) => self.rare.as_ref().is_some_and(|rare| rare.challenged),
            Phase::Done(_) => false,
        };
        may && !self.connection.is_closed() && !self.is_held()
    }

    /// Whether it has not said yet who it is.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.phase, Phase::Opening)
    }

    /// Whether the client is in.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Who the client is; until it was allowed in, who it says it is.
    pub(crate) fn client_id(&self) -> Option<&Str> {
        let claimed = || self.rare.as_ref()?.claimed.as_ref();
        self.client.as_deref().map(Client::client_id).or_else(claimed)
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_deref()
    }

    pub(crate) fn version(&self) -> Version {
        self.connection.version()
    }

    fn address(&self) -> Option<IpAddr> {
        self.info.address.map(|address| address.ip())
    }

    /// What is rung for this connection.
    pub(crate) fn notify(&self) -> &Notify {
        &self.notify
    }

    pub(crate) fn info(&self) -> &Arc<PeerInfo> {
        &self.info
    }

    fn fetch(&mut self, now: Instant, state: &mut State) -> Turn {
        self.tell(state);
        if let Some(steps) = &mut self.steps {
            steps.advance(now, &mut self.connection);
            if steps.is_hopeless() {
                self.lose_hope(now);
            }
        }
        if !self.connection.is_closed() {
            self.enter(now, state);
        }
        if let Phase::Open(client) = self.phase
            && let Some(refusal) = state.kicked(client)
        {
            self.dismiss(now, &refusal);
        }
        let renewed = self.rare.as_mut().is_some_and(|rare| mem::take(&mut rare.renewed));
        if let (Phase::Open(key), Some(client), true) = (&self.phase, &self.client, renewed) {
            state.renew(*key, client);
        }
        if self.is_ending() {
            let mut nothing = BytesMut::new();
            while let Some(event) = self.connection.poll_event(now, &mut nothing) {
                if let ServerEvent::Closed(closed) = event {
                    self.finish(now, state, &closed);
                }
            }
        }
        let Phase::Open(client) = self.phase else { return Turn::Idle };
        if self.is_entering() {
            return Turn::Idle;
        }
        let steps = self.steps.as_deref_mut();
        let drained =
            state.drain(now, client, &mut self.connection, &mut self.for_groups, &mut self.pins, steps);
        self.count_in_flight();
        match drained {
            Drained::Empty => Turn::Idle,
            Drained::Blocked => Turn::Blocked,
            Drained::Again => Turn::Again,
        }
    }

    /// Tells of a ban.
    fn tell(&mut self, state: &mut State) {
        if let Some(Ban { subject, cause, .. }) = self.rare.as_mut().and_then(|rare| rare.ban.take()) {
            state.tell_of_ban(subject, cause);
        }
    }

    fn finish(&mut self, now: Instant, state: &mut State, closed: &Closed) {
        match mem::replace(&mut self.phase, Phase::Done(Box::new(closed.clone()))) {
            Phase::Open(client) => {
                let for_groups = mem::take(&mut self.for_groups);
                let mut session = self.connection.take_session();
                if let Some(steps) = &mut self.steps {
                    session = steps.end(session);
                }
                state.disconnected(now, client, session, for_groups, closed);
            }
            Phase::Opening | Phase::Deciding(_) => {
                let cause = || NotConnected::Closed(closed.clone());
                state.refused(self.info.address, self.client_id(), cause);
            }
            Phase::Done(_) => {}
        }
    }

    /// Tells the client something, as soon as the store has what this has made since that op.
    fn answer(&mut self, now: Instant, state: &State, before: u64, step: Step) {
        match &mut self.steps {
            Some(steps) => {
                steps.take(now, &mut self.connection, waits_for(before, state.store_position()), step);
            }
            None => step.take(now, &mut self.connection),
        }
    }

    fn on_publish(
        &mut self,
        now: Instant,
        state: &mut State,
        client: ClientKey,
        message: &mut Message,
        token: Option<AckToken>,
        verdict: Verdict,
    ) {
        let before = state.store_position();
        let id = token.as_ref().map(AckToken::packet_id);
        let reason = match verdict {
            Ok(()) => state.publish(now, client, message, id),
            Err(reason) => reason,
        };
        let Some(token) = token else { return };
        if self.steps.is_none() {
            self.connection.ack(now, token, reason);
        } else if reason.is_error() && state.store_has_failed() && !self.connection.version().has_properties()
        {
            // Its acknowledgements know no reasons: it would take any for a success.
            self.disconnect(now, ReasonCode::QuotaExceeded);
        } else {
            self.answer(now, state, before, Step::Ack(token, reason));
        }
    }

    /// The store has failed, and the client waits for what will never be.
    fn lose_hope(&mut self, now: Instant) {
        if self.is_entering() {
            self.refuse(now, &Refusal::new(ReasonCode::ServerUnavailable));
        } else {
            self.disconnect(now, ReasonCode::QuotaExceeded);
        }
    }

    /// Sees to it that the next step is taken in time, and that a client which adds too much has to wait.
    fn await_store(&mut self, state: &mut State, before: u64, turn: Turn) -> Turn {
        let Some(steps) = &mut self.steps else { return turn };
        if state.store_position() > before
            && let Some(op) = state.store_is_behind()
        {
            steps.hold(op);
        }
        let due = steps.wait(&self.notify);
        match turn {
            Turn::Idle | Turn::Blocked if due && !self.connection.is_closed() => Turn::Again,
            turn => turn,
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn count_in_flight(&self) {
        let quota = self.connection.send_quota();
        self.notify.set_in_flight(usize::from(self.window).saturating_sub(quota));
    }

    fn on_subscribe(
        &mut self,
        now: Instant,
        state: &mut State,
        client: ClientKey,
        subscribe: &Subscribe,
        wishes: Vec<Result<Subscription, ReasonCode>>,
    ) {
        let id = subscribe.properties.subscription_identifier();
        let before = state.store_position();
        let reasons =
            wishes.into_iter().zip(subscribe.subscriptions.iter()).map(|(wish, asked)| match wish {
                Ok(subscription) => state.subscribe(client, &subscription, id),
                Err(reason) => {
                    state.note_subscription(client, &asked.filter, reason);
                    reason
                }
            });
        let ack = SubAck::new(subscribe.packet_id, reasons);
        self.answer(now, state, before, Step::SubAck(ack));
    }

    fn on_unsubscribe(
        &mut self,
        now: Instant,
        state: &mut State,
        client: ClientKey,
        packet_id: PacketId,
        filters: &[Option<TopicFilter>],
    ) {
        let before = state.store_position();
        let reasons = filters.iter().map(|filter| match filter {
            Some(filter) => state.unsubscribe(client, filter),
            None => ReasonCode::NoSubscriptionExisted,
        });
        let ack = UnsubAck::new(packet_id, reasons);
        self.answer(now, state, before, Step::UnsubAck(ack));
    }
}

/// A length in bytes, of nothing that may be longer than a packet, as a connection keeps it.
fn length(bytes: usize) -> u32 {
    bytes.try_into().unwrap_or(u32::MAX)
}

/// What is known of a peer and kept for the length of its connection, in bytes.
fn weight_of(info: &PeerInfo) -> usize {
    let upgrade = info.upgrade.as_ref().map_or(0, |upgrade| upgrade.memory());
    let tls = info.tls.as_ref().map_or(0, |tls| tls.client_certificates.iter().map(Vec::len).sum());
    upgrade + tls
}
