//! Retained messages.

use super::*;
use mqttkit_codec::RetainHandling;

#[test]
fn the_last_message_waits_for_new_subscribers() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let sender = world.join("s");
        world.send(sender, retained("a/b", "old"));
        world.send(sender, retained("a/b", "new").with_qos(QoS::ExactlyOnce));
        world.send(sender, retained("a/c", "other"));
        world.send(sender, message("a/d", "not retained"));
        let receiver = world.connect(connect("r"));
        world.subscribe(receiver, "a/+", QoS::AtLeastOnce);
        let messages = world.messages(receiver);
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|message| message.retain));
        assert_eq!((&*messages[0].payload, messages[0].qos), (&b"new"[..], QoS::AtLeastOnce));
        assert_eq!((&*messages[1].payload, messages[1].qos), (&b"other"[..], QoS::AtMostOnce));
    }
}

/// [MQTT-3.3.1-6] [MQTT-3.3.1-7]
#[test]
fn an_empty_message_clears_the_topic() {
    let mut world = World::new();
    let (sender, listener) = (world.join("s"), world.join("l"));
    world.subscribe(listener, "a", QoS::AtMostOnce);
    world.send(sender, retained("a", "x"));
    assert_eq!(world.stats().retained_messages, 1);
    world.send(sender, retained("a", ""));
    assert_eq!((world.stats().retained_messages, world.stats().retained_bytes), (0, 0));
    assert_eq!(world.texts(listener), ["a=x", "a="]);
    let receiver = world.join("r");
    world.subscribe(receiver, "#", QoS::AtMostOnce);
    assert_eq!(world.texts(receiver), [""; 0]);
}

/// [MQTT-3.3.1-12] [MQTT-3.3.1-13]
#[test]
fn live_messages_keep_retain_only_where_it_is_asked_for() {
    let mut world = World::new();
    let (sender, plain, published) = (world.join("s"), world.join("plain"), world.join("published"));
    world.subscribe(plain, "a", QoS::AtMostOnce);
    let mut subscription = Subscription::new("a".try_into().unwrap(), QoS::AtMostOnce);
    subscription.options.retain_as_published = true;
    world.subscribe_with(published, subscription, None);
    world.send(sender, retained("a", "x"));
    world.send(sender, message("a", "y"));
    let flags = |messages: Vec<Message>| messages.iter().map(|message| message.retain).collect::<Vec<_>>();
    assert_eq!(flags(world.messages(plain)), [false, false]);
    assert_eq!(flags(world.messages(published)), [true, false]);
}

/// [MQTT-3.3.1-9] to [MQTT-3.3.1-11]
#[test]
fn retain_handling_says_when_they_are_sent() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.send(sender, retained("a", "x"));
    for (handling, first, second) in
        [(RetainHandling::Send, 1, 1), (RetainHandling::SendIfNew, 1, 0), (RetainHandling::DoNotSend, 0, 0)]
    {
        let mut subscription = Subscription::new("a".try_into().unwrap(), QoS::AtMostOnce);
        subscription.options.retain_handling = handling;
        for expected in [first, second] {
            world.subscribe_with(receiver, subscription.clone(), None);
            assert_eq!(world.messages(receiver).len(), expected, "{handling:?}");
        }
        world.unsubscribe(receiver, "a");
    }
}

#[test]
fn they_carry_the_identifier_of_the_subscription() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.send(sender, retained("a", "x"));
    let subscription = Subscription::new("a".try_into().unwrap(), QoS::AtMostOnce);
    world.subscribe_with(receiver, subscription, Some(7));
    let ids: Vec<u32> =
        world.messages(receiver)[0].properties.subscription_identifiers().map(Into::into).collect();
    assert_eq!(ids, [7]);
}

#[test]
fn they_age_and_expire() {
    let mut world = World::new();
    let sender = world.join("s");
    world.send(sender, expiring("a", "short", 5).with_retain(true));
    world.send(sender, expiring("b", "long", 50).with_retain(true));
    world.pass(seconds(20));
    let receiver = world.join("r");
    world.subscribe(receiver, "#", QoS::AtMostOnce);
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].properties.message_expiry_interval(), Some(30));
    assert_eq!(world.stats().retained_messages, 1, "the expired one is forgotten");
}

#[test]
fn thousands_reach_a_client_bit_by_bit_and_none_twice() {
    let mut world = World::with(|config| {
        config.outbox_messages = 10;
        config.transmit_watermark = 1000;
    });
    let sender = world.join("s");
    for number in 0..2000 {
        world
            .state
            .publish_host(world.now, retained(&format!("t/{number:04}"), "x").with_qos(QoS::AtLeastOnce));
    }
    let receiver = world.join("r");
    world.stall(receiver, true);
    let subscription = Subscription::new("t/#".try_into().unwrap(), QoS::AtLeastOnce);
    world.lines[receiver.0].client.subscribe(world.now, SubscribeProperties::new(), [subscription]).unwrap();
    world.run();
    // What changes meanwhile comes as a live message, after the old ones, and not as a retained one too.
    world.send(sender, retained("t/1999", "changed"));
    world.stall(receiver, false);
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 2000);
    assert!(messages[..1999].iter().all(|message| message.retain));
    assert_eq!((&*messages[1999].payload, messages[1999].retain), (&b"changed"[..], false));
    assert_eq!(world.stats().dropped.total(), 0);
}

#[test]
fn they_are_bounded() {
    let mut world = World::with(|config| config.max_retained_messages = 2);
    let (sender, listener) = (world.join("s"), world.join("l"));
    world.subscribe(listener, "#", QoS::AtMostOnce);
    for topic in ["a", "b", "c"] {
        world.send(sender, retained(topic, "x"));
    }
    assert_eq!(world.messages(listener).len(), 3, "delivered all the same");
    assert_eq!(world.stats().retained_messages, 2);
    assert_eq!(world.stats().retained_refused, 1);
}

/// [MQTT-3.1.2-7]
#[test]
fn they_outlive_the_sessions_of_those_who_sent_and_who_got_them() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let (sender, receiver) = (world.connect(connect("s")), world.connect(connect("r")));
        world.send(sender, retained("a", "x"));
        world.subscribe(receiver, "a", QoS::AtMostOnce);
        world.cut(sender);
        world.disconnect(receiver, &goodbye());
        world.pass(seconds(1_000_000));
        assert_eq!(world.stats().sessions, 0);
        let receiver = world.connect(connect("r"));
        world.subscribe(receiver, "a", QoS::AtMostOnce);
        assert_eq!(world.texts(receiver), ["a=x"]);
    }
}

/// [MQTT-3.3.1-5] [MQTT-3.3.1-7]
#[test]
fn each_replaces_the_last_whatever_their_qos() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let (sender, receiver) = (world.connect(connect("s")), world.connect(connect("r")));
        for (number, qos) in [QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce].into_iter().enumerate() {
            world.send(sender, retained("a", &number.to_string()).with_qos(qos));
            world.subscribe(receiver, "a", QoS::ExactlyOnce);
            let messages = world.messages(receiver);
            assert_eq!((messages.len(), messages[0].qos), (1, qos));
            assert_eq!(messages[0].payload, number.to_string());
            world.unsubscribe(receiver, "a");
        }
    }
}

/// [MQTT-3.3.1-8] [MQTT-3.3.1-12]
#[test]
fn a_message_that_is_not_retained_neither_stores_nor_removes() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let (sender, receiver) = (world.connect(connect("s")), world.connect(connect("r")));
        world.send(sender, retained("a", "stays"));
        for payload in ["passes by", ""] {
            world.publish(sender, "a", payload, QoS::AtLeastOnce);
            world.publish(sender, "b", payload, QoS::AtLeastOnce);
        }
        assert_eq!(world.stats().retained_messages, 1);
        world.subscribe(receiver, "#", QoS::AtMostOnce);
        assert_eq!(world.texts(receiver), ["a=stays"]);
    }
}

/// [MQTT-3.3.1-8] [MQTT-3.3.1-9]
#[test]
fn the_flag_tells_the_old_from_the_new() {
    let mut world = World::new();
    let (sender, receiver) = (world.connect(v311("s")), world.connect(v311("r")));
    world.send(sender, retained("a", "old"));
    world.subscribe(receiver, "a", QoS::AtMostOnce);
    world.send(sender, retained("a", "new"));
    let flags: Vec<_> = world.messages(receiver).into_iter().map(|message| message.retain).collect();
    assert_eq!(flags, [true, false]);
}
