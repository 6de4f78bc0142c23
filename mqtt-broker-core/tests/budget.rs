//! `Config::max_memory`, measured by the allocator: whatever is thrown at the broker, what it really takes stays within
//! what it may. Each flood brings several times that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use std::future::pending;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use mqttkit_broker_core::transport::{LinkExt, MemoryLink, PeerInfo, Scheme, pipe};
use mqttkit_broker_core::{
    Admission, BoxFuture, Broker, Config, Connect, ConnectRequest, Message, Policy, PublishProperties, QoS,
    ReasonCode, Refusal, TopicName,
};
use mqttkit_codec::{Codec, Delivery, Publish, Version, Will};
use support::{RawClient, memory, until, v5};
use tokio::time::timeout;

/// What the broker may take: little, and for floods of large packets more.
const MEMORY: usize = 8 << 20;
const MORE: usize = 64 << 20;
/// What a client of these tests takes itself, with its pipe and its task at the broker, which is not accounted.
const CLIENT: usize = 16 << 10;

/// Runs a flood of so many clients and checks what was allocated at most. The time is simulated.
fn flood<F: Future>(clients: usize, flood: impl FnOnce(Broker) -> F) {
    flood_with(clients, MEMORY, None::<Undecided>, flood);
}

fn flood_with<F: Future>(
    clients: usize,
    memory: usize,
    policy: Option<impl Policy>,
    flood: impl FnOnce(Broker) -> F,
) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut config = Config::default();
    config.max_memory = memory;
    let mut builder = Broker::builder().config(config);
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    let broker = builder.build();
    let mut accounted = 0;
    let info = allocation_counter::measure(|| {
        runtime.block_on(async {
            let kept = flood(broker.clone()).await;
            accounted = broker.stats().memory;
            drop(kept);
        });
    });
    let most = usize::try_from(info.bytes_max).unwrap();
    println!("at most {} KiB, accounted {} KiB", most / 1024, accounted / 1024);
    assert!(accounted <= memory, "accounted {accounted}");
    let allowed = memory + clients * CLIENT;
    assert!(most < allowed, "allocated {} of {} KiB", most / 1024, allowed / 1024);
    assert!(accounted > memory / 32, "no flood: accounted {} KiB", accounted / 1024);
}

/// Does not know what to think of anybody.
struct Undecided;

impl Policy for Undecided {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(pending())
    }
}

fn lasting(id: usize) -> Connect {
    let mut connect = v5(&id.to_string());
    connect.properties = connect.properties.with_session_expiry_interval(1_000_000);
    connect
}

/// So many clients, each of which has subscribed to `t/<number>`.
async fn subscribers(broker: &Broker, count: usize, qos: QoS) -> Vec<RawClient<MemoryLink>> {
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = RawClient::connect(memory(broker, 1024), lasting(number)).await;
        client.subscribe(&format!("t/{number}"), qos).await;
        clients.push(client);
    }
    clients
}

/// The host publishes so much to each of `count` topics, in messages of `size`.
async fn publish(broker: &Broker, count: usize, qos: QoS, size: usize, total: usize) {
    for _ in 0..total / size {
        for number in 0..count {
            let topic = TopicName::try_from(format!("t/{number}")).unwrap();
            broker.publish(Message::new(topic, vec![7; size]).with_qos(qos));
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn subscribers_that_read_nothing() {
    flood(100, |broker| async move {
        let clients = subscribers(&broker, 100, QoS::AtMostOnce).await;
        publish(&broker, 100, QoS::AtMostOnce, 500, 400_000).await;
        assert!(broker.stats().dropped.memory > 10_000, "{:?}", broker.stats());
        clients
    });
}

#[test]
fn small_messages_for_subscribers_that_read_nothing() {
    flood(10, |broker| async move {
        let clients = subscribers(&broker, 10, QoS::AtMostOnce).await;
        publish(&broker, 10, QoS::AtMostOnce, 4, 60_000).await;
        assert!(broker.stats().dropped.memory > 10_000, "{:?}", broker.stats());
        clients
    });
}

#[test]
fn sessions_whose_clients_are_away() {
    flood(200, |broker| async move {
        drop(subscribers(&broker, 200, QoS::AtLeastOnce).await);
        until("they are away", || broker.stats().clients == 0).await;
        publish(&broker, 200, QoS::AtLeastOnce, 500, 100_000).await;
        assert!(broker.stats().dropped.memory > 10_000, "{:?}", broker.stats());
    });
}

/// They read, but acknowledge nothing.
#[test]
fn subscribers_that_acknowledge_nothing() {
    flood(100, |broker| async move {
        let mut clients = subscribers(&broker, 100, QoS::AtLeastOnce).await;
        for _ in 0..40 {
            publish(&broker, 100, QoS::AtLeastOnce, 2_000, 10_000).await;
            for client in &mut clients {
                let mut bytes = BytesMut::new();
                while let Ok(Ok(1..)) = timeout(Duration::from_millis(1), client.link.recv(&mut bytes)).await
                {
                    bytes.clear();
                }
            }
        }
        assert!(broker.stats().dropped.memory > 1_000, "{:?}", broker.stats());
        clients
    });
}

/// Small messages out of large reads: what waits must not keep all that came with it.
#[test]
fn messages_that_came_in_crowds() {
    flood(100, |broker| async move {
        let clients = subscribers(&broker, 100, QoS::AtMostOnce).await;
        publish(&broker, 100, QoS::AtMostOnce, 1_000, 80_000).await;
        let mut sender = RawClient::connect(memory(&broker, 64 << 10), v5("sender")).await;
        let codec = Codec::new(Version::V5);
        for round in 0..1_000 {
            let mut bytes = BytesMut::new();
            let topic = |text: String| TopicName::try_from(text).unwrap();
            codec.encode(&Publish::new(topic(format!("t/{}", round % 100)), "x".into()), &mut bytes).unwrap();
            codec.encode(&Publish::new(topic("nobody".into()), vec![0; 30_000].into()), &mut bytes).unwrap();
            sender.link.send_all(&mut bytes).await.unwrap();
        }
        until("all have come", || broker.stats().messages_published >= 10_000).await;
        (clients, sender)
    });
}

/// Packets that are never complete.
#[test]
fn packets_that_do_not_end() {
    flood_with(100, MORE, None::<Undecided>, |broker| async move {
        let mut clients = Vec::new();
        for number in 0..100 {
            let mut client = RawClient::connect(memory(&broker, 64 << 10), v5(&number.to_string())).await;
            let mut bytes = BytesMut::new();
            // A PUBLISH of 1 MiB.
            bytes.put_slice(&[0x30, 0x80, 0x80, 0x40, 0, 1, b'a', 0]);
            bytes.resize(200_000, 0);
            let _ = timeout(Duration::from_millis(10), client.link.send_all(&mut bytes)).await;
            clients.push(client);
        }
        until("some are put out", || broker.stats().clients < 100).await;
        clients
    });
}

/// Aliases for the longest topics there are.
#[test]
fn aliases_for_long_topics() {
    flood_with(100, MORE, None::<Undecided>, |broker| async move {
        let mut clients = Vec::new();
        let codec = Codec::new(Version::V5);
        for number in 0..100 {
            let mut client = RawClient::connect(memory(&broker, 64 << 10), v5(&number.to_string())).await;
            for alias in 1..=5u16 {
                let mut publish = Publish::new(TopicName::try_from("x".repeat(60_000)).unwrap(), "".into());
                publish.properties = PublishProperties::new().with_topic_alias(alias.try_into().unwrap());
                let mut bytes = BytesMut::new();
                codec.encode(&publish, &mut bytes).unwrap();
                let _ = timeout(Duration::from_millis(10), client.link.send_all(&mut bytes)).await;
            }
            clients.push(client);
        }
        until("some are put out", || broker.stats().clients < 100).await;
        clients
    });
}

#[test]
fn retained_messages() {
    flood(0, |broker| async move {
        for size in [0, 100, 3_000] {
            for number in 0..10_000 {
                let topic = TopicName::try_from(format!("r/{size}/{number}")).unwrap();
                broker.publish(Message::new(topic, vec![7; size + 1]).with_retain(true));
            }
        }
        assert!(broker.stats().retained_refused > 10_000, "{:?}", broker.stats());
    });
}

#[test]
fn subscriptions_of_many_levels() {
    flood(60, |broker| async move {
        let mut clients = Vec::new();
        let mut refused = 0;
        for number in 0..60 {
            let mut client = RawClient::open(memory(&broker, 1 << 10), lasting(number));
            if !client.connected_or_refused().await {
                continue;
            }
            for level in 0..60 {
                let filter = format!("{number}/{level}/{}+", format!("{level}/").repeat(60));
                let reason = client.subscribe(&filter, QoS::AtMostOnce).await;
                refused += usize::from(reason == ReasonCode::QuotaExceeded);
            }
            clients.push(client);
        }
        assert!(refused > 500, "{refused}");
        clients
    });
}

#[test]
fn subscriptions_without_wildcards() {
    flood(10, |broker| async move {
        let mut clients = Vec::new();
        let mut refused = 0;
        for number in 0..10 {
            let mut client = RawClient::connect(memory(&broker, 1 << 10), lasting(number)).await;
            for level in 0..4_000 {
                let reason = client.subscribe(&format!("{number}/{level}"), QoS::AtMostOnce).await;
                refused += usize::from(reason == ReasonCode::QuotaExceeded);
            }
            clients.push(client);
        }
        assert!(refused > 5_000, "{refused}");
        clients
    });
}

#[test]
fn sessions_with_long_names_and_large_wills() {
    flood_with(600, MORE, None::<Undecided>, |broker| async move {
        let mut clients = Vec::new();
        for number in 0..600 {
            let mut connect = v5(&format!("{number}{}", "x".repeat(10_000)));
            connect.properties = connect.properties.with_session_expiry_interval(1_000_000);
            let payload = vec![7; 60_000];
            let mut will =
                Will::new("will".try_into().unwrap(), bytes::Bytes::from(payload).try_into().unwrap());
            will.properties = will.properties.with_will_delay_interval(100_000);
            connect.will = Some(will);
            let mut client = RawClient::open(memory(&broker, 1 << 10), connect);
            let _ = timeout(Duration::from_millis(100), client.connected_or_refused()).await;
            // Only the broker is to keep what it said.
            clients.push(client.link);
        }
        assert!(broker.stats().sessions < 500, "{:?}", broker.stats());
        clients
    });
}

#[test]
fn sessions_that_have_nothing() {
    flood(0, |broker| async move {
        for number in 0..10_000 {
            let mut client = RawClient::open(memory(&broker, 1 << 10), lasting(number));
            client.connected_or_refused().await;
        }
        assert!(broker.stats().sessions < 5_000, "{:?}", broker.stats());
    });
}

/// A policy that takes its time keeps many at the door, each with a large CONNECT.
#[test]
fn strangers_that_are_not_decided_about() {
    flood_with(200, MORE, Some(Undecided), |broker| async move {
        let mut links = Vec::new();
        for number in 0..200 {
            let mut connect = v5(&number.to_string());
            let payload = bytes::Bytes::from(vec![7; 60_000]);
            connect.will = Some(Will::new("will".try_into().unwrap(), payload.try_into().unwrap()));
            let mut bytes = BytesMut::new();
            Codec::new(Version::V5).encode(&connect, &mut bytes).unwrap();
            let (mut near, far) = pipe(1 << 10);
            tokio::spawn(broker.serve(far, PeerInfo::new(Scheme::Tcp, None)));
            let _ = timeout(Duration::from_millis(5), near.send_all(&mut bytes)).await;
            links.push(near);
        }
        links
    });
}

/// Identifiers of QoS 2 messages that are never released, which MQTT 3 does not bound.
#[test]
fn messages_that_are_never_released() {
    flood_with(30, MORE, None::<Undecided>, |broker| async move {
        let mut clients = Vec::new();
        let codec = Codec::new(Version::V311);
        for number in 0..30 {
            let connect = Connect::new(Version::V311, number.to_string().as_str().try_into().unwrap());
            let mut client = RawClient::connect(memory(&broker, 64 << 10), connect).await;
            for id in 1..=10_000 {
                let mut publish = Publish::new(TopicName::try_from("a").unwrap(), "".into());
                publish.delivery = Delivery::ExactlyOnce(mqttkit_codec::PacketId::new(id).unwrap());
                let mut bytes = BytesMut::new();
                codec.encode(&publish, &mut bytes).unwrap();
                if client.link.send_all(&mut bytes).await.is_err() {
                    break;
                }
                if id % 1_000 == 0 {
                    let mut bytes = BytesMut::new();
                    while let Ok(Ok(1..)) =
                        timeout(Duration::from_millis(1), client.link.recv(&mut bytes)).await
                    {
                        bytes.clear();
                    }
                }
            }
            clients.push(client.link);
        }
        clients
    });
}
