//! The odd cases, in memory and with a clock that jumps: a server that does exactly what the test says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use bytes::BytesMut;
use mqttkit_client::codec::{ConnAck, ServerEvent, Str};
use mqttkit_client::transport::LinkExt;
use mqttkit_client::{
    ConnectError, DisconnectCause, DisconnectError, Event, Message, PublishError, QoS, ReasonCode, Ticket,
    TopicName, Version,
};
use std::time::Duration;
use support::server::{Server, client, client_over, options};
use support::{event, next};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn message(payload: impl Into<bytes::Bytes>, qos: QoS) -> Message {
    Message::new(TopicName::try_from("t").unwrap(), payload).with_qos(qos)
}

fn connected(event: Event) -> Option<mqttkit_client::Continuity> {
    if let Event::Connected(continuity) = event { Some(continuity) } else { None }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_pings_and_notices_a_dead_server() {
    let (client, _messages, mut listener) =
        client(options().keep_alive(10 * SECOND).ping_timeout(3 * SECOND));
    let mut events = client.events();
    let Server { mut link, .. } = listener.accept(None).await;
    event(&mut events, connected).await;
    let start = Instant::now();
    for n in 1..=3 {
        let mut bytes = BytesMut::new();
        link.recv(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..], [0xC0, 0], "PINGREQ");
        assert_eq!(start.elapsed().as_secs(), n * 10);
        if n < 3 {
            link.send_all(&mut &[0xD0, 0][..]).await.unwrap();
        }
    }
    let cause = event(&mut events, |event| match event {
        Event::Disconnected(cause) => Some(cause),
        _ => None,
    });
    assert!(matches!(*cause.await, DisconnectCause::Silent));
    assert_eq!(start.elapsed().as_secs(), 33);
    listener.accept(None).await;
    event(&mut events, connected).await;
}

#[tokio::test(start_paused = true)]
async fn no_connack_is_an_error_of_its_own_after_the_connect_timeout() {
    let (client, _messages, mut listener) = client(options().connect_timeout(7 * SECOND));
    let mut events = client.events();
    let start = Instant::now();
    let _silent = listener.connect().await;
    let error = event(&mut events, |event| match event {
        Event::ConnectFailed(error) => Some(error),
        _ => None,
    });
    assert!(matches!(*error.await, ConnectError::NoAnswer { after } if after == 7 * SECOND));
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_again_after_the_longest_wait_only() {
    let (client, _messages, mut listener) = client(options());
    let mut events = client.events();
    let (mut server, _) = listener.connect().await;
    let mut connack = ConnAck::refused(ReasonCode::BadUserNameOrPassword);
    connack.properties = connack.properties.with_reason_string(&Str::try_from("no such user").unwrap());
    let now = server.now();
    server.connection.refuse(now, &connack);
    server.flush().await;
    let error = event(&mut events, |event| match event {
        Event::ConnectFailed(error) => Some(error),
        _ => None,
    })
    .await;
    assert_eq!(error.reason(), Some(ReasonCode::BadUserNameOrPassword));
    assert!(error.to_string().contains("no such user"), "{error}");
    let delay = event(&mut events, |event| match event {
        Event::Reconnecting { delay, .. } => Some(delay),
        _ => None,
    });
    assert!(delay.await >= 30 * SECOND);
    drop(server);
    let start = Instant::now();
    listener.accept(None).await;
    assert!(start.elapsed() >= 29 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_publishes_anew_under_the_old_tickets() {
    // In MQTT 3.1.1 every connection with Clean Session is a lost session.
    for version in [Version::V311, Version::V5] {
        let (client, _messages, mut listener) = client(options().version(version));
        let mut events = client.events();
        let mut server = listener.accept(None).await;
        let mut tickets = Vec::new();
        for (payload, qos) in [
            ("one", QoS::AtLeastOnce),
            ("two", QoS::ExactlyOnce),
            ("three", QoS::ExactlyOnce),
            ("four", QoS::ExactlyOnce),
        ] {
            tickets.push(client.publish_message(message(payload, qos)).await.unwrap());
        }
        let [one, two, three, four] = <[Ticket; 4]>::try_from(tickets).unwrap();
        let mut tokens = Vec::new();
        for expected in ["one", "two", "three", "four"] {
            let (message, token) = server.message().await;
            assert_eq!(message.payload, expected);
            tokens.push(token);
        }
        server.ack(tokens[1]).await;
        let nothing = tokio::time::timeout(SECOND, server.event()).await;
        assert!(nothing.is_err(), "PUBREL and PUBCOMP are no events: {nothing:?}");
        assert!(two.is_complete());
        // The third gets as far as PUBREL: from PUBREC on it is the server's.
        server.ack(tokens[2]).await;
        let Server { mut link, .. } = server;
        let mut pubrel = BytesMut::new();
        link.recv(&mut pubrel).await.unwrap();
        assert_eq!(pubrel[0], 0x62, "PUBREL, which gets no PUBCOMP");
        drop(link);

        assert_eq!(event(&mut events, connected).await.connection, 1);
        let mut server = listener.accept(None).await;
        let continuity = event(&mut events, connected).await;
        assert_eq!((continuity.connection, continuity.session_present), (2, false));
        assert_eq!((continuity.republished, continuity.unconfirmed, continuity.resent), (2, 1, 0));
        assert_eq!(two.await, Ok(ReasonCode::Success));
        assert_eq!(three.await, Ok(ReasonCode::Success));
        for expected in ["one", "four"] {
            let (again, token) = server.message().await;
            assert_eq!(again.payload, expected);
            server.ack(token).await;
        }
        assert_eq!(one.await, Ok(ReasonCode::Success));
        let (done, _) = tokio::join!(four, tokio::time::timeout(SECOND, server.event()));
        assert_eq!(done, Ok(ReasonCode::Success));
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_session_sends_again_and_the_first_clean_start_is_the_only_one() {
    let (client, _messages, mut listener) = client(options().session_expiry(SECOND * 3600));
    let mut events = client.events();
    let (mut server, connect) = listener.connect().await;
    assert!(connect.clean_start);
    server.accept(None).await;
    let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
    server.message().await;
    let session = server.connection.take_session();
    drop(server);
    event(&mut events, connected).await;

    let (mut server, connect) = listener.connect().await;
    assert!(!connect.clean_start);
    server.accept(Some(session)).await;
    assert_eq!(event(&mut events, connected).await.resent, 1);
    match server.event().await {
        ServerEvent::Publish { message, dup, token } => {
            assert_eq!((message.payload.as_ref(), dup), (&b"m"[..], true));
            server.ack(token).await;
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ticket.await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_asked_again_and_a_lost_session_resubscribes() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe("a/#", QoS::AtLeastOnce).await }
    });
    assert_eq!(server.subscribe().await.subscriptions.len(), 1);
    drop(server);
    let mut server = listener.accept(None).await;
    let again = server.subscribe().await;
    assert_eq!(again.subscriptions.iter().next().unwrap().filter.as_str(), "a/#");
    server.grant(&again).await;
    assert_eq!(asking.await.unwrap(), Ok(QoS::AtLeastOnce));
    drop(server);

    let mut events = client.events();
    let mut server = listener.accept(None).await;
    let restored =
        event(&mut events, |event| connected(event).filter(|continuity| continuity.connection == 3));
    assert_eq!(restored.await.resubscribed, 1);
    let own = server.subscribe().await;
    assert_eq!(own.subscriptions.iter().next().unwrap().options.qos, QoS::AtLeastOnce);
    let refusal = mqttkit_client::codec::SubAck::new(own.packet_id, [ReasonCode::NotAuthorized]);
    let now = server.now();
    server.connection.sub_ack(now, &refusal).unwrap();
    server.flush().await;
    let (filter, reason) = event(&mut events, |event| match event {
        Event::SubscriptionLost { filter, reason } => Some((filter, reason)),
        _ => None,
    })
    .await;
    assert_eq!((filter.as_str(), reason), ("a/#", ReasonCode::NotAuthorized));
    drop(server);
    let mut server = listener.accept(None).await;
    let nothing = tokio::time::timeout(SECOND, server.event()).await;
    assert!(nothing.is_err(), "a refused subscription is not tried again: {nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_of_qos_0_wait_for_the_first_connection_in_order() {
    let (client, _messages, mut listener) = client(options());
    let mut tickets = Vec::new();
    for n in 0..5u8 {
        let qos = if n % 2 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        tickets.push(client.publish_message(message(vec![n], qos)).await.unwrap());
    }
    assert!(!tickets.iter().any(Ticket::is_complete));
    let mut server = listener.accept(None).await;
    for n in 0..5u8 {
        let (message, token) = server.message().await;
        assert_eq!(message.payload[0], n);
        if token.is_some() {
            server.ack(token).await;
        }
    }
    for ticket in tickets {
        assert_eq!(ticket.await, Ok(ReasonCode::Success));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_server_back_and_loses_nothing_and_stays_connected() {
    const COUNT: u32 = 500;
    let options = options().receive_buffer(4, 1 << 20).keep_alive(5 * SECOND);
    let (client, mut messages, mut listener) = client(options);
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    event(&mut events, connected).await;
    let serving = tokio::spawn(async move {
        for n in 0..COUNT {
            server.publish(message(n.to_string() + &" ".repeat(100), QoS::AtMostOnce)).await;
        }
        server.event().await
    });
    // Many keep-alives long nobody takes a message.
    tokio::time::sleep(60 * SECOND).await;
    assert!(!serving.is_finished(), "the server could not send all of it");
    for n in 0..COUNT {
        assert_eq!(next(&mut messages).await.payload.trim_ascii(), n.to_string().as_bytes());
    }
    assert!(client.is_connected());
    client.disconnect().await.unwrap();
    assert!(matches!(serving.await.unwrap(), ServerEvent::Closed(_)));
    let rest: Vec<_> =
        std::iter::from_fn(|| futures_util::FutureExt::now_or_never(events.recv()).flatten()).collect();
    assert!(matches!(rest[..], [Event::Disconnected(_), Event::Ended]), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn publishing_from_the_handler_of_messages_cannot_lock_up() {
    for (version, qos) in
        [(Version::V311, QoS::AtMostOnce), (Version::V311, QoS::AtLeastOnce), (Version::V5, QoS::ExactlyOnce)]
    {
        const COUNT: usize = 40;
        // Both queues hold one message: whatever can wait for something does.
        let options = options().version(version).receive_buffer(1, 1 << 20).send_queue(1, 1 << 20);
        let (client, mut messages, mut listener) = client(options);
        let mut server = listener.accept(None).await;
        let serving = tokio::spawn(async move {
            // All at once, and only then the acknowledgements.
            for n in 0..COUNT {
                server.publish(message(n.to_string(), qos)).await;
            }
            let mut echoed = 0;
            loop {
                match server.event().await {
                    ServerEvent::Publish { token, .. } => {
                        // One more message in front of every acknowledgement.
                        server.publish(message("more", qos)).await;
                        server.ack(token).await;
                        echoed += 1;
                    }
                    ServerEvent::Closed(_) => return echoed,
                    _ => {}
                }
            }
        });
        let mut events = client.events();
        for n in 0..10 {
            let received = next(&mut messages).await;
            if qos > QoS::AtMostOnce {
                assert_eq!(received.payload, n.to_string());
            }
            let ticket = client.publish("echo", received.payload, QoS::AtLeastOnce).await.unwrap();
            support::soon("the acknowledgement", ticket).await.unwrap();
        }
        drop(messages);
        client.disconnect().await.unwrap();
        assert_eq!(serving.await.unwrap(), 10);
        let dropped = std::iter::from_fn(|| futures_util::FutureExt::now_or_never(events.recv()).flatten())
            .any(|event| matches!(event, Event::Dropped { .. }));
        assert_eq!(dropped, qos == QoS::AtMostOnce, "only QoS 0 is dropped, and that is told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_publish_wait_and_try_publish_say_so() {
    let (client, _messages, mut listener) = client(options().send_queue(2, 1 << 20));
    for _ in 0..2 {
        client.publish_message(message("", QoS::AtLeastOnce)).await.unwrap();
    }
    assert_eq!(client.try_publish(message("", QoS::AtLeastOnce)).unwrap_err(), PublishError::Full);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.publish_message(message("third", QoS::AtLeastOnce)).await.unwrap().await }
    });
    let mut server = listener.accept(None).await;
    for _ in 0..3 {
        let (_, token) = server.message().await;
        server.ack(token).await;
    }
    assert_eq!(waiting.await.unwrap(), Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn disconnecting_waits_for_acknowledgements_but_not_for_ever() {
    let (client, mut messages, mut listener) = client(options().disconnect_timeout(3 * SECOND));
    let mut server = listener.accept(None).await;
    let acked = client.publish_message(message("acked", QoS::AtLeastOnce)).await.unwrap();
    let never = client.publish_message(message("never", QoS::AtLeastOnce)).await.unwrap();
    let start = Instant::now();
    let (result, ()) = tokio::join!(client.disconnect(), async {
        let (_, token) = server.message().await;
        server.message().await;
        server.ack(token).await;
        match server.event().await {
            ServerEvent::Closed(closed) => assert!(!closed.publishes_will(), "{closed:?}"),
            other => panic!("{other:?}"),
        }
        // As a server does once it has DISCONNECT.
        server.link.close().await.unwrap();
        drop(server);
    });
    match result {
        Err(DisconnectError::Unfinished(left)) => assert_eq!((left.unacknowledged, left.len()), (1, 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(acked.await, Ok(ReasonCode::Success));
    assert_eq!(never.await, Err(PublishError::Closed));
    assert_eq!(client.publish("t", "late", QoS::AtMostOnce).await.unwrap_err(), PublishError::Closed);
    assert!(messages.recv().await.is_none());
    assert_eq!(client.disconnect().await, Ok(()), "a second time there is nothing to do");
}

#[tokio::test(start_paused = true)]
async fn dropping_everything_sends_what_was_published_and_says_goodbye() {
    let (client, messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let other = client.clone();
    client.publish_message(message("last", QoS::AtMostOnce)).await.unwrap();
    drop((client, messages));
    assert_eq!(server.message().await.0.payload, "last");
    let nothing = tokio::time::timeout(SECOND, server.event()).await;
    assert!(nothing.is_err(), "a clone lives: {nothing:?}");
    drop(other);
    match server.event().await {
        ServerEvent::Closed(closed) => assert!(!closed.publishes_will(), "{closed:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn without_reconnect_the_end_of_the_connection_ends_everything() {
    let (client, mut messages, mut listener) = client(options().reconnect_period(None));
    let mut server = listener.accept(None).await;
    let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
    server.message().await;
    drop(server);
    assert_eq!(ticket.await, Err(PublishError::Closed));
    assert!(messages.recv().await.is_none());
    assert_eq!(client.try_publish(message("", QoS::AtMostOnce)).unwrap_err(), PublishError::Closed);
    let mut events = client.events();
    let cause = event(&mut events, |event| match event {
        Event::Disconnected(cause) => Some(cause),
        _ => None,
    });
    assert!(matches!(*cause.await, DisconnectCause::Ended));
}

#[tokio::test(start_paused = true)]
async fn cut_after_every_number_of_steps_each_message_of_qos_2_comes_once_in_both_directions() {
    const COUNT: usize = 60;
    for version in [Version::V311, Version::V5] {
        for seed in 0..20 {
            let options = options().version(version).clean_start(false).session_expiry(3600 * SECOND);
            // A pipe of a few bytes: what a connection leaves behind may end in the middle of a packet.
            let (client, mut messages, mut listener) = client_over(options, 7 + seed % 5);
            let mut tickets = Vec::new();
            for n in 0..COUNT {
                tickets.push(client.publish_message(message(n.to_string(), QoS::ExactlyOnce)).await.unwrap());
            }
            let serving = tokio::spawn(async move {
                let (mut session, mut sent, mut received) = (None, 0, Vec::new());
                for connection in 0.. {
                    // The goodbye may be what was cut.
                    if !listener.goes_on().await {
                        return received;
                    }
                    let mut server = listener.accept(session).await;
                    for step in 0.. {
                        if connection < 40 && step == (connection * 7 + seed) % 13 {
                            break;
                        }
                        if sent < COUNT && server.connection.send_quota() > 0 {
                            let now = server.now();
                            server
                                .connection
                                .publish(now, message(sent.to_string(), QoS::ExactlyOnce))
                                .unwrap();
                            sent += 1;
                        }
                        match server.event().await {
                            ServerEvent::Publish { message, token, .. } => {
                                received.push(String::from_utf8(message.payload.to_vec()).unwrap());
                                let now = server.now();
                                server.connection.ack(now, token.unwrap(), ReasonCode::Success);
                            }
                            ServerEvent::Closed(_) => return received,
                            _ => {}
                        }
                    }
                    session = Some(server.connection.take_session());
                }
                received
            });
            let numbers: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
            for n in &numbers {
                assert_eq!(next(&mut messages).await.payload, *n, "seed {seed}");
            }
            for ticket in tickets {
                assert_eq!(support::soon("a ticket", ticket).await, Ok(ReasonCode::Success));
            }
            client.disconnect().await.unwrap();
            assert_eq!(serving.await.unwrap(), numbers, "seed {seed}");
            assert!(messages.recv().await.is_none());
        }
    }
}
