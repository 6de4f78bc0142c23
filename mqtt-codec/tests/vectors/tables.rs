//! The two tables of MQTT 5.0, properties and reason codes, written down a second time and compared.

use bytes::BytesMut;
use mqttkit_codec::{Codec, DecodeCause, Packet, PacketType, ReasonCode, Version};

/// Where properties can stand: the letters of the table below, and the bytes around the properties.
const PLACES: [(char, &[u8], &[u8]); 14] = [
    ('c', b"\x10\x00\x04MQTT\x05\x02\x00\x00", b"\x00\x00"),
    ('w', b"\x10\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00", b"\x00\x01w\x00\x00"),
    ('C', b"\x20\x00\x00", b""),
    ('p', b"\x30\x00\x01t", b""),
    ('1', b"\x40\x00\x01\x00", b""),
    ('2', b"\x50\x00\x01\x00", b""),
    ('3', b"\x62\x00\x01\x00", b""),
    ('4', b"\x70\x00\x01\x00", b""),
    ('s', b"\x82\x00\x01", b"\x00\x01f\x00"),
    ('S', b"\x90\x00\x01", b"\x00"),
    ('u', b"\xa2\x00\x01", b"\x00\x01f"),
    ('U', b"\xb0\x00\x01", b"\x00"),
    ('d', b"\xe0\x00", b""),
    ('a', b"\xf0\x18", b""),
];

/// Table 2-4 of the specification: identifier, a value, the packets.
const PROPERTIES: [(u8, &[u8], &str); 27] = [
    (0x01, b"\x01", "pw"),
    (0x02, b"\x00\x00\x00\x05", "pw"),
    (0x03, b"\x00\x01t", "pw"),
    (0x08, b"\x00\x01t", "pw"),
    (0x09, b"\x00\x01d", "pw"),
    (0x0b, b"\x05", "ps"),
    (0x11, b"\x00\x00\x00\x05", "cCd"),
    (0x12, b"\x00\x01i", "C"),
    (0x13, b"\x00\x05", "C"),
    (0x15, b"\x00\x01m", "cCa"),
    (0x16, b"\x00\x01d", "cCa"),
    (0x17, b"\x01", "c"),
    (0x18, b"\x00\x00\x00\x05", "w"),
    (0x19, b"\x01", "c"),
    (0x1a, b"\x00\x01r", "C"),
    (0x1c, b"\x00\x01r", "Cd"),
    (0x1f, b"\x00\x01r", "C1234SUda"),
    (0x21, b"\x00\x05", "cC"),
    (0x22, b"\x00\x05", "cC"),
    (0x23, b"\x00\x05", "p"),
    (0x24, b"\x01", "C"),
    (0x25, b"\x01", "C"),
    (0x26, b"\x00\x01k\x00\x01v", "cwCp1234sSuUda"),
    (0x27, b"\x00\x00\x00\x05", "cC"),
    (0x28, b"\x01", "C"),
    (0x29, b"\x01", "C"),
    (0x2a, b"\x01", "C"),
];

fn decode(place: (char, &[u8], &[u8]), properties: &[u8]) -> Result<Packet, DecodeCause> {
    let (_, before, after) = place;
    let length = before.len() - 1 + 1 + properties.len() + after.len();
    let mut bytes = BytesMut::from(&[before[0], length as u8][..]);
    bytes.extend_from_slice(&before[1..]);
    bytes.extend_from_slice(&[properties.len() as u8]);
    bytes.extend_from_slice(properties);
    bytes.extend_from_slice(after);
    match Codec::new(Version::V5).decode(&mut bytes) {
        Ok(packet) => Ok(packet.unwrap()),
        Err(error) => Err(error.cause()),
    }
}

#[test]
fn properties_stand_where_the_specification_lets_them() {
    for (id, value, allowed) in PROPERTIES {
        for place in PLACES {
            let property = [&[id], value].concat();
            // Authentication Data is nothing without a method, and neither is AUTH.
            let needs_method = allowed.contains(place.0) && id != 0x15 && (id == 0x16 || place.0 == 'a');
            let method: &[u8] = if needs_method { b"\x15\x00\x01m" } else { b"" };
            let once = decode(place, &[method, &property].concat());
            let twice = decode(place, &[method, &property, &property].concat());
            if !allowed.contains(place.0) {
                assert_eq!(once, Err(DecodeCause::PropertyNotAllowed(id)), "{id:#04x} in {}", place.0);
                continue;
            }
            assert!(once.is_ok(), "{id:#04x} in {}: {once:?}", place.0);
            // [MQTT-3.3.2-17] and its like: User Properties anywhere, Subscription Identifiers in PUBLISH.
            if id == 0x26 || (id == 0x0b && place.0 == 'p') {
                assert!(twice.is_ok(), "{id:#04x} twice in {}: {twice:?}", place.0);
            } else {
                assert_eq!(twice, Err(DecodeCause::DuplicateProperty(id)), "{id:#04x} in {}", place.0);
            }
        }
    }
    for id in (0..=u8::MAX).filter(|&id| PROPERTIES.iter().all(|property| property.0 != id)) {
        for place in PLACES {
            assert_eq!(decode(place, &[id, 0]), Err(DecodeCause::UnknownProperty(id)));
        }
    }
}

/// Every property cut short, in every packet that may carry it.
#[test]
fn properties_do_not_reach_beyond_their_length() {
    for (id, value, allowed) in PROPERTIES {
        for place in PLACES.into_iter().filter(|place| allowed.contains(place.0)) {
            for len in 0..value.len() {
                let property = [&[id], &value[..len]].concat();
                let result = decode(place, &property);
                assert_eq!(result, Err(DecodeCause::Truncated), "{id:#04x} with {len} bytes in {}", place.0);
            }
        }
    }
}

/// Section 2.4 of the specification: the codes of each packet.
const REASONS: [(PacketType, &[u8], &[u8]); 9] = [
    (
        PacketType::ConnAck,
        b"\x20\x03\x00?\x00",
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
            0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
        ],
    ),
    (PacketType::PubAck, b"\x40\x03\x00\x01?", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    (PacketType::PubRec, b"\x50\x03\x00\x01?", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    (PacketType::PubRel, b"\x62\x03\x00\x01?", &[0x00, 0x92]),
    (PacketType::PubComp, b"\x70\x03\x00\x01?", &[0x00, 0x92]),
    (
        PacketType::SubAck,
        b"\x90\x04\x00\x01\x00?",
        &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
    ),
    (PacketType::UnsubAck, b"\xb0\x04\x00\x01\x00?", &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]),
    (
        PacketType::Disconnect,
        b"\xe0\x01?",
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
        ],
    ),
    (PacketType::Auth, b"\xf0\x06?\x04\x15\x00\x01m", &[0x00, 0x18, 0x19]),
];

#[test]
fn reason_codes_stand_where_the_specification_lets_them() {
    for (packet, template, allowed) in REASONS {
        for code in 0..=u8::MAX {
            let bytes: Vec<u8> =
                template.iter().map(|&byte| if byte == b'?' { code } else { byte }).collect();
            let result = Codec::new(Version::V5).decode(&mut BytesMut::from(&bytes[..]));
            if allowed.contains(&code) {
                assert!(result.is_ok(), "{packet} with {code:#04x}: {result:?}");
            } else {
                let cause = result.unwrap_err().cause();
                assert_eq!(cause, DecodeCause::InvalidReasonCode(code), "{packet}");
            }
            let known = ReasonCode::from_u8(code).is_some_and(|reason| reason.is_allowed_in(packet));
            assert_eq!(known, allowed.contains(&code), "{packet} with {code:#04x}");
        }
    }
}
