//! Messages from clients to clients: QoS, wildcards, overlapping subscriptions, expiry, order.

use super::*;
use mqttkit_codec::SubscriptionOptions;

const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn every_qos_arrives_once_with_the_lower_of_both() {
    for connect in [v5, v311] {
        for published in LEVELS {
            for subscribed in LEVELS {
                let mut world = World::new();
                let (sender, receiver) = (world.connect(connect("s")), world.connect(connect("r")));
                assert_eq!(world.subscribe(receiver, "a/b", subscribed), ReasonCode::granted(subscribed));
                world.publish(sender, "a/b", "x", published);
                let messages = world.messages(receiver);
                assert_eq!(messages.len(), 1, "{published:?} to {subscribed:?}");
                assert_eq!(messages[0].qos, published.min(subscribed));
                let acks = usize::from(published > QoS::AtMostOnce);
                assert_eq!(world.acks(sender), vec![ReasonCode::Success; acks]);
                assert_eq!(world.stats().messages_delivered, 1);
            }
        }
    }
}

#[test]
fn a_client_hears_itself() {
    let mut world = World::new();
    let client = world.join("c");
    world.subscribe(client, "a", QoS::ExactlyOnce);
    world.publish(client, "a", "x", QoS::ExactlyOnce);
    assert_eq!(world.texts(client), ["a=x"]);
}

/// [MQTT-3.8.3-3]
#[test]
fn no_local_keeps_a_clients_own_messages_away() {
    let mut world = World::new();
    let (client, other) = (world.join("c"), world.join("o"));
    let mut subscription = Subscription::new("a".try_into().unwrap(), QoS::AtMostOnce);
    subscription.options.no_local = true;
    world.subscribe_with(client, subscription, None);
    world.publish(client, "a", "own", QoS::AtMostOnce);
    world.publish(other, "a", "other", QoS::AtMostOnce);
    assert_eq!(world.texts(client), ["a=other"]);
}

#[test]
fn wildcards_match_and_dollar_topics_stay_out_of_them() {
    let mut world = World::new();
    let (sender, all, some) = (world.join("s"), world.join("all"), world.join("some"));
    world.subscribe(all, "#", QoS::AtMostOnce);
    world.subscribe(some, "+/b/#", QoS::AtMostOnce);
    for topic in ["a/b", "a/b/c", "a/c", "$dollar/b"] {
        world.publish(sender, topic, "", QoS::AtMostOnce);
    }
    assert_eq!(world.texts(all), ["a/b=", "a/b/c=", "a/c="]);
    assert_eq!(world.texts(some), ["a/b=", "a/b/c="]);
    world.subscribe(all, "$dollar/#", QoS::AtMostOnce);
    world.publish(sender, "$dollar/b", "", QoS::AtMostOnce);
    assert_eq!(world.texts(all), ["$dollar/b="]);
}

#[test]
fn clients_do_not_speak_in_the_brokers_name() {
    let mut world = World::new();
    let client = world.join("c");
    world.subscribe(client, "$SYS/#", QoS::AtMostOnce);
    world.publish(client, "$SYS/broker/uptime", "for ever", QoS::AtLeastOnce);
    assert_eq!(world.acks(client), [ReasonCode::NotAuthorized]);
    assert_eq!(world.texts(client), [""; 0]);
}

/// [MQTT-3.3.4-2] to [MQTT-3.3.4-4]
#[test]
fn overlapping_subscriptions_make_one_delivery_with_all_identifiers() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    let subscription = |filter: &str, qos| Subscription {
        filter: filter.try_into().unwrap(),
        options: SubscriptionOptions::new(qos),
    };
    world.subscribe_with(receiver, subscription("a/#", QoS::AtMostOnce), Some(1));
    world.subscribe_with(receiver, subscription("a/b", QoS::AtLeastOnce), Some(300));
    world.subscribe_with(receiver, subscription("+/b", QoS::AtMostOnce), None);
    world.publish(sender, "a/b", "x", QoS::ExactlyOnce);
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].qos, QoS::AtLeastOnce);
    let mut ids: Vec<u32> = messages[0].properties.subscription_identifiers().map(Into::into).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 300]);
}

/// [MQTT-3.8.4-3]
#[test]
fn subscribing_again_replaces_the_subscription() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "a", QoS::ExactlyOnce);
    world.subscribe(receiver, "a", QoS::AtMostOnce);
    world.publish(sender, "a", "x", QoS::ExactlyOnce);
    assert_eq!(world.messages(receiver)[0].qos, QoS::AtMostOnce);
    assert_eq!(world.stats().subscriptions, 1);
}

#[test]
fn unsubscribing_ends_deliveries() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "a", QoS::AtMostOnce);
    assert_eq!(world.unsubscribe(receiver, "b"), ReasonCode::NoSubscriptionExisted);
    assert_eq!(world.unsubscribe(receiver, "a"), ReasonCode::Success);
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    assert_eq!(world.texts(receiver), [""; 0]);
    assert_eq!(world.acks(sender), [ReasonCode::NoMatchingSubscribers]);
}

#[test]
fn versions_mix_and_properties_reach_those_who_have_them() {
    let mut world = World::new();
    let (sender, new, old) = (world.join("s"), world.join("new"), world.connect(v311("old")));
    for receiver in [new, old] {
        world.subscribe(receiver, "a", QoS::AtLeastOnce);
    }
    let properties = PublishProperties::new().with_content_type(&text("text/plain"));
    world.send(sender, message("a", "x").with_qos(QoS::AtLeastOnce).with_properties(properties.clone()));
    assert_eq!(world.messages(new)[0].properties, properties);
    assert!(world.messages(old)[0].properties.is_empty());
}

/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn what_a_message_says_of_itself_reaches_everybody_as_it_was() {
    let mut world = World::new();
    let sender = world.join("s");
    let away = world.connect(lasting("away", 100));
    let (plain, member) = (world.join("plain"), world.join("member"));
    for (receiver, filter) in [(away, "a"), (plain, "+"), (member, "$share/g/a")] {
        world.subscribe(receiver, filter, QoS::AtLeastOnce);
    }
    world.cut(away);
    let properties = PublishProperties::new()
        .with_payload_format_indicator(true)
        .with_response_topic(&"answers/7".try_into().unwrap())
        .with_correlation_data(&bytes::Bytes::from_static(&[0, 255, 7]).try_into().unwrap())
        .with_user_property(&text("z"), &text("1"))
        .with_user_property(&text("a"), &text("2"))
        .with_user_property(&text("z"), &text("1"))
        .with_content_type(&text("text/plain"));
    let sent =
        message("a", "x").with_qos(QoS::AtLeastOnce).with_retain(true).with_properties(properties.clone());
    world.send(sender, sent);
    let late = world.join("late");
    world.subscribe(late, "a", QoS::AtLeastOnce);
    let back = world.connect(lasting("away", 100));
    for receiver in [plain, member, late, back] {
        let messages = world.messages(receiver);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].properties, properties);
    }
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6]
#[test]
fn order_is_kept_per_topic_and_qos() {
    let mut world = World::with(|config| config.transmit_watermark = 100);
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "#", QoS::ExactlyOnce);
    let count = 500;
    for number in 0..count {
        let qos = LEVELS[2 - number % 2];
        let line = &mut world.lines[sender.0];
        line.client.publish(world.now, message("a", &number.to_string()).with_qos(qos)).unwrap();
    }
    world.run();
    let expected: Vec<String> = (0..count).map(|number| format!("a={number}")).collect();
    assert_eq!(world.texts(receiver), expected);
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn a_message_ages_while_it_waits_and_dies_in_time() {
    let mut world = World::new();
    let sender = world.join("s");
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    world.send(sender, expiring("a", "short", 5).with_qos(QoS::AtLeastOnce));
    world.send(sender, expiring("a", "long", 50).with_qos(QoS::AtLeastOnce));
    world.pass(seconds(20));
    let receiver = world.connect(lasting("r", 100));
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload, "long");
    assert_eq!(messages[0].properties.message_expiry_interval(), Some(30));
    assert_eq!(world.stats().dropped.expired, 1);
}

/// [MQTT-3.1.2-25]
#[test]
fn a_message_larger_than_the_client_takes_is_dropped_for_it_alone() {
    let mut world = World::new();
    let sender = world.join("s");
    let mut connect = v5("small");
    connect.properties = connect.properties.with_maximum_packet_size(50.try_into().unwrap());
    let (small, large) = (world.connect(connect), world.join("large"));
    for receiver in [small, large] {
        world.subscribe(receiver, "a", QoS::AtLeastOnce);
    }
    world.publish(sender, "a", &"x".repeat(100), QoS::AtLeastOnce);
    world.publish(sender, "a", "y", QoS::AtLeastOnce);
    assert_eq!(world.texts(small), ["a=y"]);
    assert_eq!(world.messages(large).len(), 2);
    assert_eq!(world.stats().dropped.too_large, 1);
}

/// [MQTT-3.3.4-9]
#[test]
fn a_client_gets_no_more_at_a_time_than_its_receive_maximum() {
    let mut world = World::new();
    let sender = world.join("s");
    let mut connect = v5("r");
    connect.properties = connect.properties.with_receive_maximum(2.try_into().unwrap());
    let receiver = world.connect(connect);
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.mute(receiver);
    for number in 0..5 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(world.texts(receiver), ["a=0", "a=1"]);
}

#[test]
fn the_broker_has_a_window_of_its_own() {
    let mut world = World::with(|config| config.max_in_flight = 3.try_into().unwrap());
    let (sender, receiver) = (world.join("s"), world.connect(v311("r")));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.mute(receiver);
    for number in 0..5 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(world.texts(receiver), ["a=0", "a=1", "a=2"]);
}

#[test]
fn topic_aliases_are_resolved_before_routing() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "#", QoS::AtMostOnce);
    // PUBLISH "a", alias 1, "x"; PUBLISH alias 1, "y"
    world.send_raw(sender, &[0x30, 8, 0, 1, b'a', 3, 0x23, 0, 1, b'x']);
    world.send_raw(sender, &[0x30, 7, 0, 0, 3, 0x23, 0, 1, b'y']);
    assert_eq!(world.texts(receiver), ["a=x", "a=y"]);
}
