//! Coming back: when, where to, in which version, and what is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::codec::{
    self, ConnAck, Connect, Disconnect, Packet, ServerConfig, ServerConnection, ServerEvent, Str, SubAck,
    SubscribeProperties, UnsubscribeProperties,
};
use mqttkit_client::transport::{LinkExt, StreamLink, TokioIo};
use mqttkit_client::{
    Client, ConnectError, Continuity, Delivery, DisconnectCause, Event, Events, GiveUp, Jitter, Message,
    Offline, Passed, PublishError, QoS, ReasonCode, ReconnectPolicy, Subscription, TopicName, Version,
};
use std::time::Duration;
use support::server::{Server, client, options};
use support::{event, next, soon};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn message(payload: impl Into<bytes::Bytes>, qos: QoS) -> Message {
    Message::new(TopicName::try_from("t").unwrap(), payload).with_qos(qos)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn connected(events: &mut Events) -> Continuity {
    event(events, |event| match event {
        Event::Connected(continuity) => Some(continuity),
        _ => None,
    })
    .await
}

/// A TCP port in the test's own hands.
struct Port(TcpListener);

type TcpServer = Server<StreamLink<TokioIo<TcpStream>>>;

impl Port {
    async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn authority(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.authority())
    }

    async fn link(&self) -> StreamLink<TokioIo<TcpStream>> {
        StreamLink::from_tokio(soon("a client", self.0.accept()).await.unwrap().0)
    }

    /// The next client and its CONNECT.
    async fn client(&self) -> (TcpServer, Connect) {
        let mut server = Server::new(self.link().await);
        match soon("CONNECT", server.event()).await {
            ServerEvent::Connect(connect) => (server, *connect),
            other => panic!("{other:?}"),
        }
    }
}

/// A port at which nobody listens.
async fn nobody() -> String {
    Port::open().await.url()
}

async fn refuse<L: LinkExt>(server: &mut Server<L>, reason: ReasonCode, reference: Option<&str>) {
    let mut connack = ConnAck::refused(reason);
    if let Some(reference) = reference {
        connack.properties = connack.properties.with_server_reference(&Str::try_from(reference).unwrap());
    }
    let now = server.now();
    server.connection.refuse(now, &connack);
    server.flush().await;
}

// ---- where to

#[tokio::test]
async fn servers_are_tried_in_turn_and_the_one_that_was_connected_first_again() {
    let (two, three) = (Port::open().await, Port::open().await);
    let (first, second) = (nobody().await.replace("mqtt://", "mqtt://ann:secret@"), two.url());
    let third = three.url().replace("mqtt://", "mqtt://bob:other@");
    // The longest wait would be far too long.
    let options = Client::builder(&first)
        .servers([second.as_str(), third.as_str()])
        .reconnect(ReconnectPolicy::new(3600 * SECOND, 3600 * SECOND).jitter(Jitter::None));
    let connecting = tokio::spawn(options.connect());
    let (mut server, connect) = two.client().await;
    assert_eq!(connect.user_name.as_deref(), Some("ann"), "it names no user of its own");
    refuse(&mut server, ReasonCode::ServerUnavailable, None).await;
    let (mut server, connect) = three.client().await;
    assert_eq!(connect.user_name.as_deref(), Some("bob"));
    assert_eq!(connect.password.as_deref(), Some(&b"other"[..]));
    server.accept(None).await;
    let (client, _messages) = soon("the connection", connecting).await.unwrap().unwrap();
    let mut events = client.events();
    connected(&mut events).await;
    drop(server);
    let delay = event(&mut events, |event| match event {
        Event::Reconnecting { delay, .. } => Some(delay),
        _ => None,
    });
    assert_eq!(delay.await, 3600 * SECOND, "a lost connection is no reason to go elsewhere at once");
    client.reconnect();
    three.client().await;
}

#[tokio::test]
async fn when_all_servers_fail_the_first_connection_does() {
    let (one, two) = (nobody().await, nobody().await);
    let error = Client::builder(&one).servers([two.as_str()]).connect().await.unwrap_err();
    assert!(error.to_string().contains(two.trim_start_matches("mqtt://")), "the last of them: {error}");
    let error = Client::builder(&one).servers(["localhost:1"]).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Options(_)), "{error:?}");
}

#[tokio::test]
async fn a_redirection_is_followed_if_wanted() {
    for follow in [true, false] {
        let (one, two) = (Port::open().await, Port::open().await);
        let options =
            Client::builder(&one.url().replace("mqtt://", "mqtt://ann:pw@")).follow_redirects(follow);
        let connecting = tokio::spawn(options.connect());
        let (mut server, _) = one.client().await;
        refuse(&mut server, ReasonCode::UseAnotherServer, Some(&two.authority())).await;
        if !follow {
            let error = soon("the refusal", connecting).await.unwrap().unwrap_err();
            assert_eq!(error.reason(), Some(ReasonCode::UseAnotherServer));
            continue;
        }
        let (mut server, connect) = two.client().await;
        assert_eq!(connect.user_name.as_deref(), Some("ann"));
        server.accept(None).await;
        let (client, _messages) = soon("the connection", connecting).await.unwrap().unwrap();
        let mut events = client.events();
        let told = event(&mut events, |event| match event {
            Event::Redirected { reference, moved } => Some((reference, moved)),
            _ => None,
        });
        assert_eq!(told.await, (two.authority().as_str().try_into().unwrap(), false));
        connected(&mut events).await;
        // Back to where it came from; then for good to the other, by DISCONNECT.
        drop(server);
        client.reconnect();
        let (mut server, _) = one.client().await;
        server.accept(None).await;
        connected(&mut events).await;
        let mut moved = Disconnect::new(ReasonCode::ServerMoved);
        moved.properties = moved.properties.with_server_reference(&two.url().as_str().try_into().unwrap());
        let now = server.now();
        server.connection.disconnect(now, &moved);
        server.flush().await;
        for _ in 0..2 {
            let (mut server, _) = two.client().await;
            server.accept(None).await;
            connected(&mut events).await;
            client.reconnect();
        }
    }
}

#[tokio::test]
async fn servers_that_send_a_client_in_a_circle_are_not_hammered() {
    let (one, two) = (Port::open().await, Port::open().await);
    let options = Client::builder(&one.url())
        .follow_redirects(true)
        .reconnect(ReconnectPolicy::new(3600 * SECOND, 3600 * SECOND));
    let (client, _messages) = options.connect_in_background().unwrap();
    let mut events = client.events();
    for n in 0..4 {
        let (here, there) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let (mut server, _) = here.client().await;
        refuse(&mut server, ReasonCode::UseAnotherServer, Some(&there.authority())).await;
    }
    let mut waits = 0;
    let delay = event(&mut events, |event| match event {
        Event::Reconnecting { delay, .. } if delay.is_zero() => {
            waits += 1;
            None
        }
        Event::Reconnecting { delay, .. } => Some(delay),
        _ => None,
    });
    assert!(delay.await > 1000 * SECOND);
    assert_eq!(waits, 3);
}

// ---- in which version

#[tokio::test(start_paused = true)]
async fn an_older_version_is_spoken_if_wanted() {
    // As servers of MQTT 3 say it, and without a word.
    for refusal in [&b"\x20\x02\0\x01"[..], b""] {
        let (client, _messages, mut listener) = client(options().version_fallback(true));
        let mut events = client.events();
        let start = Instant::now();
        for (level, next) in [(5, Version::V311), (4, Version::V31)] {
            let mut link = listener.link().await;
            let mut bytes = bytes::BytesMut::new();
            link.recv(&mut bytes).await.unwrap();
            assert_eq!(bytes[8], level);
            link.send_all(&mut &*refusal).await.unwrap();
            drop(link);
            let version = event(&mut events, |event| match event {
                Event::FallingBack { version } => Some(version),
                _ => None,
            });
            assert_eq!(version.await, next);
        }
        let (mut server, connect) = listener.connect().await;
        assert_eq!(connect.version, Version::V31);
        assert!(start.elapsed() < SECOND, "without a wait");
        server.accept(None).await;
        connected(&mut events).await;
        // What was found to work stays.
        drop(server);
        assert_eq!(listener.connect().await.1.version, Version::V31);
    }
    let (client, _messages, mut listener) = client(options());
    let mut events = client.events();
    let (mut server, _) = listener.connect().await;
    refuse(&mut server, ReasonCode::UnsupportedProtocolVersion, None).await;
    let delay = event(&mut events, |event| match event {
        Event::Reconnecting { delay, .. } => Some(delay),
        _ => None,
    });
    assert!(delay.await >= 30 * SECOND, "only if wanted");
}

// ---- when, and whether at all

#[tokio::test(start_paused = true)]
async fn refusals_end_the_client_if_the_policy_says_so() {
    for (give_up, reason, ends) in [
        (GiveUp::Never, ReasonCode::NotAuthorized, false),
        (GiveUp::OnLasting, ReasonCode::NotAuthorized, true),
        (GiveUp::OnLasting, ReasonCode::ServerBusy, false),
        (GiveUp::OnRefusal, ReasonCode::ServerBusy, true),
    ] {
        let policy = ReconnectPolicy::new(SECOND, SECOND).give_up(give_up);
        let (client, mut messages, mut listener) = client(options().reconnect(policy));
        let (mut server, _) = listener.connect().await;
        refuse(&mut server, reason, None).await;
        drop(server);
        if ends {
            assert!(soon("the end", messages.recv()).await.is_none());
            assert_eq!(client.try_publish(message("", QoS::AtMostOnce)).unwrap_err(), PublishError::Closed);
        } else {
            listener.accept(None).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_so_many_attempts_it_gives_up() {
    let policy = ReconnectPolicy::new(SECOND, SECOND).max_attempts(3);
    let (_client, mut messages, mut listener) = client(options().reconnect(policy));
    for _ in 0..4 {
        drop(listener.link().await);
    }
    assert!(soon("the end", messages.recv()).await.is_none());
    assert!(!listener.goes_on().await);
}

#[tokio::test(start_paused = true)]
async fn by_hand_it_connects_at_once() {
    let policy = ReconnectPolicy::new(3600 * SECOND, 3600 * SECOND);
    let (client, _messages, mut listener) = client(options().reconnect(policy).session_expiry(3600 * SECOND));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    connected(&mut events).await;
    let start = Instant::now();
    let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
    server.message().await;
    client.reconnect();
    match server.event().await {
        ServerEvent::Closed(closed) => assert!(!closed.publishes_will(), "{closed:?}"),
        other => panic!("{other:?}"),
    }
    let session = server.connection.take_session();
    drop(server);
    let mut server = listener.accept(Some(session)).await;
    let now = connected(&mut events).await;
    assert_eq!((now.resent, now.possibly_duplicated), (1, 1));
    let (_, token) = server.message().await;
    server.ack(token).await;
    ticket.await.unwrap();
    // While it waits.
    drop(server);
    event(&mut events, |event| matches!(event, Event::Reconnecting { .. }).then_some(())).await;
    client.reconnect();
    listener.accept(None).await;
    assert!(start.elapsed() < 10 * SECOND);
}

/// Full jitter: a hundred clients that lost the same server come back one after the other.
#[tokio::test(start_paused = true)]
async fn a_storm_is_spread() {
    const CLIENTS: usize = 100;
    let mut all = Vec::new();
    for _ in 0..CLIENTS {
        let policy = ReconnectPolicy::new(10 * SECOND, 60 * SECOND);
        let (client, messages, mut listener) = client(options().reconnect(policy));
        let server = listener.accept(None).await;
        all.push((client, messages, listener, server));
    }
    settle().await;
    let start = Instant::now();
    let mut back = Vec::new();
    for (client, messages, mut listener, server) in all {
        drop(server);
        back.push(tokio::spawn(async move {
            let server = listener.accept(None).await;
            (start.elapsed(), client, messages, listener, server)
        }));
    }
    let mut times = Vec::new();
    for client in back {
        times.push(client.await.unwrap().0);
    }
    times.sort();
    assert!(*times.last().unwrap() <= 10 * SECOND + SECOND / 10, "{times:?}");
    let most = times.iter().map(|&t| times.iter().filter(|&&u| u >= t && u < t + SECOND).count()).max();
    assert!(most.unwrap() < 30, "about ten in each second: {times:?}");
}

// ---- what is told

#[tokio::test(start_paused = true)]
async fn a_new_connection_tells_what_became_of_everything() {
    let delivery = Delivery::new().offline(Offline::Drop);
    let (client, _messages, mut listener) =
        client(options().delivery(delivery).session_expiry(3600 * SECOND));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    assert_eq!(connected(&mut events).await.connection, 1);
    let (subscribed, ()) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
        let subscribe = server.subscribe().await;
        server.grant(&subscribe).await;
    });
    subscribed.unwrap();
    let _one = client.publish_message(message("one", QoS::AtLeastOnce)).await.unwrap();
    let _two = client.publish_message(message("two", QoS::ExactlyOnce)).await.unwrap();
    server.message().await;
    server.message().await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe("b", QoS::AtMostOnce).await }
    });
    server.subscribe().await;
    let session = server.connection.take_session();
    drop(server);
    event(&mut events, |event| matches!(event, Event::Disconnected(_)).then_some(())).await;
    let dropped = client.publish_message(message("", QoS::AtMostOnce)).await.unwrap();
    assert_eq!(dropped.await, Err(PublishError::Offline));
    let short = Delivery::new().time_to_live(Duration::from_millis(1));
    let expired = client.publish_with(message("", QoS::AtLeastOnce), short).await.unwrap();
    assert_eq!(expired.await, Err(PublishError::Expired));
    let mut server = listener.accept(Some(session)).await;
    let now = connected(&mut events).await;
    assert_eq!((now.session_present, now.connection), (true, 2));
    assert_eq!((now.resent, now.republished, now.unconfirmed, now.possibly_duplicated), (2, 0, 0, 1));
    assert_eq!((now.kept, now.resubscribed, now.asked_again), (1, 0, 1));
    assert_eq!((now.expired, now.dropped, now.lost), (1, 1, 0));
    // The session is lost: of QoS 2 the server may have the message twice as well.
    let mut again = None;
    while again.is_none() {
        if let ServerEvent::Subscribe(subscribe) = server.event().await {
            again = Some(subscribe);
        }
    }
    server.grant(&again.unwrap()).await;
    asking.await.unwrap().unwrap();
    drop(server);
    listener.accept(None).await;
    let now = connected(&mut events).await;
    assert_eq!((now.resent, now.republished, now.possibly_duplicated), (0, 2, 2));
    assert_eq!((now.kept, now.resubscribed, now.asked_again), (0, 2, 0));
    assert_eq!((now.expired, now.dropped), (0, 0), "since the connection before");
    assert!(client.metrics().messages_resent >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_stays_lost_if_wanted() {
    let (client, _messages, mut listener) = client(options().resubscribe(false));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    let (subscribed, ()) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
        let subscribe = server.subscribe().await;
        server.grant(&subscribe).await;
    });
    subscribed.unwrap();
    connected(&mut events).await;
    drop(server);
    let mut server = listener.accept(None).await;
    assert_eq!(connected(&mut events).await.resubscribed, 0);
    let nothing = tokio::time::timeout(SECOND, server.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn every_packet_can_be_watched() {
    for version in [Version::V311, Version::V5] {
        let (client, mut messages, mut listener) = client(options().version(version));
        let mut packets = client.packets();
        let mut server = listener.accept(None).await;
        // One that is gathered and one that is sent without a copy.
        for len in [10, 100_000] {
            let ticket = client.publish_message(message(vec![1; len], QoS::AtLeastOnce)).await.unwrap();
            let (_, token) = server.message().await;
            server.ack(token).await;
            ticket.await.unwrap();
        }
        server.publish(message("in", QoS::AtMostOnce)).await;
        next(&mut messages).await;
        tokio::join!(client.end(), async {
            while !matches!(server.event().await, ServerEvent::Closed(_)) {}
            drop(server);
        });
        let mut seen = Vec::new();
        while let Some(passed) = packets.recv().await {
            seen.push(match passed {
                Passed::Sent(packet) => format!("> {}", packet.packet_type()),
                Passed::Received(Packet::Publish(publish)) => format!("< PUBLISH {}", publish.payload.len()),
                Passed::Received(packet) => format!("< {}", packet.packet_type()),
                _ => unreachable!("there are two directions"),
            });
        }
        assert_eq!(
            seen,
            [
                "> CONNECT",
                "< CONNACK",
                "> PUBLISH",
                "< PUBACK",
                "> PUBLISH",
                "< PUBACK",
                "< PUBLISH 2",
                "> DISCONNECT"
            ]
        );
        assert_eq!(packets.missed(), 0);
    }
}

/// A topic that repeats is sent once; on the next connection it is sent anew. [MQTT-3.3.2-7]
#[tokio::test(start_paused = true)]
async fn topics_become_aliases_if_wanted() {
    for aliases in [0, 2] {
        let (client, _messages, mut listener) = client(options().automatic_topic_aliases(aliases));
        let mut packets = client.packets();
        for _ in 0..2 {
            let mut server = Server::new(listener.link().await);
            let mut config = ServerConfig::default();
            config.topic_alias_maximum = 1;
            server.connection = ServerConnection::new(config, codec::Instant::ZERO);
            assert!(matches!(server.event().await, ServerEvent::Connect(_)));
            server.accept(None).await;
            for _ in 0..2 {
                client.publish("long/enough/to/be/worth/it", "m", QoS::AtMostOnce).await.unwrap();
                assert_eq!(server.message().await.0.topic.as_str(), "long/enough/to/be/worth/it");
            }
        }
        let mut topics = Vec::new();
        while topics.len() < 4 {
            if let Passed::Sent(Packet::Publish(publish)) = soon("a packet", packets.recv()).await.unwrap() {
                topics.push(publish.topic.is_aliased());
            }
        }
        assert_eq!(topics, if aliases > 0 { [false, true, false, true] } else { [false; 4] });
    }
}

/// Watching can begin at any time.
#[tokio::test(start_paused = true)]
async fn watching_can_begin_in_the_middle_of_a_connection() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
    let (_, token) = server.message().await;
    let mut packets = client.packets();
    server.ack(token).await;
    ticket.await.unwrap();
    client.publish_message(message("m", QoS::AtMostOnce)).await.unwrap();
    server.message().await;
    let sent = soon("a packet", async {
        loop {
            if let Some(Passed::Sent(packet)) = packets.recv().await {
                return packet;
            }
        }
    });
    assert!(matches!(sent.await, Packet::Publish(_)));
}

/// PINGREQ is due when nothing was sent, or nothing received, for the keep-alive: traffic both ways puts it off.
#[tokio::test(start_paused = true)]
async fn traffic_puts_the_ping_off() {
    let (client, _messages, mut listener) = client(options().keep_alive(10 * SECOND));
    let mut packets = client.packets();
    let mut server = listener.accept(None).await;
    let start = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(6 * SECOND).await;
        let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
        let (_, token) = server.message().await;
        server.ack(token).await;
        ticket.await.unwrap();
    }
    tokio::spawn(async move { while !matches!(server.event().await, ServerEvent::Closed(_)) {} });
    while !matches!(soon("PINGREQ", packets.recv()).await.unwrap(), Passed::Sent(Packet::PingReq)) {}
    assert_eq!(start.elapsed().as_secs(), 40, "30 s of traffic and 10 s of silence");
}

// ---- servers that break rules

/// Whatever it was, the client says which rule, comes back, and everything still works.
#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_rules_is_left_and_nothing_is_lost() {
    for (what, bytes) in [
        ("SUBACK for nothing", &b"\x90\x04\0\x07\0\0"[..]),
        ("UNSUBACK for nothing", b"\xb0\x04\0\x07\0\0"),
        ("SUBACK for a message", b"\x90\x04\0\x01\0\0"),
        ("PUBREC for QoS 1", b"\x50\x02\0\x01"),
        ("a second CONNACK", b"\x20\x03\0\0\0"),
        ("a CONNECT", b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0"),
        ("PUBLISH with QoS 3", b"\x36\x05\0\x01t\0\x01"),
        ("an empty topic", b"\x30\x03\0\0\0"),
        ("an identifier of zero", b"\x40\x02\0\0"),
        ("a topic alias that was not allowed", b"\x30\x07\0\x01t\x03\x23\0\x01"),
        ("a length that never ends", b"\x30\xff\xff\xff\xff\xff"),
    ] {
        let (client, _messages, mut listener) = client(options());
        let mut events = client.events();
        let mut server = listener.accept(None).await;
        let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap();
        server.message().await;
        server.link.send_all(&mut &*bytes).await.unwrap();
        let cause = event(&mut events, |event| match event {
            Event::Disconnected(cause) => Some(cause),
            _ => None,
        });
        assert!(matches!(*cause.await, DisconnectCause::Protocol(_)), "{what}");
        let mut server = listener.accept(None).await;
        let (again, token) = server.message().await;
        assert_eq!(again.payload, "m", "{what}");
        server.ack(token).await;
        assert_eq!(ticket.await, Ok(ReasonCode::Success), "{what}");
    }
}

/// What harms nobody is overlooked.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_what_is_not_in_flight_is_overlooked() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    server
        .link
        .send_all(&mut &b"\x40\x02\0\x05\x50\x02\0\x05\x62\x02\0\x09\x70\x02\0\x05"[..])
        .await
        .unwrap();
    let ticket = client.publish_message(message("m", QoS::ExactlyOnce)).await.unwrap();
    loop {
        if let ServerEvent::Publish { token, .. } = server.event().await {
            break server.ack(token).await;
        }
    }
    tokio::spawn(async move { while !matches!(server.event().await, ServerEvent::Closed(_)) {} });
    assert_eq!(soon("PUBCOMP", ticket).await, Ok(ReasonCode::Success));
    assert_eq!(client.metrics().connections, 1);
}

/// Half open: it takes everything and answers nothing but pings. Whoever waits can stop waiting.
#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_leaves_the_choice_to_the_application() {
    let (client, _messages, mut listener) =
        client(options().keep_alive(5 * SECOND).disconnect_timeout(SECOND));
    let mut server = listener.accept(None).await;
    let serving =
        tokio::spawn(async move { while !matches!(server.event().await, ServerEvent::Closed(_)) {} });
    let ticket = client.publish_message(message("m", QoS::AtLeastOnce)).await.unwrap().within(60 * SECOND);
    let subscribing = tokio::time::timeout(60 * SECOND, client.subscribe("a", QoS::AtMostOnce));
    let list = [Subscription::new("b".try_into().unwrap(), QoS::AtMostOnce)];
    let many = tokio::time::timeout(SECOND, client.subscribe_many(list, SubscribeProperties::new()));
    let unsubscribing = client.unsubscribe_many(["c".try_into().unwrap()], UnsubscribeProperties::new());
    let unsubscribing = tokio::time::timeout(SECOND, unsubscribing);
    let (outcome, subscribed, many, unsubscribed) = tokio::join!(ticket, subscribing, many, unsubscribing);
    assert_eq!(outcome, Err(PublishError::Deadline { sent: true }));
    assert!(subscribed.is_err() && many.is_err() && unsubscribed.is_err());
    assert!(client.is_connected(), "it answers pings");
    let left = match client.disconnect().await {
        Err(mqttkit_client::DisconnectError::Unfinished(left)) => left,
        other => panic!("{other:?}"),
    };
    assert_eq!((left.unacknowledged, left.requests), (1, 3));
    serving.await.unwrap();
}

/// SUBACK with fewer reasons than filters answers nothing.
#[tokio::test(start_paused = true)]
async fn an_answer_of_the_wrong_length_is_no_answer() {
    let (client, _messages, mut listener) = client(options());
    let mut server = listener.accept(None).await;
    let asking = tokio::spawn({
        let client = client.clone();
        let list = ["a", "b"].map(|f| Subscription::new(f.try_into().unwrap(), QoS::AtMostOnce));
        async move { client.subscribe_many(list, SubscribeProperties::new()).await }
    });
    let subscribe = server.subscribe().await;
    let id = subscribe.packet_id.get().to_be_bytes();
    server.link.send_all(&mut &[0x90, 4, id[0], id[1], 0, 0][..]).await.unwrap();
    drop(server);
    let mut server = listener.accept(None).await;
    let again = server.subscribe().await;
    let now = server.now();
    let reasons = [ReasonCode::granted(QoS::AtMostOnce), ReasonCode::NotAuthorized];
    server.connection.sub_ack(now, &SubAck::new(again.packet_id, reasons)).unwrap();
    server.flush().await;
    assert_eq!(asking.await.unwrap().unwrap(), reasons);
}
