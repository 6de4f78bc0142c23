//! Chapter 3.1: CONNECT, and what a server does with it.

use mqttkit_codec::{
    Binary, Closed, ConnAck, Connect, DecodeCause, Disconnect, EncodeError, Message, Packet, PacketType,
    ProtocolError, Publish, PublishError, QoS, ReasonCode, ServerEvent, Session, Timeout, Version, Will,
    WillProperties,
};

use crate::common::{
    Client, NUMBERED, Server, VERSIONS, accepted, bytes, decode, encoded, frame, goodbye, message, none,
    packet, refused, text, topic,
};

/// Name and level of the version, then the flags, keep-alive and (in 5.0) no properties.
fn head(version: Version, flags: u8) -> String {
    match version {
        Version::V31 => format!("<MQIsdp> 03 {flags:02x} 003c"),
        Version::V311 => format!("<MQTT> 04 {flags:02x} 003c"),
        Version::V5 => format!("<MQTT> 05 {flags:02x} 003c 00"),
    }
}

fn connect(version: Version, flags: u8, payload: &str) -> Vec<u8> {
    packet(0x10, &format!("{} {payload}", head(version, flags)))
}

/// The fields of a will with topic `w`; in 5.0 its properties come first.
fn will(version: Version) -> &'static str {
    if version == Version::V5 { "00 <w> <bye>" } else { "<w> <bye>" }
}

fn read(version: Version, flags: u8, payload: &str) -> Connect {
    match accepted(version, &connect(version, flags, payload)) {
        Packet::Connect(connect) => *connect,
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.1.0-1]
#[test]
fn the_first_packet_of_a_client_is_connect() {
    for first_byte in [0x20, 0x30, 0x40, 0x82, 0xc0, 0xe0, 0xf0] {
        let mut server = Server::fresh();
        let packet = PacketType::from_first_byte(first_byte).unwrap();
        let closed = server.closed_by(&[first_byte, 0]);
        assert_eq!(closed, Closed::Protocol(ProtocolError::ConnectExpected(packet)));
        assert_eq!(server.sent_bytes(), [0; 0], "no MQTT is spoken with it");
    }
    for version in VERSIONS {
        let connect = Connect::new(version, text("c"));
        let client = mqttkit_codec::ClientConnection::new(
            mqttkit_codec::ClientConfig::default(),
            connect,
            Session::new(),
            mqttkit_codec::Instant::ZERO,
        );
        let mut client = client.unwrap();
        assert_eq!(bytes::Buf::chunk(client.transmit())[0], 0x10, "a client starts with it by itself");
        let early = client.publish(mqttkit_codec::Instant::ZERO, message("", QoS::AtMostOnce));
        assert_eq!(early, Err(PublishError::NotConnected));
    }
}

/// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let closed = server.closed_by(&encoded(version, Connect::new(version, text("c"))));
        assert_eq!(closed, Closed::Protocol(ProtocolError::UnexpectedPacket(PacketType::Connect)));
        if version == Version::V5 {
            assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);
        } else {
            assert_eq!(server.sent(), []);
        }
    }
}

/// [MQTT-3.1.2-1]
#[test]
fn a_protocol_name_other_than_mqtt_is_refused() {
    for name in ["mqtt", "MQTTX", "MQT", "", "HTTP", "MQIsdP"] {
        for level in ["04", "05"] {
            let wire = packet(0x10, &format!("<{name}> {level} 02 003c 00 <c>"));
            let mut server = Server::fresh();
            let Closed::Protocol(ProtocolError::Decode(error)) = server.closed_by(&wire) else { panic!() };
            assert_eq!(error.cause(), DecodeCause::UnknownProtocolName);
            assert_eq!(error.statement(), Some("MQTT-3.1.2-1"));
            assert_eq!(error.reason_code(), ReasonCode::UnsupportedProtocolVersion);
            assert!(server.connection.is_closed());
        }
    }
    for version in VERSIONS {
        let name = version.protocol_name().as_bytes();
        let wire = encoded(version, Connect::new(version, text("c")));
        assert_eq!(&wire[4..4 + name.len()], name, "and ours is right");
    }
}

/// [MQTT-3.1.2-2]
#[test]
fn an_unsupported_protocol_level_is_answered_and_closed() {
    // A later version than ours is told in the form of MQTT 5.0, an earlier one in that of 3.1.1.
    for (level, answer) in [("06", "20 03 00 84 00"), ("7f", "20 03 00 84 00"), ("00", "20 02 00 01")] {
        let mut server = Server::fresh();
        let closed = server.closed_by(&packet(0x10, &format!("<MQTT> {level} 02 003c 00 <c>")));
        let Closed::Protocol(ProtocolError::Decode(error)) = closed else { panic!("{closed:?}") };
        assert!(matches!(error.cause(), DecodeCause::UnsupportedProtocolLevel(_)));
        assert_eq!(error.statement(), Some("MQTT-3.1.2-2"));
        assert_eq!(server.sent_bytes(), bytes(answer));
    }
    // The levels belong to the names.
    for wire in [packet(0x10, "<MQTT> 03 02 003c <c>"), packet(0x10, "<MQIsdp> 04 02 003c <c>")] {
        let cause = decode(Version::V311, &wire).unwrap_err().cause();
        assert!(matches!(cause, DecodeCause::UnsupportedProtocolLevel(_)), "{cause:?}");
    }
}

/// [MQTT-3.1.2-3]
#[test]
fn the_reserved_connect_flag_is_zero() {
    for version in NUMBERED {
        let wire = connect(version, 0x03, "<c>");
        refused(version, &wire, DecodeCause::ReservedBits(3), "MQTT-3.1.2-3");
        let flags = encoded(version, Connect::new(version, text("c")))[9];
        assert_eq!(flags & 1, 0, "and is written so");
    }
}

/// [MQTT-3.1.2-9]
#[test]
fn a_will_stands_in_the_payload_when_the_will_flag_is_set() {
    for version in VERSIONS {
        let with = read(version, 0x06, &format!("<c> {}", will(version)));
        let found = with.will.clone().unwrap();
        assert_eq!((found.topic.as_str(), &found.payload[..]), ("w", &b"bye"[..]));
        assert_eq!(encoded(version, with), connect(version, 0x06, &format!("<c> {}", will(version))));
        for payload in ["<c>", if version == Version::V5 { "<c> 00 <w>" } else { "<c> <w>" }] {
            let error = decode(version, &connect(version, 0x06, payload)).unwrap_err();
            assert_eq!(error.cause(), DecodeCause::Truncated, "one of its fields is missing");
        }
    }
}

/// [MQTT-3.1.2-11]
#[test]
fn no_will_stands_in_the_payload_when_the_will_flag_is_not_set() {
    for version in VERSIONS {
        let error = decode(version, &connect(version, 0x02, &format!("<c> {}", will(version)))).unwrap_err();
        assert!(matches!(error.cause(), DecodeCause::TrailingBytes(_)));
        let none = Connect::new(version, text("c"));
        assert_eq!(encoded(version, none), connect(version, 0x02, "<c>"));
    }
}

/// [MQTT-3.1.2-13] of 3.1.1, [MQTT-3.1.2-11] of 5.0
#[test]
fn will_qos_is_zero_without_a_will() {
    for (version, statement) in [(Version::V311, "MQTT-3.1.2-13"), (Version::V5, "MQTT-3.1.2-11")] {
        for flags in [0x0a, 0x12] {
            let wire = connect(version, flags, "<c>");
            refused(version, &wire, DecodeCause::WillQoSWithoutWill, statement);
        }
    }
}

/// [MQTT-3.1.2-14] of 3.1.1, [MQTT-3.1.2-12] of 5.0
#[test]
fn will_qos_is_0_1_or_2() {
    for (version, statement) in [(Version::V311, "MQTT-3.1.2-14"), (Version::V5, "MQTT-3.1.2-12")] {
        for (flags, qos) in [(0x06, QoS::AtMostOnce), (0x0e, QoS::AtLeastOnce), (0x16, QoS::ExactlyOnce)] {
            let connect = read(version, flags, &format!("<c> {}", will(version)));
            assert_eq!(connect.will.unwrap().qos, qos);
        }
        let wire = connect(version, 0x1e, &format!("<c> {}", will(version)));
        refused(version, &wire, DecodeCause::InvalidQoS, statement);
    }
}

/// [MQTT-3.1.2-15] of 3.1.1, [MQTT-3.1.2-13] of 5.0
#[test]
fn will_retain_is_zero_without_a_will() {
    for (version, statement) in [(Version::V311, "MQTT-3.1.2-15"), (Version::V5, "MQTT-3.1.2-13")] {
        let wire = connect(version, 0x22, "<c>");
        refused(version, &wire, DecodeCause::WillRetainWithoutWill, statement);
    }
}

/// [MQTT-3.1.2-16] and [MQTT-3.1.2-17] of 3.1.1, [MQTT-3.1.2-14] and [MQTT-3.1.2-15] of 5.0
#[test]
fn a_will_becomes_a_message_that_is_retained_as_it_says() {
    for version in VERSIONS {
        for (flags, retain) in [(0x06, false), (0x26, true)] {
            let connect = read(version, flags, &format!("<c> {}", will(version)));
            assert_eq!(Message::from(connect.will.unwrap()).retain, retain);
        }
    }
}

/// [MQTT-3.1.2-8] and [MQTT-3.14.4-3] of both
#[test]
fn only_a_normal_goodbye_discards_the_will() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        assert!(!server.closed_by(&[0xe0, 0]).publishes_will());

        let mut server = Server::connected(version);
        server.connection.handle_closed(server.now);
        assert!(server.closed_by(&[]).publishes_will(), "the network failed");

        let mut server = Server::connected(version);
        assert!(server.closed_by(&[0x00, 0]).publishes_will(), "a malformed packet");

        let mut server = Server::connected(version);
        server.now = server.connection.poll_timeout().unwrap();
        server.connection.handle_timeout(server.now);
        let closed = server.closed_by(&[]);
        assert_eq!(closed, Closed::Timeout(Timeout::KeepAlive));
        assert!(closed.publishes_will());

        let mut server = Server::connected(version);
        server.connection.disconnect(server.now, &Disconnect::new(ReasonCode::SessionTakenOver));
        assert!(server.closed_by(&[]).publishes_will(), "the server ended it");
    }
    let mut server = Server::connected(Version::V5);
    assert!(server.closed_by(&packet(0xe0, "04")).publishes_will(), "the client asked for it");
}

/// [MQTT-3.1.2-18] and [MQTT-3.1.2-19] of 3.1.1, [MQTT-3.1.2-16] and [MQTT-3.1.2-17] of 5.0
#[test]
fn a_user_name_stands_in_the_payload_when_its_flag_is_set() {
    for version in VERSIONS {
        let with = read(version, 0x82, "<c> <me>");
        assert_eq!(with.user_name, Some(text("me")));
        assert_eq!(encoded(version, with), connect(version, 0x82, "<c> <me>"));
        let missing = decode(version, &connect(version, 0x82, "<c>")).unwrap_err();
        assert_eq!((missing.cause(), missing.field()), (DecodeCause::Truncated, "User Name"));
        let extra = decode(version, &connect(version, 0x02, "<c> <me>")).unwrap_err();
        assert_eq!(extra.cause(), DecodeCause::TrailingBytes(4));
    }
}

/// [MQTT-3.1.2-20] and [MQTT-3.1.2-21] of 3.1.1, [MQTT-3.1.2-18] and [MQTT-3.1.2-19] of 5.0
#[test]
fn a_password_stands_in_the_payload_when_its_flag_is_set() {
    for version in VERSIONS {
        let with = read(version, 0xc2, "<c> <me> 0002 00ff");
        assert_eq!(&with.password.clone().unwrap()[..], [0x00, 0xff], "it is data, not text");
        assert_eq!(encoded(version, with), connect(version, 0xc2, "<c> <me> 0002 00ff"));
        let missing = decode(version, &connect(version, 0xc2, "<c> <me>")).unwrap_err();
        assert_eq!((missing.cause(), missing.field()), (DecodeCause::Truncated, "Password"));
        let extra = decode(version, &connect(version, 0x82, "<c> <me> <secret>")).unwrap_err();
        assert_eq!(extra.cause(), DecodeCause::TrailingBytes(8));
    }
}

/// [MQTT-3.1.2-22] of 3.1.1; MQTT 5.0 allows it.
#[test]
fn before_5_0_a_password_needs_a_user_name() {
    let wire = connect(Version::V311, 0x42, "<c> <secret>");
    refused(Version::V311, &wire, DecodeCause::PasswordWithoutUserName, "MQTT-3.1.2-22");
    let mut token = Connect::new(Version::V311, text("c"));
    token.password = Some(Binary::try_from("secret").unwrap());
    let mut out = bytes::BytesMut::new();
    let written = mqttkit_codec::Codec::new(Version::V311).encode(&token, &mut out);
    assert_eq!((written, out.len()), (Err(EncodeError::PasswordWithoutUserName), 0));
    assert!(read(Version::V5, 0x42, "<c> <secret>").user_name.is_none());
}

/// [MQTT-3.1.3-1]
#[test]
fn the_fields_of_the_payload_have_one_order() {
    for version in VERSIONS {
        let mut all = Connect::new(version, text("c"));
        all.will = Some(Will::new(topic("w"), Binary::try_from("bye").unwrap()));
        all.user_name = Some(text("me"));
        all.password = Some(Binary::try_from("secret").unwrap());
        let wire = connect(version, 0xc6, &format!("<c> {} <me> <secret>", will(version)));
        assert_eq!(encoded(version, all.clone()), wire);
        assert_eq!(accepted(version, &wire), all.into());
    }
}

/// [MQTT-3.1.3-3]
#[test]
fn the_client_identifier_is_present_and_the_first_field() {
    for version in VERSIONS {
        assert_eq!(read(version, 0x02, "<first>").client_id, "first");
        let missing = decode(version, &connect(version, 0x02, "")).unwrap_err();
        assert_eq!((missing.cause(), missing.field()), (DecodeCause::Truncated, "Client Identifier"));
    }
}

/// [MQTT-3.1.3-4]; [MQTT-3.1.3-10] and [MQTT-3.1.3-11] of 3.1.1, [MQTT-3.1.3-11] and [MQTT-3.1.3-12] of 5.0
#[test]
fn identifier_will_topic_and_user_name_are_strings() {
    for (version, statement) in [(Version::V311, "MQTT-1.5.3-1"), (Version::V5, "MQTT-1.5.4-1")] {
        let will = if version == Version::V5 { "00 0001 ff <bye>" } else { "0001 ff <bye>" };
        for (flags, payload, field) in [
            (0x02, "0001 ff", "Client Identifier"),
            (0x06, &format!("<c> {will}")[..], "Will Topic"),
            (0x82, "<c> 0001 ff", "User Name"),
        ] {
            let wire = connect(version, flags, payload);
            refused(version, &wire, DecodeCause::InvalidUtf8, statement);
            assert_eq!(decode(version, &wire).unwrap_err().field(), field);
        }
    }
}

/// [MQTT-3.1.3-5]
#[test]
fn identifiers_of_1_to_23_letters_and_digits_are_taken() {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in VERSIONS {
        for len in 1..=23 {
            for start in 0..alphabet.len() - len {
                let id = &alphabet[start..start + len];
                assert_eq!(read(version, 0x02, &format!("<{id}>")).client_id, id);
            }
        }
    }
}

/// [MQTT-3.1.3-6]
#[test]
fn an_empty_identifier_is_left_to_the_server_to_replace() {
    for version in NUMBERED {
        assert_eq!(read(version, 0x02, "<>").client_id, "");
    }
    assert_eq!(read(Version::V5, 0x00, "<>").client_id, "", "5.0 allows it whatever Clean Start says");
}

/// [MQTT-3.1.3-7], [MQTT-3.1.3-8] of 3.1.1
#[test]
fn in_3_1_1_an_empty_identifier_needs_a_clean_session() {
    let wire = connect(Version::V311, 0x00, "<>");
    refused(Version::V311, &wire, DecodeCause::EmptyClientId, "MQTT-3.1.3-8");
    let mut server = Server::fresh();
    server.closed_by(&wire);
    assert_eq!(server.sent_bytes(), bytes("20 02 00 02"), "return code 2");
}

/// [MQTT-3.1.3-9] of 3.1.1, [MQTT-3.1.3-8] of 5.0
#[test]
fn a_refused_identifier_is_told_and_closed() {
    for (version, answer) in [(Version::V311, "20 02 00 02"), (Version::V5, "20 03 00 85 00")] {
        let mut server = Server::fresh().asked(Connect::new(version, text("c")));
        let refusal = ConnAck::refused(ReasonCode::ClientIdentifierNotValid);
        server.connection.refuse(server.now, &refusal);
        assert_eq!(server.sent_bytes(), bytes(answer));
        assert!(server.connection.is_closed());
    }
}

/// [MQTT-3.1.3-10] of 5.0
#[test]
fn a_will_keeps_the_order_of_its_user_properties() {
    let names = ["b", "a", "b", "c"];
    let mut properties = WillProperties::new().with_will_delay_interval(5);
    for (name, value) in names.iter().zip(["1", "2", "3", "4"]) {
        properties = properties.with_user_property(&text(name), &text(value));
    }
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.will = Some(Will { properties, ..Will::new(topic("w"), Binary::EMPTY) });
    let Packet::Connect(connect) = accepted(Version::V5, &encoded(Version::V5, connect)) else { panic!() };
    let message = Message::from(connect.will.unwrap());
    assert!(message.properties.user_properties().map(|(name, _)| name).eq(names.map(text)));
}

/// [MQTT-3.1.4-1]
#[test]
fn a_connect_that_does_not_conform_is_closed() {
    // Whatever is cut off from a CONNECT with everything in it.
    for version in VERSIONS {
        let body = bytes(&format!("{} <c> {} <me> <secret>", head(version, 0xc6), will(version)));
        for len in 0..body.len() {
            let mut server = Server::fresh();
            assert!(matches!(server.closed_by(&frame(0x10, &body[..len])), Closed::Protocol(_)));
            if version == Version::V311 {
                assert_eq!(server.sent_bytes(), [0; 0], "3.1.1 closes without an answer");
            }
        }
    }
    // 5.0 may say why.
    let mut server = Server::fresh();
    server.closed_by(&connect(Version::V5, 0x03, "<c>"));
    assert_eq!(server.sent_bytes(), bytes("20 03 00 81 00"));
}

/// [MQTT-3.1.4-4] of 3.1.1, [MQTT-3.1.4-5] of 5.0
#[test]
fn an_accepted_client_gets_a_connack_of_success() {
    for (version, answer) in
        [(Version::V31, "20 02 00 00"), (Version::V311, "20 02 00 00"), (Version::V5, "20 03 00 00 00")]
    {
        let mut server = Server::fresh().asked(Connect::new(version, text("c")));
        server.connection.accept(server.now, ConnAck::accepted(false), Session::new());
        assert_eq!(server.sent_bytes(), bytes(answer));
    }
}

/// [MQTT-3.1.4-5] of 3.1.1, [MQTT-3.1.4-6] of 5.0
#[test]
fn nothing_is_processed_behind_a_refused_connect() {
    for version in VERSIONS {
        let mut server = Server::fresh();
        let mut wire = encoded(version, Connect::new(version, text("c")));
        wire.extend(encoded(version, Publish::new(topic("t"), "too early".into())));
        let events = server.receive(&wire);
        assert!(matches!(events[..], [ServerEvent::Connect(_)]), "what follows waits for the answer");
        server.connection.refuse(server.now, &ConnAck::refused(ReasonCode::NotAuthorized));
        let events = server.receive(&[0xc0, 0]);
        assert!(matches!(events[..], [ServerEvent::Closed(_)]), "and is thrown away: {events:?}");
        assert!(matches!(server.sent_one(), Packet::ConnAck(_)));
        assert!(server.receive(&[0xc0, 0]).is_empty());
        assert_eq!(server.sent(), []);
    }
}

/// [MQTT-3.1.2-30]
#[test]
fn a_client_sends_nothing_but_auth_and_disconnect_before_the_connack() {
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.properties = connect.properties.with_authentication_method(&text("m"));
    let mut client = Client::connecting(connect, Session::new());
    let now = client.now;
    let no = Err(PublishError::NotConnected);
    assert_eq!(client.connection.publish(now, message("", QoS::AtMostOnce)), no);
    let one = [mqttkit_codec::Subscription::new(crate::common::filter("a"), QoS::AtMostOnce)];
    assert!(client.connection.subscribe(now, none(), one).is_err());
    assert!(client.connection.unsubscribe(now, none(), [crate::common::filter("a")]).is_err());
    client.now = client.connection.poll_timeout().unwrap();
    client.connection.handle_timeout(client.now);
    assert_eq!(client.sent(), [], "no PINGREQ either");
}
