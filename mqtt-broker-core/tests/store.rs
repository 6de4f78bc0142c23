//! A broker with a store, on a runtime: brokers that follow each other, and answers that wait.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::BytesMut;
use mqttkit_broker_core::store::{Batch, MemoryStore, Progress, Snapshot, Store, StoreError, StoreOp};
use mqttkit_broker_core::transport::LinkExt;
use mqttkit_broker_core::{
    Broker, Closed, Config, Connect, Message, QoS, ReasonCode, Subscription, TopicName,
};
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

/// A client may send before it is answered.
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

#[tokio::test]
async fn a_client_does_not_wait_for_ever_to_be_let_in() {
    let store = MemoryStore::new();
    let mut config = Config::default();
    config.authenticate_timeout = Duration::from_millis(50);
    let broker = Broker::builder().config(config).store(store.clone()).unwrap().build();
    store.pause();
    let mut client = RawClient::open(memory(&broker, 65_536), lasting("c"));
    let Closed::Refused(connack) = client.closed().await else { panic!("not refused") };
    assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
    // It has its session, if that was written.
    store.resume();
    let broker = self::broker(&store);
    let mut client = RawClient::open(memory(&broker, 65_536), lasting("c"));
    assert!(client.connected().await.session_present);
}

/// Appends to a log in groups, on a thread of its own, and compacts it: a file in all but the bytes.
#[derive(Clone, Debug, Default)]
struct Log {
    records: Arc<Mutex<Vec<StoreOp>>>,
    compactions: Arc<AtomicUsize>,
    queue: Arc<Mutex<Option<mpsc::Sender<Batch>>>>,
}

impl Log {
    fn read(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        self.records.lock().unwrap().iter().for_each(|op| snapshot.apply(op));
        snapshot
    }

    fn write(&self, batches: &mpsc::Receiver<Batch>, progress: &Progress) {
        let mut image = self.read();
        while let Ok(first) = batches.recv() {
            let group: Vec<Batch> = [first].into_iter().chain(batches.try_iter()).collect();
            let last = group.last().unwrap().last();
            // The disk.
            std::thread::sleep(Duration::from_millis(1));
            for op in group.into_iter().flat_map(|batch| batch.ops) {
                image.apply(&op);
                self.records.lock().unwrap().push(op);
            }
            let mut records = self.records.lock().unwrap();
            if records.len() > 100 && records.len() > 3 * image.to_ops().count() {
                *records = image.to_ops().collect();
                self.compactions.fetch_add(1, Ordering::Relaxed);
            }
            drop(records);
            // The last thing it does: who has waited for it may open the log again.
            progress.durable(last);
        }
    }
}

impl Store for Log {
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError> {
        let (queue, batches) = mpsc::channel::<Batch>();
        *self.queue.lock().unwrap() = Some(queue);
        let log = self.clone();
        let snapshot = self.read();
        std::thread::spawn(move || log.write(&batches, &progress));
        Ok(snapshot)
    }

    fn submit(&self, batch: Batch) {
        let _ = self.queue.lock().unwrap().as_ref().unwrap().send(batch);
    }
}

/// No wake is forgotten between the threads of the broker and that of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_and_a_store_on_another_thread() {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 30;
    let store = Log::default();
    let broker = Broker::builder().store(store.clone()).unwrap().build();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut client =
                    RawClient::connect(memory(&broker, 65_536), lasting(&format!("c{number}"))).await;
                client.subscribe(&format!("t/{}", (number + 1) % CLIENTS), QoS::ExactlyOnce).await;
                client.subscribe("kept", QoS::ExactlyOnce).await;
                for message in 0..MESSAGES {
                    let qos = if message % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                    client.publish(&format!("t/{number}"), message.to_string(), qos).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    until("all have gone", || broker.stats().clients == 0).await;
    broker.publish(message("kept", "x").with_qos(QoS::ExactlyOnce));
    assert!(broker.shutdown(DEADLINE).await);
    let kept = store.read();
    assert_eq!(kept.sessions(), CLIENTS);
    assert!(kept.messages() >= CLIENTS);
    assert!(store.compactions.load(Ordering::Relaxed) > 0);
    // Everything that a client has not seen comes with the next broker, then the last one.
    let broker = Broker::builder().store(store).unwrap().build();
    for number in 0..CLIENTS {
        let mut client = RawClient::open(memory(&broker, 65_536), lasting(&format!("c{number}")));
        assert!(client.connected().await.session_present);
        let mut seen = 0;
        while seen < 1 {
            seen += usize::from(client.message().await.topic.as_str() == "kept");
        }
    }
    assert!(broker.shutdown(DEADLINE).await);
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
