//! Chapter 3.14: DISCONNECT.

use mqttkit_codec::{
    Closed, ConnAck, Connect, Disconnect, DisconnectError, Packet, PacketType, PublishError, QoS, ReasonCode,
    ServerEvent, Session, SubAck, Version,
};

use crate::common::{
    Client, Server, VERSIONS, accepted, encoded, goodbye, id, message, none, packet, resuming, text,
};
use crate::flow::{incoming, messages};

/// [MQTT-3.14.0-1]
#[test]
fn a_server_sends_no_disconnect_before_its_connack() {
    let goodbye = Disconnect::new(ReasonCode::ServerShuttingDown);
    for mut server in [Server::fresh(), Server::fresh().asked(Connect::new(Version::V5, text("c")))] {
        server.connection.disconnect(server.now, &goodbye);
        assert!(server.connection.is_closed());
        assert_eq!(server.sent_bytes(), [0; 0]);
    }
    let mut server = Server::fresh().asked(Connect::new(Version::V5, text("c")));
    server.connection.refuse(server.now, &ConnAck::refused(ReasonCode::Banned));
    server.connection.disconnect(server.now, &goodbye);
    assert!(matches!(server.sent_one(), Packet::ConnAck(_)), "nor behind a refusal");
}

/// [MQTT-3.14.1-1]
#[test]
fn a_disconnect_with_reserved_bits_is_malformed() {
    for version in [Version::V311, Version::V5] {
        for first_byte in 0xe1..=0xef {
            let mut server = Server::connected(version);
            let closed = server.closed_by(&[first_byte, 0]);
            assert!(matches!(closed, Closed::Protocol(_)) && closed.publishes_will());
            if version == Version::V5 {
                assert_eq!(goodbye(&server.sent()), ReasonCode::MalformedPacket);
            }
        }
    }
    let mut client = Client::connected(Version::V5);
    client.closed_by(&[0xe1, 0]);
    assert_eq!(goodbye(&client.sent()), ReasonCode::MalformedPacket);
}

/// [MQTT-3.14.2-1]
#[test]
fn a_disconnect_carries_one_of_its_reason_codes() {
    const ALLOWED: [u8; 29] = [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1,
    ];
    let allowed = [&ALLOWED[..], &[0xa2]].concat();
    crate::acks::only_these_codes(PacketType::Disconnect, &allowed, "MQTT-3.14.2-1", |code| {
        packet(0xe0, &format!("{code:02x}"))
    });
}

/// [MQTT-3.14.2-2]
#[test]
fn a_server_sends_no_session_expiry() {
    let mut with_expiry = Disconnect::new(ReasonCode::ServerShuttingDown);
    with_expiry.properties = with_expiry.properties.with_session_expiry_interval(5);
    let mut server = Server::connected_with(resuming(Version::V5));
    server.connection.disconnect(server.now, &with_expiry);
    let Packet::Disconnect(sent) = server.sent_one() else { panic!() };
    assert_eq!(sent.properties.session_expiry_interval(), None, "asked to, it leaves it out");

    let mut client =
        Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
    let closed = client.closed_by(&encoded(Version::V5, with_expiry));
    assert!(matches!(closed, Closed::Protocol(_)), "a client does not take it: {closed:?}");
    assert_eq!(goodbye(&client.sent()), ReasonCode::ProtocolError);
}

/// The rest of chapter 3.14.2.2.2: an expiry of zero in CONNECT stays zero.
#[test]
fn a_disconnect_cannot_start_a_session_expiry() {
    let wire = packet(0xe0, "00 05 11 00000005");
    let mut server = Server::connected(Version::V5);
    assert!(matches!(server.closed_by(&wire), Closed::Protocol(_)));
    assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);
    let mut server = Server::connected_with(resuming(Version::V5));
    assert!(matches!(server.closed_by(&wire), Closed::Peer(_)), "but it can change one");
}

/// [MQTT-3.14.4-2] of 3.1.1, [MQTT-3.14.4-1] of 5.0
#[test]
fn nothing_is_sent_behind_a_disconnect() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let now = client.now;
        let mut tokens = Vec::new();
        for event in client.receive_packet(incoming("", QoS::AtLeastOnce, 1)) {
            let mqttkit_codec::ClientEvent::Publish { token: Some(token), .. } = event else { panic!() };
            tokens.push(token);
        }
        client.connection.disconnect(now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
        assert_eq!(client.sent_bytes(), [0xe0, 0]);
        client.connection.ack(now, tokens[0], ReasonCode::Success);
        let refused = client.connection.publish(now, message("", QoS::AtMostOnce));
        assert_eq!(refused, Err(PublishError::NotConnected));
        let no_filters = client.connection.unsubscribe(now, none(), [crate::common::filter("a")]);
        assert_eq!(no_filters, Err(PublishError::NotConnected));
        client.connection.disconnect(now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
        client.connection.handle_timeout(now + std::time::Duration::from_secs(1000));
        client.receive_packet(incoming("", QoS::ExactlyOnce, 2));
        assert_eq!(client.sent_bytes(), [0; 0]);
    }
    let mut server = Server::connected(Version::V5);
    let now = server.now;
    let received = messages(server.receive_packet(incoming("", QoS::AtLeastOnce, 1)));
    server.connection.disconnect(now, &Disconnect::new(ReasonCode::ServerShuttingDown));
    assert_eq!(goodbye(&server.sent()), ReasonCode::ServerShuttingDown);
    server.connection.ack(now, received[0].1.unwrap(), ReasonCode::Success);
    assert!(server.connection.sub_ack(now, &SubAck::new(id(1), [ReasonCode::Success])).is_err());
    assert!(server.connection.publish(now, message("", QoS::AtMostOnce)).is_err());
    server.receive(&[0xc0, 0]);
    assert_eq!(server.sent_bytes(), [0; 0]);
}

/// [MQTT-3.14.4-1] of 3.1.1, [MQTT-3.14.4-2] of 5.0
#[test]
fn a_disconnect_ends_the_connection_of_its_sender() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        client.connection.disconnect(client.now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
        assert!(client.connection.is_closed(), "the caller closes the transport when this says so");
        assert_eq!(client.closed_by(&[]), Closed::Local(ReasonCode::NORMAL_DISCONNECTION));
        assert_eq!(client.connection.poll_timeout(), None);

        let mut server = Server::connected(version);
        server.connection.disconnect(server.now, &Disconnect::new(ReasonCode::AdministrativeAction));
        assert!(server.connection.is_closed());
        assert_eq!(server.closed_by(&[]), Closed::Local(ReasonCode::AdministrativeAction));
        assert_eq!(server.sent().len(), usize::from(version == Version::V5), "before 5.0 servers only close");
    }
}

/// [MQTT-3.14.4-3]
#[test]
fn a_disconnect_reaches_the_application_with_its_reason() {
    for (wire, reason, publishes_will) in [
        (packet(0xe0, ""), 0x00, false),
        (packet(0xe0, "00"), 0x00, false),
        (packet(0xe0, "04 00"), 0x04, true),
        (packet(0xe0, "80"), 0x80, true),
    ] {
        let mut server = Server::connected(Version::V5);
        let closed = server.closed_by(&wire);
        assert_eq!(closed.publishes_will(), publishes_will);
        assert!(matches!(closed, Closed::Peer(goodbye) if goodbye.reason.as_u8() == reason));
        assert_eq!(server.receive(&[]), Vec::<ServerEvent>::new(), "told once");
    }
    assert!(matches!(accepted(Version::V311, &[0xe0, 0]), Packet::Disconnect(_)));
}

/// Chapter 3.14.2.2.2, the client's part: an expiry of zero in CONNECT stays zero.
#[test]
fn a_client_does_not_ask_for_a_session_expiry_that_connect_had_not() {
    let mut keeping = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    keeping.properties = keeping.properties.with_session_expiry_interval(5);
    let mut ending = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    ending.properties = ending.properties.with_session_expiry_interval(0);
    let mut zero = Connect::new(Version::V5, text("c"));
    zero.properties = zero.properties.with_session_expiry_interval(0);
    for connect in [Connect::new(Version::V5, text("c")), zero] {
        let mut client = Client::connecting(connect, Session::new()).answered(ConnAck::accepted(false));
        let now = client.now;
        let refused = Err(DisconnectError::SessionExpiry { seconds: 5 });
        assert_eq!(client.connection.disconnect(now, &keeping), refused);
        assert_eq!(client.connection.drain(now, keeping.clone(), now), refused);
        assert_eq!((client.sent(), client.connection.is_closed()), (vec![], false), "nothing has happened");
        client.connection.publish(now, message("", QoS::AtMostOnce)).unwrap();
        client.sent();
        assert_eq!(client.connection.disconnect(now, &ending), Ok(()));
        assert_eq!(client.sent(), [ending.clone().into()]);
        assert_eq!(client.connection.disconnect(now, &keeping), Ok(()), "too late to be wrong");
    }
    let mut client =
        Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
    client.connection.disconnect(client.now, &keeping).unwrap();
    assert_eq!(client.sent(), [keeping.clone().into()]);
    // An older version has no such property, so there is nothing to forbid.
    let mut client = Client::connected(Version::V311);
    client.connection.disconnect(client.now, &keeping).unwrap();
    assert_eq!(client.sent_bytes(), [0xe0, 0]);
}

/// Chapter 4.11: a server that names another, in a refusal or a goodbye.
#[test]
fn a_redirected_client_is_told_where_to_go() {
    let mut refusal = ConnAck::refused(ReasonCode::UseAnotherServer);
    refusal.properties = refusal.properties.with_server_reference(&text("b.example:1883"));
    let mut server = Server::fresh().asked(Connect::new(Version::V5, text("c")));
    server.connection.refuse(server.now, &refusal);
    let mut client = Client::connecting(Connect::new(Version::V5, text("c")), Session::new());
    let closed = client.closed_by(&server.sent_bytes());
    assert_eq!(closed.server_reference(), Some(text("b.example:1883")));

    let mut moved = Disconnect::new(ReasonCode::ServerMoved);
    moved.properties = moved.properties.with_server_reference(&text("b.example:1883"));
    let mut server = Server::connected(Version::V5);
    server.connection.disconnect(server.now, &moved);
    let closed = Client::connected(Version::V5).closed_by(&server.sent_bytes());
    assert_eq!(closed.server_reference(), Some(text("b.example:1883")));
    assert!(matches!(closed, Closed::Peer(goodbye) if goodbye.reason == ReasonCode::ServerMoved));
}
