//! A session as plain data, to be stored and brought back.

use alloc::vec::Vec;
use core::fmt;

use super::{DeliveryNumber, Entry, InFlight, Outbound, Received, Session};
use crate::message::Message;
use crate::packet::Delivery;
use crate::types::{PacketId, QoS};

/// What a [`Session`] holds, as plain data.
///
/// Store it where it survives the process; what it holds decides whether a message is sent or delivered again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionState {
    /// Messages of ours that are not completely acknowledged, in the order they were first sent.
    pub outgoing: Vec<(PacketId, Outgoing)>,
    /// QoS 2 messages of the peer that it has not released, in ascending order.
    pub incoming: Vec<(PacketId, Incoming)>,
    /// A client of MQTT 5.0 has asked for a clean start and was not answered. The next connection makes a clean start
    /// too, and gives the messages back as lost.
    pub discarded: bool,
    /// How many connections the session has had: an acknowledgement for one of them means nothing in the next.
    pub connections: u32,
}

/// Where a message of ours is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing {
    /// It was sent and waits for PUBACK or PUBREC; its QoS is 1 or 2.
    Published(Message),
    /// The peer has it; it waits for PUBCOMP.
    Released,
    /// A QoS 2 message that could not be sent again, as the application was told. The peer may know its identifier
    /// nevertheless, so that waits for PUBCOMP.
    GivenUp,
}

/// Where a QoS 2 message of the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// The application was given it and has not acknowledged it. An import forgets that, so the application is given
    /// it again when its sender sends it again: whoever had it may be gone.
    Delivered,
    /// The application has acknowledged it.
    Acknowledged,
}

/// Why plain data is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionStateError {
    /// Two messages in the same direction have this identifier.
    DuplicatePacketId(PacketId),
    /// The outgoing message with this identifier has QoS 0, which is never in flight.
    QoS0(PacketId),
}

impl fmt::Display for SessionStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicatePacketId(id) => write!(f, "two messages have the packet identifier {id}"),
            Self::QoS0(id) => write!(f, "message {id} has QoS 0, which is never in flight"),
        }
    }
}

impl core::error::Error for SessionStateError {}

impl Session {
    /// What the session holds. Messages share their memory with it.
    pub fn export(&self) -> SessionState {
        let outgoing = self.outbound.in_order().into_iter().filter_map(|id| {
            let state = match self.outbound.get(id)? {
                InFlight::Publish(publish) => Outgoing::Published(publish.clone().into()),
                InFlight::Release { told: false } => Outgoing::Released,
                InFlight::Release { told: true } => Outgoing::GivenUp,
                InFlight::Request { .. } => return None,
            };
            Some((id, state))
        });
        let incoming = self.inbound.iter().map(|(id, state)| match state {
            Received::Delivered(_) => (id, Incoming::Delivered),
            Received::Accepted => (id, Incoming::Acknowledged),
        });
        SessionState {
            outgoing: outgoing.collect(),
            incoming: incoming.collect(),
            discarded: self.discarded,
            connections: self.connection(),
        }
    }

    /// The session that was exported. Tokens that were given out before are void in it.
    ///
    /// # Errors
    /// The data is not what [`export`](Self::export) could have given.
    pub fn import(state: SessionState) -> Result<Self, SessionStateError> {
        let last_delivery = DeliveryNumber { connection: state.connections, serial: 0 };
        let mut session = Self { discarded: state.discarded, last_delivery, ..Self::new() };
        let mut unacknowledged = Vec::new();
        let mut entries = Vec::with_capacity(state.outgoing.len());
        for (id, outgoing) in state.outgoing {
            let entry = match outgoing {
                Outgoing::Released => InFlight::Release { told: false },
                Outgoing::GivenUp => InFlight::Release { told: true },
                Outgoing::Published(message) => {
                    let delivery = match message.qos {
                        QoS::AtMostOnce => return Err(SessionStateError::QoS0(id)),
                        QoS::AtLeastOnce => Delivery::AtLeastOnce(id),
                        QoS::ExactlyOnce => Delivery::ExactlyOnce(id),
                    };
                    InFlight::Publish(message.into_publish(delivery))
                }
            };
            entries.push((id, entry));
        }
        session.outbound = Outbound::restore(entries).map_err(SessionStateError::DuplicatePacketId)?;
        for (id, incoming) in state.incoming {
            let entry = Entry { state: Received::Accepted, is_current: false };
            if !session.inbound.insert(id, entry) {
                return Err(SessionStateError::DuplicatePacketId(id));
            }
            if incoming == Incoming::Delivered {
                unacknowledged.push(id);
            }
        }
        for id in unacknowledged {
            session.inbound.remove(id);
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicName;
    use alloc::vec;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    fn message(qos: QoS) -> Message {
        Message::new(TopicName::try_from("t").unwrap(), "x").with_qos(qos)
    }

    #[test]
    fn a_session_survives_as_data() {
        let state = SessionState {
            outgoing: vec![
                (id(9), Outgoing::Published(message(QoS::AtLeastOnce))),
                (id(2), Outgoing::Released),
                (id(65_535), Outgoing::Published(message(QoS::ExactlyOnce))),
                (id(4), Outgoing::GivenUp),
            ],
            incoming: vec![(id(3), Incoming::Delivered), (id(4), Incoming::Acknowledged)],
            discarded: true,
            connections: 7,
        };
        let session = Session::import(state.clone()).unwrap();
        assert_eq!(session.in_flight(), 4);
        assert_eq!(session.acknowledged().collect::<Vec<_>>(), [id(4)]);
        let incoming = vec![(id(4), Incoming::Acknowledged)];
        assert_eq!(session.export(), SessionState { incoming, ..state });
    }

    #[test]
    fn new_identifiers_avoid_those_brought_back() {
        let outgoing = vec![(id(1), Outgoing::Released), (id(3), Outgoing::Released)];
        let mut session = Session::import(SessionState { outgoing, ..SessionState::default() }).unwrap();
        for _ in 0..65_533 {
            let next = session.outbound.next_id().unwrap();
            assert!(next != id(1) && next != id(3));
            session
                .outbound
                .insert(InFlight::Request { answer: crate::PacketType::SubAck, filters: 1 }, false);
        }
        assert_eq!(session.outbound.next_id(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        let twice = vec![(id(1), Outgoing::Released), (id(1), Outgoing::Released)];
        let state = SessionState { outgoing: twice, ..SessionState::default() };
        assert_eq!(Session::import(state).unwrap_err(), SessionStateError::DuplicatePacketId(id(1)));
        let qos0 = vec![(id(7), Outgoing::Published(message(QoS::AtMostOnce)))];
        let state = SessionState { outgoing: qos0, ..SessionState::default() };
        assert_eq!(Session::import(state).unwrap_err(), SessionStateError::QoS0(id(7)));
    }
}
