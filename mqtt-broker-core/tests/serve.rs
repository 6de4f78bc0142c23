//! Clients over links of the host, and in the process itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use mqttkit_broker_core::transport::{
    Link, LinkError, LinkExt, MemoryLink, PeerInfo, Scheme, StreamLink, pipe,
};
use mqttkit_broker_core::{
    Admission, BoxFuture, Broker, Closed, Config, ConnectRequest, LocalError, Message, Policy, QoS,
    ReasonCode, Refusal, ServeError, Str, TopicFilter, TopicName,
};
use mqttkit_codec::Will;
use support::{PATIENCE, RawClient, join, memory, until, v5, v311};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;

fn message(topic: &str, payload: &str) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

async fn exchange() {
    let broker = Broker::builder().build();
    let (mut sender, mut receiver) = (join(&broker, "s").await, join(&broker, "r").await);
    receiver.subscribe("a/#", QoS::ExactlyOnce).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for size in [0, 1, 64 * 1024, 1024 * 1024] {
            sender.publish("a/b", vec![7; size], qos).await;
            let message = receiver.message().await;
            assert_eq!((message.payload.len(), message.qos), (size, qos));
        }
    }
    sender.disconnect().await;
    receiver.disconnect().await;
    until("everybody has left", || broker.stats().connections == 0).await;
    assert_eq!(broker.stats().sessions, 0);
}

#[tokio::test]
async fn messages_of_every_size_on_one_thread() {
    exchange().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_every_size_on_two_threads() {
    exchange().await;
}

#[tokio::test]
async fn any_byte_stream_can_be_served() {
    let broker = Broker::builder().build();
    let (near, far) = tokio::io::duplex(1024);
    let served = tokio::spawn(broker.serve_stream(far, None));
    let link = mqttkit_broker_core::transport::StreamLink::from_tokio(near);
    let client = RawClient::connect(link, v311("c")).await;
    client.disconnect().await;
    assert!(matches!(served.await.unwrap(), Ok(Closed::Peer(_))));
}

/// The broker's side of a link, which notes when something is written to it.
struct Noted {
    link: MemoryLink,
    name: &'static str,
    notes: Arc<Mutex<Vec<&'static str>>>,
}

impl Link for Noted {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, LinkError>> {
        self.link.poll_recv(cx, buf)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut dyn Buf) -> Poll<Result<(), LinkError>> {
        self.notes.lock().unwrap().push(self.name);
        self.link.poll_send(cx, data)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close(cx)
    }
}

#[tokio::test]
async fn a_message_goes_to_its_receivers_before_it_is_acknowledged() {
    let broker = Broker::builder().build();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let join = async |name: &'static str| {
        let (near, link) = pipe(64 * 1024);
        let noted = Noted { link, name, notes: Arc::clone(&notes) };
        tokio::spawn(broker.serve(noted, PeerInfo::new(Scheme::Tcp, None)));
        RawClient::connect(near, v5(name)).await
    };
    let mut sender = join("sender").await;
    let (mut first, mut second) = (join("receiver").await, join("receiver, too").await);
    first.subscribe("a", QoS::AtMostOnce).await;
    second.subscribe("a", QoS::AtMostOnce).await;
    for _ in 0..3 {
        notes.lock().unwrap().clear();
        sender.publish("a", "hello", QoS::AtLeastOnce).await;
        assert_eq!(
            (first.message().await.payload, second.message().await.payload),
            ("hello".into(), "hello".into())
        );
        assert_eq!(*notes.lock().unwrap(), ["receiver", "receiver, too", "sender"]);
    }
}

#[tokio::test]
async fn local_clients_and_the_host_take_part() {
    let broker = Broker::builder().build();
    let mut remote = join(&broker, "remote").await;
    let mut local = broker.local_client().unwrap();
    remote.subscribe("to/remote", QoS::AtLeastOnce).await;
    assert_eq!(local.subscribe(filter("to/local"), QoS::ExactlyOnce), Ok(QoS::ExactlyOnce));

    remote.publish("to/local", "hello", QoS::AtLeastOnce).await;
    assert_eq!(local.recv().await.unwrap().payload, "hello");
    assert_eq!(local.publish(message("to/remote", "hi")), ReasonCode::Success);
    assert_eq!(remote.message().await.payload, "hi");
    assert_eq!(broker.publish(message("to/remote", "ho")), ReasonCode::Success);
    assert_eq!(remote.message().await.payload, "ho");
    assert_eq!(broker.publish(message("nowhere", "")), ReasonCode::NoMatchingSubscribers);
    assert_eq!(broker.publish(message("$SYS/uptime", "")), ReasonCode::NoMatchingSubscribers);

    assert!(local.unsubscribe(&filter("to/local")));
    assert!(!local.unsubscribe(&filter("to/local")));
    remote.publish("to/local", "again", QoS::AtLeastOnce).await;
    assert!(local.try_recv().is_none());
    assert_eq!(broker.stats().clients, 2);
    drop(local);
    assert_eq!((broker.stats().clients, broker.stats().sessions), (1, 1));
}

#[tokio::test]
async fn a_local_client_gets_retained_messages_and_waits_for_new_ones() {
    let broker = Broker::builder().build();
    broker.publish(message("a", "kept").with_retain(true));
    let mut local = broker.local_client().unwrap();
    let waiting = tokio::spawn(async move {
        local.subscribe(filter("#"), QoS::AtMostOnce).unwrap();
        let first = local.recv().await.unwrap();
        let second = local.recv().await.unwrap();
        (first.payload, first.retain, second.payload, second.retain)
    });
    until("the retained message is taken", || broker.stats().messages_delivered == 1).await;
    broker.publish(message("b", "new"));
    assert_eq!(waiting.await.unwrap(), ("kept".into(), true, "new".into(), false));
}

#[tokio::test]
async fn a_local_client_is_bounded_and_can_be_kicked_and_replaced() {
    let mut config = Config::default();
    config.outbox_messages = 3;
    let broker = Broker::builder().config(config).build();
    let id = || Str::try_from("local").unwrap();
    let mut local = broker.local_client_with_id(id()).unwrap();
    assert_eq!(broker.local_client_with_id(id()).unwrap_err(), LocalError::InUse);
    local.subscribe(filter("#"), QoS::AtMostOnce).unwrap();
    for _ in 0..5 {
        broker.publish(message("a", ""));
    }
    assert_eq!(broker.stats().dropped.slow_qos0, 2);
    assert_eq!(broker.kick("local", ReasonCode::AdministrativeAction), Ok(true));
    for _ in 0..3 {
        assert!(local.recv().await.is_some());
    }
    assert!(local.recv().await.is_none());
    // A client of the network takes the name over.
    let mut local = broker.local_client_with_id(id()).unwrap_err();
    assert_eq!(local, LocalError::InUse);
    let _remote = join(&broker, "local").await;
    local = broker.local_client_with_id(id()).unwrap_err();
    assert_eq!(local, LocalError::InUse);
}

#[tokio::test]
async fn a_takeover_hands_the_session_to_the_newer_connection() {
    let broker = Broker::builder().build();
    let mut first = join(&broker, "same").await;
    let mut second = join(&broker, "same").await;
    let Closed::Peer(disconnect) = first.closed().await else { panic!() };
    assert_eq!(disconnect.reason, ReasonCode::SessionTakenOver);
    assert_eq!(second.subscribe("a", QoS::AtMostOnce).await, ReasonCode::GRANTED_QOS_0);
    assert_eq!(broker.publish(message("a", "x")), ReasonCode::Success);
    assert_eq!(second.message().await.payload, "x");
    until("the first is gone", || broker.stats().connections == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_takeovers_leaves_one_client() {
    let broker = Broker::builder().build();
    let storm: Vec<_> = (0..50)
        .map(|_| {
            let link = memory(&broker, 1024);
            tokio::spawn(async move {
                let mut client = RawClient::open(link, v5("same"));
                loop {
                    if let mqttkit_codec::ClientEvent::Closed(closed) = client.event().await {
                        return closed;
                    }
                    if client.connection.is_connected()
                        && timeout(Duration::from_secs(1), client.closed()).await.is_err()
                    {
                        // Nobody took over from this one.
                        client.disconnect().await;
                        return Closed::Local(ReasonCode::NORMAL_DISCONNECTION);
                    }
                    if client.connection.is_closed() {
                        return Closed::Transport;
                    }
                }
            })
        })
        .collect();
    let mut stayed = 0;
    for client in storm {
        stayed += usize::from(matches!(client.await.unwrap(), Closed::Local(_)));
    }
    assert_eq!(stayed, 1);
    until("everybody has left", || broker.stats().connections == 0 && broker.stats().sessions == 0).await;
}

#[tokio::test]
async fn a_kicked_client_is_told_why() {
    let broker = Broker::builder().build();
    let mut client = join(&broker, "c").await;
    assert_eq!(broker.kick("c", ReasonCode::AdministrativeAction), Ok(true));
    let Closed::Peer(disconnect) = client.closed().await else { panic!() };
    assert_eq!(disconnect.reason, ReasonCode::AdministrativeAction);
    assert!(client.link_end().await.is_ok());
    until("it is gone", || broker.stats().clients == 0).await;
    assert_eq!(broker.kick("c", ReasonCode::AdministrativeAction), Ok(false));
}

#[tokio::test]
async fn dropping_the_future_cuts_the_connection_and_publishes_the_will() {
    let broker = Broker::builder().build();
    let mut local = broker.local_client().unwrap();
    local.subscribe(filter("will"), QoS::AtMostOnce).unwrap();
    let (near, far) = pipe(1024);
    let served = tokio::spawn(broker.serve(far, PeerInfo::new(Scheme::Tcp, None)));
    let mut connect = v5("c");
    connect.will = Some(mqttkit_codec::Will::new("will".try_into().unwrap(), "gone".try_into().unwrap()));
    let _client = RawClient::connect(near, connect).await;
    served.abort();
    let will = timeout(PATIENCE, local.recv()).await.unwrap().unwrap();
    assert_eq!(will.payload, "gone");
    until("the seat is free", || broker.stats().connections == 0).await;
}

#[tokio::test]
async fn connections_are_limited() {
    let mut config = Config::default();
    config.max_connections = 1;
    let broker = Broker::builder().config(config).build();
    let first = join(&broker, "first").await;
    let (_near, far) = pipe(1024);
    let refused = broker.serve(far, PeerInfo::new(Scheme::Tcp, None)).await;
    assert_eq!(refused, Err(ServeError::TooManyConnections));
    assert_eq!(broker.stats().connections_refused, 1);
    first.disconnect().await;
    until("there is a seat", || broker.stats().connections == 0).await;
    join(&broker, "second").await.disconnect().await;
}

/// A subscriber that reads nothing holds a bounded queue and is dropped in the end; others do not notice.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_bounded_and_dropped() {
    let mut config = Config::default();
    config.outbox_messages = 100;
    config.write_timeout = Duration::from_secs(30);
    let broker = Broker::builder().config(config).build();
    let mut deaf = RawClient::connect(memory(&broker, 1024), v311("deaf")).await;
    let mut quick = join(&broker, "quick").await;
    deaf.subscribe("a", QoS::AtMostOnce).await;
    quick.subscribe("a", QoS::AtMostOnce).await;
    for number in 0..2000 {
        broker.publish(message("a", &"x".repeat(1000)));
        assert_eq!(quick.message().await.payload.len(), 1000, "message {number}");
    }
    let stats = broker.stats();
    // 96 KiB in the connection, 1 KiB in the line, 100 messages in the outbox.
    assert!((1770..1870).contains(&stats.dropped.slow_qos0), "{stats:?}");
    assert_eq!(stats.clients, 2);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(broker.stats().clients, 1);
}

/// Half of a CONNECT, then silence.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let broker = Broker::builder().build();
    let mut link = memory(&broker, 1024);
    let mut half = bytes::BytesMut::new();
    half.put_slice(&[0x10, 13, 0, 4, b'M']);
    link.send_all(&mut half).await.unwrap();
    let started = tokio::time::Instant::now();
    let mut nothing = bytes::BytesMut::new();
    assert_eq!(link.recv(&mut nothing).await.unwrap(), 0);
    assert_eq!(started.elapsed().as_secs(), 10);
    drop(link);
    tokio::task::yield_now().await;
    assert_eq!(broker.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_comes_without_anybody_touching_the_broker() {
    let broker = Broker::builder().build();
    let mut local = broker.local_client().unwrap();
    local.subscribe(filter("will"), QoS::AtMostOnce).unwrap();
    let mut connect = v5("c");
    let mut will = mqttkit_codec::Will::new("will".try_into().unwrap(), "gone".try_into().unwrap());
    will.properties = will.properties.with_will_delay_interval(60);
    connect.will = Some(will);
    connect.properties = connect.properties.with_session_expiry_interval(3600);
    let client = RawClient::connect(memory(&broker, 1024), connect).await;
    let started = tokio::time::Instant::now();
    drop(client);
    assert_eq!(local.recv().await.unwrap().payload, "gone");
    assert_eq!(started.elapsed().as_secs(), 60);
    assert_eq!(broker.stats().sessions, 2);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(broker.stats().sessions, 1);
}

/// A client need not wait for CONNACK. (3.1.4)
#[tokio::test]
async fn what_stands_behind_a_connect_is_read_with_it() {
    for takes_time in [false, true] {
        let builder = Broker::builder();
        let broker = if takes_time { builder.policy(Slow).build() } else { builder.build() };
        let (mut near, far) = tokio::io::duplex(1024);
        let served = tokio::spawn(broker.serve_stream(far, None));
        // CONNECT, SUBSCRIBE to "t", PUBLISH to it, PINGREQ, in one piece.
        let sent = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c\x82\x06\0\x01\0\x01t\0\x30\x04\0\x01tx\xc0\0";
        near.write_all(sent).await.unwrap();
        let mut got = [0; 17];
        timeout(PATIENCE, near.read_exact(&mut got)).await.expect("all answers in time").unwrap();
        let answers = [&b"\x20\x02\0\0"[..], b"\x90\x03\0\x01\0", b"\x30\x04\0\x01tx"];
        // A ping may be answered before anything else.
        let pong = got.windows(2).position(|bytes| bytes == [0xd0, 0]).expect("PINGRESP");
        assert_eq!([&got[..pong], &got[pong + 2..]].concat(), answers.concat());
        near.write_all(&[0xe0, 0]).await.unwrap();
        assert!(matches!(timeout(PATIENCE, served).await.unwrap().unwrap(), Ok(Closed::Peer(_))));
    }
}

/// Lets everybody in, not at once.
struct Slow;

impl Policy for Slow {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Admission::default())
        })
    }
}

/// [MQTT-4.8.0-2]: a link that breaks is closed, with everything that follows from it.
#[tokio::test]
async fn a_link_that_fails_ends_its_connection_and_no_other() {
    let broker = Broker::builder().build();
    let mut good = join(&broker, "good").await;
    good.subscribe("will", QoS::AtMostOnce).await;
    for fault in [Fault::Reading, Fault::Writing] {
        let (near, far) = tokio::io::duplex(1024);
        let broken = Faulty { inner: far, fault, armed: Arc::default() };
        let armed = Arc::clone(&broken.armed);
        let served = tokio::spawn(broker.serve_stream(broken, None));
        let mut connect = v5("bad");
        connect.will = Some(Will::new("will".try_into().unwrap(), "gone".try_into().unwrap()));
        let mut client = RawClient::connect(StreamLink::from_tokio(near), connect).await;
        armed.store(true, Ordering::Relaxed);
        // What it would answer cannot leave, or this cannot be read.
        let now = client.now();
        client.connection.publish(now, message("x", "").with_qos(QoS::AtLeastOnce)).unwrap();
        client.flush().await;
        assert_eq!(good.message().await.payload, "gone", "{fault:?}");
        let ended = timeout(PATIENCE, served).await.expect("in time").unwrap();
        assert!(!matches!(ended, Ok(Closed::Peer(_))), "{fault:?}: {ended:?}");
    }
    until("the others are gone", || broker.stats().connections == 1).await;
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Reading,
    Writing,
}

/// A stream that fails for one moment once it is armed.
struct Faulty {
    inner: DuplexStream,
    fault: Fault,
    armed: Arc<AtomicBool>,
}

impl Faulty {
    fn fails(&self, doing: Fault) -> std::io::Result<()> {
        if doing == self.fault && self.armed.swap(false, Ordering::Relaxed) {
            return Err(std::io::Error::other("for a moment"));
        }
        Ok(())
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.fails(Fault::Reading)?;
        }
        read
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.fails(Fault::Writing)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
