//! What both roles have in common: the codec, the bytes to send, the session, and how a connection ends.

use alloc::boxed::Box;

use super::closed::{Closed, ProtocolError};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::progress::Progress;
use crate::codec::Codec;
use crate::error::EncodeError;
use crate::packet::{Auth, Disconnect, EncodePacket, Packet};
use crate::reason::ReasonCode;
use crate::session::Session;
use crate::text::Str;
use crate::transmit::Transmit;
use crate::types::{Instant, PacketId};

/// The state of a connection that does not depend on the role.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) codec: Codec,
    pub(super) transmit: Transmit,
    pub(super) session: Session,
    /// Our messages, and what this connection knows of them beyond the session.
    pub(super) outgoing: Outgoing,
    /// The peer's.
    pub(super) incoming: Incoming,
    /// When a packet was last received and last sent.
    pub(super) received_at: Instant,
    pub(super) sent_at: Instant,
    /// What has been received of the next packet.
    pub(super) progress: Progress,
    /// Where the end of the connection stands.
    end: End,
    /// Whether this side may say goodbye; a server before MQTT 5.0 can only close. [MQTT-3.14.0-1]
    pub(super) says_goodbye: bool,
    /// The goodbye that waits for what is in flight, and when it waits no longer.
    drain: Option<Box<(Disconnect, Instant)>>,
    /// Whether Reason Strings and User Properties may be sent. [MQTT-3.1.2-29]
    pub(super) problem_information: bool,
}

/// ```text
///   Open ──close()──▶ Pending ──take_closed()──▶ Done
/// ```
#[derive(Debug)]
enum End {
    Open,
    /// Over, and the application does not know yet.
    Pending(Box<Closed>),
    Done,
}

/// What both roles tell the application.
pub(super) enum CoreEvent {
    Acknowledged { packet_id: PacketId, reason: ReasonCode },
    Closed(Closed),
}

impl Core {
    pub(super) fn new(codec: Codec, incoming: Incoming, now: Instant) -> Self {
        Self {
            codec,
            transmit: Transmit::default(),
            session: Session::new(),
            outgoing: Outgoing::default(),
            incoming,
            received_at: now,
            sent_at: now,
            progress: Progress::default(),
            end: End::Open,
            says_goodbye: true,
            drain: None,
            problem_information: true,
        }
    }

    /// The connection is established: resumes the session.
    pub(super) fn start(&mut self, now: Instant) {
        self.session.begin_connection();
        self.resume(now);
    }

    /// An event that does not come from a packet.
    pub(super) fn take_event(&mut self) -> Option<CoreEvent> {
        if let Some((packet_id, reason)) = self.outgoing.take_settled() {
            return Some(CoreEvent::Acknowledged { packet_id, reason });
        }
        self.take_closed().map(CoreEvent::Closed)
    }

    pub(super) fn take_session(&mut self) -> Session {
        self.session.end_connection();
        core::mem::take(&mut self.session)
    }

    /// Handles the answers that both roles send.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        packet: Packet,
    ) -> Result<Option<CoreEvent>, ProtocolError> {
        match packet {
            Packet::PubAck(ack) => self.on_puback(now, &ack),
            Packet::PubRec(ack) => self.on_pubrec(now, &ack),
            Packet::PubRel(ack) => {
                self.on_pubrel(now, ack.packet_id);
                Ok(None)
            }
            Packet::PubComp(ack) => self.on_pubcomp(now, &ack),
            other => Err(ProtocolError::UnexpectedPacket(other.packet_type())),
        }
    }

    // ---- the end

    pub(super) fn is_open(&self) -> bool {
        matches!(self.end, End::Open)
    }

    /// Ends the connection; the first cause stays.
    pub(super) fn close(&mut self, closed: Closed) {
        if self.is_open() {
            self.session.end_connection();
            self.outgoing.end_connection();
            self.incoming.end_connection();
            self.end = End::Pending(Box::new(closed));
        }
    }

    /// The cause of the end, once.
    fn take_closed(&mut self) -> Option<Closed> {
        match core::mem::replace(&mut self.end, End::Done) {
            End::Pending(closed) => Some(*closed),
            End::Open => {
                self.end = End::Open;
                None
            }
            End::Done => None,
        }
    }

    /// Says goodbye as far as the version can, and closes.
    pub(super) fn disconnect(&mut self, now: Instant, disconnect: &Disconnect, closed: Closed) {
        if self.is_open() {
            if self.says_goodbye {
                let _ = self.send_with_text(now, disconnect);
            }
            self.close(closed);
        }
    }

    /// Takes no more messages, and says goodbye when all in flight are complete or at the deadline.
    pub(super) fn drain(&mut self, now: Instant, disconnect: Disconnect, deadline: Instant) {
        self.drain = Some(Box::new((disconnect, deadline)));
        self.continue_drain(now);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// When the goodbye waits no longer.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        self.drain.as_ref().map(|drain| drain.1)
    }

    /// Says the goodbye if it is time for it.
    pub(super) fn continue_drain(&mut self, now: Instant) {
        let Some(deadline) = self.drain_deadline() else { return };
        let is_complete = self.session.is_empty() && !self.incoming.awaits_answers();
        if now < deadline && !is_complete {
            return;
        }
        if let Some(drain) = self.drain.take() {
            let (disconnect, _) = *drain;
            let reason = disconnect.reason;
            self.disconnect(now, &disconnect, Closed::Local(reason));
        }
    }

    // ---- sending

    pub(super) fn send<P: EncodePacket>(&mut self, now: Instant, packet: &P) -> Result<(), EncodeError> {
        self.sent_at = now;
        self.transmit.packet(&self.codec, packet)
    }

    /// Sends an AUTH with the method of CONNECT, whichever it brings. [MQTT-4.12.0-5]
    pub(super) fn send_auth(
        &mut self,
        now: Instant,
        auth: &Auth,
        method: Option<&Str>,
    ) -> Result<(), EncodeError> {
        // [MQTT-4.12.0-6], [MQTT-4.12.0-7]
        let method = method.ok_or(EncodeError::NoAuthenticationMethod)?;
        if auth.properties.authentication_method().as_ref() == Some(method) {
            return self.send_with_text(now, auth);
        }
        let properties = auth.properties.clone().with_authentication_method(method);
        self.send_with_text(now, &Auth { properties, reason: auth.reason })
    }

    /// Acknowledgements have a fixed size that every peer takes; a limit below it is the peer's own fault.
    pub(super) fn send_ack<P: EncodePacket>(&mut self, now: Instant, packet: &P) {
        if self.send(now, packet).is_err() {
            self.close(Closed::Local(ReasonCode::PacketTooLarge));
        }
    }
}

/// Whether an AUTH with this reason may be sent now. [MQTT-4.12.0-2], [MQTT-4.12.0-3]
///
/// The server ends an exchange, which before CONNACK is for CONNACK to do, and the client begins a later one.
pub(super) const fn auth_fits(reason: ReasonCode, by_server: bool, connected: bool) -> bool {
    match reason {
        ReasonCode::ContinueAuthentication => true,
        ReasonCode::Success => by_server && connected,
        ReasonCode::ReAuthenticate => !by_server && connected,
        _ => false,
    }
}
