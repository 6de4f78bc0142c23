//! The packets that clients send.

use bytes::{Bytes, BytesMut};
use mqttkit_codec::{
    Codec, Connect, ConnectProperties, Delivery, EncodePacket, PacketId, Publish, QoS, Subscribe,
    Subscription, TopicFilter, TopicName, Version,
};

fn encode(packet: &impl EncodePacket) -> BytesMut {
    let mut bytes = BytesMut::new();
    Codec::new(Version::V5).encode(packet, &mut bytes).unwrap();
    bytes
}

pub(crate) fn connect(client_id: &str) -> BytesMut {
    encode(&Connect::new(Version::V5, client_id.try_into().unwrap()))
}

/// Of a session that outlives its connection.
pub(crate) fn resume(client_id: &str) -> BytesMut {
    let mut connect = Connect::new(Version::V5, client_id.try_into().unwrap());
    connect.clean_start = false;
    connect.properties = ConnectProperties::new().with_session_expiry_interval(3600);
    encode(&connect)
}

pub(crate) fn subscribe(filters: &[String], qos: QoS) -> BytesMut {
    let subscriptions =
        filters.iter().map(|filter| Subscription::new(TopicFilter::try_from(filter.as_str()).unwrap(), qos));
    encode(&Subscribe::new(id(1), subscriptions))
}

/// One message of 64 bytes to each topic.
pub(crate) fn publish<'a>(topics: impl IntoIterator<Item = &'a str>, qos: QoS, retain: bool) -> BytesMut {
    let mut bytes = BytesMut::new();
    for (number, topic) in topics.into_iter().enumerate() {
        let mut publish = Publish::new(TopicName::try_from(topic).unwrap(), Bytes::from_static(&[b'x'; 64]));
        publish.retain = retain;
        if qos == QoS::AtLeastOnce {
            publish.delivery = Delivery::AtLeastOnce(id(number % 1000 + 1));
        }
        bytes.unsplit(encode(&publish));
    }
    bytes
}

fn id(number: usize) -> PacketId {
    PacketId::new(u16::try_from(number).unwrap()).unwrap()
}
