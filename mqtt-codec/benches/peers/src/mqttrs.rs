//! mqttrs: MQTT 3.1.1, packets borrow from the input, and it writes to slices.

use std::hint::black_box;

use mqttrs::{decode_slice, encode_slice};

use crate::frame;
use crate::harness::Contender;
use crate::samples::Sample;

const NAME: &str = "mqttrs (borrows)";

pub fn decode(sample: &Sample) -> Contender {
    let input = sample.slice();
    let run = move |_: &mut ()| {
        let mut rest = &input[..];
        while !rest.is_empty() {
            black_box(&decode_slice(rest));
            rest = &rest[frame(rest).1..];
        }
    };
    Contender::new(NAME, || (), run).borrowed()
}

pub fn encode(sample: &Sample) -> Contender {
    let wire: &'static [u8] = Box::leak(sample.wire.to_vec().into_boxed_slice());
    let mut packets = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        packets.push(decode_slice(rest).unwrap().unwrap());
        rest = &rest[frame(rest).1..];
    }
    let (room, repeat) = (sample.room().capacity(), sample.repeat);
    Contender::new(
        NAME,
        move || vec![1; room],
        move |out| {
            let mut at = 0;
            for _ in 0..repeat {
                for packet in &packets {
                    at += encode_slice(black_box(packet), &mut out[at..]).unwrap();
                }
            }
            black_box(&out);
        },
    )
}
