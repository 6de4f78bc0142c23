//! A raw client: the codec's connection over any link, driven by hand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqttkit_broker_core::transport::{
    ClientLink, ConnectOptions, Endpoint, Link, LinkError, LinkExt, MemoryLink, PeerInfo, Scheme,
    TokioRuntime, connect, pipe,
};
use mqttkit_broker_core::{Broker, Connect, Message, QoS, ReasonCode, Subscription, TopicName, Version};
use mqttkit_codec::{
    ClientConfig, ClientConnection, ClientEvent, Closed, ConnAck, Disconnect, Instant, Session,
    SubscribeProperties,
};
use tokio::time::{sleep, timeout};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct RawClient<L> {
    pub link: L,
    pub connection: ClientConnection,
    input: BytesMut,
    origin: tokio::time::Instant,
    /// Messages that came while something else was waited for.
    messages: Vec<Message>,
    /// How the link ended.
    pub link_end: Option<Result<(), LinkError>>,
}

impl<L: Link> RawClient<L> {
    /// Sends a CONNECT.
    pub fn open(link: L, connect: Connect) -> Self {
        let connection =
            ClientConnection::new(ClientConfig::default(), connect, Session::new(), Instant::ZERO).unwrap();
        let origin = tokio::time::Instant::now();
        Self { link, connection, input: BytesMut::new(), origin, messages: Vec::new(), link_end: None }
    }

    /// Sends a CONNECT and waits for the acceptance.
    pub async fn connect(link: L, connect: Connect) -> Self {
        let mut client = Self::open(link, connect);
        client.connected().await;
        client
    }

    pub async fn connected(&mut self) -> ConnAck {
        match self.event().await {
            ClientEvent::Connected { connack, .. } => *connack,
            other => panic!("not connected: {other:?}"),
        }
    }

    /// Waits for the answer to CONNECT, whichever it is.
    pub async fn connected_or_refused(&mut self) -> bool {
        matches!(self.event().await, ClientEvent::Connected { .. })
    }

    pub fn now(&self) -> Instant {
        Instant::new(self.origin.elapsed())
    }

    /// The next event. Acknowledges messages and answers to deadlines on the way.
    pub async fn event(&mut self) -> ClientEvent {
        timeout(PATIENCE, self.next_event()).await.expect("an event in time")
    }

    async fn next_event(&mut self) -> ClientEvent {
        loop {
            let now = self.now();
            self.connection.handle_timeout(now);
            if let Some(event) = self.connection.poll_event(now, &mut self.input) {
                if let ClientEvent::Publish { token: Some(token), .. } = &event {
                    self.connection.ack(now, *token, ReasonCode::Success);
                }
                self.flush().await;
                return event;
            }
            let deadline = self.connection.poll_timeout().map(|at| self.origin + at.since_origin());
            let mut timer = Box::pin(sleep(PATIENCE));
            if let Some(deadline) = deadline {
                timer.as_mut().reset(deadline);
            }
            let Self { link, connection, input, link_end, .. } = self;
            let ended = poll_fn(|cx| {
                let transmit = connection.transmit();
                if transmit.has_remaining() {
                    let _ = link.poll_send(cx, transmit);
                }
                let _ = link.poll_flush(cx);
                match link.poll_recv(cx, input) {
                    Poll::Ready(Ok(0)) => Poll::Ready(Some(Ok(()))),
                    Poll::Ready(Ok(_)) => Poll::Ready(None),
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                    Poll::Pending => Future::poll(Pin::new(&mut timer), cx).map(|()| None),
                }
            })
            .await;
            if let Some(end) = ended {
                link_end.get_or_insert(end);
                connection.handle_closed(now);
            }
        }
    }

    pub async fn flush(&mut self) {
        let transmit = self.connection.transmit();
        let _ = self.link.send_all(transmit).await;
    }

    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let subscription = Subscription::new(filter.try_into().unwrap(), qos);
        let now = self.now();
        self.connection.subscribe(now, SubscribeProperties::new(), [subscription]).unwrap();
        loop {
            match self.event().await {
                ClientEvent::SubAck(ack) => return ack.reasons.iter().next().unwrap(),
                ClientEvent::Publish { message, .. } => self.messages.push(message),
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn publish(&mut self, topic: &str, payload: impl Into<bytes::Bytes>, qos: QoS) {
        let message = Message::new(TopicName::try_from(topic).unwrap(), payload).with_qos(qos);
        let now = self.now();
        self.connection.publish(now, message).unwrap();
        if qos == QoS::AtMostOnce {
            self.flush().await;
            return;
        }
        loop {
            match self.event().await {
                ClientEvent::Acknowledged { .. } => return,
                ClientEvent::Publish { message, .. } => self.messages.push(message),
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn message(&mut self) -> Message {
        if !self.messages.is_empty() {
            return self.messages.remove(0);
        }
        match self.event().await {
            ClientEvent::Publish { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    pub async fn closed(&mut self) -> Closed {
        loop {
            match self.event().await {
                ClientEvent::Closed(closed) => return closed,
                ClientEvent::Publish { message, .. } => self.messages.push(message),
                other => panic!("{other:?}"),
            }
        }
    }

    /// After [`closed`](Self::closed): how the link itself ended.
    pub async fn link_end(&mut self) -> Result<(), LinkError> {
        if let Some(end) = self.link_end.take() {
            return end;
        }
        let mut rest = BytesMut::new();
        loop {
            match timeout(PATIENCE, self.link.recv(&mut rest)).await.expect("the end of the link in time") {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub async fn disconnect(mut self) {
        let now = self.now();
        self.connection.disconnect(now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
        self.flush().await;
        let _ = self.link.close().await;
    }
}

pub fn v5(client_id: &str) -> Connect {
    Connect::new(Version::V5, client_id.try_into().unwrap())
}

pub fn v311(client_id: &str) -> Connect {
    Connect::new(Version::V311, client_id.try_into().unwrap())
}

/// A link to a broker, through memory.
pub fn memory(broker: &Broker, capacity: usize) -> MemoryLink {
    let (near, far) = pipe(capacity);
    tokio::spawn(broker.serve(far, PeerInfo::new(Scheme::Tcp, None)));
    near
}

/// A client connected through memory.
pub async fn join(broker: &Broker, client_id: &str) -> RawClient<MemoryLink> {
    RawClient::connect(memory(broker, 64 * 1024), v5(client_id)).await
}

/// A link to a listener.
pub async fn dial(url: &str, options: &ConnectOptions) -> ClientLink<TokioRuntime> {
    let endpoint: Endpoint = url.parse().unwrap();
    connect(&TokioRuntime::new(), &endpoint, options).await.unwrap()
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
