//! Chapters 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use mqttkit_codec::{
    ClientEvent, Closed, DecodeCause, Packet, PacketType, ProtocolError, QoS, ReasonCode, RetainHandling,
    ServerEvent, SubAck, Subscription, UnsubAck, Version,
};

use crate::common::{
    Client, NUMBERED, Server, VERSIONS, accepted, decode, encoded, filter, goodbye, id, none, packet, refused,
};

/// What stands between the identifier and the payload.
fn no_properties(version: Version) -> &'static str {
    if version == Version::V5 { "00" } else { "" }
}

fn subscribe(version: Version, payload: &str) -> Vec<u8> {
    packet(0x82, &format!("0001 {} {payload}", no_properties(version)))
}

fn unsubscribe(version: Version, payload: &str) -> Vec<u8> {
    packet(0xa2, &format!("0001 {} {payload}", no_properties(version)))
}

/// [MQTT-3.8.3-1], [MQTT-3.10.3-1]
#[test]
fn topic_filters_are_strings_one_behind_the_other() {
    for (version, statement) in [(Version::V311, "MQTT-1.5.3-1"), (Version::V5, "MQTT-1.5.4-1")] {
        refused(version, &subscribe(version, "<a> 00 0001 ff 00"), DecodeCause::InvalidUtf8, statement);
        refused(version, &unsubscribe(version, "<a> 0001 ff"), DecodeCause::InvalidUtf8, statement);
        let Packet::Subscribe(read) = accepted(version, &subscribe(version, "<a> 00 <b/#> 01")) else {
            panic!()
        };
        let filters = read.subscriptions.iter().map(|subscription| subscription.filter);
        assert!(filters.eq([filter("a"), filter("b/#")]));
        let wire = unsubscribe(version, "<a> <b/#>");
        let Packet::Unsubscribe(read) = accepted(version, &wire) else { panic!() };
        assert!(read.filters.iter().eq([filter("a"), filter("b/#")]));
        assert_eq!(encoded(version, read), wire);
    }
}

/// [MQTT-3.8.3-3] of 3.1.1, [MQTT-3.8.3-2] of 5.0
#[test]
fn a_subscribe_asks_for_at_least_one_subscription() {
    for (version, statement) in [(Version::V311, "MQTT-3.8.3-3"), (Version::V5, "MQTT-3.8.3-2")] {
        refused(version, &subscribe(version, ""), DecodeCause::EmptyList, statement);
        let mut server = Server::connected(version);
        assert!(matches!(server.closed_by(&subscribe(version, "")), Closed::Protocol(_)));
        if version == Version::V5 {
            assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);
        }
        let mut client = Client::connected(version);
        assert!(client.connection.subscribe(client.now, none(), []).is_err());
        assert_eq!(client.sent(), []);
        let half = decode(version, &subscribe(version, "<a>")).unwrap_err();
        assert_eq!(half.cause(), DecodeCause::Truncated, "a filter without options");
    }
}

/// [MQTT-3.10.3-2]
#[test]
fn an_unsubscribe_names_at_least_one_filter() {
    for version in NUMBERED {
        refused(version, &unsubscribe(version, ""), DecodeCause::EmptyList, "MQTT-3.10.3-2");
        let mut server = Server::connected(version);
        assert!(matches!(server.closed_by(&unsubscribe(version, "")), Closed::Protocol(_)));
        let mut client = Client::connected(version);
        assert!(client.connection.unsubscribe(client.now, none(), []).is_err());
        assert_eq!(client.sent(), []);
    }
}

/// [MQTT-3.8.3-4] of 3.1.1, where it is printed as MQTT-3-8.3-4
#[test]
fn in_3_1_1_a_requested_qos_is_0_1_or_2_and_nothing_else_is_set() {
    for byte in 0..=u8::MAX {
        let wire = subscribe(Version::V311, &format!("<a> {byte:02x}"));
        match byte {
            0..=2 => assert_eq!(encoded(Version::V311, accepted(Version::V311, &wire)), wire),
            3 => refused(Version::V311, &wire, DecodeCause::InvalidQoS, "MQTT-3.8.3-4"),
            _ => refused(Version::V311, &wire, DecodeCause::ReservedBits(byte), "MQTT-3.8.3-4"),
        }
    }
}

/// [MQTT-3.8.3-5] of 5.0
#[test]
fn the_reserved_bits_of_the_subscription_options_are_zero() {
    for byte in 0..=u8::MAX {
        let wire = subscribe(Version::V5, &format!("<a> {byte:02x}"));
        let (qos, retain_handling) = (byte & 3, byte >> 4 & 3);
        if qos == 3 {
            let error = decode(Version::V5, &wire).unwrap_err();
            assert_eq!(error.cause(), DecodeCause::InvalidQoS);
            assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        } else if byte & 0xc0 != 0 {
            refused(Version::V5, &wire, DecodeCause::ReservedBits(byte), "MQTT-3.8.3-5");
        } else if retain_handling == 3 {
            let error = decode(Version::V5, &wire).unwrap_err();
            assert_eq!(error.cause(), DecodeCause::InvalidRetainHandling);
            assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        } else {
            let packet = accepted(Version::V5, &wire);
            let Packet::Subscribe(read) = &packet else { panic!() };
            let options = read.subscriptions.iter().next().unwrap().options;
            assert_eq!(options.qos.as_u8(), qos);
            assert_eq!((options.no_local, options.retain_as_published), (byte & 4 != 0, byte & 8 != 0));
            let handlings = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
            assert_eq!(options.retain_handling, handlings[usize::from(retain_handling)]);
            assert_eq!(encoded(Version::V5, packet), wire);
        }
    }
}

/// [MQTT-3.8.3-4] of 5.0
#[test]
fn no_local_is_not_for_shared_subscriptions() {
    let wire = subscribe(Version::V5, "<$share/g/a> 04");
    refused(Version::V5, &wire, DecodeCause::NoLocalOnSharedSubscription, "MQTT-3.8.3-4");
    let mut server = Server::connected(Version::V5);
    server.closed_by(&wire);
    assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);
    accepted(Version::V5, &subscribe(Version::V5, "<$share/g/a> 00"));
    accepted(Version::V5, &subscribe(Version::V5, "<$shared/g/a> 04"));
}

/// [MQTT-2.3.1-7] of 3.1.1, [MQTT-2.2.1-6] of 5.0; [MQTT-3.8.4-2]; [MQTT-3.10.4-4] of 3.1.1, [MQTT-3.10.4-5] of 5.0
#[test]
fn an_answer_carries_the_identifier_of_its_request() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let now = client.now;
        let wanted = [Subscription::new(filter("a"), QoS::AtLeastOnce)];
        let first = client.connection.subscribe(now, none(), wanted).unwrap();
        let second = client.connection.unsubscribe(now, none(), [filter("a")]).unwrap();
        assert_ne!(first, second);
        let mut server = Server::connected(version);
        for event in server.receive(&client.sent_bytes()) {
            let now = server.now;
            match event {
                ServerEvent::Subscribe(request) => {
                    let ack = SubAck::new(request.packet_id, [ReasonCode::GrantedQoS1]);
                    server.connection.sub_ack(now, &ack).unwrap();
                }
                ServerEvent::Unsubscribe(request) => {
                    let ack = UnsubAck::new(request.packet_id, [ReasonCode::Success]);
                    server.connection.unsub_ack(now, &ack).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let events = client.receive(&server.sent_bytes());
        let [ClientEvent::SubAck(suback), ClientEvent::UnsubAck(unsuback)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((suback.packet_id, unsuback.packet_id), (first, second));
    }
}

/// The same, seen by the client: an answer to no request is an error.
#[test]
fn an_answer_with_another_identifier_is_a_protocol_error() {
    for version in VERSIONS {
        let properties = no_properties(version);
        for (first_byte, packet_type) in [(0x90, PacketType::SubAck), (0xb0, PacketType::UnsubAck)] {
            let reasons = if version == Version::V5 || first_byte == 0x90 { "00" } else { "" };
            let mut client = Client::connected(version);
            let closed = client.closed_by(&packet(first_byte, &format!("0009 {properties} {reasons}")));
            let expected = ProtocolError::UnknownRequest { packet: packet_type, packet_id: id(9) };
            assert_eq!(closed, Closed::Protocol(expected));
        }
    }
}

/// The same for the number of reasons. [MQTT-3.8.4-6], [MQTT-3.11.3-1]
#[test]
fn an_answer_with_more_or_fewer_reasons_than_filters_is_a_protocol_error() {
    for version in NUMBERED {
        for count in [1, 3] {
            let mut client = Client::connected(version);
            let wanted = ["a", "b"].map(|name| Subscription::new(filter(name), QoS::AtMostOnce));
            let packet_id = client.connection.subscribe(client.now, none(), wanted).unwrap();
            let ack = SubAck::new(packet_id, vec![ReasonCode::Success; count]);
            let expected = ProtocolError::UnknownRequest { packet: PacketType::SubAck, packet_id };
            assert_eq!(client.closed_by(&encoded(version, ack)), Closed::Protocol(expected));
        }
    }
    let mut client = Client::connected(Version::V5);
    let filters = [filter("a"), filter("b")];
    let packet_id = client.connection.unsubscribe(client.now, none(), filters).unwrap();
    let ack = UnsubAck::new(packet_id, [ReasonCode::Success]);
    assert!(matches!(client.closed_by(&encoded(Version::V5, ack)), Closed::Protocol(_)));
}

/// [MQTT-3.9.3-1]; [MQTT-3.11.3-1]; [MQTT-3.8.4-5] of 3.1.1, [MQTT-3.8.4-6] and [MQTT-3.8.4-7] of 5.0
#[test]
fn there_is_one_reason_for_each_filter_in_the_same_order() {
    let reasons = [ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError, ReasonCode::Success];
    for version in VERSIONS {
        let wire = encoded(version, SubAck::new(id(1), reasons));
        assert_eq!(wire, packet(0x90, &format!("0001 {} 028000", no_properties(version))));
        let Packet::SubAck(read) = accepted(version, &wire) else { panic!() };
        assert!(read.reasons.iter().eq(reasons));
        let none = decode(version, &packet(0x90, &format!("0001 {}", no_properties(version))));
        assert_eq!(none.unwrap_err().cause(), DecodeCause::EmptyList);
    }
    let reasons = [ReasonCode::NoSubscriptionExisted, ReasonCode::Success];
    let wire = encoded(Version::V5, UnsubAck::new(id(1), reasons));
    assert_eq!(wire, packet(0xb0, "0001 00 1100"));
    let Packet::UnsubAck(read) = accepted(Version::V5, &wire) else { panic!() };
    assert!(read.reasons.iter().eq(reasons));
    let none = decode(Version::V5, &packet(0xb0, "0001 00")).unwrap_err();
    assert_eq!((none.cause(), none.statement()), (DecodeCause::EmptyList, Some("MQTT-3.11.3-1")));
}

/// [MQTT-3.9.3-2] of 3.1.1
#[test]
fn in_3_1_1_a_suback_carries_one_of_four_return_codes() {
    for code in 0..=u8::MAX {
        let wire = packet(0x90, &format!("0001 {code:02x}"));
        if [0x00, 0x01, 0x02, 0x80].contains(&code) {
            assert_eq!(encoded(Version::V311, accepted(Version::V311, &wire)), wire);
        } else {
            refused(Version::V311, &wire, DecodeCause::InvalidReasonCode(code), "MQTT-3.9.3-2");
        }
    }
    for &reason in ReasonCode::ALL.iter().filter(|reason| reason.is_allowed_in(PacketType::SubAck)) {
        let wire = encoded(Version::V311, SubAck::new(id(1), [reason]));
        assert!(matches!(wire[4], 0 | 1 | 2 | 0x80), "every refusal is 0x80: {reason}");
    }
}

/// [MQTT-3.9.3-2] of 5.0
#[test]
fn a_suback_carries_its_reason_codes_only() {
    const ALLOWED: [u8; 12] = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
    crate::acks::only_these_codes(PacketType::SubAck, &ALLOWED, "MQTT-3.9.3-2", |code| {
        packet(0x90, &format!("0001 00 {code:02x}"))
    });
}

/// [MQTT-3.11.3-2]
#[test]
fn an_unsuback_carries_its_reason_codes_only() {
    const ALLOWED: [u8; 7] = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
    crate::acks::only_these_codes(PacketType::UnsubAck, &ALLOWED, "MQTT-3.11.3-2", |code| {
        packet(0xb0, &format!("0001 00 {code:02x}"))
    });
}
