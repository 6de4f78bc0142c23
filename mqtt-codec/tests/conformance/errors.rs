//! Chapter 4.13 of 5.0, 4.8 of 3.1.1: what happens when the other side breaks a rule.

use mqttkit_codec::{
    Closed, ConnAck, Connect, Disconnect, Packet, ProtocolError, ReasonCode, Session, Version,
};

use crate::common::{Client, Server, VERSIONS, goodbye, packet, text};

/// [MQTT-4.8.0-1] of 3.1.1, [MQTT-4.13.1-1] of 5.0
#[test]
fn a_malformed_packet_ends_the_connection() {
    for version in VERSIONS {
        let wire = packet(0x32, "<t> 0000 00");
        let mut server = Server::connected(version);
        let mut client = Client::connected(version);
        for closed in [server.closed_by(&wire), client.closed_by(&wire)] {
            assert!(matches!(closed, Closed::Protocol(ProtocolError::Decode(_))));
        }
        assert!(server.connection.is_closed() && client.connection.is_closed());
        let (by_server, by_client) = (server.sent(), client.sent());
        if version == Version::V5 {
            assert_eq!(goodbye(&by_server), ReasonCode::MalformedPacket);
            assert_eq!(goodbye(&by_client), ReasonCode::MalformedPacket);
        } else {
            assert_eq!((by_server, by_client), (vec![], vec![]), "earlier versions cannot say why");
        }
    }
}

/// [MQTT-4.8.0-1] of 3.1.1, [MQTT-4.13.1-1] of 5.0
#[test]
fn a_protocol_error_ends_the_connection() {
    for version in VERSIONS {
        // PINGRESP is never sent by a client and PINGREQ never by a server.
        let mut server = Server::connected(version);
        let mut client = Client::connected(version);
        for closed in [server.closed_by(&[0xd0, 0]), client.closed_by(&[0xc0, 0])] {
            assert!(matches!(closed, Closed::Protocol(ProtocolError::UnexpectedPacket(_))));
        }
        let (by_server, by_client) = (server.sent(), client.sent());
        if version == Version::V5 {
            assert_eq!(goodbye(&by_server), ReasonCode::ProtocolError);
            assert_eq!(goodbye(&by_client), ReasonCode::ProtocolError);
        } else {
            assert_eq!((by_server, by_client), (vec![], vec![]));
        }
    }
}

/// [MQTT-4.8.0-1]: nothing behind the offending packet is looked at.
#[test]
fn nothing_is_read_behind_an_error() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        assert!(matches!(server.closed_by(&[0xd0, 0, 0xc0, 0, 0xe0, 0]), Closed::Protocol(_)));
        assert!(server.receive(&[0xc0, 0]).is_empty());
        assert!(!server.sent().contains(&Packet::PingResp));
    }
}

/// [MQTT-4.13.2-1]
#[test]
fn a_reason_of_0x80_or_more_ends_the_connection() {
    for &reason in ReasonCode::ALL.iter().filter(|reason| reason.is_error()) {
        if reason.is_allowed_in(mqttkit_codec::PacketType::ConnAck) {
            let mut server = Server::fresh().asked(Connect::new(Version::V5, text("c")));
            server.connection.refuse(server.now, &ConnAck::refused(reason));
            assert!(server.connection.is_closed(), "{reason}");
            // An acceptance with it is none.
            let mut server = Server::fresh().asked(Connect::new(Version::V5, text("c")));
            server.connection.accept(server.now, ConnAck::refused(reason), Session::new());
            assert!(server.connection.is_closed(), "{reason}");
        }
        if reason.is_allowed_in(mqttkit_codec::PacketType::Disconnect) {
            let mut server = Server::connected(Version::V5);
            server.connection.disconnect(server.now, &Disconnect::new(reason));
            assert!(server.connection.is_closed());
            let mut client = Client::connected(Version::V5);
            client.receive_packet(Disconnect::new(reason));
            assert!(client.connection.is_closed());
        }
    }
}
