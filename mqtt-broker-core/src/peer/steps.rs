//! `Steps`: what a connection does when the store has what it is about. Only with a store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::{
    AckToken, ConnAck, Disconnect, Instant, PacketId, QoS, ReasonCode, ServerConnection, Session as InFlight,
    SubAck, UnsubAck,
};

use crate::notify::Notify;
use crate::store::{Progress, Registration};

/// Something that a client is told, and that must be true after a restart.
#[derive(Debug)]
pub(crate) enum Step {
    /// CONNACK, and what the session has in flight.
    Accept(Box<(ConnAck, InFlight)>),
    /// PUBACK or PUBREC.
    Ack(AckToken, ReasonCode),
    SubAck(SubAck),
    UnsubAck(UnsubAck),
    /// PUBLISH of QoS 2.
    Send(PacketId),
    /// PUBREL.
    Release(PacketId),
    /// PUBCOMP.
    Complete(PacketId),
}

/// The steps of one connection that wait for the store, in their order.
#[derive(Debug)]
pub(crate) struct Steps {
    progress: Progress,
    /// With the op that each waits for; these never fall.
    queue: VecDeque<(u64, Step)>,
    /// The client has added too much to what waits for the store, and is not read until this op is durable.
    held: Option<u64>,
    /// Until then a client that was not read is not silent.
    excused_until: Option<Instant>,
    place: Option<Registration>,
}

impl Steps {
    pub(super) fn new(progress: Progress) -> Self {
        Self { progress, queue: VecDeque::new(), held: None, excused_until: None, place: None }
    }

    /// Takes a step as soon as everything up to this op is durable, and all steps before it are taken.
    pub(crate) fn take(&mut self, now: Instant, connection: &mut ServerConnection, op: u64, step: Step) {
        let last = self.queue.back().map_or(0, |&(op, _)| op);
        if self.queue.is_empty() && op <= self.progress.position() {
            step.take(now, connection);
        } else {
            self.queue.push_back((op.max(last), step));
        }
    }

    /// Takes all steps that are due.
    pub(super) fn advance(&mut self, now: Instant, connection: &mut ServerConnection) {
        let position = self.progress.position();
        while self.queue.front().is_some_and(|&(op, _)| op <= position)
            && let Some((_, step)) = self.queue.pop_front()
        {
            step.take(now, connection);
        }
        if self.held.is_some_and(|op| op <= position || self.progress.has_failed()) {
            self.held = None;
            self.excused_until = Some(now + GRACE);
        }
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            self.queue = VecDeque::new();
        }
    }

    /// Nothing more is read from the client until this op is durable.
    pub(super) fn hold(&mut self, op: u64) {
        self.held = Some(op);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// When the client can have been silent for too long, if it is so by this time: not while it is not read, and not
    /// before what came meanwhile can have been read.
    pub(super) fn excuse(&self, timeout: Option<Instant>) -> Option<Instant> {
        let timeout = timeout.filter(|_| !self.is_held())?;
        Some(self.excused_until.map_or(timeout, |excused| timeout.max(excused)))
    }

    /// Whether CONNACK waits: nothing else can happen until then.
    pub(super) fn is_entering(&self) -> bool {
        matches!(self.queue.front(), Some((_, Step::Accept(_))))
    }

    /// Whether something waits that will never come.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.queue.is_empty() && self.progress.has_failed()
    }

    /// Has the bell rung when the next step is due. Returns whether one is due already.
    pub(super) fn wait(&mut self, bell: &Arc<Notify>) -> bool {
        let next = self.queue.front().map(|&(op, _)| op);
        let Some(op) = next.into_iter().chain(self.held).min() else {
            self.place = None;
            return false;
        };
        if self.place.as_ref().is_none_or(|place| place.op() != op) {
            self.place = Some(self.progress.register(op, bell));
        }
        self.progress.position() >= op || self.progress.has_failed()
    }

    /// The connection has ended: gives the session what it has to know of the steps that were not taken. `session` is
    /// what the connection gave back.
    pub(super) fn end(&mut self, session: InFlight) -> InFlight {
        self.place = None;
        let mut session = session;
        for (_, step) in std::mem::take(&mut self.queue) {
            match step {
                Step::Accept(accept) => session = accept.1,
                // Its PUBREC leaves with the next connection, whose CONNACK waits for the same op.
                Step::Ack(token, reason) if token.qos() == QoS::ExactlyOnce => session.ack(token, reason),
                // The next connection sends these by itself, or is asked for them again.
                _ => {}
            }
        }
        session
    }
}

impl Step {
    pub(super) fn take(self, now: Instant, connection: &mut ServerConnection) {
        let answered = match self {
            Self::Accept(accept) => {
                let (connack, in_flight) = *accept;
                connection.accept(now, connack, in_flight);
                Ok(())
            }
            Self::Ack(token, reason) => {
                connection.ack(now, token, reason);
                Ok(())
            }
            Self::SubAck(ack) => connection.sub_ack(now, &ack),
            Self::UnsubAck(ack) => connection.unsub_ack(now, &ack),
            Self::Send(id) => {
                connection.send(now, id);
                Ok(())
            }
            Self::Release(id) => {
                connection.release(now, id);
                Ok(())
            }
            Self::Complete(id) => {
                connection.complete(now, id);
                Ok(())
            }
        };
        if answered.is_err() {
            connection.disconnect(now, &Disconnect::new(ReasonCode::PacketTooLarge));
        }
    }
}

/// The op that something waits for, by the numbers of the last op before it and after it: none if it has made none.
pub(crate) fn waits_for(before: u64, after: u64) -> u64 {
    if after > before { after } else { 0 }
}

/// How long it may take to read what has come while nothing was read.
const GRACE: Duration = Duration::from_secs(1);

/// Steps that an empty queue keeps room for.
const KEPT_CAPACITY: usize = 32;
