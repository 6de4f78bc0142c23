//! Vectors with every single bit flipped, and every beginning of them.

use bytes::BytesMut;
use mqttkit_codec::{Codec, Packet};

use crate::parse;

/// Longer vectors are repetitions of one byte, in which nothing new happens.
const LONGEST: usize = 1024;

/// Decodes what must not panic; a packet that comes out must survive being encoded.
fn check(codec: &Codec, bytes: &[u8], name: &str) -> Option<Packet> {
    let packet = codec.clone().decode(&mut BytesMut::from(bytes)).ok()??;
    let mut out = BytesMut::new();
    codec.encode(&packet, &mut out).unwrap_or_else(|error| panic!("{name}: {packet:?}: {error}"));
    assert!(out.len() <= bytes.len(), "{name}: the canonical form is longer");
    let again = codec.clone().decode(&mut out);
    assert_eq!(again.as_ref(), Ok(&Some(packet)), "{name}");
    again.unwrap_or_default()
}

#[test]
fn flipped_bits_give_an_error_or_a_packet() {
    let (mut errors, mut packets) = (0, 0);
    for vector in parse::load().iter().filter(|vector| vector.bytes.len() <= LONGEST) {
        for codec in vector.codecs() {
            for bit in 0..vector.bytes.len() * 8 {
                let mut bytes = vector.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                match check(&codec, &bytes, &vector.name) {
                    Some(_) => packets += 1,
                    None => errors += 1,
                }
            }
        }
    }
    assert!(errors > 1000 && packets > 1000, "{errors} errors and {packets} packets");
}

#[test]
fn every_truncation_waits_or_fails() {
    for vector in parse::packets().iter().filter(|vector| vector.bytes.len() <= LONGEST) {
        for codec in vector.codecs() {
            for len in 0..vector.bytes.len() {
                let waits = codec.clone().decode(&mut BytesMut::from(&vector.bytes[..len]));
                assert_eq!(waits, Ok(None), "{} with {len} bytes", vector.name);
            }
        }
    }
}

/// The same, but the header says how much is left: the body itself is too short.
#[test]
fn every_shortened_body_gives_an_error_or_a_packet() {
    for vector in parse::load().iter().filter(|vector| vector.bytes.len() <= 129) {
        for codec in vector.codecs() {
            for len in 2..vector.bytes.len() {
                let mut bytes = vector.bytes[..len].to_vec();
                bytes[1] = (len - 2) as u8;
                check(&codec, &bytes, &vector.name);
            }
        }
    }
}

/// What one version writes is nothing that another may choke on.
#[test]
fn the_wrong_version_gives_an_error_or_a_packet() {
    use mqttkit_codec::Version;
    for vector in parse::load() {
        for version in [Version::V31, Version::V311, Version::V5] {
            check(&Codec::new(version), &vector.bytes, &vector.name);
        }
    }
}
