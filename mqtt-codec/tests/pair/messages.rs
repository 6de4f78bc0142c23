//! Messages, subscriptions and their acknowledgements.

use std::num::NonZeroU16;

use bytes::{Buf, BytesMut};
use mqttkit_codec::{
    Binary, ClientConfig, ClientEvent, Closed, ConnAck, Connect, Message, ProtocolError, PublishError,
    PublishProperties, QoS, ReasonCode, ServerConfig, ServerEvent, Session, SubAck, SubscribeProperties,
    Subscription, TopicFilter, TopicName, UnsubAck, UnsubscribeProperties, Version, Will, WillProperties,
};

use crate::{Pair, VERSIONS, message, text, token_of, topic};

#[test]
fn messages_travel_both_ways_with_every_qos_and_version() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
            pair.client.publish(pair.now, message(number, qos)).unwrap();
            pair.server.publish(pair.now, message(number, qos)).unwrap();
        }
        assert!(pair.run());
        assert_eq!(pair.payloads_at_server(), ["0", "1", "2"]);
        assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success; 2]);
        assert!(pair.client.take_session().is_empty());
        assert!(pair.server.take_session().is_empty());
    }
}

#[test]
fn a_shared_message_is_written_like_one_that_is_given_away() {
    let pairs = VERSIONS.map(|version| (Pair::established(version), Pair::established(version)));
    for (mut given, mut shared) in pairs.into_iter().chain([(aliasing_pair(), aliasing_pair())]) {
        for (size, retain) in [(0, false), (10, true), (5_000, false), (5_000, true)] {
            let properties = PublishProperties::new().with_response_topic(&topic("r"));
            let message = Message::new(topic("some/topic"), vec![7; size])
                .with_properties(properties)
                .with_retain(true);
            let plain = Message { retain, ..message.clone() };
            assert_eq!(given.server.publish(given.now, plain), Ok(None));
            let kept = message.with_qos(QoS::ExactlyOnce);
            assert_eq!(shared.server.publish_shared(shared.now, &kept, retain), Ok(()));
            let [given, shared] = [&mut given, &mut shared].map(|pair| {
                let transmit = pair.server.transmit();
                transmit.copy_to_bytes(transmit.remaining())
            });
            assert_eq!(given, shared, "{size} {retain}");
        }
        shared.server.handle_closed(shared.now);
        let late = shared.server.publish_shared(shared.now, &message(0, QoS::AtMostOnce), false);
        assert!(late.is_err());
    }
}

#[test]
fn a_message_that_was_encoded_elsewhere_is_sent_like_any_other() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        let codec = pair.server.shared_codec().unwrap().clone();
        assert_eq!(codec.version(), version);
        let mut packets = BytesMut::new();
        for (number, retain) in [(1, false), (2, true)] {
            let message = message(number, QoS::ExactlyOnce).with_retain(!retain);
            codec.encode_at_most_once(&message, retain, &mut packets).unwrap();
            pair.server.publish_shared(pair.now, &message, retain).unwrap();
        }
        let transmit = pair.server.transmit();
        assert_eq!(transmit.copy_to_bytes(transmit.remaining()), packets);
        pair.server.publish_encoded(pair.now, &packets).unwrap();
        assert!(pair.run());
        assert_eq!(pair.payloads_at_client(), ["1", "2"]);
        pair.server.handle_closed(pair.now);
        assert!(pair.server.publish_encoded(pair.now, &packets).is_err());
    }
    assert!(aliasing_pair().server.shared_codec().is_none());
}

#[test]
fn subscribe_and_unsubscribe_are_answered() {
    for version in VERSIONS {
        let mut pair = Pair::established(version);
        let filter = TopicFilter::try_from("a/#").unwrap();
        let wanted = [Subscription::new(filter.clone(), QoS::ExactlyOnce)];
        let asked = pair.client.subscribe(pair.now, SubscribeProperties::new(), wanted.clone()).unwrap();
        pair.run();
        let Some(ServerEvent::Subscribe(subscribe)) = pair.server_events.pop_front() else { panic!() };
        assert!(subscribe.subscriptions.iter().eq(wanted));
        let ack = SubAck::new(subscribe.packet_id, [ReasonCode::GrantedQoS2]);
        pair.server.sub_ack(pair.now, &ack).unwrap();
        pair.run();
        assert_eq!(pair.client_events.pop_front(), Some(ClientEvent::SubAck(ack)));
        assert_eq!(subscribe.packet_id, asked);

        pair.client.unsubscribe(pair.now, UnsubscribeProperties::new(), [filter]).unwrap();
        pair.run();
        let Some(ServerEvent::Unsubscribe(unsubscribe)) = pair.server_events.pop_front() else { panic!() };
        let ack = UnsubAck::new(unsubscribe.packet_id, [ReasonCode::Success]);
        pair.server.unsub_ack(pair.now, &ack).unwrap();
        pair.run();
        assert!(matches!(pair.client_events.pop_front(), Some(ClientEvent::UnsubAck(_))));
    }
}

#[test]
fn acknowledgements_leave_in_the_order_of_the_messages() {
    // [MQTT-4.6.0-2]
    let mut pair = Pair::established(Version::V311);
    pair.acks = false;
    let ids: Vec<_> = (0..3)
        .map(|number| pair.client.publish(pair.now, message(number, QoS::AtLeastOnce)).unwrap())
        .collect();
    pair.run();
    let tokens: Vec<_> = pair.server_events.iter().map(|event| token_of(Some(event))).collect();
    pair.server.ack(pair.now, tokens[2], ReasonCode::Success);
    pair.server.ack(pair.now, tokens[1], ReasonCode::Success);
    pair.run();
    assert!(pair.client_events.is_empty(), "the first is missing");
    pair.server.ack(pair.now, tokens[0], ReasonCode::Success);
    pair.run();
    let order: Vec<_> = pair
        .client_events
        .iter()
        .map(|event| match event {
            ClientEvent::Acknowledged { packet_id, .. } => Some(*packet_id),
            _ => None,
        })
        .collect();
    assert_eq!(order, ids);
}

#[test]
fn a_refused_message_is_complete() {
    let mut pair = Pair::established(Version::V5);
    pair.acks = false;
    pair.client.publish(pair.now, message(0, QoS::ExactlyOnce)).unwrap();
    pair.client.publish(pair.now, message(1, QoS::AtLeastOnce)).unwrap();
    pair.run();
    let tokens: Vec<_> = pair.server_events.iter().map(|event| token_of(Some(event))).collect();
    for token in tokens {
        pair.server.ack(pair.now, token, ReasonCode::QuotaExceeded);
    }
    pair.run();
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::QuotaExceeded; 2]);
    assert!(pair.client.take_session().is_empty() && pair.server.take_session().is_empty());
}

#[test]
fn topic_aliases_are_resolved_before_delivery() {
    // [MQTT-3.3.2-7], [MQTT-3.3.2-12]
    let mut server = ServerConfig::default();
    server.topic_alias_maximum = 2;
    let mut pair =
        Pair::with(ClientConfig::default(), server, Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    let alias = |number| PublishProperties::new().with_topic_alias(NonZeroU16::new(number).unwrap());
    let named = Message::new(topic("a/b"), "1").with_properties(alias(2));
    let aliased = Message::new(TopicName::ALIASED, "2").with_properties(alias(2));
    pair.client.publish(pair.now, named).unwrap();
    pair.client.publish(pair.now, aliased).unwrap();
    pair.run();
    for payload in ["1", "2"] {
        let Some(ServerEvent::Publish { message, .. }) = pair.server_events.pop_front() else { panic!() };
        assert_eq!((message.topic.as_str(), &message.payload[..]), ("a/b", payload.as_bytes()));
        assert!(message.properties.is_empty());
    }
    let unknown = Message::new(TopicName::ALIASED, "3").with_properties(alias(1));
    pair.client.publish(pair.now, unknown).unwrap();
    pair.run();
    assert_eq!(pair.server_closed(), Some(Closed::Protocol(ProtocolError::UnknownTopicAlias(1))));
}

#[test]
fn a_will_becomes_a_message_without_its_delay() {
    let properties = WillProperties::new().with_will_delay_interval(5).with_message_expiry_interval(9);
    let mut will = Will::new(topic("w"), Binary::try_from("gone").unwrap());
    will.properties = properties;
    let message = Message::from(will);
    assert_eq!(message.properties, PublishProperties::new().with_message_expiry_interval(9));
}

/// A pair in which both sides set aliases by themselves and allow two.
fn aliasing_pair() -> Pair {
    let mut client = ClientConfig::default();
    client.topic_alias_maximum = 2;
    client.automatic_topic_aliases = 10;
    let mut server = ServerConfig::default();
    server.topic_alias_maximum = 2;
    server.automatic_topic_aliases = 10;
    let mut pair = Pair::with(client, server, Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair
}

#[test]
fn aliases_are_set_by_themselves_and_nobody_sees_them() {
    // [MQTT-3.3.2-10], [MQTT-3.1.2-27]
    let mut pair = aliasing_pair();
    let name = "a/rather/long/topic/name";
    let mut sizes = Vec::new();
    for number in 0..3 {
        let message = Message::new(topic(name), number.to_string()).with_qos(QoS::AtLeastOnce);
        pair.client.publish(pair.now, message.clone()).unwrap();
        pair.server.publish(pair.now, message).unwrap();
        sizes.push(pair.client.transmit().remaining());
        pair.run();
    }
    assert!(sizes[1] < sizes[0] - name.len() + 1 && sizes[1] == sizes[2], "{sizes:?}");
    for event in &pair.server_events {
        let ServerEvent::Publish { message, .. } = event else { continue };
        assert_eq!((message.topic.as_str(), message.properties.is_empty()), (name, true));
    }
    assert_eq!(pair.payloads_at_server(), ["0", "1", "2"]);
}

#[test]
fn more_topics_than_aliases_all_arrive_by_their_names() {
    let mut pair = aliasing_pair();
    let names: Vec<_> = (0..40).map(|number| format!("topic/number/{}", number * 7 % 5)).collect();
    for name in &names {
        pair.client.publish(pair.now, Message::new(topic(name), "x")).unwrap();
    }
    pair.run();
    let arrived: Vec<_> = pair
        .server_events
        .iter()
        .map(|event| match event {
            ServerEvent::Publish { message, .. } => message.topic.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(arrived, names);
}

#[test]
fn an_alias_does_not_outlive_its_connection() {
    // [MQTT-3.3.2-7]
    let mut connect = Connect::new(Version::V5, text("c"));
    connect.clean_start = false;
    let mut client = ClientConfig::default();
    client.automatic_topic_aliases = 4;
    let mut server = ServerConfig::default();
    server.topic_alias_maximum = 4;
    let mut pair = Pair::with(client.clone(), server.clone(), connect.clone(), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.client.publish(pair.now, Message::new(topic("some/topic"), "1")).unwrap();
    pair.client.publish(pair.now, Message::new(topic("some/topic"), "2").with_qos(QoS::ExactlyOnce)).unwrap();
    pair.cut();
    let mut pair = Pair::with(client, server, connect, pair.client.take_session());
    pair.establish(ConnAck::accepted(true), Session::new());
    let Some(ServerEvent::Publish { message, dup, .. }) = pair.server_events.pop_front() else { panic!() };
    assert_eq!((message.topic.as_str(), dup), ("some/topic", true));
}

#[test]
fn an_alias_above_the_peers_maximum_is_not_sent() {
    // [MQTT-3.3.2-9]
    let mut pair = Pair::established(Version::V5);
    let properties = PublishProperties::new().with_topic_alias(NonZeroU16::MIN);
    let message = Message::new(topic("t"), "").with_properties(properties);
    let refused = Err(PublishError::TopicAliasAboveMaximum { alias: 1, maximum: 0 });
    assert_eq!(pair.client.publish(pair.now, message.clone()), refused);
    assert_eq!(pair.server.publish(pair.now, message), refused);
}

#[test]
fn messages_are_acknowledged_without_being_asked() {
    let mut server = ServerConfig::default();
    server.automatic_acknowledgement = true;
    let mut pair =
        Pair::with(ClientConfig::default(), server, Connect::new(Version::V5, text("c")), Session::new());
    pair.establish(ConnAck::accepted(false), Session::new());
    pair.acks = false;
    pair.client.publish(pair.now, message(0, QoS::AtLeastOnce)).unwrap();
    pair.client.publish(pair.now, message(1, QoS::ExactlyOnce)).unwrap();
    pair.run();
    assert!(matches!(pair.server_events.front(), Some(ServerEvent::Publish { token: None, .. })));
    assert_eq!(pair.acknowledged_at_client(), [ReasonCode::Success; 2]);
}

#[test]
fn a_reason_that_no_acknowledgement_can_carry_is_replaced() {
    let mut pair = Pair::established(Version::V5);
    pair.acks = false;
    for (reason, sent) in [
        (ReasonCode::GrantedQoS1, ReasonCode::Success),
        (ReasonCode::ServerMoved, ReasonCode::UnspecifiedError),
    ] {
        pair.client.publish(pair.now, message(0, QoS::AtLeastOnce)).unwrap();
        pair.run();
        let token = token_of(pair.server_events.pop_front().as_ref());
        pair.server.ack(pair.now, token, reason);
        pair.run();
        assert_eq!(pair.acknowledged_at_client(), [sent]);
    }
}
