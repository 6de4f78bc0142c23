//! Chapter 1.5: strings and string pairs.

use mqttkit_codec::{DecodeCause, Packet, Publish, Str, TextError, Version};

use crate::common::{NUMBERED, accepted, encoded, field, frame, refused, text, topic};

/// Packets with one string each that is `content`; every string field of the version but property values.
fn packets_with(version: Version, content: &[u8]) -> Vec<Vec<u8>> {
    let string = field(content);
    let v5 = version == Version::V5;
    let properties: &[u8] = if v5 { &[0] } else { &[] };
    let level = if v5 { 5 } else { 4 };
    let connect = |flags: u8, payload: &[&[u8]]| {
        let head = [0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 60];
        frame(0x10, &[&head[..], properties, &payload.concat()].concat())
    };
    let name: &[u8] = &[0, 1, b'c'];
    vec![
        connect(0x02, &[&string]),
        connect(0x06, &[name, properties, &string, &[0, 0]]),
        connect(0x82, &[name, &string]),
        frame(0x30, &[&string[..], properties].concat()),
        frame(0x82, &[&[0, 1], properties, &string, &[0]].concat()),
        frame(0xa2, &[&[0, 1], properties, &string].concat()),
    ]
}

/// Every property whose value is text, and both halves of a User Property, in a packet that may carry it.
fn properties_with(content: &[u8]) -> Vec<Vec<u8>> {
    let string = field(content);
    let publish =
        |property: &[u8]| frame(0x30, &[&[0, 1, b't', property.len() as u8][..], property].concat());
    let connack = |id: u8| {
        let property = [&[id][..], &string].concat();
        frame(0x20, &[&[0, 0, property.len() as u8][..], &property].concat())
    };
    let mut all: Vec<_> = [0x12, 0x15, 0x1a, 0x1c, 0x1f].map(connack).to_vec();
    all.extend([0x03, 0x08].map(|id: u8| publish(&[&[id][..], &string].concat())));
    all.extend(user_properties_with(content));
    all
}

fn user_properties_with(content: &[u8]) -> [Vec<u8>; 2] {
    let (string, other) = (field(content), [0, 1, b'x']);
    [[&string[..], &other].concat(), [&other[..], &string].concat()]
        .map(|pair| frame(0x30, &[&[0, 1, b't', pair.len() as u8 + 1, 0x26][..], &pair].concat()))
}

const ILL_FORMED: [(&[u8], &str); 7] = [
    (b"\xed\xa0\x80", "the surrogate U+D800"),
    (b"\xed\xbf\xbf", "the surrogate U+DFFF"),
    (b"\xc0\x80", "U+0000 in two bytes"),
    (b"\xe0\x80\xaf", "a slash in three bytes"),
    (b"\xf4\x90\x80\x80", "above U+10FFFF"),
    (b"a\x80", "a continuation without a start"),
    (b"\xe2\x82", "a start without its end"),
];

/// [MQTT-1.5.3-1] of 3.1.1, [MQTT-1.5.4-1] of 5.0
#[test]
fn ill_formed_utf8_is_refused_in_every_string() {
    for (content, what) in ILL_FORMED {
        for (version, statement) in [(Version::V311, "MQTT-1.5.3-1"), (Version::V5, "MQTT-1.5.4-1")] {
            for wire in packets_with(version, content) {
                refused(version, &wire, DecodeCause::InvalidUtf8, statement);
            }
        }
        for wire in properties_with(content) {
            refused(Version::V5, &wire, DecodeCause::InvalidUtf8, "MQTT-1.5.4-1");
        }
        let built = Str::try_from(bytes::Bytes::from_static(content));
        assert_eq!(built, Err(TextError::InvalidUtf8), "{what} cannot be sent either");
    }
    for version in NUMBERED {
        for wire in packets_with(version, "Å𪛔".as_bytes()) {
            accepted(version, &wire);
        }
    }
}

/// [MQTT-1.5.3-2] of 3.1.1, [MQTT-1.5.4-2] of 5.0
#[test]
fn u0000_is_refused_in_every_string() {
    for (version, statement) in [(Version::V311, "MQTT-1.5.3-2"), (Version::V5, "MQTT-1.5.4-2")] {
        for content in [&b"\0"[..], b"a\0b", "é\0".as_bytes()] {
            for wire in packets_with(version, content) {
                refused(version, &wire, DecodeCause::Nul, statement);
            }
        }
    }
    for wire in properties_with(b"a\0b") {
        refused(Version::V5, &wire, DecodeCause::Nul, "MQTT-1.5.4-2");
    }
    assert_eq!(Str::try_from("a\0b"), Err(TextError::Nul), "it cannot be sent either");
}

/// [MQTT-1.5.3-3] of 3.1.1, [MQTT-1.5.4-3] of 5.0
#[test]
fn a_byte_order_mark_is_a_character_like_any_other() {
    for version in NUMBERED {
        let wire = encoded(version, Publish::new(topic("\u{feff}a\u{feff}"), "".into()));
        assert!(wire.windows(3).any(|part| part == [0xef, 0xbb, 0xbf]), "written");
        let Packet::Publish(publish) = accepted(version, &wire) else { panic!() };
        assert_eq!(publish.topic, "\u{feff}a\u{feff}", "and read");
        for wire in packets_with(version, "\u{feff}x".as_bytes()) {
            assert_eq!(encoded(version, accepted(version, &wire)), wire, "nothing is stripped");
        }
    }
}

/// [MQTT-1.5.7-1]
#[test]
fn name_and_value_of_a_user_property_are_strings() {
    for wire in user_properties_with(b"\xed\xa0\x80") {
        refused(Version::V5, &wire, DecodeCause::InvalidUtf8, "MQTT-1.5.4-1");
    }
    for wire in user_properties_with(b"\0") {
        refused(Version::V5, &wire, DecodeCause::Nul, "MQTT-1.5.4-2");
    }
    for wire in user_properties_with("".as_bytes()) {
        let Packet::Publish(publish) = accepted(Version::V5, &wire) else { panic!() };
        assert_eq!(publish.properties.user_properties().count(), 1, "they may be empty");
    }
    let wire = user_properties_with("ä".as_bytes());
    let Packet::Publish(publish) = accepted(Version::V5, &wire[0]) else { panic!() };
    assert_eq!(publish.properties.user_properties().next(), Some((text("ä"), text("x"))));
}

/// [MQTT-3.3.2-13], [MQTT-3.3.2-19], and the other properties that are text
#[test]
fn text_in_properties_is_checked_as_text() {
    for wire in properties_with(b"\xff") {
        refused(Version::V5, &wire, DecodeCause::InvalidUtf8, "MQTT-1.5.4-1");
    }
    for wire in properties_with("grün".as_bytes()) {
        assert_eq!(encoded(Version::V5, accepted(Version::V5, &wire)), wire);
    }
}
