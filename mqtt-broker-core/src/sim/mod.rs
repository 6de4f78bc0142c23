//! A broker and its clients on one thread in simulated time: the state, the protocol of both sides, no runtime.
//!
//! The harness wakes a connection only when a real one would be woken: bytes came, its bell rang, or it had been
//! blocked and could write. A forgotten wake shows as a message that does not arrive.

mod absent;
mod aliases;
mod authentication;
mod bans;
mod budget;
mod capabilities;
mod chaos;
mod events;
mod messages;
mod overflow;
mod policy;
mod rates;
mod retained;
mod sessions;
mod shared;
mod store;
mod subscriptions;
mod sys;
mod violations;
mod wills;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, BytesMut};
use mqttkit_codec::{
    AckToken, Auth, ClientConfig, ClientConnection, ClientEvent, Closed, ConnAck, Connect, Disconnect,
    Instant, Message, PublishProperties, QoS, ReasonCode, Session, Str, SubscribeProperties, Subscription,
    TopicFilter, TopicName, UnsubscribeProperties, Version, Will,
};
use mqttkit_ws_transport::{PeerInfo, Scheme};

use crate::config::Config;
use crate::notify::{LOOK, Notify};
use crate::peer::{Asking, Peer, Turn, Work};
use crate::policy::{ConnectRequest, Policy};
use crate::rules::Rules;
use crate::state::{Clock, State};
use crate::stats::Stats;
use crate::store::{Desk, MemoryStore, Progress};

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) state: State,
    rules: Arc<Rules>,
    lines: Vec<Line>,
    /// Where the next connections come from.
    address: Option<IpAddr>,
    /// Bytes that move at a time.
    chunk: usize,
    /// Nothing happens by itself: the test takes the turns.
    by_hand: bool,
    store: Option<Shop>,
}

/// A store and the way to it.
struct Shop {
    store: MemoryStore,
    desk: Desk,
    /// What the clock on the wall showed at the origin of all instants.
    origin: SystemTime,
}

/// A connection: both ends and the bytes between.
struct Line {
    peer: Peer,
    client: ClientConnection,
    notify: Arc<Notify>,
    asking: Option<Box<Asking>>,
    up: BytesMut,
    down: BytesMut,
    /// The last turn was blocked: it comes again when it could write.
    blocked: bool,
    /// It comes again at once.
    again: bool,
    /// The transport is gone.
    cut: bool,
    /// The broker that had this end of it is gone.
    dead: bool,
    /// The client reads nothing.
    stalled: bool,
    /// The client does not acknowledge.
    mute: bool,
    seen: Seen,
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    connack: Option<ConnAck>,
    messages: Vec<Message>,
    /// How many of the messages came as duplicates.
    duplicates: usize,
    /// Bytes that came from the broker.
    bytes: usize,
    acks: Vec<ReasonCode>,
    /// What a client that is mute has not acknowledged.
    unanswered: Vec<AckToken>,
    auths: Vec<Auth>,
    reasons: Vec<ReasonCode>,
    closed: Option<Closed>,
}

/// A connection by its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Id(usize);

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let rules = Arc::new(Rules::new(config, None));
        let state = State::new(&rules, "sim".into(), 1);
        // Not zero, so that a time that was never set shows.
        let now = Instant::new(Duration::from_secs(1_000));
        Self {
            now,
            state,
            rules,
            address: None,
            lines: Vec::new(),
            chunk: usize::MAX,
            by_hand: false,
            store: None,
        }
    }

    /// A broker with a store that is empty.
    pub(crate) fn with_store(store: &MemoryStore, change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::with(change);
        world.open_store(store, SystemTime::UNIX_EPOCH + seconds(1_700_000_000));
        world
    }

    fn open_store(&mut self, store: &MemoryStore, origin: SystemTime) {
        let (desk, snapshot) = Desk::open(Arc::new(store.clone())).unwrap();
        self.rules = Arc::new(Rules::new((*self.rules.config).clone(), self.rules.policy.clone()));
        self.state = State::new(&self.rules, "sim".into(), 1);
        self.state.restore(self.now, snapshot, desk.progress().clone(), Clock { origin });
        self.store = Some(Shop { store: store.clone(), desk, origin });
        self.ring();
    }

    /// The broker dies, with all connections and what waits for its store, and there is another one after this time.
    pub(crate) fn restart_after(&mut self, down: Duration) {
        for line in self.lines.iter_mut().filter(|line| !line.dead) {
            line.dead = true;
            if !line.cut {
                line.cut = true;
                line.up.clear();
                line.down.clear();
                line.client.handle_closed(self.now);
            }
            line.collect(self.now);
        }
        let Shop { store, origin, .. } = self.store.take().expect("a store");
        self.open_store(&store, origin + down);
        self.run();
    }

    pub(crate) fn restart(&mut self) {
        self.restart_after(Duration::ZERO);
    }

    fn progress(&self) -> Option<&Progress> {
        self.store.as_ref().map(|shop| shop.desk.progress())
    }

    pub(crate) fn set_policy(&mut self, policy: impl Policy) {
        Arc::make_mut(&mut self.rules).policy = Some(Arc::new(policy));
    }

    /// Opens a connection and sends the CONNECT.
    pub(crate) fn connect(&mut self, connect: Connect) -> Id {
        self.resume(connect, Session::new())
    }

    /// The same, of a client with limits of its own.
    pub(crate) fn connect_with(&mut self, config: ClientConfig, connect: Connect) -> Id {
        let client = ClientConnection::new(config, connect, Session::new(), self.now).unwrap();
        let id = self.open(client);
        self.run();
        id
    }

    /// The same, with what the client has from an earlier connection.
    pub(crate) fn resume(&mut self, connect: Connect, session: Session) -> Id {
        let client = ClientConnection::new(ClientConfig::default(), connect, session, self.now).unwrap();
        let id = self.open(client);
        self.run();
        id
    }

    /// Opens a connection and sends nothing.
    fn open(&mut self, client: ClientConnection) -> Id {
        let notify = Arc::new(Notify::default());
        let info = PeerInfo::new(Scheme::Tcp, self.address.map(|address| (address, 1).into()));
        let peer = Peer::new(Arc::clone(&self.rules), self.progress(), self.now, info, Arc::clone(&notify));
        let (up, down) = (BytesMut::new(), BytesMut::new());
        let seen = Seen::default();
        let (blocked, again, cut, dead, stalled, mute) = (false, false, false, false, false, false);
        self.lines.push(Line {
            peer,
            client,
            notify,
            asking: None,
            up,
            down,
            blocked,
            again,
            cut,
            dead,
            stalled,
            mute,
            seen,
        });
        Id(self.lines.len() - 1)
    }

    /// A client of MQTT 5.0 with a clean start, connected.
    pub(crate) fn join(&mut self, client_id: &str) -> Id {
        let id = self.connect(v5(client_id));
        assert!(self.is_connected(id), "{client_id} is not connected: {:?}", self.closed(id));
        id
    }

    pub(crate) fn subscribe(&mut self, id: Id, filter: &str, qos: QoS) -> ReasonCode {
        self.subscribe_with(id, Subscription::new(filter.try_into().unwrap(), qos), None)
    }

    pub(crate) fn subscribe_with(
        &mut self,
        id: Id,
        subscription: Subscription,
        number: Option<u32>,
    ) -> ReasonCode {
        let mut properties = SubscribeProperties::new();
        if let Some(number) = number {
            properties = properties.with_subscription_identifier(number.try_into().unwrap());
        }
        let line = &mut self.lines[id.0];
        line.client.subscribe(self.now, properties, [subscription]).unwrap();
        self.run();
        self.lines[id.0].seen.reasons.pop().expect("a SUBACK")
    }

    /// In MQTT 3, which knows no other, the answer is success.
    pub(crate) fn unsubscribe(&mut self, id: Id, filter: &str) -> ReasonCode {
        let filter: TopicFilter = filter.try_into().unwrap();
        self.lines[id.0].client.unsubscribe(self.now, UnsubscribeProperties::new(), [filter]).unwrap();
        self.run();
        let line = &mut self.lines[id.0];
        let has_reasons = line.client.version().has_properties();
        line.seen
            .reasons
            .pop()
            .unwrap_or_else(|| if has_reasons { panic!("an UNSUBACK") } else { ReasonCode::Success })
    }

    /// Publishes and lets everything happen that follows.
    pub(crate) fn publish(&mut self, id: Id, topic: &str, payload: &str, qos: QoS) {
        self.send(id, message(topic, payload).with_qos(qos));
    }

    pub(crate) fn send(&mut self, id: Id, message: Message) {
        self.lines[id.0].client.publish(self.now, message).unwrap();
        self.run();
    }

    /// The host publishes.
    pub(crate) fn send_as_host(&mut self, message: Message) {
        self.state.publish_host(self.now, message);
        self.ring();
        self.run();
    }

    /// Sends these bytes, whatever they are.
    pub(crate) fn send_raw(&mut self, id: Id, bytes: &[u8]) {
        self.lines[id.0].up.put_slice(bytes);
        self.run();
    }

    pub(crate) fn disconnect(&mut self, id: Id, disconnect: &Disconnect) {
        self.lines[id.0].client.disconnect(self.now, disconnect).unwrap();
        self.run();
    }

    /// Cuts the transport: both sides see its end, and bytes on the way are lost.
    pub(crate) fn cut(&mut self, id: Id) {
        let line = &mut self.lines[id.0];
        line.peer.handle_closed(self.now);
        line.client.handle_closed(self.now);
        line.cut = true;
        line.up.clear();
        line.down.clear();
        self.run();
    }

    /// The client reads nothing from here on, or reads again.
    pub(crate) fn stall(&mut self, id: Id, stalled: bool) {
        self.lines[id.0].stalled = stalled;
        self.run();
    }

    /// The client acknowledges nothing from here on.
    pub(crate) fn mute(&mut self, id: Id) {
        self.lines[id.0].mute = true;
    }

    /// What the client keeps of a connection that has ended.
    pub(crate) fn take_session(&mut self, id: Id) -> Session {
        self.lines[id.0].client.take_session()
    }

    /// Lets time pass, stopping wherever somebody has a deadline.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let deadlines = self.lines.iter().filter(|line| !line.cut && !line.dead).flat_map(|line| {
                let client = if line.stalled { None } else { line.client.poll_timeout() };
                [line.peer.poll_timeout(), client]
            });
            let next = deadlines.chain([self.state.poll_timeout()]).flatten().min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            self.state.handle_timeout(self.now);
            self.ring();
            for line in self.lines.iter_mut().filter(|line| !line.dead) {
                line.peer.handle_timeout(self.now);
                if !line.stalled {
                    line.client.handle_timeout(self.now);
                }
            }
            self.run();
        }
        self.now = end;
        self.run();
    }

    /// Moves bytes and events until nothing moves.
    pub(crate) fn run(&mut self) {
        if self.by_hand {
            return;
        }
        for _ in 0..100_000 {
            let mut moved = false;
            for index in 0..self.lines.len() {
                moved |= self.turn(index);
            }
            if !moved {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn turn(&mut self, index: usize) -> bool {
        let (now, chunk) = (self.now, self.chunk);
        let line = &mut self.lines[index];
        if line.dead {
            return line.collect(now);
        }
        let mut moved = false;
        // From the client to the broker. A line that is not read holds a little and then fills up.
        let out = line.client.transmit();
        if out.has_remaining() && !line.cut {
            let count = out.remaining().min(chunk);
            line.up.put(out.take(count));
            moved = true;
        }
        let came = !line.up.is_empty() && line.peer.takes_input();
        if line.up.is_empty() {
            line.peer.caught_up();
        }
        let rang = line.notify.take(Waker::noop()) & LOOK != 0;
        let mut context = std::task::Context::from_waker(Waker::noop());
        let decided = line.peer.poll_verdict(&mut context, now, &mut line.asking);
        if came || rang || decided || line.again || line.peer.is_ending() {
            let mut work: Vec<Work> = Vec::new();
            let before = line.up.len();
            let more = line.peer.decode(now, &mut line.up, &mut work) && !line.peer.is_held();
            let turn = line.peer.apply(now, &mut self.state, &mut work);
            moved |=
                rang || decided || line.again || more || line.up.len() != before || line.peer.is_ending();
            line.blocked = matches!(turn, Turn::Blocked);
            line.again = more || matches!(turn, Turn::Again);
            if let Some(connect) = line.peer.take_newcomer() {
                line.asking = line.peer.ask(connect).map(Box::new);
                line.again = true;
            }
            self.ring();
        }
        let line = &mut self.lines[index];
        line.peer.weigh(now, line.up.len());
        let room = if line.stalled { 4096usize.saturating_sub(line.down.len()) } else { usize::MAX };
        let out = line.peer.transmit();
        let count = out.remaining().min(room).min(chunk);
        if count > 0 && !line.cut {
            line.down.put(out.take(count));
            line.seen.bytes += count;
            line.again = line.blocked;
            moved = true;
        }
        if line.peer.closed().is_some() && !line.cut && !line.peer.transmit().has_remaining() && !line.stalled
        {
            line.collect(now);
            line.client.handle_closed(now);
            line.cut = true;
            moved = true;
        }
        if !line.stalled {
            moved |= line.collect(now);
        }
        if line.client.is_closed()
            && !line.client.transmit().has_remaining()
            && !line.cut
            && line.up.is_empty()
        {
            line.peer.handle_closed(now);
            line.cut = true;
            moved = true;
        }
        moved
    }

    fn ring(&mut self) {
        if let Some(shop) = &self.store {
            if let Some(ops) = self.state.take_ops() {
                shop.desk.lay(ops);
            }
            shop.desk.hand_over();
        }
        let mut bells = Vec::new();
        self.state.take_wakes(&mut bells);
        for bell in bells {
            bell.ring(LOOK);
        }
    }

    // ---- what was seen

    pub(crate) fn is_connected(&self, id: Id) -> bool {
        self.lines[id.0].client.is_connected() && self.lines[id.0].peer.is_open()
    }

    pub(crate) fn connack(&self, id: Id) -> &ConnAck {
        self.lines[id.0].seen.connack.as_ref().expect("a CONNACK")
    }

    pub(crate) fn closed(&self, id: Id) -> Option<&Closed> {
        self.lines[id.0].seen.closed.as_ref()
    }

    /// How the broker saw the end.
    pub(crate) fn cause(&self, id: Id) -> Option<&Closed> {
        self.lines[id.0].peer.closed()
    }

    /// The messages since the last call.
    pub(crate) fn messages(&mut self, id: Id) -> Vec<Message> {
        std::mem::take(&mut self.lines[id.0].seen.messages)
    }

    /// The same as `topic=payload`.
    pub(crate) fn texts(&mut self, id: Id) -> Vec<String> {
        let text = |message: Message| {
            format!("{}={}", message.topic, std::str::from_utf8(&message.payload).unwrap())
        };
        self.messages(id).into_iter().map(text).collect()
    }

    pub(crate) fn duplicates(&self, id: Id) -> usize {
        self.lines[id.0].seen.duplicates
    }

    /// The bytes from the broker since the last call.
    pub(crate) fn bytes(&mut self, id: Id) -> usize {
        std::mem::take(&mut self.lines[id.0].seen.bytes)
    }

    /// The acknowledgements of the client's own messages since the last call.
    pub(crate) fn acks(&mut self, id: Id) -> Vec<ReasonCode> {
        std::mem::take(&mut self.lines[id.0].seen.acks)
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.state.stats(&mut stats);
        stats
    }
}

impl Line {
    /// Lets the client read.
    fn collect(&mut self, now: Instant) -> bool {
        let mut moved = false;
        let before = self.down.len();
        while let Some(event) = self.client.poll_event(now, &mut self.down) {
            moved = true;
            match event {
                ClientEvent::Connected { connack, .. } => self.seen.connack = Some(*connack),
                ClientEvent::Publish { message, dup, token } => {
                    self.seen.duplicates += usize::from(dup);
                    self.seen.messages.push(message);
                    match token {
                        Some(token) if self.mute => self.seen.unanswered.push(token),
                        Some(token) => self.client.ack(now, token, ReasonCode::Success),
                        None => {}
                    }
                }
                ClientEvent::Acknowledged { reason, .. } => self.seen.acks.push(reason),
                ClientEvent::Auth(auth) => self.seen.auths.push(auth),
                ClientEvent::SubAck(ack) => self.seen.reasons.extend(ack.reasons.iter()),
                ClientEvent::UnsubAck(ack) => self.seen.reasons.extend(ack.reasons.iter()),
                ClientEvent::Closed(closed) => {
                    if let Closed::Refused(connack) = &closed {
                        self.seen.connack = Some((**connack).clone());
                    }
                    self.seen.closed = Some(closed);
                }
                _ => {}
            }
        }
        moved || self.down.len() != before
    }
}

// ---- short ways to say things

pub(crate) fn v5(client_id: &str) -> Connect {
    Connect::new(Version::V5, client_id.try_into().unwrap())
}

pub(crate) fn v311(client_id: &str) -> Connect {
    Connect::new(Version::V311, client_id.try_into().unwrap())
}

/// A client of MQTT 5.0 whose session lives this many seconds longer than its connection.
pub(crate) fn lasting(client_id: &str, seconds: u32) -> Connect {
    let mut connect = v5(client_id);
    connect.clean_start = false;
    connect.properties = connect.properties.with_session_expiry_interval(seconds);
    connect
}

pub(crate) fn keep_alive(mut connect: Connect, seconds: u16) -> Connect {
    connect.keep_alive = seconds;
    connect
}

pub(crate) fn clean_start(mut connect: Connect, clean_start: bool) -> Connect {
    connect.clean_start = clean_start;
    connect
}

pub(crate) fn with_will(mut connect: Connect, topic: &str, payload: &str, delay: Option<u32>) -> Connect {
    let mut will = Will::new(topic.try_into().unwrap(), payload.try_into().unwrap());
    if let Some(delay) = delay {
        will.properties = will.properties.with_will_delay_interval(delay);
    }
    connect.will = Some(will);
    connect
}

pub(crate) fn message(topic: &str, payload: &str) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
}

pub(crate) fn retained(topic: &str, payload: &str) -> Message {
    message(topic, payload).with_retain(true)
}

pub(crate) fn expiring(topic: &str, payload: &str, seconds: u32) -> Message {
    message(topic, payload).with_properties(PublishProperties::new().with_message_expiry_interval(seconds))
}

pub(crate) fn text(text: &str) -> Str {
    text.try_into().unwrap()
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn goodbye() -> Disconnect {
    Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)
}
