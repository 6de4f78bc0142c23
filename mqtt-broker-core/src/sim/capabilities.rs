//! What the broker was told not to offer: said in CONNACK, and enforced with the reason that the specification names.

use std::num::NonZero;

use super::*;

const PUBLISH_QOS_1: &[u8] = &[0x32, 6, 0, 1, b't', 0, 1, 0];
const PUBLISH_RETAINED: &[u8] = &[0x31, 4, 0, 1, b't', 0];
const SUBSCRIBE_WILDCARD: &[u8] = &[0x82, 7, 0, 1, 0, 0, 1, b'#', 0];
const SUBSCRIBE_SHARED: &[u8] =
    &[0x82, 16, 0, 1, 0, 0, 10, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'g', b'/', b't', 0];
const SUBSCRIBE_WITH_ID: &[u8] = &[0x82, 9, 0, 1, 2, 0x0b, 7, 0, 1, b't', 0];

type Switch = fn(&mut Config);

const SWITCHES: [(Switch, &[u8], ReasonCode); 5] = [
    (|config| config.maximum_qos = QoS::AtMostOnce, PUBLISH_QOS_1, ReasonCode::QoSNotSupported),
    (|config| config.retain_available = false, PUBLISH_RETAINED, ReasonCode::RetainNotSupported),
    (
        |config| config.wildcard_subscriptions = false,
        SUBSCRIBE_WILDCARD,
        ReasonCode::WildcardSubscriptionsNotSupported,
    ),
    (
        |config| config.shared_subscriptions = false,
        SUBSCRIBE_SHARED,
        ReasonCode::SharedSubscriptionsNotSupported,
    ),
    (
        |config| config.subscription_identifiers = false,
        SUBSCRIBE_WITH_ID,
        ReasonCode::SubscriptionIdentifiersNotSupported,
    ),
];

#[test]
fn what_is_not_offered_ends_the_connection_with_its_reason() {
    for (switch, bytes, reason) in SWITCHES {
        let mut world = World::with(switch);
        let (client, other) = (world.join("c"), world.join("o"));
        world.subscribe(other, "t", QoS::ExactlyOnce);
        world.send_raw(client, bytes);
        let Some(Closed::Peer(disconnect)) = world.closed(client) else { panic!("{reason}: no goodbye") };
        assert_eq!(disconnect.reason, reason);
        assert_eq!(world.cause(client), Some(&Closed::Local(reason)));
        assert!(world.is_connected(other));
        assert_eq!(world.texts(other), [""; 0], "{reason}: nothing came of it");
        assert_eq!(world.stats().subscriptions, 1);

        // With everything on offer the broker minds none of it.
        let mut world = World::new();
        let client = world.join("c");
        world.send_raw(client, bytes);
        assert_ne!(world.cause(client), Some(&Closed::Local(reason)));
    }
}

#[test]
fn connack_says_what_is_not_offered_and_only_that() {
    let mut world = World::new();
    let client = world.join("c");
    let plain = world.connack(client).properties.clone();
    assert_eq!(plain.maximum_qos(), None);
    assert_eq!(plain.retain_available(), None);
    assert_eq!(plain.wildcard_subscription_available(), None);
    assert_eq!(plain.shared_subscription_available(), None);
    assert_eq!(plain.subscription_identifier_available(), None);

    let mut world = World::with(|config| {
        for (switch, _, _) in SWITCHES {
            switch(config);
        }
        config.receive_maximum = 7.try_into().unwrap();
        config.max_packet_size = 1000;
        config.topic_alias_maximum = 3;
        config.max_keep_alive = Some(30.try_into().unwrap());
        config.session_expiry = seconds(50);
    });
    let client = world.connect(lasting("c", 100));
    let told = world.connack(client).properties.clone();
    assert_eq!(told.maximum_qos(), Some(QoS::AtMostOnce));
    assert_eq!(told.retain_available(), Some(false));
    assert_eq!(told.wildcard_subscription_available(), Some(false));
    assert_eq!(told.shared_subscription_available(), Some(false));
    assert_eq!(told.subscription_identifier_available(), Some(false));
    assert_eq!(told.receive_maximum().map(NonZero::get), Some(7));
    assert_eq!(told.maximum_packet_size().map(NonZero::get), Some(1000));
    assert_eq!(told.topic_alias_maximum(), Some(3));
    assert_eq!(told.server_keep_alive(), Some(30));
    assert_eq!(told.session_expiry_interval(), Some(50));
}

/// [MQTT-3.2.2-12], [MQTT-3.2.2-13]
#[test]
fn a_will_beyond_it_keeps_its_owner_out() {
    let mut world = World::with(|config| {
        config.maximum_qos = QoS::AtLeastOnce;
        config.retain_available = false;
    });
    let mut connect = with_will(v5("c"), "t", "x", None);
    connect.will.as_mut().unwrap().qos = QoS::ExactlyOnce;
    let client = world.connect(connect);
    assert_eq!(world.connack(client).reason, ReasonCode::QoSNotSupported);
    let mut connect = with_will(v5("c"), "t", "x", None);
    connect.will.as_mut().unwrap().retain = true;
    let client = world.connect(connect);
    assert_eq!(world.connack(client).reason, ReasonCode::RetainNotSupported);
    let client = world.connect(with_will(v5("c"), "t", "x", None));
    assert!(world.is_connected(client));
}

/// [MQTT-3.2.2-10]
#[test]
fn subscriptions_get_no_more_than_the_maximum_qos() {
    let mut world = World::with(|config| config.maximum_qos = QoS::AtLeastOnce);
    let client = world.join("c");
    assert_eq!(world.subscribe(client, "t", QoS::ExactlyOnce), ReasonCode::GrantedQoS1);
    assert_eq!(world.subscribe(client, "u", QoS::AtMostOnce), ReasonCode::granted(QoS::AtMostOnce));
}

/// Nothing could tell it what there is not.
#[test]
fn a_filter_of_an_mqtt_3_client_fails_and_the_others_do_not() {
    let mut world = World::with(|config| {
        config.wildcard_subscriptions = false;
        config.shared_subscriptions = false;
    });
    let client = world.connect(v311("c"));
    assert!(world.subscribe(client, "a/+", QoS::AtMostOnce).is_error());
    assert!(world.subscribe(client, "$share/g/a", QoS::AtMostOnce).is_error());
    assert_eq!(world.subscribe(client, "a", QoS::AtMostOnce), ReasonCode::granted(QoS::AtMostOnce));
    assert!(world.is_connected(client));
}

/// [MQTT-3.1.2-28]
#[test]
fn response_information_is_for_those_who_ask() {
    let mut world = World::with(|config| config.response_information = Some("answers/%c/".into()));
    let mut connect = v5("c");
    connect.properties = connect.properties.with_request_response_information(true);
    let asks = world.connect(connect);
    let told = world.connack(asks).properties.response_information();
    assert_eq!(told, Some(text("answers/c/")));
    let silent = world.join("s");
    assert_eq!(world.connack(silent).properties.response_information(), None);
}

/// [MQTT-3.3.4-7]: more than the Receive Maximum, with 0x93. The broker acknowledges at once, so only a client that
/// holds back its PUBREL can have so many open.
#[test]
fn more_than_the_receive_maximum_is_too_much() {
    let mut world = World::with(|config| config.receive_maximum = 2.try_into().unwrap());
    let client = world.join("c");
    // It does not see the PUBREC either.
    world.stall(client, true);
    for id in 1..=3 {
        world.send_raw(client, &[0x34, 6, 0, 1, b't', 0, id, 0]);
    }
    world.stall(client, false);
    let Some(Closed::Peer(disconnect)) = world.closed(client) else { panic!("no goodbye") };
    assert_eq!(disconnect.reason, ReasonCode::ReceiveMaximumExceeded);
}
