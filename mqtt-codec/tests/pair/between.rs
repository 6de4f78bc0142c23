//! Acknowledgements that an application gives when the connection of their message is over.

use mqttkit_codec::{AckToken, ClientEvent, ConnAck, QoS, ReasonCode, ServerEvent, Session, Version};

use crate::{Pair, message, resuming, token_of};

/// Both applications have a QoS 2 message that they have not acknowledged when the wire is cut.
fn cut_pair(version: Version) -> (Pair, AckToken, AckToken) {
    let mut pair = Pair::new(resuming(version), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.acks = false;
    pair.client.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    pair.server.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    pair.run();
    let at_server = token_of(pair.server_events.front());
    let at_client = match pair.client_events.front() {
        Some(ClientEvent::Publish { token: Some(token), .. }) => *token,
        other => panic!("{other:?}"),
    };
    pair.cut();
    pair.server_events.clear();
    pair.client_events.clear();
    (pair, at_server, at_client)
}

/// Resumes and expects that both messages are complete and none is delivered again.
fn complete(version: Version, client: Session, server: Session) {
    let mut pair = Pair::new(resuming(version), client);
    pair.acks = false;
    pair.establish(ConnAck::accepted(true), server);
    pair.run();
    assert_eq!((pair.payloads_at_client(), pair.payloads_at_server()), (vec![], vec![]));
    assert!(pair.client.take_session().is_empty() && pair.server.take_session().is_empty());
}

#[test]
fn on_the_connection_that_has_ended() {
    for version in [Version::V311, Version::V5] {
        let (mut pair, at_server, at_client) = cut_pair(version);
        pair.server.ack(pair.now, at_server, ReasonCode::Success);
        pair.client.ack(pair.now, at_client, ReasonCode::Success);
        complete(version, pair.client.take_session(), pair.server.take_session());
    }
}

#[test]
fn on_the_session_between_two_connections() {
    for version in [Version::V311, Version::V5] {
        let (mut pair, at_server, at_client) = cut_pair(version);
        let (mut client, mut server) = (pair.client.take_session(), pair.server.take_session());
        server.ack(at_server, ReasonCode::Success);
        client.ack(at_client, ReasonCode::Success);
        assert!(client.export().incoming.len() == 1, "the sender has not released it yet");
        complete(version, client, server);
    }
}

#[test]
fn on_the_next_connection() {
    for version in [Version::V311, Version::V5] {
        let (mut pair, at_server, at_client) = cut_pair(version);
        let (client, server) = (pair.client.take_session(), pair.server.take_session());
        let mut pair = Pair::new(resuming(version), client);
        pair.acks = false;
        // A client has its session from the beginning, a server when it accepts.
        pair.client.ack(pair.now, at_client, ReasonCode::Success);
        pair.establish(ConnAck::accepted(true), server);
        pair.server.ack(pair.now, at_server, ReasonCode::Success);
        pair.run();
        assert_eq!((pair.payloads_at_client(), pair.payloads_at_server()), (vec![], vec![]));
        assert!(pair.client.take_session().is_empty() && pair.server.take_session().is_empty());
    }
}

#[test]
fn a_refusal_between_two_connections_has_the_message_delivered_again() {
    let (mut pair, at_server, _) = cut_pair(Version::V5);
    let (client, mut server) = (pair.client.take_session(), pair.server.take_session());
    server.ack(at_server, ReasonCode::QuotaExceeded);
    let mut pair = Pair::new(resuming(Version::V5), client);
    pair.acks = false;
    pair.establish(ConnAck::accepted(true), server);
    let Some(ServerEvent::Publish { token: Some(token), dup: true, .. }) = pair.server_events.pop_front()
    else {
        panic!()
    };
    pair.server.ack(pair.now, token, ReasonCode::QuotaExceeded);
    pair.run();
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::QuotaExceeded]);
}

#[test]
fn a_token_means_nothing_to_another_delivery_or_twice() {
    let (mut pair, at_server, _) = cut_pair(Version::V5);
    let mut server = pair.server.take_session();
    server.ack(at_server, ReasonCode::Success);
    server.ack(at_server, ReasonCode::QuotaExceeded);
    assert_eq!(server.export().incoming.len(), 1, "the first answer counts");
    let mut restored = Session::import(server.export()).unwrap();
    let before = restored.export();
    restored.ack(at_server, ReasonCode::QuotaExceeded);
    assert_eq!(restored.export(), before);
}
