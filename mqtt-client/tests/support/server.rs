//! A server in the test's own hands, at the other end of a pipe in memory.

use bytes::{Buf, BytesMut};
use mqttkit_client::codec::{
    AckToken, ConnAck, Connect, Instant, PacketId, ServerConfig, ServerConnection, ServerEvent, Session,
    SubAck, Subscribe,
};
use mqttkit_client::transport::{LinkExt, MemoryLink, Runtime, TokioRuntime, pipe};
use mqttkit_client::{Client, ConnectError, Connector, Message, Messages, Options, Parts, ReasonCode};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;

/// Opens pipes, and gives their other ends to the test.
pub struct Pipes {
    /// The bytes that each direction holds.
    capacity: usize,
    sender: mpsc::UnboundedSender<MemoryLink>,
}

impl Connector for Pipes {
    type Link = MemoryLink;

    fn connect(
        &mut self,
        _: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let (ours, theirs) = pipe(self.capacity);
        let sent = self.sender.send(theirs);
        async move { sent.map(|()| ours).map_err(|_| ConnectError::Custom("the test is over".into())) }
    }
}

/// Where connections arrive.
pub struct Listener {
    links: mpsc::UnboundedReceiver<MemoryLink>,
    /// One that was looked at already.
    link: Option<MemoryLink>,
}

impl Listener {
    /// The next connection, of which nothing was read.
    pub async fn link(&mut self) -> MemoryLink {
        assert!(self.goes_on().await, "the client lives");
        self.link.take().unwrap()
    }

    /// The next connection, and its CONNECT.
    pub async fn connect(&mut self) -> (Server, Connect) {
        let mut server = Server::new(self.link().await);
        match server.event().await {
            ServerEvent::Connect(connect) => (server, *connect),
            other => panic!("{other:?} instead of CONNECT"),
        }
    }

    /// Whether there is a next connection, instead of the end of the client.
    pub async fn goes_on(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            use std::task::Poll;
            match self.link.take() {
                Some(link) => {
                    self.link = Some(link);
                    Poll::Ready(true)
                }
                None => self.links.poll_recv(cx).map(|link| {
                    self.link = link;
                    self.link.is_some()
                }),
            }
        })
        .await
    }

    /// The next connection, accepted.
    pub async fn accept(&mut self, session: Option<Session>) -> Server {
        let (mut server, _) = self.connect().await;
        server.accept(session).await;
        server
    }
}

/// A client over pipes with its driver running.
pub fn client(options: Options) -> (Client, Messages, Listener) {
    client_over(options, 4096)
}

/// A client over pipes of this capacity.
pub fn client_over(options: Options, capacity: usize) -> (Client, Messages, Listener) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let Parts { client, messages, driver, .. } =
        options.connect_with(&TokioRuntime::new(), Pipes { capacity, sender }).unwrap();
    tokio::spawn(driver);
    (client, messages, Listener { links: receiver, link: None })
}

/// Options for a client over pipes.
pub fn options() -> Options {
    Client::builder("mqtt://memory").client_id("c").reconnect_period(Duration::from_secs(1))
}

pub struct Server<L = MemoryLink> {
    pub link: L,
    pub connection: ServerConnection,
    input: BytesMut,
    clock: TokioRuntime,
}

impl<L: LinkExt> Server<L> {
    /// At the other end of any link.
    pub fn new(link: L) -> Self {
        let connection = ServerConnection::new(ServerConfig::default(), Instant::ZERO);
        Self { link, connection, input: BytesMut::new(), clock: TokioRuntime::new() }
    }

    pub fn now(&self) -> Instant {
        Instant::new(self.clock.now())
    }

    pub async fn accept(&mut self, session: Option<Session>) {
        let connack = ConnAck::accepted(session.is_some());
        self.connection.accept(self.now(), connack, session.unwrap_or_default());
        self.flush().await;
    }

    /// The next thing the client does.
    pub async fn event(&mut self) -> ServerEvent {
        loop {
            let event = self.connection.poll_event(self.now(), &mut self.input);
            if self.connection.transmit().has_remaining() {
                self.flush().await;
            }
            if let Some(event) = event {
                return event;
            }
            if !matches!(self.link.recv(&mut self.input).await, Ok(1..)) {
                let now = self.now();
                self.connection.handle_closed(now);
            }
        }
    }

    /// The next message, not acknowledged yet.
    pub async fn message(&mut self) -> (Message, Option<AckToken>) {
        match self.event().await {
            ServerEvent::Publish { message, token, .. } => (message, token),
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    pub async fn ack(&mut self, token: Option<AckToken>) {
        let now = self.now();
        self.connection.ack(now, token.expect("of QoS 1 or 2"), ReasonCode::Success);
        self.flush().await;
    }

    /// The next SUBSCRIBE, not answered yet.
    pub async fn subscribe(&mut self) -> Subscribe {
        match self.event().await {
            ServerEvent::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?} instead of SUBSCRIBE"),
        }
    }

    /// Grants what was asked for.
    pub async fn grant(&mut self, subscribe: &Subscribe) {
        let reasons = subscribe.subscriptions.iter().map(|s| ReasonCode::granted(s.options.qos));
        let now = self.now();
        self.connection.sub_ack(now, &SubAck::new(subscribe.packet_id, reasons)).unwrap();
        self.flush().await;
    }

    /// Sends a message, without waiting for anything.
    pub async fn publish(&mut self, message: Message) -> Option<PacketId> {
        let now = self.now();
        let id = self.connection.publish(now, message).unwrap();
        self.flush().await;
        id
    }

    pub async fn flush(&mut self) {
        // The client may be gone, which the next event says.
        self.link.send_all(self.connection.transmit()).await.ok();
    }
}
