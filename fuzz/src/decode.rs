//! Any bytes give packets or an error, and a packet can be written again.

use std::fmt::Write;

use bytes::BytesMut;
use mqttkit_codec::{Codec, DecodeCause, DecodeError, Packet, Version};

use crate::{VERSIONS, lenient::lenient};

/// Reads `data` as a stream of each version. What is a packet must encode to the same bytes or to a shorter form
/// that is the same packet, and its length must be known before.
pub fn decode(data: &[u8]) {
    for version in VERSIONS {
        lenient(version, data);
        let mut codec = Codec::new(version);
        let mut input = BytesMut::from(data);
        loop {
            let before = codec.clone();
            let rest = data.len() - input.len();
            match codec.decode(&mut input) {
                Ok(Some(packet)) => check_packet(&before, &packet, &data[rest..data.len() - input.len()]),
                Ok(None) => break,
                Err(error) => {
                    check_error(&error, &data[rest..]);
                    break;
                }
            }
        }
    }
}

fn check_packet(codec: &Codec, packet: &Packet, wire: &[u8]) {
    look_at(packet);
    let mut out = BytesMut::new();
    codec.encode(packet, &mut out).unwrap_or_else(|error| panic!("{packet:?} was read: {error}"));
    assert_eq!(out.len(), codec.encoded_len(packet), "{packet:?}");
    check_canonical(codec.version(), packet, wire, &out);

    let again = codec.clone().decode(&mut out.clone());
    assert_eq!(again.as_ref(), Ok(&Some(packet.clone())), "the canonical form is the same packet");

    let mut limited = codec.clone();
    limited.set_max_incoming(wire.len() as u32);
    assert_eq!(limited.clone().decode(&mut BytesMut::from(wire)), again, "a packet as large as the limit");
    limited.set_max_incoming(wire.len() as u32 - 1);
    let too_large = limited.decode(&mut BytesMut::from(wire)).expect_err("above the limit");
    assert!(matches!(too_large.cause(), DecodeCause::PacketTooLarge { .. }), "{too_large}");

    let mut limited = codec.clone();
    limited.set_max_outgoing(out.len() as u32 - 1);
    let mut nothing = BytesMut::new();
    limited.encode(packet, &mut nothing).expect_err("above the limit");
    assert!(nothing.is_empty(), "nothing is written of what is too large");

    if let Packet::Publish(publish) = packet {
        let mut header = BytesMut::new();
        codec.encode_publish_header(publish, &mut header).expect("it was encoded before");
        header.extend_from_slice(&publish.payload);
        assert_eq!(header, out, "header and payload are the packet");
    }
}

/// The canonical form differs in two ways only: an MQTT 5.0 packet may leave out what says nothing, and the
/// reserved bits of MQTT 3.1, which mean nothing there, are zero.
fn check_canonical(version: Version, packet: &Packet, wire: &[u8], out: &[u8]) {
    if wire == out {
        return;
    }
    match (version, packet) {
        (
            Version::V5,
            Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Disconnect(_)
            | Packet::Auth(_),
        ) => assert!(out.len() < wire.len(), "{packet:?}: {wire:x?} became {out:x?}"),
        (Version::V31, _) => {
            assert_eq!(wire.len(), out.len(), "{packet:?}: {wire:x?} became {out:x?}");
            let differ = |&at: &usize| wire[at] != out[at];
            let allowed = |at| at == 0 || (at == 2 && matches!(packet, Packet::ConnAck(_)));
            assert!((0..wire.len()).filter(differ).all(allowed), "{packet:?}: {wire:x?} became {out:x?}");
            assert_eq!(wire[0] >> 4, out[0] >> 4);
        }
        _ => panic!("{version}: {packet:?}: {wire:x?} became {out:x?}"),
    }
}

/// Reads every part of a packet, for the panics that may be hidden in it.
fn look_at(packet: &Packet) {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> std::fmt::Result {
            Ok(())
        }
    }
    write!(Nowhere, "{packet:?} {:?}", packet.packet_id()).expect("writing to nowhere");
    match packet {
        Packet::Subscribe(packet) => {
            assert_eq!(packet.subscriptions.len(), packet.subscriptions.iter().count());
        }
        Packet::Unsubscribe(packet) => assert_eq!(packet.filters.len(), packet.filters.iter().count()),
        Packet::SubAck(packet) => assert_eq!(packet.reasons.len(), packet.reasons.iter().count()),
        Packet::UnsubAck(packet) => assert_eq!(packet.reasons.len(), packet.reasons.iter().count()),
        _ => {}
    }
}

fn check_error(error: &DecodeError, wire: &[u8]) {
    assert!(error.offset() as usize <= wire.len(), "{error} in {} bytes", wire.len());
    assert!(!error.to_string().is_empty() && !error.field().is_empty());
    assert!(error.reason_code().is_error(), "{error}: {}", error.reason_code());
    if let Some(packet) = error.packet() {
        assert_eq!(packet as u8, wire[0] >> 4);
    }
}
