//! `ServerEvent`: what a server's connection tells the application.

use alloc::boxed::Box;

use crate::connection::closed::Closed;
use crate::connection::common::CoreEvent;
use crate::message::Message;
use crate::packet::{Auth, Connect, Subscribe, Unsubscribe};
use crate::reason::ReasonCode;
use crate::session::AckToken;
use crate::types::PacketId;

/// What the client did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// It asks for a connection: answer with [`accept`](super::ServerConnection::accept) or
    /// [`refuse`](super::ServerConnection::refuse), now or later. Until then no other event comes.
    Connect(Box<Connect>),
    /// It publishes. The topic alias, if there was one, is resolved and removed.
    Publish {
        /// The message.
        message: Message,
        /// Whether it may have been sent before.
        dup: bool,
        /// For QoS 1 and 2: give it to [`ack`](super::ServerConnection::ack).
        token: Option<AckToken>,
    },
    /// It subscribes: answer with [`sub_ack`](super::ServerConnection::sub_ack).
    Subscribe(Subscribe),
    /// It unsubscribes: answer with [`unsub_ack`](super::ServerConnection::unsub_ack).
    Unsubscribe(Unsubscribe),
    /// It has a QoS 1 or 2 message completely, or refuses it.
    Acknowledged {
        /// The message, as [`publish`](super::ServerConnection::publish) named it.
        packet_id: PacketId,
        /// What it says of it.
        reason: ReasonCode,
    },
    /// It has a QoS 2 message: answer with [`release`](super::ServerConnection::release). Only with
    /// [`ServerConfig::stepwise`](super::ServerConfig::stepwise).
    Received {
        /// The message, as [`publish`](super::ServerConnection::publish) named it.
        packet_id: PacketId,
    },
    /// It releases the identifier of a QoS 2 message: answer with [`complete`](super::ServerConnection::complete). Only
    /// with [`ServerConfig::stepwise`](super::ServerConfig::stepwise).
    Released {
        /// The identifier of the [`AckToken`](crate::AckToken) that came with the message.
        packet_id: PacketId,
    },
    /// A step of an enhanced authentication: answer with [`auth`](super::ServerConnection::auth),
    /// [`accept`](super::ServerConnection::accept) or [`refuse`](super::ServerConnection::refuse).
    Auth(Auth),
    /// The connection is over. The last event.
    Closed(Closed),
}

impl From<CoreEvent> for ServerEvent {
    fn from(event: CoreEvent) -> Self {
        match event {
            CoreEvent::Acknowledged { packet_id, reason } => Self::Acknowledged { packet_id, reason },
            CoreEvent::Closed(closed) => Self::Closed(closed),
        }
    }
}
