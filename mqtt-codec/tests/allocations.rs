//! What is decoded and encoded without allocation, counted by the allocator of this program.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use bytes::BytesMut;
use mqttkit_codec::{
    Codec, Delivery, Packet, PacketId, PubAck, Publish, PublishProperties, QoS, Str, Subscribe, Subscription,
    TopicFilter, TopicName, Version,
};

fn publish(payload: usize) -> Publish {
    Publish::new(TopicName::try_from("plant/7/line/3/state").unwrap(), vec![7; payload].into())
}

fn text(text: &str) -> Str {
    Str::try_from(text).unwrap()
}

fn packets() -> Vec<Packet> {
    let id = PacketId::new(7).unwrap();
    let mut with_properties = publish(100);
    with_properties.topic = TopicName::try_from("a topic that is too long to be copied/".repeat(4)).unwrap();
    with_properties.delivery = Delivery::AtLeastOnce(id);
    with_properties.properties = PublishProperties::new()
        .with_message_expiry_interval(60)
        .with_content_type(&text("text/plain"))
        .with_user_property(&text("unit"), &text("celsius"))
        .with_user_property(&text("trace"), &text(&"4bf92f35".repeat(8)));
    let filter = |filter| Subscription::new(TopicFilter::try_from(filter).unwrap(), QoS::AtLeastOnce);
    vec![
        publish(64).into(),
        with_properties.into(),
        publish(1 << 20).into(),
        PubAck::new(id).into(),
        Subscribe::new(id, ["a/+", "b/#", "c"].map(filter)).into(),
        Packet::PingReq,
    ]
}

#[test]
fn decoding_allocates_nothing() {
    for version in [Version::V311, Version::V5] {
        let mut codec = Codec::new(version);
        let (packets, mut input) = (packets(), BytesMut::new());
        for packet in &packets {
            codec.encode(packet, &mut input).unwrap();
        }
        // The buffer becomes a shared one when the first packet is split off it, once for all that follow.
        drop(input.split_to(0));
        let mut decoded = 0;
        let info = measure(|| {
            while let Some(packet) = codec.decode(&mut input).unwrap() {
                decoded += usize::from(packet.packet_type() == packets[decoded].packet_type());
            }
        });
        assert_eq!(decoded, packets.len());
        assert_eq!(info.count_total, 0, "allocations in {version}");
    }
}

#[test]
fn encoding_into_room_allocates_nothing() {
    for version in [Version::V311, Version::V5] {
        let (codec, packets) = (Codec::new(version), packets());
        let mut out = BytesMut::with_capacity(2 << 20);
        let info = measure(|| packets.iter().for_each(|packet| codec.encode(packet, &mut out).unwrap()));
        assert_eq!(info.count_total, 0, "allocations in {version}");
    }
}

/// A large payload is neither copied when it is decoded nor when its header is encoded for a vectored write.
#[test]
fn a_large_payload_passes_through_uncopied() {
    let mut codec = Codec::new(Version::V5);
    let mut input = BytesMut::new();
    codec.encode(&publish(1 << 20), &mut input).unwrap();
    let payload_at = input.as_ptr_range().end.wrapping_sub(1 << 20);
    let Some(Packet::Publish(publish)) = codec.decode(&mut input).unwrap() else { panic!("a PUBLISH") };
    assert_eq!(publish.payload.as_ptr(), payload_at);
    assert_eq!(publish.payload.len(), 1 << 20);

    let mut header = BytesMut::with_capacity(64);
    let info = measure(|| codec.encode_publish_header(&publish, &mut header).unwrap());
    assert_eq!(info.count_total, 0);
    assert!(header.len() < 64);
}
