//! Limits: what the header alone decides, what is never allocated, and what an encoder refuses.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::BytesMut;
use mqttkit_codec::{
    Auth, AuthProperties, Codec, Connect, DecodeCause, EncodeError, EncodePacket, List, MAX_PACKET_SIZE,
    Packet, PacketId, PacketType, PubAck, Publish, PublishProperties, QoS, ReasonCode, Str, SubAck,
    Subscribe, Subscription, TopicFilter, TopicName, UnsubAck, Unsubscribe, Version, Will,
};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn id() -> PacketId {
    PacketId::new(1).unwrap()
}

fn publish(payload: usize) -> Publish {
    Publish::new(TopicName::try_from("t").unwrap(), vec![0; payload].into())
}

#[test]
fn a_packet_of_exactly_the_limit_is_taken() {
    for version in VERSIONS {
        let mut codec = Codec::new(version);
        let mut bytes = BytesMut::new();
        codec.encode(&publish(100), &mut bytes).unwrap();
        codec.set_max_incoming(bytes.len() as u32);
        assert!(codec.decode(&mut bytes.clone()).unwrap().is_some());

        codec.set_max_incoming(bytes.len() as u32 - 1);
        let error = codec.decode(&mut bytes.clone()).unwrap_err();
        let size = bytes.len() as u32;
        assert_eq!(error.cause(), DecodeCause::PacketTooLarge { size, limit: size - 1 });
        assert_eq!(error.packet(), Some(PacketType::Publish));
        assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    }
}

/// The error comes with the last byte of the header and not with the body.
#[test]
fn a_header_is_enough_for_the_limit() {
    let mut codec = Codec::new(Version::V311);
    codec.set_max_incoming(1000);
    let header = [0x30, 0xe8, 0x07];
    for len in 0..header.len() {
        assert_eq!(codec.decode(&mut BytesMut::from(&header[..len])), Ok(None));
    }
    let error = codec.decode(&mut BytesMut::from(&header[..])).unwrap_err();
    assert_eq!(error.cause(), DecodeCause::PacketTooLarge { size: 1003, limit: 1000 });
    assert_eq!((error.field(), error.offset()), ("Remaining Length", 1));
}

/// What the first byte decides needs no second one.
#[test]
fn the_first_byte_is_enough_for_its_errors() {
    for first in [0x00, 0x36, 0x38, 0x41, 0x80, 0xc1] {
        let result = Codec::new(Version::V5).decode(&mut BytesMut::from(&[first][..]));
        assert_eq!(result.unwrap_err().offset(), 0, "{first:#04x}");
    }
}

#[test]
fn nothing_is_allocated_for_a_declared_length() {
    let mut codec = Codec::new(Version::V311);
    let mut input = BytesMut::with_capacity(64);
    input.extend_from_slice(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']);
    let capacity = input.capacity();
    assert_eq!(codec.decode(&mut input), Ok(None));
    assert_eq!(input.capacity(), capacity);
    assert_eq!(input.len(), 8);
}

/// All but short strings, and entries are kept as they came, so that a packet full of tiny ones is no bomb.
#[test]
fn decoded_packets_share_the_memory_of_the_input() {
    let mut codec = Codec::new(Version::V5);
    let mut bytes = BytesMut::new();
    let publish = Publish { topic: TopicName::try_from("long/".repeat(10)).unwrap(), ..publish(1000) };
    codec.encode(&publish, &mut bytes).unwrap();
    let range = bytes.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = codec.decode(&mut bytes) else { panic!("a PUBLISH") };
    assert!(range.contains(&publish.payload.as_ptr()));
    assert!(range.contains(&publish.topic.as_bytes().as_ptr()));

    let filter = TopicFilter::try_from("long/".repeat(10)).unwrap();
    let many = std::iter::repeat_n(Subscription::new(filter, QoS::AtMostOnce), 10_000);
    let mut bytes = BytesMut::new();
    codec.encode(&Subscribe::new(id(), many), &mut bytes).unwrap();
    let range = bytes.as_ptr_range();
    let Ok(Some(Packet::Subscribe(subscribe))) = codec.decode(&mut bytes) else { panic!("a SUBSCRIBE") };
    assert_eq!(subscribe.subscriptions.len(), 10_000);
    assert!(subscribe.subscriptions.iter().all(|entry| range.contains(&entry.filter.as_bytes().as_ptr())));
}

/// An error leaves the buffer as it was.
fn refused(codec: &Codec, packet: &impl EncodePacket) -> EncodeError {
    let mut out = BytesMut::from(&b"before"[..]);
    let error = codec.encode(packet, &mut out).unwrap_err();
    assert_eq!(out, b"before"[..]);
    error
}

#[test]
fn an_encoder_keeps_to_its_limit() {
    let mut codec = Codec::new(Version::V5);
    let packet = publish(200);
    let size = codec.encoded_len(&packet);
    codec.set_max_outgoing(size as u32);
    codec.encode(&packet, &mut BytesMut::new()).unwrap();
    codec.set_max_outgoing(size as u32 - 1);
    let error = EncodeError::PacketTooLarge { size: size as u64, limit: size as u32 - 1 };
    assert_eq!(refused(&codec, &packet), error);
    let mut out = BytesMut::new();
    assert_eq!(codec.encode_publish_header(&packet, &mut out), Err(error));
    assert!(out.is_empty());
}

#[test]
fn nothing_is_encoded_that_mqtt_cannot_express() {
    // One byte more than a Remaining Length can say: topic and property length take four.
    let packet = publish(MAX_PACKET_SIZE as usize - 5 - 4 + 1);
    let codec = Codec::new(Version::V5);
    let size = u64::from(MAX_PACKET_SIZE) + 1;
    assert_eq!(refused(&codec, &packet), EncodeError::PacketTooLarge { size, limit: MAX_PACKET_SIZE });
    let mut head = BytesMut::new();
    Codec::new(Version::V311).encode_publish_header(&packet, &mut head).unwrap();
    assert_eq!(head[..], [0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']);
}

#[test]
fn lists_that_need_an_entry_are_not_encoded_without() {
    for version in VERSIONS {
        let codec = Codec::new(version);
        let empty = EncodeError::EmptyList;
        assert_eq!(refused(&codec, &Subscribe::new(id(), [])), empty(PacketType::Subscribe));
        assert_eq!(refused(&codec, &SubAck::new(id(), [])), empty(PacketType::SubAck));
        assert_eq!(refused(&codec, &Unsubscribe::new(id(), [])), empty(PacketType::Unsubscribe));
    }
    let none = UnsubAck::new(id(), []);
    assert_eq!(refused(&Codec::new(Version::V5), &none), EncodeError::EmptyList(PacketType::UnsubAck));
    assert!(Codec::new(Version::V311).encode(&none, &mut BytesMut::new()).is_ok());
}

#[test]
fn reason_codes_of_another_packet_are_not_encoded() {
    let codec = Codec::new(Version::V5);
    let code = ReasonCode::KeepAliveTimeout;
    let refusal = |packet| EncodeError::InvalidReasonCode { packet, code };
    assert_eq!(refused(&codec, &PubAck::new(id()).with_reason(code)), refusal(PacketType::PubAck));
    assert_eq!(refused(&codec, &SubAck::new(id(), [code])), refusal(PacketType::SubAck));
    assert_eq!(refused(&codec, &mqttkit_codec::ConnAck::refused(code)), refusal(PacketType::ConnAck));
    let auth = Auth { reason: code, properties: AuthProperties::new() };
    assert_eq!(refused(&codec, &auth), refusal(PacketType::Auth));
}

#[test]
fn what_a_version_does_not_have_is_refused_or_left_out() {
    let auth = Auth { reason: ReasonCode::Success, properties: AuthProperties::new() };
    for version in [Version::V31, Version::V311] {
        let codec = Codec::new(version);
        let error = EncodeError::NotInVersion { packet: PacketType::Auth, version };
        assert_eq!(refused(&codec, &auth), error);
        // A topic alias means nothing here, so the name is needed.
        let properties = PublishProperties::new().with_topic_alias(1.try_into().unwrap());
        let aliased = Publish { topic: TopicName::ALIASED, properties: properties.clone(), ..publish(0) };
        assert_eq!(refused(&codec, &aliased), EncodeError::MissingTopic);
        let (mut with, mut without) = (BytesMut::new(), BytesMut::new());
        codec.encode(&Publish { properties, ..publish(9) }, &mut with).unwrap();
        codec.encode(&publish(9), &mut without).unwrap();
        assert_eq!(with, without);
    }
}

#[test]
fn a_connect_is_checked_in_its_own_version() {
    // [MQTT-3.1.2-22] of 3.1.1
    let mut connect = Connect::new(Version::V311, Str::try_from("a").unwrap());
    connect.password = Some("secret".try_into().unwrap());
    assert_eq!(refused(&Codec::new(Version::V5), &connect), EncodeError::PasswordWithoutUserName);
    connect.version = Version::V5;
    assert!(Codec::new(Version::V311).encode(&connect, &mut BytesMut::new()).is_ok());
    connect.will = Some(Will::new(TopicName::ALIASED, "gone".try_into().unwrap()));
    assert_eq!(refused(&Codec::new(Version::V5), &connect), EncodeError::MissingTopic);
}

#[test]
fn a_client_identifier_that_would_be_refused_is_not_encoded() {
    let mut connect = Connect::new(Version::V311, Str::EMPTY);
    connect.clean_start = false;
    // [MQTT-3.1.3-7]
    assert_eq!(refused(&Codec::new(Version::V311), &connect), EncodeError::EmptyClientId);
    let connect = Connect::new(Version::V31, Str::EMPTY);
    assert_eq!(refused(&Codec::new(Version::V31), &connect), EncodeError::EmptyClientId);
    let mut connect = Connect::new(Version::V5, Str::EMPTY);
    connect.clean_start = false;
    assert!(Codec::new(Version::V5).encode(&connect, &mut BytesMut::new()).is_ok());
}

#[test]
fn no_local_on_a_shared_subscription_is_not_encoded() {
    let filter = TopicFilter::try_from("$share/group/f").unwrap();
    let mut subscription = Subscription::new(filter, QoS::AtMostOnce);
    subscription.options.no_local = true;
    let subscribe = Subscribe::new(id(), [subscription]);
    // [MQTT-3.8.3-4]
    assert_eq!(refused(&Codec::new(Version::V5), &subscribe), EncodeError::NoLocalOnSharedSubscription);
    // Before MQTT 5.0 there is no such option.
    assert!(Codec::new(Version::V311).encode(&subscribe, &mut BytesMut::new()).is_ok());
}

#[test]
fn authentication_data_is_not_encoded_without_a_method() {
    let data = "data".try_into().unwrap();
    let properties = AuthProperties::new().with_authentication_data(&data);
    let auth = Auth { reason: ReasonCode::ContinueAuthentication, properties };
    assert_eq!(refused(&Codec::new(Version::V5), &auth), EncodeError::AuthenticationDataWithoutMethod);
    let mut connect = Connect::new(Version::V5, Str::EMPTY);
    connect.properties = connect.properties.with_authentication_data(&data);
    assert_eq!(refused(&Codec::new(Version::V5), &connect), EncodeError::AuthenticationDataWithoutMethod);
}

#[test]
fn an_empty_list_is_equal_to_an_empty_list() {
    assert_eq!(List::<ReasonCode>::EMPTY, [].into_iter().collect());
}
