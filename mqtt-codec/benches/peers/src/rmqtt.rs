//! rmqtt-codec, for both versions. Its encoder consumes the packet.

use std::hint::black_box;

use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

use crate::harness::Contender;
use crate::samples::Sample;
use crate::{decoded, from_buffer};

const NAME: &str = "rmqtt-codec";

pub fn decode_v3(sample: &Sample) -> Contender {
    let mut codec = v3::Codec::default();
    from_buffer(NAME, sample, move |input| codec.decode(input))
}

pub fn decode_v5(sample: &Sample) -> Contender {
    let mut codec = v5::Codec::default();
    from_buffer(NAME, sample, move |input| codec.decode(input))
}

fn encode<C>(sample: &Sample, mut codec: C) -> Contender
where
    C: Decoder + Encoder<<C as Unnumbered>::Packet> + Unnumbered + 'static,
    <C as Decoder>::Error: core::fmt::Debug,
    <C as Encoder<C::Packet>>::Error: core::fmt::Debug,
{
    let packets = decoded(sample, |input| C::packet(codec.decode(input).unwrap().unwrap()));
    let sample = sample.clone();
    let prepare = move || {
        let packets: Vec<_> = (0..sample.repeat).flat_map(|_| packets.clone()).collect();
        (packets, sample.room())
    };
    Contender::new(NAME, prepare, move |(packets, out)| {
        for packet in packets.drain(..) {
            codec.encode(black_box(packet), out).unwrap();
        }
        black_box(&out);
    })
}

/// Its decoder gives the packet together with its length.
trait Unnumbered: Decoder {
    type Packet: Clone + 'static;
    fn packet(item: Self::Item) -> Self::Packet;
}

impl Unnumbered for v3::Codec {
    type Packet = v3::Packet;
    fn packet(item: Self::Item) -> v3::Packet {
        item.0
    }
}

impl Unnumbered for v5::Codec {
    type Packet = v5::Packet;
    fn packet(item: Self::Item) -> v5::Packet {
        item.0
    }
}

pub fn encode_v3(sample: &Sample) -> Contender {
    encode(sample, v3::Codec::default())
}

pub fn encode_v5(sample: &Sample) -> Contender {
    encode(sample, v5::Codec::default())
}
