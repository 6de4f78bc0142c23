//! What connections overlook when they are told to be lenient, and that they tell it.

use bytes::BytesMut;
use mqttkit_codec::{
    ClientConfig, ClientConnection, ClientEvent, Closed, ConnAck, Connect, DecodeCause, Instant,
    ProtocolError, ReasonCode, ServerConfig, ServerConnection, ServerEvent, Session, Strictness, Version,
};

use crate::common::{packet, text};

const NOW: Instant = Instant::ZERO;

fn client(strictness: Strictness) -> ClientConnection {
    let mut config = ClientConfig::default();
    config.strictness = strictness;
    ClientConnection::new(config, Connect::new(Version::V5, text("c")), Session::new(), NOW).unwrap()
}

fn server(strictness: Strictness) -> ServerConnection {
    let mut config = ServerConfig::default();
    config.strictness = strictness;
    ServerConnection::new(config, NOW)
}

/// A server that knows MQTT 3 only, told apart from one that sends nonsense.
#[test]
fn an_answer_of_mqtt_3_says_what_to_do() {
    for (code, reason) in
        [(1, ReasonCode::UnsupportedProtocolVersion), (2, ReasonCode::ClientIdentifierNotValid)]
    {
        let mut input = BytesMut::from(&[0x20, 2, 0, code][..]);
        let mut strict = client(Strictness::Strict);
        let Some(ClientEvent::Closed(Closed::Protocol(ProtocolError::Decode(error)))) =
            strict.poll_event(NOW, &mut input.clone())
        else {
            panic!("closed")
        };
        assert_eq!(error.cause(), DecodeCause::Mqtt3ConnAck(code));
        assert!(error.to_string().contains("connect with MQTT 3.1.1"), "{error}");
        assert_eq!(strict.take_forgiven(), None);

        let mut lenient = client(Strictness::Lenient);
        let Some(ClientEvent::Closed(Closed::Refused(connack))) = lenient.poll_event(NOW, &mut input) else {
            panic!("refused")
        };
        assert_eq!(connack.reason, reason);
        assert_eq!(lenient.take_forgiven(), Some(error));
    }
    // It could be meant in two ways what version is spoken from here on.
    let mut lenient = client(Strictness::Lenient);
    let event = lenient.poll_event(NOW, &mut BytesMut::from(&[0x20, 2, 0, 0][..]));
    assert!(matches!(event, Some(ClientEvent::Closed(Closed::Protocol(ProtocolError::Decode(_))))));
}

#[test]
fn a_lenient_server_serves_a_faulty_device() {
    let connect = packet(0x10, "<MQTT> 04 13 003c <c>");
    let subscribe = packet(0x80, "0001 <a> 00");
    let mut strict = server(Strictness::Strict);
    let event = strict.poll_event(NOW, &mut BytesMut::from(&connect[..]));
    assert!(matches!(event, Some(ServerEvent::Closed(Closed::Protocol(ProtocolError::Decode(_))))));

    let mut server = server(Strictness::Lenient);
    let mut input = BytesMut::from(&[connect, subscribe].concat()[..]);
    let Some(ServerEvent::Connect(connect)) = server.poll_event(NOW, &mut input) else { panic!() };
    assert_eq!((connect.will, connect.clean_start), (None, true));
    let cause = |server: &mut ServerConnection| server.take_forgiven().map(|error| error.cause());
    assert_eq!(cause(&mut server), Some(DecodeCause::ReservedBits(0x13)));
    server.accept(NOW, ConnAck::accepted(false), Session::new());
    let event = server.poll_event(NOW, &mut input);
    assert!(matches!(event, Some(ServerEvent::Subscribe(_))), "{event:?}");
    assert_eq!(cause(&mut server), Some(DecodeCause::InvalidFlags(0)));
    assert_eq!(cause(&mut server), None);
}
