//! Chapters 4.9 and 3.3.4: how many messages may be unacknowledged at a time, in both directions.

use std::num::NonZeroU16;

use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, Packet, PacketType, ProtocolError, PubAck, PubComp, PubRec,
    PubRel, Publish, PublishError, QoS, ReasonCode, Session, Subscription, Version,
};

use crate::common::{Client, Server, encoded, filter, goodbye, id, message, none, resuming, text};
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
    client.receive_packet(PubRel::new(id(5)));
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
    let wire = encoded(Version::V5, incoming("", QoS::AtLeastOnce, 3));
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

/// [MQTT-4.9.0-1]: what came over an earlier connection takes nothing from the quota of this one, on either side.
#[test]
fn both_quotas_begin_anew_with_each_connection() {
    let mut server = Server::fresh().asked(resuming(Version::V5));
    server.connection.accept(server.now, ConnAck::accepted(true), Session::new());
    for (payload, packet_id) in [("1", 1), ("2", 2)] {
        let received = messages(server.receive_packet(incoming(payload, QoS::ExactlyOnce, packet_id)));
        server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
    }
    let session = server.connection.take_session();
    let mut server = Server::with_config(|config| config.receive_maximum = maximum(1));
    server = server.asked(resuming(Version::V5)).accepted(ConnAck::accepted(true), session);
    assert_eq!(messages(server.receive_packet(incoming("3", QoS::AtLeastOnce, 3))).len(), 1);
    server.receive_packet(PubRel::new(id(1)));
    // One that is sent again counts like any other.
    let again = Publish { dup: true, ..incoming("2", QoS::ExactlyOnce, 2) };
    let closed = server.closed_by(&encoded(Version::V5, again));
    assert_eq!(closed, Closed::Protocol(ProtocolError::ReceiveMaximumExceeded(1)));
}

/// [MQTT-3.3.4-8], [MQTT-3.3.4-10]: what is released waits for no quota, also when a session resumes.
#[test]
fn a_release_does_not_wait_behind_a_message() {
    let mut client =
        Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
    for payload in ["1", "2", "3"] {
        client.connection.publish(client.now, message(payload, QoS::ExactlyOnce)).unwrap();
    }
    client.receive_packet(PubRec::new(id(3)));
    let session = client.connection.take_session();
    let mut connack = ConnAck::accepted(true);
    connack.properties = connack.properties.with_receive_maximum(maximum(1));
    let mut client = Client::connecting(resuming(Version::V5), session).answered(connack);
    let first = Publish { dup: true, ..incoming("1", QoS::ExactlyOnce, 1) };
    assert_eq!(client.sent(), [first.into(), PubRel::new(id(3)).into()]);
    client.receive_packet(PubComp::new(id(3)));
    assert_eq!((client.sent(), client.connection.send_quota()), (vec![], 0), "no quota comes of it");
    client.receive_packet(PubRec::new(id(1)));
    client.receive_packet(PubComp::new(id(1)));
    let second = Publish { dup: true, ..incoming("2", QoS::ExactlyOnce, 2) };
    assert_eq!(client.sent(), [PubRel::new(id(1)).into(), second.into()]);
}

/// A refusal that waits behind another answer is not complete, however often its message is sent again.
#[test]
fn a_refused_message_counts_until_its_pubrec_has_left() {
    let mut server = Server::with_config(|config| config.receive_maximum = maximum(3))
        .asked(Connect::new(Version::V5, text("c")))
        .accepted(ConnAck::accepted(false), Session::new());
    server.receive_packet(incoming("", QoS::ExactlyOnce, 1));
    for _ in 0..2 {
        let received = messages(server.receive_packet(incoming("", QoS::ExactlyOnce, 2)));
        server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::QuotaExceeded);
    }
    let closed = server.closed_by(&encoded(Version::V5, incoming("", QoS::ExactlyOnce, 2)));
    assert_eq!(closed, Closed::Protocol(ProtocolError::ReceiveMaximumExceeded(3)));
}

/// Sender and receiver count alike through a long exchange of every kind of end.
#[test]
fn the_count_of_a_receiver_does_not_drift() {
    let mut server = Server::with_config(|config| config.receive_maximum = maximum(2))
        .asked(Connect::new(Version::V5, text("c")))
        .accepted(ConnAck::accepted(false), Session::new());
    for round in 0..300u16 {
        let qos = if round % 3 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let reason = if round % 5 == 0 { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        let both = [2 * round + 1, 2 * round + 2];
        let tokens =
            both.map(|number| messages(server.receive_packet(incoming("", qos, number)))[0].1.unwrap());
        let is_given_up = round % 7 == 1;
        if is_given_up {
            server.receive_packet(PubRel::new(id(both[0])));
        }
        tokens.into_iter().rev().for_each(|token| server.connection.ack(server.now, token, reason));
        for number in both {
            server.receive_packet(PubRel::new(id(number)));
        }
        assert!(!server.connection.is_closed(), "round {round}");
    }
    server.receive_packet(incoming("", QoS::AtLeastOnce, 1));
    server.receive_packet(incoming("", QoS::AtLeastOnce, 2));
    server.closed_by(&encoded(Version::V5, incoming("", QoS::AtLeastOnce, 3)));
}
