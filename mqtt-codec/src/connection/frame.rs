//! What both connections are around their core: the loop that takes packets, the clock, and the commands they share.

use bytes::BytesMut;

use super::closed::ProtocolError;
use super::common::{Core, CoreEvent};
use super::incoming::Arrival;
use crate::message::Message;
use crate::packet::{Packet, Publish};
use crate::session::AckToken;
use crate::types::Instant;

/// What the roles do differently.
pub(super) trait Role {
    type Event: From<CoreEvent>;

    fn core(&self) -> &Core;

    fn core_mut(&mut self) -> &mut Core;

    /// Whether nothing is read before the application has answered.
    fn awaits_application(&self) -> bool {
        false
    }

    /// Looks at input of which nothing has been read.
    fn check_input(&self, _input: &[u8]) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// Whether this message may come now.
    fn check_publish(&self, publish: &Publish) -> Result<(), ProtocolError>;

    fn message_event(message: Message, dup: bool, token: Option<AckToken>) -> Self::Event;

    /// A packet has arrived, whatever it is.
    fn packet_arrived(&mut self, now: Instant);

    /// Handles any packet but a PUBLISH.
    fn handle(&mut self, now: Instant, packet: Packet) -> Result<Option<Self::Event>, ProtocolError>;

    /// The peer broke a rule: tells it which, where that is possible, and closes. [MQTT-4.13.1-1]
    fn fail(&mut self, now: Instant, error: ProtocolError);

    /// When a packet is due, from either side.
    fn packet_deadline(&self) -> Option<Instant>;

    /// That time has come.
    fn packet_is_due(&mut self, now: Instant);
}

/// Takes packets from the front of `input` until one makes an event.
#[inline]
pub(super) fn next_event<R: Role>(role: &mut R, now: Instant, input: &mut BytesMut) -> Option<R::Event> {
    loop {
        if let Some(event) = role.core_mut().take_event() {
            return Some(event.into());
        }
        if !role.core().is_open() {
            input.clear();
            return None;
        }
        if role.awaits_application() {
            return None;
        }
        if let Err(error) = role.check_input(input) {
            role.fail(now, error);
            continue;
        }
        // An event is large: it is returned where it is made, and a message is moved only once.
        let result = match role.core_mut().codec.decode(input) {
            Ok(None) => return None,
            Ok(Some(Packet::Publish(mut publish))) => {
                role.packet_arrived(now);
                match receive_message(role, now, &mut publish) {
                    Ok(Arrival::New(token)) => {
                        role.core_mut().continue_drain(now);
                        let dup = publish.dup;
                        return Some(R::message_event(publish.into(), dup, token));
                    }
                    Ok(Arrival::Repeated) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Ok(Some(packet)) => {
                role.packet_arrived(now);
                match role.handle(now, packet) {
                    Ok(Some(event)) => {
                        role.core_mut().continue_drain(now);
                        return Some(event);
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(()) => role.core_mut().continue_drain(now),
            Err(error) => role.fail(now, error),
        }
    }
}

#[inline]
fn receive_message<R: Role>(
    role: &mut R,
    now: Instant,
    publish: &mut Publish,
) -> Result<Arrival, ProtocolError> {
    role.check_publish(publish)?;
    role.core_mut().on_publish(now, publish)
}

pub(super) fn deadline<R: Role>(role: &R) -> Option<Instant> {
    if !role.core().is_open() {
        return None;
    }
    role.packet_deadline().into_iter().chain(role.core().drain_deadline()).min()
}

pub(super) fn handle_timeout<R: Role>(role: &mut R, now: Instant) {
    if deadline(role).is_none_or(|deadline| now < deadline) {
        return;
    }
    role.core_mut().continue_drain(now);
    if role.core().is_open() && role.packet_deadline().is_some_and(|deadline| now >= deadline) {
        role.packet_is_due(now);
    }
}

/// The commands and questions that do not depend on the role.
macro_rules! shared_methods {
    ($connection:ty) => {
        impl $connection {
            /// Tells that [`poll_timeout`](Self::poll_timeout) has passed; it does no harm if it has not.
            pub fn handle_timeout(&mut self, now: Instant) {
                $crate::connection::frame::handle_timeout(self, now);
            }

            /// Tells that the transport has ended, or failed.
            pub fn handle_closed(&mut self, _now: Instant) {
                self.core.transmit.clear();
                self.core.close(Closed::Transport);
            }

            /// When to call [`handle_timeout`](Self::handle_timeout), whatever else happens.
            pub fn poll_timeout(&self) -> Option<Instant> {
                $crate::connection::frame::deadline(self)
            }

            /// The bytes to send.
            pub fn transmit(&mut self) -> &mut Transmit {
                &mut self.core.transmit
            }

            /// Whether the connection is over: send what [`transmit`](Self::transmit) holds and close the transport.
            pub fn is_closed(&self) -> bool {
                !self.core.is_open()
            }

            /// How many QoS 1 and 2 messages the peer takes now.
            pub fn send_quota(&self) -> usize {
                self.core.send_quota()
            }

            /// The first broken rule that was forgiven since this was last asked, if any was. Only a connection with
            /// [`Strictness::Lenient`] forgives.
            ///
            /// [`Strictness::Lenient`]: crate::Strictness::Lenient
            pub fn take_forgiven(&mut self) -> Option<DecodeError> {
                self.core.codec.take_forgiven()
            }

            /// Acknowledges a message: PUBACK or PUBREC with this reason, as soon as those before it are
            /// acknowledged.
            ///
            /// The session of the message must be with this connection: while it is not, give the token to
            /// [`Session::ack`], or a QoS 2 message is never complete.
            pub fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
                self.core.ack(now, token, reason);
                self.core.continue_drain(now);
            }

            /// The session, as it stands.
            pub fn session(&self) -> &Session {
                &self.core.session
            }

            /// What must be kept to resume; an empty session is left behind.
            pub fn take_session(&mut self) -> Session {
                self.core.take_session()
            }
        }
    };
}

pub(super) use shared_methods;
