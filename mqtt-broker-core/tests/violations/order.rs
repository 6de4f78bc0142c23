//! Packets that are well-formed and out of place.

use mqttkit_broker_core::Version;
use mqttkit_broker_core::transport::Scheme;

use crate::house::{House, SCHEMES, Stranger, connect_bytes};

const OLD: [Version; 2] = [Version::V31, Version::V311];

/// What ends the connection of a 5.0 client that is let in, and with which reason.
const FATAL: [(&str, &[u8], u8); 26] = [
    // [MQTT-3.1.0-2]
    ("a second CONNECT", b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c", 0x82),
    // Packets that servers send.
    ("CONNACK", &[0x20, 3, 0, 0, 0], 0x82),
    ("SUBACK", &[0x90, 4, 0, 1, 0, 0], 0x82),
    ("UNSUBACK", &[0xb0, 4, 0, 1, 0, 0], 0x82),
    ("PINGRESP", &[0xd0, 0], 0x82),
    // [MQTT-4.12.0-7]: there is no method that it could be of.
    ("AUTH after a CONNECT without a method", b"\xf0\x06\x18\x04\x15\0\x01m", 0x8c),
    ("re-authentication without a method", b"\xf0\x06\x19\x04\x15\0\x01m", 0x8c),
    // 3.3.2.3.4
    ("a topic alias above the maximum", b"\x30\x07\0\x01t\x03\x23\0\x21", 0x94),
    ("a topic alias of 0", b"\x30\x07\0\x01t\x03\x23\0\0", 0x94),
    ("a topic alias that stands for nothing", b"\x30\x06\0\0\x03\x23\0\x01", 0x82),
    ("neither topic nor alias", b"\x30\x03\0\0\0", 0x82),
    // [MQTT-3.3.4-6]
    ("a subscription identifier in PUBLISH", b"\x30\x06\0\x01t\x02\x0b\x01", 0x82),
    // [MQTT-3.3.1-4], [MQTT-3.3.1-2], [MQTT-3.3.2-2]
    ("QoS 3", b"\x36\x06\0\x01t\0\x01\0", 0x81),
    ("DUP with QoS 0", b"\x38\x04\0\x01t\0", 0x81),
    ("a topic with a wildcard", b"\x30\x04\0\x01+\0", 0x81),
    // 3.8.3.1
    ("SUBSCRIBE with QoS 3", b"\x82\x07\0\x01\0\0\x01t\x03", 0x82),
    ("SUBSCRIBE with Retain Handling 3", b"\x82\x07\0\x01\0\0\x01t\x30", 0x82),
    ("SUBSCRIBE with reserved options", b"\x82\x07\0\x01\0\0\x01t\x40", 0x81),
    // [MQTT-3.8.3-4]
    ("No Local on a shared subscription", b"\x82\x10\0\x01\0\0\x0a$share/g/t\x04", 0x82),
    // [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    ("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0], 0x82),
    ("UNSUBSCRIBE without a filter", &[0xa2, 3, 0, 1, 0], 0x82),
    // 3.8.2.1.2
    ("a subscription identifier of 0", b"\x82\x09\0\x01\x02\x0b\0\0\x01t\0", 0x82),
    // [MQTT-4.7.1-1], [MQTT-4.8.2-1]
    ("a wildcard in the middle", b"\x82\x09\0\x01\0\0\x03#/t\0", 0x81),
    ("a share without a name", b"\x82\x0e\0\x01\0\0\x08$share//\0", 0x81),
    // [MQTT-3.14.2-2]
    ("an expiry at DISCONNECT and none at CONNECT", &[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 5], 0x82),
    // [MQTT-2.1.3-1]
    ("reserved flags", &[0xc1, 0], 0x81),
];

/// The same for the versions before, which are told nothing.
const FATAL_OLD: [(&str, &[u8]); 14] = [
    ("a second CONNECT", b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c"),
    ("CONNACK", &[0x20, 2, 0, 0]),
    ("SUBACK", &[0x90, 3, 0, 1, 0]),
    ("UNSUBACK", &[0xb0, 2, 0, 1]),
    ("PINGRESP", &[0xd0, 0]),
    ("AUTH, which they do not have", &[0xf0, 0]),
    ("QoS 3", b"\x36\x05\0\x01t\0\x01"),
    ("DUP with QoS 0", b"\x38\x03\0\x01t"),
    ("a topic with a wildcard", b"\x30\x03\0\x01#"),
    ("no topic", b"\x30\x02\0\0"),
    ("SUBSCRIBE with QoS 3", b"\x82\x06\0\x01\0\x01t\x03"),
    ("SUBSCRIBE without a filter", &[0x82, 2, 0, 1]),
    ("UNSUBSCRIBE without a filter", &[0xa2, 2, 0, 1]),
    ("a wildcard in the middle", b"\x82\x08\0\x01\0\x03#/t\0"),
];

/// One of each packet but CONNECT, as 5.0 and as 3.1.1 have it.
const FIRST: [&[u8]; 18] = [
    &[0x20, 3, 0, 0, 0],
    &[0x20, 2, 0, 0],
    b"\x30\x04\0\x01t\0",
    b"\x32\x06\0\x01t\0\x01\0",
    &[0x40, 2, 0, 1],
    &[0x50, 2, 0, 1],
    &[0x62, 2, 0, 1],
    &[0x70, 2, 0, 1],
    b"\x82\x07\0\x01\0\0\x01t\0",
    b"\x82\x06\0\x01\0\x01t\0",
    &[0x90, 3, 0, 1, 0],
    b"\xa2\x06\0\x01\0\0\x01t",
    &[0xb0, 2, 0, 1],
    &[0xc0, 0],
    &[0xd0, 0],
    &[0xe0, 0],
    &[0xe0, 2, 0, 0],
    b"\xf0\x06\x18\x04\x15\0\x01m",
];

/// A message that must not come through.
const NEVER: &[u8] = b"\x30\x09\0\x05never\0x";

impl Stranger {
    /// Sends this with something behind it. Returns everything that comes before the connection is closed.
    async fn end_with(mut self, bytes: &[u8]) -> Vec<u8> {
        self.send(&[bytes, NEVER].concat()).await;
        self.until_closed().await
    }

    async fn answers(&mut self, bytes: &[u8], answer: &[u8], what: &str) {
        self.send(bytes).await;
        assert_eq!(self.packet().await, answer, "{what}");
        self.is_served().await;
    }
}

#[tokio::test]
async fn each_violation_has_its_reason() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        for (what, bytes, reason) in FATAL {
            let answer = house.guest(scheme, Version::V5).await.end_with(bytes).await;
            let told = (answer.first(), answer.get(2));
            assert_eq!(told, (Some(&0xe0), Some(&reason)), "{what}: {answer:02x?}");
            assert_eq!(answer.len(), usize::from(answer[1]) + 2, "{what}: nothing else is said");
            house.goes_on(what).await;
        }
    }
    house.is_empty().await;
}

#[tokio::test]
async fn versions_that_cannot_be_told_are_closed() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        for version in OLD {
            for (what, bytes) in FATAL_OLD {
                let answer = house.guest(scheme, version).await.end_with(bytes).await;
                assert_eq!(answer, [0; 0], "{what} in {version:?}");
                house.goes_on(what).await;
            }
        }
    }
    house.is_empty().await;
}

/// [MQTT-3.1.0-1]
#[tokio::test]
async fn before_connect_there_is_nothing() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        for bytes in FIRST {
            // It is not made good by the CONNECT behind it.
            let bytes = [bytes, &connect_bytes(Version::V5, "late")].concat();
            let answer = house.stranger(scheme).await.end_with(&bytes).await;
            assert_eq!(answer, [0; 0], "{bytes:02x?}");
        }
        house.goes_on("packets before CONNECT").await;
    }
    house.is_empty().await;
}

/// 4.3.3, 3.6.2.1, 3.7.2.1: an identifier that is not known is no reason to part.
#[tokio::test]
async fn acknowledgements_of_nothing_are_answered_and_forgiven() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        let mut new = house.guest(scheme, Version::V5).await;
        new.answers(&[0x62, 2, 0, 7], &[0x70, 3, 0, 7, 0x92], "PUBREL without PUBREC").await;
        new.answers(&[0x50, 2, 0, 7], &[0x62, 3, 0, 7, 0x92], "PUBREC without PUBLISH").await;
        for bytes in [[0x40, 2, 0, 7], [0x70, 2, 0, 7]] {
            new.send(&bytes).await;
            new.is_served().await;
        }
        for version in OLD {
            let mut old = house.guest(scheme, version).await;
            old.answers(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7], "PUBREL without PUBREC").await;
            for bytes in [[0x40, 2, 0, 7], [0x70, 2, 0, 7]] {
                old.send(&bytes).await;
                old.is_served().await;
            }
        }
    }
    house.goes_on("acknowledgements of nothing").await;
    house.is_empty().await;
}

/// [MQTT-4.3.3-10] of 5.0: the message itself is taken once.
#[tokio::test]
async fn a_message_of_qos_2_that_comes_again_is_acknowledged_again() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        let mut guest = house.guest(scheme, Version::V5).await;
        // To a topic that begins with $, which the good client does not hear, and nobody else.
        let publish = b"\x34\x09\0\x04$own\0\x05\0";
        guest.answers(publish, &[0x50, 3, 0, 5, 0x10], "PUBLISH").await;
        guest.answers(publish, &[0x50, 2, 0, 5], "PUBLISH again").await;
        guest.answers(&[0x62, 2, 0, 5], &[0x70, 2, 0, 5], "PUBREL").await;
        guest.answers(&[0x62, 2, 0, 5], &[0x70, 3, 0, 5, 0x92], "PUBREL again").await;
    }
    assert_eq!(house.broker.stats().messages_published, 2);
    house.is_empty().await;
}

/// 4.3.2, 4.3.3: the acknowledgement of the other QoS.
#[tokio::test]
async fn the_wrong_acknowledgement_is_a_protocol_error() {
    let mut house = House::open(|_| {}).await;
    for scheme in SCHEMES {
        for (qos, wrong) in
            [(1, [0x50, 2, 0, 1]), (1, [0x70, 2, 0, 1]), (2, [0x40, 2, 0, 1]), (2, [0x70, 2, 0, 1])]
        {
            for version in [Version::V311, Version::V5] {
                let mut guest = house.guest(scheme, version).await;
                let has_properties = version == Version::V5;
                let properties: &[u8] = if has_properties { &[0] } else { &[] };
                let len = u8::from(has_properties);
                guest.send(&[&[0x82, 9 + len, 0, 1], properties, b"\0\x04$own", &[qos]].concat()).await;
                assert_eq!(guest.packet().await[0], 0x90);
                let publish = [&[0x30 | qos << 1, 8 + len][..], b"\0\x04$own\0\x01", properties].concat();
                guest.send(&publish).await;
                // The broker's PUBLISH and its acknowledgement of ours, in either order.
                let mut got = [guest.packet().await[0] >> 4, guest.packet().await[0] >> 4];
                got.sort_unstable();
                assert_eq!(got, [3, 3 + qos]);
                let answer = guest.end_with(&wrong).await;
                if has_properties {
                    assert_eq!((answer[0], answer[2]), (0xe0, 0x82), "{wrong:02x?} for QoS {qos}");
                } else {
                    assert_eq!(answer, [0; 0], "{wrong:02x?} for QoS {qos}");
                }
            }
        }
    }
    house.goes_on("wrong acknowledgements").await;
    house.is_empty().await;
}

/// [MQTT-3.3.4-7]
#[tokio::test]
async fn more_than_the_receive_maximum_ends_the_connection() {
    let mut house = House::open(|config| config.receive_maximum = 2.try_into().unwrap()).await;
    for scheme in SCHEMES {
        let guest = house.guest(scheme, Version::V5).await;
        let publish = |id| [&b"\x34\x09\0\x04$own\0"[..], &[id, 0]].concat();
        let answer = guest.end_with(&[publish(1), publish(2), publish(3)].concat()).await;
        let taken = [0x50, 3, 0, 1, 0x10, 0x50, 3, 0, 2, 0x10];
        let said = answer.strip_prefix(&taken[..]).unwrap_or(&answer);
        assert_eq!((said[0], said[2]), (0xe0, 0x93), "{answer:02x?}");
    }
    house.goes_on("too many messages").await;
    house.is_empty().await;
}

/// 3.2.2.3.6
#[tokio::test]
async fn a_packet_beyond_the_maximum_is_refused_by_its_header() {
    let mut house = House::open(|config| config.max_packet_size = 100).await;
    for scheme in SCHEMES {
        let answer = house.guest(scheme, Version::V5).await.end_with(&[0x30, 99]).await;
        assert_eq!((answer[0], answer[2]), (0xe0, 0x95));
        // In CONNECT too, whose size is known before its version is.
        let answer = house.stranger(scheme).await.end_with(&[0x10, 99]).await;
        assert!(answer.is_empty() || answer[0] == 0x20, "{answer:02x?}");
    }
    house.goes_on("large packets").await;
    house.is_empty().await;
}

/// Whatever the end, a client that does not read its reason holds nothing up.
#[tokio::test]
async fn a_stranger_that_does_not_listen_is_dropped() {
    let mut house = House::open(|_| {}).await;
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let mut guest = house.guest(Scheme::Tcp, Version::V5).await;
        guest.send(&[0xff, 0xff]).await;
        deaf.push(guest);
    }
    house.goes_on("strangers that do not listen").await;
    house.is_empty().await;
    drop(deaf);
}
