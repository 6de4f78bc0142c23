//! Chapters 1.5.5 and 2: variable-byte integers, the fixed header, packet identifiers and the property length.

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    Codec, ConnAck, Connect, DecodeCause, Delivery, Disconnect, Packet, PacketType, PubAck, PubComp, PubRec,
    PubRel, Publish, QoS, ReasonCode, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe, Version,
};

use crate::common::{NUMBERED, accepted, decode, encoded, filter, frame, id, packet, refused, text, topic};

/// One valid packet of each type but PUBLISH and AUTH.
fn one_of_each(version: Version) -> Vec<Packet> {
    vec![
        Connect::new(version, text("c")).into(),
        ConnAck::accepted(false).into(),
        PubAck::new(id(1)).into(),
        PubRec::new(id(1)).into(),
        PubRel::new(id(1)).into(),
        PubComp::new(id(1)).into(),
        Subscribe::new(id(1), [Subscription::new(filter("a"), QoS::AtMostOnce)]).into(),
        SubAck::new(id(1), [ReasonCode::Success]).into(),
        Unsubscribe::new(id(1), [filter("a")]).into(),
        UnsubAck::new(id(1), [ReasonCode::Success]).into(),
        Packet::PingReq,
        Packet::PingResp,
        Disconnect::new(ReasonCode::NORMAL_DISCONNECTION).into(),
    ]
}

/// [MQTT-1.5.5-1]
#[test]
fn a_variable_byte_integer_takes_no_more_bytes_than_it_needs() {
    // Written: the Remaining Length on both sides of each border.
    for (payload, header) in [
        (124, &[0x30, 0x7f][..]),
        (125, &[0x30, 0x80, 0x01]),
        (16_380, &[0x30, 0xff, 0x7f]),
        (16_381, &[0x30, 0x80, 0x80, 0x01]),
        (2_097_148, &[0x30, 0xff, 0xff, 0x7f]),
        (2_097_149, &[0x30, 0x80, 0x80, 0x80, 0x01]),
    ] {
        let wire = encoded(Version::V311, Publish::new(topic("t"), Bytes::from(vec![0; payload])));
        assert!(wire.starts_with(header), "{:02x?}", &wire[..5]);
        assert_eq!(wire.len(), header.len() + 3 + payload);
    }
    // Read: the same value in a longer form is refused, in the header and in a property.
    let not_minimal = DecodeCause::VariableByteIntegerNotMinimal;
    for wire in [&[0xc0, 0x80, 0x00][..], &[0xc0, 0x80, 0x80, 0x00], &[0x30, 0x84, 0x00, 0, 1, b't', 0]] {
        refused(Version::V5, wire, not_minimal, "MQTT-1.5.5-1");
    }
    refused(Version::V5, &packet(0x30, "<t> 8000"), not_minimal, "MQTT-1.5.5-1");
    refused(Version::V5, &packet(0x82, "0001 03 0b 8100 <a> 00"), not_minimal, "MQTT-1.5.5-1");
}

#[test]
fn a_variable_byte_integer_takes_four_bytes_at_most() {
    let wire = [0x30, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for version in NUMBERED {
        assert_eq!(decode(version, &wire).unwrap_err().cause(), DecodeCause::VariableByteIntegerTooLong);
    }
}

/// [MQTT-2.2.2-1], [MQTT-2.2.2-2] of 3.1.1; [MQTT-2.1.3-1] of 5.0
#[test]
fn the_flags_of_every_packet_type_are_fixed() {
    for version in NUMBERED {
        for packet in one_of_each(version) {
            let wire = encoded(version, packet.clone());
            let required = wire[0] & 0x0f;
            assert_eq!(Some(required), packet.packet_type().required_flags(), "written");
            for flags in (0..16).filter(|&flags| flags != required) {
                let mut wire = wire.clone();
                wire[0] = wire[0] & 0xf0 | flags;
                let error = decode(version, &wire).expect_err("other flags are malformed");
                assert_eq!(error.cause(), DecodeCause::InvalidFlags(flags));
                assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
                assert_eq!(error.statement(), Some(flags_statement(version, packet.packet_type())));
            }
        }
    }
}

/// PUBREL, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT have a statement of their own. [MQTT-3.6.1-1], [MQTT-3.8.1-1],
/// [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1]
#[test]
fn a_packet_with_wrong_flags_names_its_own_statement() {
    refused(Version::V5, &packet(0xf1, "00 00"), DecodeCause::InvalidFlags(1), "MQTT-3.15.1-1");
    for version in NUMBERED {
        refused(version, &packet(0x60, "0001"), DecodeCause::InvalidFlags(0), "MQTT-3.6.1-1");
        refused(version, &packet(0x80, "0001"), DecodeCause::InvalidFlags(0), "MQTT-3.8.1-1");
        refused(version, &packet(0xa0, "0001"), DecodeCause::InvalidFlags(0), "MQTT-3.10.1-1");
        refused(version, &packet(0xe1, ""), DecodeCause::InvalidFlags(1), "MQTT-3.14.1-1");
    }
}

fn flags_statement(version: Version, packet: PacketType) -> &'static str {
    match packet {
        PacketType::PubRel => "MQTT-3.6.1-1",
        PacketType::Subscribe => "MQTT-3.8.1-1",
        PacketType::Unsubscribe => "MQTT-3.10.1-1",
        PacketType::Disconnect => "MQTT-3.14.1-1",
        _ if version == Version::V5 => "MQTT-2.1.3-1",
        _ => "MQTT-2.2.2-2",
    }
}

#[test]
fn a_packet_type_that_does_not_exist_is_refused() {
    for version in NUMBERED {
        let cause = decode(version, &[0x00, 0x00]).unwrap_err().cause();
        assert_eq!(cause, DecodeCause::ReservedPacketType(0));
    }
    let cause = decode(Version::V311, &[0xf0, 0x00]).unwrap_err().cause();
    assert_eq!(cause, DecodeCause::ReservedPacketType(15), "AUTH came with MQTT 5.0");
}

/// [MQTT-2.3.1-1] of 3.1.1, [MQTT-2.2.1-3] and [MQTT-2.2.1-4] of 5.0
#[test]
fn a_packet_identifier_of_zero_is_refused() {
    for (version, statement) in [(Version::V311, "MQTT-2.3.1-1"), (Version::V5, "MQTT-2.2.1-3")] {
        let none = if version == Version::V5 { "00" } else { "" };
        for (first_byte, body) in [
            (0x32, format!("<t> 0000 {none}")),
            (0x34, format!("<t> 0000 {none}")),
            (0x40, "0000".into()),
            (0x50, "0000".into()),
            (0x62, "0000".into()),
            (0x70, "0000".into()),
            (0x82, format!("0000 {none} <a> 00")),
            (0x90, format!("0000 {none} 00")),
            (0xa2, format!("0000 {none} <a>")),
            (0xb0, format!("0000 {none} 00")),
        ] {
            refused(version, &packet(first_byte, &body), DecodeCause::ZeroPacketId, statement);
        }
    }
    assert_eq!(mqttkit_codec::PacketId::new(0), None, "and it cannot be written");
}

/// [MQTT-2.3.1-5] of 3.1.1, [MQTT-2.2.1-2] of 5.0
#[test]
fn a_publish_of_qos_0_has_no_packet_identifier() {
    let wire = encoded(Version::V311, Publish::new(topic("t"), "hi".into()));
    assert_eq!(wire, packet(0x30, "<t> 'hi'"));
    let wire = encoded(Version::V5, Publish::new(topic("t"), "hi".into()));
    assert_eq!(wire, packet(0x30, "<t> 00 'hi'"));
    // What stands where an identifier would is payload.
    let Packet::Publish(publish) = accepted(Version::V311, &packet(0x30, "<t> 0007")) else { panic!() };
    assert_eq!((publish.delivery, &publish.payload[..]), (Delivery::AtMostOnce, &[0, 7][..]));
}

/// [MQTT-2.2.2-1]
#[test]
fn no_properties_are_a_property_length_of_zero() {
    for (packet, wire) in [
        (Packet::from(ConnAck::accepted(false)), packet(0x20, "00 00 00")),
        (Publish::new(topic("t"), Bytes::new()).into(), packet(0x30, "<t> 00")),
        (SubAck::new(id(1), [ReasonCode::Success]).into(), packet(0x90, "0001 00 00")),
        (UnsubAck::new(id(1), [ReasonCode::Success]).into(), packet(0xb0, "0001 00 00")),
        (Unsubscribe::new(id(1), [filter("a")]).into(), packet(0xa2, "0001 00 <a>")),
        (Connect::new(Version::V5, text("c")).into(), packet(0x10, "<MQTT> 05 02 003c 00 <c>")),
    ] {
        assert_eq!(encoded(Version::V5, packet.clone()), wire);
        assert_eq!(accepted(Version::V5, &wire), packet);
    }
    // Without it what follows is taken for it.
    for (first_byte, body) in [(0x30, "<t>"), (0x20, "00 84"), (0xa2, "0001")] {
        let error = decode(Version::V5, &packet(first_byte, body)).unwrap_err();
        assert_eq!((error.cause(), error.field()), (DecodeCause::Truncated, "Property Length"));
    }
    // The acknowledgements, DISCONNECT and AUTH may end before it.
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        accepted(Version::V5, &packet(first_byte, "0001"));
        accepted(Version::V5, &packet(first_byte, "0001 00"));
        accepted(Version::V5, &packet(first_byte, "0001 00 00"));
    }
    for body in ["", "00", "00 00"] {
        accepted(Version::V5, &packet(0xe0, body));
    }
}

#[test]
fn a_packet_is_not_read_before_it_is_complete_nor_beyond_its_end() {
    let wire = encoded(Version::V311, Publish::new(topic("t"), "hi".into()));
    let mut codec = Codec::new(Version::V311);
    let mut input = BytesMut::new();
    for &byte in &wire[..wire.len() - 1] {
        input.extend_from_slice(&[byte]);
        assert_eq!(codec.decode(&mut input), Ok(None));
    }
    input.extend_from_slice(&wire[wire.len() - 1..]);
    input.extend_from_slice(&[0xc0, 0x00]);
    assert!(matches!(codec.decode(&mut input), Ok(Some(Packet::Publish(_)))));
    assert_eq!(codec.decode(&mut input), Ok(Some(Packet::PingReq)));
    let cause = decode(Version::V311, &frame(0xc0, &[0])).unwrap_err().cause();
    assert_eq!(cause, DecodeCause::TrailingBytes(1));
}
