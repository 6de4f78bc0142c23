//! However a stream is cut into chunks, the packets and the error are the same.

use bytes::BytesMut;
use mqttkit_codec::{Codec, DecodeError, Packet, Strictness};

use crate::VERSIONS;

/// How many bytes in front of the stream say how it is cut.
pub const PATTERN: usize = 4;

/// Reads what follows the pattern at once, byte by byte and in chunks of the pattern's sizes.
pub fn split(data: &[u8]) {
    let Some((pattern, stream)) = data.split_first_chunk::<PATTERN>() else { return };
    let sizes = pattern.map(|size| 1 + usize::from(size));
    for version in VERSIONS {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let mut codec = Codec::new(version);
            codec.set_strictness(strictness);
            let at_once = read(codec.clone(), stream, [stream.len()]);
            assert_eq!(read(codec.clone(), stream, [1]), at_once, "byte by byte");
            assert_eq!(read(codec, stream, sizes), at_once, "in chunks of {sizes:?}");
        }
    }
}

/// The packets with what was forgiven in them, how the stream ends, and how many of its bytes were left.
type Outcome = (Vec<(Packet, Option<DecodeError>)>, Option<DecodeError>, usize);

fn read<const N: usize>(mut codec: Codec, mut stream: &[u8], sizes: [usize; N]) -> Outcome {
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for size in sizes.into_iter().cycle() {
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        input.extend_from_slice(chunk);
        stream = rest;
        loop {
            match codec.decode(&mut input) {
                Ok(Some(packet)) => packets.push((packet, codec.take_forgiven())),
                Ok(None) => break,
                // What is left after an error has no meaning.
                Err(error) => return (packets, Some(error), 0),
            }
        }
        if stream.is_empty() {
            break;
        }
    }
    (packets, None, input.len())
}
