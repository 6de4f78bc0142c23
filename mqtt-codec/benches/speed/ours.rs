//! What `mqttkit-codec` does with the samples.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    Codec, ConnAck, Connect, FilterMap, Instant, Packet, ServerConfig, ServerConnection, ServerEvent,
    Session, matches,
};

use crate::harness::{Contender, Work};
use crate::samples::{self, Sample};

const NAME: &str = "mqttkit-codec";

/// Every work, with us as its first and only contender.
pub fn works() -> Vec<Work> {
    let [publish_v3, publish_v5, mixed_v3, mixed_v5, large] = samples();
    let ours = |name, batch, contender| Work { name, batch, contenders: vec![contender] };
    vec![
        ours(DECODE[0], publish_v3.total(), decode(&publish_v3)),
        ours(DECODE[1], publish_v5.total(), decode(&publish_v5)),
        ours(DECODE[2], mixed_v3.total(), decode(&mixed_v3)),
        ours(DECODE[3], mixed_v5.total(), decode(&mixed_v5)),
        ours(DECODE[4], large.total(), decode(&large)),
        ours(ENCODE[0], publish_v3.total(), encode(&publish_v3)),
        ours(ENCODE[1], publish_v5.total(), encode(&publish_v5)),
        ours(ENCODE[2], mixed_v3.total(), encode(&mixed_v3)),
        ours(ENCODE[3], mixed_v5.total(), encode(&mixed_v5)),
        ours(ENCODE[4], large.total(), encode_header(&large)),
        ours(RECEIVE, publish_v3.total(), receive(&publish_v3)),
        ours(MATCH_MAP, samples::BATCH, match_in_map()),
        ours(MATCH_ONE, samples::BATCH, match_one()),
    ]
}

/// The samples, in the order of [`DECODE`] and [`ENCODE`].
pub fn samples() -> [Sample; 5] {
    use mqttkit_codec::Version::{V5, V311};
    let [mixed_v3, mixed_v5] = [samples::mixed(V311), samples::mixed(V5)];
    [samples::publish_v3(), samples::publish_v5(), mixed_v3, mixed_v5, samples::large()]
}

pub const DECODE: [&str; 5] = [
    "decode PUBLISH 97 B, QoS 0, 3.1.1",
    "decode PUBLISH 185 B, QoS 1, 5.0, 4 properties",
    "decode CONNECT/SUBSCRIBE/PUBACK/PINGREQ, 3.1.1",
    "decode CONNECT/SUBSCRIBE/PUBACK/PINGREQ, 5.0",
    "decode PUBLISH 1 MiB",
];
pub const ENCODE: [&str; 5] = [
    "encode PUBLISH 97 B, QoS 0, 3.1.1",
    "encode PUBLISH 185 B, QoS 1, 5.0, 4 properties",
    "encode CONNECT/SUBSCRIBE/PUBACK/PINGREQ, 3.1.1",
    "encode CONNECT/SUBSCRIBE/PUBACK/PINGREQ, 5.0",
    "encode PUBLISH 1 MiB",
];
pub const RECEIVE: &str = "receive PUBLISH 97 B, QoS 0, 3.1.1, as a server's connection";
pub const MATCH_MAP: &str = "match a topic against 10,000 filters";
pub const MATCH_ONE: &str = "match a topic against one filter";

fn decode(sample: &Sample) -> Contender {
    let sample = sample.clone();
    let version = sample.version;
    Contender::new(
        NAME,
        move || (Codec::new(version), sample.buffer()),
        |(codec, buffer)| {
            // Looked at where it was returned: to move it is its receiver's business.
            loop {
                let result = codec.decode(buffer);
                if !matches!(black_box(&result), Ok(Some(_))) {
                    break;
                }
            }
            assert!(buffer.is_empty());
        },
    )
}

/// From bytes to an event, with all the rules of a connection.
fn receive(sample: &Sample) -> Contender {
    let sample = sample.clone();
    let mut server = ServerConnection::new(ServerConfig::default(), Instant::ZERO);
    let mut hello = BytesMut::new();
    let connect = Connect::new(sample.version, "door".try_into().unwrap());
    Codec::new(sample.version).encode(&connect, &mut hello).unwrap();
    assert!(matches!(server.poll_event(Instant::ZERO, &mut hello), Some(ServerEvent::Connect(_))));
    server.accept(Instant::ZERO, ConnAck::accepted(false), Session::new());
    Contender::new(
        NAME,
        move || sample.buffer(),
        move |buffer| {
            while let Some(event) = server.poll_event(Instant::ZERO, buffer) {
                black_box(&event);
            }
            assert!(buffer.is_empty() && !server.is_closed());
        },
    )
}

fn encode(sample: &Sample) -> Contender {
    let (packets, sample) = (sample.packets(), sample.clone());
    let codec = Codec::new(sample.version);
    let repeat = sample.repeat;
    Contender::new(
        NAME,
        move || sample.room(),
        move |out| {
            for _ in 0..repeat {
                for packet in &packets {
                    codec.encode(black_box(packet), out).unwrap();
                }
            }
            black_box(&out);
        },
    )
}

/// The header into a buffer, and a handle of the payload for a vectored write.
fn encode_header(sample: &Sample) -> Contender {
    let (packets, sample) = (sample.packets(), sample.clone());
    let codec = Codec::new(sample.version);
    let prepare = || (BytesMut::with_capacity(1024), Vec::<Bytes>::with_capacity(samples::LARGE_BATCH));
    Contender::new(NAME, prepare, move |(out, payloads)| {
        for _ in 0..sample.repeat {
            let [Packet::Publish(publish)] = &packets[..] else { continue };
            codec.encode_publish_header(black_box(publish), out).unwrap();
            payloads.push(publish.payload.clone());
        }
        black_box((&out, &payloads));
    })
}

fn match_in_map() -> Contender {
    let mut map = FilterMap::new();
    for (key, filter) in (0u32..).zip(samples::filters()) {
        map.insert(&filter, key, ());
    }
    assert!(map.len() == samples::FILTERS);
    let topics = samples::topics();
    let prepare = || ();
    Contender::new(NAME, prepare, move |()| {
        let mut found = 0;
        for topic in &topics {
            map.for_each_match(black_box(topic), |&key, ()| found += key);
        }
        black_box(found);
    })
}

fn match_one() -> Contender {
    let topics = samples::topics();
    Contender::new(
        NAME,
        || (),
        move |()| {
            for topic in &topics {
                black_box(matches(black_box("plant/+/line/3/robot/+/state"), black_box(topic)));
            }
        },
    )
}
