//! mqtt5-protocol: framing is its caller's, strings and payload are copied.

use bytes::BytesMut;
use mqtt5_protocol::MqttError;
use mqtt5_protocol::packet::{FixedHeader, MqttPacket, Packet};

use crate::harness::Contender;
use crate::samples::Sample;
use crate::{decoded, from_buffer, to_buffer};

const NAME: &str = "mqtt5-protocol";

fn read(input: &mut BytesMut, version: u8) -> Result<Packet, MqttError> {
    let header = FixedHeader::decode(input)?;
    let mut body = input.split_to(header.remaining_length as usize).freeze();
    Packet::decode_from_body_with_version(header.packet_type, &header, &mut body, version)
}

pub fn decode(sample: &Sample) -> Contender {
    let version = sample.version.level();
    from_buffer(NAME, sample, move |input| read(input, version))
}

pub fn encode(sample: &Sample) -> Contender {
    let version = sample.version.level();
    let packets = decoded(sample, |input| read(input, version).unwrap());
    to_buffer(NAME, sample, packets, |packet, out| {
        match packet {
            Packet::Publish(packet) => packet.encode(out),
            Packet::Connect(packet) => packet.encode(out),
            Packet::Subscribe(packet) => packet.encode(out),
            Packet::PubAck(packet) => packet.encode(out),
            Packet::PingReq => {
                FixedHeader::new(mqtt5_protocol::packet::PacketType::PingReq, 0, 0).encode(out)
            }
            other => unreachable!("{other:?} is in no sample"),
        }
        .unwrap();
    })
}
