//! A store that is slow, or fails.

use super::*;
use crate::events::Event;
use crate::store::StoreError;

#[test]
fn a_client_that_adds_too_much_is_not_read_until_half_is_written() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.store_ops = 10);
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    let (sender, other) = (world.join("s"), world.join("o"));
    world.subscribe(other, "b", QoS::AtMostOnce);
    store.pause();
    for number in 0..50 {
        world.publish(sender, "a", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(store.waiting(), 10, "one op each, as far as it may");
    assert_eq!(world.stats().store_ops, 10);
    // Others are.
    world.publish(other, "b", "x", QoS::AtLeastOnce);
    assert_eq!(world.texts(other), ["b=x"]);
    // But nobody who has something to keep comes in, and the host is told.
    let newcomer = world.connect(lasting("n", 100));
    assert_eq!(world.connack(newcomer).reason, ReasonCode::ServerBusy);
    let now = world.now;
    assert_eq!(
        world.state.publish_host(now, message("a", "x").with_qos(QoS::AtLeastOnce)),
        ReasonCode::QuotaExceeded
    );
    assert_eq!(world.state.publish_host(now, message("b", "x")), ReasonCode::Success);
    store.write(4);
    world.run();
    assert_eq!(store.waiting(), 6, "it waits still");
    store.write(2);
    world.run();
    assert!(store.waiting() > 6, "it goes on");
    world.resume_store(&store);
    assert_eq!(world.acks(sender).len(), 50);
    assert_eq!((world.stats().store_ops, world.stats().store_bytes), (0, 0));
    assert_eq!(store.snapshot().messages(), 50);
}

#[test]
fn bytes_count_as_well() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.store_bytes = 100_000);
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    let sender = world.join("s");
    store.pause();
    for _ in 0..20 {
        world.publish(sender, "a", &"x".repeat(30_000), QoS::AtLeastOnce);
    }
    assert_eq!(store.waiting(), 4);
    world.resume_store(&store);
    assert_eq!(world.acks(sender).len(), 20);
}

#[test]
fn a_store_that_fails_is_told_and_nothing_is_promised_any_more() {
    let (mut world, store) = world();
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    let (waits, old, other) = (world.connect(lasting("w", 100)), world.connect(v311("old")), world.join("o"));
    world.subscribe(other, "b", QoS::AtMostOnce);
    store.pause();
    world.publish(waits, "a", "x", QoS::AtLeastOnce);
    let enters = world.connect(lasting("e", 100));
    let mut events = world.state.observe(10, false);
    store.fail(StoreError::write("no space left"));
    world.run();
    // The keeper is woken for it.
    world.state.handle_timeout(world.now);
    // Who was waiting is sent away without an acknowledgement.
    let Some(Closed::Peer(goodbye)) = world.closed(waits) else { panic!("{:?}", world.closed(waits)) };
    assert_eq!(goodbye.reason, ReasonCode::QuotaExceeded);
    assert_eq!(world.acks(waits), []);
    assert_eq!(world.connack(enters).reason, ReasonCode::ServerUnavailable);
    let mut told = false;
    let mut context = std::task::Context::from_waker(Waker::noop());
    while let std::task::Poll::Ready(Some(event)) = events.poll_recv(&mut context) {
        told |= matches!(event, Event::StoreFailed { error: StoreError::Write(_) });
    }
    assert!(told && world.stats().store_failed);
    // What would have to be kept is refused, to everybody in his way.
    world.publish(other, "a", "y", QoS::AtLeastOnce);
    assert_eq!(world.acks(other), [ReasonCode::QuotaExceeded]);
    world.publish(old, "a", "y", QoS::ExactlyOnce);
    assert!(world.closed(old).is_some() && world.acks(old).is_empty());
    assert_eq!(world.subscribe(receiver, "c", QoS::AtMostOnce), ReasonCode::QuotaExceeded);
    let again = world.connect(lasting("again", 100));
    assert_eq!(world.connack(again).reason, ReasonCode::ServerUnavailable);
    // The rest goes on.
    world.publish(other, "b", "z", QoS::AtMostOnce);
    assert_eq!(world.texts(other), ["b=z"]);
    let guest = world.connect(v5("guest"));
    assert!(world.is_connected(guest));
    // And a broker with a store that works again has what was promised.
    store.resume();
    world.restart();
    let receiver = world.connect(lasting("r", 100));
    assert!(world.connack(receiver).session_present);
}

#[test]
fn a_client_that_was_held_is_let_go_when_the_store_fails() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.store_ops = 1);
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "b", QoS::AtMostOnce);
    store.pause();
    world.send(sender, retained("a", "1"));
    world.publish(sender, "b", "x", QoS::AtMostOnce);
    assert_eq!(world.texts(receiver), [""; 0], "it is held");
    store.fail(StoreError::write("no space left"));
    world.run();
    assert_eq!(world.texts(receiver), ["b=x"]);
}

/// [MQTT-3.1.2-22]: a client that is not read is not silent.
#[test]
fn a_client_that_was_held_is_not_taken_for_a_silent_one() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.store_ops = 1);
    let sender = world.connect(keep_alive(v5("s"), 10));
    store.pause();
    world.send(sender, retained("a", "1"));
    world.stall(sender, true);
    world.send_raw(sender, &[0xc0, 0]);
    world.pass(seconds(100));
    assert_eq!(world.cause(sender).map(Closed::to_string), None);
    world.resume_store(&store);
    world.pass(seconds(14));
    assert_eq!(world.cause(sender).map(Closed::to_string), None, "its ping has been read");
    world.pass(seconds(2));
    assert!(matches!(world.cause(sender), Some(Closed::Timeout(_))));
}

#[test]
fn nobody_adds_a_little_each_time_by_coming_again() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.store_ops = 10);
    store.pause();
    for number in 0..50 {
        let client = world.connect(v5("c"));
        assert!(world.is_connected(client), "it has nothing to keep");
        world.send(client, retained("a", &number.to_string()));
        world.cut(client);
        world.connect(with_will(v5("w"), "w", "x", None));
    }
    // And what the end of those leaves that were in when it came to that.
    assert!(store.waiting() <= 12, "{} wait", store.waiting());
}
