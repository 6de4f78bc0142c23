//! However the bytes arrive, the packets and the error are the same.

use bytes::BytesMut;
use mqttkit_codec::{Codec, DecodeError, Packet};

use crate::parse::{self, Vector};

type Outcome = (Vec<Packet>, Option<DecodeError>);

/// Feeds the parts one by one and decodes as far as possible after each.
fn decode<'a>(mut codec: Codec, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for part in parts {
        input.extend_from_slice(part);
        loop {
            match codec.decode(&mut input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    assert!(input.is_empty(), "{} bytes were never taken", input.len());
    (packets, None)
}

fn each_vector(mut test: impl FnMut(&Vector, Codec, &Outcome)) {
    for vector in parse::load() {
        for codec in vector.codecs() {
            let whole = decode(codec.clone(), [&vector.bytes[..]]);
            assert_eq!(whole.0.len() + usize::from(whole.1.is_some()), 1, "{}", vector.name);
            test(&vector, codec, &whole);
        }
    }
}

#[test]
fn one_byte_at_a_time() {
    each_vector(|vector, codec, whole| {
        assert_eq!(&decode(codec, vector.bytes.chunks(1)), whole, "{}", vector.name);
    });
}

#[test]
fn all_splits_in_two() {
    each_vector(|vector, codec, whole| {
        // Of the long ones the ends, where all the fields but one are.
        let ends = 300;
        for at in 0..=vector.bytes.len() {
            if at > ends && at + ends < vector.bytes.len() {
                continue;
            }
            let (first, second) = vector.bytes.split_at(at);
            assert_eq!(&decode(codec.clone(), [first, second]), whole, "{} at {at}", vector.name);
        }
    });
}

/// All vectors of a version behind each other, with an error behind them, in one piece and in uneven ones.
#[test]
fn many_packets_in_one_buffer() {
    use mqttkit_codec::Version;
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut vectors = parse::packets();
        vectors.retain(|vector| vector.versions.contains(&version));
        let mut bytes: Vec<u8> = vectors.iter().flat_map(|vector| vector.bytes.clone()).collect();
        bytes.extend([0x36, 0x00]);
        let (packets, error) = decode(Codec::new(version), [&bytes[..]]);
        assert_eq!(packets.len(), vectors.len());
        for (packet, vector) in packets.iter().zip(&vectors) {
            let alone = decode(Codec::new(version), [&vector.bytes[..]]);
            assert_eq!(alone, (vec![packet.clone()], None), "{}", vector.name);
        }
        assert!(error.is_some());
        for size in [1, 2, 3, 7, 64, 1460, 65_536] {
            let parts = decode(Codec::new(version), bytes.chunks(size));
            assert_eq!(parts, (packets.clone(), error), "in parts of {size}");
        }
    }
}
