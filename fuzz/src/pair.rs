//! A client and a server joined by a wire that delivers byte-wise and is cut at will, driven by an arbitrary script.
//!
//! Whatever the script does, no side may see a broken rule, and once both are left in peace every message of QoS 1
//! has arrived, every one of QoS 2 exactly once, in order, and nothing is left in either session.

mod model;

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConfig, ClientConnection, ClientEvent, Closed, ConnAck, Connect, Disconnect, Instant,
    Message, PublishError, QoS, ReasonCode, ServerConfig, ServerConnection, ServerEvent, Session, Str,
    SubAck, SubscribeProperties, Subscription, TopicFilter, TopicName, Transmit, Version,
};

use self::model::{Flow, Way};
use crate::generate;

/// Runs the script in `data`, then lets both sides finish.
pub fn pair(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let Ok(mut pair) = Pair::new(&mut from) else { return };
    for _ in 0..STEPS {
        if from.is_empty() || pair.step(&mut from).is_err() {
            break;
        }
    }
    pair.finish();
}

/// More steps than this teach nothing new.
const STEPS: usize = 150;

/// A message that an application has and did not acknowledge.
struct Held {
    token: AckToken,
    number: usize,
    /// The connection it came by.
    connection: usize,
}

/// One direction: what was published there, and what the receiver holds.
struct Direction {
    flow: Flow,
    held: Vec<Held>,
    /// Bytes on their way.
    wire: VecDeque<u8>,
    /// Bytes that arrived and are no packet yet.
    input: BytesMut,
}

impl Direction {
    fn new(way: Way) -> Self {
        Self { flow: Flow::new(way), held: Vec::new(), wire: VecDeque::new(), input: BytesMut::new() }
    }
}

struct Pair {
    version: Version,
    client_config: ClientConfig,
    server_config: ServerConfig,
    now: Instant,
    client: ClientConnection,
    server: ServerConnection,
    /// What the server's application keeps for the client between connections; `None` if it has no session.
    stored: Option<Session>,
    up: Direction,
    down: Direction,
    /// Counts connections.
    connection: usize,
    /// Whether the server has accepted this connection, and with the session of an earlier one.
    accepted: Option<bool>,
    client_connected: bool,
    /// Whether the client asked for a clean start.
    clean: bool,
    client_ended: bool,
    server_ended: bool,
    /// Both applications acknowledge at once: the end of the script.
    peace: bool,
    /// Whether to tell the story of the script, for whoever looks into a failure: `FUZZ_STORY=1`.
    story: bool,
}

macro_rules! tell {
    ($pair:ident, $($what:tt)*) => {
        if $pair.story {
            eprintln!($($what)*);
        }
    };
}

impl Pair {
    fn new(from: &mut Unstructured<'_>) -> Result<Self> {
        let &version = from.choose(&[Version::V5, Version::V311, Version::V31])?;
        let maximum = |from: &mut Unstructured<'_>| -> Result<NonZeroU16> {
            Ok(*from.choose(&[NonZeroU16::MAX, NonZeroU16::MIN, NonZeroU16::MIN.saturating_add(2)])?)
        };
        let mut client_config = ClientConfig::default();
        client_config.receive_maximum = maximum(from)?;
        client_config.topic_alias_maximum = from.int_in_range(0..=2)?;
        client_config.automatic_topic_aliases = from.int_in_range(0..=2)?;
        client_config.automatic_acknowledgement = from.ratio(1, 4)?;
        let mut server_config = ServerConfig::default();
        server_config.receive_maximum = maximum(from)?;
        server_config.topic_alias_maximum = from.int_in_range(0..=2)?;
        server_config.automatic_topic_aliases = from.int_in_range(0..=2)?;
        server_config.automatic_acknowledgement = from.ratio(1, 4)?;
        let now = Instant::ZERO;
        let mut connect = connect(version);
        connect.clean_start = version == Version::V5;
        let client = ClientConnection::new(client_config.clone(), connect, Session::new(), now)
            .expect("a small CONNECT");
        Ok(Self {
            version,
            client,
            server: ServerConnection::new(server_config.clone(), now),
            client_config,
            server_config,
            now,
            stored: None,
            up: Direction::new(Way::Up),
            down: Direction::new(Way::Down),
            connection: 0,
            accepted: None,
            client_connected: false,
            clean: version == Version::V5,
            client_ended: false,
            server_ended: false,
            peace: false,
            story: std::env::var_os("FUZZ_STORY").is_some(),
        })
    }

    fn step(&mut self, from: &mut Unstructured<'_>) -> Result<()> {
        match from.int_in_range(0..=15)? {
            0..=2 => self.publish(Way::Up, generate::qos(from)?, from.choose(&TOPICS)?, from.ratio(1, 16)?),
            3..=5 => self.publish(Way::Down, generate::qos(from)?, from.choose(&TOPICS)?, from.ratio(1, 16)?),
            6 => self.deliver(Way::Up, from.arbitrary::<u8>()?.into()),
            7 => self.deliver(Way::Down, from.arbitrary::<u8>()?.into()),
            8 => {
                self.deliver(Way::Up, usize::MAX);
                self.deliver(Way::Down, usize::MAX);
            }
            9 | 10 => {
                let way = if from.arbitrary()? { Way::Up } else { Way::Down };
                let held = self.direction(way).held.len();
                if held > 0 && self.has_session(way) {
                    let refuse = self.version == Version::V5 && from.ratio(1, 8)?;
                    self.acknowledge(way, from.choose_index(held)?, refuse);
                }
            }
            11 => self.reconnect(from.int_in_range(0..=7)?),
            12 => self.pass(Duration::from_secs(from.arbitrary::<u8>()?.into())),
            13 => {
                let filter = TopicFilter::try_from("#").expect("a filter");
                let wanted = [Subscription::new(filter, QoS::ExactlyOnce)];
                if let Ok(id) = self.client.subscribe(self.now, SubscribeProperties::new(), wanted) {
                    self.up.flow.request(id);
                }
            }
            14 if from.ratio(1, 4)? => {
                let deadline = self.now + Duration::from_secs(from.int_in_range(0..=5)?);
                let goodbye = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
                if from.arbitrary()? {
                    self.client.drain(self.now, goodbye, deadline);
                } else {
                    self.server.drain(self.now, goodbye, deadline);
                }
            }
            15 if from.ratio(1, 4)? => self.store(),
            _ => {}
        }
        self.poll();
        Ok(())
    }

    fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn publish(&mut self, way: Way, qos: QoS, topic: &str, large: bool) {
        let flow = &mut self.direction(way).flow;
        let size = if large { 5000 } else { 0 };
        let message =
            Message::new(TopicName::try_from(topic).expect("a name"), flow.next_payload(size)).with_qos(qos);
        let (quota, result) = match way {
            Way::Up => (self.client.send_quota(), self.client.publish(self.now, message.clone())),
            Way::Down => (self.server.send_quota(), self.server.publish(self.now, message.clone())),
        };
        tell!(self, "{way:?} publishes {:?} {:?}: {result:?}", message.payload.get(..8), message.qos);
        let flow = &mut self.direction(way).flow;
        match result {
            Ok(id) => flow.published(message, id),
            Err(PublishError::QuotaExhausted) => assert_eq!(quota, 0),
            Err(PublishError::NotConnected | PublishError::Draining) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn acknowledge(&mut self, way: Way, index: usize, refuse: bool) {
        let connection = self.connection;
        let direction = self.direction(way);
        let held = direction.held.remove(index);
        tell!(self, "{way:?} acknowledges {} of {}, refused: {refuse}", held.number, held.connection);
        let direction = self.direction(way);
        // One of an earlier connection is good for QoS 2 only: QoS 1 comes again.
        if held.connection == connection || held.token.qos() == QoS::ExactlyOnce {
            direction.flow.answered(held.number, refuse);
        }
        let reason = if refuse { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        match way {
            Way::Up => self.server.ack(self.now, held.token, reason),
            Way::Down => self.client.ack(self.now, held.token, reason),
        }
    }

    /// Moves bytes over the wire and lets their receiver read.
    fn deliver(&mut self, way: Way, count: usize) {
        self.collect();
        let direction = self.direction(way);
        let count = count.min(direction.wire.len());
        direction.input.extend(direction.wire.drain(..count));
        tell!(self, "{way:?} carries {count} bytes");
        self.poll();
    }

    /// What both sides want to send is on the wire.
    fn collect(&mut self) {
        take(self.client.transmit(), &mut self.up.wire);
        take(self.server.transmit(), &mut self.down.wire);
    }

    /// Both applications handle all events.
    fn poll(&mut self) {
        while let Some(event) = self.server.poll_event(self.now, &mut self.up.input) {
            assert!(!self.server_ended, "an event after the last");
            tell!(self, "server: {event:?}");
            self.on_server(event);
        }
        while let Some(event) = self.client.poll_event(self.now, &mut self.down.input) {
            assert!(!self.client_ended, "an event after the last");
            tell!(self, "client: {event:?}");
            self.on_client(event);
        }
        self.collect();
        assert_eq!(self.server.is_closed(), self.server_ended);
        assert_eq!(self.client.is_closed(), self.client_ended);
    }

    fn on_server(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Connect(connect) => {
                let present = !connect.clean_start && self.stored.is_some();
                if !present {
                    self.down.flow.abandon();
                }
                self.accepted = Some(present);
                // Tokens do not survive when another session takes the place of theirs.
                if self.stored.is_none() {
                    self.up.held.clear();
                }
                let session = self.stored.take().unwrap_or_default();
                self.server.accept(self.now, ConnAck::accepted(present), session);
            }
            ServerEvent::Publish { message, dup, token } => self.receive(Way::Up, &message, dup, token),
            ServerEvent::Subscribe(subscribe) => {
                let ack = SubAck::new(subscribe.packet_id, [ReasonCode::GrantedQoS2]);
                self.server.sub_ack(self.now, &ack).expect("the server is connected");
            }
            ServerEvent::Acknowledged { packet_id, reason } => {
                self.down.flow.acknowledged(packet_id, reason);
            }
            ServerEvent::Closed(closed) => {
                assert!(!matches!(closed, Closed::Protocol(_)), "the client: {closed}");
                self.server_ended = true;
            }
            other => panic!("{other:?}"),
        }
    }

    fn on_client(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected { lost, .. } => {
                self.client_connected = true;
                let lost: Vec<_> = lost.into_iter().map(|(id, message)| (id, message.payload)).collect();
                self.up.flow.lost(&lost);
            }
            ClientEvent::Publish { message, dup, token } => self.receive(Way::Down, &message, dup, token),
            ClientEvent::Acknowledged { packet_id, reason } => self.up.flow.acknowledged(packet_id, reason),
            ClientEvent::SubAck(ack) => self.up.flow.request_done(ack.packet_id),
            ClientEvent::Closed(closed) => {
                assert!(!matches!(closed, Closed::Protocol(_) | Closed::Refused(_)), "the server: {closed}");
                self.client_ended = true;
            }
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, way: Way, message: &Message, dup: bool, token: Option<AckToken>) {
        let connection = self.connection;
        let peace = self.peace;
        let direction = self.direction(way);
        let number = direction.flow.received(message, dup, connection);
        match token {
            Some(token) => {
                direction.held.push(Held { token, number, connection });
                if peace {
                    self.acknowledge(way, self.direction_len(way) - 1, false);
                }
            }
            None => direction.flow.answered(number, false),
        }
    }

    /// Whether the receiver's session is with its connection, which alone can take an acknowledgement: between two
    /// connections the server's is stored.
    fn has_session(&self, way: Way) -> bool {
        way == Way::Down || self.accepted.is_some()
    }

    fn direction_len(&self, way: Way) -> usize {
        match way {
            Way::Up => self.up.held.len(),
            Way::Down => self.down.held.len(),
        }
    }

    /// Time passes, and each side is woken when it asked for it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
            let Some(next) = deadlines.into_iter().flatten().min().filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.poll();
            let later = |deadline: Option<Instant>| deadline.is_none_or(|deadline| deadline > self.now);
            assert!(later(self.client.poll_timeout()) && later(self.server.poll_timeout()));
        }
        self.now = end;
    }

    /// The wire is cut, what was on it is lost, and the client comes again. How: 0 with a clean start; 1 to a server
    /// that has lost the session; else to resume.
    fn reconnect(&mut self, how: u8) {
        tell!(self, "--- cut, connects again ({how})");
        self.client.handle_closed(self.now);
        self.server.handle_closed(self.now);
        for direction in [&mut self.up, &mut self.down] {
            direction.wire.clear();
            direction.input.clear();
        }
        self.poll();
        assert!(self.client_ended && self.server_ended);
        (self.client_ended, self.server_ended) = (false, false);
        self.connection += 1;
        let session = self.client.take_session();
        // A server that never saw the CONNECT still has what it had before. One that told of a lost session, but was
        // not heard, must tell again: MQTT leaves that to the server.
        let left = self.server.take_session();
        if let Some(present) = self.accepted.take() {
            // Before MQTT 5.0 a session with a clean start ends with its connection.
            let kept =
                if self.clean { self.version == Version::V5 } else { present || self.client_connected };
            self.stored = kept.then_some(left);
        }
        self.client_connected = false;
        // MQTT 3.1 has no way to tell that a session is gone.
        let how = if self.version == Version::V31 { 7 } else { how };
        if how == 1 {
            self.stored = None;
        }
        for direction in [&mut self.up, &mut self.down] {
            direction.flow.cut();
        }
        let mut connect = connect(self.version);
        self.clean = how == 0;
        connect.clean_start = self.clean;
        self.client = ClientConnection::new(self.client_config.clone(), connect, session, self.now)
            .expect("a small CONNECT");
        self.server = ServerConnection::new(self.server_config.clone(), self.now);
    }

    /// The server's session goes through its stored form, as if its process began anew: tokens are gone, and what was
    /// not acknowledged comes again.
    fn store(&mut self) {
        if let Some(session) = &mut self.stored {
            *session = Session::import(session.export()).expect("it was exported");
            for held in self.up.held.drain(..) {
                self.up.flow.forgotten(held.number);
            }
        }
    }

    /// Resumes, acknowledges everything, and looks at what has arrived.
    fn finish(&mut self) {
        self.peace = true;
        // The second time shows what the first may have left behind.
        for _ in 0..2 {
            self.reconnect(7);
            self.settle();
        }
        assert!(self.client.is_connected());
        for way in [Way::Up, Way::Down] {
            self.publish(way, QoS::ExactlyOnce, TOPICS[0], false);
            self.publish(way, QoS::AtMostOnce, TOPICS[1], false);
        }
        self.settle();
        let limit = |maximum: NonZeroU16| {
            if self.version == Version::V5 { usize::from(maximum.get()) } else { usize::from(u16::MAX) }
        };
        assert_eq!(
            self.client.send_quota(),
            limit(self.server_config.receive_maximum),
            "quota of the client"
        );
        assert_eq!(
            self.server.send_quota(),
            limit(self.client_config.receive_maximum),
            "quota of the server"
        );
        for (direction, session) in
            [(&self.up, self.client.take_session()), (&self.down, self.server.take_session())]
        {
            direction.flow.check_complete();
            assert!(session.is_empty() && session.in_flight() == 0, "{:?} is left", session.export());
        }
    }

    /// Delivers until nothing moves; whatever was not acknowledged is.
    fn settle(&mut self) {
        loop {
            self.collect();
            let idle = self.up.wire.is_empty() && self.down.wire.is_empty();
            let held = [Way::Up, Way::Down].map(|way| self.direction_len(way));
            if idle && held == [0, 0] {
                return;
            }
            self.deliver(Way::Up, usize::MAX);
            self.deliver(Way::Down, usize::MAX);
            for way in [Way::Up, Way::Down] {
                while self.direction_len(way) > 0 && self.has_session(way) {
                    self.acknowledge(way, 0, false);
                }
            }
            self.poll();
        }
    }
}

/// Long enough for an alias, most of them.
const TOPICS: [&str; 5] = ["t", "topic/one", "topic/two", "topic/three", "topic/four"];

fn connect(version: Version) -> Connect {
    Connect::new(version, Str::try_from("c").expect("a name"))
}

fn take(from: &mut Transmit, to: &mut VecDeque<u8>) {
    while from.has_remaining() {
        let count = from.chunk().len();
        to.extend(from.chunk());
        from.advance(count);
    }
}
