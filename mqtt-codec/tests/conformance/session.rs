//! Chapters 3.1.2.4, 4.1, 4.4 and 4.6: what outlives a connection, and how it is resumed.

use std::time::Duration;

use mqttkit_codec::{
    ClientEvent, ConnAck, Connect, Delivery, Message, Outgoing, Packet, PubAck, PubComp, PubRec, PubRel,
    Publish, QoS, ReasonCode, ServerEvent, Session, Version,
};

use crate::common::{Client, NUMBERED, Server, id, message, resuming, text, topic};
use crate::flow::{incoming, messages};

/// A session of a server with two messages to its client, the second released, and one half received.
fn server_session(version: Version) -> Session {
    let mut server = Server::connected_with(resuming(version));
    server.connection.publish(server.now, message("1", QoS::AtLeastOnce)).unwrap();
    let second = server.connection.publish(server.now, message("2", QoS::ExactlyOnce)).unwrap().unwrap();
    server.receive_packet(PubRec::new(second));
    let received = messages(server.receive_packet(incoming("3", QoS::ExactlyOnce, 9)));
    server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
    server.connection.handle_closed(server.now);
    server.receive(&[]);
    server.connection.take_session()
}

fn client_session(version: Version) -> Session {
    let mut client = Client::connecting(resuming(version), Session::new()).answered(ConnAck::accepted(true));
    client.connection.publish(client.now, message("1", QoS::AtLeastOnce)).unwrap();
    let second = client.connection.publish(client.now, message("2", QoS::ExactlyOnce)).unwrap().unwrap();
    client.receive_packet(PubRec::new(second));
    client.connection.handle_closed(client.now);
    client.receive(&[]);
    client.connection.take_session()
}

/// What both sessions send when they are resumed.
fn resent() -> [Packet; 2] {
    let first = Publish { dup: true, ..incoming("1", QoS::AtLeastOnce, 1) };
    [first.into(), PubRel::new(id(2)).into()]
}

/// [MQTT-3.1.2-6] and [MQTT-3.1.4-3] of 3.1.1, [MQTT-3.1.2-4] and [MQTT-3.1.4-4] of 5.0
#[test]
fn a_clean_start_forgets_the_session() {
    for version in NUMBERED {
        let mut server = Server::fresh()
            .asked(Connect::new(version, text("c")))
            .accepted(ConnAck::accepted(false), server_session(version));
        assert_eq!(server.sent(), []);
        assert_eq!(messages(server.receive_packet(incoming("3", QoS::ExactlyOnce, 9))).len(), 1, "new");

        let client = Client::connecting(Connect::new(version, text("c")), client_session(version));
        let mut client = client.answered(ConnAck::accepted(false));
        assert_eq!(client.sent(), []);
        assert!(client.connection.take_session().is_empty());
    }
}

/// [MQTT-3.1.2-4] of 3.1.1, [MQTT-3.1.2-5] of 5.0; [MQTT-4.4.0-1]; [MQTT-3.3.1-1]
#[test]
fn a_resumed_session_sends_again_what_is_not_acknowledged() {
    for version in NUMBERED {
        let mut server = Server::fresh().asked(resuming(version));
        server.connection.accept(server.now, ConnAck::accepted(true), server_session(version));
        let sent = server.sent();
        assert_eq!(sent[1..], resent(), "with DUP and the identifiers they had");
        assert_eq!(server.receive_packet(incoming("3", QoS::ExactlyOnce, 9)), [], "known from before");

        let client = Client::connecting(resuming(version), client_session(version));
        let mut client = client.answered(ConnAck::accepted(true));
        assert_eq!(client.sent(), resent());
    }
}

/// [MQTT-3.1.2-6] of 5.0, the middle of [MQTT-3.1.2-4] of 3.1.1
#[test]
fn without_a_session_a_new_one_begins() {
    for version in NUMBERED {
        let mut server = Server::fresh().asked(resuming(version));
        server.connection.accept(server.now, ConnAck::accepted(false), Session::new());
        let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
        assert!(!connack.session_present);
        server.connection.publish(server.now, message("1", QoS::AtLeastOnce)).unwrap();
        assert_eq!(server.connection.take_session().in_flight(), 1, "and is kept");
    }
}

/// [MQTT-3.1.2-23] of 5.0, the end of [MQTT-3.1.2-4] of 3.1.1; [MQTT-4.1.0-1] of 3.1.1
#[test]
fn a_session_is_kept_beyond_its_connection() {
    for version in NUMBERED {
        let session = server_session(version);
        assert_eq!(session.in_flight(), 2);
        let again = Session::import(session.export()).unwrap();
        assert_eq!(again.export(), session.export(), "also as plain data, for a store");
        assert_eq!(client_session(version).in_flight(), 2);
    }
}

/// [MQTT-4.1.0-2] of 3.1.1, [MQTT-4.1.0-1] of 5.0
#[test]
fn a_session_lasts_as_long_as_its_connection() {
    for version in NUMBERED {
        let mut server = Server::connected_with(resuming(version));
        let packet_id =
            server.connection.publish(server.now, message("1", QoS::AtLeastOnce)).unwrap().unwrap();
        let received = messages(server.receive_packet(incoming("2", QoS::ExactlyOnce, 9)));
        server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
        for _ in 0..100 {
            server.now = server.now + Duration::from_secs(60);
            server.receive(&[0xc0, 0]);
        }
        assert_eq!(server.receive_packet(incoming("2", QoS::ExactlyOnce, 9)), [], "still known");
        let events = server.receive_packet(PubAck::new(packet_id));
        assert!(matches!(events[..], [ServerEvent::Acknowledged { .. }]), "{events:?}");
    }
}

/// [MQTT-4.4.0-1] of 5.0: not at any other time
#[test]
fn nothing_is_sent_again_while_the_connection_lasts() {
    for version in NUMBERED {
        let mut client = Client::connected(version);
        client.connection.publish(client.now, message("1", QoS::AtLeastOnce)).unwrap();
        client.connection.publish(client.now, message("2", QoS::ExactlyOnce)).unwrap();
        assert_eq!(client.sent().len(), 2);
        for _ in 0..10 {
            client.now = client.connection.poll_timeout().unwrap();
            client.connection.handle_timeout(client.now);
            assert_eq!(client.sent(), [Packet::PingReq]);
            client.receive(&[0xd0, 0]);
        }
        let mut server = Server::connected(version);
        server.connection.publish(server.now, message("1", QoS::AtLeastOnce)).unwrap();
        server.sent();
        for _ in 0..10 {
            server.now = server.now + Duration::from_secs(60);
            server.receive(&[0xc0, 0]);
            assert_eq!(server.sent(), [Packet::PingResp]);
        }
    }
}

/// [MQTT-4.4.0-2]
#[test]
fn a_refused_message_is_not_sent_again() {
    let mut client =
        Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
    let first = client.connection.publish(client.now, message("1", QoS::AtLeastOnce)).unwrap().unwrap();
    let second = client.connection.publish(client.now, message("2", QoS::ExactlyOnce)).unwrap().unwrap();
    client.sent();
    client.receive_packet(PubAck::new(first).with_reason(ReasonCode::NotAuthorized));
    client.receive_packet(PubRec::new(second).with_reason(ReasonCode::UnspecifiedError));
    assert_eq!(client.sent(), [], "a refusing PUBREC has no PUBREL");
    let session = client.connection.take_session();
    assert!(session.is_empty());
    let mut client = Client::connecting(resuming(Version::V5), session).answered(ConnAck::accepted(true));
    assert_eq!(client.sent(), []);
}

/// [MQTT-4.6.0-1]
#[test]
fn messages_are_sent_again_in_their_first_order() {
    for version in NUMBERED {
        let mut client =
            Client::connecting(resuming(version), Session::new()).answered(ConnAck::accepted(true));
        // Identifiers are used again, so their order is not that of the messages.
        let publish = |client: &mut Client, payload, qos| {
            client.connection.publish(client.now, message(payload, qos)).unwrap().unwrap()
        };
        for _ in 0..40 {
            let done = publish(&mut client, "x", QoS::AtLeastOnce);
            publish(&mut client, "y", QoS::AtLeastOnce);
            client.receive_packet(PubAck::new(done));
        }
        client.sent();
        let order: Vec<_> = (0..3).map(|_| publish(&mut client, "z", QoS::ExactlyOnce)).collect();
        let mut ids: Vec<_> = client.sent().iter().filter_map(Packet::packet_id).collect();
        assert_eq!(ids, order);
        let session = client.connection.take_session();
        let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
        ids = client.sent().iter().filter_map(Packet::packet_id).collect();
        assert_eq!(ids.len(), 43);
        assert_eq!(ids[40..], order);
        // And once more, from a session that was stored in between.
        let session = Session::import(client.connection.take_session().export()).unwrap();
        let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
        let again: Vec<_> = client.sent().iter().filter_map(Packet::packet_id).collect();
        assert_eq!(again, ids);
    }
}

/// [MQTT-3.3.1-1]
#[test]
fn dup_is_set_when_a_message_is_sent_again_and_only_then() {
    for version in NUMBERED {
        let mut session = Session::new();
        for attempt in 0..3 {
            let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
            if attempt == 0 {
                client.connection.publish(client.now, message("1", QoS::AtLeastOnce)).unwrap();
            }
            let Packet::Publish(publish) = client.sent_one() else { panic!() };
            assert_eq!((publish.dup, publish.delivery), (attempt > 0, Delivery::AtLeastOnce(id(1))));
            session = client.connection.take_session();
        }
    }
}

/// [MQTT-3.2.2-15], [MQTT-4.3.3-11]: a message of QoS 2 that no longer fits is released, and its identifier stays in
/// use until the server says that it is free.
#[test]
fn an_identifier_that_was_given_up_is_free_after_its_pubcomp() {
    for reason in [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound] {
        let mut client =
            Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
        let large = Message::new(topic("t"), vec![0; 500]).with_qos(QoS::ExactlyOnce);
        let packet_id = client.connection.publish(client.now, large).unwrap().unwrap();
        let mut connack = ConnAck::accepted(true);
        connack.properties = connack.properties.with_maximum_packet_size(100.try_into().unwrap());
        let mut session = client.connection.take_session();
        for attempt in 0..3 {
            client = Client::connecting(resuming(Version::V5), session);
            let events = client.receive_packet(connack.clone());
            let told = ClientEvent::Acknowledged { packet_id, reason: ReasonCode::PacketTooLarge };
            assert_eq!(events.len(), if attempt == 0 { 2 } else { 1 }, "{events:?}");
            assert_eq!(events.contains(&told), attempt == 0, "told once");
            assert_eq!(client.sent(), [PubRel::new(packet_id).into()]);
            assert_eq!(client.connection.send_quota(), 65_535);
            // A PUBREC from before, or a refusal, changes nothing.
            assert_eq!(client.receive_packet(PubRec::new(packet_id)), []);
            assert_eq!(client.sent(), [PubRel::new(packet_id).into()]);
            session = client.connection.take_session();
            assert_eq!(session.export().outgoing, [(packet_id, Outgoing::GivenUp)]);
            if attempt == 1 {
                session = Session::import(session.export()).unwrap();
            }
        }
        client = Client::connecting(resuming(Version::V5), session).answered(connack);
        for _ in 0..100 {
            let other =
                client.connection.publish(client.now, message("", QoS::AtLeastOnce)).unwrap().unwrap();
            assert_ne!(other, packet_id, "in use");
            client.receive_packet(PubAck::new(other));
        }
        assert_eq!(client.receive_packet(PubComp::new(packet_id).with_reason(reason)), [], "told before");
        assert!(client.connection.take_session().is_empty());
    }
}

/// A server without the session knows nothing of what was given up either.
#[test]
fn what_was_given_up_ends_with_the_session() {
    let mut state = Session::new().export();
    state.outgoing.push((id(1), Outgoing::GivenUp));
    let mut client = Client::connecting(resuming(Version::V5), Session::import(state).unwrap());
    let events = client.receive_packet(ConnAck::accepted(false));
    assert!(matches!(&events[..], [ClientEvent::Connected { lost, .. }] if lost.is_empty()), "{events:?}");
    assert_eq!(client.sent(), []);
    assert!(client.connection.take_session().is_empty());
}
