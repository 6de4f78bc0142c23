//! The host asks who is there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use mqttkit_broker_core::{Broker, ClientInfo, Message, QoS, ReasonCode, TopicName, Version};
use support::{RawClient, join, memory, until, v5};

fn of(broker: &Broker, client_id: &str) -> Option<ClientInfo> {
    broker.clients().into_iter().find(|info| info.client_id == client_id)
}

#[tokio::test]
async fn sessions_are_listed_with_their_clients() {
    let broker = Broker::builder().build();
    assert!(broker.clients().is_empty());
    let mut remote = join(&broker, "remote").await;
    remote.subscribe("a", QoS::AtLeastOnce).await;
    remote.subscribe("b", QoS::AtLeastOnce).await;
    let local = broker.local_client_with_id("local".try_into().unwrap()).unwrap();
    local.subscribe("a".try_into().unwrap(), QoS::AtLeastOnce).unwrap();
    broker.publish(Message::new(TopicName::try_from("a").unwrap(), "waits"));

    let info = of(&broker, "remote").unwrap();
    assert_eq!(info.client.as_ref().unwrap().version(), Version::V5);
    assert_eq!((info.subscriptions, info.connected_for.is_some()), (2, true));
    let info = of(&broker, "local").unwrap();
    assert_eq!((info.subscriptions, info.waiting), (1, 1));
    assert!(info.client.is_none() && info.connected_for.is_some());

    let mut connect = v5("lasting");
    connect.properties = connect.properties.with_session_expiry_interval(60);
    let lasting = RawClient::connect(memory(&broker, 1024), connect).await;
    lasting.disconnect().await;
    until("it has left", || of(&broker, "lasting").is_some_and(|info| info.connected_for.is_none())).await;

    assert_eq!(broker.kick("remote", ReasonCode::AdministrativeAction), Ok(true));
    remote.closed().await;
    until("it is gone", || of(&broker, "remote").is_none()).await;
    drop(local);
    assert_eq!(broker.clients().len(), 1);
}

#[tokio::test]
async fn a_long_list_is_complete() {
    let broker = Broker::builder().build();
    let clients: Vec<_> = (0..2_500).map(|_| broker.local_client().unwrap()).collect();
    assert_eq!(broker.clients().len(), clients.len());
}
