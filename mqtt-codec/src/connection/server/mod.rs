//! `ServerConnection`: the server's side of one connection.

mod admission;
mod commands;
mod config;
mod event;
mod receive;
mod stepwise;

use alloc::sync::Arc;
use core::time::Duration;

use bytes::{Buf, BytesMut};

pub use config::ServerConfig;
pub use event::ServerEvent;

use self::admission::Client;
use super::closed::{Closed, ProtocolError, Timeout};
use super::common::Core;
use super::frame::{self, Role, shared_methods};
use super::incoming::Incoming;
use crate::codec::Codec;
use crate::error::{DecodeCause, DecodeError};
use crate::message::Message;
use crate::packet::{ConnAck, Disconnect, Packet, Publish};
use crate::reason::ReasonCode;
use crate::session::{AckToken, Session};
use crate::transmit::Transmit;
use crate::types::{Instant, PacketType, Version};

/// ```text
///   AwaitConnect ──CONNECT──▶ AwaitAnswer ──accept()──▶ Connected
///                               │     ▲
///                            auth()  AUTH
///                               ▼     │
///                            Authenticating
/// ```
/// The end is the core's: it can come in any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitConnect { deadline: Instant },
    AwaitAnswer,
    Authenticating { deadline: Instant },
    Connected,
}

/// The server's side of one connection.
///
/// One input, then drain: after any call, take events until `None`, write what
/// [`transmit`](Self::transmit) holds, and arm a timer for [`poll_timeout`](Self::poll_timeout).
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use mqttkit_codec::{
///     Codec, ConnAck, Connect, Instant, ServerConfig, ServerConnection, ServerEvent, Session, Version,
/// };
///
/// let now = Instant::ZERO;
/// let mut server = ServerConnection::new(ServerConfig::default(), now);
///
/// // What a socket would deliver.
/// let mut input = BytesMut::new();
/// Codec::new(Version::V5).encode(&Connect::new(Version::V5, "door".try_into()?), &mut input)?;
///
/// while let Some(event) = server.poll_event(now, &mut input) {
///     match event {
///         ServerEvent::Connect(_) => server.accept(now, ConnAck::accepted(false), Session::new()),
///         other => panic!("{other:?}"),
///     }
/// }
/// let answer = server.transmit();
/// assert_eq!(answer.chunk()[0], 0x20, "a CONNACK for the socket");
/// answer.advance(answer.remaining());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Keep-alive
/// A client that is silent for one and a half times its keep-alive is closed. [MQTT-3.1.2-22] By the specification the
/// keep-alive runs from the end of one packet to the beginning of the next, so a client is not silent while a packet
/// of its arrives, however long that takes: each part of it counts, provided that
/// [`poll_event`](Self::poll_event) is called when it arrives. A peer that would live on single bytes has a bound: the
/// packet must be complete one and a half times the keep-alive, and a second for each 128 bytes that it announced,
/// after it has begun. So [`max_packet_size`](ServerConfig::max_packet_size) bounds it as well.
#[derive(Debug)]
pub struct ServerConnection {
    config: Arc<ServerConfig>,
    core: Core,
    phase: Phase,
    client: Client,
}

impl ServerConnection {
    /// A connection on which nothing has arrived yet. Connections may share their configuration.
    pub fn new(config: impl Into<Arc<ServerConfig>>, now: Instant) -> Self {
        let config = config.into();
        // The version is a guess until CONNECT says it.
        let mut codec = Codec::new(Version::V311);
        codec.set_max_incoming(config.max_packet_size.min(config.max_connect_size));
        codec.set_strictness(config.strictness);
        let incoming = Incoming::new(
            config.receive_maximum.get(),
            config.topic_alias_maximum,
            config.automatic_acknowledgement,
        );
        let mut core = Core::new(codec, incoming, now);
        core.outgoing.holds_qos2 = config.stepwise;
        let phase = Phase::AwaitConnect { deadline: now + config.connect_timeout };
        Self { config, core, phase, client: Client::default() }
    }

    /// Takes packets from the front of `input` until one makes an event.
    ///
    /// `None` means that more bytes are needed, or, after [`ServerEvent::Connect`], an answer. `input` is the
    /// caller's: what is left of it must be given again, with new bytes behind it. Nothing is kept inside, so
    /// it should be bounded by `max_packet_size` and one read.
    pub fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<ServerEvent> {
        let event = frame::next_event(self, now, input);
        if event.is_none() && self.phase == Phase::Connected {
            self.core.progress.look(now, input);
        }
        event
    }

    /// What the messages in flight to the client are long, in bytes: topics, payloads and properties.
    pub fn in_flight_bytes(&self) -> usize {
        self.core.session.in_flight_bytes()
    }

    /// The memory that what the client has sent takes for the length of the connection, in bytes, about: the topics of
    /// its aliases, and the identifiers of its QoS 2 messages.
    pub fn memory_for_client(&self) -> usize {
        self.core.incoming.alias_memory() + self.core.session.inbound.memory()
    }

    /// The memory that the connection takes beside its own size, in bytes, about: what waits to be sent, what is in
    /// flight, and [the rest](Self::memory_for_client). What messages share with others counts in full.
    pub fn memory(&self) -> usize {
        let outbound = self.core.session.outbound.memory() + self.core.outgoing.alias_memory();
        outbound + self.core.transmit.remaining() + self.memory_for_client()
    }

    /// The version of CONNECT; before it, MQTT 3.1.1.
    pub fn version(&self) -> Version {
        self.core.codec.version()
    }
}

shared_methods!(ServerConnection);

impl Role for ServerConnection {
    type Event = ServerEvent;

    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn awaits_application(&self) -> bool {
        self.phase == Phase::AwaitAnswer
    }

    #[inline]
    fn check_input(&self, input: &[u8]) -> Result<(), ProtocolError> {
        // Only CONNECT can be read before the version is known. [MQTT-3.1.0-1]
        if let (Phase::AwaitConnect { .. }, Some(&first)) = (self.phase, input.first())
            && let Some(packet) = PacketType::from_first_byte(first)
            && packet != PacketType::Connect
        {
            return Err(ProtocolError::ConnectExpected(packet));
        }
        Ok(())
    }

    #[inline]
    fn check_publish(&self, publish: &Publish) -> Result<(), ProtocolError> {
        if self.phase != Phase::Connected {
            return Err(ProtocolError::UnexpectedPacket(PacketType::Publish));
        }
        // [MQTT-3.3.4-6]
        if publish.properties.has(0x0B) {
            return Err(ProtocolError::SubscriptionIdentifierFromClient);
        }
        Ok(())
    }

    #[inline]
    fn message_event(message: Message, dup: bool, token: Option<AckToken>) -> ServerEvent {
        ServerEvent::Publish { message, dup, token }
    }

    #[inline]
    fn packet_arrived(&mut self, now: Instant) {
        self.core.progress.complete();
        self.core.received_at = now;
    }

    #[inline]
    fn handle(&mut self, now: Instant, packet: Packet) -> Result<Option<ServerEvent>, ProtocolError> {
        self.on_packet(now, packet)
    }

    fn fail(&mut self, now: Instant, error: ProtocolError) {
        let reason = error.reason_code();
        if let (Phase::AwaitConnect { .. }, ProtocolError::Decode(error)) = (self.phase, &error) {
            if let Some(version) = answerable_version(error) {
                self.core.codec.set_version(version);
                let _ = self.core.send(now, &ConnAck::refused(reason));
            }
        } else if self.phase == Phase::Connected && reason.is_allowed_in(PacketType::Disconnect) {
            self.say_goodbye(now, &Disconnect::new(reason), Closed::Protocol(error));
            return;
        }
        self.core.close(Closed::Protocol(error));
    }

    fn packet_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::AwaitConnect { deadline } | Phase::Authenticating { deadline } => Some(deadline),
            // [MQTT-3.1.2-22]: one and a half times the keep-alive
            Phase::Connected if self.client.keep_alive > 0 => {
                let patience = Duration::from_millis(u64::from(self.client.keep_alive) * 1500);
                Some(self.core.progress.deadline(self.core.received_at, patience))
            }
            Phase::Connected | Phase::AwaitAnswer => None,
        }
    }

    fn packet_is_due(&mut self, now: Instant) {
        match self.phase {
            Phase::Connected => {
                let goodbye = Disconnect::new(ReasonCode::KeepAliveTimeout);
                self.say_goodbye(now, &goodbye, Closed::Timeout(Timeout::KeepAlive));
            }
            _ => self.core.close(Closed::Timeout(Timeout::Connect)),
        }
    }
}

/// In which version a client whose CONNECT is faulty understands a CONNACK, if that can be told.
fn answerable_version(error: &DecodeError) -> Option<Version> {
    match error.cause {
        // [MQTT-3.1.2-2]: return code 1 or reason 0x84, in the form of the nearest version
        DecodeCause::UnsupportedProtocolLevel(level) if level & 0x7f > 5 => Some(Version::V5),
        DecodeCause::UnsupportedProtocolLevel(_) => Some(Version::V311),
        // [MQTT-3.1.3-8], and the same in MQTT 3.1: return code 2
        DecodeCause::EmptyClientId | DecodeCause::NoClientId => Some(error.version),
        // MQTT 3.1.1 asks to close without an answer; MQTT 5.0 allows one. [MQTT-4.13.1-1]
        _ => (error.version == Version::V5).then_some(Version::V5),
    }
}

#[cfg(test)]
mod tests {
    use super::ServerConnection;

    /// A broker has one for each client, most of which are idle.
    #[test]
    fn a_connection_is_small() {
        let size = size_of::<ServerConnection>();
        assert!(size <= 320, "a ServerConnection is {size} bytes");
    }
}
