//! Chapter 4.3 and 2.2.1: how messages of each QoS are delivered, and the identifiers they hold.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use mqttkit_codec::{
    AckToken, ClientEvent, ConnAck, Delivery, Message, Packet, PubAck, PubComp, PubRec, PubRel, Publish,
    PublishProperties, QoS, ReasonCode, ServerEvent, Session, SubAck, Subscription, Version,
};

use crate::common::{Client, NUMBERED, Server, VERSIONS, filter, id, message, none, packet, resuming, topic};

/// A PUBLISH that the peer sends.
pub(crate) fn incoming(payload: &'static str, qos: QoS, packet_id: u16) -> Publish {
    let delivery = match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce(id(packet_id)),
        QoS::ExactlyOnce => Delivery::ExactlyOnce(id(packet_id)),
    };
    Publish { delivery, ..Publish::new(topic("t"), Bytes::from_static(payload.as_bytes())) }
}

/// The payloads and tokens of the messages among the events.
pub(crate) fn messages(events: Vec<ServerEvent>) -> Vec<(Bytes, Option<AckToken>)> {
    let message = |event| match event {
        ServerEvent::Publish { message, token, .. } => (message.payload, token),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(message).collect()
}

fn client_messages(events: Vec<ClientEvent>) -> Vec<(Bytes, Option<AckToken>)> {
    let message = |event| match event {
        ClientEvent::Publish { message, token, .. } => (message.payload, token),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(message).collect()
}

fn tokens(events: Vec<ClientEvent>) -> Vec<AckToken> {
    client_messages(events).into_iter().map(|(_, token)| token.unwrap()).collect()
}

/// [MQTT-2.3.1-2] of 3.1.1, [MQTT-2.2.1-3] of 5.0; [MQTT-4.3.2-1], [MQTT-4.3.3-1]
#[test]
fn a_client_gives_each_packet_an_unused_identifier() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let now = client.now;
        let mut used = BTreeSet::new();
        for round in 0..400u16 {
            let packet_id = match round % 4 {
                0 => client.connection.publish(now, message("", QoS::AtLeastOnce)).unwrap().unwrap(),
                1 => client.connection.publish(now, message("", QoS::ExactlyOnce)).unwrap().unwrap(),
                2 => {
                    let wanted = [Subscription::new(filter("a"), QoS::AtMostOnce)];
                    client.connection.subscribe(now, none(), wanted).unwrap()
                }
                _ => client.connection.unsubscribe(now, none(), [filter("a")]).unwrap(),
            };
            assert_ne!(packet_id.get(), 0);
            assert!(used.insert(packet_id), "{packet_id} was in use");
            // What is acknowledged may be used again, what is not may not.
            match round % 12 {
                0 => drop(client.receive_packet(PubAck::new(packet_id))),
                2 => drop(client.receive_packet(SubAck::new(packet_id, [ReasonCode::Success]))),
                5 => {
                    client.receive_packet(PubRec::new(packet_id));
                    client.receive_packet(PubComp::new(packet_id));
                }
                _ => continue,
            }
            used.remove(&packet_id);
        }
        assert!(client.sent().len() > 400);
    }
}

/// [MQTT-2.3.1-4] of 3.1.1, [MQTT-2.2.1-4] of 5.0
#[test]
fn a_server_gives_each_message_an_unused_identifier() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let now = server.now;
        let mut used = BTreeSet::new();
        for round in 0..200u16 {
            let qos = if round % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let packet_id = server.connection.publish(now, message("", qos)).unwrap().unwrap();
            assert!(used.insert(packet_id), "{packet_id} was in use");
            if round % 6 == 0 {
                server.receive_packet(PubAck::new(packet_id));
                used.remove(&packet_id);
            }
        }
    }
}

/// [MQTT-2.3.1-3] of 3.1.1
#[test]
fn an_identifier_is_free_again_only_after_the_last_acknowledgement() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let packet_id =
            client.connection.publish(client.now, message("", QoS::ExactlyOnce)).unwrap().unwrap();
        client.receive_packet(PubRec::new(packet_id));
        // PUBREC is not the last: all others are taken before this one is.
        let mut others = BTreeSet::new();
        while let Ok(Some(other)) = client.connection.publish(client.now, message("", QoS::AtLeastOnce)) {
            assert!(other != packet_id && others.insert(other));
        }
        assert!(others.len() >= 65_534);
    }
}

/// [MQTT-2.3.1-6] of 3.1.1, [MQTT-2.2.1-5] of 5.0
#[test]
fn acknowledgements_carry_the_identifier_of_the_message() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        for token in tokens(client.receive_packet(incoming("", QoS::AtLeastOnce, 0x1234))) {
            client.connection.ack(client.now, token, ReasonCode::Success);
        }
        for token in tokens(client.receive_packet(incoming("", QoS::ExactlyOnce, 0x2345))) {
            client.connection.ack(client.now, token, ReasonCode::Success);
        }
        client.receive_packet(PubRel::new(id(0x2345)));
        let published = client.connection.publish(client.now, message("", QoS::ExactlyOnce)).unwrap();
        client.receive_packet(PubRec::new(published.unwrap()));
        let ids: Vec<_> = client.sent().iter().map(|packet| packet.packet_id().unwrap().get()).collect();
        let ours = published.unwrap().get();
        assert_eq!(ids, [0x1234, 0x2345, 0x2345, ours, ours]);
    }
}

/// [MQTT-4.3.1-1]
#[test]
fn qos_0_is_sent_once_and_forgotten() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let sent = client.connection.publish(client.now, message("x", QoS::AtMostOnce));
        assert_eq!(sent, Ok(None));
        let properties = if version == Version::V5 { "00" } else { "" };
        assert_eq!(client.sent_bytes(), packet(0x30, &format!("<t> {properties} 'x'")));
        assert!(client.connection.take_session().is_empty());
    }
}

/// [MQTT-4.3.2-1] of 3.1.1; [MQTT-4.3.2-2], [MQTT-4.3.2-3] of 5.0
#[test]
fn qos_1_is_unacknowledged_until_its_puback() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let packet_id =
            client.connection.publish(client.now, message("x", QoS::AtLeastOnce)).unwrap().unwrap();
        let Packet::Publish(publish) = client.sent_one() else { panic!() };
        assert_eq!((publish.dup, publish.delivery), (false, Delivery::AtLeastOnce(packet_id)));
        // The wrong identifier acknowledges nothing.
        assert!(client.receive_packet(PubAck::new(id(999))).is_empty());
        let events = client.receive_packet(PubAck::new(packet_id));
        assert_eq!(events, [ClientEvent::Acknowledged { packet_id, reason: ReasonCode::Success }]);
        assert!(client.connection.take_session().is_empty());
    }
}

/// [MQTT-4.3.2-2] of 3.1.1, [MQTT-4.3.2-4] of 5.0
#[test]
fn qos_1_is_acknowledged_when_the_application_has_taken_it() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let received = messages(server.receive_packet(incoming("x", QoS::AtLeastOnce, 3)));
        assert_eq!(server.sent(), [], "ownership is not accepted yet");
        server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
        assert_eq!(server.sent_bytes(), packet(0x40, "0003"));
    }
}

/// [MQTT-4.3.2-2] of 3.1.1, [MQTT-4.3.2-5] of 5.0
#[test]
fn after_a_puback_the_same_identifier_is_a_new_message() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        for dup in [false, true, false] {
            let publish = Publish { dup, ..incoming("x", QoS::AtLeastOnce, 3) };
            let received = messages(server.receive_packet(publish));
            assert_eq!(received.len(), 1);
            server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
        }
        assert_eq!(server.sent().len(), 3);
    }
}

/// [MQTT-4.3.3-1] of 3.1.1; [MQTT-4.3.3-2] to [MQTT-4.3.3-5] of 5.0
#[test]
fn qos_2_goes_through_its_four_steps() {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let packet_id =
            client.connection.publish(client.now, message("x", QoS::ExactlyOnce)).unwrap().unwrap();
        let Packet::Publish(publish) = client.sent_one() else { panic!() };
        assert_eq!((publish.dup, publish.delivery), (false, Delivery::ExactlyOnce(packet_id)));
        assert_eq!(client.receive_packet(PubRec::new(packet_id)), []);
        assert_eq!(client.sent(), [PubRel::new(packet_id).into()]);
        // Until PUBCOMP, PUBREC is answered again.
        assert_eq!(client.receive_packet(PubRec::new(packet_id)), []);
        assert_eq!(client.sent(), [PubRel::new(packet_id).into()]);
        let events = client.receive_packet(PubComp::new(packet_id));
        assert_eq!(events, [ClientEvent::Acknowledged { packet_id, reason: ReasonCode::Success }]);
        assert!(client.connection.take_session().is_empty());
    }
}

/// [MQTT-4.3.3-6] of 5.0, the end of [MQTT-4.3.3-1] of 3.1.1
#[test]
fn a_released_message_is_never_published_again() {
    for version in NUMBERED {
        let mut client =
            Client::connecting(resuming(version), Session::new()).answered(ConnAck::accepted(true));
        let packet_id =
            client.connection.publish(client.now, message("x", QoS::ExactlyOnce)).unwrap().unwrap();
        client.receive_packet(PubRec::new(packet_id));
        let session = client.connection.take_session();
        let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
        assert_eq!(client.sent(), [PubRel::new(packet_id).into()], "only its release is");
    }
}

/// [MQTT-4.3.3-7], [MQTT-4.3.3-13]
#[test]
fn a_message_that_was_sent_does_not_expire() {
    let expiring = PublishProperties::new().with_message_expiry_interval(1);
    let mut client =
        Client::connecting(resuming(Version::V5), Session::new()).answered(ConnAck::accepted(true));
    let sent = message("x", QoS::ExactlyOnce).with_properties(expiring);
    let packet_id = client.connection.publish(client.now, sent).unwrap().unwrap();
    let session = client.connection.take_session();
    let mut client = Client::connecting(resuming(Version::V5), session);
    client.now = client.now + Duration::from_secs(20);
    let mut client = client.answered(ConnAck::accepted(true));
    assert!(matches!(client.sent_one(), Packet::Publish(publish) if publish.dup && publish.payload == "x"));
    client.now = client.now + Duration::from_secs(20);
    client.receive_packet(PubRec::new(packet_id));
    assert_eq!(client.sent(), [PubRel::new(packet_id).into()], "the sequence goes on");
}

/// [MQTT-4.3.3-2] of 3.1.1; [MQTT-4.3.3-8], [MQTT-4.3.3-10] to [MQTT-4.3.3-12] of 5.0
#[test]
fn a_qos_2_message_is_delivered_once_until_it_is_released() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let received = messages(server.receive_packet(incoming("x", QoS::ExactlyOnce, 3)));
        // Again before the application took it: not delivered again, and not answered before it has.
        let again = Publish { dup: true, ..incoming("x", QoS::ExactlyOnce, 3) };
        assert_eq!(server.receive_packet(again.clone()), []);
        assert_eq!(server.sent(), []);
        server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::Success);
        assert_eq!(server.sent_bytes(), packet(0x50, "0003"));
        // Again afterwards: answered, and not delivered again.
        assert_eq!(server.receive_packet(again), []);
        assert_eq!(server.sent_bytes(), packet(0x50, "0003"));
        assert_eq!(server.receive_packet(PubRel::new(id(3))), []);
        assert_eq!(server.sent_bytes(), packet(0x70, "0003"));
        // And now it is another message.
        assert_eq!(messages(server.receive_packet(incoming("y", QoS::ExactlyOnce, 3)))[0].0, "y");
    }
}

/// [MQTT-4.3.3-9]
#[test]
fn after_a_refusing_pubrec_the_same_identifier_is_a_new_message() {
    let mut server = Server::connected(Version::V5);
    let received = messages(server.receive_packet(incoming("x", QoS::ExactlyOnce, 3)));
    server.connection.ack(server.now, received[0].1.unwrap(), ReasonCode::QuotaExceeded);
    assert_eq!(server.sent_bytes(), packet(0x50, "0003 97"));
    assert_eq!(messages(server.receive_packet(incoming("y", QoS::ExactlyOnce, 3)))[0].0, "y");
}

/// [MQTT-4.3.3-11]
#[test]
fn a_pubrel_is_answered_even_if_its_message_is_not_known() {
    for (version, answer) in [(Version::V311, "0003"), (Version::V5, "0003 92")] {
        let mut server = Server::connected(version);
        assert_eq!(server.receive_packet(PubRel::new(id(3))), []);
        assert_eq!(server.sent_bytes(), packet(0x70, answer));
    }
}

/// [MQTT-4.6.0-2]
#[test]
fn a_client_sends_pubacks_in_the_order_of_the_messages() {
    in_order(QoS::AtLeastOnce, 0x40);
}

/// [MQTT-4.6.0-3]
#[test]
fn a_client_sends_pubrecs_in_the_order_of_the_messages() {
    in_order(QoS::ExactlyOnce, 0x50);
}

fn in_order(qos: QoS, first_byte: u8) {
    for version in VERSIONS {
        let mut client = Client::connected(version);
        let ids = [9, 2, 7];
        let tokens: Vec<_> =
            ids.iter().flat_map(|&id| tokens(client.receive_packet(incoming("", qos, id)))).collect();
        // The application is done with them in another order.
        for index in [2, 1, 0] {
            assert_eq!(client.sent(), []);
            client.connection.ack(client.now, tokens[index], ReasonCode::Success);
        }
        let expected: Vec<u8> = ids.iter().flat_map(|id| packet(first_byte, &format!("{id:04x}"))).collect();
        assert_eq!(client.sent_bytes(), expected);
    }
}

/// [MQTT-4.6.0-3], when the application has taken the second of two on an earlier connection
#[test]
fn pubrecs_keep_their_order_when_a_session_resumes() {
    for version in VERSIONS {
        let mut server =
            Server::fresh().asked(resuming(version)).accepted(ConnAck::accepted(true), Session::new());
        let first = messages(server.receive_packet(incoming("1", QoS::ExactlyOnce, 1)))[0].1.unwrap();
        let second = messages(server.receive_packet(incoming("2", QoS::ExactlyOnce, 2)))[0].1.unwrap();
        server.connection.ack(server.now, second, ReasonCode::Success);
        assert_eq!(server.sent(), []);
        let session = server.connection.take_session();
        let mut server = Server::fresh().asked(resuming(version)).accepted(ConnAck::accepted(true), session);
        for (payload, number) in [("1", 1), ("2", 2)] {
            let again = Publish { dup: true, ..incoming(payload, QoS::ExactlyOnce, number) };
            assert_eq!(server.receive_packet(again), []);
        }
        assert_eq!(server.sent(), [], "the first is not answered");
        server.connection.ack(server.now, first, ReasonCode::Success);
        assert_eq!(server.sent(), [PubRec::new(id(1)).into(), PubRec::new(id(2)).into()]);
    }
}

/// A sender may give a message up before it is answered; what the application says of it then is not said of the
/// next message with its identifier.
#[test]
fn an_answer_is_for_one_message_and_not_for_its_identifier() {
    for is_resumed in [false, true] {
        let mut server =
            Server::fresh().asked(resuming(Version::V5)).accepted(ConnAck::accepted(true), Session::new());
        let stale = messages(server.receive_packet(incoming("1", QoS::ExactlyOnce, 3)))[0].1.unwrap();
        if is_resumed {
            let session = server.connection.take_session();
            server = Server::fresh().asked(resuming(Version::V5)).accepted(ConnAck::accepted(true), session);
        }
        server.receive_packet(PubRel::new(id(3)));
        assert_eq!(server.sent(), [PubComp::new(id(3)).into()]);
        let fresh = messages(server.receive_packet(incoming("2", QoS::ExactlyOnce, 3)))[0].1.unwrap();
        server.connection.ack(server.now, stale, ReasonCode::Success);
        assert_eq!(server.sent(), [], "nobody has taken the second");
        server.connection.ack(server.now, fresh, ReasonCode::Success);
        assert_eq!(server.sent(), [PubRec::new(id(3)).into()]);
    }
}

/// [MQTT-4.6.0-4]
#[test]
fn a_client_sends_pubrels_in_the_order_of_the_pubrecs() {
    for version in NUMBERED {
        let mut client =
            Client::connecting(resuming(version), Session::new()).answered(ConnAck::accepted(true));
        for payload in ["1", "2", "3"] {
            client.connection.publish(client.now, message(payload, QoS::ExactlyOnce)).unwrap();
        }
        client.sent();
        let order = [2, 3, 1];
        for number in order {
            client.receive_packet(PubRec::new(id(number)));
        }
        let expected: Vec<Packet> = order.iter().map(|&number| PubRel::new(id(number)).into()).collect();
        assert_eq!(client.sent(), expected);
        let session = client.connection.take_session();
        let mut client = Client::connecting(resuming(version), session).answered(ConnAck::accepted(true));
        assert_eq!(client.sent(), expected, "on the next connection as well");
    }
}

/// A message keeps its place among those that are sent: nothing overtakes.
#[test]
fn messages_are_sent_in_the_order_they_were_published() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let payloads = ["1", "2", "3", "4", "5", "6"];
        for (payload, qos) in payloads.iter().zip([0, 1, 2, 2, 1, 0]) {
            let message = Message::new(topic("t"), *payload).with_qos(QoS::from_u8(qos).unwrap());
            server.connection.publish(server.now, message).unwrap();
        }
        let sent: Vec<_> = server
            .sent()
            .into_iter()
            .map(|packet| match packet {
                Packet::Publish(publish) => publish.payload,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sent, payloads);
    }
}
