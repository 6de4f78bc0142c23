//! What one side must not ask of the other.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes, BytesMut};
use mqttkit_codec::{
    ClientConfig, Closed, Codec, ConnAck, Connect, Delivery, Message, PacketId, ProtocolError, Publish,
    PublishError, QoS, ReasonCode, ServerConfig, Session, Version,
};

use crate::{Pair, message, text, token_of, topic};

#[test]
fn receive_maximum_bounds_what_is_in_flight_both_ways() {
    // [MQTT-3.3.4-7], [MQTT-3.3.4-9]
    let mut client = ClientConfig::default();
    client.receive_maximum = NonZeroU16::new(2).unwrap();
    let mut server = ServerConfig::default();
    server.receive_maximum = NonZeroU16::new(3).unwrap();
    let mut pair = Pair::with(client, server, Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.acks = false;
    assert_eq!((pair.client.send_quota(), pair.server.send_quota()), (3, 2));
    for number in 0..3 {
        pair.client.publish(pair.now, message(number, QoS::ExactlyOnce)).unwrap();
    }
    let refused = pair.client.publish(pair.now, message(3, QoS::AtLeastOnce));
    assert_eq!(refused, Err(PublishError::QuotaExhausted));
    assert_eq!(pair.client.publish(pair.now, message(4, QoS::AtMostOnce)), Ok(None), "QoS 0 is not bounded");
    pair.run();

    let token = token_of(pair.server_events.front());
    pair.server.ack(pair.now, token, ReasonCode::Success);
    pair.run();
    assert_eq!(pair.client.send_quota(), 1, "one is complete");

    // A client that does not keep to it is told and closed.
    let mut rogue = BytesMut::new();
    for id in 100..102 {
        let delivery = Delivery::AtLeastOnce(PacketId::new(id).unwrap());
        let publish = Publish { delivery, ..Publish::new(topic("t"), Bytes::new()) };
        Codec::new(Version::V5).encode(&publish, &mut rogue).unwrap();
    }
    pair.to_server.unsplit(rogue);
    pair.run();
    assert_eq!(pair.server_closed(), Some(Closed::Protocol(ProtocolError::ReceiveMaximumExceeded(3))));
}

#[test]
fn the_clients_maximum_packet_size_is_kept() {
    // [MQTT-3.1.2-24], [MQTT-3.1.2-25]
    let mut client = ClientConfig::default();
    client.max_packet_size = 100;
    let mut pair =
        Pair::with(client, ServerConfig::default(), Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    let large = Message::new(topic("t"), vec![0; 100]).with_qos(QoS::AtLeastOnce);
    assert!(matches!(pair.server.publish(pair.now, large), Err(PublishError::Encode(_))));
    assert_eq!(pair.server.transmit().remaining(), 0, "nothing was written");
    assert!(pair.server.take_session().is_empty(), "and nothing is kept");
}

#[test]
fn a_packet_above_the_servers_limit_is_refused_by_its_header() {
    let mut server = ServerConfig::default();
    server.max_packet_size = 1000;
    let mut pair =
        Pair::with(ClientConfig::default(), server, Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    // Header of a PUBLISH of 200 MB, of which nothing follows.
    pair.to_server.extend_from_slice(&[0x30, 0x80, 0x80, 0x80, 0x60]);
    pair.run();
    let Some(Closed::Peer(goodbye)) = pair.client_closed() else { panic!() };
    assert_eq!(goodbye.reason, ReasonCode::PacketTooLarge);
}
