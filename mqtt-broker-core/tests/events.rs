//! The host watches.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use mqttkit_broker_core::transport::{AcceptError, ConnectOptions};
use mqttkit_broker_core::{
    Broker, Closed, Config, DropCause, Event, Events, Listen, Message, NotConnected, QoS, TopicName,
};
use support::{PATIENCE, RawClient, dial, join, until, v5};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("a broker")
}

fn message(topic: &str) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), "payload")
}

#[tokio::test]
async fn an_observer_sees_clients_come_subscribe_and_go() {
    let broker = Broker::builder().build();
    let (mut events, mut all) = (broker.events(16), broker.events_with_messages(16));
    let mut client = join(&broker, "c").await;
    assert!(
        matches!(next(&mut events).await, Event::Connected { client_id, client: Some(_) } if client_id == "c")
    );
    client.subscribe("a/#", QoS::AtLeastOnce).await;
    match next(&mut events).await {
        Event::Subscribed { client_id, filter, qos: QoS::AtLeastOnce } => {
            assert_eq!((client_id.as_str(), filter.as_str()), ("c", "a/#"));
        }
        other => panic!("{other:?}"),
    }
    broker.publish(message("a/b"));
    client.disconnect().await;
    match next(&mut events).await {
        Event::Disconnected { client_id, cause: Closed::Peer(_) } => assert_eq!(client_id, "c"),
        other => panic!("{other:?}"),
    }
    let _ = (next(&mut all).await, next(&mut all).await);
    assert!(matches!(next(&mut all).await, Event::Published { topic, size: 7 } if topic.as_str() == "a/b"));
    assert!(broker.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn local_clients_are_seen_and_so_is_what_they_are_too_slow_for() {
    let mut config = Config::default();
    config.outbox_messages = 1;
    let broker = Broker::builder().config(config).build();
    let mut events = broker.events(16);
    let local = broker.local_client_with_id("l".try_into().unwrap()).unwrap();
    local.subscribe("a".try_into().unwrap(), QoS::AtMostOnce).unwrap();
    broker.publish(message("a"));
    broker.publish(message("a"));
    assert!(local.unsubscribe(&"a".try_into().unwrap()));
    assert!(matches!(next(&mut events).await, Event::Connected { client: None, .. }));
    assert!(matches!(next(&mut events).await, Event::Subscribed { .. }));
    match next(&mut events).await {
        Event::Dropped { client_id, cause: DropCause::SlowQos0, count: 1 } => assert_eq!(client_id, "l"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut events).await, Event::Unsubscribed { .. }));
}

#[tokio::test]
async fn what_is_no_client_is_told_too() {
    let mut config = Config::default();
    config.max_connections = 1;
    let broker = Broker::builder().config(config).build();
    let mut events = broker.events(16);
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0)).named("front")).await.unwrap();
    let mut first = TcpStream::connect(listening.local_addr()).await.unwrap();
    until("it has its seat", || broker.stats().connections == 1).await;
    let _second = TcpStream::connect(listening.local_addr()).await.unwrap();
    match next(&mut events).await {
        Event::Refused { address: Some(_), client_id: None, cause: NotConnected::TooManyConnections } => {}
        other => panic!("{other:?}"),
    }
    first.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    first.shutdown().await.unwrap();
    match next(&mut events).await {
        Event::Refused { address, cause: NotConnected::Handshake(error), .. } => {
            assert_eq!(address, Some(first.local_addr().unwrap()));
            assert!(matches!(*error, AcceptError::WrongProtocol { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    until("the seat is free", || broker.stats().connections == 0).await;
    let url = format!("mqtt://{}", listening.local_addr());
    let client = RawClient::connect(dial(&url, &ConnectOptions::default()).await, v5("c")).await;
    match next(&mut events).await {
        Event::Connected { client: Some(client), .. } => {
            assert_eq!(client.peer().listener.as_deref(), Some("front"));
        }
        other => panic!("{other:?}"),
    }
    client.disconnect().await;
}

#[tokio::test]
async fn a_slow_observer_is_told_what_it_lost() {
    let broker = Broker::builder().build();
    let mut events = broker.events_with_messages(2);
    for _ in 0..5 {
        broker.publish(message("a"));
    }
    assert!(matches!(next(&mut events).await, Event::Published { .. }));
    broker.publish(message("a"));
    assert!(matches!(next(&mut events).await, Event::Published { .. }));
    assert!(matches!(next(&mut events).await, Event::Lost { count: 4 }));
    broker.publish(message("a"));
    assert!(matches!(next(&mut events).await, Event::Published { .. }));
}
