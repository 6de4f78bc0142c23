//! mqtt-protocol-core: its packet builder copies each packet, `to_continuous_buffer` makes a vector of each.

use std::hint::black_box;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, v3_1_1, v5_0};

use crate::harness::Contender;
use crate::samples::Sample;

const NAME: &str = "mqtt-protocol-core";

macro_rules! reader {
    ($read:ident, $version:ident) => {
        fn $read(builder: &mut PacketBuilder, input: &mut Cursor<&[u8]>) -> Packet {
            let raw = loop {
                // It stops once between the header and the body.
                match builder.feed(input) {
                    PacketBuildResult::Complete(raw) => break raw,
                    PacketBuildResult::Incomplete => {}
                    PacketBuildResult::Error(error) => unreachable!("{error}"),
                }
            };
            let flags = raw.flags();
            if let PacketData::Publish(data) = raw.data {
                return $version::Publish::parse(flags, data).unwrap().0.into();
            }
            match raw.packet_type() {
                1 => raw.parse_exact($version::Connect::parse).unwrap().into(),
                4 => raw.parse_exact($version::Puback::parse).unwrap().into(),
                8 => raw.parse_exact($version::Subscribe::parse).unwrap().into(),
                12 => raw.parse_exact($version::Pingreq::parse).unwrap().into(),
                other => unreachable!("packet type {other} is in no sample"),
            }
        }
    };
}

reader!(read_v4, v3_1_1);
reader!(read_v5, v5_0);

type Read = fn(&mut PacketBuilder, &mut Cursor<&[u8]>) -> Packet;

fn decode(sample: &Sample, read: Read) -> Contender {
    let (input, total) = (sample.slice(), sample.total());
    Contender::new(NAME, PacketBuilder::new, move |builder| {
        let mut input = Cursor::new(&input[..]);
        for _ in 0..total {
            black_box(&read(builder, &mut input));
        }
    })
}

fn encode(sample: &Sample, read: Read) -> Contender {
    let (mut builder, mut input) = (PacketBuilder::new(), Cursor::new(&sample.wire[..]));
    let packets: Vec<_> = (0..sample.packets).map(|_| read(&mut builder, &mut input)).collect();
    let repeat = sample.repeat;
    Contender::new(
        NAME,
        || (),
        move |()| {
            for _ in 0..repeat {
                for packet in &packets {
                    black_box(&black_box(packet).to_continuous_buffer());
                }
            }
        },
    )
}

pub fn decode_v4(sample: &Sample) -> Contender {
    decode(sample, read_v4)
}

pub fn decode_v5(sample: &Sample) -> Contender {
    decode(sample, read_v5)
}

pub fn encode_v4(sample: &Sample) -> Contender {
    encode(sample, read_v4)
}

pub fn encode_v5(sample: &Sample) -> Contender {
    encode(sample, read_v5)
}
