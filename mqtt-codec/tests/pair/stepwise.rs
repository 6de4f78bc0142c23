//! QoS 2 with a server that takes each step itself.

use bytes::Buf;
use mqttkit_codec::{
    ClientConfig, ClientEvent, ConnAck, Connect, PublishError, QoS, ReasonCode, ServerConfig, ServerEvent,
    Session, Version,
};

use crate::{Pair, VERSIONS, message, resuming, text, token_of};

fn stepwise() -> ServerConfig {
    let mut server = ServerConfig::default();
    server.stepwise = true;
    server
}

fn established(version: Version) -> Pair {
    let mut pair = Pair::with(ClientConfig::default(), stepwise(), resuming(version), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair
}

/// [MQTT-4.3.3-1] to [MQTT-4.3.3-6]
#[test]
fn no_step_of_a_message_of_the_server_is_taken_before_it_is_asked_for() {
    for version in VERSIONS {
        let mut pair = established(version);
        let id = pair.server.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap().unwrap();
        assert!(pair.run());
        assert_eq!(pair.payloads_at_client(), [""; 0]);
        pair.server.send(pair.now, id);
        assert!(pair.run());
        assert_eq!(pair.payloads_at_client(), ["1"]);
        assert_eq!(pair.server_events.pop_front(), Some(ServerEvent::Received { packet_id: id }));
        assert!(!pair.client.transmit().has_remaining() && pair.server_events.is_empty());
        pair.server.release(pair.now, id);
        pair.run();
        let done = ServerEvent::Acknowledged { packet_id: id, reason: ReasonCode::Success };
        assert_eq!(pair.server_events.pop_front(), Some(done));
        // Late or twice, no step does harm.
        pair.server.send(pair.now, id);
        pair.server.release(pair.now, id);
        pair.run();
        assert_eq!(pair.payloads_at_client(), ["1"]);
        assert!(pair.server.take_session().is_empty());
    }
}

#[test]
fn no_identifier_of_the_client_is_forgotten_before_it_is_asked_for() {
    for version in VERSIONS {
        let mut pair = established(version);
        pair.acks = false;
        pair.client.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap();
        pair.run();
        let token = token_of(pair.server_events.front());
        pair.server_events.clear();
        pair.server.ack(pair.now, token, ReasonCode::Success);
        pair.run();
        let released = ServerEvent::Released { packet_id: token.packet_id() };
        assert_eq!(pair.server_events.pop_front(), Some(released));
        assert_eq!(pair.acknowledged_at_client(), []);
        pair.server.complete(pair.now, token.packet_id());
        pair.run();
        assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success]);
        assert!(pair.server.take_session().is_empty());
    }
}

/// [MQTT-4.4.0-1]
#[test]
fn what_waited_for_a_step_is_sent_by_the_session_that_resumes() {
    for version in VERSIONS {
        let mut pair = established(version);
        let id = pair.server.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap().unwrap();
        pair.cut();
        let (client, server) = (pair.client.take_session(), pair.server.take_session());
        let mut pair = Pair::with(ClientConfig::default(), stepwise(), resuming(version), client);
        assert!(pair.resume_within(usize::MAX, server));
        assert_eq!(pair.payloads_at_client(), ["1"]);
        // The PUBREC came and the step was not taken: the client has it already.
        pair.cut();
        let (client, server) = (pair.client.take_session(), pair.server.take_session());
        let mut pair = Pair::with(ClientConfig::default(), stepwise(), resuming(version), client);
        assert!(pair.resume_within(usize::MAX, server));
        assert_eq!(pair.payloads_at_client(), [""; 0]);
        assert_eq!(pair.server_events.pop_front(), Some(ServerEvent::Received { packet_id: id }));
        pair.server.release(pair.now, id);
        pair.run();
        assert!(pair.server.take_session().is_empty() && pair.client.take_session().is_empty());
    }
}

/// [MQTT-3.1.2-24]
#[test]
fn a_message_that_is_too_large_takes_no_place() {
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.properties = connect.properties.with_maximum_packet_size(30.try_into().unwrap());
    let mut pair = Pair::with(ClientConfig::default(), stepwise(), connect, Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    let large = mqttkit_codec::Message { payload: vec![0; 30].into(), ..message(1, QoS::ExactlyOnce) };
    let error = pair.server.publish(pair.now, large).unwrap_err();
    assert!(matches!(error, PublishError::Encode(_)), "{error:?}");
    assert!(pair.server.take_session().is_empty());
}

#[test]
fn a_message_that_the_client_refuses_needs_no_further_step() {
    let mut pair = established(Version::V5);
    pair.acks = false;
    let id = pair.server.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap().unwrap();
    pair.server.send(pair.now, id);
    pair.run();
    let token = pair.client_events.iter().find_map(|event| match event {
        ClientEvent::Publish { token, .. } => *token,
        _ => None,
    });
    pair.client.ack(pair.now, token.unwrap(), ReasonCode::QuotaExceeded);
    pair.run();
    let refused = ServerEvent::Acknowledged { packet_id: id, reason: ReasonCode::QuotaExceeded };
    assert_eq!(pair.server_events.pop_front(), Some(refused));
}
