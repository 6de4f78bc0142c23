//! Reconnecting to a real server: restarts, cuts at random points, wills.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::transport::TokioRuntime;
use mqttkit_client::{
    Client, Continuity, Event, Message, Options, Parts, QoS, ReconnectPolicy, TopicName, Version,
};
use std::collections::HashSet;
use std::time::Duration;
use support::mosquitto::Mosquitto;
use support::proxy::Proxy;
use support::{bye, event, next, soon};

fn connected(event: Event) -> Option<Continuity> {
    if let Event::Connected(continuity) = event { Some(continuity) } else { None }
}

fn alternating(n: usize) -> QoS {
    if n.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce }
}

/// A client whose session the server keeps, and who comes back quickly.
fn persistent(url: &str, id: &str, version: Version) -> Options {
    Client::builder(url)
        .client_id(id)
        .version(version)
        .clean_start(false)
        .session_expiry(Duration::from_secs(3600))
        .reconnect(ReconnectPolicy::new(Duration::from_millis(20), Duration::from_millis(200)))
}

#[tokio::test]
async fn a_restarted_server_finds_its_session_and_every_ticket_completes() {
    for version in [Version::V311, Version::V5] {
        let mut broker = Mosquitto::start();
        let (client, mut messages) = persistent(&broker.ws(), "kept", version).connect().await.unwrap();
        let mut events = client.events();
        client.subscribe("kept/#", QoS::ExactlyOnce).await.unwrap();
        let publish = |n: usize| client.publish("kept/t", n.to_string(), alternating(n));
        let mut tickets = Vec::new();
        for n in 0..50 {
            tickets.push(publish(n).await.unwrap());
        }
        broker.stop();
        assert!(matches!(
            event(&mut events, |event| match event {
                Event::Disconnected(cause) => Some(cause),
                _ => None,
            })
            .await
            .as_ref(),
            mqttkit_client::DisconnectCause::Ended
                | mqttkit_client::DisconnectCause::Server(_)
                | mqttkit_client::DisconnectCause::Link(_)
        ));
        for n in 50..100 {
            tickets.push(publish(n).await.unwrap());
        }
        broker.restart();
        let continuity = event(&mut events, |event| connected(event).filter(|c| c.connection == 2)).await;
        assert!(continuity.session_present, "{continuity:?}");
        assert_eq!(continuity.republished, 0);
        for ticket in tickets {
            soon("a ticket", ticket).await.unwrap();
        }
        // Messages of different QoS overtake each other in mosquitto, so there is no last one.
        let mut missing: HashSet<_> = (0..100).map(|n| n.to_string()).collect();
        while !missing.is_empty() {
            let message = next(&mut messages).await;
            missing.remove(std::str::from_utf8(&message.payload).unwrap());
        }
        bye(&client).await;
    }
}

#[tokio::test]
async fn a_lost_session_is_subscribed_anew() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.tcp_port(), |_| usize::MAX).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let quick = ReconnectPolicy::new(Duration::from_millis(20), Duration::from_millis(200));
        let (client, mut messages) =
            Client::builder(&proxy.url()).version(version).reconnect(quick).connect().await.unwrap();
        let mut events = client.events();
        client.subscribe("anew/+", QoS::AtLeastOnce).await.unwrap();
        proxy.cut();
        let continuity = event(&mut events, |event| connected(event).filter(|c| c.connection == 2)).await;
        assert_eq!((continuity.session_present, continuity.resubscribed), (false, 1));
        client.publish("anew/t", "back", QoS::AtLeastOnce).await.unwrap().await.unwrap();
        assert_eq!(next(&mut messages).await.payload, "back");
        bye(&client).await;
    }
}

/// Numbers that look random and are the same in each run.
fn scatter(n: usize) -> usize {
    (n.wrapping_mul(0x9E37_79B9) ^ (n << 7)).wrapping_mul(0x85EB_CA6B) >> 8 & 0xFFFF
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_byte_nothing_is_lost_and_qos_2_comes_once() {
    const COUNT: usize = 400;
    for version in [Version::V311, Version::V5] {
        let broker = Mosquitto::start();
        // The first cuts come within CONNECT and CONNACK already, later ones after up to 3 KiB.
        let proxy = Proxy::start(broker.tcp_port(), |n| 20 + scatter(n) % (20 * (n + 1)).min(3000)).await;
        // Not cut: mosquitto 2.0.11 sends a QoS 2 message again from the start when a connection breaks while it
        // resends PUBREL.
        let receiver = persistent(&broker.tcp(), "receiver", version).connect().await.unwrap();
        let (receiver, mut messages) = receiver;
        receiver.subscribe("cut/#", QoS::ExactlyOnce).await.unwrap();
        let (often, mut at_least_once) =
            persistent(&proxy.url(), "often", version).connect_in_background().unwrap();
        soon("subscribe", often.subscribe("cut/#", QoS::AtLeastOnce)).await.unwrap();
        let (sender, _) = persistent(&proxy.url(), "sender", version).connect_in_background().unwrap();
        let sending = tokio::spawn(async move {
            let mut tickets = Vec::new();
            for n in 0..COUNT {
                let qos = alternating(n);
                let topic = TopicName::try_from(format!("cut/{n}")).unwrap();
                tickets.push(sender.publish_message(Message::new(topic, "").with_qos(qos)).await.unwrap());
            }
            for ticket in tickets {
                soon("a ticket", ticket).await.unwrap();
            }
            sender
        });
        let number = |message: &Message| -> usize { message.topic.as_str()[4..].parse().unwrap() };
        let mut counts = vec![0; COUNT];
        let mut latest = 0;
        while counts.contains(&0) {
            let message = next(&mut messages).await;
            let n = number(&message);
            counts[n] += 1;
            if message.qos == QoS::ExactlyOnce {
                assert_eq!(counts[n], 1, "message {n} of QoS 2");
                assert!(n >= latest, "the order of QoS 2 is kept: {n} after {latest}");
                latest = n;
            }
        }
        let mut missing: HashSet<_> = (0..COUNT).collect();
        while !missing.is_empty() {
            missing.remove(&number(&next(&mut at_least_once).await));
        }
        let sender = sending.await.unwrap();
        assert!(proxy.connections() > 20, "it was cut {} times", proxy.connections());
        drop((sender, receiver, often));
    }
}

#[tokio::test]
async fn the_will_is_published_when_the_client_is_gone_and_not_after_a_goodbye() {
    let broker = Mosquitto::start();
    let (watcher, mut messages) = Client::builder(&broker.tcp()).connect().await.unwrap();
    watcher.subscribe("will/+", QoS::AtLeastOnce).await.unwrap();
    for version in [Version::V311, Version::V5] {
        let mortal = |id: &str| {
            Client::builder(&broker.ws()).version(version).last_will(
                &format!("will/{id}"),
                "gone",
                QoS::AtLeastOnce,
                false,
            )
        };
        let (polite, _) = mortal("polite").connect().await.unwrap();
        bye(&polite).await;

        let Parts { client, mut driver, .. } = mortal("rude").build(&TokioRuntime::new()).unwrap();
        driver.connect().await.unwrap();
        assert!(client.is_connected());
        drop(driver);
        let will = next(&mut messages).await;
        assert_eq!((will.topic.as_str(), &will.payload[..]), ("will/rude", &b"gone"[..]));
        assert!(!client.is_connected());
    }
    bye(&watcher).await;
}
