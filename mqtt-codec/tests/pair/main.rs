//! A client's and a server's connection, joined by nothing but byte queues and simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod between;
mod cuts;
mod establish;
mod give_up;
mod limits;
mod messages;
mod resume;
mod stepwise;

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    AckToken, ClientConfig, ClientConnection, ClientEvent, Closed, ConnAck, Connect, Instant, Message, QoS,
    ReasonCode, ServerConfig, ServerConnection, ServerEvent, Session, Str, TopicName, Version,
};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn topic(name: &str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

fn text(text: &str) -> Str {
    Str::try_from(text).unwrap()
}

fn message(number: usize, qos: QoS) -> Message {
    Message::new(topic("t"), number.to_string()).with_qos(qos)
}

/// A CONNECT of a client that keeps its session.
fn resuming(version: Version) -> Connect {
    let mut connect = Connect::new(version, text("c"));
    connect.clean_start = false;
    connect.properties = connect.properties.with_session_expiry_interval(3600);
    connect
}

/// Both ends of a connection and the wire between them.
struct Pair {
    now: Instant,
    client: ClientConnection,
    server: ServerConnection,
    to_server: BytesMut,
    to_client: BytesMut,
    client_events: VecDeque<ClientEvent>,
    server_events: VecDeque<ServerEvent>,
    /// How many more bytes the wire carries before it is cut.
    budget: usize,
    /// Whether both applications acknowledge at once.
    acks: bool,
    /// A session that the server was never given.
    kept: Option<Session>,
}

impl Pair {
    fn new(connect: Connect, client_session: Session) -> Self {
        Self::with(ClientConfig::default(), ServerConfig::default(), connect, client_session)
    }

    fn with(client: ClientConfig, server: ServerConfig, connect: Connect, session: Session) -> Self {
        let now = Instant::ZERO;
        Self {
            now,
            client: ClientConnection::new(client, connect, session, now).unwrap(),
            server: ServerConnection::new(server, now),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            client_events: VecDeque::new(),
            server_events: VecDeque::new(),
            budget: usize::MAX,
            acks: true,
            kept: None,
        }
    }

    /// A fresh connection of this version, established.
    fn established(version: Version) -> Self {
        let mut pair = Self::new(Connect::new(version, text("c")), Session::new());
        pair.establish(ConnAck::accepted(false), Session::new());
        pair
    }

    fn establish(&mut self, connack: ConnAck, session: Session) {
        self.run();
        assert!(matches!(self.server_events.pop_front(), Some(ServerEvent::Connect(_))));
        self.server.accept(self.now, connack, session);
        self.run();
        assert!(matches!(self.client_events.pop_front(), Some(ClientEvent::Connected { .. })));
    }

    /// Resumes the session, on a wire that is cut after so many bytes. Returns whether it held.
    fn resume_within(&mut self, budget: usize, session: Session) -> bool {
        self.budget = budget;
        let mut session = Some(session);
        loop {
            let holds = self.run();
            if holds && let Some(ServerEvent::Connect(_)) = self.server_events.front() {
                self.server_events.pop_front();
                self.server.accept(self.now, ConnAck::accepted(true), session.take().unwrap());
                continue;
            }
            if let Some(session) = session {
                // The wire was cut before CONNECT could be answered: the application still has the session.
                self.kept = Some(session);
                self.server_events.retain(|event| !matches!(event, ServerEvent::Connect(_)));
            }
            self.client_events.retain(|event| !matches!(event, ClientEvent::Connected { .. }));
            return holds;
        }
    }

    /// What the server's application has when the connection is over.
    fn server_session(&mut self) -> Session {
        self.kept.take().unwrap_or_else(|| self.server.take_session())
    }

    /// Carries bytes in both directions until nothing moves. Returns whether the wire still holds.
    fn run(&mut self) -> bool {
        loop {
            let mut moved = false;
            moved |= carry(self.client.transmit(), &mut self.to_server, &mut self.budget);
            moved |= carry(self.server.transmit(), &mut self.to_client, &mut self.budget);
            while let Some(event) = self.server.poll_event(self.now, &mut self.to_server) {
                moved = true;
                if let ServerEvent::Publish { token: Some(token), .. } = &event
                    && self.acks
                {
                    self.server.ack(self.now, *token, ReasonCode::Success);
                }
                self.server_events.push_back(event);
            }
            while let Some(event) = self.client.poll_event(self.now, &mut self.to_client) {
                moved = true;
                if let ClientEvent::Publish { token: Some(token), .. } = &event
                    && self.acks
                {
                    self.client.ack(self.now, *token, ReasonCode::Success);
                }
                self.client_events.push_back(event);
            }
            if self.budget == 0 {
                self.cut();
                return false;
            }
            if !moved {
                return true;
            }
        }
    }

    /// The transport ends for both.
    fn cut(&mut self) {
        self.client.handle_closed(self.now);
        self.server.handle_closed(self.now);
        self.budget = usize::MAX;
        self.run();
    }

    /// Jumps to the next deadline of either side and runs.
    fn next_deadline(&mut self) {
        let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
        self.now = deadlines.into_iter().flatten().min().expect("a deadline");
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.run();
    }

    fn payloads_at_server(&mut self) -> Vec<String> {
        let payload = |event| match event {
            ServerEvent::Publish { message, .. } => {
                Some(String::from_utf8(message.payload.to_vec()).unwrap())
            }
            _ => None,
        };
        self.server_events.drain(..).filter_map(payload).collect()
    }

    fn payloads_at_client(&mut self) -> Vec<String> {
        let payload = |event: &ClientEvent| match event {
            ClientEvent::Publish { message, .. } => {
                Some(String::from_utf8(message.payload.to_vec()).unwrap())
            }
            _ => None,
        };
        self.client_events.iter().filter_map(payload).collect()
    }

    fn acknowledged_at_client(&mut self) -> Vec<ReasonCode> {
        let reason = |event| match event {
            ClientEvent::Acknowledged { reason, .. } => Some(reason),
            _ => None,
        };
        self.client_events.drain(..).filter_map(reason).collect()
    }

    fn server_closed(&mut self) -> Option<Closed> {
        self.server_events.iter().find_map(|event| match event {
            ServerEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        })
    }

    fn client_closed(&mut self) -> Option<Closed> {
        self.client_events.iter().find_map(|event| match event {
            ClientEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        })
    }
}

/// Moves bytes in small pieces, as far as the budget reaches.
fn carry(from: &mut impl Buf, to: &mut BytesMut, budget: &mut usize) -> bool {
    let mut moved = false;
    while from.has_remaining() && *budget > 0 {
        let count = from.chunk().len().min(*budget).min(7);
        to.extend_from_slice(&from.chunk()[..count]);
        from.advance(count);
        *budget -= count;
        moved = true;
    }
    moved
}

fn token_of(event: Option<&ServerEvent>) -> AckToken {
    match event {
        Some(ServerEvent::Publish { token: Some(token), .. }) => *token,
        other => panic!("{other:?}"),
    }
}
