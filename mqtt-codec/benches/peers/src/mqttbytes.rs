//! mqttbytes, for both versions. Its packet enum cannot be written, the packet types in it can.

use mqttbytes::{v4, v5};

use crate::harness::Contender;
use crate::samples::Sample;
use crate::{decoded, from_buffer, to_buffer};

const NAME: &str = "mqttbytes";
const MAX: usize = 1 << 28;

fn read_v4(input: &mut bytes::BytesMut) -> v4::Packet {
    v4::read(input, MAX).unwrap()
}

fn read_v5(input: &mut bytes::BytesMut) -> v5::Packet {
    v5::read(input, MAX).unwrap()
}

pub fn decode_v4(sample: &Sample) -> Contender {
    from_buffer(NAME, sample, |input| v4::read(input, MAX))
}

pub fn decode_v5(sample: &Sample) -> Contender {
    from_buffer(NAME, sample, |input| v5::read(input, MAX))
}

macro_rules! write {
    ($version:ident, $packet:expr, $out:expr) => {
        match $packet {
            $version::Packet::Publish(packet) => packet.write($out),
            $version::Packet::Connect(packet) => packet.write($out),
            $version::Packet::Subscribe(packet) => packet.write($out),
            $version::Packet::PubAck(packet) => packet.write($out),
            $version::Packet::PingReq => $version::PingReq.write($out),
            other => unreachable!("{other:?} is in no sample"),
        }
        .unwrap()
    };
}

pub fn encode_v4(sample: &Sample) -> Contender {
    to_buffer(NAME, sample, decoded(sample, read_v4), |packet, out| {
        write!(v4, packet, out);
    })
}

pub fn encode_v5(sample: &Sample) -> Contender {
    to_buffer(NAME, sample, decoded(sample, read_v5), |packet, out| {
        write!(v5, packet, out);
    })
}
