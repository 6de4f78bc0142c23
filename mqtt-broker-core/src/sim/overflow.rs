//! Slow and absent clients: queues are bounded, and what is dropped is counted by cause.

use super::*;
use crate::config::Overflow;

fn small(config: &mut Config) {
    config.outbox_messages = 10;
    config.offline_messages = 5;
    config.transmit_watermark = 1;
}

/// A receiver that reads nothing and whose line is full.
fn stalled(world: &mut World, qos: QoS) -> (Id, Id) {
    let (sender, receiver) = (world.join("s"), world.connect(lasting("r", 100)));
    world.subscribe(receiver, "a", qos);
    world.stall(receiver, true);
    world.publish(sender, "a", &"x".repeat(10_000), QoS::AtMostOnce);
    (sender, receiver)
}

#[test]
fn a_slow_client_loses_qos_0_and_nobody_else_does() {
    let mut world = World::with(small);
    let (sender, slow) = stalled(&mut world, QoS::AtMostOnce);
    let quick = world.join("quick");
    world.subscribe(quick, "a", QoS::AtMostOnce);
    for number in 0..100 {
        world.publish(sender, "a", &number.to_string(), QoS::AtMostOnce);
    }
    assert_eq!(world.messages(quick).len(), 100);
    assert_eq!(world.stats().dropped.slow_qos0, 90);
    world.stall(slow, false);
    assert_eq!(world.messages(slow).len(), 11, "what fitted is there, and the large one");
}

#[test]
fn each_overflow_policy_does_what_it_says() {
    for (overflow, expected) in
        [(Overflow::DropNewest, (0..10).collect::<Vec<_>>()), (Overflow::DropOldest, (90..100).collect())]
    {
        let mut world = World::with(|config| {
            small(config);
            config.overflow = overflow;
        });
        let (sender, slow) = stalled(&mut world, QoS::AtLeastOnce);
        for number in 0..100 {
            world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
        }
        assert_eq!(world.stats().dropped.slow, 90);
        world.stall(slow, false);
        let expected: Vec<String> = expected.iter().map(|number| format!("a={number}")).collect();
        assert_eq!(world.texts(slow)[1..], expected);
    }
}

#[test]
fn overflow_can_disconnect_and_keep_the_session() {
    let mut world = World::with(|config| {
        small(config);
        config.overflow = Overflow::Disconnect;
    });
    let (sender, slow) = stalled(&mut world, QoS::AtLeastOnce);
    for number in 0..100 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(world.cause(slow), Some(&Closed::Local(ReasonCode::QuotaExceeded)));
    let back = world.connect(lasting("r", 100));
    assert!(world.connack(back).session_present);
    assert_eq!(world.texts(back), ["a=0", "a=1", "a=2", "a=3", "a=4"], "the offline queue is smaller");
    let dropped = world.stats().dropped;
    assert_eq!(dropped.slow + dropped.offline, 95, "{dropped:?}");
}

#[test]
fn an_absent_client_keeps_what_fits() {
    let mut world = World::with(small);
    let (sender, receiver) = (world.join("s"), world.connect(lasting("r", 100)));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    for number in 0..8 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
        world.publish(sender, "a", "qos 0", QoS::AtMostOnce);
    }
    assert_eq!(world.stats().dropped.offline, 3);
    let receiver = world.connect(lasting("r", 100));
    assert_eq!(world.texts(receiver), ["a=0", "a=1", "a=2", "a=3", "a=4"]);
}

#[test]
fn qos_0_can_wait_too_if_that_is_wanted() {
    let mut world = World::with(|config| {
        small(config);
        config.offline_qos0 = true;
    });
    let (sender, receiver) = (world.join("s"), world.connect(lasting("r", 100)));
    world.subscribe(receiver, "a", QoS::AtMostOnce);
    world.cut(receiver);
    world.publish(sender, "a", "x", QoS::AtMostOnce);
    let receiver = world.connect(lasting("r", 100));
    assert_eq!(world.texts(receiver), ["a=x"]);
}

#[test]
fn a_message_can_be_refused_as_a_whole() {
    let mut world = World::with(|config| {
        small(config);
        config.overflow = Overflow::Refuse;
    });
    let (sender, slow) = stalled(&mut world, QoS::AtLeastOnce);
    let (quick, old) = (world.join("quick"), world.connect(v311("old")));
    world.subscribe(quick, "a", QoS::ExactlyOnce);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for number in 0..10 {
            world.send(sender, retained("a", &number.to_string()).with_qos(qos));
        }
    }
    let acks = world.acks(sender);
    assert_eq!(acks.len(), 20);
    assert_eq!(acks.iter().filter(|&&ack| ack == ReasonCode::QuotaExceeded).count(), 10);
    assert_eq!((world.stats().messages_refused, world.stats().dropped.total()), (10, 0));
    assert_eq!(world.messages(quick).len(), 10, "nobody gets what was refused");
    let late = world.join("late");
    world.subscribe(late, "a", QoS::AtMostOnce);
    assert_eq!(world.texts(late), ["a=9"], "nor is it retained");
    // Who cannot be told, and who does not ask for an answer.
    world.publish(old, "a", "old", QoS::AtLeastOnce);
    world.publish(sender, "a", "qos 0", QoS::AtMostOnce);
    assert_eq!(world.texts(quick), ["a=old", "a=qos 0"]);
    let host = world.state.publish_host(world.now, message("a", "host").with_qos(QoS::AtLeastOnce));
    assert_eq!(host, ReasonCode::QuotaExceeded);
    world.stall(slow, false);
    assert_eq!(world.messages(slow).len(), 11);
    world.publish(sender, "a", "again", QoS::AtLeastOnce);
    assert_eq!(world.texts(slow), ["a=again"]);
}

#[test]
fn qos_0_gives_way_to_what_must_not_be_lost() {
    let mut world = World::with(|config| {
        small(config);
        config.overflow = Overflow::DropOldestQos0;
    });
    let (sender, slow) = stalled(&mut world, QoS::AtLeastOnce);
    for number in 0..20 {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        world.publish(sender, "a", &number.to_string(), qos);
    }
    world.stall(slow, false);
    let expected: Vec<String> = (0..20).step_by(2).map(|number| format!("a={number}")).collect();
    assert_eq!(world.texts(slow)[1..], expected);
    assert_eq!(world.stats().dropped.total(), 10);
}

fn patient(config: &mut Config) {
    small(config);
    config.slow_consumer_timeout = Some(Duration::from_secs(10));
}

#[test]
fn a_client_that_stays_behind_is_disconnected() {
    let mut world = World::with(patient);
    let (sender, slow) = stalled(&mut world, QoS::AtMostOnce);
    for number in 0..11 {
        world.publish(sender, "a", &number.to_string(), QoS::AtMostOnce);
    }
    assert_eq!(world.stats().dropped.slow_qos0, 1);
    world.pass(Duration::from_millis(9_900));
    assert_eq!(world.cause(slow), None);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.cause(slow), Some(&Closed::Local(ReasonCode::QuotaExceeded)));
    assert_eq!(world.stats().slow_consumers, 1);
    assert!(world.is_connected(sender));
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.state.poll_timeout(), None);
}

#[test]
fn a_client_that_catches_up_stays() {
    let mut world = World::with(patient);
    let (sender, slow) = stalled(&mut world, QoS::AtMostOnce);
    for _ in 0..3 {
        for number in 0..20 {
            world.publish(sender, "a", &number.to_string(), QoS::AtMostOnce);
        }
        world.pass(Duration::from_secs(9));
        world.stall(slow, false);
        world.stall(slow, true);
        world.publish(sender, "a", &"x".repeat(10_000), QoS::AtMostOnce);
    }
    world.stall(slow, false);
    world.pass(Duration::from_secs(100));
    assert!(world.is_connected(slow));
    assert_eq!(world.state.poll_timeout(), None);
}
