//! Incoming messages on their way to the application: acknowledged when they are in its queue, held when it is full.
//!
//! While nothing waits for the server, one message that finds a queue full ends the reading: back-pressure. While
//! something does, its answer is behind other messages in the same stream of bytes; then reading goes on and what
//! arrives is held here, up to the same bound once more. Of QoS 1 and 2 it is not acknowledged yet, so a server with a
//! window (the Receive Maximum of MQTT 5.0, `max_inflight` and the like before) stops by itself.

use super::router::Router;
use crate::acknowledgement::Ack;
use crate::event::Event;
use crate::inbox::{Effect, Inbox, Item, Offer};
use crate::outbox::Load;
use crate::shared::Shared;
use mqttkit_codec::{AckToken, ClientConnection, Instant, Message, QoS, ReasonCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

#[derive(Debug)]
pub(super) struct Intake {
    shared: Arc<Shared>,
    held: VecDeque<Held>,
    load: Load,
    limit: Load,
    /// Messages of QoS 0 that were dropped and not yet told of.
    dropped: u64,
    /// For the message at hand.
    targets: Vec<Arc<Inbox>>,
}

/// A message that not all who shall have it could take.
#[derive(Debug)]
struct Held {
    message: Message,
    /// To be acknowledged when all have it; none if that is the readers' matter.
    token: Option<AckToken>,
    /// Who has it not, and what acknowledges it there.
    waiting: Vec<(Arc<Inbox>, Option<Ack>)>,
}

/// More QoS 1 and 2 messages than can be held.
#[derive(Debug)]
pub(super) struct Overrun;

/// As many QoS 1 and 2 messages as there are packet identifiers are all that a peer can send unacknowledged.
const MAX_UNACKNOWLEDGED: usize = 65_535;

/// What a message needs around it.
pub(super) struct Hand<'a, 'c> {
    pub(super) cx: &'a Context<'c>,
    pub(super) now: Instant,
    pub(super) connection: &'a mut ClientConnection,
}

impl Hand<'_, '_> {
    fn acknowledge(&mut self, token: Option<AckToken>) {
        if let Some(token) = token {
            self.connection.ack(self.now, token, ReasonCode::Success);
        }
    }
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>, limit: Load) -> Self {
        Self { shared, held: VecDeque::new(), load: Load::default(), limit, dropped: 0, targets: Vec::new() }
    }

    /// Whether a queue of the application is full.
    pub(super) fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes a message that arrived.
    pub(super) fn take(
        &mut self,
        hand: &mut Hand<'_, '_>,
        router: &Router,
        message: Message,
        token: Option<AckToken>,
    ) -> Result<(), Overrun> {
        let mut targets = std::mem::take(&mut self.targets);
        router.route(&message, &mut targets);
        if targets.is_empty() {
            targets.push(Arc::clone(&self.shared.inbox));
        }
        let result = match &targets[..] {
            // By far the most usual, so without a copy.
            [inbox] if self.held.is_empty() && !(inbox.is_manual() && token.is_some()) => {
                match inbox.offer(hand.cx, Item { message, ack: None }) {
                    Offer::Taken(effect) => {
                        self.apply(hand, inbox, effect);
                        hand.acknowledge(token);
                        Ok(())
                    }
                    Offer::Full(Item { message, .. }) => {
                        self.hold(Held { message, token, waiting: vec![(Arc::clone(inbox), None)] })
                    }
                }
            }
            _ => self.take_for_all(hand, &targets, message, token),
        };
        targets.clear();
        self.targets = targets;
        result
    }

    fn take_for_all(
        &mut self,
        hand: &mut Hand<'_, '_>,
        targets: &[Arc<Inbox>],
        message: Message,
        token: Option<AckToken>,
    ) -> Result<(), Overrun> {
        let by_hand = targets.iter().filter(|inbox| inbox.is_manual() && token.is_some()).count();
        let mut acks = token.into_iter().flat_map(|token| Ack::for_readers(token, by_hand));
        let waiting: Vec<_> = targets
            .iter()
            .map(|inbox| (Arc::clone(inbox), if inbox.is_manual() { acks.next() } else { None }))
            .collect();
        let token = if by_hand > 0 { None } else { token };
        let mut held = Held { message, token, waiting };
        if self.held.is_empty() && self.pass_on(hand, &mut held) { Ok(()) } else { self.hold(held) }
    }

    /// Offers a message to all who have it not. Returns whether all have it then.
    fn pass_on(&mut self, hand: &mut Hand<'_, '_>, held: &mut Held) -> bool {
        for (inbox, ack) in std::mem::take(&mut held.waiting) {
            match inbox.offer(hand.cx, Item { message: held.message.clone(), ack }) {
                Offer::Taken(effect) => self.apply(hand, &inbox, effect),
                Offer::Full(Item { ack, .. }) => held.waiting.push((inbox, ack)),
            }
        }
        let done = held.waiting.is_empty();
        if done {
            hand.acknowledge(held.token.take());
        }
        done
    }

    fn hold(&mut self, held: Held) -> Result<(), Overrun> {
        let load = Load::of(&held.message);
        if held.message.qos == QoS::AtMostOnce && !self.load.takes(load, self.limit) {
            self.dropped += 1;
            self.shared.counters.incoming_dropped.increment();
            return Ok(());
        }
        let entries = self.limit.entries.saturating_add(MAX_UNACKNOWLEDGED);
        let fits = self.load.takes(load, Load { entries, ..self.limit });
        // Kept even then: of QoS 2 the codec knows that it is here, so it will not come again.
        self.load.add(load);
        self.held.push_back(held);
        if fits { Ok(()) } else { Err(Overrun) }
    }

    /// Moves on what has found room meanwhile. Returns whether something moved.
    pub(super) fn forward(&mut self, hand: &mut Hand<'_, '_>) -> bool {
        let before = self.held.len();
        while let Some(mut held) = self.held.pop_front() {
            let load = Load::of(&held.message);
            if !self.pass_on(hand, &mut held) {
                self.held.push_front(held);
                break;
            }
            self.load.remove(load);
        }
        if self.held.is_empty() && self.dropped > 0 {
            self.shared.tell(&Event::Dropped { messages: std::mem::take(&mut self.dropped) });
        }
        before != self.held.len()
    }

    /// A connection is established.
    pub(super) fn connection_established(&mut self, router: &Router, resumed: bool) {
        if resumed {
            // Not acknowledged, so the server sends it again; of QoS 2 the codec knows that it is here.
            self.held.retain(|held| held.message.qos != QoS::AtLeastOnce);
            self.shared.inbox.forget_unacknowledged();
            router.inboxes().for_each(|inbox| inbox.forget_unacknowledged());
        } else {
            // Nobody waits for these acknowledgements, and their identifiers get another meaning.
            self.held.iter_mut().for_each(|held| held.token = None);
        }
        self.load = Load::default();
        for held in &self.held {
            self.load.add(Load::of(&held.message));
        }
    }

    /// Does what an offer demands besides.
    fn apply(&self, hand: &mut Hand<'_, '_>, inbox: &Inbox, effect: Effect) {
        let Effect { dropped, acks, tell, ended } = effect;
        if dropped > 0 {
            self.shared.counters.incoming_dropped.increase(dropped as usize);
        }
        for (token, reason) in acks.into_iter().filter_map(|ack| ack.complete(ReasonCode::Success)) {
            hand.connection.ack(hand.now, token, reason);
        }
        if let Some(dropped) = tell {
            let filter = inbox.stream().map(|(_, filter)| filter.clone());
            self.shared.tell(&Event::SlowReader { filter, dropped });
        }
        if ended && let Some((id, _)) = inbox.stream() {
            self.shared.outbox.stream_ended(*id);
        }
    }
}
