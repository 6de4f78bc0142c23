//! Streams of subscriptions: who gets what, slow readers, acknowledging by hand; in memory, with a clock that jumps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::codec::{
    ConnAck, ConnAckProperties, PacketId, ServerEvent, Session, SubAck, UnsubAck, Unsubscribe,
};
use mqttkit_client::{
    Acknowledgement, Client, Event, Message, OnDrop, PublishProperties, QoS, ReasonCode, SlowReader,
    StreamEnd, StreamOptions, SubscribeError, Subscription, SubscriptionStream, TopicName, Version,
};
use std::num::NonZeroU32;
use std::time::Duration;
use support::server::{Listener, Server, client, options};
use support::{event, next, soon};

const SECOND: Duration = Duration::from_secs(1);
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn message(topic: &str, payload: impl Into<bytes::Bytes>, qos: QoS) -> Message {
    Message::new(TopicName::try_from(topic).unwrap(), payload).with_qos(qos)
}

fn identified(message: Message, identifiers: &[NonZeroU32]) -> Message {
    let properties = identifiers
        .iter()
        .fold(PublishProperties::new(), |properties, &id| properties.with_subscription_identifier(id));
    message.with_properties(properties)
}

fn subscription(filter: &str, qos: QoS) -> Subscription {
    Subscription::new(filter.try_into().unwrap(), qos)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Makes a stream, and returns the Subscription Identifier it was given.
async fn stream(
    client: &Client,
    server: &mut Server,
    filters: &[&str],
    options: StreamOptions,
) -> (SubscriptionStream, Option<NonZeroU32>) {
    let list = filters.iter().map(|filter| subscription(filter, QoS::ExactlyOnce));
    let (stream, identifier) = tokio::join!(client.stream_with(list, options), async {
        let subscribe = server.subscribe().await;
        server.grant(&subscribe).await;
        subscribe.properties.subscription_identifier()
    });
    (stream.unwrap(), identifier)
}

async fn unsubscribe(server: &mut Server) -> Unsubscribe {
    loop {
        match soon("UNSUBSCRIBE", server.event()).await {
            ServerEvent::Unsubscribe(unsubscribe) => {
                let reasons = unsubscribe.filters.iter().map(|_| ReasonCode::Success);
                let now = server.now();
                server.connection.unsub_ack(now, &UnsubAck::new(unsubscribe.packet_id, reasons)).unwrap();
                server.flush().await;
                return unsubscribe;
            }
            ServerEvent::Acknowledged { .. } => {}
            other => panic!("{other:?} instead of UNSUBSCRIBE"),
        }
    }
}

fn filters(unsubscribe: &Unsubscribe) -> Vec<String> {
    unsubscribe.filters.iter().map(|filter| filter.as_str().to_owned()).collect()
}

async fn received(stream: &mut SubscriptionStream) -> String {
    let message = soon("a message", stream.recv()).await.expect("the stream goes on");
    String::from_utf8(message.payload.to_vec()).unwrap()
}

/// A connection accepted without Subscription Identifiers.
async fn accept_without_identifiers(listener: &mut Listener) -> Server {
    let (mut server, _) = listener.connect().await;
    let mut connack = ConnAck::accepted(false);
    connack.properties = ConnAckProperties::new().with_subscription_identifier_available(false);
    let now = server.now();
    server.connection.accept(now, connack, Session::new());
    server.flush().await;
    server
}

#[tokio::test(start_paused = true)]
async fn each_stream_gets_what_fits_its_filters_and_the_rest_goes_to_messages() {
    for version in VERSIONS {
        let (client, mut messages, mut listener) = client(options().version(version));
        let mut server = listener.accept(None).await;
        let (mut doors, id) = stream(&client, &mut server, &["home/+/door"], StreamOptions::new()).await;
        let (mut both, other) =
            stream(&client, &mut server, &["a", "$share/g/b/#"], StreamOptions::new()).await;
        assert_eq!(id.is_some(), version == Version::V5);
        assert!(id.is_none() || id != other);
        assert_eq!(both.granted(), [ReasonCode::granted(QoS::ExactlyOnce); 2]);
        assert_eq!(both.filters()[1].as_str(), "$share/g/b/#");
        for (topic, payload) in
            [("home/x/door", "1"), ("b/c", "2"), ("else", "3"), ("a", "4"), ("home/y/door", "5")]
        {
            server.publish(message(topic, payload, QoS::AtMostOnce)).await;
        }
        assert_eq!(received(&mut doors).await, "1");
        assert_eq!(received(&mut doors).await, "5");
        assert_eq!(received(&mut both).await, "2");
        assert_eq!(received(&mut both).await, "4");
        assert_eq!(next(&mut messages).await.payload, "3");
        assert!(doors.try_recv().is_none() && both.try_recv().is_none() && messages.try_recv().is_none());
    }
}

/// A server may send a message once for each overlapping subscription, or once for all. [MQTT-3.3.4-3]
#[tokio::test(start_paused = true)]
async fn with_identifiers_overlapping_streams_get_each_copy_once() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let (mut wide, wide_id) = stream(&client, &mut server, &["a/#"], StreamOptions::new()).await;
    let (mut narrow, narrow_id) = stream(&client, &mut server, &["a/b"], StreamOptions::new()).await;
    let [wide_id, narrow_id] = [wide_id.unwrap(), narrow_id.unwrap()];
    for (payload, identifiers) in
        [("copy", &[wide_id][..]), ("copy", &[narrow_id]), ("both", &[narrow_id, wide_id]), ("none", &[])]
    {
        let copy = identified(message("a/b", payload, QoS::AtMostOnce), identifiers);
        server.publish(copy).await;
    }
    for stream in [&mut wide, &mut narrow] {
        for expected in ["copy", "both", "none"] {
            assert_eq!(received(stream).await, expected);
        }
        assert!(stream.try_recv().is_none());
    }
    // An identifier of an older program is no reason to believe what cannot be.
    server.publish(identified(message("a/x", "old", QoS::AtMostOnce), &[narrow_id])).await;
    assert_eq!(received(&mut wide).await, "old");
    assert!(narrow.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_identifiers_is_given_none() {
    let (client, _messages, mut listener) = client(options());
    let mut server = accept_without_identifiers(&mut listener).await;
    let (mut stream_, id) = stream(&client, &mut server, &["a/#"], StreamOptions::new()).await;
    assert_eq!(id, None);
    server.publish(message("a/b", "x", QoS::AtMostOnce)).await;
    assert_eq!(received(&mut stream_).await, "x");
    // The next server takes them, and the other way round.
    drop(server);
    let mut server = listener.accept(None).await;
    let again = server.subscribe().await;
    assert_eq!(again.properties.subscription_identifier(), None);
    server.grant(&again).await;
    let (_second, id) = stream(&client, &mut server, &["b"], StreamOptions::new()).await;
    assert!(id.is_some());
    drop(server);
    let mut server = accept_without_identifiers(&mut listener).await;
    let again = server.subscribe().await;
    assert_eq!(again.properties.subscription_identifier(), None);
    assert_eq!(again.subscriptions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_subscribed_anew_and_the_streams_go_on() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let (mut one, id) = stream(&client, &mut server, &["a/#"], StreamOptions::new()).await;
    drop(server);
    let mut server = listener.accept(None).await;
    let again = server.subscribe().await;
    assert_eq!(again.properties.subscription_identifier(), id);
    server.grant(&again).await;
    server.publish(identified(message("a/b", "x", QoS::AtMostOnce), &[id.unwrap()])).await;
    assert_eq!(received(&mut one).await, "x");
    drop(server);
    // The next time it is refused: the stream says so.
    let mut server = listener.accept(None).await;
    let again = server.subscribe().await;
    let now = server.now();
    server.connection.sub_ack(now, &SubAck::new(again.packet_id, [ReasonCode::NotAuthorized])).unwrap();
    server.flush().await;
    assert!(soon("the end", one.recv()).await.is_none());
    assert_eq!(one.ended(), Some(StreamEnd::Unsubscribed));
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_an_error_and_leaves_nothing_behind() {
    let (client, mut messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let (refused, ()) = tokio::join!(client.stream("a", QoS::AtMostOnce), async {
        let subscribe = server.subscribe().await;
        let now = server.now();
        server
            .connection
            .sub_ack(now, &SubAck::new(subscribe.packet_id, [ReasonCode::NotAuthorized]))
            .unwrap();
        server.flush().await;
    });
    assert_eq!(refused.map(drop), Err(SubscribeError::Refused(ReasonCode::NotAuthorized)));
    server.publish(message("a", "x", QoS::AtMostOnce)).await;
    assert_eq!(next(&mut messages).await.payload, "x");
    assert!(matches!(client.stream_with([], StreamOptions::new()).await, Err(SubscribeError::Empty)));
    // A part of it is refused: the rest is there.
    let list = ["b", "c"].map(|filter| subscription(filter, QoS::AtMostOnce));
    let (stream, ()) = tokio::join!(client.stream_with(list, StreamOptions::new()), async {
        let subscribe = server.subscribe().await;
        let reasons = [ReasonCode::QuotaExceeded, ReasonCode::granted(QoS::AtMostOnce)];
        let now = server.now();
        server.connection.sub_ack(now, &SubAck::new(subscribe.packet_id, reasons)).unwrap();
        server.flush().await;
    });
    let mut stream = stream.unwrap();
    assert_eq!(stream.granted(), [ReasonCode::QuotaExceeded, ReasonCode::granted(QoS::AtMostOnce)]);
    server.publish(message("b", "1", QoS::AtMostOnce)).await;
    server.publish(message("c", "2", QoS::AtMostOnce)).await;
    assert_eq!(next(&mut messages).await.payload, "1");
    assert_eq!(received(&mut stream).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_unsubscribed_unless_somebody_else_wants_it() {
    for version in VERSIONS {
        let (client, mut messages, mut listener) = client(options().version(version));
        let mut server = listener.accept(None).await;
        let (first, _) = stream(&client, &mut server, &["a", "b"], StreamOptions::new()).await;
        let (second, _) = stream(&client, &mut server, &["b", "c"], StreamOptions::new()).await;
        drop(first);
        assert_eq!(filters(&unsubscribe(&mut server).await), ["a"], "the other has b");
        let (plain, ()) = tokio::join!(client.subscribe("c", QoS::AtMostOnce), async {
            let subscribe = server.subscribe().await;
            server.grant(&subscribe).await;
        });
        plain.unwrap();
        drop(second);
        assert_eq!(filters(&unsubscribe(&mut server).await), ["b"], "c was asked for besides");
        server.publish(message("c", "x", QoS::AtMostOnce)).await;
        assert_eq!(next(&mut messages).await.payload, "x");

        let keep = StreamOptions::new().on_drop(OnDrop::Keep);
        let (kept, _) = stream(&client, &mut server, &["k"], keep).await;
        drop(kept);
        server.publish(message("k", "kept", QoS::AtMostOnce)).await;
        assert_eq!(next(&mut messages).await.payload, "kept");
        // It is known, and so restored when the server forgets.
        drop(server);
        let mut server = listener.accept(None).await;
        let again = server.subscribe().await;
        let restored: Vec<_> = again.subscriptions.iter().map(|s| s.filter.as_str().to_owned()).collect();
        assert!(restored == ["c"] || restored == ["c", "k"], "{restored:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_before_its_answer_is_unsubscribed_too() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    {
        let asking = client.stream("a", QoS::AtMostOnce);
        let subscribe = tokio::select! {
            _ = asking => panic!("no answer yet"),
            subscribe = server.subscribe() => subscribe,
        };
        settle().await;
        server.grant(&subscribe).await;
    }
    assert_eq!(filters(&unsubscribe(&mut server).await), ["a"]);
    // One that has not even been sent is not sent.
    drop(server);
    let asking = client.stream("b", QoS::AtMostOnce);
    assert!(futures_util::FutureExt::now_or_never(asking).is_none());
    let mut server = listener.accept(None).await;
    let nothing = tokio::time::timeout(SECOND, server.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_the_stream_after_what_is_in_it() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let (mut one, _) = stream(&client, &mut server, &["a"], StreamOptions::new()).await;
    server.publish(message("a", "last", QoS::AtMostOnce)).await;
    let (done, _) = tokio::join!(client.unsubscribe("a"), unsubscribe(&mut server));
    done.unwrap();
    assert_eq!(one.ended(), None, "there is a message in it");
    assert_eq!(received(&mut one).await, "last");
    assert!(one.recv().await.is_none());
    assert_eq!(one.ended(), Some(StreamEnd::Unsubscribed));
    let (mut two, _) = stream(&client, &mut server, &["b"], StreamOptions::new()).await;
    client.end().await;
    assert!(two.recv().await.is_none());
    assert_eq!(two.ended(), Some(StreamEnd::Client));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_treated_as_its_policy_says_and_that_is_told() {
    for (policy, kept, missed) in [
        (SlowReader::DropNewest, ["0", "1"], 3),
        (SlowReader::DropOldest, ["3", "4"], 3),
        (SlowReader::End, ["0", "1"], 1),
    ] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (client, mut messages, mut listener) = client(options());
            let mut events = client.events();
            let mut server = listener.accept(None).await;
            let options = StreamOptions::new().buffer(2, 1 << 20).slow_reader(policy);
            let (mut slow, _) = stream(&client, &mut server, &["a"], options).await;
            for n in 0..5 {
                server.publish(message("a", n.to_string(), qos)).await;
            }
            server.publish(message("other", "is not held up", qos)).await;
            if policy == SlowReader::End {
                assert_eq!(filters(&unsubscribe(&mut server).await), ["a"]);
            }
            let serving = tokio::spawn(async move {
                while !matches!(server.event().await, ServerEvent::Closed(_)) {}
                server
            });
            assert_eq!(next(&mut messages).await.payload, "is not held up");
            for expected in kept {
                assert_eq!(received(&mut slow).await, expected, "{policy:?}");
            }
            assert_eq!(slow.missed(), missed);
            assert_eq!(slow.missed(), 0, "since it was last asked");
            if policy == SlowReader::End {
                assert!(slow.recv().await.is_none());
                assert_eq!(slow.ended(), Some(StreamEnd::Overflow));
            }
            assert!(client.metrics().incoming_dropped >= missed);
            let told = event(&mut events, |event| match event {
                Event::SlowReader { filter, dropped } => Some((filter.unwrap(), dropped)),
                _ => None,
            });
            let (filter, dropped) = told.await;
            assert_eq!((filter.as_str(), dropped), ("a", 1), "the first; the rest when there is room again");
            client.disconnect().await.unwrap();
            serving.await.unwrap();
        }
    }
}

/// The rest of an episode is told when there is room again.
#[tokio::test(start_paused = true)]
async fn when_a_slow_reader_catches_up_the_rest_is_told() {
    let options_ = options().slow_reader(SlowReader::DropNewest).receive_buffer(1, 1 << 20);
    let (client, mut messages, mut listener) = client(options_);
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    for n in 0..4 {
        server.publish(message("t", n.to_string(), QoS::AtMostOnce)).await;
    }
    settle().await;
    assert_eq!(next(&mut messages).await.payload, "0");
    server.publish(message("t", "room again", QoS::AtMostOnce)).await;
    assert_eq!(next(&mut messages).await.payload, "room again");
    assert_eq!(messages.missed(), 3);
    for expected in [1, 2] {
        let told = event(&mut events, |event| match event {
            Event::SlowReader { filter: None, dropped } => Some(dropped),
            _ => None,
        });
        assert_eq!(told.await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_holds_the_server_back_and_loses_nothing() {
    for version in VERSIONS {
        let (client, mut messages, mut listener) = client(options().version(version));
        let mut server = listener.accept(None).await;
        let options = StreamOptions::new().buffer(2, 1 << 20);
        let (mut slow, _) = stream(&client, &mut server, &["a"], options).await;
        let serving = tokio::spawn(async move {
            for n in 0..100 {
                server.publish(message("a", n.to_string() + &" ".repeat(100), QoS::AtMostOnce)).await;
            }
            server.publish(message("other", "behind", QoS::AtMostOnce)).await;
            server
        });
        tokio::time::sleep(10 * SECOND).await;
        assert!(!serving.is_finished(), "the server could not send all of it");
        assert!(messages.try_recv().is_none(), "what is behind waits too");
        for n in 0..100 {
            assert_eq!(received(&mut slow).await.trim_end(), n.to_string());
        }
        assert_eq!(next(&mut messages).await.payload, "behind");
        drop(serving.await.unwrap());
    }
}

/// Every queue holds one message, and all is asked for from the task that takes them.
#[tokio::test(start_paused = true)]
async fn asking_from_the_handler_of_a_stream_cannot_lock_up() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let options_ = options().receive_buffer(1, 1 << 20).send_queue(1, 1 << 20);
        let (client, _messages, mut listener) = client(options_);
        let mut server = listener.accept(None).await;
        let options = StreamOptions::new().buffer(1, 1 << 20);
        let (mut jobs, _) = stream(&client, &mut server, &["jobs"], options.clone()).await;
        let serving = tokio::spawn(async move {
            for n in 0..20 {
                server.publish(message("jobs", n.to_string(), qos)).await;
            }
            loop {
                match server.event().await {
                    ServerEvent::Publish { token, .. } => server.ack(token).await,
                    ServerEvent::Subscribe(subscribe) => {
                        server.publish(message("jobs", "more", qos)).await;
                        server.grant(&subscribe).await;
                    }
                    ServerEvent::Unsubscribe(unsubscribe) => {
                        let now = server.now();
                        let ack = UnsubAck::new(unsubscribe.packet_id, [ReasonCode::Success]);
                        server.connection.unsub_ack(now, &ack).unwrap();
                        server.flush().await;
                    }
                    ServerEvent::Closed(_) => return,
                    _ => {}
                }
            }
        });
        for n in 0..20 {
            assert_eq!(received(&mut jobs).await, n.to_string());
            let topic = format!("answers/{n}");
            let answers = soon("a stream", client.stream(topic.as_str(), qos)).await.unwrap();
            let ticket = soon("room", client.publish(topic.as_str(), "x", qos)).await.unwrap();
            soon("the acknowledgement", ticket).await.unwrap();
            drop(answers);
        }
        drop(jobs);
        client.disconnect().await.unwrap();
        serving.await.unwrap();
    }
}

fn by_hand() -> StreamOptions {
    StreamOptions::new().manual_acknowledgement(true)
}

async fn unacknowledged(stream: &mut SubscriptionStream) -> (String, Acknowledgement) {
    let (message, ack) = soon("a message", stream.recv_unacknowledged()).await.unwrap();
    (String::from_utf8(message.payload.to_vec()).unwrap(), ack)
}

async fn acknowledged(server: &mut Server) -> (PacketId, ReasonCode) {
    loop {
        match soon("an acknowledgement", server.event()).await {
            ServerEvent::Acknowledged { packet_id, reason } => return (packet_id, reason),
            ServerEvent::Subscribe(_) | ServerEvent::Unsubscribe(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn silent(server: &mut Server) {
    let nothing = tokio::time::timeout(SECOND, server.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[tokio::test(start_paused = true)]
async fn acknowledgements_by_hand_leave_in_the_order_of_the_messages() {
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (client, _messages, mut listener) = client(options().version(version));
            let mut server = listener.accept(None).await;
            let (mut jobs, _) = stream(&client, &mut server, &["a"], by_hand()).await;
            let mut ids = Vec::new();
            for n in 0..3 {
                ids.push(server.publish(message("a", n.to_string(), qos)).await.unwrap());
            }
            let (_, first) = unacknowledged(&mut jobs).await;
            let (_, second) = unacknowledged(&mut jobs).await;
            assert!(first.is_needed());
            second.accept();
            silent(&mut server).await;
            first.accept();
            assert_eq!(acknowledged(&mut server).await, (ids[0], ReasonCode::Success));
            assert_eq!(acknowledged(&mut server).await, (ids[1], ReasonCode::Success));
            // The plain way acknowledges what it takes.
            silent(&mut server).await;
            assert_eq!(received(&mut jobs).await, "2");
            assert_eq!(acknowledged(&mut server).await, (ids[2], ReasonCode::Success));
            // QoS 0 and other streams have nothing to acknowledge.
            server.publish(message("a", "qos 0", QoS::AtMostOnce)).await;
            assert!(!unacknowledged(&mut jobs).await.1.is_needed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_can_be_refused_and_two_streams_acknowledge_together() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let (mut one, _) = stream(&client, &mut server, &["a"], by_hand()).await;
    let (mut two, _) = stream(&client, &mut server, &["a"], by_hand()).await;
    let (mut third, _) = stream(&client, &mut server, &["a"], StreamOptions::new()).await;
    let id = server.publish(message("a", "x", QoS::AtLeastOnce)).await.unwrap();
    assert_eq!(received(&mut third).await, "x");
    let (_, first) = unacknowledged(&mut one).await;
    first.answer(ReasonCode::NotAuthorized);
    silent(&mut server).await;
    let (_, second) = unacknowledged(&mut two).await;
    second.accept();
    assert_eq!(acknowledged(&mut server).await, (id, ReasonCode::NotAuthorized));
    // A stream that goes is no hindrance.
    let id = server.publish(message("a", "y", QoS::AtLeastOnce)).await.unwrap();
    settle().await;
    drop(two);
    unacknowledged(&mut one).await.1.accept();
    assert_eq!(acknowledged(&mut server).await, (id, ReasonCode::Success));
}

/// Of QoS 1 what was not acknowledged comes again, and only once; of QoS 2 what was acknowledged in between does not.
#[tokio::test(start_paused = true)]
async fn acknowledgements_by_hand_and_a_reconnect() {
    let (client, mut messages, mut listener) =
        client(options().session_expiry(3600 * SECOND).manual_acknowledgement(true));
    let mut server = listener.accept(None).await;
    server.publish(message("t", "taken 1", QoS::AtLeastOnce)).await;
    server.publish(message("t", "queued 1", QoS::AtLeastOnce)).await;
    server.publish(message("t", "taken 2", QoS::ExactlyOnce)).await;
    server.publish(message("t", "queued 2", QoS::ExactlyOnce)).await;
    settle().await;
    let (one, one_ack) = soon("a message", messages.recv_unacknowledged()).await.unwrap();
    assert_eq!(one.payload, "taken 1");
    let session = server.connection.take_session();
    drop(server);
    settle().await;
    one_ack.accept();
    let mut server = listener.accept(Some(session)).await;
    tokio::spawn(async move { while !matches!(server.event().await, ServerEvent::Closed(_)) {} });
    settle().await;
    let mut all = Vec::new();
    while let Some(message) = messages.try_recv() {
        all.push(String::from_utf8(message.payload.to_vec()).unwrap());
    }
    all.sort();
    assert_eq!(
        all,
        ["queued 1", "queued 2", "taken 1", "taken 2"],
        "those of QoS 1 again, those of QoS 2 once"
    );
    client.disconnect().await.unwrap();
}

#[test]
fn the_handle_is_small() {
    assert!(size_of::<Acknowledgement>() <= 40, "{}", size_of::<Acknowledgement>());
}
