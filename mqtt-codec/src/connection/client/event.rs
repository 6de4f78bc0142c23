//! `ClientEvent`: what a client's connection tells the application.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::connection::closed::Closed;
use crate::connection::common::CoreEvent;
use crate::message::Message;
use crate::packet::{Auth, ConnAck, SubAck, UnsubAck};
use crate::reason::ReasonCode;
use crate::session::AckToken;
use crate::types::PacketId;

/// What the server did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The connection is established.
    Connected {
        /// The server's answer, with what it can and cannot do.
        connack: Box<ConnAck>,
        /// Messages in flight of a session that the server no longer has, in the order they were sent. Whether
        /// they arrived is not known.
        lost: Vec<(PacketId, Message)>,
    },
    /// A message. The topic alias, if there was one, is resolved and removed.
    Publish {
        /// The message.
        message: Message,
        /// Whether it may have been sent before.
        dup: bool,
        /// For QoS 1 and 2: give it to [`ack`](super::ClientConnection::ack).
        token: Option<AckToken>,
    },
    /// The server has taken over a QoS 2 message: it is not sent again, and only its end is missing. Told if
    /// [`report_receipts`](super::ClientConfig::report_receipts) is set.
    Received {
        /// The message, as [`publish`](super::ClientConnection::publish) named it.
        packet_id: PacketId,
    },
    /// The server has a QoS 1 or 2 message completely, or refuses it.
    Acknowledged {
        /// The message, as [`publish`](super::ClientConnection::publish) named it.
        packet_id: PacketId,
        /// What the server says of it.
        reason: ReasonCode,
    },
    /// Answers a [`subscribe`](super::ClientConnection::subscribe).
    SubAck(SubAck),
    /// Answers an [`unsubscribe`](super::ClientConnection::unsubscribe).
    UnsubAck(UnsubAck),
    /// A step of an enhanced authentication: answer with [`auth`](super::ClientConnection::auth).
    Auth(Auth),
    /// The connection is over. The last event.
    Closed(Closed),
}

impl From<CoreEvent> for ClientEvent {
    fn from(event: CoreEvent) -> Self {
        match event {
            CoreEvent::Acknowledged { packet_id, reason } => Self::Acknowledged { packet_id, reason },
            CoreEvent::Closed(closed) => Self::Closed(closed),
        }
    }
}
