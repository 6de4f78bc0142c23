//! `Session`: what the broker keeps of one client, connected or not.
//!
//! ```text
//!            connect                    disconnected, expiry > 0
//!   (none) ──────────▶ connected ───────────────────────────────▶ waiting
//!                       │  ▲  └─ disconnected, expiry 0 ─▶ (none)    │ │
//!                       │  └────────────── connect ──────────────────┘ │
//!                       └─ kick: the link is asked to give it back     └─ expiry, clean start ─▶ (none)
//! ```

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::{Instant, Session as InFlight, Str, TopicFilter, Version, Will};

use super::filters::Filters;
use super::handover::InFlightForGroups;
use super::outbox::{Outbox, Room};
use super::publish::levels;
use super::retained::Cursors;
use crate::budget::{Budget, LEVEL, MESSAGE, SESSION, SUBSCRIPTION};
use crate::config::Config;
use crate::notify::Notify;
use crate::policy::{Client, Limits, Refusal};

/// A session that never ends by itself.
pub(super) const FOR_EVER: Duration = Duration::MAX;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Str,
    pub(super) presence: Presence,
    pub(super) subscriptions: Filters,
    pub(super) outbox: Outbox,
    /// Subscriptions that have not seen all their retained messages yet.
    pub(super) cursors: Cursors,
    /// How long it outlives its connection.
    pub(super) expiry: Duration,
    pub(super) will: Option<Box<Will>>,
    /// When a connected client that is behind is disconnected, unless it has caught up.
    pub(super) slow_at: Option<Instant>,
    /// The client is a bridge to another broker: it gets RETAIN as published and nothing of its own back.
    pub(super) bridge: bool,
    /// What stands before all topics of this client and is not for it to see.
    pub(super) mount_point: Option<Box<Str>>,
    /// What it holds is told to the store.
    pub(super) kept: bool,
    /// The store knows of it, if only for its will.
    pub(super) recorded: bool,
    /// The last publication this session was found for, and its place among the matches.
    pub(super) mark: u64,
    pub(super) place: u32,
    /// What its subscriptions weigh in the budget.
    pub(super) filters: usize,
    /// What it weighs altogether, beside what waits.
    weight: usize,
}

/// Whether the client is connected.
#[derive(Debug)]
pub(super) enum Presence {
    /// The connection that has the session now, and what is in flight with it.
    Here(Link),
    Gone {
        /// What is in flight.
        left: Option<Box<Left>>,
        /// When the session ends.
        expires_at: Option<Instant>,
        /// When the will is published.
        will_at: Option<Instant>,
    },
}

impl Presence {
    pub(super) fn link(&self) -> Option<&Link> {
        if let Self::Here(link) = self { Some(link) } else { None }
    }

    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        if let Self::Here(link) = self { Some(link) } else { None }
    }

    pub(super) fn left(&self) -> Option<&Left> {
        if let Self::Gone { left, .. } = self { left.as_deref() } else { None }
    }

    pub(super) fn take_left(&mut self) -> Option<Box<Left>> {
        if let Self::Gone { left, .. } = self { left.take() } else { None }
    }

    /// What was in flight with a connection that nobody remembers.
    pub(super) fn set_left(&mut self, found: Left) {
        if let Self::Gone { left, .. } = self {
            *left = Some(Box::new(found));
        }
    }

    /// A connection takes the session, and what is in flight.
    pub(super) fn come(&mut self, link: Link) -> Option<Box<Left>> {
        let left = self.take_left();
        *self = Self::Here(link);
        left
    }

    /// A connection that comes must wait until the one that was asked to leave has given the session back.
    pub(super) fn wait(&mut self, notify: &Arc<Notify>) {
        if let Some(kick) = self.link_mut().and_then(|link| link.kick.as_mut()) {
            kick.successors.push(Arc::clone(notify));
        }
    }

    /// The connection is over. Returns those that waited for it.
    pub(super) fn leave(&mut self, left: Option<Box<Left>>) -> Vec<Arc<Notify>> {
        match mem::replace(self, Self::Gone { left, expires_at: None, will_at: None }) {
            Self::Here(Link { kick: Some(kick), .. }) => kick.successors,
            _ => Vec::new(),
        }
    }

    /// When the session of a client that is gone ends, and when its will is published.
    pub(super) fn set_times(&mut self, ends: Option<Instant>, publishes: Option<Instant>) {
        if let Self::Gone { expires_at, will_at, .. } = self {
            (*expires_at, *will_at) = (ends, publishes);
        }
    }

    /// Whether the session ends now, and whether its will is to be published.
    pub(super) fn take_due(&mut self, now: Instant) -> (bool, bool) {
        match self {
            Self::Here(_) => (false, false),
            Self::Gone { expires_at, will_at, .. } => {
                (expires_at.is_some_and(|at| at <= now), will_at.take_if(|at| *at <= now).is_some())
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Here(_) => None,
            Self::Gone { expires_at, will_at, .. } => [*expires_at, *will_at].into_iter().flatten().min(),
        }
    }
}

/// Why a connection is to end.
#[derive(Debug)]
pub(super) struct Kick {
    pub(super) refusal: Refusal,
    /// Connections that wait until it has given the session back.
    pub(super) successors: Vec<Arc<Notify>>,
}

/// What a connection left in flight when it ended.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) in_flight: InFlight,
    /// Which of that came for groups.
    pub(super) for_groups: InFlightForGroups,
}

/// The connection that has a session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) notify: Arc<Notify>,
    pub(super) kind: LinkKind,
    pub(super) status: LinkStatus,
    /// How many QoS 1 and 2 messages the client takes at a time.
    pub(super) window: u16,
    /// What encodes messages of QoS 0 for it, if they may be encoded when they are queued.
    pub(super) encoding: Option<Encoding>,
    /// The connection is to end.
    pub(super) kick: Option<Box<Kick>>,
    /// How many messages may wait for it.
    pub(super) max_messages: u32,
    /// How many bytes.
    pub(super) max_bytes: usize,
    /// Who it is, of a client of the network.
    pub(super) client: Option<Arc<Client>>,
    /// Since when.
    pub(super) since: Instant,
}

impl Link {
    /// How much may wait for it.
    pub(super) fn room(&self) -> Room {
        Room { messages: self.max_messages as usize, bytes: self.max_bytes, alone: usize::MAX }
    }
}

/// In what form a connection takes messages of QoS 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) version: Version,
    /// The largest packet, in bytes.
    pub(super) max_packet_size: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// A codec connection has what is in flight and must give it back.
    Network,
    /// A client in this process: nothing is ever in flight.
    Local,
}

/// Whether a connection must be woken for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkStatus {
    /// It has everything; the next message wakes it.
    Idle,
    /// It was woken and has not come yet.
    Woken,
    /// It cannot take more and will come by itself when it can.
    Blocked,
}

/// What a will weighs in the budget.
pub(super) fn weight_of(will: &Will) -> usize {
    MESSAGE + will.topic.as_bytes().len() + will.payload.len() + will.properties.as_bytes().len()
}

/// What a subscription weighs: in its session, and in the table of all.
pub(super) fn weight_of_filter(filter: &TopicFilter) -> usize {
    let text = filter.as_bytes();
    let levels = if filter.has_wildcard() || filter.is_shared() { levels(text) } else { 0 };
    SUBSCRIPTION + 2 * text.len() + LEVEL * levels
}

impl Session {
    pub(super) fn new(client_id: Str, budget: &Arc<Budget>) -> Self {
        Self {
            client_id,
            presence: Presence::Gone { left: None, expires_at: None, will_at: None },
            subscriptions: Filters::new(),
            outbox: Outbox::new(Arc::clone(budget)),
            cursors: Cursors::default(),
            expiry: Duration::ZERO,
            will: None,
            slow_at: None,
            bridge: false,
            mount_point: None,
            kept: false,
            recorded: false,
            mark: 0,
            place: 0,
            filters: 0,
            weight: 0,
        }
    }

    /// When it next has something to do without its client.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.presence.deadline(), self.slow_at].into_iter().flatten().min()
    }

    /// How much may wait for the client, and whether it is connected and will be.
    pub(super) fn room(&self, config: &Config) -> (Room, bool) {
        match self.presence.link().filter(|link| link.kick.is_none()) {
            Some(link) => (link.room(), true),
            None => (Room::offline(config), false),
        }
    }

    /// Tells the budget what it weighs, after any of that has changed.
    pub(super) fn weigh(&mut self, budget: &Budget) {
        let will = self.will.as_deref().map_or(0, weight_of);
        let in_flight = self.presence.left().map_or(0, |left| left.in_flight.memory());
        let new = SESSION + 2 * self.client_id.len() + self.filters + will + in_flight;
        budget.last(self.weight, new);
        self.weight = new;
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        let filters: usize = self.subscriptions.iter().map(weight_of_filter).sum();
        assert_eq!(filters, self.filters);
        let will = self.will.as_deref().map_or(0, weight_of);
        let in_flight = self.presence.left().map_or(0, |left| left.in_flight.memory());
        SESSION + 2 * self.client_id.len() + filters + will + in_flight
    }

    /// It has ended.
    pub(super) fn weighs_nothing(&mut self, budget: &Budget) {
        budget.last(self.weight, 0);
        self.weight = 0;
    }

    /// The limits that the policy gave to the client that is connected.
    pub(super) fn limits(&self) -> Option<&Limits> {
        Some(self.presence.link()?.client.as_ref()?.limits())
    }

    /// Messages that wait, and messages that it has not acknowledged.
    pub(super) fn outstanding(&self) -> usize {
        let in_flight = match &self.presence {
            Presence::Here(link) => link.notify.in_flight(),
            Presence::Gone { left, .. } => left.as_ref().map_or(0, |left| left.in_flight.in_flight()),
        };
        self.outbox.len() + in_flight
    }

    pub(super) fn is_online(&self) -> bool {
        self.presence.link().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Session;

    /// A broker has one for each client, most of which are idle.
    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 280, "a Session is {} bytes", size_of::<Session>());
    }
}
