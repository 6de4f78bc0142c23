//! Golden vectors: bytes in `data/`, the packets they are in `packets.rs`, and what holds for all of them.

#![allow(clippy::unwrap_used)]

mod chunks;
mod lenient;
mod mutations;
mod packets;
mod parse;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use mqttkit_codec::{Codec, Packet};

/// Every packet of the data by name, each of which must have bytes and the other way round.
fn expected() -> BTreeMap<String, Packet> {
    let all = packets::expected();
    let count = all.len();
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), count, "a name stands twice");
    map
}

#[test]
fn bytes_and_packets_have_the_same_names() {
    let vectors = parse::packets();
    let names: BTreeSet<_> = vectors.iter().map(|vector| vector.name.clone()).collect();
    assert_eq!(names.len(), vectors.len(), "a name stands twice");
    assert_eq!(names, expected().into_keys().collect());
    let malformed = parse::malformed();
    let names: BTreeSet<_> = malformed.iter().map(|vector| vector.name.clone()).collect();
    assert_eq!(names.len(), malformed.len(), "a name stands twice");
}

#[test]
fn bytes_decode_to_the_packet() {
    let expected = expected();
    for vector in parse::packets() {
        for mut codec in vector.codecs() {
            let mut input = BytesMut::from(&vector.bytes[..]);
            let packet = codec.decode(&mut input).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(packet.as_ref(), Some(&expected[&vector.name]), "{}", vector.name);
            assert!(input.is_empty(), "{}: {} bytes are left", vector.name, input.len());
        }
    }
}

#[test]
fn packets_encode_to_the_bytes() {
    let expected = expected();
    for vector in parse::packets() {
        for codec in vector.codecs() {
            let packet = &expected[&vector.name];
            // Something stands before the packet, as in a buffer that has not been sent yet.
            let mut out = BytesMut::from(&b"before"[..]);
            codec.encode(packet, &mut out).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(out[6..], *vector.canonical(), "{}", vector.name);
            assert_eq!(codec.encoded_len(packet), vector.canonical().len(), "{}", vector.name);
            if let Packet::Publish(publish) = packet {
                let mut head = BytesMut::new();
                codec.encode_publish_header(publish, &mut head).unwrap();
                head.extend_from_slice(&publish.payload);
                assert_eq!(head[..], *vector.canonical(), "{}", vector.name);
            }
        }
    }
}

#[test]
fn a_connect_sets_the_version() {
    let expected = expected();
    for vector in parse::packets() {
        let Packet::Connect(connect) = &expected[&vector.name] else { continue };
        for before in [mqttkit_codec::Version::V31, mqttkit_codec::Version::V311, mqttkit_codec::Version::V5]
        {
            let mut codec = Codec::new(before);
            let packet = codec.decode(&mut BytesMut::from(&vector.bytes[..])).unwrap();
            assert_eq!(packet.as_ref(), Some(&expected[&vector.name]), "{}", vector.name);
            assert_eq!(codec.version(), connect.version);
        }
    }
}

#[test]
fn malformed_bytes_give_the_error() {
    for vector in parse::malformed() {
        for mut codec in vector.codecs() {
            let version = codec.version();
            let result = codec.decode(&mut BytesMut::from(&vector.bytes[..]));
            let found = match &result {
                Ok(packet) => format!("{packet:?}"),
                Err(error) => parse::describe(error),
            };
            assert_eq!(&found, vector.error.as_ref().unwrap(), "{} in {version}", vector.name);
        }
    }
}

/// The names of the variants stand in the source; a new one needs a vector.
#[test]
fn every_cause_has_a_vector() {
    let source = include_str!("../../src/error.rs");
    let body = source.split_once("pub enum DecodeCause {").unwrap().1.split_once("\n}").unwrap().0;
    let variants: BTreeSet<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())
        .collect();
    assert!(variants.len() > 30, "the enum was not found");
    let malformed = parse::malformed();
    let seen: BTreeSet<_> = malformed
        .iter()
        .map(|vector| vector.error.as_ref().unwrap().split([' ', '(']).next().unwrap())
        .collect();
    assert_eq!(variants, seen);
}

/// Errors are for people too: each names the packet, the field and the place.
#[test]
fn errors_read_well() {
    for vector in parse::malformed() {
        for mut codec in vector.codecs() {
            let error = codec.decode(&mut BytesMut::from(&vector.bytes[..])).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(error.field()), "{text}");
            assert!(text.contains(&format!("at byte {}", error.offset())), "{text}");
            assert!(error.statement().is_none_or(|statement| text.contains(statement)), "{text}");
            assert!(error.packet().is_none_or(|packet| text.contains(packet.name())), "{text}");
            assert!(error.reason_code().is_error(), "{text}");
        }
    }
}
