//! Leniency forgives faults and changes nothing else.

use bytes::BytesMut;
use mqttkit_codec::{Codec, Packet, Strictness, Version};

/// Reads `data` as a stream of `version` strictly and leniently. What is no fault is the same packet, what is not
/// forgivable the same error, and what is forgiven a packet that is as it should be once it is written again.
pub fn lenient(version: Version, data: &[u8]) {
    let mut lenient = Codec::new(version);
    lenient.set_strictness(Strictness::Lenient);
    let mut input = BytesMut::from(data);
    let (mut strict, mut strict_input) = (Codec::new(version), input.clone());
    loop {
        let expected = strict.decode(&mut strict_input);
        let before = lenient.version();
        let packet = lenient.decode(&mut input);
        let forgiven = lenient.take_forgiven();
        match (expected, packet) {
            (Ok(expected), packet) => {
                assert_eq!((&packet, forgiven), (&Ok(expected), None), "there is nothing to forgive");
                if packet == Ok(None) {
                    return;
                }
            }
            (Err(fault), Ok(Some(packet))) => {
                assert!(fault.is_forgivable(), "{packet:?} in spite of {fault}");
                assert_eq!(forgiven, Some(fault), "the first fault is the one that is told");
                check_as_it_should_be(before, &packet);
                // A strict stream ends with its first fault: another begins behind it.
                (strict, strict_input) = (Codec::new(lenient.version()), input.clone());
            }
            (Err(fault), Ok(None)) => {
                assert!(fault.is_forgivable(), "{fault} is overlooked");
                assert_eq!(forgiven, None, "there is no packet yet");
                return;
            }
            (Err(fault), Err(error)) => {
                assert!(error == fault || fault.is_forgivable(), "{fault} became {error}");
                assert!(!error.is_forgivable(), "{error}");
                assert_eq!(forgiven, None, "there is no packet");
                return;
            }
        }
    }
}

fn check_as_it_should_be(version: Version, packet: &Packet) {
    let mut wire = BytesMut::new();
    let mut codec = Codec::new(version);
    codec.encode(packet, &mut wire).unwrap_or_else(|error| panic!("{packet:?} was forgiven: {error}"));
    let bytes = wire.clone();
    assert_eq!(codec.decode(&mut wire).as_ref(), Ok(&Some(packet.clone())), "{bytes:x?}");
    assert!(wire.is_empty(), "{} bytes are left of {bytes:x?}", wire.len());
}
