//! `Stats`: what the broker counts, and for every message that is dropped the cause.

use std::sync::Arc;
use std::time::Duration;

use mqttkit_codec::Str;

use crate::events::DropCause;
use crate::policy::Client;

/// A snapshot of the broker's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections now, from the accepted socket or the call of `serve` on.
    pub connections: usize,
    /// Connections closed at once because of [`Config::max_connections`](crate::Config::max_connections) or
    /// [`Listen::max_connections`](crate::Listen::max_connections).
    pub connections_refused: u64,
    /// Connections closed at once because of [`Config::connect_rate`](crate::Config::connect_rate).
    pub connections_too_often: u64,
    /// Connections closed at once or refused because of a ban.
    pub connections_banned: u64,
    /// Memory that all that is kept takes now, in bytes, as [`Config::max_memory`](crate::Config::max_memory) counts it.
    pub memory: usize,
    /// Sessions now, of connected clients and others.
    pub sessions: usize,
    /// Sessions now whose client is connected, over the network or in-process.
    pub clients: usize,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Retained messages now.
    pub retained_messages: usize,
    /// Bytes of retained messages now: topics, payloads, properties and an overhead of 64 each.
    pub retained_bytes: usize,
    /// Messages published since the start: by clients, by the host, by wills.
    pub messages_published: u64,
    /// Messages handed to clients since the start.
    pub messages_delivered: u64,
    /// Messages not handed to a client, by cause, since the start.
    pub dropped: Dropped,
    /// Messages refused as a whole with 0x97, since a receiver had no room and the configuration says
    /// [`Overflow::Refuse`](crate::Overflow::Refuse), since the start.
    pub messages_refused: u64,
    /// Clients disconnected because of
    /// [`Config::slow_consumer_timeout`](crate::Config::slow_consumer_timeout), since the start.
    pub slow_consumers: u64,
    /// Messages that should have been retained and were not, for lack of room, since the start.
    pub retained_refused: u64,
    /// Changes now that wait for the [store](crate::store); none any more when it has failed.
    pub store_ops: u64,
    /// What they cost, in bytes.
    pub store_bytes: u64,
    /// The store has failed.
    pub store_failed: bool,
}

/// A session, and its client if that is connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client identifier.
    pub client_id: Str,
    /// How long it has been connected; `None` for a session that waits for its client.
    pub connected_for: Option<Duration>,
    /// Who it is: identity, version, address, HTTP request, certificate. `None` for a session that waits for its
    /// client, and for a client within the process.
    pub client: Option<Arc<Client>>,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Messages that wait in its outbox now.
    pub waiting: usize,
}

/// Deliveries that did not happen. One message may count several times, once for each client it was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// QoS 0, and the client's outbox was full: it reads too slowly.
    pub slow_qos0: u64,
    /// QoS 1 or 2, and the client's outbox was full.
    pub slow: u64,
    /// QoS 1 or 2, and the queue of a client that is not connected was full.
    pub offline: u64,
    /// It would have had room in its queue, but there is too little left of
    /// [`Config::max_memory`](crate::Config::max_memory).
    pub memory: u64,
    /// Its lifetime ended before it could be sent.
    pub expired: u64,
    /// Larger than the packets that the client takes.
    pub too_large: u64,
    /// Waiting in a session that ended.
    pub session_ended: u64,
}

impl Dropped {
    /// All causes together.
    pub fn total(&self) -> u64 {
        DropCause::ALL.iter().map(|cause| self.of(*cause)).sum()
    }

    /// One cause.
    pub fn of(&self, cause: DropCause) -> u64 {
        let mut counters = *self;
        *counters.counter(cause)
    }

    pub(crate) fn counter(&mut self, cause: DropCause) -> &mut u64 {
        match cause {
            DropCause::SlowQos0 => &mut self.slow_qos0,
            DropCause::Slow => &mut self.slow,
            DropCause::Offline => &mut self.offline,
            DropCause::Memory => &mut self.memory,
            DropCause::Expired => &mut self.expired,
            DropCause::TooLarge => &mut self.too_large,
            DropCause::SessionEnded => &mut self.session_ended,
        }
    }
}
