//! Chapter 3.2: CONNACK.

use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, DecodeCause, Disconnect, Packet, PacketType, ProtocolError,
    PublishError, QoS, ReasonCode, Session, SubAck, Version,
};

use crate::common::{
    Client, NUMBERED, Server, VERSIONS, accepted, bytes, encoded, id, message, packet, refused, resuming,
    text,
};

/// [MQTT-3.2.0-1]
#[test]
fn a_server_sends_nothing_before_its_connack() {
    for version in VERSIONS {
        for mut server in [Server::fresh(), Server::fresh().asked(Connect::new(version, text("c")))] {
            let now = server.now;
            let no = Err(PublishError::NotConnected);
            assert_eq!(server.connection.publish(now, message("", QoS::AtMostOnce)), no);
            let ack = SubAck::new(id(1), [ReasonCode::Success]);
            assert!(server.connection.sub_ack(now, &ack).is_err());
            server.connection.disconnect(now, &Disconnect::new(ReasonCode::ServerShuttingDown));
            assert_eq!(server.sent_bytes(), [0; 0]);
        }
    }
}

/// [MQTT-3.2.0-1], seen by the client
#[test]
fn a_client_takes_nothing_before_the_connack() {
    for version in VERSIONS {
        for first_byte in [0x30, 0x40, 0x90, 0xd0, 0xe0] {
            let mut client = Client::connecting(Connect::new(version, text("c")), Session::new());
            let wire = match first_byte {
                0x30 => packet(first_byte, if version == Version::V5 { "<t> 00" } else { "<t>" }),
                0x40 => packet(first_byte, "0001"),
                0x90 => packet(first_byte, if version == Version::V5 { "0001 00 00" } else { "0001 00" }),
                _ => packet(first_byte, ""),
            };
            let found = PacketType::from_first_byte(first_byte).unwrap();
            let expected = Closed::Protocol(ProtocolError::ConnAckExpected(found));
            assert_eq!(client.closed_by(&wire), expected);
        }
    }
}

/// [MQTT-3.2.0-2]
#[test]
fn a_connection_has_one_connack() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        server.connection.accept(server.now, ConnAck::accepted(true), Session::new());
        server.connection.refuse(server.now, &ConnAck::refused(ReasonCode::NotAuthorized));
        assert_eq!(server.sent(), [], "asked for a second, a server sends none");
        assert!(!server.connection.is_closed());

        let mut client = Client::connected(version);
        let closed = client.closed_by(&encoded(version, ConnAck::accepted(false)));
        assert_eq!(closed, Closed::Protocol(ProtocolError::UnexpectedPacket(PacketType::ConnAck)));
    }
}

/// [MQTT-3.2.2-1] of 5.0; 3.1.1 reserves the bits as well, without a number.
#[test]
fn bits_7_to_1_of_the_flags_are_zero() {
    for (version, statement) in [(Version::V311, "none"), (Version::V5, "MQTT-3.2.2-1")] {
        let rest = if version == Version::V5 { "00 00" } else { "00" };
        for flags in [0x02, 0x03, 0x80, 0xff] {
            let wire = packet(0x20, &format!("{flags:02x} {rest}"));
            refused(version, &wire, DecodeCause::ReservedBits(flags), statement);
        }
    }
}

/// [MQTT-3.2.2-1] of 3.1.1, [MQTT-3.2.2-2] of 5.0
#[test]
fn a_clean_start_has_no_session_present() {
    for version in NUMBERED {
        let mut server = Server::fresh().asked(Connect::new(version, text("c")));
        server.connection.accept(server.now, ConnAck::accepted(true), Session::new());
        let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
        assert!(!connack.session_present, "whatever the application says");

        let mut client = Client::connecting(Connect::new(version, text("c")), Session::new());
        let closed = client.closed_by(&encoded(version, ConnAck::accepted(true)));
        assert_eq!(closed, Closed::Protocol(ProtocolError::SessionPresentAfterCleanStart));
    }
}

/// [MQTT-3.2.2-2] and [MQTT-3.2.2-3] of 3.1.1, [MQTT-3.2.2-3] of 5.0
#[test]
fn session_present_says_whether_there_is_a_session() {
    for version in NUMBERED {
        for present in [true, false] {
            let mut server = Server::fresh().asked(resuming(version));
            server.connection.accept(server.now, ConnAck::accepted(present), Session::new());
            let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
            assert_eq!((connack.session_present, connack.reason), (present, ReasonCode::Success));
        }
    }
}

/// [MQTT-3.2.2-4] of 5.0
#[test]
fn a_client_without_a_session_closes_when_the_server_has_one() {
    // A clean start has none; who starts otherwise says that it has one, be it empty.
    let mut client = Client::connecting(Connect::new(Version::V5, text("c")), Session::new());
    client.closed_by(&packet(0x20, "01 00 00"));
    assert!(client.connection.is_closed());
    let client = Client::connecting(resuming(Version::V5), Session::new());
    assert!(!client.answered(ConnAck::accepted(true)).connection.is_closed());
}

/// [MQTT-3.2.2-5] of 5.0
#[test]
fn a_client_discards_its_session_when_the_server_has_none() {
    for version in NUMBERED {
        let mut client =
            Client::connecting(resuming(version), Session::new()).answered(ConnAck::accepted(true));
        client.connection.publish(client.now, message("1", QoS::AtLeastOnce)).unwrap();
        client.receive_packet(crate::flow::incoming("2", QoS::ExactlyOnce, 7));
        let session = client.connection.take_session();
        assert!(!session.is_empty());

        let mut client = Client::connecting(resuming(version), session);
        let events = client.receive_packet(ConnAck::accepted(false));
        let [ClientEvent::Connected { lost, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(lost.len(), 1, "the application is told of what is lost");
        assert_eq!(client.sent(), []);
        assert!(client.connection.take_session().is_empty());
    }
}

/// [MQTT-3.2.2-4] of 3.1.1, [MQTT-3.2.2-6] of 5.0
#[test]
fn a_refusal_has_no_session_present() {
    let mut refusal = ConnAck::refused(ReasonCode::NotAuthorized);
    refusal.session_present = true;
    assert_eq!(encoded(Version::V311, refusal.clone()), bytes("20 02 00 05"), "written without");
    assert_eq!(encoded(Version::V5, refusal), bytes("20 03 00 87 00"));
    let cause = DecodeCause::SessionPresentWithError;
    refused(Version::V311, &packet(0x20, "01 05"), cause, "MQTT-3.2.2-4");
    refused(Version::V5, &packet(0x20, "01 87 00"), cause, "MQTT-3.2.2-6");
}

/// [MQTT-3.2.2-5] of 3.1.1, [MQTT-3.2.2-7] of 5.0
#[test]
fn a_refusal_ends_the_connection() {
    for version in VERSIONS {
        let mut server = Server::fresh().asked(Connect::new(version, text("c")));
        server.connection.refuse(server.now, &ConnAck::refused(ReasonCode::ServerUnavailable));
        assert!(matches!(server.sent_one(), Packet::ConnAck(connack) if connack.reason.is_error()));
        assert!(server.connection.is_closed());
        assert_eq!(server.closed_by(&[]), Closed::Local(ReasonCode::ServerUnavailable));

        let mut client = Client::connecting(Connect::new(version, text("c")), Session::new());
        let refusal = ConnAck::refused(ReasonCode::ServerUnavailable);
        assert!(matches!(client.closed_by(&encoded(version, refusal)), Closed::Refused(_)));
    }
}

/// [MQTT-3.2.2-6] of 3.1.1: a reason without a return code is told as "server unavailable" at best.
#[test]
fn in_3_1_1_only_the_six_return_codes_exist() {
    for code in 0..=5 {
        let wire = packet(0x20, &format!("00 {code:02x}"));
        assert_eq!(encoded(Version::V311, accepted(Version::V311, &wire)), wire);
    }
    for code in 6..=u8::MAX {
        let wire = packet(0x20, &format!("00 {code:02x}"));
        refused(Version::V311, &wire, DecodeCause::InvalidReasonCode(code), "none");
    }
    for &reason in ReasonCode::ALL.iter().filter(|reason| reason.is_allowed_in(PacketType::ConnAck)) {
        assert!(encoded(Version::V311, ConnAck::refused(reason))[3] <= 5);
    }
}

/// [MQTT-3.2.2-8] of 5.0
#[test]
fn a_connack_carries_one_of_its_reason_codes() {
    const ALLOWED: [u8; 22] = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
        0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ];
    crate::acks::only_these_codes(PacketType::ConnAck, &ALLOWED, "MQTT-3.2.2-8", |code| {
        packet(0x20, &format!("00 {code:02x} 00"))
    });
}

/// [MQTT-3.2.2-11]
#[test]
fn a_client_keeps_to_the_maximum_qos() {
    for (maximum, allowed) in [(QoS::AtMostOnce, 1), (QoS::AtLeastOnce, 2), (QoS::ExactlyOnce, 3)] {
        let mut connack = ConnAck::accepted(false);
        connack.properties = connack.properties.with_maximum_qos(maximum);
        let mut client = Client::connected_to(connack);
        for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
            let published = client.connection.publish(client.now, message("", qos));
            assert_eq!(published.is_ok(), number < allowed, "{maximum:?} {qos:?}");
        }
        assert_eq!(client.sent().len(), allowed, "nothing was sent of the others");
    }
}

/// [MQTT-3.2.2-14]
#[test]
fn a_client_retains_nothing_where_retain_is_not_available() {
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_retain_available(false);
    let mut client = Client::connected_to(connack);
    let retained = message("", QoS::AtMostOnce).with_retain(true);
    assert_eq!(client.connection.publish(client.now, retained), Err(PublishError::RetainNotSupported));
    assert_eq!(client.sent(), []);
}
