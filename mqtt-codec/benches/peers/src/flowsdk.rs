//! flowsdk: reads from slices, copies all of it, and makes a vector of each packet it writes.

use std::hint::black_box;

use flowsdk::mqtt_serde::control_packet::MqttPacket;
use flowsdk::mqtt_serde::parser::ParseOk;

use crate::harness::Contender;
use crate::samples::Sample;

const NAME: &str = "flowsdk";

fn read(input: &[u8], version: u8) -> (MqttPacket, usize) {
    match MqttPacket::from_bytes_with_version(input, version).unwrap() {
        ParseOk::Packet(packet, len) => (packet, len),
        _ => unreachable!("every packet is complete"),
    }
}

pub fn decode(sample: &Sample) -> Contender {
    let (input, version) = (sample.slice(), sample.version.level());
    Contender::new(
        NAME,
        || (),
        move |()| {
            let mut rest = &input[..];
            while !rest.is_empty() {
                let result = MqttPacket::from_bytes_with_version(rest, version);
                let Ok(ParseOk::Packet(_, len)) = black_box(&result) else {
                    unreachable!("all are complete")
                };
                rest = &rest[*len..];
            }
        },
    )
}

pub fn encode(sample: &Sample) -> Contender {
    let (mut packets, mut rest) = (Vec::new(), &sample.wire[..]);
    while !rest.is_empty() {
        let (packet, len) = read(rest, sample.version.level());
        packets.push(packet);
        rest = &rest[len..];
    }
    let repeat = sample.repeat;
    Contender::new(
        NAME,
        || (),
        move |()| {
            for _ in 0..repeat {
                for packet in &packets {
                    black_box(&black_box(packet).to_bytes().unwrap());
                }
            }
        },
    )
}
