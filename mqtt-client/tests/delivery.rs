//! Tickets and delivery: what becomes of each message, in memory and with a clock that jumps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use bytes::BytesMut;
use mqttkit_client::codec::{Disconnect, DisconnectProperties, PacketId, ServerEvent};
use mqttkit_client::transport::LinkExt;
use mqttkit_client::{
    Delivery, DisconnectError, Event, Message, Offline, Priority, PublishError, PublishProperties, QoS,
    ReasonCode, Ticket, TicketState, TopicName, Version, WhenFull,
};
use std::time::Duration;
use support::server::{Server, client, client_over, options};
use support::{event, next, soon};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn message(payload: impl Into<bytes::Bytes>, qos: QoS) -> Message {
    Message::new(TopicName::try_from("t").unwrap(), payload).with_qos(qos)
}

/// Lets everything happen that can happen now.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn connected(events: &mut mqttkit_client::Events) {
    event(events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_ticket_tells_each_state_of_a_qos_2_message() {
    for version in VERSIONS {
        let (client, _messages, mut listener) = client(options().version(version));
        let ticket = client.publish_message(message("m", QoS::ExactlyOnce)).await.unwrap();
        settle().await;
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Queued, None));
        let mut server = listener.accept(None).await;
        let (_, token) = server.message().await;
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Written, PacketId::new(1)));
        assert!(!ticket.cancel());
        // PUBREC alone, by hand: a server connection would answer PUBREL as well.
        server.link.send_all(&mut &[0x50, 2, 0, 1][..]).await.unwrap();
        settle().await;
        assert_eq!((ticket.state(), ticket.packet_id()), (TicketState::Received, PacketId::new(1)));
        server.ack(token).await;
        tokio::spawn(async move { while !matches!(server.event().await, ServerEvent::Closed(_)) {} });
        settle().await;
        assert_eq!(ticket.state(), TicketState::Completed(Ok(ReasonCode::Success)));
        assert!(ticket.is_complete());
        assert_eq!(client.metrics().last_packet_id, PacketId::new(1));
        assert_eq!(ticket.await, Ok(ReasonCode::Success));
    }
}

#[tokio::test(start_paused = true)]
async fn written_means_that_the_transport_has_taken_it() {
    for version in VERSIONS {
        // The pipe takes a part of the message, and the server does not read.
        let (client, _messages, mut listener) = client_over(options().version(version), 64);
        let mut server = listener.accept(None).await;
        let ticket = client.publish_message(message(vec![7; 1000], QoS::AtLeastOnce)).await.unwrap();
        settle().await;
        assert_eq!(ticket.state(), TicketState::Queued);
        assert!(!ticket.cancel(), "a part of it is on its way");
        let (_, token) = server.message().await;
        assert_eq!(ticket.state(), TicketState::Written);
        server.ack(token).await;
        assert_eq!(soon("PUBACK", ticket).await, Ok(ReasonCode::Success));
    }
}

/// What was sent in part cannot have arrived: it is no more "written" then, and nothing that may be there twice.
#[tokio::test(start_paused = true)]
async fn a_message_cut_in_the_middle_is_not_written_until_it_is_sent_again() {
    for version in VERSIONS {
        let (client, _messages, mut listener) = client_over(options().version(version), 64);
        let mut events = client.events();
        let server = listener.accept(None).await;
        connected(&mut events).await;
        let ticket = client.publish_message(message(vec![7; 1000], QoS::AtLeastOnce)).await.unwrap();
        settle().await;
        drop(server);
        event(&mut events, |event| matches!(event, Event::Disconnected(_)).then_some(())).await;
        let mut server = listener.accept(None).await;
        let now = event(&mut events, |event| match event {
            Event::Connected(now) => Some(now),
            _ => None,
        })
        .await;
        assert_eq!((now.republished, now.possibly_duplicated), (1, 0));
        assert_eq!(ticket.state(), TicketState::Queued, "CONNECT was sent, not this");
        let (_, token) = server.message().await;
        assert_eq!(ticket.state(), TicketState::Written);
        server.ack(token).await;
        assert_eq!(soon("PUBACK", ticket).await, Ok(ReasonCode::Success));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_cancelled_is_never_sent_and_gives_its_place_back() {
    let (client, _messages, mut listener) = client(options().send_queue(2, 1 << 20));
    let one = client.publish_message(message("one", QoS::AtLeastOnce)).await.unwrap();
    let two = client.publish_message(message("two", QoS::AtMostOnce)).await.unwrap();
    assert_eq!(client.try_publish(message("", QoS::AtMostOnce)).unwrap_err(), PublishError::Full);
    assert!(one.cancel());
    let three = client.try_publish(message("three", QoS::AtLeastOnce)).unwrap();
    assert_eq!(one.await, Err(PublishError::Cancelled));
    assert_eq!(client.metrics().cancelled, 1);
    let mut server = listener.accept(None).await;
    assert_eq!(server.message().await.0.payload, "two");
    let (message, token) = server.message().await;
    assert_eq!(message.payload, "three");
    server.ack(token).await;
    assert_eq!(two.await, Ok(ReasonCode::Success));
    assert_eq!(three.await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_says_whether_the_message_may_have_been_sent() {
    let (client, _messages, mut listener) = client(options());
    let start = Instant::now();
    let queued = client.publish_message(message("never", QoS::AtLeastOnce)).await.unwrap().within(3 * SECOND);
    assert_eq!(queued.await, Err(PublishError::Deadline { sent: false }));
    assert_eq!(start.elapsed().as_secs(), 3);
    let mut server = listener.accept(None).await;
    let sent = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap().within(2 * SECOND);
    assert_eq!(sent.await, Err(PublishError::Deadline { sent: true }));
    assert_eq!(start.elapsed().as_secs(), 5);
    let in_time = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap().within(2 * SECOND);
    for _ in 0..2 {
        let (message, token) = server.message().await;
        assert_eq!(message.payload, "m", "what was cancelled does not come");
        server.ack(token).await;
    }
    assert_eq!(in_time.await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_counts_while_it_waits_and_the_rest_goes_along() {
    for version in VERSIONS {
        let (client, _messages, mut listener) = client(options().version(version));
        let lives = |n| Delivery::new().time_to_live(n * SECOND);
        let own = PublishProperties::new().with_message_expiry_interval(4);
        let short = client.publish_with(message("short", QoS::AtLeastOnce), lives(3)).await.unwrap();
        let long = client.publish_with(message("long", QoS::AtMostOnce), lives(10)).await.unwrap();
        let property =
            client.publish_message(message("property", QoS::AtMostOnce).with_properties(own)).await.unwrap();
        let start = Instant::now();
        assert_eq!(short.await, Err(PublishError::Expired));
        assert_eq!(start.elapsed().as_secs(), 3, "without a connection, too");
        assert_eq!(property.await, Err(PublishError::Expired));
        assert_eq!(start.elapsed().as_secs(), 4);
        tokio::time::sleep(SECOND / 2).await;
        let mut server = listener.accept(None).await;
        let (message, _) = server.message().await;
        assert_eq!(message.payload, "long");
        let left = (version == Version::V5).then_some(6);
        assert_eq!(message.properties.message_expiry_interval(), left, "5.5 s, rounded up");
        assert_eq!(long.await, Ok(ReasonCode::Success));
        assert_eq!(client.metrics().expired, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn alarms_go_first() {
    let (client, _messages, mut listener) = client(options());
    for (payload, priority) in
        [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)]
    {
        let delivery = Delivery::new().priority(priority);
        client.publish_with(message(payload, QoS::AtMostOnce), delivery).await.unwrap();
    }
    let mut server = listener.accept(None).await;
    for expected in ["high", "normal", "low"] {
        assert_eq!(server.message().await.0.payload, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_what_the_policy_says_and_its_ticket_tells() {
    for (when_full, dropped, sent) in [
        (WhenFull::DropNewest, 2, ["a", "b"]),
        (WhenFull::DropOldest, 0, ["b", "c"]),
        (WhenFull::DropLower, 2, ["a", "b"]),
    ] {
        let delivery = Delivery::new().when_full(when_full);
        let (client, _messages, mut listener) = client(options().send_queue(2, 1 << 20).delivery(delivery));
        let mut tickets = Vec::new();
        for payload in ["a", "b", "c"] {
            let publishing = client.publish_message(message(payload, QoS::AtMostOnce));
            tickets.push(soon("it never waits", publishing).await.unwrap());
        }
        assert_eq!(client.metrics().dropped, 1);
        let mut server = listener.accept(None).await;
        for payload in sent {
            assert_eq!(server.message().await.0.payload, payload, "{when_full:?}");
        }
        for (n, ticket) in tickets.into_iter().enumerate() {
            let expected = if n == dropped { Err(PublishError::Dropped) } else { Ok(ReasonCode::Success) };
            assert_eq!(soon("an outcome", ticket).await, expected, "{when_full:?}, {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn qos_0_waits_for_a_connection_or_not() {
    for offline in [Offline::Queue, Offline::Drop] {
        let (client, _messages, mut listener) = client(options().delivery(Delivery::new().offline(offline)));
        let early = client.publish_message(message("early", QoS::AtMostOnce)).await.unwrap();
        let kept = client.publish_message(message("kept", QoS::AtLeastOnce)).await.unwrap();
        let mut server = listener.accept(None).await;
        if offline == Offline::Queue {
            assert_eq!(server.message().await.0.payload, "early");
            assert_eq!(early.await, Ok(ReasonCode::Success));
        } else {
            assert_eq!(early.await, Err(PublishError::Offline));
            assert_eq!(client.metrics().dropped, 1);
        }
        let (message_, token) = server.message().await;
        assert_eq!(message_.payload, "kept");
        server.ack(token).await;
        assert_eq!(kept.await, Ok(ReasonCode::Success));
        let online = client.publish_message(message("online", QoS::AtMostOnce)).await.unwrap();
        assert_eq!(online.await, Ok(ReasonCode::Success));
    }
}

/// The server reads only what is acknowledged, so nothing of what waits behind it has been sent.
#[tokio::test(start_paused = true)]
async fn the_window_leaves_the_rest_in_the_queue_where_it_can_be_cancelled() {
    let window = std::num::NonZeroU16::new(2).unwrap();
    let (client, _messages, mut listener) = client(options().max_in_flight(window));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    connected(&mut events).await;
    let mut tickets = Vec::new();
    for n in 0..4u8 {
        tickets.push(client.publish_message(message(vec![n], QoS::AtLeastOnce)).await.unwrap());
    }
    settle().await;
    let states: Vec<_> = tickets.iter().map(Ticket::state).collect();
    use TicketState::{Queued, Written};
    assert_eq!(states, [Written, Written, Queued, Queued]);
    let metrics = client.metrics();
    assert_eq!((metrics.outgoing, metrics.queued, metrics.in_flight), (4, 2, 2));
    assert!(tickets[2].cancel());
    for expected in [0, 1, 3] {
        let (message, token) = server.message().await;
        assert_eq!(message.payload[0], expected);
        tokio::time::sleep(SECOND / 10).await;
        server.ack(token).await;
    }
    for (n, ticket) in tickets.into_iter().enumerate() {
        let expected = if n == 2 { Err(PublishError::Cancelled) } else { Ok(ReasonCode::Success) };
        assert_eq!(ticket.await, expected);
    }
    let metrics = client.metrics();
    assert_eq!((metrics.outgoing, metrics.queued, metrics.in_flight), (0, 0, 0));
    assert_eq!((metrics.messages_sent, metrics.messages_resent), (3, 0));
    assert!(metrics.bytes_sent > 0 && metrics.bytes_received > 0);
    assert!(metrics.round_trip.unwrap() >= SECOND / 10, "{metrics:?}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_asks_for_what_cannot_be_is_an_error_and_changes_nothing() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let properties = DisconnectProperties::new().with_session_expiry_interval(60);
    let goodbye = Disconnect { properties, ..Disconnect::new(ReasonCode::NORMAL_DISCONNECTION) };
    let refused = client.disconnect_with(goodbye.clone(), SECOND).await;
    assert_eq!(refused, Err(DisconnectError::SessionExpiry { seconds: 60 }));
    client.publish_message(message("goes on", QoS::AtMostOnce)).await.unwrap();
    assert_eq!(server.message().await.0.payload, "goes on");

    let (client, _messages, mut listener) = support::server::client(options().session_expiry(SECOND));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    connected(&mut events).await;
    let (ended, ()) = tokio::join!(client.disconnect_with(goodbye, SECOND), async {
        match server.event().await {
            ServerEvent::Closed(mqttkit_client::codec::Closed::Peer(disconnect)) => {
                assert_eq!(disconnect.properties.session_expiry_interval(), Some(60));
            }
            other => panic!("{other:?}"),
        }
        drop(server);
    });
    ended.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_waits_for_nothing_and_says_what_was_left() {
    let window = std::num::NonZeroU16::new(2).unwrap();
    let (client, _messages, mut listener) = client(options().max_in_flight(window));
    let mut server = listener.accept(None).await;
    let mut tickets = Vec::new();
    for n in 0..4u8 {
        let qos = if n == 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        tickets.push(client.publish_message(message(vec![n], qos)).await.unwrap());
    }
    server.message().await;
    server.link.send_all(&mut &[0x50, 2, 0, 1][..]).await.unwrap();
    settle().await;
    let start = Instant::now();
    let (left, ()) = tokio::join!(client.end(), async {
        // DISCONNECT comes behind what was sent before.
        while !matches!(server.event().await, ServerEvent::Closed(_)) {}
        drop(server);
    });
    assert_eq!((left.received, left.unacknowledged, left.queued, left.requests), (1, 1, 2, 0));
    assert_eq!(left.len(), 4);
    assert!(start.elapsed() < SECOND);
    for ticket in tickets {
        assert_eq!(ticket.await, Err(PublishError::Closed));
    }
    assert!(client.end().await.is_empty(), "a second time there is nothing");
}

/// The server writes without reading as long as its writes are taken, and so does a client that echoes: if neither
/// read, both would wait for ever.
#[tokio::test(start_paused = true)]
async fn an_echo_of_qos_0_cannot_lock_up_when_both_sides_are_full() {
    let options = options().receive_buffer(1, 1 << 20).send_queue(1, 1 << 20);
    let (client, mut messages, mut listener) = client_over(options, 256);
    let Server { mut link, .. } = listener.accept(None).await;
    let serving = tokio::spawn(async move {
        // All of it before it reads a byte.
        for n in 0..100u8 {
            link.send_all(&mut &[&[0x30, 104, 0, 1, b't', 0][..], &[n; 100]].concat()[..]).await.unwrap();
        }
        let mut input = BytesMut::new();
        while !matches!(link.recv(&mut input).await, Ok(0) | Err(_)) {}
    });
    // Two echoes fit into the pipe; from the third on the server must go on writing before it reads. Then what does not
    // fit anywhere is dropped.
    for _ in 0..5 {
        let received = next(&mut messages).await;
        let ticket = soon("room", client.publish("echo", received.payload, QoS::AtMostOnce)).await.unwrap();
        soon("to be written", ticket).await.unwrap();
    }
    drop(messages);
    client.disconnect().await.unwrap();
    serving.await.unwrap();
}
