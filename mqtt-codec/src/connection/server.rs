//! `ServerConnection`: the server's side of one connection.

use alloc::boxed::Box;
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use bytes::BytesMut;

use super::acks::AckToken;
use super::closed::{Closed, ProtocolError, PublishError, Timeout};
use super::common::{Core, CoreEvent, auth_fits, check_alias};
use crate::codec::{Codec, MAX_PACKET_SIZE};
use crate::error::{DecodeCause, DecodeError, EncodeError};
use crate::message::Message;
use crate::packet::{Auth, ConnAck, Connect, Disconnect, Packet, SubAck, Subscribe, UnsubAck, Unsubscribe};
use crate::reason::ReasonCode;
use crate::session::Session;
use crate::text::Str;
use crate::transmit::Transmit;
use crate::types::{Instant, PacketId, PacketType, Version};

/// What a [`ServerConnection`] allows its client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// How long a client may take for its CONNECT, and for each step of an enhanced authentication. Default 10 s.
    pub connect_timeout: Duration,
    /// The largest packet that is taken, in bytes with its fixed header. Default: what MQTT can express.
    pub max_packet_size: u32,
    /// How many unacknowledged QoS 1 and 2 messages are taken from an MQTT 5.0 client. Default 65,535.
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias a client may use; each costs the memory of a topic. Default 0, none.
    pub topic_alias_maximum: u16,
    /// How many topic aliases are set for messages to the client, as far as it allows them; each costs the memory of
    /// a topic. Messages must not bring aliases of their own then. Default 0: none are set.
    pub automatic_topic_aliases: u16,
    /// Whether every message is acknowledged as soon as its event is taken, which then carries no token. Default
    /// false: the application acknowledges when the message is in safe hands.
    pub automatic_acknowledgement: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_packet_size: MAX_PACKET_SIZE,
            receive_maximum: NonZeroU16::MAX,
            topic_alias_maximum: 0,
            automatic_topic_aliases: 0,
            automatic_acknowledgement: false,
        }
    }
}

/// What the client did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// It asks for a connection: answer with [`accept`](ServerConnection::accept) or
    /// [`refuse`](ServerConnection::refuse), now or later. Until then no other event comes.
    Connect(Box<Connect>),
    /// It publishes. The topic alias, if there was one, is resolved and removed.
    Publish {
        /// The message.
        message: Message,
        /// Whether it may have been sent before.
        dup: bool,
        /// For QoS 1 and 2: give it to [`ack`](ServerConnection::ack).
        token: Option<AckToken>,
    },
    /// It subscribes: answer with [`sub_ack`](ServerConnection::sub_ack).
    Subscribe(Subscribe),
    /// It unsubscribes: answer with [`unsub_ack`](ServerConnection::unsub_ack).
    Unsubscribe(Unsubscribe),
    /// It has a QoS 1 or 2 message completely, or refuses it.
    Acknowledged {
        /// The message, as [`publish`](ServerConnection::publish) named it.
        packet_id: PacketId,
        /// What it says of it.
        reason: ReasonCode,
    },
    /// A step of an enhanced authentication: answer with [`auth`](ServerConnection::auth),
    /// [`accept`](ServerConnection::accept) or [`refuse`](ServerConnection::refuse).
    Auth(Auth),
    /// The connection is over. The last event.
    Closed(Closed),
}

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

/// What CONNECT said and is needed later.
#[derive(Debug)]
struct Client {
    clean_start: bool,
    keep_alive: u16,
    receive_maximum: u16,
    max_packet_size: u32,
    topic_alias_maximum: u16,
    session_expiry: u32,
    response_information: bool,
    authentication_method: Option<Str>,
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
#[derive(Debug)]
pub struct ServerConnection {
    config: ServerConfig,
    core: Core,
    phase: Phase,
    client: Client,
}

impl ServerConnection {
    /// A connection on which nothing has arrived yet.
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        // The version is a guess until CONNECT says it.
        let mut codec = Codec::new(Version::V311);
        codec.set_max_incoming(config.max_packet_size);
        let mut core = Core::new(codec, config.receive_maximum.get(), config.topic_alias_maximum, now);
        core.automatic_acknowledgement = config.automatic_acknowledgement;
        let phase = Phase::AwaitConnect { deadline: now + config.connect_timeout };
        let client = Client {
            clean_start: true,
            keep_alive: 0,
            receive_maximum: u16::MAX,
            max_packet_size: MAX_PACKET_SIZE,
            topic_alias_maximum: 0,
            session_expiry: 0,
            response_information: false,
            authentication_method: None,
        };
        Self { config, core, phase, client }
    }

    /// Takes packets from the front of `input` until one makes an event.
    ///
    /// `None` means that more bytes are needed, or, after [`ServerEvent::Connect`], an answer. `input` is the
    /// caller's: what is left of it must be given again, with new bytes behind it. Nothing is kept inside, so
    /// it should be bounded by `max_packet_size` and one read.
    pub fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<ServerEvent> {
        loop {
            if let Some(event) = self.core.take_settled() {
                return Some(event.into());
            }
            if let Some(closed) = self.core.take_closed() {
                return Some(ServerEvent::Closed(closed));
            }
            if !self.core.is_open() {
                input.clear();
                return None;
            }
            if self.phase == Phase::AwaitAnswer {
                return None;
            }
            match self.next_packet(input) {
                Ok(None) => return None,
                Ok(Some(packet)) => {
                    self.core.received_at = now;
                    match self.handle(now, packet) {
                        Ok(event) => {
                            self.core.continue_drain(now);
                            if event.is_some() {
                                return event;
                            }
                        }
                        Err(error) => self.fail(now, error),
                    }
                }
                Err(error) => self.fail(now, error),
            }
        }
    }

    /// Tells that [`poll_timeout`](Self::poll_timeout) has passed; it does no harm if it has not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.core.continue_drain(now);
        if self.protocol_deadline().is_none_or(|deadline| now < deadline) || self.is_closed() {
            return;
        }
        match self.phase {
            Phase::Connected => {
                let goodbye = Disconnect::new(ReasonCode::KeepAliveTimeout);
                self.say_goodbye(now, &goodbye, Closed::Timeout(Timeout::KeepAlive));
            }
            _ => self.core.close(Closed::Timeout(Timeout::Connect)),
        }
    }

    /// Tells that the transport has ended, or failed.
    pub fn handle_closed(&mut self, _now: Instant) {
        self.core.transmit.clear();
        self.core.close(Closed::Transport);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), whatever else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.core.is_open() {
            return None;
        }
        self.protocol_deadline().into_iter().chain(self.core.drain_deadline()).min()
    }

    /// The deadline of a packet that is due from the client.
    fn protocol_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::AwaitConnect { deadline } | Phase::Authenticating { deadline } => Some(deadline),
            // [MQTT-3.1.2-22]: one and a half times the keep-alive
            Phase::Connected if self.client.keep_alive > 0 => {
                let patience = Duration::from_millis(u64::from(self.client.keep_alive) * 1500);
                Some(self.core.received_at + patience)
            }
            Phase::Connected | Phase::AwaitAnswer => None,
        }
    }

    /// The bytes to send.
    pub fn transmit(&mut self) -> &mut Transmit {
        &mut self.core.transmit
    }

    /// Whether the connection is over: send what [`transmit`](Self::transmit) holds and close the transport.
    pub fn is_closed(&self) -> bool {
        !self.core.is_open()
    }

    /// The version of CONNECT; before it, MQTT 3.1.1.
    pub fn version(&self) -> Version {
        self.core.codec.version()
    }

    /// Accepts the client, with its session.
    ///
    /// The limits of the configuration are added to `connack`. What `session` has in flight is sent again, in
    /// its order and before anything else, if `connack` says that the session is present; else it is forgotten.
    /// After a clean start it is not present, whatever `connack` says. [MQTT-3.2.2-2], [MQTT-3.2.2-3]
    ///
    /// A `connack` with a reason of failure [refuses](Self::refuse). Nothing happens before CONNECT has arrived, and
    /// after an earlier answer. [MQTT-3.2.0-2]
    pub fn accept(&mut self, now: Instant, mut connack: ConnAck, session: Session) {
        if !self.core.is_open() || matches!(self.phase, Phase::AwaitConnect { .. } | Phase::Connected) {
            return;
        }
        // [MQTT-3.2.2-7]
        if connack.reason.is_error() {
            self.core.session = session;
            self.refuse(now, &connack);
            return;
        }
        connack.session_present &= !self.client.clean_start;
        let connack = self.with_limits(self.with_what_was_asked(connack));
        if let Some(seconds) = connack.properties.server_keep_alive()
            && self.version().has_properties()
        {
            self.client.keep_alive = seconds;
        }
        self.phase = Phase::Connected;
        self.core.says_goodbye = self.version().has_properties();
        self.core.session = session;
        if !connack.session_present {
            self.core.session.clear();
        }
        if self.core.send_with_text(now, &connack).is_err() {
            self.core.close(Closed::Local(ReasonCode::PacketTooLarge));
            return;
        }
        self.core.received_at = now;
        let aliases = self.client.topic_alias_maximum.min(self.config.automatic_topic_aliases);
        self.core.start(now, self.client.receive_maximum, aliases);
    }

    /// Refuses the client and closes; without a CONNACK as long as there is no CONNECT. [MQTT-3.2.2-7]
    pub fn refuse(&mut self, now: Instant, connack: &ConnAck) {
        match self.phase {
            _ if !self.core.is_open() => return,
            Phase::Connected => return,
            Phase::AwaitConnect { .. } => {}
            Phase::AwaitAnswer | Phase::Authenticating { .. } => {
                let connack = self.with_what_was_asked(connack.clone());
                let _ = self.core.send_with_text(now, &connack);
            }
        }
        self.core.close(Closed::Local(connack.reason));
    }

    /// Sends a message. Returns the identifier by which [`ServerEvent::Acknowledged`] names it, for QoS 1 and 2.
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError> {
        self.check_connected()?;
        check_alias(&message, self.client.topic_alias_maximum)?;
        self.core.publish(now, message)
    }

    /// How many QoS 1 and 2 messages the client takes now.
    pub fn send_quota(&self) -> usize {
        self.core.send_quota()
    }

    /// Acknowledges a message: PUBACK or PUBREC with this reason, as soon as those before it are acknowledged.
    pub fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        self.core.ack(now, token, reason);
        self.core.continue_drain(now);
    }

    /// Answers a SUBSCRIBE.
    pub fn sub_ack(&mut self, now: Instant, ack: &SubAck) -> Result<(), PublishError> {
        self.check_connected()?;
        Ok(self.core.send_with_text(now, ack)?)
    }

    /// Answers an UNSUBSCRIBE.
    pub fn unsub_ack(&mut self, now: Instant, ack: &UnsubAck) -> Result<(), PublishError> {
        self.check_connected()?;
        Ok(self.core.send_with_text(now, ack)?)
    }

    /// Sends a step of an enhanced authentication, before the client is accepted or, later, to authenticate again.
    ///
    /// The method is CONNECT's, whichever `auth` brings. A reason that does not fit the state is an error: before
    /// the client is accepted a server can only continue. [MQTT-4.12.0-2]
    pub fn auth(&mut self, now: Instant, auth: &Auth) -> Result<(), EncodeError> {
        if !self.core.is_open() {
            return Ok(());
        }
        if !auth_fits(auth.reason, true, self.phase == Phase::Connected) {
            return Err(EncodeError::InvalidReasonCode { packet: PacketType::Auth, code: auth.reason });
        }
        self.core.send_auth(now, auth, self.client.authentication_method.as_ref())?;
        if self.phase == Phase::AwaitAnswer {
            self.phase = Phase::Authenticating { deadline: now + self.config.connect_timeout };
        }
        Ok(())
    }

    /// Ends the connection, with a DISCONNECT where the version has one for servers.
    pub fn disconnect(&mut self, now: Instant, disconnect: &Disconnect) {
        self.say_goodbye(now, disconnect, Closed::Local(disconnect.reason));
    }

    /// Ends the connection gracefully: no more messages are taken, and the goodbye is said when those in flight, in
    /// both directions, are complete, or at the deadline. What is not complete then stays in the session.
    pub fn drain(&mut self, now: Instant, disconnect: Disconnect, deadline: Instant) {
        if self.check_connected().is_ok() {
            self.core.drain(now, disconnect, deadline);
        } else {
            self.disconnect(now, &disconnect);
        }
    }

    /// What must be kept for the client to resume; an empty session is left behind.
    pub fn take_session(&mut self) -> Session {
        self.core.session.outbound.end_connection();
        core::mem::take(&mut self.core.session)
    }

    fn check_connected(&self) -> Result<(), PublishError> {
        if self.core.is_open() && self.phase == Phase::Connected {
            Ok(())
        } else {
            Err(PublishError::NotConnected)
        }
    }

    fn next_packet(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, ProtocolError> {
        // Only CONNECT can be read before the version is known. [MQTT-3.1.0-1]
        if let (Phase::AwaitConnect { .. }, Some(&first)) = (self.phase, input.first())
            && let Some(packet) = PacketType::from_first_byte(first)
            && packet != PacketType::Connect
        {
            return Err(ProtocolError::ConnectExpected(packet));
        }
        Ok(self.core.codec.decode(input)?)
    }

    fn handle(&mut self, now: Instant, packet: Packet) -> Result<Option<ServerEvent>, ProtocolError> {
        match (self.phase, packet) {
            (Phase::AwaitConnect { .. }, Packet::Connect(connect)) => {
                self.remember(&connect);
                self.phase = Phase::AwaitAnswer;
                Ok(Some(ServerEvent::Connect(connect)))
            }
            (Phase::Connected | Phase::Authenticating { .. }, Packet::Disconnect(disconnect)) => {
                self.on_disconnect(disconnect)
            }
            (Phase::Connected | Phase::Authenticating { .. }, Packet::Auth(auth)) => self.on_auth(auth),
            // [MQTT-3.3.4-6]
            (Phase::Connected, Packet::Publish(publish)) if publish.properties.has(0x0B) => {
                Err(ProtocolError::SubscriptionIdentifierFromClient)
            }
            (Phase::Connected, packet) => match self.core.handle(now, packet) {
                Ok(handled) => Ok(handled?.map(Into::into)),
                Err(Packet::Subscribe(subscribe)) => Ok(Some(ServerEvent::Subscribe(subscribe))),
                Err(Packet::Unsubscribe(unsubscribe)) => Ok(Some(ServerEvent::Unsubscribe(unsubscribe))),
                Err(Packet::PingReq) => {
                    // [MQTT-3.12.4-1]; two bytes are never too large
                    let _ = self.core.send(now, &Packet::PingResp);
                    Ok(None)
                }
                Err(other) => Err(ProtocolError::UnexpectedPacket(other.packet_type())),
            },
            (_, other) => Err(ProtocolError::UnexpectedPacket(other.packet_type())),
        }
    }

    fn remember(&mut self, connect: &Connect) {
        let properties = &connect.properties;
        self.client = Client {
            clean_start: connect.clean_start,
            keep_alive: connect.keep_alive,
            receive_maximum: properties.receive_maximum().map_or(u16::MAX, NonZeroU16::get),
            max_packet_size: properties.maximum_packet_size().map_or(MAX_PACKET_SIZE, NonZeroU32::get),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            session_expiry: properties.session_expiry_interval().unwrap_or(0),
            response_information: properties.request_response_information().unwrap_or(false),
            authentication_method: properties.authentication_method(),
        };
        self.core.codec.set_max_outgoing(self.client.max_packet_size);
        self.core.problem_information = properties.request_problem_information().unwrap_or(true);
    }

    fn on_disconnect(&mut self, disconnect: Disconnect) -> Result<Option<ServerEvent>, ProtocolError> {
        let expiry = disconnect.properties.session_expiry_interval().unwrap_or(0);
        if expiry > 0 && self.client.session_expiry == 0 {
            return Err(ProtocolError::SessionExpiryAtDisconnect);
        }
        self.core.close(Closed::Peer(disconnect));
        Ok(None)
    }

    fn on_auth(&mut self, auth: Auth) -> Result<Option<ServerEvent>, ProtocolError> {
        // [MQTT-4.12.0-5]
        let method = auth.properties.authentication_method();
        if method.is_none() || method != self.client.authentication_method {
            return Err(ProtocolError::BadAuthenticationMethod);
        }
        if !auth_fits(auth.reason, false, self.phase == Phase::Connected) {
            return Err(ProtocolError::UnexpectedPacket(PacketType::Auth));
        }
        if self.phase != Phase::Connected {
            self.phase = Phase::AwaitAnswer;
        }
        Ok(Some(ServerEvent::Auth(auth)))
    }

    /// The client broke a rule: tells it which, as far as it can understand, and closes. [MQTT-4.13.1-1]
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

    /// Servers have a DISCONNECT from MQTT 5.0 on.
    fn say_goodbye(&mut self, now: Instant, disconnect: &Disconnect, closed: Closed) {
        if self.version().has_properties() && self.phase == Phase::Connected {
            // [MQTT-3.14.2-2]
            let mut disconnect = disconnect.clone();
            disconnect.properties.remove(0x11);
            self.core.disconnect(now, &disconnect, closed);
        } else {
            self.core.close(closed);
        }
    }

    /// Leaves out what the client must not be told, and names the method by which it authenticated.
    fn with_what_was_asked(&self, mut connack: ConnAck) -> ConnAck {
        // [MQTT-3.1.2-28]
        if !self.client.response_information {
            connack.properties.remove(0x1A);
        }
        match &self.client.authentication_method {
            // [MQTT-4.12.0-6]
            None => {
                connack.properties.remove(0x15);
                connack.properties.remove(0x16);
            }
            // [MQTT-4.12.0-5]
            Some(method) if !connack.reason.is_error() => {
                if connack.properties.authentication_method().as_ref() != Some(method) {
                    connack.properties = connack.properties.with_authentication_method(method);
                }
            }
            Some(_) => {}
        }
        connack
    }

    /// Adds the limits that this side keeps to.
    fn with_limits(&self, mut connack: ConnAck) -> ConnAck {
        if self.config.receive_maximum < NonZeroU16::MAX {
            connack.properties = connack.properties.with_receive_maximum(self.config.receive_maximum);
        }
        if let Some(limit) = NonZeroU32::new(self.config.max_packet_size)
            && limit.get() < MAX_PACKET_SIZE
        {
            connack.properties = connack.properties.with_maximum_packet_size(limit);
        }
        if self.config.topic_alias_maximum > 0 {
            connack.properties = connack.properties.with_topic_alias_maximum(self.config.topic_alias_maximum);
        }
        connack
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

impl From<CoreEvent> for ServerEvent {
    fn from(event: CoreEvent) -> Self {
        match event {
            CoreEvent::Publish { message, dup, token } => Self::Publish { message, dup, token },
            CoreEvent::Acknowledged { packet_id, reason } => Self::Acknowledged { packet_id, reason },
        }
    }
}
