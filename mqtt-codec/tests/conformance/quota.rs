//! Chapters 4.9 and 3.3.4: how many messages may be unacknowledged at a time, in both directions.

use std::num::NonZeroU16;

use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, Packet, PacketType, ProtocolError, PubAck, PubComp, PubRec,
    PubRel, PublishError, QoS, ReasonCode, Session, Subscription, Version,
};

use crate::common::{Client, Server, filter, goodbye, message, none, text};
use crate::flow::{incoming, messages};

fn maximum(maximum: u16) -> NonZeroU16 {
    NonZeroU16::new(maximum).unwrap()
}

/// A client whose server takes two messages at a time.
fn client_with_two() -> Client {
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_receive_maximum(maximum(2));
    Client::connected_to(connack)
}

/// A server whose client takes two messages at a time.
fn server_with_two() -> Server {
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.properties = connect.properties.with_receive_maximum(maximum(2));
    Server::connected_with(connect)
}

/// [MQTT-4.9.0-1]
#[test]
fn the_send_quota_starts_at_the_receive_maximum() {
    assert_eq!(client_with_two().connection.send_quota(), 2);
    assert_eq!(server_with_two().connection.send_quota(), 2);
    assert_eq!(Client::connected(Version::V5).connection.send_quota(), 65_535);
    assert_eq!(Server::connected(Version::V5).connection.send_quota(), 65_535);
}

macro_rules! quota_is_kept {
    ($side:expr) => {{
        let mut side = $side;
        let now = side.now;
        let first = side.connection.publish(now, message("1", QoS::AtLeastOnce)).unwrap().unwrap();
        let second = side.connection.publish(now, message("2", QoS::ExactlyOnce)).unwrap().unwrap();
        let full = Err(PublishError::QuotaExhausted);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            assert_eq!(side.connection.publish(now, message("3", qos)), full);
        }
        assert_eq!(side.sent().len(), 2, "nothing of the third was sent");
        assert_eq!(side.connection.publish(now, message("3", QoS::AtMostOnce)), Ok(None), "QoS 0 is free");

        side.receive_packet(PubRec::new(second));
        assert_eq!(side.connection.publish(now, message("3", QoS::AtLeastOnce)), full, "PUBREC is no end");
        side.receive_packet(PubComp::new(second));
        assert_eq!(side.connection.send_quota(), 1);
        let third = side.connection.publish(now, message("3", QoS::ExactlyOnce)).unwrap().unwrap();
        side.receive_packet(PubRec::new(third).with_reason(ReasonCode::QuotaExceeded));
        assert_eq!(side.connection.send_quota(), 1, "a refusal is one");
        side.receive_packet(PubAck::new(first));
        // Acknowledgements of nothing raise it no further.
        side.receive_packet(PubAck::new(first));
        side.receive_packet(PubComp::new(second));
        assert_eq!(side.connection.send_quota(), 2);
    }};
}

/// [MQTT-3.3.4-7], [MQTT-4.9.0-2]
#[test]
fn a_client_keeps_to_the_servers_receive_maximum() {
    quota_is_kept!(client_with_two());
}

/// [MQTT-3.3.4-9], [MQTT-4.9.0-2]
#[test]
fn a_server_keeps_to_the_clients_receive_maximum() {
    quota_is_kept!(server_with_two());
}

/// [MQTT-3.3.4-8], [MQTT-4.9.0-3]
#[test]
fn a_client_without_quota_delays_nothing_but_messages() {
    let mut client = client_with_two();
    let now = client.now;
    for _ in 0..2 {
        client.connection.publish(now, message("", QoS::AtLeastOnce)).unwrap();
    }
    client.sent();
    let wanted = [Subscription::new(filter("a"), QoS::AtMostOnce)];
    client.connection.subscribe(now, none(), wanted).unwrap();
    client.connection.unsubscribe(now, none(), [filter("a")]).unwrap();
    for event in client.receive_packet(incoming("", QoS::ExactlyOnce, 5)) {
        let ClientEvent::Publish { token: Some(token), .. } = event else { panic!() };
        client.connection.ack(now, token, ReasonCode::Success);
    }
    client.receive_packet(PubRel::new(crate::common::id(5)));
    client.now = client.connection.poll_timeout().unwrap();
    client.connection.handle_timeout(client.now);
    let sent: Vec<_> = client.sent().iter().map(Packet::packet_type).map(PacketType::name).collect();
    assert_eq!(sent, ["SUBSCRIBE", "UNSUBSCRIBE", "PUBREC", "PUBCOMP", "PINGREQ"]);
}

/// [MQTT-3.3.4-10], [MQTT-4.9.0-3]
#[test]
fn a_server_without_quota_delays_nothing_but_messages() {
    let mut server = server_with_two();
    let now = server.now;
    for _ in 0..2 {
        server.connection.publish(now, message("", QoS::AtLeastOnce)).unwrap();
    }
    server.sent();
    let received = messages(server.receive_packet(incoming("", QoS::AtLeastOnce, 5)));
    server.connection.ack(now, received[0].1.unwrap(), ReasonCode::Success);
    server.receive(&[0xc0, 0]);
    let sent: Vec<_> = server.sent().iter().map(Packet::packet_type).map(PacketType::name).collect();
    assert_eq!(sent, ["PUBACK", "PINGRESP"]);
}

/// The other side of [MQTT-3.3.4-7] and [MQTT-3.3.4-9]
#[test]
fn a_peer_that_exceeds_the_receive_maximum_is_told() {
    let mut server = Server::with_config(|config| config.receive_maximum = maximum(2))
        .asked(Connect::new(Version::V5, text("c")));
    server.connection.accept(server.now, ConnAck::accepted(false), Session::new());
    let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
    assert_eq!(connack.properties.receive_maximum(), Some(maximum(2)));
    server.receive_packet(incoming("", QoS::AtLeastOnce, 1));
    server.receive_packet(incoming("", QoS::ExactlyOnce, 2));
    // One that was sent before is no further one.
    assert_eq!(server.receive_packet(incoming("", QoS::ExactlyOnce, 2)), []);
    let wire = crate::common::encoded(Version::V5, incoming("", QoS::AtLeastOnce, 3));
    let expected = Closed::Protocol(ProtocolError::ReceiveMaximumExceeded(2));
    assert_eq!(server.closed_by(&wire), expected);
    assert_eq!(goodbye(&server.sent()), ReasonCode::ReceiveMaximumExceeded);

    let connect = Connect::new(Version::V5, text("c"));
    let mut client =
        Client::connecting_with(connect, Session::new(), |config| config.receive_maximum = maximum(2))
            .answered(ConnAck::accepted(false));
    client.receive_packet(incoming("", QoS::AtLeastOnce, 1));
    client.receive_packet(incoming("", QoS::ExactlyOnce, 2));
    assert_eq!(client.closed_by(&wire), expected);
    assert_eq!(goodbye(&client.sent()), ReasonCode::ReceiveMaximumExceeded);
}
