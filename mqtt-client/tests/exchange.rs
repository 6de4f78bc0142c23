//! The client against Debian's mosquitto: every QoS, version and transport, sizes from nothing to a mebibyte.
//!
//! mosquitto writes 4 KiB of a WebSocket message in each turn of its loop, which waits up to 0.1 s for something to
//! happen: a mebibyte takes it half a minute. A second client that keeps it busy makes that a matter of milliseconds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::{Client, Message, QoS, ReasonCode, TopicName, Version};
use support::mosquitto::Mosquitto;
use support::{bye, next, payload, soon};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

async fn exchange(broker: &Mosquitto, url: &str) {
    let (busy, _) = Client::builder(&broker.tcp()).connect().await.unwrap();
    let noise = tokio::spawn(async move {
        while let Ok(ticket) = busy.publish("noise", "", QoS::AtLeastOnce).await {
            ticket.await.ok();
        }
    });
    for version in VERSIONS {
        for qos in LEVELS {
            let (client, mut messages) =
                soon("connect", Client::builder(url).version(version).connect()).await.unwrap();
            let topic = format!("exchange/{version}/{}", qos.as_u8());
            assert_eq!(soon("subscribe", client.subscribe(&topic, qos)).await, Ok(qos));
            for len in [0, 1, 64 << 10, 1 << 20] {
                let sent = payload(len);
                let ticket = client.publish(&topic, sent.clone(), qos).await.unwrap();
                assert_eq!(soon("acknowledgement", ticket).await, Ok(ReasonCode::Success));
                let received = next(&mut messages).await;
                assert_eq!(received.topic.as_str(), topic);
                assert_eq!(received.qos, qos);
                assert!(received.payload == sent, "{version}, QoS {}, {len} bytes", qos.as_u8());
            }
            soon("unsubscribe", client.unsubscribe(&topic)).await.unwrap();
            let unheard = client.publish(&topic, "nobody listens", qos).await.unwrap();
            soon("acknowledgement", unheard).await.unwrap();
            bye(&client).await;
            assert!(soon("the end", messages.recv()).await.is_none());
        }
    }
    noise.abort();
}

#[tokio::test]
async fn every_version_qos_and_size_over_tcp() {
    let broker = Mosquitto::start();
    exchange(&broker, &broker.tcp()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_qos_and_size_over_websocket() {
    let broker = Mosquitto::start();
    exchange(&broker, &broker.ws()).await;
}

#[tokio::test]
async fn many_messages_keep_their_order_and_nothing_is_lost() {
    const COUNT: usize = 3000;
    let broker = Mosquitto::start();
    for (url, version) in
        [(broker.tcp(), Version::V311), (broker.tcp(), Version::V5), (broker.ws(), Version::V5)]
    {
        for qos in LEVELS {
            let (client, mut messages) = Client::builder(&url).version(version).connect().await.unwrap();
            let topic = TopicName::try_from("many").unwrap();
            client.subscribe("many", qos).await.unwrap();
            let sender = client.clone();
            let sending = tokio::spawn(async move {
                let mut tickets = Vec::new();
                for i in 0..COUNT {
                    let message = Message::new(topic.clone(), i.to_string()).with_qos(qos);
                    tickets.push(sender.publish_message(message).await.unwrap());
                }
                for ticket in tickets {
                    ticket.await.unwrap();
                }
            });
            for i in 0..COUNT {
                assert_eq!(next(&mut messages).await.payload, i.to_string());
            }
            soon("all tickets", sending).await.unwrap();
            bye(&client).await;
        }
    }
}

#[tokio::test]
async fn a_retained_message_comes_to_a_later_subscriber_with_its_properties() {
    let broker = Mosquitto::start();
    let (client, _) = Client::builder(&broker.ws()).connect().await.unwrap();
    let message = Message::new("kept".try_into().unwrap(), "21")
        .with_qos(QoS::AtLeastOnce)
        .with_retain(true)
        .with_properties(
            mqttkit_client::PublishProperties::new().with_content_type(&"text/plain".try_into().unwrap()),
        );
    let reason = client.publish_message(message).await.unwrap().await.unwrap();
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);

    let (late, mut messages) = Client::builder(&broker.tcp()).connect().await.unwrap();
    late.subscribe("+", QoS::AtMostOnce).await.unwrap();
    let kept = next(&mut messages).await;
    assert!(kept.retain);
    assert_eq!(kept.properties.content_type().as_deref(), Some("text/plain"));
    bye(&client).await;
    bye(&late).await;
}

/// mosquitto sends a message once for each subscription that fits, or once for all, with its identifiers.
#[tokio::test]
async fn overlapping_streams_get_each_message_once_and_the_rest_goes_to_messages() {
    let broker = Mosquitto::start();
    for qos in LEVELS {
        let (client, mut messages) = Client::builder(&broker.tcp()).connect().await.unwrap();
        client.subscribe("rest", qos).await.unwrap();
        let mut wide = client.stream("a/#", qos).await.unwrap();
        let mut narrow = client.stream("a/b", qos).await.unwrap();
        for n in 0..50 {
            client.publish("a/b", n.to_string(), qos).await.unwrap();
            client.publish("rest", n.to_string(), qos).await.unwrap();
        }
        for n in 0..50 {
            for stream in [&mut wide, &mut narrow] {
                let message = soon("a message", stream.recv()).await.unwrap();
                assert_eq!(message.payload, n.to_string(), "{:?}, QoS {}", stream.filters(), qos.as_u8());
            }
            assert_eq!(next(&mut messages).await.payload, n.to_string());
        }
        // What is behind an acknowledged unsubscription would be here by now.
        client.unsubscribe("a/#").await.unwrap();
        assert!(soon("the end", wide.recv()).await.is_none());
        assert!(narrow.try_recv().is_none() && messages.try_recv().is_none());
        drop(narrow);
        bye(&client).await;
    }
}
