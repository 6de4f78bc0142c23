//! What leaves only when the store has what it is about, and what does not wait.

use super::*;

/// A receiver whose session is kept, of everything, with this QoS; and a sender.
fn pair(world: &mut World, qos: QoS) -> (Id, Id) {
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "#", qos);
    (receiver, world.connect(lasting("s", 100)))
}

#[test]
fn a_connack_waits_for_its_session() {
    let (mut world, store) = world();
    store.pause();
    let id = world.connect(lasting("c", 100));
    assert!(!world.lines[id.0].client.is_connected());
    world.lines[id.0].client.handle_timeout(world.now);
    world.write(&store, 1);
    assert!(world.is_connected(id));
    // Who keeps nothing waits for nothing.
    let other = world.connect(v5("other"));
    assert!(world.is_connected(other) && store.waiting() == 0);
}

/// [MQTT-3.1.2-4]: after a clean start the old session cannot come back.
#[test]
fn a_clean_start_waits_until_the_old_session_is_gone() {
    let (mut world, store) = world();
    let id = world.connect(lasting("c", 100));
    world.cut(id);
    store.pause();
    let id = world.connect(v5("c"));
    assert!(!world.lines[id.0].client.is_connected());
    world.resume_store(&store);
    assert!(world.is_connected(id));
    assert_eq!(store.snapshot().sessions(), 0);
}

#[test]
fn what_was_taken_over_before_it_was_in_is_given_on() {
    let (mut world, store) = world();
    let id = world.connect(lasting("c", 100));
    world.subscribe(id, "a", QoS::AtLeastOnce);
    world.mute(id);
    let sender = world.join("s");
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    world.cut(id);
    store.pause();
    let first = world.connect(lasting("c", 100));
    let second = world.connect(lasting("c", 100));
    world.resume_store(&store);
    assert!(world.closed(first).is_some() && world.is_connected(second));
    assert_eq!(world.texts(second), ["a=x"]);
}

#[test]
fn a_suback_and_an_unsuback_wait_for_the_subscription() {
    let (mut world, store) = world();
    let id = world.connect(lasting("c", 100));
    store.pause();
    let now = world.now;
    let all = Subscription::new("#".try_into().unwrap(), QoS::AtLeastOnce);
    world.lines[id.0].client.subscribe(now, SubscribeProperties::new(), [all]).unwrap();
    world.run();
    assert_eq!(world.lines[id.0].seen.reasons, []);
    world.write(&store, 1);
    assert_eq!(world.lines[id.0].seen.reasons, [ReasonCode::GrantedQoS1]);
    let filter: TopicFilter = "#".try_into().unwrap();
    world.lines[id.0].client.unsubscribe(now, UnsubscribeProperties::new(), [filter]).unwrap();
    world.run();
    assert_eq!(world.lines[id.0].seen.reasons.len(), 1);
    world.write(&store, 1);
    assert_eq!(world.lines[id.0].seen.reasons.len(), 2);
}

/// [MQTT-4.3.2-4]
#[test]
fn a_puback_waits_for_the_message_and_the_message_waits_for_nothing() {
    let (mut world, store) = world();
    let (receiver, sender) = pair(&mut world, QoS::AtLeastOnce);
    store.pause();
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    assert_eq!(world.texts(receiver), ["a=x"]);
    assert_eq!(world.acks(sender), []);
    assert_eq!(store.snapshot().messages(), 0);
    world.write(&store, 1);
    assert_eq!(world.acks(sender), [ReasonCode::Success]);
    assert_eq!(store.snapshot().messages(), 1);
    world.resume_store(&store);
    assert_eq!(store.snapshot().messages(), 0, "it was acknowledged");
}

/// [MQTT-4.3.3-8], [MQTT-4.3.3-11]
#[test]
fn a_pubrec_waits_for_the_message_and_a_pubcomp_for_the_identifier() {
    let (mut world, store) = world();
    let sender = world.connect(lasting("s", 100));
    store.pause();
    world.publish(sender, "nobody", "x", QoS::ExactlyOnce);
    let received = |store: &MemoryStore| store.snapshot().sessions[&text("s")].received.len();
    assert_eq!((received(&store), store.waiting()), (0, 1), "PUBREC has not left, or PUBREL would have come");
    world.write(&store, 1);
    assert_eq!((received(&store), store.waiting()), (1, 1), "PUBREL has come");
    assert_eq!(world.acks(sender), []);
    world.write(&store, 1);
    assert_eq!(received(&store), 0);
    assert_eq!(world.acks(sender).len(), 1);
}

/// [MQTT-4.3.3-2], [MQTT-4.3.3-4]
#[test]
fn a_qos_2_message_waits_for_its_identifier_and_a_pubrel_for_its_note() {
    let (mut world, store) = world();
    let (receiver, sender) = pair(&mut world, QoS::ExactlyOnce);
    store.pause();
    world.publish(sender, "a", "x", QoS::ExactlyOnce);
    world.write(&store, 1);
    assert_eq!(world.texts(receiver), [""; 0]);
    world.write(&store, 1);
    assert_eq!(world.texts(receiver), ["a=x"]);
    assert_eq!(
        store.waiting(),
        2,
        "what the sender has released and the receiver received; no PUBCOMP has come"
    );
    world.resume_store(&store);
    assert_eq!(store.snapshot().messages(), 0);
    assert_eq!(world.acks(sender), [ReasonCode::Success]);
}

/// [MQTT-4.6.0-2]
#[test]
fn acknowledgements_keep_their_order() {
    let (mut world, store) = world();
    let (_, sender) = pair(&mut world, QoS::AtLeastOnce);
    store.pause();
    world.publish(sender, "a", "1", QoS::AtLeastOnce);
    // Nobody keeps this one.
    world.publish(sender, "$nobody", "2", QoS::AtLeastOnce);
    assert_eq!(world.acks(sender), []);
    world.write(&store, 1);
    assert_eq!(world.acks(sender), [ReasonCode::Success, ReasonCode::NoMatchingSubscribers]);
}

#[test]
fn everything_else_goes_on_meanwhile() {
    let (mut world, store) = world();
    let (receiver, sender) = pair(&mut world, QoS::AtLeastOnce);
    world.subscribe(sender, "news", QoS::AtMostOnce);
    let other = world.join("other");
    world.subscribe(other, "a", QoS::ExactlyOnce);
    store.pause();
    world.publish(sender, "a", "1", QoS::AtLeastOnce);
    assert_eq!(world.texts(other), ["a=1"], "a session that is not kept");
    // To the one that waits, and from it.
    world.publish(other, "news", "x", QoS::AtMostOnce);
    assert_eq!(world.texts(sender), ["news=x"]);
    world.publish(sender, "b", "y", QoS::AtMostOnce);
    assert_eq!(world.texts(receiver), ["a=1", "news=x", "b=y"]);
    assert_eq!(world.acks(sender), []);
    // And pings.
    world.send_raw(sender, &[0xc0, 0]);
    assert!(world.bytes(sender) > 0 && world.is_connected(sender));
}

#[test]
fn what_is_not_kept_makes_no_ops() {
    let (mut world, store) = world();
    let (sender, receiver) = (world.join("s"), world.join("r"));
    world.subscribe(receiver, "a/#", QoS::ExactlyOnce);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.publish(sender, "a/b", "x", qos);
    }
    world.cut(receiver);
    world.send(sender, retained("$SYS/x", "1"));
    assert_eq!(store.written(), 0);
    assert_eq!(world.acks(sender).len(), 2);
}

#[test]
fn without_a_store_nothing_is_told() {
    let mut world = World::new();
    let (receiver, sender) = pair(&mut world, QoS::ExactlyOnce);
    world.publish(sender, "a", "x", QoS::ExactlyOnce);
    assert_eq!(world.texts(receiver), ["a=x"]);
    assert!(world.state.take_ops().is_none() && world.state.store_position() == 0);
}

/// A connection that has gone waits no more.
#[test]
fn nobody_is_left_waiting() {
    let (mut world, store) = world();
    let (_, sender) = pair(&mut world, QoS::AtLeastOnce);
    store.pause();
    for _ in 0..3 {
        world.publish(sender, "a", "x", QoS::AtLeastOnce);
    }
    assert_eq!(world.progress().unwrap().waiting(), 1);
    world.cut(sender);
    assert_eq!(world.progress().unwrap().waiting(), 0);
}
