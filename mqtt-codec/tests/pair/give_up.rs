//! Messages that the peer took on an earlier connection and takes no longer on this one.

use std::num::NonZeroU32;

use bytes::Buf;
use mqttkit_codec::{
    ClientConfig, ConnAck, Connect, Message, QoS, ReasonCode, ServerConfig, ServerEvent, Session, Version,
};

use crate::{Pair, message, resuming, topic};

fn large(qos: QoS) -> Message {
    Message::new(topic("t"), vec![b'x'; 500]).with_qos(qos)
}

fn small_server() -> ServerConfig {
    let mut server = ServerConfig::default();
    server.max_packet_size = 100;
    server
}

fn stored(session: &Session) -> Session {
    Session::import(session.export()).unwrap()
}

#[test]
fn a_message_too_large_for_the_resumed_connection_is_told_of() {
    let mut pair = Pair::new(resuming(Version::V5), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.client.publish(pair.now, large(QoS::AtLeastOnce)).unwrap();
    pair.cut();
    let session = pair.client.take_session();
    let mut pair = Pair::with(ClientConfig::default(), small_server(), resuming(Version::V5), session);
    pair.establish(ConnAck::accepted(true), Session::new());
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::PacketTooLarge]);
    assert_eq!(pair.client.send_quota(), 65_535, "it takes nothing from the quota");
    assert!(pair.client.take_session().is_empty());
}

/// The server has the message and waits for its release. If its identifier were simply free again, the next message
/// with it would be taken for the same and never delivered.
#[test]
fn an_identifier_given_up_swallows_no_later_message() {
    // How many bytes of the resumption get through before the wire is cut again.
    for second_cut in (0..80).map(Some).chain([None]) {
        for is_stored in [false, true] {
            let mut pair = Pair::new(resuming(Version::V5), Session::new());
            pair.establish(ConnAck::accepted(false), Session::new());
            pair.client.publish(pair.now, large(QoS::ExactlyOnce)).unwrap();
            // PUBLISH arrives; PUBREC does not.
            pair.budget = pair.client.transmit().remaining();
            assert!(!pair.run());
            assert_eq!(pair.payloads_at_server().len(), 1);
            let (mut client, mut server) = (pair.client.take_session(), pair.server.take_session());
            let mut told = Vec::new();
            for budget in second_cut.into_iter().chain([usize::MAX]) {
                if is_stored {
                    (client, server) = (stored(&client), stored(&server));
                }
                let config = ClientConfig::default();
                let mut pair = Pair::with(config, small_server(), resuming(Version::V5), client);
                pair.resume_within(budget, server);
                told.extend(pair.acknowledged_at_client());
                if budget == usize::MAX {
                    for number in 0..40 {
                        pair.client.publish(pair.now, message(number, QoS::ExactlyOnce)).unwrap();
                        pair.run();
                    }
                    let expected: Vec<_> = (0..40).map(|number| number.to_string()).collect();
                    assert_eq!(pair.payloads_at_server(), expected, "cut after {second_cut:?}");
                    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success; 40]);
                }
                (client, server) = (pair.client.take_session(), pair.server_session());
            }
            assert_eq!(told, [ReasonCode::PacketTooLarge], "once, cut after {second_cut:?}");
            assert!(client.is_empty() && server.is_empty(), "cut after {second_cut:?}");
        }
    }
}

/// The same from a server to a client that has less room than before.
#[test]
fn an_identifier_given_up_by_a_server_swallows_no_later_message() {
    let mut pair = Pair::new(resuming(Version::V5), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.server.publish(pair.now, large(QoS::ExactlyOnce)).unwrap();
    pair.budget = pair.server.transmit().remaining();
    assert!(!pair.run());
    let mut connect = resuming(Version::V5);
    connect.properties = connect.properties.with_maximum_packet_size(NonZeroU32::new(100).unwrap());
    let server = pair.server.take_session();
    let mut pair = Pair::new(connect, pair.client.take_session());
    pair.establish(ConnAck::accepted(true), server);
    pair.run();
    for number in 0..40 {
        pair.server.publish(pair.now, message(number, QoS::ExactlyOnce)).unwrap();
        pair.run();
    }
    let ends = pair.server_events.iter().filter_map(|event| match event {
        ServerEvent::Acknowledged { reason, .. } => Some(*reason),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!((ends[0], ends.len()), (ReasonCode::PacketTooLarge, 41));
    assert_eq!(pair.payloads_at_client().len(), 40);
    assert!(pair.client.take_session().is_empty() && pair.server.take_session().is_empty());
}

/// [MQTT-3.2.2-11], [MQTT-3.2.2-14]: sending it all the same would end each connection anew.
#[test]
fn a_server_that_supports_less_than_before_is_not_sent_what_it_cannot_take() {
    let retained = message(0, QoS::AtLeastOnce).with_retain(true);
    let with_less = ConnAck::accepted(true);
    let no_retain = with_less.properties.clone().with_retain_available(false);
    let qos_1 = with_less.properties.with_maximum_qos(QoS::AtLeastOnce);
    for (sent, properties, reason) in [
        (retained, no_retain, ReasonCode::RetainNotSupported),
        (message(0, QoS::ExactlyOnce), qos_1, ReasonCode::QoSNotSupported),
    ] {
        let mut pair = Pair::new(resuming(Version::V5), Session::new());
        pair.establish(ConnAck::accepted(false), Session::new());
        pair.client.publish(pair.now, sent).unwrap();
        pair.client.publish(pair.now, message(1, QoS::AtLeastOnce)).unwrap();
        pair.cut();
        let mut pair = Pair::new(resuming(Version::V5), pair.client.take_session());
        let connack = ConnAck { properties, ..ConnAck::accepted(true) };
        pair.establish(connack, Session::new());
        pair.run();
        assert_eq!(pair.payloads_at_server(), ["1"]);
        assert_eq!(pair.acknowledged_at_client(), [reason, ReasonCode::Success]);
        assert!(pair.client.take_session().is_empty());
    }
}

/// MQTT 3.1.1 has no Maximum Packet Size, and 5.0 adds to a message what may be one byte too many there.
#[test]
fn a_session_that_changes_its_version_gives_nothing_up_that_fits() {
    let mut first = Connect::new(Version::V311, crate::text("c"));
    first.clean_start = false;
    let mut pair = Pair::new(first, Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    let limit = 100;
    // 2 bytes of header, 3 of topic, 2 of identifier; in 5.0 a byte more.
    for length in [92, 93] {
        let fits = Message::new(topic("t"), vec![b'x'; length]).with_qos(QoS::ExactlyOnce);
        pair.client.publish(pair.now, fits).unwrap();
    }
    pair.cut();
    let mut server = ServerConfig::default();
    server.max_packet_size = limit;
    let session = pair.client.take_session();
    let mut pair = Pair::with(ClientConfig::default(), server, resuming(Version::V5), session);
    pair.establish(ConnAck::accepted(true), Session::new());
    pair.run();
    assert_eq!(pair.payloads_at_server().iter().map(String::len).collect::<Vec<_>>(), [92]);
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::PacketTooLarge, ReasonCode::Success]);
    assert!(pair.client.take_session().is_empty());
}
