//! Chapter 3.3: PUBLISH.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqttkit_codec::{
    Binary, Closed, DecodeCause, Delivery, EncodeError, Message, Packet, ProtocolError, Publish,
    PublishProperties, QoS, ReasonCode, ServerEvent, Version,
};

use crate::common::{
    Client, NUMBERED, Server, VERSIONS, accepted, decode, encoded, goodbye, id, packet, refused, text, topic,
};

/// [MQTT-3.3.1-2], and the DUP of [MQTT-4.3.1-1]
#[test]
fn dup_is_zero_with_qos_0() {
    for version in NUMBERED {
        let properties = if version == Version::V5 { "00" } else { "" };
        for first_byte in [0x38, 0x39] {
            let wire = packet(first_byte, &format!("<t> {properties}"));
            refused(version, &wire, DecodeCause::DupWithoutQoS, "MQTT-3.3.1-2");
        }
        let publish = Publish { dup: true, ..Publish::new(topic("t"), Bytes::new()) };
        assert_eq!(encoded(version, publish)[0], 0x30, "whatever the field says");
    }
}

/// [MQTT-3.3.1-3]
#[test]
fn dup_is_not_passed_on() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        let delivery = Delivery::AtLeastOnce(id(1));
        let again = Publish { dup: true, delivery, ..Publish::new(topic("t"), Bytes::new()) };
        let mut events = server.receive_packet(again);
        let Some(ServerEvent::Publish { message, dup: true, .. }) = events.pop() else { panic!() };
        let mut subscriber = Server::connected(version);
        subscriber.connection.publish(subscriber.now, message).unwrap();
        let Packet::Publish(forwarded) = subscriber.sent_one() else { panic!() };
        assert!(!forwarded.dup);
    }
}

/// [MQTT-3.3.1-4]
#[test]
fn qos_3_does_not_exist() {
    for version in NUMBERED {
        for first_byte in [0x36, 0x37, 0x3e, 0x3f] {
            let wire = packet(first_byte, "<t> 0001 00");
            refused(version, &wire, DecodeCause::InvalidQoS, "MQTT-3.3.1-4");
            let mut server = Server::connected(version);
            assert!(matches!(server.closed_by(&wire), Closed::Protocol(ProtocolError::Decode(_))));
            let mut client = Client::connected(version);
            assert!(matches!(client.closed_by(&wire), Closed::Protocol(ProtocolError::Decode(_))));
            if version == Version::V5 {
                assert_eq!(goodbye(&server.sent()), ReasonCode::MalformedPacket);
                assert_eq!(goodbye(&client.sent()), ReasonCode::MalformedPacket);
            }
        }
    }
}

/// [MQTT-3.3.2-1]
#[test]
fn the_topic_name_is_the_first_field_and_a_string() {
    for (version, statement) in [(Version::V311, "MQTT-1.5.3-1"), (Version::V5, "MQTT-1.5.4-1")] {
        let delivery = Delivery::AtLeastOnce(id(5));
        let publish = Publish { delivery, ..Publish::new(topic("t"), "x".into()) };
        let properties = if version == Version::V5 { "00" } else { "" };
        assert_eq!(encoded(version, publish), packet(0x32, &format!("<t> 0005 {properties} 'x'")));
        refused(version, &packet(0x30, "0001 ff 00"), DecodeCause::InvalidUtf8, statement);
        for body in ["", "00", "0002 'a'"] {
            let error = decode(version, &packet(0x30, body)).unwrap_err();
            assert_eq!((error.cause(), error.field()), (DecodeCause::Truncated, "Topic Name"));
        }
    }
}

#[test]
fn a_publish_has_a_topic_name_or_an_alias_for_one() {
    let error = decode(Version::V5, &packet(0x30, "<> 00")).unwrap_err();
    assert_eq!((error.cause(), error.reason_code()), (DecodeCause::MissingTopic, ReasonCode::ProtocolError));
    accepted(Version::V5, &packet(0x30, "<> 03 23 0001"));
    let nameless = Publish::new(mqttkit_codec::TopicName::ALIASED, Bytes::new());
    let written = mqttkit_codec::Codec::new(Version::V5).encode(&nameless, &mut bytes::BytesMut::new());
    assert_eq!(written, Err(EncodeError::MissingTopic));
}

/// [MQTT-3.3.2-14]
#[test]
fn a_response_topic_has_no_wildcards() {
    for name in ["+", "#", "a/+", "a/#"] {
        let wire = packet(0x30, &format!("<t> {:02x} 08 <{name}>", 3 + name.len()));
        refused(Version::V5, &wire, DecodeCause::InvalidPropertyValue(0x08), "MQTT-3.3.2-14");
    }
    let Packet::Publish(publish) = accepted(Version::V5, &packet(0x30, "<t> 06 08 <a/b>")) else { panic!() };
    assert_eq!(publish.properties.response_topic(), Some(topic("a/b")));
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
#[test]
fn a_forwarded_message_keeps_its_properties_and_their_order() {
    let properties = PublishProperties::new()
        .with_payload_format_indicator(true)
        .with_content_type(&text("text/plain"))
        .with_response_topic(&topic("answers"))
        .with_correlation_data(&Binary::try_from("42").unwrap())
        .with_user_property(&text("b"), &text("1"))
        .with_user_property(&text("a"), &text("2"))
        .with_user_property(&text("b"), &text("1"));
    let publish = Publish { properties: properties.clone(), ..Publish::new(topic("t"), "hi".into()) };
    let mut publisher = Server::connected(Version::V5);
    let mut events = publisher.receive_packet(publish.clone());
    let Some(ServerEvent::Publish { message, .. }) = events.pop() else { panic!() };
    for message in [message.detached(), message] {
        let mut subscriber = Server::connected(Version::V5);
        subscriber.connection.publish(subscriber.now, message).unwrap();
        assert_eq!(subscriber.sent(), [publish.clone().into()]);
    }
    let mut old = Server::connected(Version::V311);
    old.connection.publish(old.now, Message::new(topic("t"), "hi").with_properties(properties)).unwrap();
    assert_eq!(old.sent_bytes(), packet(0x30, "<t> 'hi'"), "an older subscriber gets none");
}

/// [MQTT-3.3.4-3], [MQTT-3.3.4-4]
#[test]
fn a_message_can_carry_several_subscription_identifiers() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let properties = PublishProperties::new()
        .with_subscription_identifier(number(7))
        .with_subscription_identifier(number(268_435_455));
    let mut server = Server::connected(Version::V5);
    let message = Message::new(topic("t"), "").with_properties(properties);
    server.connection.publish(server.now, message).unwrap();
    let wire = server.sent_bytes();
    assert_eq!(wire, packet(0x30, "<t> 07 0b07 0bffffff7f"));
    let mut client = Client::connected(Version::V5);
    let mut events = client.receive(&wire);
    let Some(mqttkit_codec::ClientEvent::Publish { message, .. }) = events.pop() else { panic!() };
    assert!(message.properties.subscription_identifiers().eq([number(7), number(268_435_455)]));
    // Zero is not one.
    let zero = packet(0x30, "<t> 02 0b00");
    assert_eq!(decode(Version::V5, &zero).unwrap_err().reason_code(), ReasonCode::ProtocolError);
}

/// [MQTT-3.3.4-6]
#[test]
fn a_client_sends_no_subscription_identifier() {
    let mut server = Server::connected(Version::V5);
    let closed = server.closed_by(&packet(0x30, "<t> 02 0b07"));
    assert!(matches!(closed, Closed::Protocol(_)), "{closed:?}");
    assert_eq!(goodbye(&server.sent()), ReasonCode::ProtocolError);

    let mut client = Client::connected(Version::V5);
    let properties = PublishProperties::new().with_subscription_identifier(NonZeroU32::new(7).unwrap());
    let message = Message::new(topic("t"), "").with_properties(properties);
    let _ = client.connection.publish(client.now, message);
    for packet in client.sent() {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        assert_eq!(publish.properties.subscription_identifiers().count(), 0);
    }
}

/// [MQTT-3.3.4-1]
#[test]
fn a_message_is_answered_as_its_qos_asks() {
    for version in VERSIONS {
        for (qos, answer) in
            [(QoS::AtMostOnce, None), (QoS::AtLeastOnce, Some(0x40)), (QoS::ExactlyOnce, Some(0x50))]
        {
            let publish = crate::flow::incoming("x", qos, 9);
            let mut server = Server::connected(version);
            for event in server.receive_packet(publish.clone()) {
                let ServerEvent::Publish { token, .. } = event else { panic!() };
                let now = server.now;
                token.inspect(|&token| server.connection.ack(now, token, ReasonCode::Success));
            }
            let expected = answer.map(|first_byte| packet(first_byte, "0009")).unwrap_or_default();
            assert_eq!(server.sent_bytes(), expected);
            let mut client = Client::connected(version);
            for event in client.receive_packet(publish) {
                let mqttkit_codec::ClientEvent::Publish { token, .. } = event else { panic!() };
                let now = client.now;
                token.inspect(|&token| client.connection.ack(now, token, ReasonCode::Success));
            }
            assert_eq!(client.sent_bytes(), expected);
        }
    }
}

/// [MQTT-3.3.2-8]
#[test]
fn a_topic_alias_is_not_zero() {
    let wire = packet(0x30, "<t> 03 23 0000");
    refused(Version::V5, &wire, DecodeCause::InvalidPropertyValue(0x23), "MQTT-3.3.2-8");
    let mut server = Server::connected(Version::V5);
    server.closed_by(&wire);
    assert_eq!(goodbye(&server.sent()), ReasonCode::TopicAliasInvalid);
    assert_eq!(NonZeroU16::new(0), None, "a sender cannot express it");
}
