//! Our codec and others, at the same work in one process.

#[path = "../../speed/harness.rs"]
pub mod harness;
#[path = "../../speed/ours.rs"]
mod ours;
#[path = "../../speed/samples.rs"]
mod samples;

mod flowsdk;
mod mqtt5_protocol;
mod mqtt_protocol_core;
mod mqttbytes;
mod mqttrs;
mod rmqtt;
mod rumqttc;

use mqttkit_codec::Version;

use harness::{Contender, Work};
use samples::Sample;

/// Every work with all who can do it, ours first.
pub fn works() -> Vec<Work> {
    let mut works = ours::works();
    let samples = ours::samples();
    for (name, sample) in ours::DECODE.into_iter().zip(&samples) {
        add(&mut works, name, decoders(sample));
    }
    for (name, sample) in ours::ENCODE.into_iter().zip(&samples) {
        add(&mut works, name, encoders(sample));
    }
    add(&mut works, ours::MATCH_ONE, matchers());
    works
}

fn add(works: &mut [Work], name: &str, contenders: Vec<Contender>) {
    for work in works {
        if work.name == name {
            work.contenders.extend(contenders);
            return;
        }
    }
}

fn decoders(sample: &Sample) -> Vec<Contender> {
    if sample.version == Version::V5 {
        vec![
            rumqttc::decode_v5(sample),
            mqttbytes::decode_v5(sample),
            mqtt_protocol_core::decode_v5(sample),
            rmqtt::decode_v5(sample),
            mqtt5_protocol::decode(sample),
            flowsdk::decode(sample),
        ]
    } else {
        vec![
            rumqttc::decode_v4(sample),
            mqttbytes::decode_v4(sample),
            mqttrs::decode(sample),
            mqtt_protocol_core::decode_v4(sample),
            rmqtt::decode_v3(sample),
            mqtt5_protocol::decode(sample),
            flowsdk::decode(sample),
        ]
    }
}

fn encoders(sample: &Sample) -> Vec<Contender> {
    if sample.version == Version::V5 {
        vec![
            rumqttc::encode_v5(sample),
            mqttbytes::encode_v5(sample),
            mqtt_protocol_core::encode_v5(sample),
            rmqtt::encode_v5(sample),
            mqtt5_protocol::encode(sample),
            flowsdk::encode(sample),
        ]
    } else {
        vec![
            rumqttc::encode_v4(sample),
            mqttbytes::encode_v4(sample),
            mqttrs::encode(sample),
            mqtt_protocol_core::encode_v4(sample),
            rmqtt::encode_v3(sample),
            mqtt5_protocol::encode(sample),
            flowsdk::encode(sample),
        ]
    }
}

fn matchers() -> Vec<Contender> {
    vec![
        one("rumqttc", ::rumqttc::matches),
        one("mqttbytes", ::mqttbytes::matches),
        one("mqtt5-protocol", ::mqtt5_protocol::topic_matching::matches),
    ]
}

fn one(name: &'static str, matches: impl Fn(&str, &str) -> bool + 'static) -> Contender {
    use std::hint::black_box;
    let topics = samples::topics();
    Contender::new(
        name,
        || (),
        move |()| {
            for topic in &topics {
                black_box(matches(black_box(topic), black_box("plant/+/line/3/robot/+/state")));
            }
        },
    )
}

/// A decoder that takes packets, or results, from the front of a `BytesMut`.
fn from_buffer<P: 'static>(
    name: &'static str,
    sample: &Sample,
    mut read: impl FnMut(&mut bytes::BytesMut) -> P + 'static,
) -> Contender {
    let (sample, total) = (sample.clone(), sample.total());
    Contender::new(
        name,
        move || sample.buffer(),
        move |buffer| {
            for _ in 0..total {
                std::hint::black_box(&read(buffer));
            }
            assert!(buffer.is_empty());
        },
    )
}

/// The packets of a sample, as the peer decodes them.
fn decoded<P>(sample: &Sample, mut read: impl FnMut(&mut bytes::BytesMut) -> P) -> Vec<P> {
    let mut input = bytes::BytesMut::from(&sample.wire[..]);
    (0..sample.packets).map(|_| read(&mut input)).collect()
}

/// An encoder that appends to a `BytesMut`.
fn to_buffer<P: 'static>(
    name: &'static str,
    sample: &Sample,
    packets: Vec<P>,
    mut write: impl FnMut(&P, &mut bytes::BytesMut) + 'static,
) -> Contender {
    let sample = sample.clone();
    let mut check = bytes::BytesMut::new();
    packets.iter().for_each(|packet| write(packet, &mut check));
    // Properties may be in another order.
    assert_eq!(check.len(), sample.wire.len(), "{name} writes as many bytes");
    let repeat = sample.repeat;
    Contender::new(
        name,
        move || sample.room(),
        move |out| {
            for _ in 0..repeat {
                for packet in &packets {
                    write(std::hint::black_box(packet), out);
                }
            }
            std::hint::black_box(&out);
        },
    )
}

/// The fixed header's length and the packet's, for codecs that leave the framing to their caller.
fn frame(input: &[u8]) -> (usize, usize) {
    let (mut value, mut len) = (0, 1);
    loop {
        let byte = input[len];
        value |= usize::from(byte & 0x7f) << (7 * (len - 1));
        len += 1;
        if byte & 0x80 == 0 {
            return (len, len + value);
        }
    }
}
