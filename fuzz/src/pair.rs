//! A client and a server joined by a wire that delivers byte-wise and is cut at will, driven by an arbitrary script.
//!
//! Whatever the script does, no side may see a broken rule, and once both are left in peace every message of QoS 1
//! has arrived, every one of QoS 2 exactly once, in order, and nothing is left in either session.

/// Tells the story of the script to whoever looks into a failure.
macro_rules! tell {
    ($pair:ident, $($what:tt)*) => {
        if $pair.story {
            eprintln!($($what)*);
        }
    };
}

mod applications;
mod limits;
mod model;
mod peace;

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConnection, Connect, Disconnect, EncodeError, Instant, Message, PublishError, QoS,
    ReasonCode, ServerConnection, Session, Str, SubscribeProperties, Subscription, TopicFilter, TopicName,
    Transmit, Version,
};

use self::limits::{LARGER, Limits};
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
    wire: BytesMut,
    /// Bytes that arrived and are no packet yet.
    input: BytesMut,
}

impl Direction {
    fn new(way: Way) -> Self {
        Self { flow: Flow::new(way), held: Vec::new(), wire: BytesMut::new(), input: BytesMut::new() }
    }
}

struct Pair {
    version: Version,
    limits: Limits,
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

impl Pair {
    fn new(from: &mut Unstructured<'_>) -> Result<Self> {
        let &version = from.choose(&[Version::V5, Version::V311, Version::V31])?;
        let limits = Limits::arbitrary(from, version)?;
        let now = Instant::ZERO;
        let clean = version == Version::V5;
        let client = client(version, clean, &limits, Session::new(), now);
        Ok(Self {
            version,
            client,
            server: ServerConnection::new(limits.server.clone(), now),
            limits,
            now,
            stored: None,
            up: Direction::new(Way::Up),
            down: Direction::new(Way::Down),
            connection: 0,
            accepted: None,
            client_connected: false,
            clean,
            client_ended: false,
            server_ended: false,
            peace: false,
            story: std::env::var_os("FUZZ_STORY").is_some(),
        })
    }

    fn step(&mut self, from: &mut Unstructured<'_>) -> Result<()> {
        match from.int_in_range(0..=15)? {
            choice @ 0..=5 => {
                let way = if choice < 3 { Way::Up } else { Way::Down };
                let larger = if from.ratio(1, 8)? { *from.choose(&LARGER)? } else { 0 };
                self.publish(way, generate::qos(from)?, from.choose(&TOPICS)?, larger);
            }
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
            11 => {
                let how = from.int_in_range(0..=7)?;
                if from.arbitrary()? {
                    self.limits = Limits::arbitrary(from, self.version)?;
                }
                self.reconnect(how);
            }
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
                    // Refused when there is nothing to say it to.
                    let _ = self.client.drain(self.now, goodbye, deadline);
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

    fn publish(&mut self, way: Way, qos: QoS, topic: &str, larger: usize) {
        let flow = &mut self.direction(way).flow;
        let message = Message::new(TopicName::try_from(topic).expect("a name"), flow.next_payload(larger))
            .with_qos(qos);
        let (quota, result) = match way {
            Way::Up => (self.client.send_quota(), self.client.publish(self.now, message.clone())),
            Way::Down => (self.server.send_quota(), self.server.publish(self.now, message.clone())),
        };
        tell!(self, "{way:?} publishes {:?} {:?}: {result:?}", message.payload.get(..8), message.qos);
        match result {
            Ok(id) => self.direction(way).flow.published(message, id),
            Err(PublishError::Encode(EncodeError::PacketTooLarge { .. })) => {
                assert!(
                    self.limits.forbid(way, &message),
                    "{} bytes are not too large",
                    message.payload.len()
                );
            }
            Err(PublishError::QuotaExhausted) => assert_eq!(quota, 0),
            Err(PublishError::NotConnected | PublishError::Draining) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Moves bytes over the wire and lets their receiver read.
    fn deliver(&mut self, way: Way, count: usize) {
        self.collect();
        let direction = self.direction(way);
        let count = count.min(direction.wire.len());
        direction.input.extend_from_slice(&direction.wire[..count]);
        direction.wire.advance(count);
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

    /// The wire is cut, what was on it is lost, and the client comes again, with the limits of now. How: 0 with a clean start; 1 to a server
    /// that has lost the session; else to resume.
    fn reconnect(&mut self, how: u8) {
        tell!(self, "--- cut, connects again ({how}) with {:?}", self.limits);
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
        self.clean = how == 0;
        self.client = client(self.version, self.clean, &self.limits, session, self.now);
        self.server = ServerConnection::new(self.limits.server.clone(), self.now);
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
}

/// Long enough for an alias, most of them.
const TOPICS: [&str; 5] = ["t", "topic/one", "topic/two", "topic/three", "topic/four"];

fn client(
    version: Version,
    clean: bool,
    limits: &Limits,
    session: Session,
    now: Instant,
) -> ClientConnection {
    let mut connect = Connect::new(version, Str::try_from("c").expect("a name"));
    (connect.clean_start, connect.keep_alive) = (clean, limits.keep_alive);
    ClientConnection::new(limits.client.clone(), connect, session, now).expect("a small CONNECT")
}

fn take(from: &mut Transmit, to: &mut BytesMut) {
    while from.has_remaining() {
        let count = from.chunk().len();
        to.extend_from_slice(from.chunk());
        from.advance(count);
    }
}
