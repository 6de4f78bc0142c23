//! Strategies for every packet, as far as a version can express it.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use mqttkit_codec::{
    AckProperties, Auth, AuthProperties, Binary, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Delivery, Disconnect, DisconnectProperties, Packet, PacketId, PacketType, Properties, PropertySet,
    PubAck, PubComp, PubRec, PubRel, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Str,
    SubAck, Subscribe, SubscribeProperties, Subscription, SubscriptionOptions, TopicFilter, TopicName,
    UnsubAck, Unsubscribe, UnsubscribeProperties, Version, Will, WillProperties,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// Any packet that this version has.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let v5 = version == Version::V5;
    let common = prop_oneof![
        2 => connect(version).prop_map(Packet::from),
        2 => connack(version).prop_map(Packet::from),
        4 => publish(version).prop_map(Packet::from),
        4 => acks(version),
        2 => subscribe(v5).prop_map(Packet::from),
        1 => suback(v5).prop_map(Packet::from),
        1 => unsubscribe(v5).prop_map(Packet::from),
        1 => unsuback(v5).prop_map(Packet::from),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::PingResp),
        1 => disconnect(v5).prop_map(Packet::from),
    ];
    if v5 { prop_oneof![15 => common, 1 => auth().prop_map(Packet::from)].boxed() } else { common.boxed() }
}

fn text() -> impl Strategy<Value = Str> {
    prop_oneof![8 => "[^\0]{0,12}", 1 => "[a-z]{125,135}"]
        .prop_map(|text: String| Str::try_from(text).unwrap())
}

fn binary() -> impl Strategy<Value = Binary> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| Binary::try_from(&bytes[..]).unwrap())
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[^\0+#]{1,20}".prop_map(|text| TopicName::try_from(text).unwrap())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof!["[^\0+#/$]{0,5}", Just("+".to_owned())];
    let prefix = prop_oneof![4 => Just(""), 1 => Just("$share/group/")];
    (prefix, vec(level, 0..5), any::<bool>()).prop_filter_map("not empty", |(prefix, mut levels, multi)| {
        if multi {
            levels.push("#".to_owned());
        }
        let pattern = levels.join("/");
        (!pattern.is_empty()).then(|| TopicFilter::try_from(format!("{prefix}{pattern}")).unwrap())
    })
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

fn nonzero16() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|number| NonZeroU16::new(number).unwrap())
}

fn nonzero32() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|number| NonZeroU32::new(number).unwrap())
}

/// What fits a variable-byte integer, of each length alike.
fn identifier() -> impl Strategy<Value = NonZeroU32> {
    (0..28u32, any::<u32>())
        .prop_map(|(bits, random)| NonZeroU32::new((1 << bits) | (random & ((1 << bits) - 1))).unwrap())
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let allowed = ReasonCode::ALL.iter().copied().filter(|reason| reason.is_allowed_in(packet));
    select(allowed.collect::<Vec<_>>())
}

/// Sets one property to one value.
struct Change<P>(Box<dyn Fn(Properties<P>) -> Properties<P>>);

impl<P> Change<P> {
    fn new(change: impl Fn(Properties<P>) -> Properties<P> + 'static) -> Self {
        Self(Box::new(change))
    }
}

impl<P> fmt::Debug for Change<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }
}

/// One change for each property of a set: a strategy for its value, and the setter.
macro_rules! changes {
    ($set:ty: $($value:expr => $with:ident $(by $by:tt)?;)*) => {
        vec![$(changes!(@ $set, $value, $with $(, $by)?)),*]
    };
    (@ $set:ty, $value:expr, $with:ident) => {
        $value.prop_map(|value| Change::new(move |properties: $set| properties.$with(value))).boxed()
    };
    (@ $set:ty, $value:expr, $with:ident, ref) => {
        $value.prop_map(|value| Change::new(move |properties: $set| properties.$with(&value))).boxed()
    };
}

/// Some of the changes in any order, and User Properties among them; nothing before MQTT 5.0.
fn properties<P: PropertySet + 'static>(
    v5: bool,
    mut changes: Vec<BoxedStrategy<Change<P>>>,
) -> BoxedStrategy<Properties<P>> {
    if !v5 {
        return Just(Properties::new()).boxed();
    }
    let user = (text(), text()).prop_map(|(name, value)| {
        Change::new(move |properties: Properties<P>| properties.with_user_property(&name, &value))
    });
    changes.push(user.boxed());
    vec(Union::new(changes), 0..8)
        .prop_map(|changes| changes.iter().fold(Properties::new(), |properties, change| change.0(properties)))
        .boxed()
}

fn connect_properties(v5: bool) -> impl Strategy<Value = ConnectProperties> {
    let plain = properties(
        v5,
        changes! { ConnectProperties:
            any::<u32>() => with_session_expiry_interval;
            nonzero16() => with_receive_maximum;
            nonzero32() => with_maximum_packet_size;
            any::<u16>() => with_topic_alias_maximum;
            any::<bool>() => with_request_response_information;
            any::<bool>() => with_request_problem_information;
        },
    );
    // Data is nothing without a method.
    (plain, of((text(), of(binary())))).prop_map(move |(mut properties, authentication)| {
        if let Some((method, data)) = authentication.filter(|_| v5) {
            properties = properties.with_authentication_method(&method);
            if let Some(data) = data {
                properties = properties.with_authentication_data(&data);
            }
        }
        properties
    })
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let v5 = version == Version::V5;
    let will = (topic(), binary(), qos(), any::<bool>(), will_properties(v5)).prop_map(
        |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
    );
    let user = (of(text()), of(binary()));
    let first = (any::<bool>(), any::<u16>(), text(), any::<bool>());
    (first, of(will), user, connect_properties(v5)).prop_map(
        move |((clean_start, keep_alive, client_id, bridge), will, (user_name, password), properties)| {
            let mut connect = Connect::new(version, client_id);
            connect.clean_start = clean_start || (version == Version::V311 && connect.client_id.is_empty());
            if version == Version::V31 && connect.client_id.is_empty() {
                connect.client_id = Str::try_from("client").unwrap();
            }
            connect.keep_alive = keep_alive;
            connect.will = will;
            connect.password = password.filter(|_| v5 || user_name.is_some());
            connect.user_name = user_name;
            connect.properties = properties;
            connect.bridge = bridge && !v5;
            connect
        },
    )
}

fn will_properties(v5: bool) -> impl Strategy<Value = WillProperties> {
    properties(
        v5,
        changes! { WillProperties:
            any::<u32>() => with_will_delay_interval;
            any::<bool>() => with_payload_format_indicator;
            any::<u32>() => with_message_expiry_interval;
            text() => with_content_type by ref;
            topic() => with_response_topic by ref;
            binary() => with_correlation_data by ref;
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck> {
    let v5 = version == Version::V5;
    let reason = if v5 {
        reason(PacketType::ConnAck).boxed()
    } else {
        (0..=5u8).prop_map(|code| ReasonCode::from_v3_return_code(code).unwrap()).boxed()
    };
    let properties: BoxedStrategy<ConnAckProperties> = properties(
        v5,
        changes! { ConnAckProperties:
            any::<u32>() => with_session_expiry_interval;
            nonzero16() => with_receive_maximum;
            qos() => with_maximum_qos;
            any::<bool>() => with_retain_available;
            nonzero32() => with_maximum_packet_size;
            text() => with_assigned_client_identifier by ref;
            any::<u16>() => with_topic_alias_maximum;
            text() => with_reason_string by ref;
            any::<bool>() => with_wildcard_subscription_available;
            any::<bool>() => with_subscription_identifier_available;
            any::<bool>() => with_shared_subscription_available;
            any::<u16>() => with_server_keep_alive;
            text() => with_response_information by ref;
            text() => with_server_reference by ref;
            text() => with_authentication_method by ref;
        },
    );
    (any::<bool>(), reason, properties).prop_map(move |(present, reason, properties)| {
        let session_present = present && !reason.is_error() && version != Version::V31;
        ConnAck { session_present, reason, properties }
    })
}

pub(crate) fn publish(version: Version) -> impl Strategy<Value = Publish> {
    let v5 = version == Version::V5;
    let delivery = prop_oneof![
        Just(Delivery::AtMostOnce),
        id().prop_map(Delivery::AtLeastOnce),
        id().prop_map(Delivery::ExactlyOnce)
    ];
    let properties: BoxedStrategy<PublishProperties> = properties(
        v5,
        changes! { PublishProperties:
            any::<bool>() => with_payload_format_indicator;
            any::<u32>() => with_message_expiry_interval;
            nonzero16() => with_topic_alias;
            topic() => with_response_topic by ref;
            binary() => with_correlation_data by ref;
            identifier() => with_subscription_identifier;
            text() => with_content_type by ref;
        },
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let payload = prop_oneof![8 => vec(any::<u8>(), 0..60), 1 => vec(any::<u8>(), 16_300..16_400)];
    (flags, delivery, topic(), properties, payload).prop_map(
        |((dup, retain, hide), delivery, topic, properties, payload)| {
            let hide = hide && properties.topic_alias().is_some();
            Publish {
                dup: dup && delivery != Delivery::AtMostOnce,
                retain,
                delivery,
                topic: if hide { TopicName::ALIASED } else { topic },
                properties,
                payload: payload.into(),
            }
        },
    )
}

fn ack_properties(v5: bool) -> impl Strategy<Value = AckProperties> {
    properties(v5, changes! { AckProperties: text() => with_reason_string by ref; })
}

fn acks(version: Version) -> impl Strategy<Value = Packet> {
    let v5 = version == Version::V5;
    macro_rules! ack {
        ($type:ident) => {
            (id(), reason(PacketType::$type), ack_properties(v5)).prop_map(
                move |(packet_id, reason, properties)| {
                    let reason = if v5 { reason } else { ReasonCode::Success };
                    Packet::from($type { packet_id, reason, properties })
                },
            )
        };
    }
    prop_oneof![ack!(PubAck), ack!(PubRec), ack!(PubRel), ack!(PubComp)]
}

fn subscribe(v5: bool) -> impl Strategy<Value = Subscribe> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let subscription = (filter(), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| {
            let no_local = no_local && !filter.is_shared();
            let all = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling };
            Subscription { filter, options: if v5 { all } else { SubscriptionOptions::new(qos) } }
        },
    );
    let properties: BoxedStrategy<SubscribeProperties> =
        properties(v5, changes! { SubscribeProperties: identifier() => with_subscription_identifier; });
    (id(), properties, vec(subscription, 1..6)).prop_map(|(packet_id, properties, subscriptions)| Subscribe {
        packet_id,
        properties,
        subscriptions: subscriptions.into_iter().collect(),
    })
}

fn suback(v5: bool) -> impl Strategy<Value = SubAck> {
    let reason = reason(PacketType::SubAck)
        .prop_map(move |reason| if v5 || !reason.is_error() { reason } else { ReasonCode::UnspecifiedError });
    (id(), ack_properties(v5), vec(reason, 1..6)).prop_map(|(packet_id, properties, reasons)| SubAck {
        packet_id,
        properties,
        reasons: reasons.into_iter().collect(),
    })
}

fn unsubscribe(v5: bool) -> impl Strategy<Value = Unsubscribe> {
    let properties: BoxedStrategy<UnsubscribeProperties> = properties(v5, Vec::new());
    (id(), properties, vec(filter(), 1..6)).prop_map(|(packet_id, properties, filters)| Unsubscribe {
        packet_id,
        properties,
        filters: filters.into_iter().collect(),
    })
}

fn unsuback(v5: bool) -> impl Strategy<Value = UnsubAck> {
    (id(), ack_properties(v5), vec(reason(PacketType::UnsubAck), 1..6)).prop_map(
        move |(packet_id, properties, reasons)| UnsubAck {
            packet_id,
            properties,
            reasons: reasons.into_iter().filter(|_| v5).collect(),
        },
    )
}

fn disconnect(v5: bool) -> impl Strategy<Value = Disconnect> {
    let properties: BoxedStrategy<DisconnectProperties> = properties(
        v5,
        changes! { DisconnectProperties:
            any::<u32>() => with_session_expiry_interval;
            text() => with_reason_string by ref;
            text() => with_server_reference by ref;
        },
    );
    (reason(PacketType::Disconnect), properties).prop_map(move |(reason, properties)| Disconnect {
        reason: if v5 { reason } else { ReasonCode::NORMAL_DISCONNECTION },
        properties,
    })
}

fn auth() -> impl Strategy<Value = Auth> {
    let properties: BoxedStrategy<AuthProperties> = properties(
        true,
        changes! { AuthProperties:
            text() => with_authentication_method by ref;
            text() => with_reason_string by ref;
        },
    );
    // Without a method there is the empty packet and no other.
    (reason(PacketType::Auth), properties, text()).prop_map(|(reason, properties, method)| {
        let is_plain = reason == ReasonCode::Success && properties.is_empty();
        if is_plain || properties.authentication_method().is_some() {
            Auth { reason, properties }
        } else {
            Auth { reason, properties: properties.with_authentication_method(&method) }
        }
    })
}
