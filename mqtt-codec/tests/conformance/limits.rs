//! The Maximum Packet Size, and text that is left out for its sake or because the client does not want it.

use mqttkit_codec::{
    Auth, AuthProperties, ClientEvent, Closed, ConnAck, Connect, Disconnect, EncodeError, Message, Packet,
    PubAck, PublishError, PublishProperties, QoS, ReasonCode, Session, SubAck, UnsubAck, Version,
};

use crate::common::{Client, Server, goodbye, id, message, none, resuming, text, topic};
use crate::flow::incoming;

/// A CONNECT of a client that takes packets of at most this size.
fn connect(size: u32) -> Connect {
    let mut connect = resuming(Version::V5);
    connect.properties = connect
        .properties
        .with_maximum_packet_size(size.try_into().unwrap())
        .with_authentication_method(&text("m"));
    connect
}

fn large_text() -> mqttkit_codec::Str {
    text(&"x".repeat(100))
}

fn sized(payload: usize) -> Message {
    Message::new(topic("t"), vec![b'x'; payload]).with_qos(QoS::AtLeastOnce)
}

/// [MQTT-3.1.2-24]
#[test]
fn a_server_sends_nothing_above_the_clients_maximum_packet_size() {
    let mut server = Server::connected_with(connect(50));
    for payload in 0..200 {
        let published = server.connection.publish(server.now, sized(payload));
        let sent = server.sent_bytes();
        assert!(sent.len() <= 50);
        assert_eq!(published.is_ok(), !sent.is_empty());
        assert_eq!(published.is_ok(), payload <= 50 - 8, "2 of header, 3 topic, 2 identifier, 1 properties");
    }
    let reasons = [ReasonCode::Success; 60];
    assert!(server.connection.sub_ack(server.now, &SubAck::new(id(1), reasons)).is_err());
    assert_eq!(server.sent(), []);
}

/// [MQTT-3.1.2-25]
#[test]
fn a_message_that_is_too_large_counts_as_sent() {
    let mut server = Server::connected_with(connect(50));
    let refused = server.connection.publish(server.now, sized(100));
    let size = EncodeError::PacketTooLarge { size: 108, limit: 50 };
    assert_eq!(refused, Err(PublishError::Encode(size)), "the application is told");
    assert_eq!(server.connection.send_quota(), 65_535, "and nothing is kept of it");
    assert!(server.connection.take_session().is_empty());

    // One that was sent before, on a connection with another limit, is dropped from the session.
    let mut server = Server::connected_with(connect(1000));
    server.connection.publish(server.now, sized(100)).unwrap();
    server.connection.publish(server.now, sized(1)).unwrap();
    let session = server.connection.take_session();
    let mut server = Server::fresh().asked(connect(50));
    server.connection.accept(server.now, ConnAck::accepted(true), session);
    assert_eq!(server.sent().len(), 2, "CONNACK and the small one");
    assert_eq!(server.connection.take_session().in_flight(), 1);
}

/// [MQTT-3.2.2-15]
#[test]
fn a_client_sends_nothing_above_the_servers_maximum_packet_size() {
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_maximum_packet_size(50.try_into().unwrap());
    let mut client = Client::connected_to(connack);
    for payload in 0..200 {
        let published = client.connection.publish(client.now, sized(payload));
        assert!(client.sent_bytes().len() <= 50);
        assert_eq!(published.is_ok(), payload <= 50 - 8);
    }
    let long = crate::common::filter(&"x".repeat(60));
    let wanted = [mqttkit_codec::Subscription::new(long, QoS::AtMostOnce)];
    assert!(client.connection.subscribe(client.now, none(), wanted).is_err());
    assert_eq!(client.sent(), []);
}

/// [MQTT-3.2.2-19], [MQTT-3.2.2-20]
#[test]
fn a_connack_drops_its_text_rather_than_be_too_large() {
    for (size, kept) in [(50, false), (500, true)] {
        let mut connack = ConnAck::accepted(false);
        connack.properties = connack
            .properties
            .with_server_keep_alive(9)
            .with_reason_string(&large_text())
            .with_user_property(&text("n"), &large_text());
        let mut server = Server::fresh().asked(connect(size));
        server.connection.accept(server.now, connack, Session::new());
        let Packet::ConnAck(sent) = server.sent_one() else { panic!() };
        assert_eq!(sent.properties.reason_string().is_some(), kept);
        assert_eq!(sent.properties.user_properties().count(), usize::from(kept));
        assert_eq!(sent.properties.server_keep_alive(), Some(9), "the rest stays");

        let mut refusal = ConnAck::refused(ReasonCode::Banned);
        refusal.properties = refusal.properties.with_reason_string(&large_text());
        let mut server = Server::fresh().asked(connect(size));
        server.connection.refuse(server.now, &refusal);
        let Packet::ConnAck(sent) = server.sent_one() else { panic!() };
        assert_eq!((sent.reason, sent.properties.reason_string().is_some()), (ReasonCode::Banned, kept));
    }
}

/// [MQTT-3.4.2-2], [MQTT-3.4.2-3]; [MQTT-3.5.2-2], [MQTT-3.5.2-3]; [MQTT-3.6.2-2], [MQTT-3.6.2-3]; [MQTT-3.7.2-2],
/// [MQTT-3.7.2-3]
#[test]
fn acknowledgements_of_messages_carry_no_text_at_all() {
    let mut client = Client::connected(Version::V5);
    let acks = [(QoS::AtLeastOnce, 1, ReasonCode::QuotaExceeded), (QoS::ExactlyOnce, 2, ReasonCode::Success)];
    for (qos, number, reason) in acks {
        for event in client.receive_packet(incoming("", qos, number)) {
            let ClientEvent::Publish { token: Some(token), .. } = event else { panic!() };
            client.connection.ack(client.now, token, reason);
        }
    }
    let ours = client.connection.publish(client.now, message("", QoS::ExactlyOnce)).unwrap().unwrap();
    client.sent().iter().for_each(no_text);
    client.receive_packet(mqttkit_codec::PubRec::new(ours));
    client.receive_packet(mqttkit_codec::PubRel::new(id(2)));
    client.receive_packet(mqttkit_codec::PubRel::new(id(77)));
    let sent = client.sent();
    assert_eq!(sent.len(), 3);
    sent.iter().for_each(no_text);
}

fn no_text(packet: &Packet) {
    let properties = match packet {
        Packet::PubAck(ack) => &ack.properties,
        Packet::PubRec(ack) => &ack.properties,
        Packet::PubRel(ack) => &ack.properties,
        Packet::PubComp(ack) => &ack.properties,
        Packet::Publish(_) => return,
        other => panic!("{other:?}"),
    };
    assert!(properties.is_empty());
}

/// [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2]
#[test]
fn answers_to_requests_drop_their_text_rather_than_be_too_large() {
    for (size, kept) in [(50, false), (500, true)] {
        let mut server = Server::connected_with(connect(size));
        let now = server.now;
        let mut suback = SubAck::new(id(1), [ReasonCode::Success]);
        suback.properties =
            suback.properties.with_reason_string(&large_text()).with_user_property(&text("n"), &large_text());
        server.connection.sub_ack(now, &suback).unwrap();
        let Packet::SubAck(sent) = server.sent_one() else { panic!() };
        assert_eq!((sent == suback, sent.properties.is_empty()), (kept, !kept));
        let mut unsuback = UnsubAck::new(id(1), [ReasonCode::Success]);
        unsuback.properties = suback.properties;
        server.connection.unsub_ack(now, &unsuback).unwrap();
        let Packet::UnsubAck(sent) = server.sent_one() else { panic!() };
        assert_eq!((sent == unsuback, sent.properties.is_empty()), (kept, !kept));
    }
}

/// [MQTT-3.14.2-3], [MQTT-3.14.2-4]
#[test]
fn a_disconnect_drops_its_text_rather_than_be_too_large() {
    for (size, kept) in [(50, false), (500, true)] {
        let mut server = Server::connected_with(connect(size));
        let mut goodbye = Disconnect::new(ReasonCode::ServerMoved);
        goodbye.properties = goodbye
            .properties
            .with_server_reference(&text("b"))
            .with_reason_string(&large_text())
            .with_user_property(&text("n"), &large_text());
        server.connection.disconnect(server.now, &goodbye);
        let Packet::Disconnect(sent) = server.sent_one() else { panic!() };
        assert_eq!(sent.properties.reason_string().is_some(), kept);
        assert_eq!(sent.properties.user_properties().count(), usize::from(kept));
        assert_eq!(sent.properties.server_reference(), Some(text("b")));
    }
}

/// [MQTT-3.15.2-2], [MQTT-3.15.2-3]
#[test]
fn an_auth_drops_its_text_rather_than_be_too_large() {
    for (size, kept) in [(50, false), (500, true)] {
        let mut server = Server::fresh().asked(connect(size));
        let properties = AuthProperties::new()
            .with_authentication_method(&text("m"))
            .with_reason_string(&large_text())
            .with_user_property(&text("n"), &large_text());
        let auth = Auth { reason: ReasonCode::ContinueAuthentication, properties };
        server.connection.auth(server.now, &auth).unwrap();
        let Packet::Auth(sent) = server.sent_one() else { panic!() };
        assert_eq!(sent.properties.reason_string().is_some(), kept);
        assert_eq!(sent.properties.user_properties().count(), usize::from(kept));
        assert_eq!(sent.properties.authentication_method(), Some(text("m")));
    }
}

/// [MQTT-3.1.2-29], the server's part
#[test]
fn without_problem_information_only_connack_publish_and_disconnect_carry_text() {
    let mut connect = connect(1000);
    connect.properties = connect.properties.with_request_problem_information(false);
    let note = |properties: mqttkit_codec::AckProperties| {
        properties.with_reason_string(&text("why")).with_user_property(&text("n"), &text("v"))
    };

    let mut server = Server::fresh().asked(connect);
    let now = server.now;
    let properties =
        AuthProperties::new().with_authentication_method(&text("m")).with_reason_string(&text("why"));
    let auth = Auth { reason: ReasonCode::ContinueAuthentication, properties };
    server.connection.auth(now, &auth).unwrap();
    assert!(matches!(server.sent_one(), Packet::Auth(auth) if auth.properties.reason_string().is_none()));
    server.receive_packet(auth);

    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_reason_string(&text("why"));
    server.connection.accept(now, connack, Session::new());
    assert!(matches!(server.sent_one(), Packet::ConnAck(ack) if ack.properties.reason_string().is_some()));

    let mut suback = SubAck::new(id(1), [ReasonCode::Success]);
    suback.properties = note(suback.properties);
    server.connection.sub_ack(now, &suback).unwrap();
    assert!(matches!(server.sent_one(), Packet::SubAck(ack) if ack.properties.is_empty()));
    let mut unsuback = UnsubAck::new(id(1), [ReasonCode::Success]);
    unsuback.properties = note(unsuback.properties);
    server.connection.unsub_ack(now, &unsuback).unwrap();
    assert!(matches!(server.sent_one(), Packet::UnsubAck(ack) if ack.properties.is_empty()));

    let properties = PublishProperties::new().with_user_property(&text("n"), &text("v"));
    server.connection.publish(now, Message::new(topic("t"), "").with_properties(properties)).unwrap();
    let Packet::Publish(publish) = server.sent_one() else { panic!() };
    assert_eq!(publish.properties.user_properties().count(), 1);

    let mut goodbye = Disconnect::new(ReasonCode::ServerShuttingDown);
    goodbye.properties = goodbye.properties.with_reason_string(&text("why"));
    server.connection.disconnect(now, &goodbye);
    assert_eq!(server.sent_one(), goodbye.into());
}

/// [MQTT-3.1.2-29], the client's part
#[test]
fn without_problem_information_a_client_takes_no_text() {
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.properties = connect.properties.with_request_problem_information(false);
    let mut client = Client::connecting(connect, Session::new()).answered(ConnAck::accepted(false));
    let packet_id = client.connection.publish(client.now, message("", QoS::AtLeastOnce)).unwrap().unwrap();
    client.sent();
    let mut ack = PubAck::new(packet_id);
    ack.properties = ack.properties.with_reason_string(&text("why"));
    let closed = client.closed_by(&crate::common::encoded(Version::V5, ack));
    assert!(matches!(closed, Closed::Protocol(_)), "{closed:?}");
    assert_eq!(goodbye(&client.sent()), ReasonCode::ProtocolError);
}

/// [MQTT-3.1.2-28]
#[test]
fn response_information_is_for_clients_that_asked_for_it() {
    for (asked, kept) in [(None, false), (Some(false), false), (Some(true), true)] {
        let mut connect = Connect::new(Version::V5, text("c"));
        if let Some(asked) = asked {
            connect.properties = connect.properties.with_request_response_information(asked);
        }
        let mut connack = ConnAck::accepted(false);
        connack.properties = connack.properties.with_response_information(&text("answers/"));
        let mut server = Server::fresh().asked(connect);
        server.connection.accept(server.now, connack, Session::new());
        let Packet::ConnAck(sent) = server.sent_one() else { panic!() };
        assert_eq!(sent.properties.response_information().is_some(), kept);
    }
}
