//! Subscriptions: one packet for several, the same one again, and the end of one.

use super::*;

impl World {
    /// Subscribes to all these in one packet. Returns what the answers say, each SUBACK by itself.
    fn subscribe_all(&mut self, id: Id, filters: &[(&str, QoS)]) -> Vec<ReasonCode> {
        let wishes: Vec<_> =
            filters.iter().map(|&(filter, qos)| Subscription::new(filter.try_into().unwrap(), qos)).collect();
        self.lines[id.0].client.subscribe(self.now, SubscribeProperties::new(), wishes).unwrap();
        self.run();
        std::mem::take(&mut self.lines[id.0].seen.reasons)
    }

    fn unsubscribe_all(&mut self, id: Id, filters: &[&str]) -> Vec<ReasonCode> {
        let filters: Vec<TopicFilter> = filters.iter().map(|&filter| filter.try_into().unwrap()).collect();
        self.lines[id.0].client.unsubscribe(self.now, UnsubscribeProperties::new(), filters).unwrap();
        self.run();
        std::mem::take(&mut self.lines[id.0].seen.reasons)
    }
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7]
#[test]
fn one_packet_with_several_filters_is_as_good_as_several() {
    for connect in [v5, v311] {
        let is_v5 = connect("").version == Version::V5;
        let mut world = World::with(|config| config.max_topic_levels = 3);
        let (sender, receiver) = (world.join("s"), world.connect(connect("r")));
        world.bytes(receiver);
        let reasons = world.subscribe_all(
            receiver,
            &[
                ("a", QoS::AtMostOnce),
                ("b/#", QoS::ExactlyOnce),
                ("1/2/3/4", QoS::AtMostOnce),
                ("c", QoS::AtLeastOnce),
            ],
        );
        let refused = if is_v5 { ReasonCode::TopicFilterInvalid } else { ReasonCode::UnspecifiedError };
        let granted = [ReasonCode::GRANTED_QOS_0, ReasonCode::GrantedQoS2, refused, ReasonCode::GrantedQoS1];
        assert_eq!(reasons, granted);
        let answer = 2 + 2 + usize::from(is_v5) + 4;
        assert_eq!(world.bytes(receiver), answer, "one SUBACK and nothing else");
        for topic in ["a", "b/b", "c", "1/2/3"] {
            world.publish(sender, topic, "x", QoS::AtMostOnce);
        }
        assert_eq!(world.texts(receiver), ["a=x", "b/b=x", "c=x"]);
    }
}

/// [MQTT-3.10.4-1] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
#[test]
fn only_what_is_the_same_letter_by_letter_ends_and_each_filter_is_answered() {
    for connect in [v5, v311] {
        let is_v5 = connect("").version == Version::V5;
        let mut world = World::new();
        let (sender, receiver) = (world.join("s"), world.connect(connect("r")));
        world.subscribe_all(
            receiver,
            &[("a/+", QoS::AtMostOnce), ("b", QoS::AtMostOnce), ("c", QoS::AtMostOnce)],
        );
        world.bytes(receiver);
        let reasons = world.unsubscribe_all(receiver, &["a/b", "a/#", "A/+", "c", "b/"]);
        assert_eq!(world.stats().subscriptions, 2);
        if is_v5 {
            let no = ReasonCode::NoSubscriptionExisted;
            assert_eq!(reasons, [no, no, no, ReasonCode::Success, no]);
        }
        // One UNSUBACK, in MQTT 3 without reasons.
        assert_eq!(world.bytes(receiver), if is_v5 { 2 + 2 + 1 + 5 } else { 2 + 2 });
        for topic in ["a/b", "b", "c"] {
            world.publish(sender, topic, "x", QoS::AtMostOnce);
        }
        assert_eq!(world.texts(receiver), ["a/b=x", "b=x"]);
    }
}

/// [MQTT-3.10.4-2] [MQTT-3.10.4-3]
#[test]
fn what_was_begun_is_completed_after_unsubscribing_and_nothing_new_begins() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let (sender, receiver) = (world.join("s"), world.connect(connect("r")));
        world.subscribe(receiver, "a", QoS::ExactlyOnce);
        world.mute(receiver);
        world.publish(sender, "a", "1", QoS::AtLeastOnce);
        world.publish(sender, "a", "2", QoS::ExactlyOnce);
        assert_eq!(world.texts(receiver), ["a=1", "a=2"]);
        world.unsubscribe(receiver, "a");
        world.publish(sender, "a", "3", QoS::AtLeastOnce);
        world.bytes(receiver);
        // PUBACK 1; PUBREC 2, which is answered; PUBCOMP 2.
        world.send_raw(receiver, &[0x40, 2, 0, 1, 0x50, 2, 0, 2]);
        assert_eq!(world.bytes(receiver), 4, "PUBREL");
        world.send_raw(receiver, &[0x70, 2, 0, 2]);
        assert!(world.cause(receiver).is_none(), "{:?}", world.cause(receiver));
        assert_eq!(world.lines[receiver.0].notify.in_flight(), 0);
        assert_eq!(world.texts(receiver), [""; 0]);
    }
}

/// [MQTT-3.3.1-9] [MQTT-3.8.4-3] [MQTT-3.8.4-4]
#[test]
fn the_same_subscription_again_gets_the_retained_messages_again() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let (sender, receiver) = (world.join("s"), world.connect(connect("r")));
        world.send(sender, retained("a", "x").with_qos(QoS::AtLeastOnce));
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            world.subscribe(receiver, "a", qos);
            let messages = world.messages(receiver);
            assert_eq!((messages.len(), messages[0].qos, messages[0].retain), (1, qos, true));
        }
        assert_eq!(world.stats().subscriptions, 1);
        world.publish(sender, "a", "live", QoS::AtLeastOnce);
        assert_eq!(world.texts(receiver), ["a=live"], "once");
    }
}

/// [MQTT-3.8.4-4]
#[test]
fn no_message_is_lost_when_a_subscription_is_replaced() {
    let mut world = World::with(|config| config.max_in_flight = 2.try_into().unwrap());
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.stall(receiver, true);
    for number in 0..10 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
        if number == 5 {
            let again = Subscription::new("a".try_into().unwrap(), QoS::ExactlyOnce);
            let line = &mut world.lines[receiver.0];
            line.client.subscribe(world.now, SubscribeProperties::new(), [again]).unwrap();
            world.run();
        }
    }
    world.stall(receiver, false);
    let expected: Vec<String> = (0..10).map(|number| format!("a={number}")).collect();
    assert_eq!(world.texts(receiver), expected);
}

/// [MQTT-3.3.5-1]
#[test]
fn overlapping_subscriptions_of_mqtt_3_are_served_with_the_highest_qos() {
    let mut world = World::new();
    let (sender, receiver) = (world.join("s"), world.connect(v311("r")));
    world.subscribe_all(
        receiver,
        &[("a/+", QoS::AtMostOnce), ("a/#", QoS::ExactlyOnce), ("a/b", QoS::AtLeastOnce)],
    );
    for qos in [QoS::ExactlyOnce, QoS::AtLeastOnce] {
        world.publish(sender, "a/b", "x", qos);
        let messages = world.messages(receiver);
        assert_eq!((messages.len(), messages[0].qos), (1, qos));
    }
}

/// [MQTT-4.5.0-1]
#[test]
fn a_message_is_added_to_the_session_of_everybody_who_subscribed() {
    let mut world = World::new();
    let sender = world.join("s");
    let connect = |number: usize| {
        clean_start(if number.is_multiple_of(2) { v311("even") } else { lasting("odd", 100) }, false)
    };
    let named = |number: usize| {
        let mut connect = connect(number);
        connect.client_id = text(&format!("r{number}"));
        connect
    };
    let receivers: Vec<Id> = (0..10).map(|number| world.connect(named(number))).collect();
    for (number, &receiver) in receivers.iter().enumerate() {
        world.subscribe(receiver, ["a", "+", "#", "$share/alone/a", "a/#"][number / 2], QoS::AtLeastOnce);
        if number.is_multiple_of(3) {
            world.cut(receiver);
        }
    }
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    assert_eq!(world.acks(sender), [ReasonCode::Success]);
    let mut got = 0;
    for (number, &receiver) in receivers.iter().enumerate() {
        let receiver = if number.is_multiple_of(3) { world.connect(named(number)) } else { receiver };
        let texts = world.texts(receiver);
        got += texts.len();
        assert!(texts.len() == 1 || (6..8).contains(&number), "{number}: {texts:?}");
    }
    assert_eq!(got, 9, "of the two who share one has got it");
}
