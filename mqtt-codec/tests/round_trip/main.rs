//! Arbitrary packets come back from their bytes; arbitrary bytes never panic.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod arbitrary;

use bytes::BytesMut;
use mqttkit_codec::{Codec, Packet, Publish, Version};
use proptest::prelude::*;

use arbitrary::packet;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V31), Just(Version::V311), Just(Version::V5)]
}

fn encode(codec: &Codec, packet: &Packet) -> BytesMut {
    let mut out = BytesMut::new();
    codec.encode(packet, &mut out).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    assert_eq!(out.len(), codec.encoded_len(packet), "{packet:?}");
    out
}

/// Decodes to the end or to an error; each packet must survive being encoded.
fn decode_all(mut codec: Codec, bytes: &[u8]) -> usize {
    let mut input = BytesMut::from(bytes);
    let mut count = 0;
    while let Ok(Some(packet)) = codec.decode(&mut input) {
        let again = codec.clone().decode(&mut encode(&codec, &packet));
        assert_eq!(again.as_ref(), Ok(&Some(packet)));
        count += 1;
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_come_back((version, packet) in version().prop_flat_map(|v| (Just(v), packet(v)))) {
        let mut codec = Codec::new(version);
        let mut bytes = encode(&codec, &packet);
        prop_assert_eq!(codec.decode(&mut bytes), Ok(Some(packet)));
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn packets_come_back_one_by_one(
        (version, packets) in version().prop_flat_map(|v| (Just(v), prop::collection::vec(packet(v), 0..8))),
        part in 1..50usize,
    ) {
        let mut codec = Codec::new(version);
        let mut bytes = BytesMut::new();
        for packet in &packets {
            codec.encode(packet, &mut bytes).unwrap();
        }
        let (mut input, mut found) = (BytesMut::new(), Vec::new());
        for part in bytes.chunks(part) {
            input.extend_from_slice(part);
            while let Some(packet) = codec.decode(&mut input).unwrap() {
                found.push(packet);
            }
        }
        prop_assert_eq!(found, packets);
    }

    #[test]
    fn a_header_and_its_payload_are_the_packet(publish in arbitrary::publish(Version::V5)) {
        let codec = Codec::new(Version::V5);
        let mut head = BytesMut::new();
        codec.encode_publish_header(&publish, &mut head).unwrap();
        head.extend_from_slice(&publish.payload);
        prop_assert_eq!(head, encode(&codec, &Packet::Publish(publish)));
    }

    #[test]
    fn copies_are_equal_and_pin_nothing(publish in arbitrary::publish(Version::V5)) {
        let mut bytes = encode(&Codec::new(Version::V5), &Packet::Publish(publish));
        let Ok(Some(Packet::Publish(read))) = Codec::new(Version::V5).decode(&mut bytes) else {
            panic!("a PUBLISH")
        };
        let copy = read.detached();
        prop_assert_eq!(&copy, &read);
        drop(bytes);
        let Publish { payload, topic, properties, .. } = read;
        drop((topic, properties));
        // Were the copy a view, its source would not be the last user of the memory.
        prop_assert!(payload.is_empty() || payload.is_unique());
        prop_assert_eq!(copy.payload, payload);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(version in version(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_all(Codec::new(version), &bytes);
    }

    /// A valid header in front lets the bytes get further.
    #[test]
    fn arbitrary_bodies_do_not_panic(
        version in version(),
        first in any::<u8>(),
        body in prop::collection::vec(prop_oneof![3 => 0..6u8, 1 => 0x1f..0x2bu8, 1 => any::<u8>()], 0..100),
    ) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        decode_all(Codec::new(version), &bytes);
    }

    #[test]
    fn mutated_packets_do_not_panic(
        (version, packet) in version().prop_flat_map(|v| (Just(v), packet(v))),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let codec = Codec::new(version);
        let mut bytes = encode(&codec, &packet);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        decode_all(codec, &bytes);
    }
}
