//! What the broker says to `tracing`, and the switches that make it say more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use mqttkit_broker_core::transport::{ConnectOptions, PeerInfo, Scheme, pipe};
use mqttkit_broker_core::{
    Admission, BoxFuture, Broker, Config, ConnectRequest, Listen, Message, Policy, QoS, ReasonCode, Refusal,
    TopicFilter, TopicName, TraceError,
};
use support::{PATIENCE, RawClient, dial, join, memory, until, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// Keeps all events as lines: `LEVEL target message field=value …`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Everything that this thread does is logged here, which is all: the tests run on one.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(Capture(log.clone()));
        (log, guard)
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines with all of these words.
    fn with(&self, words: &[&str]) -> Vec<String> {
        self.lines().into_iter().filter(|line| words.iter().all(|word| line.contains(word))).collect()
    }

    async fn one(&self, words: &[&str]) -> String {
        until(&format!("a line with {words:?}"), || !self.with(words).is_empty()).await;
        let mut lines = self.with(words);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

struct Capture(Log);

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.message, "{value:?}").unwrap();
        } else {
            write!(self.fields, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mqttkit_broker_core::")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let target = target.trim_start_matches("mqttkit_broker_core::");
        self.0.0.lock().unwrap().push(format!("{level} {target} {}{}", line.message, line.fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn message(topic: &str) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), "payload")
}

fn filter(text: &str) -> TopicFilter {
    text.try_into().unwrap()
}

#[tokio::test]
async fn clients_and_listeners_come_and_go() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0)).named("front")).await.unwrap();
    log.one(&["INFO listener listening", "listener=\"front\"", "address=127.0.0.1:"]).await;
    let url = format!("mqtt://{}", listening.local_addr());
    let mut client = RawClient::connect(dial(&url, &ConnectOptions::default()).await, v5("c\n1")).await;
    // What a client calls itself cannot make a line of its own.
    let line = log.one(&["INFO client connected"]).await;
    for field in ["client=\"c\\n1\"", "peer=127.0.0.1:", "listener=\"front\"", "scheme=mqtt", "version=5.0"] {
        assert!(line.contains(field), "{field} in {line}");
    }
    client.subscribe("a/#", QoS::AtLeastOnce).await;
    log.one(&["DEBUG subscription subscribed", "filter=\"a/#\"", "qos=1"]).await;
    client.disconnect().await;
    log.one(&["INFO client disconnected", "client=\"c\\n1\"", "reason=0", "the peer disconnected"]).await;
    listening.stop().await;
    log.one(&["INFO listener stopped listening", "\"front\""]).await;
}

#[tokio::test]
async fn a_connection_that_its_host_drops_is_logged_too() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    let (near, far) = pipe(1024);
    let served = tokio::spawn(broker.serve(far, PeerInfo::new(Scheme::Tcp, None)));
    let _client = RawClient::connect(near, v5("c")).await;
    served.abort();
    log.one(&["INFO client disconnected", "client=\"c\"", "the connection was cut"]).await;
}

struct Nobody;

impl Policy for Nobody {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(std::future::ready(Err(Refusal::new(ReasonCode::Banned))))
    }
}

#[tokio::test]
async fn who_is_refused_is_logged_with_the_reason() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().policy(Nobody).build();
    let mut stranger = RawClient::open(memory(&broker, 1024), v5("stranger"));
    stranger.closed().await;
    log.one(&["WARN refused refused", "client=\"stranger\"", "reason=138", "left_out=0"]).await;
}

async fn speak_http(broker: &Broker) {
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let served = tokio::spawn(broker.serve_stream(theirs, Some("192.0.2.7:4711".parse().unwrap())));
    ours.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    ours.shutdown().await.unwrap();
    let _ = ours.read_to_end(&mut Vec::new()).await;
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flood_of_nonsense_is_not_a_flood_of_lines() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    for _ in 0..100 {
        speak_http(&broker).await;
    }
    let lines = log.with(&[
        "WARN violation protocol violation",
        "peer=192.0.2.7:4711",
        "cause=the peer broke the protocol",
    ]);
    // Ten a second, and it may have taken more than one.
    assert!((10..60).contains(&lines.len()), "{}", lines.len());
    assert_eq!(broker.stats().connections, 0);
}

#[tokio::test]
async fn what_is_dropped_is_said_once_a_second() {
    let (log, _guard) = Log::start();
    let mut config = Config::default();
    config.outbox_messages = 1;
    let broker = Broker::builder().config(config).build();
    let slow = broker.local_client_with_id("slow".try_into().unwrap()).unwrap();
    slow.subscribe(filter("a"), QoS::AtLeastOnce).unwrap();
    for _ in 0..1_000 {
        broker.publish(message("a").with_qos(QoS::AtLeastOnce));
    }
    let lines = log.with(&["WARN dropped messages dropped", "client=\"slow\"", "cause=Slow"]);
    assert!((1..5).contains(&lines.len()), "{lines:?}");
    assert!(lines[0].contains("count=1"), "{lines:?}");
}

#[tokio::test]
async fn a_traced_client_is_heard_from_its_connect_on() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    assert_eq!(broker.trace_client("t"), Ok(true));
    assert_eq!(broker.trace_client("t"), Ok(false));
    assert_eq!(broker.traced_clients(), ["t"]);
    let mut other = join(&broker, "other").await;
    let mut connect = v5("t");
    connect.user_name = Some("ada".try_into().unwrap());
    connect.password = Some((&b"secret"[..]).try_into().unwrap());
    let mut traced = RawClient::connect(memory(&broker, 1024), connect).await;
    traced.subscribe("a", QoS::ExactlyOnce).await;
    other.publish("a", "not for the log", QoS::ExactlyOnce).await;
    traced.message().await;
    traced.publish("b", "neither", QoS::AtLeastOnce).await;
    traced.disconnect().await;
    log.one(&["INFO trace", "packet=\"DISCONNECT\""]).await;
    for words in [
        &["direction=\"in\"", "packet=\"CONNECT\"", "version=5.0", "user=\"ada\"", "password=true"][..],
        &["direction=\"out\"", "packet=\"CONNACK\"", "reason=0x00", "session_present=false"],
        &["direction=\"in\"", "packet=\"SUBSCRIBE\"", "filter=\"a\" qos=2", "id=1"],
        &["direction=\"out\"", "packet=\"SUBACK\"", "reason=0x02"],
        &["direction=\"out\"", "packet=\"PUBLISH\"", "topic=\"a\"", "qos=2", "payload=15 bytes", "bytes="],
        &["direction=\"in\"", "packet=\"PUBREC\""],
        &["direction=\"out\"", "packet=\"PUBREL\""],
        &["direction=\"in\"", "packet=\"PUBLISH\"", "topic=\"b\"", "qos=1"],
        &["direction=\"out\"", "packet=\"PUBACK\"", "reason=0x10"],
    ] {
        let mut words = words.to_vec();
        words.extend(["INFO trace", "client=\"t\""]);
        log.one(&words).await;
    }
    assert!(log.with(&["trace", "client=\"other\""]).is_empty());
    for secret in ["secret", "not for the log", "neither"] {
        assert!(log.with(&[secret]).is_empty(), "{secret}");
    }
}

#[tokio::test]
async fn a_client_that_is_there_already_can_be_traced_and_left_alone_again() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    let mut client = join(&broker, "t").await;
    client.subscribe("a", QoS::AtMostOnce).await;
    assert!(log.with(&["trace"]).is_empty());
    broker.trace_client("t").unwrap();
    client.publish("a", "x", QoS::AtLeastOnce).await;
    client.message().await;
    log.one(&["trace", "direction=\"in\"", "packet=\"PUBLISH\"", "topic=\"a\""]).await;
    log.one(&["trace", "direction=\"out\"", "packet=\"PUBLISH\"", "topic=\"a\""]).await;
    log.one(&["trace", "direction=\"out\"", "packet=\"PUBACK\""]).await;
    assert!(broker.untrace_client("t") && !broker.untrace_client("t"));
    log.clear();
    client.publish("a", "x", QoS::AtLeastOnce).await;
    client.message().await;
    assert!(log.with(&["trace"]).is_empty(), "{:?}", log.lines());
}

#[tokio::test]
async fn a_client_within_the_process_is_traced_too() {
    let (log, _guard) = Log::start();
    let broker = Broker::builder().build();
    broker.trace_client("inside").unwrap();
    let mut inside = broker.local_client_with_id("inside".try_into().unwrap()).unwrap();
    inside.subscribe(filter("a"), QoS::AtMostOnce).unwrap();
    inside.publish(message("a"));
    inside.recv().await.unwrap();
    for words in [["subscribes", "filter=\"a\""], ["publishes", "topic=\"a\""], ["receives", "topic=\"a\""]] {
        log.one(&[words[0], words[1], "INFO trace", "client=\"inside\""]).await;
    }
}

#[tokio::test]
async fn a_traced_topic_tells_what_becomes_of_each_message() {
    let (log, _guard) = Log::start();
    let mut config = Config::default();
    config.outbox_messages = 1;
    let broker = Broker::builder().config(config).build();
    assert_eq!(broker.trace_topic(&filter("a/+")), Ok(true));
    assert_eq!(broker.traced_topics(), [filter("a/+")]);
    let mut inside = broker.local_client_with_id("inside".try_into().unwrap()).unwrap();
    inside.subscribe(filter("#"), QoS::AtMostOnce).unwrap();
    let mut client = join(&broker, "publisher").await;
    client.publish("a/b", "x", QoS::AtLeastOnce).await;
    log.one(&[
        "INFO trace published",
        "topic=\"a/b\"",
        "publisher=\"publisher\"",
        "qos=1",
        "size=1",
        "receivers=1",
    ])
    .await;
    log.one(&["INFO trace queued", "topic=\"a/b\"", "client=\"inside\"", "qos=0"]).await;
    broker.publish(message("a/c"));
    log.one(&["INFO trace dropped", "topic=\"a/c\"", "client=\"inside\"", "cause=SlowQos0"]).await;
    inside.recv().await.unwrap();
    log.one(&["INFO trace delivered", "topic=\"a/b\"", "client=\"inside\""]).await;
    broker.publish(message("b/c"));
    assert!(log.with(&["trace", "topic=\"b/c\""]).is_empty());
    assert!(broker.untrace_topic(&filter("a/+")) && !broker.untrace_topic(&filter("a/+")));
    log.clear();
    broker.publish(message("a/b"));
    assert!(log.with(&["trace"]).is_empty());
}

#[tokio::test]
async fn there_are_only_so_many_switches() {
    let broker = Broker::builder().build();
    for number in 0..64 {
        assert_eq!(broker.trace_client(&number.to_string()), Ok(true));
        assert_eq!(broker.trace_topic(&filter(&number.to_string())), Ok(true));
    }
    assert_eq!(broker.trace_client("one more"), Err(TraceError::TooMany));
    assert_eq!(broker.trace_topic(&filter("one more")), Err(TraceError::TooMany));
    assert!(matches!(broker.trace_client("\0"), Err(TraceError::ClientId(_))));
    assert!(broker.shutdown(PATIENCE).await);
}
