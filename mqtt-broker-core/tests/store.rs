//! A broker with a store, on a runtime: brokers that follow each other, and answers that wait.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bytes::BytesMut;
use mqttkit_broker_core::store::{Batch, MemoryStore, Progress, Snapshot, Store, StoreError};
use mqttkit_broker_core::transport::LinkExt;
use mqttkit_broker_core::{Broker, Connect, Message, QoS, Subscription, TopicName};
use mqttkit_codec::{ClientEvent, Codec, PacketId, Subscribe, Version};
use support::{PATIENCE, RawClient, join, memory, until, v5};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

fn lasting(client_id: &str) -> Connect {
    let mut connect = v5(client_id);
    connect.clean_start = false;
    connect.properties = connect.properties.with_session_expiry_interval(100);
    connect
}

fn broker(store: &MemoryStore) -> Broker {
    Broker::builder().store(store.clone()).unwrap().build()
}

fn message(topic: &str, payload: &'static str) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), payload)
}

#[tokio::test]
async fn the_next_broker_goes_on_where_the_last_one_was() {
    let store = MemoryStore::new();
    let first = broker(&store);
    let mut receiver = RawClient::connect(memory(&first, 65_536), lasting("r")).await;
    receiver.subscribe("t/+", QoS::ExactlyOnce).await;
    drop(receiver);
    until("it is gone", || first.stats().clients == 0).await;
    let mut sender = join(&first, "s").await;
    sender.publish("t/1", "one", QoS::AtLeastOnce).await;
    sender.publish("t/2", "two", QoS::ExactlyOnce).await;
    first.publish(message("t/3", "three").with_retain(true));
    assert!(first.shutdown(DEADLINE).await);

    let second = broker(&store);
    let mut receiver = RawClient::open(memory(&second, 65_536), lasting("r"));
    assert!(receiver.connected().await.session_present);
    let mut got = [receiver.message().await.payload, receiver.message().await.payload];
    got.sort();
    assert_eq!(got, ["one", "two"]);
    let mut newcomer = join(&second, "n").await;
    newcomer.subscribe("t/3", QoS::AtMostOnce).await;
    assert_eq!(newcomer.message().await.payload, "three");
    assert!(second.shutdown(DEADLINE).await);
}

#[tokio::test]
async fn a_client_waits_for_the_store_and_for_nothing_else() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    let mut receiver = RawClient::connect(memory(&broker, 65_536), lasting("r")).await;
    receiver.subscribe("t", QoS::AtLeastOnce).await;
    store.pause();
    let mut sender = RawClient::connect(memory(&broker, 65_536), v5("s")).await;
    let now = sender.now();
    let important = message("t", "x").with_qos(QoS::AtLeastOnce);
    sender.connection.publish(now, important).unwrap();
    sender.flush().await;
    assert_eq!(receiver.message().await.payload, "x");
    assert_eq!(broker.stats().store_ops, store.waiting() as u64);
    assert!(timeout(Duration::from_millis(50), broker.stored()).await.is_err());
    assert!(!broker.stats().store_failed);
    store.resume();
    assert!(matches!(sender.event().await, ClientEvent::Acknowledged { .. }));
    broker.stored().await.unwrap();
}

/// [MQTT-3.1.4-5]: a client may send before it is answered.
#[tokio::test]
async fn what_comes_behind_a_connect_is_read_when_the_connack_has_left() {
    for store in [None, Some(MemoryStore::new())] {
        let mut builder = Broker::builder();
        if let Some(store) = &store {
            builder = builder.store(store.clone()).unwrap();
            store.pause();
        }
        let broker = builder.build();
        let mut link = memory(&broker, 65_536);
        let mut bytes = BytesMut::new();
        let codec = Codec::new(Version::V5);
        codec.encode(&lasting("c"), &mut bytes).unwrap();
        let filter = Subscription::new("t".try_into().unwrap(), QoS::AtMostOnce);
        let subscribe = Subscribe::new(PacketId::new(1).unwrap(), [filter]);
        codec.encode(&subscribe, &mut bytes).unwrap();
        link.send_all(&mut bytes).await.unwrap();
        if let Some(store) = &store {
            until("the session waits", || store.waiting() > 0).await;
            store.resume();
        }
        let mut answer = BytesMut::new();
        let has_suback = |answer: &BytesMut| answer.ends_with(&[0x90, 4, 0, 1, 0, 0]);
        timeout(PATIENCE, async {
            while !has_suback(&answer) {
                assert!(link.recv(&mut answer).await.unwrap() > 0);
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever_and_says_so() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    store.pause();
    broker.publish(message("t", "x").with_retain(true));
    assert!(!broker.shutdown(Duration::from_millis(20)).await);
    let broker = self::broker(&store);
    broker.publish(message("t", "x").with_retain(true));
    store.fail(StoreError::write("no space left"));
    assert!(matches!(broker.stored().await, Err(StoreError::Write(_))));
    assert!(broker.stats().store_failed);
    assert!(!broker.shutdown(DEADLINE).await);
}

#[derive(Debug)]
struct Unreadable;

impl Store for Unreadable {
    fn open(&self, _: Progress) -> Result<Snapshot, StoreError> {
        Err(StoreError::read(std::io::Error::other("not today")))
    }

    fn submit(&self, _: Batch) {}
}

#[test]
fn a_store_that_cannot_be_read_makes_no_broker() {
    let error = Broker::builder().store(Unreadable).unwrap_err();
    assert!(matches!(error, StoreError::Read(_)));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "not today");
}
