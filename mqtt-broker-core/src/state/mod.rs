//! `State`: everything the broker knows, without a clock, a runtime, a socket or an await.
//!
//! It is told the time and what clients do, and changes at once. Connections come to fetch what waits for them;
//! the state collects whom to wake, and its owner wakes them when it has let go of the lock.

#[cfg(test)]
mod agreement;
mod connect;
mod deliver;
mod encoded;
mod exchange;
mod filters;
mod group;
mod handover;
mod journal;
mod list;
#[cfg(test)]
mod model;
mod names;
mod outbox;
mod publish;
mod restore;
mod retained;
mod router;
mod routes;
mod session;
mod shelves;
mod subscribe;
mod sys;
mod timers;

use std::net::SocketAddr;
use std::sync::Arc;

use mqttkit_codec::{Instant, ReasonCode, Str, TopicFilter, TopicName, matches};

use self::encoded::Packets;
use self::group::Random;
use self::journal::Journal;
use self::names::Names;
use self::outbox::ReadBuffer;
use self::publish::Delivery;
use self::retained::Retained;
use self::router::Router;
use self::session::{Kick, LinkStatus, Session};
use self::shelves::Shelves;
use self::sys::Sys;
use self::timers::Timers;
use crate::budget::Budget;
use crate::config::Config;
use crate::doorman::{BanCause, Banned};
use crate::events::{DropCause, Event, Events, NotConnected, Observers};
use crate::notify::Notify;
use crate::policy::{Client, Refusal};
use crate::remarks::Remarks;
use crate::rules::Rules;
use crate::stats::{Dropped, Stats};
use crate::trace::{self, TraceError};

pub(crate) use connect::Connecting;
pub(crate) use deliver::{Drained, Pins, Received};
pub(crate) use handover::InFlightForGroups;
pub(crate) use journal::Clock;
pub(crate) use publish::UNKNOWN;

/// A client as its connection knows it. It names a connection, not only a session: when the session has been
/// taken over, the key of the earlier connection is good for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientKey {
    slot: usize,
    link: u64,
}

/// Sessions, subscriptions, retained messages and wills.
#[derive(Debug)]
pub(crate) struct State {
    config: Arc<Config>,
    budget: Arc<Budget>,
    sessions: Shelves<Session>,
    names: Names,
    router: Router,
    retained: Retained,
    timers: Timers,
    /// Makes assigned client identifiers unique beyond this process.
    id_prefix: String,
    next_link: u64,
    /// Numbers publications.
    sequence: u64,
    /// What the next of them were read into.
    buffer: ReadBuffer,
    counters: Counters,
    /// Sessions whose connections are to be woken.
    woken: Vec<usize>,
    /// Connections that are to be woken and have no session.
    successors: Vec<Arc<Notify>>,
    /// Memory for the matches of one publication, used again for the next.
    matches: Vec<Delivery>,
    groups: Vec<usize>,
    /// The same for its packets.
    packets: Packets,
    random: Random,
    observers: Observers,
    /// Publications to these are logged.
    traced: Vec<TopicFilter>,
    sys: Sys,
    journal: Journal,
}

#[derive(Debug, Default)]
struct Counters {
    published: u64,
    delivered: u64,
    dropped: Dropped,
    retained_refused: u64,
    refused: u64,
    slow_consumers: u64,
    clients: usize,
}

impl Counters {
    /// Messages for a client were dropped: counts them, and tells whoever watches.
    fn lose(&mut self, observers: &mut Observers, client_id: &Str, cause: DropCause, count: u64) {
        if count > 0 {
            *self.dropped.counter(cause) += count;
            observers.remarks.dropped(client_id, cause, count);
            observers.emit(|| Event::Dropped { client_id: client_id.clone(), cause, count });
        }
    }
}

impl State {
    /// A broker without sessions. `id_prefix` starts every client identifier that it assigns; all that is
    /// left to chance follows from `seed`.
    pub(crate) fn new(rules: &Rules, id_prefix: String, seed: u64) -> Self {
        Self {
            config: Arc::clone(&rules.config),
            budget: Arc::clone(&rules.budget),
            sessions: Shelves::new(),
            names: Names::default(),
            router: Router::new(Arc::clone(&rules.budget)),
            retained: Retained::new(Arc::clone(&rules.budget)),
            timers: Timers::default(),
            id_prefix,
            next_link: 0,
            sequence: 0,
            buffer: ReadBuffer::default(),
            counters: Counters::default(),
            woken: Vec::new(),
            successors: Vec::new(),
            matches: Vec::new(),
            groups: Vec::new(),
            packets: Packets::default(),
            observers: Observers::default(),
            traced: Vec::new(),
            random: Random::new(seed),
            sys: Sys::default(),
            journal: Journal::default(),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do: a delayed will, the end of a session,
    /// figures to publish.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.sys_timeout()].into_iter().flatten().min()
    }

    /// Publishes the wills and ends the sessions whose time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.handle_sys(now);
        if let Some(error) = self.journal.take_failure() {
            self.observers.emit(|| Event::StoreFailed { error });
        }
        while let Some(slot) = self.timers.pop(now) {
            let session = &mut self.sessions[slot];
            let is_slow = session.slow_at.take_if(|at| *at <= now).is_some();
            let (ends, is_will_due) = session.presence.take_due(now);
            let will = if is_will_due {
                let will = session.will.take().map(|will| *will);
                session.weigh(&self.budget);
                will
            } else {
                None
            };
            let next = session.deadline();
            self.timers.set(slot, None, next);
            if let Some(will) = will {
                self.publish_will(now, slot, will);
            }
            if is_slow && self.kick_slot(slot, ReasonCode::QuotaExceeded.into()) {
                self.counters.slow_consumers += 1;
            }
            if ends {
                self.end_session(now, slot);
            }
        }
    }

    /// Asks the connection of a client to end. Returns whether there is one.
    pub(crate) fn kick(&mut self, client_id: &Str, refusal: Refusal) -> bool {
        let Some(slot) = self.slot_of(client_id) else { return false };
        self.kick_slot(slot, refusal)
    }

    /// Asks the connections of the banned to end, in `count` places from `start` on. Returns where to go on, if there is
    /// more.
    pub(crate) fn kick_banned(&mut self, subject: &Banned, start: usize, count: usize) -> Option<usize> {
        let end = start.saturating_add(count);
        for slot in start..end.min(self.sessions.end()) {
            let link = self.sessions.get(slot).and_then(|session| session.presence.link());
            let client = link.and_then(|link| link.client.as_deref());
            if client.is_some_and(|client| subject.is_about(client)) {
                self.kick_slot(slot, ReasonCode::AdministrativeAction.into());
            }
        }
        (end < self.sessions.end()).then_some(end)
    }

    pub(crate) fn tell_of_ban(&mut self, subject: Banned, cause: BanCause) {
        self.observers.emit(|| Event::Banned { subject, cause });
    }

    /// A client has authenticated again.
    pub(crate) fn renew(&mut self, key: ClientKey, client: &Arc<Client>) {
        if self.current(key).is_some()
            && let Some(link) = self.sessions[key.slot].presence.link_mut()
        {
            link.client = Some(Arc::clone(client));
        }
    }

    /// Asks the connections of all clients to end.
    pub(crate) fn kick_all(&mut self, reason: ReasonCode) {
        let online: Vec<usize> =
            self.sessions.iter().filter(|(_, session)| session.is_online()).map(|(slot, _)| slot).collect();
        for slot in online {
            self.kick_slot(slot, reason.into());
        }
    }

    /// Why this connection must end, if it must.
    pub(crate) fn kicked(&self, client: ClientKey) -> Option<Refusal> {
        match self.current(client) {
            Some(session) => session.presence.link()?.kick.as_ref().map(|kick| kick.refusal.clone()),
            None => Some(ReasonCode::SessionTakenOver.into()),
        }
    }

    /// Moves the bells of all connections that have something to fetch to `bells`, to be rung without the lock.
    pub(crate) fn take_wakes(&mut self, bells: &mut Vec<Arc<Notify>>) {
        for slot in self.woken.drain(..) {
            let link = self.sessions.get(slot).and_then(|session| session.presence.link());
            // Who came by meanwhile need not be called.
            if let Some(link) = link.filter(|link| link.status == LinkStatus::Woken) {
                bells.push(Arc::clone(&link.notify));
            }
        }
        bells.append(&mut self.successors);
        self.observers.take_bells(bells);
    }

    /// Somebody watches from now on.
    pub(crate) fn observe(&mut self, capacity: usize, messages: bool) -> Events {
        self.observers.observe(capacity, messages)
    }

    /// A connection never became a client.
    pub(crate) fn refused(
        &mut self,
        address: Option<SocketAddr>,
        client_id: Option<&Str>,
        cause: impl FnOnce() -> NotConnected,
    ) {
        self.observers.emit(|| Event::Refused { address, client_id: client_id.cloned(), cause: cause() });
    }

    /// What is to be logged when the lock is open, if there is anything.
    pub(crate) fn take_remarks(&mut self) -> Option<Remarks> {
        let remarks = &mut self.observers.remarks;
        if remarks.is_empty() { None } else { Some(std::mem::take(remarks)) }
    }

    /// Logs what is published to this filter from now on. Returns whether that is new.
    pub(crate) fn trace_topic(&mut self, filter: &TopicFilter) -> Result<bool, TraceError> {
        if self.traced.contains(filter) {
            return Ok(false);
        }
        if self.traced.len() >= trace::MOST {
            return Err(TraceError::TooMany);
        }
        self.traced.push(filter.detached());
        Ok(true)
    }

    /// Ends that. Returns whether it was so.
    pub(crate) fn untrace_topic(&mut self, filter: &TopicFilter) -> bool {
        let before = self.traced.len();
        self.traced.retain(|known| known != filter);
        self.traced.len() < before
    }

    pub(crate) fn traced_topics(&self) -> Vec<TopicFilter> {
        self.traced.clone()
    }

    fn is_traced(&self, topic: &TopicName) -> bool {
        !self.traced.is_empty() && self.traced.iter().any(|filter| matches(filter.pattern(), topic.as_str()))
    }

    /// Adds what the state counts.
    pub(crate) fn stats(&self, stats: &mut Stats) {
        stats.sessions = self.sessions.len();
        stats.clients = self.counters.clients;
        stats.subscriptions = self.router.len();
        stats.retained_messages = self.retained.len();
        stats.retained_bytes = self.retained.bytes();
        stats.messages_published = self.counters.published;
        stats.messages_delivered = self.counters.delivered;
        stats.dropped = self.counters.dropped;
        stats.messages_refused = self.counters.refused;
        stats.slow_consumers = self.counters.slow_consumers;
        stats.retained_refused = self.counters.retained_refused;
        (stats.store_ops, stats.store_bytes) = self.journal.behind();
        stats.store_failed = self.journal.has_failed();
    }

    /// Where the session with this name is.
    fn slot_of(&self, client_id: &Str) -> Option<usize> {
        self.names.get(client_id, &self.sessions)
    }

    fn current(&self, client: ClientKey) -> Option<&Session> {
        let session = self.sessions.get(client.slot)?;
        session.presence.link().filter(|link| link.id == client.link).map(|_| session)
    }

    fn kick_slot(&mut self, slot: usize, refusal: Refusal) -> bool {
        let Some(link) = self.sessions.get_mut(slot).and_then(|session| session.presence.link_mut()) else {
            return false;
        };
        link.kick.get_or_insert_with(|| Box::new(Kick { refusal, successors: Vec::new() }));
        link.status = LinkStatus::Woken;
        self.woken.push(slot);
        true
    }

    /// Wakes the connection of a session for a message, unless it will come anyway.
    fn wake(&mut self, slot: usize) {
        if let Some(link) = self.sessions[slot].presence.link_mut()
            && link.status == LinkStatus::Idle
        {
            link.status = LinkStatus::Woken;
            self.woken.push(slot);
        }
    }
}
