//! The bytes that every codec is measured with, and the topics and filters.

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    Binary, Codec, Connect, ConnectProperties, Delivery, EncodePacket, Packet, PacketId, PubAck, Publish,
    PublishProperties, QoS, Str, Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName,
    Version, Will,
};

/// How many packets stand in one read buffer.
pub const BATCH: usize = 128;
/// As many, when they are large.
pub const LARGE_BATCH: usize = 4;
/// How many filters a map holds.
pub const FILTERS: usize = 10_000;

/// A packet on the wire, and how often it stands in a read buffer.
#[derive(Clone)]
pub struct Sample {
    pub version: Version,
    /// One or more packets.
    pub wire: Bytes,
    /// How many packets those are.
    pub packets: usize,
    /// How often `wire` is repeated.
    pub repeat: usize,
}

impl Sample {
    /// A read buffer as a socket leaves it: full, and shared, since packets were split off it before.
    pub fn buffer(&self) -> BytesMut {
        let mut buffer = BytesMut::with_capacity(self.wire.len() * self.repeat);
        for _ in 0..self.repeat {
            buffer.extend_from_slice(&self.wire);
        }
        drop(buffer.split_to(0));
        buffer
    }

    /// The same bytes, for codecs that read from slices.
    pub fn slice(&self) -> Bytes {
        self.buffer().freeze()
    }

    /// An empty buffer with room for all packets, in memory that was touched before.
    pub fn room(&self) -> BytesMut {
        let mut room = BytesMut::zeroed(self.wire.len() * self.repeat + 64);
        room.iter_mut().for_each(|byte| *byte = 1);
        room.clear();
        room
    }

    pub fn total(&self) -> usize {
        self.packets * self.repeat
    }

    /// The packets, decoded.
    pub fn packets(&self) -> Vec<Packet> {
        let (mut codec, mut input) = (Codec::new(self.version), BytesMut::from(&self.wire[..]));
        core::iter::from_fn(|| codec.decode(&mut input).unwrap()).collect()
    }
}

fn sample<P: EncodePacket>(version: Version, repeat: usize, packets: &[P]) -> Sample {
    let (codec, mut wire) = (Codec::new(version), BytesMut::new());
    for packet in packets {
        codec.encode(packet, &mut wire).unwrap();
    }
    Sample { version, wire: wire.freeze(), packets: packets.len(), repeat }
}

const TOPIC: &str = "plant/7/line/3/robot/12/state";

fn topic(topic: &str) -> TopicName {
    TopicName::try_from(topic).unwrap()
}

fn text(text: &str) -> Str {
    Str::try_from(text).unwrap()
}

/// 97 bytes: QoS 0, MQTT 3.1.1.
pub fn publish_v3() -> Sample {
    let sample = sample(Version::V311, BATCH, &[Publish::new(topic(TOPIC), vec![b'x'; 64].into())]);
    assert_eq!(sample.wire.len(), 97);
    sample
}

/// 185 bytes: QoS 1, MQTT 5.0, with four properties of which two are User Properties.
pub fn publish_v5() -> Sample {
    let mut publish = Publish::new(topic(TOPIC), vec![b'x'; 79].into());
    publish.delivery = Delivery::AtLeastOnce(PacketId::new(4711).unwrap());
    publish.properties = PublishProperties::new()
        .with_message_expiry_interval(3600)
        .with_content_type(&text("application/json"))
        .with_user_property(&text("trace-id"), &text("4bf92f3577b34da6"))
        .with_user_property(&text("unit"), &text("celsius"));
    let sample = sample(Version::V5, BATCH, &[publish]);
    assert_eq!(sample.wire.len(), 185);
    sample
}

/// CONNECT with will, user name and password; SUBSCRIBE with three filters; PUBACK; PINGREQ.
pub fn mixed(version: Version) -> Sample {
    let mut connect = Connect::new(version, text("line-3-gateway"));
    connect.user_name = Some(text("gateway"));
    connect.password = Some(Binary::try_from("correct horse battery").unwrap());
    connect.will = Some(Will::new(topic("plant/7/line/3/online"), Binary::try_from("false").unwrap()));
    if version == Version::V5 {
        connect.properties = ConnectProperties::new().with_session_expiry_interval(3600);
    }
    let subscription = |filter| Subscription {
        filter: TopicFilter::try_from(filter).unwrap(),
        options: SubscriptionOptions::new(QoS::AtLeastOnce),
    };
    let filters = ["plant/7/line/3/robot/+/state", "plant/7/alarms/#", "plant/7/line/3/command"];
    let id = PacketId::new(17).unwrap();
    let packets = [
        connect.into(),
        Subscribe::new(id, filters.map(subscription)).into(),
        PubAck::new(id).into(),
        Packet::PingReq,
    ];
    sample(version, BATCH / packets.len(), &packets)
}

/// A payload of 1 MiB, QoS 0, MQTT 3.1.1.
pub fn large() -> Sample {
    sample(Version::V311, LARGE_BATCH, &[Publish::new(topic(TOPIC), vec![b'x'; 1 << 20].into())])
}

/// Of ten filters six have no wildcard, three have a `+` and one a `#`; none is there twice.
pub fn filters() -> Vec<String> {
    (0..FILTERS)
        .map(|index| {
            let (plant, line, robot) = (index % 10, index / 10 % 10, index / 100);
            match (index + index / 10 + index / 100) % 10 {
                0..6 => format!("plant/{plant}/line/{line}/robot/{robot}/state"),
                6 | 7 => format!("plant/{plant}/line/+/robot/{robot}/state"),
                8 => format!("plant/+/line/{line}/robot/{robot}/+"),
                _ => format!("plant/{plant}/line/{line}/robot/{robot}/#"),
            }
        })
        .collect()
}

/// Topics that some of the filters match, spread over all of them.
pub fn topics() -> Vec<String> {
    (0..BATCH)
        .map(|index| {
            let (plant, line, robot) = (index * 7 % 10, index * 3 % 10, index * 37 % 100);
            format!("plant/{plant}/line/{line}/robot/{robot}/state")
        })
        .collect()
}
