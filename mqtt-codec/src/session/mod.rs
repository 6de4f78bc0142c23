//! What outlives a connection: the messages in flight in both directions, and their identifiers.

mod export;
mod inbound;
mod outbound;

pub use export::{Incoming, Outgoing, SessionState, SessionStateError};
pub(crate) use inbound::{Inbound, Received};
pub(crate) use outbound::{InFlight, Outbound};

/// The protocol's part of a Session: QoS 1 and 2 messages in flight, and the Packet Identifiers in use.
///
/// A connection takes it over when it starts and gives it back when it ends, so that the next one can resume.
/// What an application adds to a session, its subscriptions above all, is kept by the application.
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    /// Counts connections, so that an acknowledgement of an earlier one is recognised.
    pub(crate) epoch: u32,
    /// The first connection after the session was last forgotten.
    pub(crate) first_epoch: u32,
    /// A clean start was asked for and not answered: the server may have forgotten all of this or not, so there must
    /// be another one. [MQTT-3.1.2-4]
    pub(crate) discarded: bool,
}

impl Session {
    /// A session without messages in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in flight, in either direction.
    pub fn is_empty(&self) -> bool {
        self.outbound.messages() == 0 && self.inbound.is_empty()
    }

    /// How many messages of ours are not yet completely acknowledged.
    pub fn in_flight(&self) -> usize {
        self.outbound.messages()
    }

    /// Forgets all messages in flight, as at a clean start.
    pub fn clear(&mut self) {
        self.outbound = Outbound::default();
        self.inbound = Inbound::default();
        self.first_epoch = self.epoch.wrapping_add(1);
        self.discarded = false;
    }
}
