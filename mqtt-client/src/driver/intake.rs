//! Incoming messages on their way to the application: acknowledged when they are in its queue, held when it is full.
//!
//! While nothing waits for the server, one message that finds the queue full ends the reading: back-pressure. While
//! something does, its answer is behind other messages in the same stream of bytes; then reading goes on and what
//! arrives is held here, up to the same bound once more. Of QoS 1 and 2 it is not acknowledged yet, so a server with a
//! window (the Receive Maximum of MQTT 5.0, `max_inflight` and the like before) stops by itself.

use crate::event::Event;
use crate::outbox::Load;
use crate::shared::Shared;
use mqttkit_codec::{AckToken, ClientConnection, Instant, Message, QoS, ReasonCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

#[derive(Debug)]
pub(super) struct Intake {
    shared: Arc<Shared>,
    held: VecDeque<(Message, Option<AckToken>)>,
    load: Load,
    limit: Load,
    /// Messages of QoS 0 that were dropped and not yet told of.
    dropped: u64,
}

/// More QoS 1 and 2 messages than can be held.
#[derive(Debug)]
pub(super) struct Overrun;

/// As many QoS 1 and 2 messages as there are packet identifiers are all that a peer can send unacknowledged.
const MAX_UNACKNOWLEDGED: usize = 65_535;

impl Intake {
    pub(super) fn new(shared: Arc<Shared>, limit: Load) -> Self {
        Self { shared, held: VecDeque::new(), load: Load::default(), limit, dropped: 0 }
    }

    /// Whether the application's queue is full.
    pub(super) fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes a message that arrived.
    pub(super) fn take(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        connection: &mut ClientConnection,
        message: Message,
        token: Option<AckToken>,
    ) -> Result<(), Overrun> {
        let mut message = message;
        if self.held.is_empty() {
            match self.shared.inbox.offer(cx, message) {
                Ok(()) => {
                    acknowledge(now, connection, token);
                    return Ok(());
                }
                Err(back) => message = back,
            }
        }
        let load = Load::of(&message);
        if message.qos == QoS::AtMostOnce && !self.load.takes(load, self.limit) {
            self.dropped += 1;
            return Ok(());
        }
        let entries = self.limit.entries.saturating_add(MAX_UNACKNOWLEDGED);
        let fits = self.load.takes(load, Load { entries, ..self.limit });
        // Kept even then: of QoS 2 the codec knows that it is here, so it will not come again.
        self.load.add(load);
        self.held.push_back((message, token));
        if fits { Ok(()) } else { Err(Overrun) }
    }

    /// Moves on what has found room meanwhile. Returns whether something moved.
    pub(super) fn forward(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        connection: &mut ClientConnection,
    ) -> bool {
        let before = self.held.len();
        while let Some((message, token)) = self.held.pop_front() {
            let load = Load::of(&message);
            if let Err(back) = self.shared.inbox.offer(cx, message) {
                self.held.push_front((back, token));
                break;
            }
            self.load.remove(load);
            acknowledge(now, connection, token);
        }
        if self.held.is_empty() && self.dropped > 0 {
            self.shared.events.tell(&Event::Dropped { messages: std::mem::take(&mut self.dropped) });
        }
        before != self.held.len()
    }

    /// A connection is established.
    pub(super) fn connection_established(&mut self, resumed: bool) {
        if resumed {
            // Not acknowledged, so the server sends it again; of QoS 2 the codec knows that it is here.
            self.held.retain(|(message, _)| message.qos != QoS::AtLeastOnce);
        } else {
            // Nobody waits for these acknowledgements, and their identifiers get another meaning.
            self.held.iter_mut().for_each(|(_, token)| *token = None);
        }
        self.load = Load::default();
        for (message, _) in &self.held {
            self.load.add(Load::of(message));
        }
    }
}

fn acknowledge(now: Instant, connection: &mut ClientConnection, token: Option<AckToken>) {
    if let Some(token) = token {
        connection.ack(now, token, ReasonCode::Success);
    }
}
