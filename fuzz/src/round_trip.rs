//! A packet that can be written can be read, and is the same.

use arbitrary::Unstructured;
use bytes::BytesMut;
use mqttkit_codec::{Codec, Delivery, Packet, PacketType, ReasonCode, Version};

use crate::{VERSIONS, generate};

/// Builds a packet from `data`, writes it in each version and reads it back.
pub fn round_trip(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let Ok(&version) = from.choose(&VERSIONS) else { return };
    let Ok(packet) = generate::packet(&mut from, version) else { return };
    let codec = Codec::new(version);
    let mut wire = BytesMut::new();
    if let Err(error) = codec.encode(&packet, &mut wire) {
        assert!(wire.is_empty() && !error.to_string().is_empty(), "{packet:?}: {error}");
        return;
    }
    assert_eq!(wire.len(), codec.encoded_len(&packet), "{packet:?}");
    let bytes = wire.clone();
    let read = codec.clone().decode(&mut wire);
    let Ok(Some(read)) = read else { panic!("{version}: {packet:?} was written as {bytes:x?}: {read:?}") };
    assert!(wire.is_empty(), "{} bytes of {packet:?} are left", wire.len());
    let mut again = BytesMut::new();
    codec.encode(&read, &mut again).expect("what was read can be written");
    assert_eq!(again, bytes, "{packet:?} and {read:?}");
    if version == Version::V5 {
        assert_eq!(read, normal(packet));
    } else {
        assert_older(&packet, &read);
    }
}

/// The packet without what the encoder is documented to leave out.
fn normal(mut packet: Packet) -> Packet {
    match &mut packet {
        Packet::Connect(connect) => connect.bridge = false,
        // [MQTT-3.2.2-6]
        Packet::ConnAck(connack) if connack.reason.is_error() => connack.session_present = false,
        // [MQTT-3.3.1-2]
        Packet::Publish(publish) if publish.delivery == Delivery::AtMostOnce => publish.dup = false,
        _ => {}
    }
    packet
}

/// Before MQTT 5.0 only some parts of a packet are written; those must have survived.
fn assert_older(packet: &Packet, read: &Packet) {
    assert_eq!((packet.packet_type(), packet.packet_id()), (read.packet_type(), read.packet_id()));
    match (packet, read) {
        (Packet::Connect(packet), Packet::Connect(read)) => {
            assert!(read.properties.is_empty());
            let mut packet = packet.clone();
            packet.properties = read.properties.clone();
            if let (Some(will), Some(read)) = (&mut packet.will, &read.will) {
                will.properties = read.properties.clone();
            }
            assert_eq!(&packet, read);
        }
        (Packet::Publish(packet), Packet::Publish(read)) => {
            assert_eq!((&packet.topic, &packet.payload), (&read.topic, &read.payload));
            assert_eq!((packet.retain, packet.delivery), (read.retain, read.delivery));
        }
        (Packet::Subscribe(packet), Packet::Subscribe(read)) => {
            let pairs = packet.subscriptions.iter().zip(read.subscriptions.iter());
            for (subscription, read) in pairs {
                assert_eq!(subscription.filter, read.filter);
                assert_eq!(subscription.options.qos, read.options.qos);
            }
            assert_eq!(packet.subscriptions.len(), read.subscriptions.len());
        }
        (Packet::SubAck(packet), Packet::SubAck(read)) => {
            let plain = |reason: ReasonCode| reason.granted_qos();
            assert!(packet.reasons.iter().map(plain).eq(read.reasons.iter().map(plain)));
        }
        (Packet::Unsubscribe(packet), Packet::Unsubscribe(read)) => assert_eq!(packet.filters, read.filters),
        (Packet::ConnAck(packet), Packet::ConnAck(read)) => {
            assert_eq!(packet.reason.is_error(), read.reason.is_error());
        }
        _ => assert_ne!(packet.packet_type(), PacketType::Auth, "it is of MQTT 5.0"),
    }
}
