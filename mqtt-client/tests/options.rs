//! What shows on the wire only: topic aliases, batches of subscriptions.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_broker_core::Broker;
use mqttkit_client::codec::Packet;
use mqttkit_client::{Passed, QoS, SubscribeProperties, Subscription};
use support::broker::connect;
use support::server::{client, options};
use support::{next, soon};

#[tokio::test]
async fn topics_get_aliases_in_both_directions() {
    let broker = Broker::builder().build();
    let options = options().topic_alias_maximum(4).automatic_topic_aliases(4);
    let (client, mut messages) = soon("connect", connect(&broker, options)).await.unwrap();
    client.subscribe("a/rather/long/topic", QoS::AtLeastOnce).await.unwrap();
    let mut packets = client.packets();
    for payload in ["one", "two"] {
        client.publish("a/rather/long/topic", payload, QoS::AtLeastOnce).await.unwrap().await.unwrap();
        let message = next(&mut messages).await;
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("a/rather/long/topic", payload.as_bytes())
        );
    }
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    while sent.len() < 2 || received.len() < 2 {
        match soon("a packet", packets.recv()).await.unwrap() {
            Passed::Sent(Packet::Publish(publish)) => sent.push(publish.topic.is_aliased()),
            Passed::Received(Packet::Publish(publish)) => received.push(publish.topic.is_aliased()),
            _ => {}
        }
    }
    assert_eq!((sent, received), (vec![false, true], vec![false, true]), "the second time without its name");
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_restored_in_batches() {
    let (client, _messages, mut listener) = client(options());
    let filters: Vec<_> =
        (0..150).map(|n| Subscription::new(format!("t/{n}").try_into().unwrap(), QoS::AtMostOnce)).collect();
    let (granted, server) = tokio::join!(client.subscribe_many(filters, SubscribeProperties::new()), async {
        let mut server = listener.accept(None).await;
        let asked = server.subscribe().await;
        assert_eq!(asked.subscriptions.len(), 150, "one request of the application is one of the protocol");
        server.grant(&asked).await;
        server
    });
    assert_eq!(granted.unwrap().len(), 150);
    drop(server);
    let mut server = listener.accept(None).await;
    let mut restored = Vec::new();
    for _ in 0..3 {
        let asked = server.subscribe().await;
        restored.push(asked.subscriptions.len());
        server.grant(&asked).await;
    }
    assert_eq!(restored, [64, 64, 22]);
}
