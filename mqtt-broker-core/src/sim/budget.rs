//! All that is kept is weighed, and there is an end to it however many share in it.

use super::*;
use crate::budget::SESSION;
use crate::config::Overflow;

/// A broker with little memory whose other limits are far away.
fn tight(memory: usize) -> World {
    World::with(|config| {
        config.max_memory = memory;
        config.transmit_watermark = 1 << 10;
    })
}

fn used(world: &World) -> usize {
    world.rules.budget.used()
}

/// Everything is given back when everybody is gone.
#[test]
fn nothing_weighs_anything_in_the_end() {
    let mut world = World::new();
    for round in 0..3 {
        let (sender, receiver) =
            (world.connect(with_will(lasting("s", 9), "w", "x", Some(5))), world.connect(lasting("r", 9)));
        for filter in ["a", "a/+", "$share/g/a"] {
            world.subscribe(receiver, filter, QoS::ExactlyOnce);
        }
        world.mute(receiver);
        world.stall(receiver, round == 1);
        for number in 0..100 {
            world.send(sender, message("a", &number.to_string()).with_qos(QoS::ExactlyOnce));
        }
        world.send(sender, retained("a/kept", "x"));
        assert!(used(&world) > 2 * SESSION);
        let (queued, lasting, connections) = world.rules.budget.weights();
        assert_eq!((queued, lasting), world.state.weights());
        assert!(connections > 0);
        world.cut(receiver);
        let (queued, lasting, _) = world.rules.budget.weights();
        assert_eq!((queued, lasting), world.state.weights());
        world.cut(sender);
        world.send_as_host(retained("a/kept", ""));
        world.pass(seconds(20));
        world.lines.clear();
        assert_eq!(world.rules.budget.weights(), (0, 0, 0));
    }
}

#[test]
fn many_stalled_clients_leave_room_for_others() {
    const MEMORY: usize = 4 << 20;
    let mut world = tight(MEMORY);
    let sender = world.join("s");
    let stalled: Vec<Id> = (0..100).map(|number| world.join(&format!("stalled {number}"))).collect();
    for (number, &id) in stalled.iter().enumerate() {
        world.subscribe(id, &format!("t/{number}"), QoS::AtLeastOnce);
        world.stall(id, true);
    }
    let good = world.join("good");
    world.subscribe(good, "good", QoS::AtLeastOnce);
    for round in 0..30 {
        for number in 0..100 {
            world
                .send(sender, message(&format!("t/{number}"), &"x".repeat(1_000)).with_qos(QoS::AtLeastOnce));
        }
        assert!(used(&world) < MEMORY, "{} in round {round}", used(&world));
        world.publish(sender, "good", "x", QoS::AtLeastOnce);
        assert_eq!(world.texts(good), ["good=x"]);
    }
    let stats = world.stats();
    assert!(stats.dropped.memory > 500, "{stats:?}");
    assert_eq!(stats.dropped.slow, 0, "no other limit was near");
    let late = world.join("late");
    world.subscribe(late, "late", QoS::AtLeastOnce);
    world.publish(sender, "late", &"x".repeat(1_000), QoS::AtLeastOnce);
    assert_eq!(world.messages(late).len(), 1);
    for id in stalled {
        world.stall(id, false);
        assert!(!world.messages(id).is_empty());
    }
}

/// What waits for many is one message.
#[test]
fn a_message_for_many_weighs_once() {
    let mut world = World::new();
    let sender = world.join("s");
    for number in 0..100 {
        let id = world.connect(lasting(&number.to_string(), 100));
        world.subscribe(id, "a", QoS::AtLeastOnce);
        world.cut(id);
    }
    let before = used(&world);
    world.publish(sender, "a", &"x".repeat(10_000), QoS::AtLeastOnce);
    assert!(used(&world) - before < 25_000, "{}", used(&world) - before);
}

#[test]
fn absent_sessions_share_the_budget_too() {
    const MEMORY: usize = 2 << 20;
    let mut world = tight(MEMORY);
    let sender = world.join("s");
    for number in 0..50 {
        let id = world.connect(lasting(&number.to_string(), 1_000));
        world.subscribe(id, &format!("t/{number}"), QoS::AtLeastOnce);
        world.cut(id);
    }
    for _ in 0..40 {
        for number in 0..50 {
            world
                .send(sender, message(&format!("t/{number}"), &"x".repeat(1_000)).with_qos(QoS::AtLeastOnce));
        }
        assert!(used(&world) < MEMORY);
    }
    assert!(world.stats().dropped.memory > 500, "{:?}", world.stats());
    assert_eq!(world.stats().dropped.offline, 0);
}

#[test]
fn subscriptions_sessions_and_retained_messages_stop_at_half() {
    const MEMORY: usize = 1 << 20;
    let mut world = tight(MEMORY);
    let good = world.join("good");
    world.subscribe(good, "good/#", QoS::AtLeastOnce);
    let deep = "a/".repeat(100);
    let mut reason = ReasonCode::GRANTED_QOS_0;
    let mut count = 0;
    'all: for client in 0..1_000 {
        let id = world.connect(lasting(&format!("{client}"), 1_000));
        if !world.is_connected(id) {
            reason = world.connack(id).reason;
            break;
        }
        for number in 0..100 {
            let filter = format!("{client}/{number}/{deep}+");
            if world.subscribe(id, &filter, QoS::AtMostOnce) == ReasonCode::QuotaExceeded {
                continue 'all;
            }
            count += 1;
        }
    }
    assert_eq!(reason, ReasonCode::QuotaExceeded);
    assert!(count > 30, "{count}");
    assert!(used(&world) < MEMORY, "{}", used(&world));
    assert_eq!(world.subscribe(good, &"late".repeat(250), QoS::AtMostOnce), ReasonCode::QuotaExceeded);
    let before = world.stats().retained_messages;
    world.send(good, retained("good/x", &"x".repeat(1_000)));
    assert_eq!(world.stats().retained_messages, before);
    assert_eq!(world.messages(good).len(), 1, "messages pass all the same");
}

/// A packet that does not come to its end.
fn half_a_packet(world: &mut World, id: Id, size: usize) {
    let length = 1_500_000u32;
    let mut bytes = vec![0x30];
    for shift in 0..3 {
        bytes.push(((length >> (7 * shift)) & 0x7f) as u8 | if shift < 2 { 0x80 } else { 0 });
    }
    bytes.extend([0, 1, b'a', 0]);
    bytes.resize(size, 0);
    world.send_raw(id, &bytes);
}

#[test]
fn packets_that_are_not_complete_are_bounded_together() {
    const MEMORY: usize = 4 << 20;
    let mut world = tight(MEMORY);
    let (sender, good) = (world.join("s"), world.join("good"));
    world.subscribe(good, "good", QoS::AtLeastOnce);
    let hogs: Vec<Id> = (0..100).map(|number| world.join(&number.to_string())).collect();
    for &hog in &hogs {
        half_a_packet(&mut world, hog, 20_000);
        assert!(used(&world) < MEMORY);
    }
    let out = hogs.iter().filter(|&&hog| world.cause(hog) == Some(&Closed::Local(ReasonCode::QuotaExceeded)));
    let out = out.count();
    assert!((50..98).contains(&out), "{out}");
    world.publish(sender, "good", &"x".repeat(3_000), QoS::AtLeastOnce);
    assert_eq!(world.messages(good).len(), 1);
}

#[test]
fn what_is_in_flight_is_bounded_in_bytes() {
    let mut world = World::with(|config| config.max_in_flight_bytes = 10_000);
    let (sender, mute) = (world.join("s"), world.connect(lasting("mute", 100)));
    world.subscribe(mute, "a", QoS::AtLeastOnce);
    world.mute(mute);
    for _ in 0..100 {
        world.publish(sender, "a", &"x".repeat(999), QoS::AtLeastOnce);
    }
    assert_eq!(world.messages(mute).len(), 10);
    assert_eq!(world.state.longest_queue(), 90);
    world.publish(sender, "a", "x", QoS::AtMostOnce);
    world.cut(mute);
    let back = world.connect(lasting("mute", 100));
    assert_eq!(world.messages(back).len(), 100);
}

#[test]
fn a_bound_of_nothing_lets_nothing_through() {
    let mut world = World::with(|config| config.max_in_flight_bytes = 0);
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    for _ in 0..3 {
        world.publish(sender, "a", &"x".repeat(999), QoS::AtLeastOnce);
    }
    assert_eq!(world.messages(receiver).len(), 0, "there is no room at all");
}

#[test]
fn strangers_get_little_room() {
    let mut world = World::with(|config| config.max_connect_size = 1_000);
    let large = |size: usize| with_will(v5("c"), "w", &"x".repeat(size), None);
    let id = world.connect(large(900));
    assert!(world.is_connected(id));
    world.publish(id, "a", &"x".repeat(100_000), QoS::AtMostOnce);
    assert!(world.is_connected(id), "who is in may send more");
    let id = world.connect(large(1_000));
    assert!(!world.is_connected(id));
    assert!(matches!(world.cause(id), Some(Closed::Protocol(_))));
}

#[test]
fn a_large_message_for_nobody_in_particular_is_refused_or_dropped() {
    for overflow in [Overflow::DropNewest, Overflow::Refuse] {
        let mut world = World::with(|config| {
            config.max_memory = 1 << 20;
            config.overflow = overflow;
        });
        let (sender, away) = (world.join("s"), world.connect(lasting("r", 100)));
        world.subscribe(away, "a", QoS::AtLeastOnce);
        world.cut(away);
        for _ in 0..2 {
            world.publish(sender, "a", &"x".repeat(40_000), QoS::AtLeastOnce);
        }
        let stats = world.stats();
        match overflow {
            Overflow::Refuse => assert_eq!((stats.messages_refused, stats.dropped.memory), (1, 0)),
            _ => assert_eq!((stats.messages_refused, stats.dropped.memory), (0, 1)),
        }
    }
}
