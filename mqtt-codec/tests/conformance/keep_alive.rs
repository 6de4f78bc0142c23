//! Chapters 3.1.2.10 and 3.12: keep-alive and PINGREQ.

use std::time::Duration;

use bytes::Buf;
use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, Instant, Message, Packet, Publish, QoS, ReasonCode, ServerEvent,
    Session, Timeout, Version,
};

use crate::common::{Client, Server, VERSIONS, encoded, goodbye, message, text, topic};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn connect(version: Version, keep_alive: u16) -> Connect {
    let mut connect = Connect::new(version, text("c"));
    connect.keep_alive = keep_alive;
    connect
}

/// [MQTT-3.1.2-23] of 3.1.1, [MQTT-3.1.2-20] of 5.0
#[test]
fn a_client_with_nothing_to_say_sends_pingreq() {
    for version in VERSIONS {
        let mut client =
            Client::connecting(connect(version, 30), Session::new()).answered(ConnAck::accepted(false));
        // Whatever else it does, no two packets are further apart than the keep-alive.
        let mut last = Instant::ZERO;
        for step in 0..200u64 {
            client.now = Instant::new(seconds(step * 7));
            if step % 9 == 0 {
                client.connection.publish(client.now, message("", QoS::AtMostOnce)).unwrap();
            }
            if client.connection.poll_timeout().unwrap() <= client.now {
                client.connection.handle_timeout(client.now);
            }
            if client.sent().contains(&Packet::PingReq) {
                client.receive(&[0xd0, 0]);
                last = client.now;
            } else if step % 9 == 0 {
                last = client.now;
            }
            assert!(client.now - last < seconds(30 + 7), "a step is 7 s long");
        }
        let mut client =
            Client::connecting(connect(version, 0), Session::new()).answered(ConnAck::accepted(false));
        client.now = client.now + seconds(100_000);
        client.connection.handle_timeout(client.now);
        assert_eq!((client.connection.poll_timeout(), client.sent()), (None, vec![]), "0 turns it off");
    }
}

/// [MQTT-3.1.2-24] of 3.1.1, [MQTT-3.1.2-22] of 5.0
#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    for version in VERSIONS {
        let mut server = Server::connected_with(connect(version, 30));
        server.now = server.now + seconds(40);
        server.receive(&[0xc0, 0]);
        server.sent();
        assert_eq!(server.connection.poll_timeout(), Some(server.now + seconds(45)));
        server.now = server.now + Duration::from_millis(44_999);
        server.connection.handle_timeout(server.now);
        assert!(!server.connection.is_closed());
        server.now = server.now + Duration::from_millis(1);
        server.connection.handle_timeout(server.now);
        let expected = [ServerEvent::Closed(Closed::Timeout(Timeout::KeepAlive))];
        assert_eq!(server.receive(&[]), expected);
        if version == Version::V5 {
            assert_eq!(goodbye(&server.sent()), ReasonCode::KeepAliveTimeout);
        }
        let server = Server::connected_with(connect(version, 0));
        assert_eq!(server.connection.poll_timeout(), None, "0 turns it off");
    }
}

/// [MQTT-3.1.2-21] and [MQTT-3.2.2-21]; [MQTT-3.2.2-22]
#[test]
fn the_servers_keep_alive_takes_the_place_of_the_clients() {
    for (servers, used) in [(Some(20), 20), (Some(600), 600), (None, 30)] {
        let mut connack = ConnAck::accepted(false);
        if let Some(seconds) = servers {
            connack.properties = connack.properties.with_server_keep_alive(seconds);
        }
        let client = Client::connecting(connect(Version::V5, 30), Session::new()).answered(connack.clone());
        assert_eq!(client.connection.poll_timeout(), Some(client.now + seconds(used)));
        let server = Server::fresh().asked(connect(Version::V5, 30)).accepted(connack, Session::new());
        assert_eq!(server.connection.poll_timeout(), Some(server.now + seconds(used) * 3 / 2));
    }
}

/// [MQTT-3.12.4-1]
#[test]
fn pingreq_is_answered_with_pingresp() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        assert_eq!(server.receive(&[0xc0, 0, 0xc0, 0]), []);
        assert_eq!(server.sent_bytes(), [0xd0, 0, 0xd0, 0]);
    }
}

#[test]
fn a_server_that_does_not_answer_a_ping_is_dead() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        client.now = client.connection.poll_timeout().unwrap();
        client.connection.handle_timeout(client.now);
        assert_eq!(client.sent(), [Packet::PingReq]);
        client.now = client.connection.poll_timeout().unwrap();
        client.connection.handle_timeout(client.now);
        assert_eq!(client.receive(&[]), [ClientEvent::Closed(Closed::Timeout(Timeout::PingResp))]);
    }
}

/// The keep-alive runs from the end of a packet to the beginning of the next: a client that is busy with a large one
/// for longer than that has done nothing wrong. [MQTT-3.1.2-20], [MQTT-3.1.2-22]
#[test]
fn a_slow_upload_is_no_silence() {
    for version in VERSIONS {
        let mut server = Server::connected_with(connect(version, 2));
        let wire = encoded(version, incoming_of(4000));
        // 100 bytes in 0.7 s: the whole takes ten keep-alives.
        for part in wire.chunks(100) {
            server.now = server.now + Duration::from_millis(700);
            server.connection.handle_timeout(server.now);
            assert!(!server.connection.is_closed());
            let events = server.receive(part);
            assert!(events.is_empty() || matches!(events[..], [ServerEvent::Publish { .. }]), "{events:?}");
        }
        assert!(server.now > Instant::new(seconds(20)));
        assert_eq!(server.connection.poll_timeout(), Some(server.now + seconds(3)), "and then as ever");
    }
}

/// A packet of which nothing more comes is silence.
#[test]
fn half_a_packet_keeps_nobody_alive() {
    let mut server = Server::connected_with(connect(Version::V5, 2));
    server.now = server.now + seconds(2);
    server.receive(&encoded(Version::V5, incoming_of(4000))[..1000]);
    assert_eq!(server.connection.poll_timeout(), Some(server.now + seconds(3)));
    server.now = server.now + seconds(2);
    server.receive(&[]);
    assert_eq!(server.connection.poll_timeout(), Some(server.now + seconds(1)), "the same bytes count once");
    server.now = server.now + seconds(1);
    server.connection.handle_timeout(server.now);
    assert_eq!(server.receive(&[]), [ServerEvent::Closed(Closed::Timeout(Timeout::KeepAlive))]);
}

/// Single bytes keep a client alive for no longer than the packet they make may take.
#[test]
fn a_packet_cannot_take_for_ever() {
    // The length that was announced, and how long it may take beyond the patience of 3 s.
    for (length, allowance) in [(20, 0), (1280, 10), (100_000, 781)] {
        let mut server = Server::connected_with(connect(Version::V5, 2));
        let wire = encoded(Version::V5, incoming_of(length));
        let (header, body) = wire.split_at(4);
        server.receive(header);
        for &byte in body {
            server.receive(&[byte]);
            server.now = server.now + seconds(1);
            server.connection.handle_timeout(server.now);
            if server.connection.is_closed() {
                break;
            }
        }
        assert_eq!(server.now, Instant::new(seconds(3 + allowance)), "{length} bytes");
        assert!(server.connection.is_closed());
    }
}

fn incoming_of(length: usize) -> Publish {
    // 2 bytes of length of the topic, the topic, and no properties
    Publish::new(topic("t"), vec![b'x'; length - 4].into())
}

/// The server cannot answer a PINGREQ that stands behind a message which is still leaving.
#[test]
fn a_ping_behind_a_large_message_has_time_to_leave() {
    for keeps_taking in [false, true] {
        let mut client = Client::connected(Version::V5);
        client.connection.publish(client.now, Message::new(topic("t"), vec![0; 100_000])).unwrap();
        client.now = client.connection.poll_timeout().unwrap();
        client.connection.handle_timeout(client.now);
        for _ in 0..20 {
            if keeps_taking {
                client.connection.transmit().advance(4000);
            }
            client.now = client.connection.poll_timeout().unwrap();
            client.connection.handle_timeout(client.now);
            assert_eq!(client.connection.is_closed(), !keeps_taking);
            if !keeps_taking {
                break;
            }
        }
        if keeps_taking {
            let rest = client.connection.transmit().remaining();
            client.connection.transmit().advance(rest);
            client.now = client.connection.poll_timeout().unwrap();
            client.connection.handle_timeout(client.now);
            assert!(!client.connection.is_closed(), "it may have left just now");
            client.now = client.connection.poll_timeout().unwrap();
            client.connection.handle_timeout(client.now);
        }
        assert_eq!(client.receive(&[]), [ClientEvent::Closed(Closed::Timeout(Timeout::PingResp))]);
    }
}
