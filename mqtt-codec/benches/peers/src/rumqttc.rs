//! rumqttc's `mqttbytes`, for both versions.

use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use crate::harness::Contender;
use crate::samples::Sample;
use crate::{decoded, from_buffer, to_buffer};

const NAME: &str = "rumqttc";
const MAX: usize = 1 << 28;

fn read_v4(input: &mut bytes::BytesMut) -> v4::Packet {
    v4::Packet::read(input, MAX).unwrap()
}

fn read_v5(input: &mut bytes::BytesMut) -> v5::Packet {
    v5::Packet::read(input, None).unwrap()
}

pub fn decode_v4(sample: &Sample) -> Contender {
    from_buffer(NAME, sample, |input| v4::Packet::read(input, MAX))
}

pub fn decode_v5(sample: &Sample) -> Contender {
    from_buffer(NAME, sample, |input| v5::Packet::read(input, None))
}

pub fn encode_v4(sample: &Sample) -> Contender {
    to_buffer(NAME, sample, decoded(sample, read_v4), |packet, out| {
        packet.write(out, MAX).unwrap();
    })
}

pub fn encode_v5(sample: &Sample) -> Contender {
    to_buffer(NAME, sample, decoded(sample, read_v5), |packet, out| {
        packet.write(out, None).unwrap();
    })
}
