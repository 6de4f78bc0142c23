//! Chapters 3.1.2.10 and 3.12: keep-alive and PINGREQ.

use std::time::Duration;

use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, Instant, Packet, QoS, ReasonCode, ServerEvent, Session, Timeout,
    Version,
};

use crate::common::{Client, Server, VERSIONS, goodbye, message, text};

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
