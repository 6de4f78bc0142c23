//! Shared subscriptions.

use super::*;
use crate::config::SharedStrategy;

#[test]
fn a_group_shares_the_messages() {
    let mut world = World::new();
    let sender = world.join("s");
    let members: Vec<Id> = (0..3).map(|number| world.join(&format!("m{number}"))).collect();
    for &member in &members {
        assert_eq!(world.subscribe(member, "$share/g/jobs/#", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    }
    for number in 0..9 {
        world.publish(sender, "jobs/x", &number.to_string(), QoS::AtLeastOnce);
    }
    for &member in &members {
        assert_eq!(world.messages(member).len(), 3);
    }
    assert_eq!(world.unsubscribe(members[0], "$share/g/jobs/#"), ReasonCode::Success);
    world.publish(sender, "jobs/x", "", QoS::AtLeastOnce);
    assert_eq!(world.messages(members[0]).len(), 0);
}

#[test]
fn groups_and_plain_subscriptions_do_not_interfere() {
    let mut world = World::new();
    let sender = world.join("s");
    let (a, b) = (world.join("a"), world.join("b"));
    world.subscribe(a, "$share/g/t", QoS::AtMostOnce);
    world.subscribe(b, "$share/h/t", QoS::AtMostOnce);
    world.subscribe(b, "t", QoS::AtMostOnce);
    world.publish(sender, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.texts(a), ["t=x"]);
    assert_eq!(world.texts(b), ["t=x", "t=x"], "once for itself and once for its group");
}

#[test]
fn members_that_are_away_are_passed_over_while_others_are_there() {
    let mut world = World::new();
    let sender = world.join("s");
    let (away, here) = (world.connect(lasting("away", 100)), world.join("here"));
    for member in [away, here] {
        world.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    }
    world.cut(away);
    for _ in 0..4 {
        world.publish(sender, "t", "x", QoS::AtLeastOnce);
    }
    assert_eq!(world.messages(here).len(), 4);
    world.cut(here);
    world.publish(sender, "t", "kept", QoS::AtLeastOnce);
    let back = world.connect(lasting("away", 100));
    assert_eq!(world.texts(back), ["t=kept"]);
}

/// [MQTT-4.8.2-3]
#[test]
fn each_member_gets_the_qos_that_it_was_granted() {
    let mut world = World::new();
    let sender = world.join("s");
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let members = levels.map(|qos| world.join(&format!("m{}", qos.as_u8())));
    for (&member, qos) in members.iter().zip(levels) {
        world.subscribe(member, "$share/g/t", qos);
    }
    for _ in 0..6 {
        world.publish(sender, "t", "x", QoS::ExactlyOnce);
    }
    for (&member, qos) in members.iter().zip(levels) {
        let got: Vec<_> = world.messages(member).iter().map(|message| message.qos).collect();
        assert_eq!(got, [qos; 2]);
    }
}

/// [MQTT-4.8.2-6]
#[test]
fn what_a_member_refuses_goes_to_no_other() {
    for (qos, refusal) in
        [(QoS::AtLeastOnce, [0x40, 3, 0, 1, 0x97]), (QoS::ExactlyOnce, [0x50, 3, 0, 1, 0x97])]
    {
        let (mut world, _, first, second) = undone(qos, v5("second"));
        world.send_raw(first, &refusal);
        assert!(world.is_connected(first));
        world.cut(first);
        world.pass(seconds(11));
        assert_eq!(world.texts(second), [""; 0], "{qos:?}");
    }
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let mut world = World::new();
    let (sender, member) = (world.join("s"), world.join("m"));
    world.send(sender, retained("t", "x"));
    world.subscribe(member, "$share/g/t", QoS::AtMostOnce);
    assert_eq!(world.texts(member), [""; 0]);
}

// ---- strategies

fn with_strategy(strategy: SharedStrategy) -> (World, Vec<Id>) {
    let mut world = World::with(|config| config.shared_strategy = strategy);
    let members: Vec<Id> = (0..3).map(|number| world.join(&format!("m{number}"))).collect();
    for &member in &members {
        world.subscribe(member, "$share/g/#", QoS::AtLeastOnce);
    }
    (world, members)
}

/// How many of these each member gets.
fn share(world: &mut World, members: &[Id], from: Id, topics: impl Iterator<Item = String>) -> Vec<usize> {
    for topic in topics {
        world.publish(from, &topic, "x", QoS::AtLeastOnce);
    }
    members.iter().map(|&member| world.messages(member).len()).collect()
}

fn topics(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("t/{number}"))
}

fn same(count: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n(String::from("t"), count)
}

#[test]
fn chance_reaches_everybody_and_can_be_repeated() {
    let deal = || {
        let (mut world, members) = with_strategy(SharedStrategy::Random);
        let sender = world.join("s");
        share(&mut world, &members, sender, same(60))
    };
    let counts = deal();
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|&count| count > 5), "{counts:?}");
    assert_ne!(counts, [20; 3], "that would be taking turns");
    assert_eq!(counts, deal());
}

#[test]
fn sticky_stays_with_one_until_that_is_gone() {
    let (mut world, members) = with_strategy(SharedStrategy::Sticky);
    let sender = world.join("s");
    assert_eq!(share(&mut world, &members, sender, topics(9)), [9, 0, 0]);
    world.cut(members[0]);
    assert_eq!(share(&mut world, &members[1..], sender, topics(9)), [9, 0]);
}

#[test]
fn the_hash_of_the_topic_keeps_a_topic_with_one_member() {
    let (mut world, members) = with_strategy(SharedStrategy::HashTopic);
    let sender = world.join("s");
    let mut alone = share(&mut world, &members, sender, same(9));
    alone.sort_unstable();
    assert_eq!(alone, [0, 0, 9]);
    let spread = share(&mut world, &members, sender, topics(60));
    assert!(spread.iter().all(|&count| count > 5), "{spread:?}");
    // When a member goes, only its own topics move.
    assert_eq!(share(&mut world, &members, sender, topics(60)), spread);
    world.cut(members[0]);
    let without = share(&mut world, &members, sender, topics(60));
    assert!(without[1] >= spread[1] && without[2] >= spread[2], "{spread:?} {without:?}");
}

#[test]
fn the_hash_of_the_publisher_keeps_a_publisher_with_one_member() {
    let (mut world, members) = with_strategy(SharedStrategy::HashPublisher);
    let mut reached = vec![0; members.len()];
    for number in 0..20 {
        let sender = world.join(&format!("s{number}"));
        let counts = share(&mut world, &members, sender, topics(5));
        let to = counts.iter().position(|&count| count == 5).expect("all to one");
        reached[to] += 1;
    }
    assert!(reached.iter().all(|&count| count > 0), "{reached:?}");
}

#[test]
fn the_least_busy_member_gets_the_next() {
    let (mut world, members) = with_strategy(SharedStrategy::LeastOutstanding);
    let sender = world.join("s");
    world.mute(members[1]);
    let counts = share(&mut world, &members, sender, topics(20));
    assert_eq!(counts[1], 1, "one that it does not acknowledge, and no more: {counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 20);
}

// ---- what a member leaves undone

/// Of two members the first, whose session lasts, has got a message and not acknowledged it.
fn undone(qos: QoS, second: Connect) -> (World, Id, Id, Id) {
    let mut world = World::with(|config| config.shared_strategy = SharedStrategy::Sticky);
    let sender = world.join("s");
    let (first, second) = (world.connect(lasting("first", 10)), world.connect(second));
    let subscription = Subscription::new("$share/g/t".try_into().unwrap(), QoS::ExactlyOnce);
    world.subscribe_with(first, subscription.clone(), Some(1));
    world.subscribe_with(second, subscription, Some(2));
    world.mute(first);
    world.send(sender, expiring("t", "x", 100).with_qos(qos));
    assert_eq!(world.texts(first), ["t=x"]);
    (world, sender, first, second)
}

#[test]
fn another_member_gets_what_was_not_acknowledged_when_the_session_ends() {
    let (mut world, _, first, second) = undone(QoS::AtLeastOnce, v5("second"));
    world.cut(first);
    assert_eq!(world.texts(second), [""; 0], "the client may come back");
    world.pass(seconds(11));
    let messages = world.messages(second);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].qos, QoS::AtLeastOnce);
    assert_eq!(messages[0].properties.message_expiry_interval(), Some(90), "its lifetime goes on");
    let ids: Vec<u32> =
        messages[0].properties.subscription_identifiers().map(std::num::NonZero::get).collect();
    assert_eq!(ids, [2], "by the identifier of its own subscription");
    assert_eq!(world.duplicates(second), 0);
    assert_eq!(world.stats().dropped.session_ended, 0);
}

/// [MQTT-4.8.2-4], [MQTT-4.8.2-5]
#[test]
fn a_qos_2_delivery_that_has_begun_stays_with_its_session() {
    let (mut world, _, first, second) = undone(QoS::ExactlyOnce, v5("second"));
    world.cut(first);
    let session = world.take_session(first);
    let back = world.resume(lasting("first", 10), session);
    assert_eq!(world.texts(back).len() + world.acks(back).len(), 0, "it has it already: PUBREL completes it");
    assert_eq!(world.texts(second), [""; 0]);

    let (mut world, _, first, second) = undone(QoS::ExactlyOnce, v5("second"));
    world.cut(first);
    world.pass(seconds(11));
    assert_eq!(world.texts(second), [""; 0]);
}

#[test]
fn what_waits_unsent_goes_to_another_member_too_and_acknowledged_messages_do_not() {
    let mut world = World::new();
    let sender = world.join("s");
    let first = world.connect(lasting("first", 10));
    world.subscribe(first, "$share/g/t", QoS::ExactlyOnce);
    world.subscribe(first, "own", QoS::ExactlyOnce);
    world.publish(sender, "t", "done", QoS::AtLeastOnce);
    assert_eq!(world.texts(first), ["t=done"]);
    world.cut(first);
    for (topic, payload, qos) in
        [("t", "1", QoS::AtLeastOnce), ("own", "x", QoS::AtLeastOnce), ("t", "2", QoS::ExactlyOnce)]
    {
        world.publish(sender, topic, payload, qos);
    }
    let second = world.join("second");
    world.subscribe(second, "$share/g/t", QoS::ExactlyOnce);
    // A clean start ends the earlier session.
    world.join("first");
    assert_eq!(world.texts(second), ["t=1", "t=2"]);
    assert_eq!(world.stats().dropped.session_ended, 1, "its own");
}

#[test]
fn nobody_is_left_to_take_it() {
    let (mut world, _, first, second) = undone(QoS::AtLeastOnce, v5("second"));
    world.unsubscribe(second, "$share/g/t");
    world.cut(first);
    world.pass(seconds(11));
    assert_eq!(world.texts(second), [""; 0]);
    assert_eq!(world.stats().dropped.session_ended, 1);
}
