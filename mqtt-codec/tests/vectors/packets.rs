//! What each vector means: the same packets, built through the public API.

use std::num::{NonZeroU16, NonZeroU32};

use mqttkit_codec::{
    AckProperties, Auth, AuthProperties, Binary, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Delivery, Disconnect, DisconnectProperties, Packet, PacketId, Properties, PropertySet, PubAck, PubComp,
    PubRec, PubRel, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Str, SubAck, Subscribe,
    SubscribeProperties, Subscription, SubscriptionOptions, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    UnsubscribeProperties, Version, Will, WillProperties,
};

/// Every vector's name and packet.
pub(crate) fn expected() -> Vec<(String, Packet)> {
    let mut all = Vec::new();
    let mut add = |name: &str, packet: Packet| all.push((name.to_owned(), packet));
    connect_v3(&mut add);
    connect_v5(&mut add);
    connack(&mut add);
    publish_v3(&mut add);
    publish_v5(&mut add);
    acks(&mut add);
    subscribe(&mut add);
    unsubscribe(&mut add);
    rest(&mut add);
    all
}

fn s(text: &str) -> Str {
    Str::try_from(text).unwrap()
}

fn b(bytes: &[u8]) -> Binary {
    Binary::try_from(bytes).unwrap()
}

fn topic(name: &str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn n16(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn n32(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// The User Properties of every vector with maximal properties.
fn two_users<P: PropertySet>(properties: Properties<P>) -> Properties<P> {
    properties.with_user_property(&s("k"), &s("v")).with_user_property(&s("k"), &s("w"))
}

fn empty_user<P: PropertySet>(properties: Properties<P>) -> Properties<P> {
    properties.with_user_property(&s(""), &s(""))
}

fn connect_v3(add: &mut impl FnMut(&str, Packet)) {
    let v31 = Connect::new(Version::V31, s("a"));
    let mut bridge = v31.clone();
    bridge.bridge = true;
    add("connect_v31", v31.into());
    add("connect_v31_bridge", bridge.into());

    add("connect_v311_minimal", Connect::new(Version::V311, s("")).into());
    add("connect_v311_longest_client_id", Connect::new(Version::V311, s(&"a".repeat(65_535))).into());
    let plain = Connect::new(Version::V311, s("a"));
    let mut kept = plain.clone();
    kept.clean_start = false;
    kept.keep_alive = 0;
    add("connect_v311_kept_session", kept.into());
    let mut bridge = plain.clone();
    bridge.bridge = true;
    add("connect_v311_bridge", bridge.into());
    let mut user = plain.clone();
    user.user_name = Some(s("u"));
    add("connect_v311_user_only", user.into());
    let mut empty = plain;
    empty.will = Some(Will::new(topic("w"), b(&[])));
    empty.user_name = Some(s(""));
    empty.password = Some(b(&[]));
    add("connect_v311_empty_fields", empty.into());

    let mut full = Connect::new(Version::V311, s("client"));
    full.keep_alive = 65_535;
    full.will = Some(Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        ..Will::new(topic("last/words"), b(&[0, 1, 0xff]))
    });
    full.user_name = Some(s("usér"));
    full.password = Some(b(&[0, 0xff]));
    add("connect_v311_full", full.into());
}

fn connect_v5(add: &mut impl FnMut(&str, Packet)) {
    let mut minimal = Connect::new(Version::V5, s(""));
    minimal.clean_start = false;
    add("connect_v5_minimal", minimal.into());
    let plain = Connect::new(Version::V5, s("a"));
    let mut password = plain.clone();
    password.password = Some(b(b"pw"));
    add("connect_v5_password_only", password.into());

    let mut min = plain.clone();
    min.properties = empty_user(
        ConnectProperties::new()
            .with_session_expiry_interval(0)
            .with_receive_maximum(n16(1))
            .with_maximum_packet_size(n32(1))
            .with_topic_alias_maximum(0)
            .with_request_response_information(false)
            .with_request_problem_information(false),
    )
    .with_authentication_method(&s(""))
    .with_authentication_data(&b(&[]));
    add("connect_v5_properties_min", min.into());
    let mut max = plain.clone();
    max.properties = two_users(
        ConnectProperties::new()
            .with_session_expiry_interval(u32::MAX)
            .with_receive_maximum(n16(u16::MAX))
            .with_maximum_packet_size(n32(u32::MAX))
            .with_topic_alias_maximum(u16::MAX)
            .with_request_response_information(true)
            .with_request_problem_information(true),
    )
    .with_authentication_method(&s("SCRAM-SHA-1"))
    .with_authentication_data(&b(&[0, 0xff]));
    add("connect_v5_properties_max", max.into());

    let mut will = plain.clone();
    let properties = empty_user(
        WillProperties::new()
            .with_will_delay_interval(0)
            .with_payload_format_indicator(false)
            .with_message_expiry_interval(0)
            .with_content_type(&s(""))
            .with_response_topic(&topic("r"))
            .with_correlation_data(&b(&[])),
    );
    will.will = Some(Will { properties, ..Will::new(topic("w"), b(&[])) });
    add("connect_v5_will_properties_min", will.into());
    let mut will = plain;
    let properties = two_users(
        WillProperties::new()
            .with_will_delay_interval(u32::MAX)
            .with_payload_format_indicator(true)
            .with_message_expiry_interval(u32::MAX)
            .with_content_type(&s("text/plain"))
            .with_response_topic(&topic("reply/to"))
            .with_correlation_data(&b(&[0, 0xff])),
    );
    let message = Will::new(topic("w"), b(b"bye"));
    will.will = Some(Will { qos: QoS::AtLeastOnce, retain: true, properties, ..message });
    add("connect_v5_will_properties_max", will.into());
}

fn connack(add: &mut impl FnMut(&str, Packet)) {
    use ReasonCode as R;
    add("connack_v3_accepted", ConnAck::accepted(false).into());
    add("connack_v311_session_present", ConnAck::accepted(true).into());
    add("connack_v3_refused_version", ConnAck::refused(R::UnsupportedProtocolVersion).into());
    add("connack_v3_refused_client_id", ConnAck::refused(R::ClientIdentifierNotValid).into());
    add("connack_v3_refused_unavailable", ConnAck::refused(R::ServerUnavailable).into());
    add("connack_v3_refused_credentials", ConnAck::refused(R::BadUserNameOrPassword).into());
    add("connack_v3_refused_not_authorized", ConnAck::refused(R::NotAuthorized).into());
    add("connack_v31_reserved_byte", ConnAck::accepted(false).into());
    add("connack_v5_accepted", ConnAck::accepted(false).into());
    add("connack_v5_session_present", ConnAck::accepted(true).into());
    let mut refused = ConnAck::refused(R::ServerMoved);
    refused.properties = refused.properties.with_server_reference(&s("mqtt.example:1883"));
    add("connack_v5_refused", refused.into());

    let mut min = ConnAck::accepted(false);
    min.properties = empty_user(
        ConnAckProperties::new()
            .with_session_expiry_interval(0)
            .with_receive_maximum(n16(1))
            .with_maximum_qos(QoS::AtMostOnce)
            .with_retain_available(false)
            .with_maximum_packet_size(n32(1))
            .with_assigned_client_identifier(&s(""))
            .with_topic_alias_maximum(0)
            .with_reason_string(&s("")),
    )
    .with_wildcard_subscription_available(false)
    .with_subscription_identifier_available(false)
    .with_shared_subscription_available(false)
    .with_server_keep_alive(0)
    .with_response_information(&s(""))
    .with_server_reference(&s(""))
    .with_authentication_method(&s(""))
    .with_authentication_data(&b(&[]));
    add("connack_v5_properties_min", min.into());
    let mut max = ConnAck::accepted(true);
    max.properties = two_users(
        ConnAckProperties::new()
            .with_session_expiry_interval(u32::MAX)
            .with_receive_maximum(n16(u16::MAX))
            .with_maximum_qos(QoS::AtLeastOnce)
            .with_retain_available(true)
            .with_maximum_packet_size(n32(u32::MAX))
            .with_assigned_client_identifier(&s("assigned"))
            .with_topic_alias_maximum(u16::MAX)
            .with_reason_string(&s("welcome")),
    )
    .with_wildcard_subscription_available(true)
    .with_subscription_identifier_available(true)
    .with_shared_subscription_available(true)
    .with_server_keep_alive(u16::MAX)
    .with_response_information(&s("response"))
    .with_server_reference(&s("other"))
    .with_authentication_method(&s("SCRAM-SHA-1"))
    .with_authentication_data(&b(&[0, 0xff]));
    add("connack_v5_properties_max", max.into());
}

fn hello(name: &str) -> Publish {
    Publish::new(topic(name), "hello".into())
}

fn publish_v3(add: &mut impl FnMut(&str, Packet)) {
    use Delivery::{AtLeastOnce, ExactlyOnce};
    add("publish_v3_qos0", hello("a/b").into());
    add("publish_v3_qos0_retain", Publish { retain: true, ..hello("a/b") }.into());
    add("publish_v3_qos1", Publish { delivery: AtLeastOnce(id(1)), ..hello("a/b") }.into());
    add("publish_v3_qos1_dup", Publish { dup: true, delivery: AtLeastOnce(id(1)), ..hello("a/b") }.into());
    let again = Publish { dup: true, retain: true, delivery: ExactlyOnce(id(65_535)), ..hello("a/b") };
    add("publish_v3_qos2_dup_retain", again.into());
    add("publish_v3_empty_payload", Publish { retain: true, payload: "".into(), ..hello("a/b") }.into());
    add("publish_v3_shortest", Publish::new(topic("/"), "".into()).into());
    add("publish_v3_longest_topic", Publish::new(topic(&"a".repeat(65_535)), "".into()).into());
    add("publish_v3_unicode_topic", Publish::new(topic("\u{feff}é/𝄞"), "".into()).into());
    for length in [127, 128, 16_383, 16_384] {
        let publish = Publish::new(topic("a/b"), vec![b'x'; length - 5].into());
        add(&format!("publish_v3_length_{length}"), publish.into());
    }
}

fn publish_v5(add: &mut impl FnMut(&str, Packet)) {
    use Delivery::{AtLeastOnce, ExactlyOnce};
    add("publish_v5_qos0", hello("a/b").into());
    let again = Publish { dup: true, retain: true, delivery: AtLeastOnce(id(1)), ..hello("a/b") };
    add("publish_v5_qos1_dup_retain", again.into());
    let qos2 = Publish { delivery: ExactlyOnce(id(65_535)), payload: "".into(), ..hello("a/b") };
    add("publish_v5_qos2", qos2.into());
    let properties = PublishProperties::new().with_topic_alias(n16(1));
    add("publish_v5_alias_alone", Publish { topic: TopicName::ALIASED, properties, ..hello("a") }.into());

    let min = empty_user(
        PublishProperties::new()
            .with_payload_format_indicator(false)
            .with_message_expiry_interval(0)
            .with_topic_alias(n16(1))
            .with_response_topic(&topic("r"))
            .with_correlation_data(&b(&[])),
    )
    .with_subscription_identifier(n32(1))
    .with_content_type(&s(""));
    let publish = Publish { properties: min, ..Publish::new(topic("a/b"), "".into()) };
    add("publish_v5_properties_min", publish.into());
    let mut max = two_users(
        PublishProperties::new()
            .with_payload_format_indicator(true)
            .with_message_expiry_interval(u32::MAX)
            .with_topic_alias(n16(u16::MAX))
            .with_response_topic(&topic("reply/to"))
            .with_correlation_data(&b(&[0, 0xff])),
    );
    for identifier in [127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
        max = max.with_subscription_identifier(n32(identifier));
    }
    let max = max.with_content_type(&s("text/plain"));
    add("publish_v5_properties_max", Publish { properties: max, ..hello("a/b") }.into());
    for (name, len) in [("longest_content_type", 65_535), ("properties_of_128_bytes", 125)] {
        let properties = PublishProperties::new().with_content_type(&s(&"c".repeat(len)));
        let publish = Publish { properties, ..Publish::new(topic("a/b"), "".into()) };
        add(&format!("publish_v5_{name}"), publish.into());
    }
}

fn acks(add: &mut impl FnMut(&str, Packet)) {
    macro_rules! acks_of {
        ($type:ident, $name:literal, $reason:ident) => {
            let reason = ReasonCode::$reason;
            add(concat!($name, "_v3"), $type::new(id(65_535)).into());
            add(concat!($name, "_v5"), $type::new(id(1)).into());
            let success = $type::new(id(10));
            let failure = $type::new(id(10)).with_reason(reason);
            add(concat!($name, "_v5_reason"), failure.clone().into());
            add(concat!($name, "_v5_reason_and_length"), failure.clone().into());
            add(concat!($name, "_v5_explicit_success"), success.clone().into());
            add(concat!($name, "_v5_explicit_success_and_length"), success.clone().into());
            let properties = empty_user(AckProperties::new().with_reason_string(&s("")));
            add(concat!($name, "_v5_properties_min"), $type { properties, ..success }.into());
            let properties = two_users(AckProperties::new().with_reason_string(&s(&"r".repeat(120))));
            add(concat!($name, "_v5_properties_max"), $type { properties, ..failure }.into());
        };
    }
    acks_of!(PubAck, "puback", NoMatchingSubscribers);
    acks_of!(PubRec, "pubrec", QuotaExceeded);
    acks_of!(PubRel, "pubrel", PacketIdentifierNotFound);
    acks_of!(PubComp, "pubcomp", PacketIdentifierNotFound);
    add("pubrel_v31_dup", PubRel::new(id(10)).into());
}

fn subscribe(add: &mut impl FnMut(&str, Packet)) {
    let to = |text: &str, qos| Subscription::new(filter(text), qos);
    let (q0, q1, q2) = (QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce);
    let one = || Subscribe::new(id(10), [to("a/b", q0)]);
    add("subscribe_v3", one().into());
    add("subscribe_v31_dup", one().into());
    add("subscribe_v5", one().into());
    let many = [to("#", q0), to("+/b/#", q1), to("/", q2), to("$share/group/+", q1)];
    add("subscribe_v3_many", Subscribe::new(id(65_535), many).into());
    add("subscribe_v3_longest_filter", Subscribe::new(id(10), [to(&"a".repeat(65_535), q2)]).into());
    let with = |text: &str, options| Subscription { filter: filter(text), options };
    let options = [
        with(
            "a",
            SubscriptionOptions {
                qos: q2,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
        ),
        with(
            "b",
            SubscriptionOptions {
                retain_handling: RetainHandling::SendIfNew,
                ..SubscriptionOptions::new(q1)
            },
        ),
        with("c", SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(q0) }),
        with("d", SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(q0) }),
        with(
            "$share/g/e/#",
            SubscriptionOptions {
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
                ..SubscriptionOptions::new(q2)
            },
        ),
    ];
    add("subscribe_v5_options", Subscribe::new(id(10), options).into());
    let a = || Subscribe::new(id(10), [to("a", q0)]);
    let properties = empty_user(SubscribeProperties::new().with_subscription_identifier(n32(1)));
    add("subscribe_v5_properties_min", Subscribe { properties, ..a() }.into());
    let properties = two_users(SubscribeProperties::new().with_subscription_identifier(n32(268_435_455)));
    add("subscribe_v5_properties_max", Subscribe { properties, ..a() }.into());

    use ReasonCode as R;
    let v3 = [R::GRANTED_QOS_0, R::GrantedQoS1, R::GrantedQoS2, R::UnspecifiedError];
    add("suback_v3", SubAck::new(id(10), v3).into());
    let v5 = [
        R::ImplementationSpecificError,
        R::NotAuthorized,
        R::TopicFilterInvalid,
        R::PacketIdentifierInUse,
        R::QuotaExceeded,
        R::SharedSubscriptionsNotSupported,
        R::SubscriptionIdentifiersNotSupported,
        R::WildcardSubscriptionsNotSupported,
    ];
    add("suback_v5", SubAck::new(id(10), v3.into_iter().chain(v5)).into());
    let properties = empty_user(AckProperties::new().with_reason_string(&s("")));
    add("suback_v5_properties_min", SubAck { properties, ..SubAck::new(id(10), [R::Success]) }.into());
    let properties = two_users(AckProperties::new().with_reason_string(&s("no")));
    add("suback_v5_properties_max", SubAck { properties, ..SubAck::new(id(10), [R::NotAuthorized]) }.into());
}

fn unsubscribe(add: &mut impl FnMut(&str, Packet)) {
    add("unsubscribe_v3", Unsubscribe::new(id(10), [filter("a/b")]).into());
    add("unsubscribe_v5", Unsubscribe::new(id(10), [filter("a/b")]).into());
    let many = ["#", "+/b", "$share/group/a"].map(filter);
    add("unsubscribe_v3_many", Unsubscribe::new(id(65_535), many).into());
    let a = || Unsubscribe::new(id(10), [filter("a")]);
    add("unsubscribe_v31_dup", a().into());
    let properties = empty_user(UnsubscribeProperties::new());
    let two = Unsubscribe::new(id(10), [filter("a"), filter("b")]);
    add("unsubscribe_v5_properties_min", Unsubscribe { properties, ..two }.into());
    let properties = two_users(UnsubscribeProperties::new());
    add("unsubscribe_v5_properties_max", Unsubscribe { properties, ..a() }.into());

    use ReasonCode as R;
    add("unsuback_v3", UnsubAck::new(id(10), []).into());
    let reasons = [
        R::Success,
        R::NoSubscriptionExisted,
        R::UnspecifiedError,
        R::ImplementationSpecificError,
        R::NotAuthorized,
        R::TopicFilterInvalid,
        R::PacketIdentifierInUse,
    ];
    add("unsuback_v5", UnsubAck::new(id(10), reasons).into());
    let properties = empty_user(AckProperties::new().with_reason_string(&s("")));
    add("unsuback_v5_properties_min", UnsubAck { properties, ..UnsubAck::new(id(10), [R::Success]) }.into());
    let properties = two_users(AckProperties::new().with_reason_string(&s("no")));
    let refused = UnsubAck::new(id(10), [R::NotAuthorized]);
    add("unsuback_v5_properties_max", UnsubAck { properties, ..refused }.into());
}

fn rest(add: &mut impl FnMut(&str, Packet)) {
    use ReasonCode as R;
    add("pingreq", Packet::PingReq);
    add("pingresp", Packet::PingResp);
    let normal = Disconnect::new(R::NORMAL_DISCONNECTION);
    let with_will = Disconnect::new(R::DisconnectWithWill);
    add("disconnect", normal.clone().into());
    add("disconnect_v5_explicit_normal", normal.clone().into());
    add("disconnect_v5_explicit_normal_and_length", normal.clone().into());
    add("disconnect_v5_reason", with_will.clone().into());
    add("disconnect_v5_reason_and_length", with_will.into());
    let properties =
        empty_user(DisconnectProperties::new().with_session_expiry_interval(0).with_reason_string(&s("")))
            .with_server_reference(&s(""));
    add("disconnect_v5_properties_min", Disconnect { properties, ..normal }.into());
    let properties = two_users(
        DisconnectProperties::new().with_session_expiry_interval(u32::MAX).with_reason_string(&s("moved")),
    )
    .with_server_reference(&s("other"));
    add("disconnect_v5_properties_max", Disconnect { reason: R::UseAnotherServer, properties }.into());

    let success = Auth { reason: R::Success, properties: AuthProperties::new() };
    add("auth_success", success.clone().into());
    add("auth_explicit_success_and_length", success.into());
    let properties = AuthProperties::new()
        .with_authentication_method(&s("SCRAM-SHA-1"))
        .with_authentication_data(&b(&[0, 0xff]));
    add("auth_continue", Auth { reason: R::ContinueAuthentication, properties }.into());
    let properties = empty_user(
        AuthProperties::new()
            .with_authentication_method(&s(""))
            .with_authentication_data(&b(&[]))
            .with_reason_string(&s("")),
    );
    add("auth_properties_min", Auth { reason: R::Success, properties }.into());
    let properties = two_users(
        AuthProperties::new()
            .with_authentication_method(&s("SCRAM-SHA-1"))
            .with_authentication_data(&b(&[b'a'; 300]))
            .with_reason_string(&s("again")),
    );
    add("auth_properties_max", Auth { reason: R::ReAuthenticate, properties }.into());
}
