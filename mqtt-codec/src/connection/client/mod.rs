//! `ClientConnection`: the client's side of one connection.

mod commands;
mod config;
mod event;
mod receive;

use core::time::Duration;

use bytes::{Buf, BytesMut};

pub use config::ClientConfig;
pub use event::ClientEvent;

use super::closed::{Closed, ProtocolError, Timeout};
use super::common::Core;
use super::frame::{self, Role, shared_methods};
use super::incoming::Incoming;
use crate::codec::Codec;
use crate::error::{DecodeError, EncodeError};
use crate::message::Message;
use crate::packet::{Connect, Disconnect, Packet, Publish};
use crate::reason::ReasonCode;
use crate::session::{AckToken, Session};
use crate::text::Str;
use crate::transmit::Transmit;
use crate::types::{Instant, PacketType, Version};

/// ```text
///   Connecting ──CONNACK──▶ Connected ◀──▶ PINGREQ sent, waiting
/// ```
/// The end is the core's: it can come in any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting { deadline: Instant },
    Connected { ping: Option<Ping> },
}

/// A PINGREQ that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ping {
    /// When the server counts as dead.
    deadline: Instant,
    /// Other bytes were to leave before it and had not: how many bytes had left altogether, and how many will have
    /// when it has.
    behind: Option<(u64, u64)>,
}

/// The client's side of one connection.
///
/// One input, then drain: after any call, take events until `None`, write what
/// [`transmit`](Self::transmit) holds, and arm a timer for [`poll_timeout`](Self::poll_timeout).
///
/// # Keep-alive
/// PINGREQ is sent when nothing was sent, or nothing received, for the keep-alive. The server counts as dead when
/// nothing follows that for [`ping_timeout`](ClientConfig::ping_timeout). Part of a packet will do: the server cannot
/// answer in the middle of one. Nor can it before the PINGREQ has reached it, so as long as a large message that
/// stands before it in [`transmit`](Self::transmit) is still being taken by the transport, it has time.
#[derive(Debug)]
pub struct ClientConnection {
    config: ClientConfig,
    core: Core,
    phase: Phase,
    /// CONNECT's, or what CONNACK has put in its place, in seconds.
    keep_alive: u16,
    clean_start: bool,
    /// CONNECT's.
    session_expiry: u32,
    authentication_method: Option<Str>,
    problem_information: bool,
}

impl ClientConnection {
    /// Starts with a CONNECT, which [`transmit`](Self::transmit) holds then.
    ///
    /// `session` is what the last connection left behind, or an empty one. With a clean start the server will not
    /// have it, so [`ClientEvent::Connected`] gives its messages back as lost. In MQTT 5.0 a clean start that was never
    /// answered is repeated by the next connection, even if that does not ask for one: nobody can know whether the
    /// server has begun anew. The limits of the configuration are added to `connect`.
    pub fn new(
        config: ClientConfig,
        mut connect: Connect,
        session: Session,
        now: Instant,
    ) -> Result<Self, EncodeError> {
        let mut codec = Codec::new(connect.version);
        codec.set_max_incoming(config.max_packet_size);
        codec.set_strictness(config.strictness);
        let incoming = Incoming::new(
            config.receive_maximum.get(),
            config.topic_alias_maximum,
            config.automatic_acknowledgement,
        );
        let mut core = Core::new(codec, incoming, now);
        core.session = session;
        // Before MQTT 5.0 a session with a clean start ends with its connection, so there is nothing to confuse.
        if connect.version.has_properties() {
            connect.clean_start |= core.session.discarded;
            core.session.discarded = connect.clean_start;
        }
        let connect = config.add_limits(connect);
        core.send(now, &connect)?;
        Ok(Self {
            core,
            phase: Phase::Connecting { deadline: now + config.connect_timeout },
            keep_alive: connect.keep_alive,
            clean_start: connect.clean_start,
            session_expiry: connect.properties.session_expiry_interval().unwrap_or(0),
            authentication_method: connect.properties.authentication_method(),
            problem_information: connect.properties.request_problem_information().unwrap_or(true),
            config,
        })
    }

    /// Takes packets from the front of `input` until one makes an event.
    ///
    /// `None` means that more bytes are needed. `input` is the caller's: what is left of it must be given again,
    /// with new bytes behind it. Nothing is kept inside.
    pub fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<ClientEvent> {
        let event = frame::next_event(self, now, input);
        if event.is_none() && self.core.progress.look(now, input) {
            self.alive(now);
        }
        event
    }

    /// Tells that the caller holds input back because it has no room for messages. Silence proves nothing then, so no
    /// PINGRESP is waited for; PINGREQ is sent all the same.
    ///
    /// Call it before and after [`handle_timeout`](Self::handle_timeout), for as long as that is so.
    pub fn handle_held_back(&mut self, now: Instant) {
        if self.is_connected() {
            self.alive(now);
        }
    }

    /// Whether the server has accepted the connection, and it is not over.
    pub fn is_connected(&self) -> bool {
        self.core.is_open() && matches!(self.phase, Phase::Connected { .. })
    }

    /// The version that is spoken.
    pub fn version(&self) -> Version {
        self.core.codec.version()
    }

    /// The server has shown that it is there.
    fn alive(&mut self, now: Instant) {
        self.core.received_at = now;
        if let Phase::Connected { ping } = &mut self.phase {
            *ping = None;
        }
    }

    fn send_ping(&mut self, now: Instant) {
        let transmit = &self.core.transmit;
        let behind = transmit.has_remaining();
        // Two bytes are never too large.
        let _ = self.core.send(now, &Packet::PingReq);
        let transmit = &self.core.transmit;
        let end = transmit.taken() + transmit.remaining() as u64;
        let ping = Ping {
            deadline: now + self.config.ping_timeout,
            behind: behind.then_some((transmit.taken(), end)),
        };
        self.phase = Phase::Connected { ping: Some(ping) };
    }

    /// No answer has come, which says nothing as long as the PINGREQ was on its way.
    fn ping_is_due(&mut self, now: Instant, ping: Ping) {
        let taken = self.core.transmit.taken();
        match ping.behind {
            Some((before, end)) if taken > before => {
                let behind = (taken < end).then_some((taken, end));
                let deadline = now + self.config.ping_timeout;
                self.phase = Phase::Connected { ping: Some(Ping { deadline, behind }) };
            }
            _ => self.core.close(Closed::Timeout(Timeout::PingResp)),
        }
    }
}

shared_methods!(ClientConnection);

impl Role for ClientConnection {
    type Event = ClientEvent;

    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    #[inline]
    fn check_publish(&self, _: &Publish) -> Result<(), ProtocolError> {
        match self.phase {
            Phase::Connected { .. } => Ok(()),
            Phase::Connecting { .. } => Err(ProtocolError::ConnAckExpected(PacketType::Publish)),
        }
    }

    #[inline]
    fn message_event(message: Message, dup: bool, token: Option<AckToken>) -> ClientEvent {
        ClientEvent::Publish { message, dup, token }
    }

    #[inline]
    fn packet_arrived(&mut self, now: Instant) {
        self.core.progress.complete();
        self.alive(now);
    }

    #[inline]
    fn handle(&mut self, now: Instant, packet: Packet) -> Result<Option<ClientEvent>, ProtocolError> {
        self.on_packet(now, packet)
    }

    fn fail(&mut self, now: Instant, error: ProtocolError) {
        let reason = error.reason_code();
        let tell = self.version() == Version::V5 && reason.is_allowed_in(PacketType::Disconnect);
        if tell && matches!(self.phase, Phase::Connected { .. }) {
            self.core.disconnect(now, &Disconnect::new(reason), Closed::Protocol(error));
        } else {
            self.core.close(Closed::Protocol(error));
        }
    }

    fn packet_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting { deadline } | Phase::Connected { ping: Some(Ping { deadline, .. }) } => {
                Some(deadline)
            }
            // [MQTT-3.1.2-20]. Silence of the server counts too, or a client that only sends would never see
            // that nobody listens.
            Phase::Connected { ping: None } if self.keep_alive > 0 => {
                let quiet_since = self.core.sent_at.min(self.core.received_at);
                Some(quiet_since + Duration::from_secs(u64::from(self.keep_alive)))
            }
            Phase::Connected { ping: None } => None,
        }
    }

    fn packet_is_due(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting { .. } => self.core.close(Closed::Timeout(Timeout::ConnAck)),
            Phase::Connected { ping: Some(ping) } => self.ping_is_due(now, ping),
            Phase::Connected { ping: None } => self.send_ping(now),
        }
    }
}
