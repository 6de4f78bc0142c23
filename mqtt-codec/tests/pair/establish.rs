//! CONNECT, CONNACK, keep-alive and the end of a connection.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    ClientEvent, Closed, Codec, ConnAck, Connect, Disconnect, Instant, Packet, PacketId, PacketType,
    ProtocolError, PublishError, QoS, ReasonCode, ServerConfig, ServerConnection, ServerEvent, Session,
    SubAck, Timeout, Version,
};

use crate::{Pair, VERSIONS, message, text, token_of};

#[test]
fn a_silent_client_is_closed_before_its_connect() {
    let mut server = ServerConnection::new(ServerConfig::default(), Instant::ZERO);
    let deadline = server.poll_timeout().unwrap();
    assert_eq!(deadline.since_origin(), Duration::from_secs(10));
    server.handle_timeout(Instant::ZERO);
    assert!(!server.is_closed(), "not before the deadline");
    server.handle_timeout(deadline);
    let closed = server.poll_event(deadline, &mut BytesMut::new());
    assert_eq!(closed, Some(ServerEvent::Closed(Closed::Timeout(Timeout::Connect))));
    assert_eq!(server.poll_event(deadline, &mut BytesMut::new()), None, "told once");
}

#[test]
fn keep_alive_pings_an_idle_server_and_finds_a_dead_one() {
    let mut pair = Pair::established(Version::V311);
    for _ in 0..5 {
        pair.next_deadline();
        assert!(!pair.client.is_closed() && !pair.server.is_closed());
    }
    assert_eq!(pair.now.since_origin(), Duration::from_secs(5 * 60), "one ping in each keep-alive");
    // Now the wire swallows everything.
    pair.now = pair.client.poll_timeout().unwrap();
    pair.client.handle_timeout(pair.now);
    assert_eq!(pair.client.transmit().remaining(), 2, "a PINGREQ");
    pair.now = pair.client.poll_timeout().unwrap();
    pair.client.handle_timeout(pair.now);
    let closed = pair.client.poll_event(pair.now, &mut BytesMut::new());
    assert_eq!(closed, Some(ClientEvent::Closed(Closed::Timeout(Timeout::PingResp))));
}

#[test]
fn keep_alive_ends_a_dead_client_after_one_and_a_half_times() {
    // [MQTT-3.1.2-22]
    let mut pair = Pair::established(Version::V5);
    let deadline = pair.server.poll_timeout().unwrap();
    assert_eq!(deadline.since_origin(), Duration::from_secs(90));
    pair.server.handle_timeout(deadline);
    pair.run();
    assert_eq!(pair.server_closed(), Some(Closed::Timeout(Timeout::KeepAlive)));
    let Some(Closed::Peer(goodbye)) = pair.client_closed() else { panic!() };
    assert_eq!(goodbye.reason, ReasonCode::KeepAliveTimeout);
}

#[test]
fn the_server_may_set_the_keep_alive() {
    // [MQTT-3.1.2-21]
    let mut pair = Pair::new(Connect::new(Version::V5, text("c")), Session::new());
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_server_keep_alive(20);
    pair.establish(connack, Session::new());
    assert_eq!(pair.client.poll_timeout().unwrap().since_origin(), Duration::from_secs(20));
    assert_eq!(pair.server.poll_timeout().unwrap().since_origin(), Duration::from_secs(30));
}

#[test]
fn part_of_a_large_packet_shows_that_the_server_is_alive() {
    let mut pair = Pair::established(Version::V5);
    pair.now = pair.client.poll_timeout().unwrap();
    pair.client.handle_timeout(pair.now);
    let mut input = BytesMut::from(&[0x30, 0xff, 0xff, 0x7f][..]);
    pair.now = pair.now + Duration::from_secs(9);
    assert_eq!(pair.client.poll_event(pair.now, &mut input), None);
    let deadline = pair.client.poll_timeout().unwrap();
    assert!(deadline > pair.now + Duration::from_secs(30), "the ping is answered by any byte");
}

#[test]
fn a_refusal_reaches_the_client() {
    for (version, reason) in [
        (Version::V311, ReasonCode::NotAuthorized),
        (Version::V31, ReasonCode::ServerUnavailable),
        (Version::V5, ReasonCode::Banned),
    ] {
        let mut pair = Pair::new(Connect::new(version, text("c")), Session::new());
        pair.run();
        pair.server.refuse(pair.now, &ConnAck::refused(reason));
        pair.run();
        assert_eq!(pair.server_closed(), Some(Closed::Local(reason)));
        let Some(Closed::Refused(connack)) = pair.client_closed() else { panic!() };
        assert_eq!(connack.reason, reason);
    }
}

#[test]
fn the_first_packet_must_be_connect() {
    // [MQTT-3.1.0-1]
    let mut server = ServerConnection::new(ServerConfig::default(), Instant::ZERO);
    let mut input = BytesMut::from(&[0xC0, 0][..]);
    let closed = server.poll_event(Instant::ZERO, &mut input);
    let expected = Closed::Protocol(ProtocolError::ConnectExpected(PacketType::PingReq));
    assert_eq!(closed, Some(ServerEvent::Closed(expected)));
}

#[test]
fn an_unknown_version_is_refused_in_words_the_client_knows() {
    // [MQTT-3.1.2-2]
    for (level, answer) in [(6, &[0x20, 3, 0, 0x84, 0][..]), (2, &[0x20, 2, 0, 1][..])] {
        let mut server = ServerConnection::new(ServerConfig::default(), Instant::ZERO);
        let mut input =
            BytesMut::from(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60, 0, 1, b'c'][..]);
        assert!(matches!(
            server.poll_event(Instant::ZERO, &mut input),
            Some(ServerEvent::Closed(Closed::Protocol(_)))
        ));
        assert_eq!(server.transmit().chunk(), answer);
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    // [MQTT-3.1.0-2]
    let mut pair = Pair::established(Version::V5);
    Codec::new(Version::V5).encode(&Connect::new(Version::V5, text("c")), &mut pair.to_server).unwrap();
    pair.run();
    let expected = ProtocolError::UnexpectedPacket(PacketType::Connect);
    assert_eq!(pair.server_closed(), Some(Closed::Protocol(expected)));
    let Some(Closed::Peer(goodbye)) = pair.client_closed() else { panic!() };
    assert_eq!(goodbye.reason, ReasonCode::ProtocolError);
}

#[test]
fn a_clean_goodbye_discards_the_will_and_nothing_else_does() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        pair.client.disconnect(pair.now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
        pair.run();
        assert!(!pair.server_closed().unwrap().publishes_will());
    }
    let mut pair = Pair::established(Version::V5);
    pair.client.disconnect(pair.now, &Disconnect::new(ReasonCode::DisconnectWithWill)).unwrap();
    pair.run();
    assert!(pair.server_closed().unwrap().publishes_will());
    let mut pair = Pair::established(Version::V311);
    pair.cut();
    assert!(pair.server_closed().unwrap().publishes_will());
}

#[test]
fn packets_of_the_other_role_are_refused() {
    let packet = Packet::SubAck(SubAck::new(PacketId::new(1).unwrap(), [ReasonCode::Success]));
    let mut pair = Pair::established(Version::V5);
    Codec::new(Version::V5).encode(&packet, &mut pair.to_server).unwrap();
    pair.run();
    let expected = ProtocolError::UnexpectedPacket(PacketType::SubAck);
    assert_eq!(pair.server_closed(), Some(Closed::Protocol(expected)));

    let mut pair = Pair::established(Version::V5);
    Codec::new(Version::V5).encode(&Packet::PingReq, &mut pair.to_client).unwrap();
    pair.run();
    let expected = ProtocolError::UnexpectedPacket(PacketType::PingReq);
    assert_eq!(pair.client_closed(), Some(Closed::Protocol(expected)));
}

#[test]
fn a_drained_connection_ends_when_all_is_acknowledged() {
    let mut pair = Pair::established(Version::V5);
    pair.acks = false;
    pair.client.publish(pair.now, message(0, QoS::AtLeastOnce)).unwrap();
    let goodbye = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    let deadline = pair.now + Duration::from_secs(5);
    pair.client.drain(pair.now, goodbye, deadline).unwrap();
    pair.run();
    assert!(!pair.client.is_closed(), "its message is not acknowledged");
    assert_eq!(pair.client.publish(pair.now, message(1, QoS::AtMostOnce)), Err(PublishError::Draining));
    let token = token_of(pair.server_events.front());
    pair.server.ack(pair.now, token, ReasonCode::Success);
    pair.run();
    assert_eq!(pair.client_closed(), Some(Closed::Local(ReasonCode::NORMAL_DISCONNECTION)));
    assert!(!pair.server_closed().unwrap().publishes_will());
}

#[test]
fn a_drained_connection_ends_at_the_deadline_all_the_same() {
    let mut pair = Pair::established(Version::V5);
    pair.acks = false;
    pair.server.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    let deadline = pair.now + Duration::from_secs(5);
    pair.server.drain(pair.now, Disconnect::new(ReasonCode::ServerShuttingDown), deadline);
    pair.run();
    assert_eq!(pair.server.poll_timeout(), Some(deadline));
    pair.next_deadline();
    let Some(Closed::Peer(goodbye)) = pair.client_closed() else { panic!() };
    assert_eq!(goodbye.reason, ReasonCode::ServerShuttingDown);
    assert_eq!(pair.server.take_session().in_flight(), 1, "kept for the next connection");
}

#[test]
fn a_drained_server_says_goodbye_in_mqtt_5_only() {
    // Found by the fuzz target `pair`: an older client took the DISCONNECT for a broken rule.
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        let goodbye = Disconnect::new(ReasonCode::ServerShuttingDown);
        pair.server.drain(pair.now, goodbye, pair.now + Duration::from_secs(1));
        assert_eq!(pair.server.transmit().has_remaining(), version == Version::V5);
        pair.run();
        assert_eq!(pair.server_closed(), Some(Closed::Local(ReasonCode::ServerShuttingDown)));
        assert_eq!(pair.client.is_closed(), version == Version::V5);
    }
}
