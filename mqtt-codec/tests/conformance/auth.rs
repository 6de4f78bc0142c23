//! Chapters 3.15 and 4.12: AUTH and enhanced authentication.

use bytes::BytesMut;
use mqttkit_codec::{
    Auth, AuthProperties, Binary, ClientEvent, Closed, Codec, ConnAck, Connect, DecodeCause, EncodeError,
    Packet, PacketType, ProtocolError, ReasonCode, ServerEvent, Session, Version,
};

use crate::common::{Client, Server, accepted, decode, encoded, goodbye, packet, refused, text};

fn connect(method: Option<&str>) -> Connect {
    let mut connect = Connect::new(Version::V5, text("c"));
    if let Some(method) = method {
        connect.properties = connect.properties.with_authentication_method(&text(method));
    }
    connect
}

fn auth(reason: ReasonCode, method: Option<&str>) -> Auth {
    let mut properties = AuthProperties::new();
    if let Some(method) = method {
        properties = properties.with_authentication_method(&text(method));
    }
    Auth { reason, properties }
}

fn step() -> Auth {
    auth(ReasonCode::ContinueAuthentication, Some("m"))
}

fn accepted_with_method() -> ConnAck {
    let mut connack = ConnAck::accepted(false);
    connack.properties = connack.properties.with_authentication_method(&text("m"));
    connack
}

/// Connected with the method `m`.
fn client() -> Client {
    Client::connecting(connect(Some("m")), Session::new()).answered(accepted_with_method())
}

fn server() -> Server {
    Server::fresh().asked(connect(Some("m"))).accepted(accepted_with_method(), Session::new())
}

/// [MQTT-3.15.1-1]
#[test]
fn an_auth_with_flags_is_malformed() {
    for first_byte in 0xf1..=0xff {
        for mut closed in [server().closed_by(&[first_byte, 0]), client().closed_by(&[first_byte, 0])] {
            let Closed::Protocol(ProtocolError::Decode(error)) = &mut closed else { panic!("{closed:?}") };
            assert_eq!(error.statement(), Some("MQTT-3.15.1-1"));
        }
    }
}

/// [MQTT-3.15.2-1]
#[test]
fn an_auth_carries_one_of_its_reason_codes() {
    crate::acks::only_these_codes(PacketType::Auth, &[0x00, 0x18, 0x19], "MQTT-3.15.2-1", |code| {
        packet(0xf0, &format!("{code:02x} 04 15 <m>"))
    });
}

/// [MQTT-4.12.0-5], what the packet itself shows. Section 3.15.2.1 says what an empty AUTH means, so it is one.
#[test]
fn an_auth_names_a_method() {
    let cause = DecodeCause::AuthWithoutMethod;
    for body in ["18 00", "19 00", "00 05 1f 0002 'no'", "18 07 26 <k> <v>"] {
        refused(Version::V5, &packet(0xf0, body), cause, "MQTT-4.12.0-5");
    }
    for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate] {
        let written = Codec::new(Version::V5).encode(&auth(reason, None), &mut BytesMut::new());
        assert_eq!(written, Err(EncodeError::AuthWithoutMethod));
    }
    for body in ["", "00 00"] {
        assert_eq!(accepted(Version::V5, &packet(0xf0, body)), auth(ReasonCode::Success, None).into());
    }
    assert_eq!(encoded(Version::V5, auth(ReasonCode::Success, None)), packet(0xf0, ""));
}

#[test]
fn auth_came_with_5_0() {
    for version in [Version::V31, Version::V311] {
        assert!(decode(version, &packet(0xf0, "00 00")).is_err());
        let written = Codec::new(version).encode(&step(), &mut BytesMut::new());
        assert!(matches!(written, Err(EncodeError::NotInVersion { .. })));
    }
}

/// The whole exchange of chapter 4.12, with two steps, and a later re-authentication.
#[test]
fn an_exchange_goes_step_by_step_until_the_connack() {
    let (mut client, mut server) = (Client::connecting(connect(Some("m")), Session::new()), Server::fresh());
    let now = client.now;
    let data = |auth: Auth, data: &str| Auth {
        properties: auth.properties.with_authentication_data(&Binary::try_from(data).unwrap()),
        ..auth
    };
    server.receive_packet(connect(Some("m")));
    for (question, answer) in [("who?", "me"), ("sure?", "yes")] {
        server.connection.auth(now, &data(step(), question)).unwrap();
        assert_eq!(client.receive(&server.sent_bytes()), [ClientEvent::Auth(data(step(), question))]);
        client.connection.auth(now, &data(step(), answer)).unwrap();
        assert_eq!(server.receive(&client.sent_bytes()), [ServerEvent::Auth(data(step(), answer))]);
    }
    server.connection.accept(now, accepted_with_method(), Session::new());
    let events = client.receive(&server.sent_bytes());
    assert!(matches!(events[..], [ClientEvent::Connected { .. }]), "{events:?}");

    let again = auth(ReasonCode::ReAuthenticate, Some("m"));
    client.connection.auth(now, &again).unwrap();
    assert_eq!(server.receive(&client.sent_bytes()), [ServerEvent::Auth(again)]);
    let done = auth(ReasonCode::Success, Some("m"));
    server.connection.auth(now, &done).unwrap();
    assert_eq!(client.receive(&server.sent_bytes()), [ClientEvent::Auth(done)]);
}

/// [MQTT-4.12.0-1], [MQTT-4.12.0-4]
#[test]
fn a_server_can_refuse_at_any_step() {
    for steps in 0..3 {
        for reason in [ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized] {
            let mut server = Server::fresh().asked(connect(Some("m")));
            for _ in 0..steps {
                server.connection.auth(server.now, &step()).unwrap();
                server.receive_packet(step());
            }
            server.sent();
            server.connection.refuse(server.now, &ConnAck::refused(reason));
            assert!(matches!(server.sent_one(), Packet::ConnAck(connack) if connack.reason == reason));
            assert!(server.connection.is_closed());
        }
    }
}

/// [MQTT-4.12.0-2]
#[test]
fn before_the_connack_a_server_only_asks_to_continue() {
    for reason in [ReasonCode::Success, ReasonCode::ReAuthenticate] {
        let mut server = Server::fresh().asked(connect(Some("m")));
        assert!(server.connection.auth(server.now, &auth(reason, Some("m"))).is_err(), "{reason}");
        assert_eq!(server.sent(), []);

        let mut client = Client::connecting(connect(Some("m")), Session::new());
        let closed = client.closed_by(&encoded(Version::V5, auth(reason, Some("m"))));
        assert!(matches!(closed, Closed::Protocol(_)), "{closed:?}");
    }
}

/// [MQTT-4.12.0-3]
#[test]
fn before_the_connack_a_client_only_continues() {
    for reason in [ReasonCode::Success, ReasonCode::ReAuthenticate] {
        let mut client = Client::connecting(connect(Some("m")), Session::new());
        client.receive_packet(step());
        assert!(client.connection.auth(client.now, &auth(reason, Some("m"))).is_err(), "{reason}");
        assert_eq!(client.sent(), []);

        let mut server = Server::fresh().asked(connect(Some("m")));
        server.connection.auth(server.now, &step()).unwrap();
        let closed = server.closed_by(&encoded(Version::V5, auth(reason, Some("m"))));
        assert!(matches!(closed, Closed::Protocol(_)), "{closed:?}");
    }
}

/// [MQTT-4.12.0-5], what is received
#[test]
fn an_auth_with_another_method_is_refused() {
    let bad = Closed::Protocol(ProtocolError::BadAuthenticationMethod);
    let other = auth(ReasonCode::ContinueAuthentication, Some("other"));
    for auth in [other, auth(ReasonCode::Success, None)] {
        let wire = encoded(Version::V5, auth);
        let mut server = Server::fresh().asked(connect(Some("m")));
        server.connection.auth(server.now, &step()).unwrap();
        assert_eq!(server.closed_by(&wire), bad);

        let mut client = Client::connecting(connect(Some("m")), Session::new());
        assert_eq!(client.closed_by(&wire), bad);

        let mut client = self::client();
        assert_eq!(client.closed_by(&wire), bad);
        assert!(goodbye(&client.sent()).is_error());
    }
}

/// [MQTT-4.12.0-5], what is received: CONNACK
#[test]
fn a_connack_names_the_method_of_the_connect() {
    let mut other = ConnAck::accepted(false);
    other.properties = other.properties.with_authentication_method(&text("other"));
    for connack in [ConnAck::accepted(false), other] {
        let mut client = Client::connecting(connect(Some("m")), Session::new());
        let closed = client.closed_by(&encoded(Version::V5, connack));
        assert_eq!(closed, Closed::Protocol(ProtocolError::BadAuthenticationMethod));
    }
    // A refusal need not.
    let mut client = Client::connecting(connect(Some("m")), Session::new());
    let wire = encoded(Version::V5, ConnAck::refused(ReasonCode::NotAuthorized));
    assert!(matches!(client.closed_by(&wire), Closed::Refused(_)));
}

/// [MQTT-4.12.0-5], what is sent
#[test]
fn every_auth_and_connack_that_is_sent_names_the_method_of_the_connect() {
    for method in [None, Some("m"), Some("other")] {
        let continued = auth(ReasonCode::ContinueAuthentication, method);
        let mut server = Server::fresh().asked(connect(Some("m")));
        server.connection.auth(server.now, &continued).unwrap();
        assert_eq!(server.sent(), [step().into()], "whatever the application says");
        server.receive_packet(step());
        let mut connack = ConnAck::accepted(false);
        if let Some(method) = method {
            connack.properties = connack.properties.with_authentication_method(&text(method));
        }
        server.connection.accept(server.now, connack, Session::new());
        assert_eq!(server.sent(), [accepted_with_method().into()]);

        let mut client = Client::connecting(connect(Some("m")), Session::new());
        client.receive_packet(step());
        client.connection.auth(client.now, &continued).unwrap();
        assert_eq!(client.sent(), [step().into()]);
    }
}

/// [MQTT-4.12.0-6]
#[test]
fn without_a_method_a_server_sends_no_auth_and_names_none() {
    let mut server = Server::fresh().asked(connect(None));
    assert!(server.connection.auth(server.now, &step()).is_err());
    assert_eq!(server.sent(), []);
    server.connection.accept(server.now, accepted_with_method(), Session::new());
    let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
    assert_eq!(connack.properties.authentication_method(), None);

    let mut client = Client::connecting(connect(None), Session::new());
    let closed = client.closed_by(&encoded(Version::V5, step()));
    assert_eq!(closed, Closed::Protocol(ProtocolError::BadAuthenticationMethod));
}

/// [MQTT-4.12.0-7]
#[test]
fn without_a_method_a_client_sends_no_auth() {
    let mut client = Client::connecting(connect(None), Session::new());
    assert!(client.connection.auth(client.now, &step()).is_err());
    let mut client = client.answered(ConnAck::accepted(false));
    let again = auth(ReasonCode::ReAuthenticate, Some("m"));
    assert!(client.connection.auth(client.now, &again).is_err());
    assert_eq!(client.sent(), []);

    let mut server = Server::connected(Version::V5);
    let closed = server.closed_by(&encoded(Version::V5, again));
    assert_eq!(closed, Closed::Protocol(ProtocolError::BadAuthenticationMethod));
}

/// [MQTT-4.12.1-1]
#[test]
fn a_client_authenticates_again_with_the_same_method() {
    for method in [None, Some("m"), Some("other")] {
        let mut client = client();
        client.connection.auth(client.now, &auth(ReasonCode::ReAuthenticate, method)).unwrap();
        assert_eq!(client.sent(), [auth(ReasonCode::ReAuthenticate, Some("m")).into()]);
    }
    let other = auth(ReasonCode::ReAuthenticate, Some("other"));
    let mut server = server();
    let closed = server.closed_by(&encoded(Version::V5, other));
    assert_eq!(closed, Closed::Protocol(ProtocolError::BadAuthenticationMethod));
    assert_eq!(goodbye(&server.sent()), ReasonCode::BadAuthenticationMethod);
}

/// [MQTT-4.12.1-2]
#[test]
fn a_failed_re_authentication_ends_the_connection() {
    let mut server = server();
    server.receive_packet(auth(ReasonCode::ReAuthenticate, Some("m")));
    let refusal = mqttkit_codec::Disconnect::new(ReasonCode::NotAuthorized);
    server.connection.disconnect(server.now, &refusal);
    assert_eq!(goodbye(&server.sent()), ReasonCode::NotAuthorized);
    assert!(server.connection.is_closed());
}
