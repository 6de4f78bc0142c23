//! What a broker finds in the store of another.

use super::*;
use crate::store::Snapshot;

#[test]
fn subscriptions_come_back_with_their_options_and_identifiers() {
    let (mut world, _) = world();
    let receiver = world.connect(lasting("r", 100));
    let mut subscription = Subscription::new("a/+".try_into().unwrap(), QoS::AtLeastOnce);
    subscription.options.no_local = true;
    subscription.options.retain_as_published = true;
    world.subscribe_with(receiver, subscription, Some(7));
    world.subscribe(receiver, "b", QoS::AtLeastOnce);
    world.subscribe(receiver, "c", QoS::AtLeastOnce);
    world.unsubscribe(receiver, "c");
    world.restart();
    assert_eq!((world.stats().sessions, world.stats().subscriptions, world.stats().clients), (1, 2, 0));
    let receiver = world.connect(lasting("r", 100));
    assert!(world.connack(receiver).session_present);
    let sender = world.join("s");
    world.send(sender, retained("a/b", "x").with_qos(QoS::ExactlyOnce));
    world.publish(receiver, "a/b", "own", QoS::AtLeastOnce);
    world.publish(sender, "b", "y", QoS::AtMostOnce);
    world.publish(sender, "c", "z", QoS::AtMostOnce);
    let got = world.messages(receiver);
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].qos, got[0].retain), (QoS::AtLeastOnce, true));
    assert_eq!(
        got[0].properties.subscription_identifiers().map(std::num::NonZero::get).collect::<Vec<_>>(),
        [7]
    );
}

#[test]
fn messages_wait_in_their_order() {
    let (mut world, _) = world();
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "#", QoS::ExactlyOnce);
    world.cut(receiver);
    let sender = world.join("s");
    for number in 0..10 {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        world.publish(sender, "t", &number.to_string(), qos);
    }
    world.publish(sender, "t", "not kept", QoS::AtMostOnce);
    world.restart();
    let receiver = world.connect(lasting("r", 100));
    // [MQTT-4.6.0-6]: those of one QoS.
    let got = world.messages(receiver);
    for (qos, expected) in
        [(QoS::AtLeastOnce, ["0", "2", "4", "6", "8"]), (QoS::ExactlyOnce, ["1", "3", "5", "7", "9"])]
    {
        let of_qos = got.iter().filter(|message| message.qos == qos);
        assert_eq!(
            of_qos.map(|message| &message.payload[..]).collect::<Vec<_>>(),
            expected.map(str::as_bytes)
        );
    }
    world.restart();
    let receiver = world.connect(lasting("r", 100));
    assert_eq!(world.texts(receiver), [""; 0], "they were acknowledged");
}

/// [MQTT-4.4.0-1]
#[test]
fn what_was_in_flight_is_sent_again_by_the_same_identifier() {
    let (mut world, _) = world();
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "#", QoS::ExactlyOnce);
    world.mute(receiver);
    let sender = world.join("s");
    world.publish(sender, "one", "1", QoS::AtLeastOnce);
    world.publish(sender, "two", "2", QoS::ExactlyOnce);
    assert_eq!(world.messages(receiver).len(), 2);
    world.restart();
    let receiver = world.come_back(receiver, lasting("r", 100));
    // The client knows the QoS 2 message by its identifier.
    assert_eq!(world.texts(receiver), ["one=1"]);
    assert_eq!(world.duplicates(receiver), 1);
    let sender = world.join("s");
    world.publish(sender, "more", "4", QoS::ExactlyOnce);
    assert_eq!(world.texts(receiver), ["more=4"]);
}

#[test]
fn retained_messages_come_back_and_expire() {
    let (mut world, store) = world();
    let sender = world.join("s");
    world.send(sender, retained("a", "1"));
    world.send(sender, retained("b", "2").with_qos(QoS::ExactlyOnce));
    world.send(sender, retained("c", "3"));
    world.send(sender, retained("c", ""));
    world.send(sender, expiring("d", "4", 10).with_retain(true));
    world.send(sender, expiring("e", "5", 100).with_retain(true));
    world.restart_after(seconds(20));
    let receiver = world.join("r");
    world.subscribe(receiver, "#", QoS::ExactlyOnce);
    let got = world.messages(receiver);
    let topics: Vec<_> = got.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["a", "b", "e"]);
    assert!(got.iter().all(|message| message.retain));
    assert_eq!(got[1].qos, QoS::ExactlyOnce);
    assert_eq!(got[2].properties.message_expiry_interval(), Some(80));
    assert_eq!(store.snapshot().retained_messages(), 3);
}

#[test]
fn a_retained_message_without_room_is_not_kept_either() {
    let store = MemoryStore::new();
    let mut world = World::with_store(&store, |config| config.max_retained_bytes = 200);
    let sender = world.join("s");
    world.send(sender, retained("a", "1"));
    world.send(sender, retained("a", &"x".repeat(200)));
    assert_eq!((world.stats().retained_messages, store.snapshot().retained_messages()), (0, 0));
}

#[test]
fn the_time_without_a_broker_counts() {
    let (mut world, _) = world();
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "#", QoS::AtLeastOnce);
    world.cut(receiver);
    world.pass(seconds(10));
    let sender = world.join("s");
    world.send(sender, expiring("short", "x", 30).with_qos(QoS::AtLeastOnce));
    world.send(sender, expiring("long", "y", 80).with_qos(QoS::AtLeastOnce));
    world.restart_after(seconds(40));
    world.pass(seconds(49));
    assert_eq!(world.stats().sessions, 1);
    // The clock was put back: nothing lives longer than it was to at first.
    world.restart_after(Duration::ZERO);
    assert_eq!(world.stats().sessions, 1);
    world.pass(seconds(1));
    assert_eq!(world.stats().sessions, 0);
}

#[test]
fn a_message_that_expired_meanwhile_is_not_sent() {
    let (mut world, store) = world();
    let receiver = world.connect(lasting("r", 1000));
    world.subscribe(receiver, "#", QoS::AtLeastOnce);
    world.cut(receiver);
    let sender = world.join("s");
    world.send(sender, expiring("short", "x", 30).with_qos(QoS::AtLeastOnce));
    world.send(sender, expiring("long", "y", 80).with_qos(QoS::AtLeastOnce));
    world.restart_after(seconds(40));
    let receiver = world.connect(lasting("r", 1000));
    let got = world.messages(receiver);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].properties.message_expiry_interval(), Some(40));
    assert_eq!(store.snapshot().messages(), 0);
}

#[test]
fn a_session_left_when_the_broker_died_begins_to_expire_with_the_next_one() {
    let (mut world, store) = world();
    world.connect(lasting("r", 100));
    world.restart_after(seconds(1_000));
    world.pass(seconds(99));
    assert_eq!(world.stats().sessions, 1);
    // And only with the first that comes.
    world.restart();
    world.pass(seconds(1));
    assert_eq!((world.stats().sessions, store.snapshot().sessions()), (0, 0));
}

#[test]
fn wills_survive_the_broker() {
    let (mut world, store) = world();
    let watcher = world.connect(lasting("watcher", 1_000));
    world.subscribe(watcher, "will/#", QoS::AtLeastOnce);
    let at_least_once = |mut connect: Connect| {
        connect.will.as_mut().unwrap().qos = QoS::AtLeastOnce;
        connect
    };
    // One whose session ends with it, one that waits for its delay, one that was connected, one that has said goodbye.
    world.connect(at_least_once(with_will(v5("guest"), "will/guest", "1", None)));
    let left = world.connect(at_least_once(with_will(lasting("left", 500), "will/left", "2", Some(100))));
    world.cut(left);
    let there = lasting("there", 500);
    world.connect(at_least_once(with_will(there, "will/there", "3", Some(100))));
    let polite = world.connect(at_least_once(with_will(lasting("polite", 500), "will/polite", "4", None)));
    world.disconnect(polite, &goodbye());
    world.restart_after(seconds(60));
    let mut watcher = world.connect(lasting("watcher", 1_000));
    assert_eq!(world.texts(watcher), ["will/guest=1"]);
    assert_eq!(store.snapshot().sessions(), 4, "the guest is forgotten");
    world.pass(seconds(40));
    assert_eq!(world.texts(watcher), ["will/left=2"]);
    world.pass(seconds(60));
    assert_eq!(world.texts(watcher), ["will/there=3"]);
    world.restart_after(seconds(60));
    watcher = world.connect(lasting("watcher", 1_000));
    world.pass(seconds(1_000));
    assert_eq!(world.texts(watcher), [""; 0], "each once");
}

#[test]
fn a_client_that_is_back_in_time_keeps_its_will_from_being_published() {
    let (mut world, _) = world();
    let watcher = world.join("watcher");
    world.subscribe(watcher, "will", QoS::AtLeastOnce);
    world.connect(with_will(lasting("c", 500), "will", "x", Some(10)));
    world.restart();
    let watcher = world.join("watcher");
    world.subscribe(watcher, "will", QoS::AtLeastOnce);
    world.pass(seconds(9));
    let again = world.connect(lasting("c", 500));
    assert!(world.connack(again).session_present);
    world.pass(seconds(100));
    assert_eq!(world.texts(watcher), [""; 0]);
}

#[test]
fn shared_subscriptions_come_back_with_what_was_under_way() {
    let (mut world, store) = world();
    let (first, second) = (world.connect(lasting("1", 100)), world.connect(lasting("2", 100)));
    for member in [first, second] {
        world.subscribe(member, "$share/g/jobs", QoS::ExactlyOnce);
        world.mute(member);
    }
    let sender = world.join("s");
    for number in 0..4 {
        world.publish(sender, "jobs", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!((world.texts(first).len(), world.texts(second).len()), (2, 2));
    world.cut(first);
    world.cut(second);
    for number in 4..8 {
        world.publish(sender, "jobs", &number.to_string(), QoS::ExactlyOnce);
    }
    world.restart();
    // One session ends: all it had, sent or not, goes to the other.
    let first = world.connect(v5("1"));
    assert!(!world.connack(first).session_present);
    assert_eq!(store.snapshot().messages(), 8);
    world.restart();
    let second = world.connect(lasting("2", 100));
    let mut got = world.texts(second);
    got.sort();
    let expected: Vec<String> = (0..8).map(|number| format!("jobs={number}")).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_new_subscription_gets_the_rest_of_its_retained_messages() {
    let (mut world, store) = world();
    let sender = world.join("s");
    for number in 0..10 {
        world.send(sender, retained(&format!("t/{number}"), "x").with_qos(QoS::ExactlyOnce));
    }
    let mut connect = lasting("r", 100);
    connect.properties = connect.properties.with_receive_maximum(4.try_into().unwrap());
    let receiver = world.connect(connect.clone());
    world.mute(receiver);
    world.subscribe(receiver, "t/#", QoS::ExactlyOnce);
    assert_eq!(world.messages(receiver).len(), 4);
    // One that is published now is no retained message of the subscription.
    world.send(sender, retained("t/5", "y").with_qos(QoS::ExactlyOnce));
    world.restart();
    // It knows the first four by their identifiers, and acknowledges them.
    let mut session = world.take_session(receiver);
    for token in std::mem::take(&mut world.lines[receiver.0].seen.unanswered) {
        session.ack(token, ReasonCode::Success);
    }
    let receiver = world.resume(connect, session);
    let mut got: Vec<_> =
        world.messages(receiver).into_iter().map(|message| message.topic.to_string()).collect();
    got.sort();
    assert_eq!(got, (4..10).map(|number| format!("t/{number}")).collect::<Vec<_>>());
    assert_eq!(store.snapshot().messages(), 0);
    world.state.agrees_with(&store.snapshot());
}

#[test]
fn what_had_no_room_is_gone_from_the_store_too() {
    for overflow in [crate::Overflow::DropNewest, crate::Overflow::DropOldest, crate::Overflow::Disconnect] {
        let store = MemoryStore::new();
        let mut world = World::with_store(&store, |config| {
            config.offline_messages = 3;
            config.outbox_messages = 5;
            config.max_in_flight = 1.try_into().unwrap();
            config.overflow = overflow;
        });
        let receiver = world.connect(lasting("r", 100));
        world.subscribe(receiver, "#", QoS::AtLeastOnce);
        world.mute(receiver);
        let sender = world.join("s");
        for number in 0..10 {
            world.publish(sender, "t", &number.to_string(), QoS::AtLeastOnce);
        }
        world.state.agrees_with(&store.snapshot());
        world.cut(receiver);
        for number in 10..20 {
            world.publish(sender, "t", &number.to_string(), QoS::AtLeastOnce);
        }
        assert_eq!(store.snapshot().messages(), 4, "{overflow:?}");
        world.state.agrees_with(&store.snapshot());
    }
}

#[test]
fn a_session_that_is_not_to_outlive_its_connection_any_more_is_forgotten() {
    let (mut world, store) = world();
    let client = world.connect(lasting("c", 100));
    world.subscribe(client, "a", QoS::AtLeastOnce);
    world.cut(client);
    // It keeps what it has as long as it is connected.
    let client = world.connect(clean_start(v5("c"), false));
    assert!(world.connack(client).session_present);
    assert_eq!(store.snapshot(), Snapshot::new());
    let properties = goodbye().properties.with_session_expiry_interval(0);
    let other = world.connect(lasting("other", 100));
    assert_eq!(store.snapshot().sessions(), 1);
    world.disconnect(other, &Disconnect { properties, ..goodbye() });
    assert_eq!(store.snapshot(), Snapshot::new());
}

#[test]
fn sessions_below_a_mount_point_stay_there() {
    use crate::policy::{Admission, BoxFuture, Identity, Refusal};

    struct Tenants;

    impl Policy for Tenants {
        fn authenticate<'a>(
            &'a self,
            request: ConnectRequest<'a>,
        ) -> BoxFuture<'a, Result<Admission, Refusal>> {
            let tenant = request.connect.user_name.clone().unwrap_or_default();
            let mount_point = TopicName::try_from(tenant.as_str()).unwrap();
            let admission = Admission::from(Identity::named(&tenant)).with_mount_point(&mount_point);
            Box::pin(std::future::ready(Ok(admission)))
        }
    }

    let tenant = |mut connect: Connect, name: &str| {
        connect.user_name = Some(text(name));
        connect
    };
    let (mut world, _) = world();
    world.set_policy(Tenants);
    let receiver = world.connect(tenant(lasting("r", 100), "one"));
    world.subscribe(receiver, "a", QoS::ExactlyOnce);
    world.mute(receiver);
    let sender = world.connect(tenant(v5("s"), "one"));
    world.publish(sender, "a", "sent", QoS::ExactlyOnce);
    assert_eq!(world.messages(receiver).len(), 1);
    world.cut(receiver);
    world.publish(sender, "a", "waits", QoS::AtLeastOnce);
    world.restart();
    let receiver = world.connect(tenant(lasting("r", 100), "one"));
    assert_eq!(world.texts(receiver), ["a=sent", "a=waits"]);
    let other = world.connect(tenant(lasting("r", 100), "two"));
    assert!(!world.connack(other).session_present);
}
