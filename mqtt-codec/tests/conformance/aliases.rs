//! Chapter 3.3.2.3.4: topic aliases.

use std::num::NonZeroU16;

use mqttkit_codec::{
    ClientEvent, Closed, ConnAck, Connect, Message, Packet, ProtocolError, PublishError, PublishProperties,
    QoS, ReasonCode, ServerEvent, Session, TopicName, Version,
};

use crate::common::{Client, Server, goodbye, packet, resuming, topic};

/// A message that brings an alias along.
fn aliased(name: TopicName, alias: u16) -> Message {
    let alias = NonZeroU16::new(alias).unwrap();
    Message::new(name, "").with_properties(PublishProperties::new().with_topic_alias(alias))
}

fn connack(maximum: u16) -> ConnAck {
    let mut connack = ConnAck::accepted(false);
    if maximum > 0 {
        connack.properties = connack.properties.with_topic_alias_maximum(maximum);
    }
    connack
}

fn connect(maximum: u16) -> Connect {
    let mut connect = resuming(Version::V5);
    if maximum > 0 {
        connect.properties = connect.properties.with_topic_alias_maximum(maximum);
    }
    connect
}

/// [MQTT-3.2.2-17], [MQTT-3.3.2-9]; and [MQTT-3.2.2-18] where the maximum is 0
#[test]
fn a_client_uses_no_alias_above_the_servers_maximum() {
    for maximum in [0, 1, 5] {
        let mut client = Client::connected_to(connack(maximum));
        for alias in 1..=7 {
            let published = client.connection.publish(client.now, aliased(topic("t"), alias));
            let refused = Err(PublishError::TopicAliasAboveMaximum { alias, maximum });
            assert_eq!(published, if alias <= maximum { Ok(None) } else { refused });
        }
        assert_eq!(client.sent().len(), usize::from(maximum));
        // Nor does it set more by itself.
        let mut client =
            Client::connecting_with(connect(0), Session::new(), |config| config.automatic_topic_aliases = 3)
                .answered(connack(maximum));
        assert!(highest_alias(&mut client) <= maximum.min(3));
    }
}

/// The highest alias among 20 messages to long topics.
fn highest_alias(client: &mut Client) -> u16 {
    for number in 0..20 {
        let name = topic(&format!("a/long/topic/{}", number % 6));
        client.connection.publish(client.now, Message::new(name, "")).unwrap();
    }
    let alias = |packet: &Packet| match packet {
        Packet::Publish(publish) => publish.properties.topic_alias().map_or(0, NonZeroU16::get),
        other => panic!("{other:?}"),
    };
    client.sent().iter().map(alias).max().unwrap()
}

/// [MQTT-3.1.2-26], [MQTT-3.3.2-11]; and [MQTT-3.1.2-27] where the maximum is 0
#[test]
fn a_server_uses_no_alias_above_the_clients_maximum() {
    for maximum in [0, 1, 5] {
        let mut server = Server::connected_with(connect(maximum));
        for alias in 1..=7 {
            let published = server.connection.publish(server.now, aliased(topic("t"), alias));
            let refused = Err(PublishError::TopicAliasAboveMaximum { alias, maximum });
            assert_eq!(published, if alias <= maximum { Ok(None) } else { refused });
        }
        assert_eq!(server.sent().len(), usize::from(maximum));
    }
}

/// [MQTT-3.3.2-12]
#[test]
fn a_server_takes_every_alias_up_to_its_maximum() {
    let mut server = Server::with_config(|config| config.topic_alias_maximum = 300).asked(connect(0));
    server.connection.accept(server.now, ConnAck::accepted(false), Session::new());
    let Packet::ConnAck(connack) = server.sent_one() else { panic!() };
    assert_eq!(connack.properties.topic_alias_maximum(), Some(300), "which it tells");
    for alias in 1..=300 {
        server.receive(&packet(0x30, &format!("<t{alias}> 03 23 {alias:04x}")));
    }
    for alias in 1..=300 {
        let mut events = server.receive(&packet(0x30, &format!("<> 03 23 {alias:04x}")));
        let Some(ServerEvent::Publish { message, .. }) = events.pop() else { panic!() };
        assert_eq!(message.topic, format!("t{alias}")[..]);
    }
    let above = server.closed_by(&packet(0x30, "<t> 03 23 012d"));
    let expected = ProtocolError::TopicAliasAboveMaximum { alias: 301, maximum: 300 };
    assert_eq!(above, Closed::Protocol(expected));
    assert_eq!(goodbye(&server.sent()), ReasonCode::TopicAliasInvalid);
}

/// [MQTT-3.3.2-10]
#[test]
fn a_client_takes_every_alias_up_to_its_maximum() {
    let mut client =
        Client::connecting_with(connect(0), Session::new(), |config| config.topic_alias_maximum = 300)
            .answered(ConnAck::accepted(false));
    for alias in 1..=300 {
        client.receive(&packet(0x30, &format!("<t{alias}> 03 23 {alias:04x}")));
    }
    for alias in 1..=300 {
        let mut events = client.receive(&packet(0x30, &format!("<> 03 23 {alias:04x}")));
        let Some(ClientEvent::Publish { message, .. }) = events.pop() else { panic!() };
        assert_eq!(message.topic, format!("t{alias}")[..]);
    }
    client.closed_by(&packet(0x30, "<t> 03 23 012d"));
    assert_eq!(goodbye(&client.sent()), ReasonCode::TopicAliasInvalid);
}

#[test]
fn an_alias_can_be_given_another_topic() {
    let mut server = Server::with_config(|config| config.topic_alias_maximum = 1)
        .asked(connect(0))
        .accepted(ConnAck::accepted(false), Session::new());
    let mut names = Vec::new();
    for body in ["<a> 03 23 0001", "<> 03 23 0001", "<b> 03 23 0001", "<> 03 23 0001"] {
        for event in server.receive(&packet(0x30, body)) {
            let ServerEvent::Publish { message, .. } = event else { panic!() };
            assert_eq!(message.properties.topic_alias(), None, "it means nothing to anyone else");
            names.push(message.topic.as_str().to_owned());
        }
    }
    assert_eq!(names, ["a", "a", "b", "b"]);
}

/// [MQTT-3.3.2-7]
#[test]
fn an_alias_means_nothing_on_the_next_connection() {
    let config = |config: &mut mqttkit_codec::ServerConfig| config.topic_alias_maximum = 9;
    let mut server =
        Server::with_config(config).asked(connect(0)).accepted(ConnAck::accepted(false), Session::new());
    server.receive(&packet(0x30, "<a> 03 23 0001"));
    let session = server.connection.take_session();
    let mut server = Server::with_config(config).asked(connect(0)).accepted(ConnAck::accepted(true), session);
    let closed = server.closed_by(&packet(0x30, "<> 03 23 0001"));
    assert_eq!(closed, Closed::Protocol(ProtocolError::UnknownTopicAlias(1)));
    assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);

    // Nor are those that this side has set: what is sent again has its name.
    let automatic = |config: &mut mqttkit_codec::ClientConfig| config.automatic_topic_aliases = 9;
    let mut client = Client::connecting_with(connect(0), Session::new(), automatic).answered(connack(9));
    for payload in ["1", "2"] {
        let message = Message::new(topic("a/long/topic"), payload).with_qos(QoS::AtLeastOnce);
        client.connection.publish(client.now, message).unwrap();
    }
    let names = |client: &mut Client| -> Vec<(String, bool)> {
        let name = |packet| match packet {
            Packet::Publish(publish) => {
                (publish.topic.as_str().to_owned(), publish.properties.topic_alias().is_some())
            }
            other => panic!("{other:?}"),
        };
        client.sent().into_iter().map(name).collect()
    };
    let (name, alias) = ("a/long/topic".to_owned(), String::new());
    assert_eq!(names(&mut client), [(name.clone(), true), (alias, true)]);
    let session = client.connection.take_session();
    let mut resumed = connack(0);
    resumed.session_present = true;
    let mut client = Client::connecting_with(connect(0), session, automatic).answered(resumed);
    assert_eq!(names(&mut client), [(name.clone(), false), (name, false)]);
}

/// [MQTT-3.2.2-15]: setting an alias makes a message longer, which must not be what makes it too large.
#[test]
fn a_message_that_fits_by_its_name_alone_is_sent_by_its_name() {
    let mut connack = connack(5);
    connack.properties = connack.properties.with_maximum_packet_size(50.try_into().unwrap());
    let mut client =
        Client::connecting_with(connect(0), Session::new(), |config| config.automatic_topic_aliases = 5)
            .answered(connack);
    // 2 bytes of header, 12 of topic, 1 of properties
    for length in 30..=36 {
        let message = Message::new(topic("long/topic"), vec![b'x'; length]);
        let published = client.connection.publish(client.now, message);
        assert_eq!(published.is_ok(), length <= 35, "{length}");
        let sent = client.sent_bytes();
        assert!(sent.len() <= 50 && sent.is_empty() == published.is_err());
        // Begin anew without the alias.
        let name = format!("x/{length}");
        for number in 0..5 {
            client
                .connection
                .publish(client.now, Message::new(topic(&format!("{name}/{number}")), ""))
                .unwrap();
        }
        client.sent();
    }
}
