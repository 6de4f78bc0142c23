//! What is to be done and what waits for the server: it outlives connections, so that tickets do.
//!
//! ```text
//!   handles ──▶ pending ──▶ (a connection) ──▶ in flight ──▶ ticket resolved
//!                  ▲                               │
//!                  └──── connection or session lost ┘
//! ```

use crate::continuity::Continuity;
use crate::error::{PublishError, SubscribeError};
use crate::event::Event;
use crate::outbox::{Answer, Command, Control, Load, Outgoing, Request, RequestKind};
use crate::shared::Shared;
use crate::ticket::Resolver;
use mqttkit_codec::{
    ConnAck, EncodeError, List, Message, PacketId, ReasonCode, SubscribeProperties, Subscription,
    SubscriptionOptions, TopicFilter,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Context;

#[derive(Debug)]
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    /// What no connection has taken yet, in order.
    pub(super) pending: VecDeque<Command>,
    /// QoS 1 and 2 messages that a connection has taken.
    in_flight: InFlight,
    max_in_flight: usize,
    /// Requests that a connection has taken, in order.
    requests: VecDeque<(PacketId, Request)>,
    /// Requests of a connection that ended: to be asked again before anything else.
    reissue: VecDeque<Request>,
    /// What is subscribed to, for when the server has forgotten.
    subscriptions: BTreeMap<TopicFilter, (SubscriptionOptions, SubscribeProperties)>,
    /// Places in the queue to give back at the end of the turn.
    released: Load,
    /// Connections there have been.
    connections: u64,
    ended: bool,
}

/// Subscriptions restored with one request.
const RESUBSCRIBE_BATCH: usize = 64;
/// Packet identifiers in use at which nothing more is sent.
const MAX_IDENTIFIERS: usize = 65_000;

impl Work {
    pub(super) fn new(shared: Arc<Shared>, max_in_flight: usize) -> Self {
        Self {
            shared,
            pending: VecDeque::new(),
            in_flight: InFlight::default(),
            max_in_flight,
            requests: VecDeque::new(),
            reissue: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            released: Load::default(),
            connections: 0,
            ended: false,
        }
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// Takes what the handles have queued.
    pub(super) fn take(&mut self, cx: &Context<'_>) -> Control {
        self.shared.outbox.take(cx, &mut self.pending)
    }

    /// Gives the places of what is complete back.
    pub(super) fn release(&mut self) {
        if !self.released.is_zero() {
            self.shared.outbox.release(std::mem::take(&mut self.released));
        }
    }

    /// Messages and requests that are not complete. Those that restore a session do not count.
    pub(super) fn unfinished(&self) -> usize {
        let asked = self.requests.iter().map(|(_, request)| request).chain(&self.reissue);
        self.pending.iter().filter(|command| !is_own(command)).count()
            + self.in_flight.len()
            + asked.filter(|request| request.ticket.is_some()).count()
    }

    /// Ends everything: what is not complete never will be. Returns how much that was, the first time.
    pub(super) fn end(&mut self) -> usize {
        let left = self.unfinished();
        self.ended = true;
        // Closed first, so that whoever learns of the end finds it everywhere.
        self.shared.outbox.close();
        self.shared.status().connected = false;
        self.pending.clear();
        self.requests.clear();
        self.reissue.clear();
        drop(self.in_flight.take_all());
        self.shared.inbox.end();
        self.shared.events.tell(&Event::Ended);
        left
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether there is nothing to send and nothing to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && !self.is_waiting() && self.reissue.is_empty()
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

    pub(super) fn sent(
        &mut self,
        id: PacketId,
        ticket: Resolver<Result<ReasonCode, PublishError>>,
        load: Load,
    ) {
        self.in_flight.insert(id, Flying { ticket, load });
    }

    pub(super) fn complete(&mut self, outgoing: Outgoing, outcome: Result<ReasonCode, PublishError>) {
        self.finish(outgoing.ticket, outgoing.load, outcome);
    }

    pub(super) fn finish(
        &mut self,
        ticket: Resolver<Result<ReasonCode, PublishError>>,
        load: Load,
        outcome: Result<ReasonCode, PublishError>,
    ) {
        self.released.add(load);
        ticket.resolve(outcome);
    }

    pub(super) fn acknowledged(&mut self, id: PacketId, reason: ReasonCode) {
        if let Some(flying) = self.in_flight.remove(id) {
            let outcome = if reason.is_error() { Err(PublishError::Refused(reason)) } else { Ok(reason) };
            self.finish(flying.ticket, flying.load, outcome);
        }
    }

    /// Puts messages that did not get out back in front of the others, in their order.
    pub(super) fn put_back(&mut self, outgoing: impl DoubleEndedIterator<Item = Outgoing>) {
        for outgoing in outgoing.rev() {
            self.pending.push_front(Command::Publish(outgoing));
        }
    }

    // ---- subscriptions

    pub(super) fn asked(&mut self, id: PacketId, request: Request) {
        self.requests.push_back((id, request));
    }

    /// A request cannot be written.
    pub(super) fn unwritable(&mut self, request: Request, error: EncodeError) {
        let Request { kind, ticket, load } = request;
        self.released.add(load);
        if let Some(ticket) = ticket {
            return ticket.resolve(Err(SubscribeError::Encode(error)));
        }
        let RequestKind::Subscribe(mut list, properties) = kind else { return };
        if list.len() > 1 {
            // A batch of our own, which was too large for this server.
            let rest = list.split_off(list.len() / 2);
            self.restore_first(rest, properties.clone());
            self.restore_first(list, properties);
        } else if let Some(subscription) = list.pop() {
            self.lose(subscription.filter, ReasonCode::PacketTooLarge);
        }
    }

    pub(super) fn answered(&mut self, id: PacketId, reasons: &List<ReasonCode>) {
        let Some(at) = self.requests.iter().position(|&(open, _)| open == id) else { return };
        let Some((_, Request { kind, ticket, load })) = self.requests.remove(at) else { return };
        self.released.add(load);
        let mut reasons: Vec<_> = reasons.iter().collect();
        match kind {
            RequestKind::Subscribe(list, properties) => {
                reasons.resize(list.len(), ReasonCode::UnspecifiedError);
                for (subscription, &reason) in list.into_iter().zip(&reasons) {
                    let Subscription { filter, options } = subscription;
                    if !reason.is_error() {
                        self.subscriptions.insert(filter, (options, properties.clone()));
                    } else if ticket.is_none() {
                        self.lose(filter, reason);
                    }
                }
            }
            RequestKind::Unsubscribe(list, _) => {
                // Before MQTT 5.0 there are no reasons, and nothing can fail.
                reasons.resize(list.len(), ReasonCode::Success);
                for (filter, reason) in list.iter().zip(&reasons) {
                    if !reason.is_error() {
                        self.subscriptions.remove(filter);
                    }
                }
            }
        }
        if let Some(ticket) = ticket {
            let answer: Answer = Ok(reasons);
            ticket.resolve(answer);
        }
    }

    fn lose(&mut self, filter: TopicFilter, reason: ReasonCode) {
        self.subscriptions.remove(&filter);
        self.shared.events.tell(&Event::SubscriptionLost { filter, reason });
    }

    // ---- connections

    /// The connection has ended: its requests must be asked again.
    pub(super) fn connection_ended(&mut self) {
        self.reissue.extend(self.requests.drain(..).map(|(_, request)| request));
    }

    /// A connection is established. With `resumed` the codec sends again what is in flight; otherwise `lost` are the
    /// messages of the lost session, which are published anew, and the subscriptions are made anew.
    pub(super) fn connection_established(
        &mut self,
        connack: Arc<ConnAck>,
        resumed: bool,
        lost: Vec<(PacketId, Message)>,
    ) {
        self.connections += 1;
        let resent = if resumed { self.in_flight.len() } else { 0 };
        let mut again = Vec::with_capacity(lost.len());
        for (id, message) in lost {
            if let Some(Flying { ticket, load }) = self.in_flight.remove(id) {
                again.push(Outgoing { message, ticket, load });
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
        while let Some(request) = self.reissue.pop_back() {
            // What restores a session is made afresh below where it is needed.
            if request.ticket.is_some() || connack.session_present {
                self.pending.push_front(Command::Request(request));
            } else {
                self.released.add(request.load);
            }
        }
        // MQTT 3.1 does not say whether the session is there; to subscribe twice does no harm.
        let resubscribed = if connack.session_present { 0 } else { self.resubscribe() };
        let continuity = Continuity {
            session_present: connack.session_present,
            connection: self.connections,
            resent,
            republished,
            unconfirmed,
            resubscribed,
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
        self.shared.events.tell(&Event::Connected(continuity));
    }

    /// Asks for all subscriptions again, before everything else.
    fn resubscribe(&mut self) -> usize {
        self.pending.retain(|command| !is_own(command));
        let mut batches: Vec<(Vec<Subscription>, SubscribeProperties)> = Vec::new();
        for (filter, (options, properties)) in &self.subscriptions {
            let subscription = Subscription { filter: filter.clone(), options: *options };
            match batches.last_mut() {
                Some((list, same))
                    if list.len() < RESUBSCRIBE_BATCH && same.as_bytes() == properties.as_bytes() =>
                {
                    list.push(subscription);
                }
                _ => batches.push((vec![subscription], properties.clone())),
            }
        }
        for (list, properties) in batches.into_iter().rev() {
            self.restore_first(list, properties);
        }
        self.subscriptions.len()
    }

    fn restore_first(&mut self, list: Vec<Subscription>, properties: SubscribeProperties) {
        let kind = RequestKind::Subscribe(list, properties);
        self.pending.push_front(Command::Request(Request { kind, ticket: None, load: Load::default() }));
    }
}

/// Whether it is one of the driver's own requests.
fn is_own(command: &Command) -> bool {
    matches!(command, Command::Request(Request { ticket: None, .. }))
}

/// The ticket of a message that waits for PUBACK or PUBCOMP.
#[derive(Debug)]
struct Flying {
    ticket: Resolver<Result<ReasonCode, PublishError>>,
    load: Load,
}

/// By packet identifier. The codec uses low numbers again, so it stays about as long as there are messages.
#[derive(Debug, Default)]
struct InFlight {
    slots: Vec<Option<Flying>>,
    len: usize,
}

impl InFlight {
    fn len(&self) -> usize {
        self.len
    }

    fn insert(&mut self, id: PacketId, flying: Flying) {
        let index = usize::from(id.get()) - 1;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.len += usize::from(self.slots[index].replace(flying).is_none());
    }

    fn remove(&mut self, id: PacketId) -> Option<Flying> {
        let flying = self.slots.get_mut(usize::from(id.get()) - 1)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.slots = Vec::new();
        }
        Some(flying)
    }

    fn take_all(&mut self) -> Vec<Flying> {
        self.len = 0;
        std::mem::take(&mut self.slots).into_iter().flatten().collect()
    }
}
