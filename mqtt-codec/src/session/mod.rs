//! What outlives a connection: the messages in flight in both directions, and their identifiers.

mod export;
mod inbound;
mod outbound;
mod token;

pub use export::{Incoming, Outgoing, SessionState, SessionStateError};
pub(crate) use inbound::{Entry, Inbound, Received};
pub(crate) use outbound::{InFlight, Outbound};
pub use token::AckToken;
pub(crate) use token::DeliveryNumber;

use crate::reason::ReasonCode;
use crate::types::{PacketId, QoS};

/// The protocol's part of a Session: QoS 1 and 2 messages in flight, and the Packet Identifiers in use.
///
/// A connection takes it over when it starts and gives it back when it ends, so that the next one can resume.
/// What an application adds to a session, its subscriptions above all, is kept by the application.
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    /// The last delivery to the application, which counts connections as well.
    last_delivery: DeliveryNumber,
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

    /// What those messages are long, in bytes: topics, payloads and properties.
    pub fn in_flight_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// The memory that the session takes, in bytes, about. What messages share with others counts in full.
    pub fn memory(&self) -> usize {
        self.outbound.memory() + self.inbound.memory()
    }

    /// The QoS 2 messages of the peer that the application has acknowledged and that are not released, in ascending
    /// order: what must not be delivered again.
    ///
    /// Whoever keeps them where they survive the process does so before the bytes leave that were made meanwhile: a
    /// PUBREC makes the peer forget the message, a PUBCOMP its identifier.
    pub fn acknowledged(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.inbound.iter().filter(|(_, state)| *state == Received::Accepted).map(|(id, _)| id)
    }

    /// Acknowledges a QoS 2 message between two connections, while the session is with neither: when the sender sends
    /// it again, it is answered and not delivered again.
    ///
    /// One that is refused, by a reason that is an error, is delivered again instead, and can be refused again. A
    /// token of QoS 1 does nothing here: such a message is always sent and delivered again.
    pub fn ack(&mut self, token: AckToken, reason: ReasonCode) {
        if token.qos == QoS::ExactlyOnce {
            self.inbound.answer(token, !reason.is_error());
        }
    }

    /// Forgets all messages in flight, as at a clean start.
    pub fn clear(&mut self) {
        self.outbound = Outbound::default();
        self.inbound = Inbound::default();
        self.discarded = false;
    }

    pub(crate) fn begin_connection(&mut self) {
        self.last_delivery.connection = self.last_delivery.connection.wrapping_add(1);
    }

    /// Forgets what belonged to the connection that ended.
    pub(crate) fn end_connection(&mut self) {
        self.outbound.end_connection();
        self.inbound.end_connection();
    }

    /// Which connection the session is on.
    pub(crate) fn connection(&self) -> u32 {
        self.last_delivery.connection
    }

    /// The number of another delivery.
    pub(crate) fn next_delivery(&mut self) -> DeliveryNumber {
        self.last_delivery.serial = self.last_delivery.serial.wrapping_add(1);
        self.last_delivery
    }
}
