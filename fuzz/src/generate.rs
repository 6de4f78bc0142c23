//! Packets made of arbitrary bytes: any that the types allow to be built.

use std::num::{NonZeroU16, NonZeroU32};

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{
    AckProperties, Auth, AuthProperties, Binary, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Delivery, Disconnect, DisconnectProperties, Message, Packet, PacketId, Properties, PropertySet, PubAck,
    PubComp, PubRec, PubRel, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Str, SubAck,
    Subscribe, SubscribeProperties, Subscription, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    UnsubscribeProperties, Version, Will, WillProperties,
};

/// Sets each named property or leaves it out.
macro_rules! maybe {
    ($properties:ident, $from:ident: $($with:ident($value:expr),)*) => {
        $(if $from.arbitrary()? {
            $properties = $properties.$with($value);
        })*
    };
}

pub(crate) fn packet(from: &mut Unstructured<'_>, version: Version) -> Result<Packet> {
    Ok(match from.int_in_range(0..=14)? {
        0 => connect(from, version)?.into(),
        1 => connack(from)?.into(),
        2 => PubAck { properties: ack_properties(from)?, ..PubAck::new(packet_id(from)?) }
            .with_reason(reason(from)?)
            .into(),
        3 => PubRec { properties: ack_properties(from)?, ..PubRec::new(packet_id(from)?) }
            .with_reason(reason(from)?)
            .into(),
        4 => PubRel { properties: ack_properties(from)?, ..PubRel::new(packet_id(from)?) }
            .with_reason(reason(from)?)
            .into(),
        5 => PubComp { properties: ack_properties(from)?, ..PubComp::new(packet_id(from)?) }
            .with_reason(reason(from)?)
            .into(),
        6 => {
            let subscriptions = many(from, subscription)?;
            let properties = subscribe_properties(from)?;
            Subscribe { properties, ..Subscribe::new(packet_id(from)?, subscriptions) }.into()
        }
        7 => sub_ack(from)?.into(),
        8 => {
            let filters = many(from, filter)?;
            let properties = user_properties(from, UnsubscribeProperties::new())?;
            Unsubscribe { properties, ..Unsubscribe::new(packet_id(from)?, filters) }.into()
        }
        9 => unsub_ack(from)?.into(),
        10 => Packet::PingReq,
        11 => Packet::PingResp,
        12 => disconnect(from)?.into(),
        13 => auth(from)?.into(),
        _ => publish(from)?.into(),
    })
}

pub(crate) fn connect(from: &mut Unstructured<'_>, version: Version) -> Result<Connect> {
    let mut connect = Connect::new(version, text(from)?);
    connect.clean_start = from.arbitrary()?;
    connect.keep_alive = from.arbitrary()?;
    connect.bridge = from.arbitrary()?;
    connect.properties = connect_properties(from)?;
    if from.arbitrary()? {
        let mut will = Will::new(topic_or_none(from)?, binary(from)?);
        (will.qos, will.retain) = (qos(from)?, from.arbitrary()?);
        will.properties = will_properties(from)?;
        connect.will = Some(will);
    }
    if from.arbitrary()? {
        connect.user_name = Some(text(from)?);
    }
    if from.arbitrary()? {
        connect.password = Some(binary(from)?);
    }
    Ok(connect)
}

pub(crate) fn connack(from: &mut Unstructured<'_>) -> Result<ConnAck> {
    let session_present = from.arbitrary()?;
    Ok(ConnAck { session_present, reason: reason(from)?, properties: connack_properties(from)? })
}

fn publish(from: &mut Unstructured<'_>) -> Result<Publish> {
    let delivery = match qos(from)? {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce(packet_id(from)?),
        QoS::ExactlyOnce => Delivery::ExactlyOnce(packet_id(from)?),
    };
    let topic = topic_or_none(from)?;
    Ok(Publish {
        dup: from.arbitrary()?,
        retain: from.arbitrary()?,
        delivery,
        properties: publish_properties(from)?,
        payload: from.arbitrary::<Vec<u8>>()?.into(),
        ..Publish::new(topic, bytes::Bytes::new())
    })
}

pub(crate) fn subscription(from: &mut Unstructured<'_>) -> Result<Subscription> {
    let mut subscription = Subscription::new(filter(from)?, qos(from)?);
    let options = &mut subscription.options;
    (options.no_local, options.retain_as_published) = from.arbitrary()?;
    options.retain_handling =
        *from.choose(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend])?;
    Ok(subscription)
}

pub(crate) fn sub_ack(from: &mut Unstructured<'_>) -> Result<SubAck> {
    let reasons = many(from, reason)?;
    Ok(SubAck { properties: ack_properties(from)?, ..SubAck::new(packet_id(from)?, reasons) })
}

pub(crate) fn unsub_ack(from: &mut Unstructured<'_>) -> Result<UnsubAck> {
    let reasons = many(from, reason)?;
    Ok(UnsubAck { properties: ack_properties(from)?, ..UnsubAck::new(packet_id(from)?, reasons) })
}

pub(crate) fn disconnect(from: &mut Unstructured<'_>) -> Result<Disconnect> {
    Ok(Disconnect { reason: reason(from)?, properties: disconnect_properties(from)? })
}

pub(crate) fn auth(from: &mut Unstructured<'_>) -> Result<Auth> {
    Ok(Auth { reason: reason(from)?, properties: auth_properties(from)? })
}

pub(crate) fn message(from: &mut Unstructured<'_>) -> Result<Message> {
    Ok(publish(from)?.into())
}

fn user_properties<P: PropertySet>(
    from: &mut Unstructured<'_>,
    mut properties: Properties<P>,
) -> Result<Properties<P>> {
    for _ in 0..from.int_in_range(0..=3)? {
        properties = properties.with_user_property(&text(from)?, &text(from)?);
    }
    Ok(properties)
}

fn connect_properties(from: &mut Unstructured<'_>) -> Result<ConnectProperties> {
    let mut properties = ConnectProperties::new();
    maybe! { properties, from:
        with_session_expiry_interval(from.arbitrary()?),
        with_receive_maximum(from.arbitrary()?),
        with_maximum_packet_size(from.arbitrary()?),
        with_topic_alias_maximum(from.arbitrary()?),
        with_request_response_information(from.arbitrary()?),
        with_request_problem_information(from.arbitrary()?),
        with_authentication_method(&text(from)?),
        with_authentication_data(&binary(from)?),
    }
    user_properties(from, properties)
}

fn will_properties(from: &mut Unstructured<'_>) -> Result<WillProperties> {
    let mut properties = WillProperties::new();
    maybe! { properties, from:
        with_payload_format_indicator(from.arbitrary()?),
        with_message_expiry_interval(from.arbitrary()?),
        with_content_type(&text(from)?),
        with_response_topic(&topic_or_none(from)?),
        with_correlation_data(&binary(from)?),
        with_will_delay_interval(from.arbitrary()?),
    }
    user_properties(from, properties)
}

fn publish_properties(from: &mut Unstructured<'_>) -> Result<PublishProperties> {
    let mut properties = PublishProperties::new();
    maybe! { properties, from:
        with_payload_format_indicator(from.arbitrary()?),
        with_message_expiry_interval(from.arbitrary()?),
        with_content_type(&text(from)?),
        with_response_topic(&topic_or_none(from)?),
        with_correlation_data(&binary(from)?),
        with_topic_alias(from.arbitrary::<NonZeroU16>()?),
        with_subscription_identifier(from.arbitrary::<NonZeroU32>()?),
        with_subscription_identifier(from.arbitrary::<NonZeroU32>()?),
    }
    user_properties(from, properties)
}

fn subscribe_properties(from: &mut Unstructured<'_>) -> Result<SubscribeProperties> {
    let mut properties = SubscribeProperties::new();
    maybe! { properties, from: with_subscription_identifier(from.arbitrary::<NonZeroU32>()?), }
    user_properties(from, properties)
}

fn connack_properties(from: &mut Unstructured<'_>) -> Result<ConnAckProperties> {
    let mut properties = ConnAckProperties::new();
    maybe! { properties, from:
        with_session_expiry_interval(from.arbitrary()?),
        with_receive_maximum(from.arbitrary()?),
        with_maximum_qos(qos(from)?),
        with_retain_available(from.arbitrary()?),
        with_maximum_packet_size(from.arbitrary()?),
        with_assigned_client_identifier(&text(from)?),
        with_topic_alias_maximum(from.arbitrary()?),
        with_reason_string(&text(from)?),
        with_wildcard_subscription_available(from.arbitrary()?),
        with_subscription_identifier_available(from.arbitrary()?),
        with_shared_subscription_available(from.arbitrary()?),
        with_server_keep_alive(from.arbitrary()?),
        with_response_information(&text(from)?),
        with_server_reference(&text(from)?),
        with_authentication_method(&text(from)?),
        with_authentication_data(&binary(from)?),
        with_maximum_qos(qos(from)?),
    }
    user_properties(from, properties)
}

fn ack_properties(from: &mut Unstructured<'_>) -> Result<AckProperties> {
    let mut properties = AckProperties::new();
    maybe! { properties, from: with_reason_string(&text(from)?), }
    user_properties(from, properties)
}

fn disconnect_properties(from: &mut Unstructured<'_>) -> Result<DisconnectProperties> {
    let mut properties = DisconnectProperties::new();
    maybe! { properties, from:
        with_session_expiry_interval(from.arbitrary()?),
        with_reason_string(&text(from)?),
        with_server_reference(&text(from)?),
    }
    user_properties(from, properties)
}

fn auth_properties(from: &mut Unstructured<'_>) -> Result<AuthProperties> {
    let mut properties = AuthProperties::new();
    maybe! { properties, from:
        with_authentication_method(&text(from)?),
        with_authentication_data(&binary(from)?),
        with_reason_string(&text(from)?),
    }
    user_properties(from, properties)
}

pub(crate) fn packet_id(from: &mut Unstructured<'_>) -> Result<PacketId> {
    // Mostly small, so that answers meet what they answer.
    let id = if from.ratio(3, 4)? { from.int_in_range(1..=8)? } else { from.arbitrary()? };
    PacketId::new(id).ok_or(arbitrary::Error::IncorrectFormat)
}

pub(crate) fn qos(from: &mut Unstructured<'_>) -> Result<QoS> {
    Ok(*from.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])?)
}

pub(crate) fn reason(from: &mut Unstructured<'_>) -> Result<ReasonCode> {
    if from.ratio(1, 4)? { Ok(ReasonCode::Success) } else { Ok(*from.choose(ReasonCode::ALL)?) }
}

pub(crate) fn many<T>(
    from: &mut Unstructured<'_>,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..from.int_in_range(0..=4)?).map(|_| one(from)).collect()
}

pub(crate) fn text(from: &mut Unstructured<'_>) -> Result<Str> {
    let text: String = from.arbitrary()?;
    Str::try_from(text).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn binary(from: &mut Unstructured<'_>) -> Result<Binary> {
    Binary::try_from(from.arbitrary::<&[u8]>()?).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// Short names of few letters, so that some are equal and some match each other.
const LEVELS: [&str; 12] = ["", "a", "b", "ab", "$a", "$SYS", "$share", "g", "é", " ", "a+", "#a"];

pub(crate) fn topic_text(from: &mut Unstructured<'_>, wildcards: bool) -> Result<String> {
    if from.ratio(1, 8)? {
        return from.arbitrary();
    }
    let level = |from: &mut Unstructured<'_>| -> Result<&str> {
        if wildcards && from.ratio(1, 3)? {
            Ok(*from.choose(&["+", "#"])?)
        } else {
            Ok(*from.choose(&LEVELS)?)
        }
    };
    let levels = (0..=from.int_in_range(0..=5)?).map(|_| level(from)).collect::<Result<Vec<_>>>()?;
    Ok(levels.join("/"))
}

pub(crate) fn topic(from: &mut Unstructured<'_>) -> Result<TopicName> {
    TopicName::try_from(topic_text(from, false)?).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// A name, or what stands for one in a PUBLISH with an alias.
fn topic_or_none(from: &mut Unstructured<'_>) -> Result<TopicName> {
    if from.ratio(1, 16)? { Ok(TopicName::ALIASED) } else { topic(from) }
}

pub(crate) fn filter(from: &mut Unstructured<'_>) -> Result<TopicFilter> {
    TopicFilter::try_from(topic_text(from, true)?).map_err(|_| arbitrary::Error::IncorrectFormat)
}
