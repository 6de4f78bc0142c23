//! Messages ready to be sent: encoded once, framed, many in one write.

use std::error::Error;
use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    Codec, Delivery, Publish, QoS, Subscribe, Subscription, TopicFilter, TopicName, Version,
};

use crate::frame;

/// The most bytes of messages in one WebSocket frame, unless a single message is larger.
const FRAME: usize = 32 << 10;

/// What the messages of a batch are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Bytes of payload.
    pub(crate) size: usize,
    pub(crate) websocket: bool,
}

/// A number of messages as one run of bytes.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the packet identifiers stand.
    ids: Vec<usize>,
    /// Where the payloads begin.
    payloads: Vec<usize>,
}

impl Batch {
    /// One message to each of these topics.
    pub(crate) fn new<'a>(
        kind: Kind,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut batch = Self { bytes: Vec::new(), ids: Vec::new(), payloads: Vec::new() };
        let (mut frame, mut ids, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        let codec = Codec::new(kind.version);
        let payload = Bytes::from(vec![b'x'; kind.size]);
        let mut packet = BytesMut::new();
        for topic in topics {
            let mut publish = Publish::new(TopicName::try_from(topic)?, payload.clone());
            publish.retain = kind.retain;
            publish.delivery = match kind.qos {
                QoS::AtMostOnce => Delivery::AtMostOnce,
                QoS::AtLeastOnce => Delivery::AtLeastOnce(NonZeroU16::MIN.into()),
                QoS::ExactlyOnce => Delivery::ExactlyOnce(NonZeroU16::MIN.into()),
            };
            packet.clear();
            codec.encode(&publish, &mut packet)?;
            if kind.websocket && !frame.is_empty() && frame.len() + packet.len() > FRAME {
                batch.close_frame(kind, &mut frame, &mut ids, &mut payloads);
            }
            let end = frame.len() + packet.len();
            payloads.push(end - kind.size);
            if kind.qos > QoS::AtMostOnce {
                let properties = usize::from(kind.version == Version::V5);
                ids.push(end - kind.size - properties - 2);
            }
            frame.extend_from_slice(&packet);
        }
        batch.close_frame(kind, &mut frame, &mut ids, &mut payloads);
        Ok(batch)
    }

    fn close_frame(
        &mut self,
        kind: Kind,
        frame: &mut Vec<u8>,
        ids: &mut Vec<usize>,
        payloads: &mut Vec<usize>,
    ) {
        if kind.websocket {
            frame::put_header(&mut self.bytes, frame.len());
        }
        let start = self.bytes.len();
        self.ids.extend(ids.drain(..).map(|at| start + at));
        self.payloads.extend(payloads.drain(..).map(|at| start + at));
        self.bytes.append(frame);
    }

    /// The bytes, with the identifiers from this one on, which is counted up.
    pub(crate) fn with_ids(&mut self, next_id: &mut u16) -> &[u8] {
        for &at in &self.ids {
            self.bytes[at..at + 2].copy_from_slice(&next_id.to_be_bytes());
            *next_id = next_id.checked_add(1).unwrap_or(1);
        }
        &self.bytes
    }

    /// The same with this stamp at the beginning of each payload.
    pub(crate) fn stamped(&mut self, stamp: u64, next_id: &mut u16) -> &[u8] {
        for &at in &self.payloads {
            self.bytes[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        self.with_ids(next_id)
    }
}

/// A SUBSCRIBE packet for these filters.
pub(crate) fn subscribe<'a>(
    version: Version,
    qos: QoS,
    filters: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut subscriptions = Vec::new();
    for filter in filters {
        subscriptions.push(Subscription::new(TopicFilter::try_from(filter)?, qos));
    }
    let mut packet = BytesMut::new();
    Codec::new(version).encode(&Subscribe::new(NonZeroU16::MIN.into(), subscriptions), &mut packet)?;
    Ok(packet.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::{Packet, PacketId};

    #[test]
    fn identifiers_and_stamps_stand_where_they_belong() {
        for version in [Version::V311, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let kind = Kind { version, qos, retain: false, size: 200, websocket: false };
                let mut batch = Batch::new(kind, ["a/b", "a/bc"]).unwrap();
                let mut id = 1;
                batch.stamped(1, &mut id);
                let mut wire = BytesMut::from(batch.stamped(0x0102_0304_0506_0708, &mut id));
                let mut codec = Codec::new(version);
                for (topic, id) in [("a/b", 3), ("a/bc", 4)] {
                    let Some(Packet::Publish(publish)) = codec.decode(&mut wire).unwrap() else { panic!() };
                    assert_eq!(publish.topic.as_str(), topic);
                    assert_eq!(publish.delivery.qos(), qos);
                    assert_eq!(publish.delivery.packet_id().map_or(id, PacketId::get), id);
                    assert_eq!(publish.payload[..9], [1, 2, 3, 4, 5, 6, 7, 8, b'x']);
                }
                assert!(wire.is_empty());
            }
        }
    }

    #[test]
    fn large_batches_are_many_frames() {
        let kind = Kind {
            version: Version::V311,
            qos: QoS::AtLeastOnce,
            retain: false,
            size: 16 << 10,
            websocket: true,
        };
        let mut batch = Batch::new(kind, ["a"; 5]).unwrap();
        let (mut frames, mut wire, mut bytes) =
            (frame::Frames::default(), BytesMut::new(), batch.with_ids(&mut 1));
        while let Some(frame::Piece::Bytes(inside)) = frames.next(&mut bytes) {
            wire.extend_from_slice(inside);
            assert!(inside.len() <= FRAME);
        }
        let mut codec = Codec::new(Version::V311);
        for id in 1..=5 {
            let Some(Packet::Publish(publish)) = codec.decode(&mut wire).unwrap() else { panic!() };
            assert_eq!(publish.delivery.packet_id().map(PacketId::get), Some(id));
        }
    }
}
