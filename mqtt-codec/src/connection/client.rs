//! `ClientConnection`: the client's side of one connection.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use bytes::BytesMut;

use super::acks::AckToken;
use super::closed::{Closed, ProtocolError, PublishError, Timeout};
use super::common::{Core, CoreEvent, auth_fits, check_alias, has_text};
use crate::codec::{Codec, MAX_PACKET_SIZE};
use crate::error::EncodeError;
use crate::message::Message;
use crate::packet::{
    Auth, ConnAck, Connect, Disconnect, EncodePacket, Packet, SubAck, Subscribe, Subscription, UnsubAck,
    Unsubscribe,
};
use crate::property::{SubscribeProperties, UnsubscribeProperties};
use crate::reason::ReasonCode;
use crate::session::{InFlight, Session};
use crate::text::Str;
use crate::topic::TopicFilter;
use crate::transmit::Transmit;
use crate::types::{Instant, PacketId, PacketType, QoS, Version};

/// How patient a [`ClientConnection`] is, and what it takes from its server.
///
/// The limits are told to an MQTT 5.0 server in CONNECT.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long the server may take for its CONNACK. Default 30 s.
    pub connect_timeout: Duration,
    /// How long the server may be silent after a PINGREQ. Default 10 s.
    pub ping_timeout: Duration,
    /// The largest packet that is taken, in bytes with its fixed header. Default: what MQTT can express.
    pub max_packet_size: u32,
    /// How many unacknowledged QoS 1 and 2 messages are taken at a time. Default 65,535.
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias the server may use. Default 0, none.
    pub topic_alias_maximum: u16,
    /// How many topic aliases are set for messages to the server, as far as it allows them; each costs the memory of
    /// a topic. Messages must not bring aliases of their own then. Default 0: none are set.
    pub automatic_topic_aliases: u16,
    /// Whether every message is acknowledged as soon as its event is taken, which then carries no token. Default
    /// false: the application acknowledges when the message is in safe hands.
    pub automatic_acknowledgement: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            max_packet_size: MAX_PACKET_SIZE,
            receive_maximum: NonZeroU16::MAX,
            topic_alias_maximum: 0,
            automatic_topic_aliases: 0,
            automatic_acknowledgement: false,
        }
    }
}

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
        /// For QoS 1 and 2: give it to [`ack`](ClientConnection::ack).
        token: Option<AckToken>,
    },
    /// The server has a QoS 1 or 2 message completely, or refuses it.
    Acknowledged {
        /// The message, as [`publish`](ClientConnection::publish) named it.
        packet_id: PacketId,
        /// What the server says of it.
        reason: ReasonCode,
    },
    /// Answers a [`subscribe`](ClientConnection::subscribe).
    SubAck(SubAck),
    /// Answers an [`unsubscribe`](ClientConnection::unsubscribe).
    UnsubAck(UnsubAck),
    /// A step of an enhanced authentication: answer with [`auth`](ClientConnection::auth).
    Auth(Auth),
    /// The connection is over. The last event.
    Closed(Closed),
}

/// ```text
///   Connecting ──CONNACK──▶ Connected ◀──▶ PINGREQ sent, waiting
/// ```
/// The end is the core's: it can come in any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting { deadline: Instant },
    Connected { ping_deadline: Option<Instant> },
}

/// What CONNACK said and is needed later.
#[derive(Debug)]
struct Server {
    keep_alive: u16,
    maximum_qos: QoS,
    retain_available: bool,
    topic_alias_maximum: u16,
}

/// The client's side of one connection.
///
/// One input, then drain: after any call, take events until `None`, write what
/// [`transmit`](Self::transmit) holds, and arm a timer for [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct ClientConnection {
    config: ClientConfig,
    core: Core,
    phase: Phase,
    server: Server,
    clean_start: bool,
    authentication_method: Option<Str>,
    problem_information: bool,
    /// How much unread input there was last time: growth shows that the server is alive.
    input_len: usize,
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
        let mut core = Core::new(codec, config.receive_maximum.get(), config.topic_alias_maximum, now);
        core.automatic_acknowledgement = config.automatic_acknowledgement;
        core.session = session;
        // Before MQTT 5.0 a session with a clean start ends with its connection, so there is nothing to confuse.
        if connect.version.has_properties() {
            connect.clean_start |= core.session.discarded;
            core.session.discarded = connect.clean_start;
        }
        let connect = with_limits(connect, &config);
        core.send(now, &connect)?;
        Ok(Self {
            core,
            phase: Phase::Connecting { deadline: now + config.connect_timeout },
            server: Server {
                keep_alive: connect.keep_alive,
                maximum_qos: QoS::ExactlyOnce,
                retain_available: true,
                topic_alias_maximum: 0,
            },
            clean_start: connect.clean_start,
            authentication_method: connect.properties.authentication_method(),
            problem_information: connect.properties.request_problem_information().unwrap_or(true),
            config,
            input_len: 0,
        })
    }

    /// Takes packets from the front of `input` until one makes an event.
    ///
    /// `None` means that more bytes are needed. `input` is the caller's: what is left of it must be given again,
    /// with new bytes behind it. Nothing is kept inside.
    pub fn poll_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<ClientEvent> {
        let event = self.next_event(now, input);
        if input.len() > self.input_len {
            // Part of a large packet: the server is alive, though it cannot answer a PINGREQ before its end.
            self.alive(now);
        }
        self.input_len = input.len();
        event
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
            Phase::Connecting { .. } => self.core.close(Closed::Timeout(Timeout::ConnAck)),
            Phase::Connected { ping_deadline: Some(_) } => {
                self.core.close(Closed::Timeout(Timeout::PingResp));
            }
            Phase::Connected { ping_deadline: None } => {
                // Two bytes are never too large.
                let _ = self.core.send(now, &Packet::PingReq);
                self.phase = Phase::Connected { ping_deadline: Some(now + self.config.ping_timeout) };
            }
        }
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

    /// The deadline of a packet that is due, from either side.
    fn protocol_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting { deadline } | Phase::Connected { ping_deadline: Some(deadline) } => {
                Some(deadline)
            }
            // [MQTT-3.1.2-20]. Silence of the server counts too, or a client that only sends would never see
            // that nobody listens.
            Phase::Connected { ping_deadline: None } if self.server.keep_alive > 0 => {
                let quiet_since = self.core.sent_at.min(self.core.received_at);
                Some(quiet_since + Duration::from_secs(u64::from(self.server.keep_alive)))
            }
            Phase::Connected { .. } => None,
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

    /// Whether the server has accepted the connection, and it is not over.
    pub fn is_connected(&self) -> bool {
        self.core.is_open() && matches!(self.phase, Phase::Connected { .. })
    }

    /// The version that is spoken.
    pub fn version(&self) -> Version {
        self.core.codec.version()
    }

    /// Sends a message. Returns the identifier by which [`ClientEvent::Acknowledged`] names it, for QoS 1 and 2.
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<Option<PacketId>, PublishError> {
        self.check_connected()?;
        // [MQTT-3.2.2-11]
        if message.qos > self.server.maximum_qos {
            return Err(PublishError::QoSNotSupported(self.server.maximum_qos));
        }
        // [MQTT-3.2.2-14]
        if message.retain && !self.server.retain_available {
            return Err(PublishError::RetainNotSupported);
        }
        check_alias(&message, self.server.topic_alias_maximum)?;
        // [MQTT-3.3.4-6]: they are for deliveries, and are dropped from one that is published again.
        let properties = message.properties.without_subscription_identifiers();
        self.core.publish(now, Message { properties, ..message })
    }

    /// How many QoS 1 and 2 messages the server takes now.
    pub fn send_quota(&self) -> usize {
        self.core.send_quota()
    }

    /// Asks for subscriptions. Returns the identifier of the SUBACK that answers.
    pub fn subscribe(
        &mut self,
        now: Instant,
        properties: SubscribeProperties,
        subscriptions: impl IntoIterator<Item = Subscription>,
    ) -> Result<PacketId, PublishError> {
        let packet_id = self.request_id()?;
        let subscribe = Subscribe { properties, ..Subscribe::new(packet_id, subscriptions) };
        self.request(now, &subscribe, PacketType::SubAck, subscribe.subscriptions.len())?;
        Ok(packet_id)
    }

    /// Ends subscriptions. Returns the identifier of the UNSUBACK that answers.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        properties: UnsubscribeProperties,
        filters: impl IntoIterator<Item = TopicFilter>,
    ) -> Result<PacketId, PublishError> {
        let packet_id = self.request_id()?;
        let unsubscribe = Unsubscribe { properties, ..Unsubscribe::new(packet_id, filters) };
        self.request(now, &unsubscribe, PacketType::UnsubAck, unsubscribe.filters.len())?;
        Ok(packet_id)
    }

    /// Acknowledges a message: PUBACK or PUBREC with this reason, as soon as those before it are acknowledged.
    pub fn ack(&mut self, now: Instant, token: AckToken, reason: ReasonCode) {
        self.core.ack(now, token, reason);
        self.core.continue_drain(now);
    }

    /// Sends a step of an enhanced authentication, or begins to authenticate again. [MQTT-4.12.1-1]
    ///
    /// The method is CONNECT's, whichever `auth` brings. A reason that does not fit the state is an error: before
    /// the server has accepted a client can only continue.
    pub fn auth(&mut self, now: Instant, auth: &Auth) -> Result<(), EncodeError> {
        if !self.core.is_open() {
            return Ok(());
        }
        if !auth_fits(auth.reason, false, self.is_connected()) {
            return Err(EncodeError::InvalidReasonCode { packet: PacketType::Auth, code: auth.reason });
        }
        self.core.send_auth(now, auth, self.authentication_method.as_ref())
    }

    /// Says goodbye and closes. What was not acknowledged stays in the session.
    pub fn disconnect(&mut self, now: Instant, disconnect: &Disconnect) {
        self.core.disconnect(now, disconnect, Closed::Local(disconnect.reason));
    }

    /// Ends the connection gracefully: no more messages are taken, and the goodbye is said when those in flight, in
    /// both directions, are complete, or at the deadline. What is not complete then stays in the session.
    pub fn drain(&mut self, now: Instant, disconnect: Disconnect, deadline: Instant) {
        if self.is_connected() {
            self.core.drain(now, disconnect, deadline);
        } else {
            self.disconnect(now, &disconnect);
        }
    }

    /// What must be kept to resume; an empty session is left behind.
    pub fn take_session(&mut self) -> Session {
        self.core.session.outbound.end_connection();
        core::mem::take(&mut self.core.session)
    }

    fn next_event(&mut self, now: Instant, input: &mut BytesMut) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.core.take_settled() {
                return Some(event.into());
            }
            if let Some(closed) = self.core.take_closed() {
                return Some(ClientEvent::Closed(closed));
            }
            if !self.core.is_open() {
                input.clear();
                return None;
            }
            match self.core.codec.decode(input) {
                Ok(None) => return None,
                Ok(Some(packet)) => {
                    self.alive(now);
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
                Err(error) => self.fail(now, error.into()),
            }
        }
    }

    fn alive(&mut self, now: Instant) {
        self.core.received_at = now;
        if let Phase::Connected { ping_deadline } = &mut self.phase {
            *ping_deadline = None;
        }
    }

    fn check_connected(&self) -> Result<(), PublishError> {
        if self.is_connected() { Ok(()) } else { Err(PublishError::NotConnected) }
    }

    fn request_id(&self) -> Result<PacketId, PublishError> {
        self.check_connected()?;
        self.core.session.outbound.next_id().ok_or(PublishError::NoPacketId)
    }

    fn request<P: EncodePacket>(
        &mut self,
        now: Instant,
        packet: &P,
        answer: PacketType,
        filters: usize,
    ) -> Result<(), EncodeError> {
        self.core.send(now, packet)?;
        self.core.session.outbound.insert(InFlight::Request { answer, filters }, false);
        Ok(())
    }

    fn handle(&mut self, now: Instant, packet: Packet) -> Result<Option<ClientEvent>, ProtocolError> {
        if !self.problem_information && has_text(&packet) {
            return Err(ProtocolError::UnwantedText(packet.packet_type()));
        }
        match (self.phase, packet) {
            (Phase::Connecting { .. }, Packet::ConnAck(connack)) => self.on_connack(now, connack),
            (_, Packet::Auth(auth)) => {
                // [MQTT-4.12.0-5]
                let method = auth.properties.authentication_method();
                if method.is_none() || method != self.authentication_method {
                    return Err(ProtocolError::BadAuthenticationMethod);
                }
                if !auth_fits(auth.reason, true, self.is_connected()) {
                    return Err(ProtocolError::UnexpectedPacket(PacketType::Auth));
                }
                Ok(Some(ClientEvent::Auth(auth)))
            }
            (Phase::Connecting { .. }, other) => Err(ProtocolError::ConnAckExpected(other.packet_type())),
            // A server's DISCONNECT exists from MQTT 5.0 on. [MQTT-3.14.0-1]
            (Phase::Connected { .. }, Packet::Disconnect(disconnect)) if self.version() == Version::V5 => {
                // [MQTT-3.14.2-2]
                if disconnect.properties.session_expiry_interval().is_some() {
                    return Err(ProtocolError::SessionExpiryAtDisconnect);
                }
                self.core.close(Closed::Peer(disconnect));
                Ok(None)
            }
            (Phase::Connected { .. }, packet) => match self.core.handle(now, packet) {
                Ok(handled) => Ok(handled?.map(Into::into)),
                Err(Packet::SubAck(ack)) => {
                    self.answered(PacketType::SubAck, ack.packet_id, ack.reasons.len())?;
                    Ok(Some(ClientEvent::SubAck(ack)))
                }
                Err(Packet::UnsubAck(ack)) => {
                    self.answered(PacketType::UnsubAck, ack.packet_id, ack.reasons.len())?;
                    Ok(Some(ClientEvent::UnsubAck(ack)))
                }
                Err(Packet::PingResp) => Ok(None),
                Err(other) => Err(ProtocolError::UnexpectedPacket(other.packet_type())),
            },
        }
    }

    fn on_connack(&mut self, now: Instant, connack: ConnAck) -> Result<Option<ClientEvent>, ProtocolError> {
        if connack.reason.is_error() {
            self.core.close(Closed::Refused(Box::new(connack)));
            return Ok(None);
        }
        // [MQTT-3.2.2-2]
        if connack.session_present && self.clean_start {
            return Err(ProtocolError::SessionPresentAfterCleanStart);
        }
        let properties = &connack.properties;
        // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
        if self.version().has_properties() && properties.authentication_method() != self.authentication_method
        {
            return Err(ProtocolError::BadAuthenticationMethod);
        }
        // [MQTT-3.1.2-21]
        self.server.keep_alive = properties.server_keep_alive().unwrap_or(self.server.keep_alive);
        self.server.maximum_qos = properties.maximum_qos().unwrap_or(QoS::ExactlyOnce);
        self.server.retain_available = properties.retain_available().unwrap_or(true);
        let limit = properties.maximum_packet_size().map_or(MAX_PACKET_SIZE, NonZeroU32::get);
        self.core.codec.set_max_outgoing(limit);
        // MQTT 3.1 has no Session Present; its sessions are taken to be there.
        let resumes = connack.session_present || (self.version() == Version::V31 && !self.clean_start);
        let lost = if resumes { Vec::new() } else { self.forget_session() };
        self.phase = Phase::Connected { ping_deadline: None };
        let quota = properties.receive_maximum().map_or(u16::MAX, NonZeroU16::get);
        self.server.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        let aliases = self.server.topic_alias_maximum.min(self.config.automatic_topic_aliases);
        self.core.start(now, quota, aliases);
        Ok(Some(ClientEvent::Connected { connack: Box::new(connack), lost }))
    }

    /// The server has no session: ours ends too, and what was in flight goes back. [MQTT-3.2.2-5]
    ///
    /// One that was released is not lost: the server has taken it, so it is complete.
    fn forget_session(&mut self) -> Vec<(PacketId, Message)> {
        let mut lost = Vec::new();
        for id in self.core.session.outbound.in_order() {
            match self.core.session.outbound.remove(id) {
                Some((InFlight::Publish(publish), _)) => lost.push((id, publish.into())),
                Some((InFlight::Release, _)) => self.core.settle(id, ReasonCode::Success),
                _ => {}
            }
        }
        self.core.session.clear();
        lost
    }

    /// A request of ours is answered: frees its identifier. [MQTT-3.8.4-6], [MQTT-3.11.3-1]
    fn answered(
        &mut self,
        packet: PacketType,
        packet_id: PacketId,
        reasons: usize,
    ) -> Result<(), ProtocolError> {
        // An UNSUBACK has reasons from MQTT 5.0 on.
        let bare = packet == PacketType::UnsubAck && !self.version().has_properties();
        match self.core.session.outbound.get(packet_id) {
            Some(&InFlight::Request { answer, filters })
                if answer == packet && (bare || filters == reasons) =>
            {
                self.core.session.outbound.remove(packet_id);
                Ok(())
            }
            _ => Err(ProtocolError::UnknownRequest { packet, packet_id }),
        }
    }

    /// The server broke a rule: tells it which, where the version can, and closes. [MQTT-4.13.1-1]
    fn fail(&mut self, now: Instant, error: ProtocolError) {
        let reason = error.reason_code();
        let tell = self.version() == Version::V5 && reason.is_allowed_in(PacketType::Disconnect);
        if tell && matches!(self.phase, Phase::Connected { .. }) {
            self.core.disconnect(now, &Disconnect::new(reason), Closed::Protocol(error));
        } else {
            self.core.close(Closed::Protocol(error));
        }
    }
}

/// Adds the limits that this side keeps to.
fn with_limits(mut connect: Connect, config: &ClientConfig) -> Connect {
    if !connect.version.has_properties() {
        return connect;
    }
    if config.receive_maximum < NonZeroU16::MAX {
        connect.properties = connect.properties.with_receive_maximum(config.receive_maximum);
    }
    if let Some(limit) = NonZeroU32::new(config.max_packet_size)
        && limit.get() < MAX_PACKET_SIZE
    {
        connect.properties = connect.properties.with_maximum_packet_size(limit);
    }
    if config.topic_alias_maximum > 0 {
        connect.properties = connect.properties.with_topic_alias_maximum(config.topic_alias_maximum);
    }
    connect
}

impl From<CoreEvent> for ClientEvent {
    fn from(event: CoreEvent) -> Self {
        match event {
            CoreEvent::Publish { message, dup, token } => Self::Publish { message, dup, token },
            CoreEvent::Acknowledged { packet_id, reason } => Self::Acknowledged { packet_id, reason },
        }
    }
}
