//! Sessions that outlive a connection.

use bytes::Buf;
use mqttkit_codec::{
    ClientEvent, Closed, Codec, ConnAck, Connect, ProtocolError, QoS, ReasonCode, ServerEvent, Session,
    Version,
};

use crate::{Pair, message, text};

#[test]
fn what_a_lost_session_had_in_flight_is_given_back() {
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.clean_start = false;
    let mut pair = Pair::new(connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    for number in 0..3 {
        pair.client.publish(pair.now, message(number, QoS::AtLeastOnce)).unwrap();
    }
    pair.cut();
    let mut pair = Pair::new(connect, pair.client.take_session());
    pair.run();
    pair.server.accept(pair.now, ConnAck::accepted(false), Session::new());
    pair.run();
    let Some(ClientEvent::Connected { lost, .. }) = pair.client_events.pop_front() else { panic!() };
    let lost: Vec<_> = lost.into_iter().map(|(_, message)| message.payload).collect();
    assert_eq!(lost, ["0", "1", "2"]);
    assert_eq!(pair.payloads_at_server(), [""; 0]);
}

#[test]
fn what_a_lost_session_had_released_is_complete() {
    // Found by the fuzz target `pair`: nobody was told of such a message any more.
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.clean_start = false;
    let mut pair = Pair::new(connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.client.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    // PUBLISH arrives and PUBREC comes back; PUBREL does not leave any more.
    pair.budget = pair.client.transmit().remaining() + 4;
    assert!(!pair.run());
    let mut pair = Pair::new(connect, pair.client.take_session());
    pair.establish(ConnAck::accepted(false), Session::new());
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success]);
    assert!(pair.client.take_session().is_empty());
}

#[test]
fn a_session_after_a_clean_start_is_a_protocol_error() {
    // [MQTT-3.2.2-2]
    let mut pair = Pair::new(Connect::new(Version::V5, text("c")), Session::new());
    // Our server does not say so, whatever it is asked to.
    Codec::new(Version::V5).encode(&ConnAck::accepted(true), &mut pair.to_client).unwrap();
    pair.run();
    assert_eq!(pair.client_closed(), Some(Closed::Protocol(ProtocolError::SessionPresentAfterCleanStart)));
}

#[test]
fn a_session_resumes_from_its_stored_form() {
    let mut connect = Connect::new(Version::V311, text("c"));
    connect.clean_start = false;
    let mut pair = Pair::new(connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    for number in 0..3 {
        pair.client.publish(pair.now, message(number, QoS::ExactlyOnce)).unwrap();
    }
    pair.cut();
    let stored = (pair.client.take_session().export(), pair.server.take_session().export());
    assert_eq!(stored.0.outgoing.len(), 3);
    let mut pair = Pair::new(connect, Session::import(stored.0).unwrap());
    pair.establish(ConnAck::accepted(true), Session::import(stored.1).unwrap());
    pair.run();
    assert_eq!(pair.payloads_at_server(), ["0", "1", "2"]);
    assert!(pair.client.take_session().is_empty());
}

#[test]
fn an_unanswered_clean_start_is_repeated() {
    // Found by the fuzz target `pair`: whether the server has begun anew cannot be known. If one side has and the
    // other has not, a new message can be taken for one that was delivered before.
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.clean_start = false;
    let mut pair = Pair::new(connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.acks = false;
    pair.client.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap();
    pair.server.publish(pair.now, message(2, QoS::ExactlyOnce)).unwrap();
    pair.run();
    let stale = match pair.client_events.pop_front() {
        Some(ClientEvent::Publish { token: Some(token), .. }) => token,
        other => panic!("{other:?}"),
    };
    pair.cut();

    let mut unanswered = Pair::new(Connect::new(Version::V5, text("c")), pair.client.take_session());
    unanswered.cut();
    let session = unanswered.client.take_session();
    let stored = session.export();
    assert_eq!((stored.discarded, stored.outgoing.len()), (true, 1));
    assert!(Session::import(stored).unwrap().export().discarded, "also in its stored form");

    let mut pair = Pair::new(connect, session);
    pair.acks = false;
    pair.run();
    let Some(ServerEvent::Connect(again)) = pair.server_events.pop_front() else { panic!() };
    assert!(again.clean_start, "though it was not asked for");
    pair.server.accept(pair.now, ConnAck::accepted(false), Session::new());
    pair.run();
    let Some(ClientEvent::Connected { lost, .. }) = pair.client_events.pop_front() else { panic!() };
    assert_eq!(lost.len(), 1);

    pair.server.publish(pair.now, message(3, QoS::ExactlyOnce)).unwrap();
    pair.run();
    assert!(matches!(pair.client_events.pop_front(), Some(ClientEvent::Publish { .. })));
    // The token of the ended session has the same identifier and means another message.
    pair.client.ack(pair.now, stale, ReasonCode::Success);
    assert_eq!(pair.client.transmit().remaining(), 0);
}

#[test]
fn a_message_that_nobody_acknowledged_before_a_restart_comes_again() {
    // Its token is gone with the process, so the sender would wait for ever.
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.clean_start = false;
    let mut pair = Pair::new(connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.acks = false;
    pair.client.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    pair.run();
    pair.cut();
    let stored = pair.server.take_session().export();
    let mut pair = Pair::new(connect, pair.client.take_session());
    pair.establish(ConnAck::accepted(true), Session::import(stored).unwrap());
    assert_eq!(pair.payloads_at_server(), ["0"]);
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success]);
}
