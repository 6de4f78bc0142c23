//! `AckToken`: by which the application acknowledges a message, and nothing but that message.

use crate::types::{PacketId, QoS};

/// Stands for a received QoS 1 or 2 message that waits to be acknowledged by the application.
///
/// Give it, once, to whatever has the session when the message is in safe hands: the connection's `ack`, or
/// [`Session::ack`](crate::Session::ack) between two connections. It means that one delivery and no other, however
/// often the identifier is used again: at any other time it does nothing. That of a QoS 1 message ends with its
/// connection, since the sender will send the message again. Those of a session that has ended must be dropped when
/// another [`Session`](crate::Session) takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken {
    pub(crate) packet_id: PacketId,
    pub(crate) qos: QoS,
    pub(crate) delivery: DeliveryNumber,
}

impl AckToken {
    /// The Packet Identifier of the message.
    pub const fn packet_id(&self) -> PacketId {
        self.packet_id
    }

    /// The QoS of the message.
    pub const fn qos(&self) -> QoS {
        self.qos
    }
}

/// Tells the deliveries of a session apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct DeliveryNumber {
    /// Which of the session's connections it came over. It is stored with the session, so that a token does not
    /// survive a restart in which its delivery was forgotten.
    pub(crate) connection: u32,
    /// Which of the deliveries it was, up to an overflow that no token lives to see.
    pub(crate) serial: u32,
}
