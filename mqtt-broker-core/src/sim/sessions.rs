//! Sessions: how long they live, what they keep, who gets them.

use super::*;
use crate::notify::LOOK;

#[test]
fn a_session_of_mqtt_5_lives_as_long_as_it_was_asked_to() {
    let mut world = World::new();
    let sender = world.join("s");
    let receiver = world.connect(lasting("r", 10));
    assert!(!world.connack(receiver).session_present);
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    world.publish(sender, "a", "kept", QoS::AtLeastOnce);
    world.publish(sender, "a", "not kept", QoS::AtMostOnce);
    world.pass(seconds(9));
    let receiver = world.connect(lasting("r", 10));
    assert!(world.connack(receiver).session_present);
    assert_eq!(world.texts(receiver), ["a=kept"]);
    world.cut(receiver);
    world.publish(sender, "a", "lost", QoS::AtLeastOnce);
    world.pass(seconds(10));
    assert_eq!(world.stats().sessions, 1);
    assert_eq!(world.stats().dropped.session_ended, 1);
    let receiver = world.connect(lasting("r", 10));
    assert!(!world.connack(receiver).session_present);
    assert_eq!(world.stats().subscriptions, 0);
}

#[test]
fn a_session_of_mqtt_3_lives_as_long_as_the_broker_lets_it() {
    let mut world = World::with(|config| config.session_expiry = seconds(60));
    let connect = || clean_start(v311("r"), false);
    let receiver = world.connect(connect());
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.disconnect(receiver, &goodbye());
    world.pass(seconds(59));
    let receiver = world.connect(connect());
    assert!(world.connack(receiver).session_present);
    world.disconnect(receiver, &goodbye());
    world.pass(seconds(60));
    assert_eq!(world.stats().sessions, 0);
}

/// [MQTT-3.1.2-4] [MQTT-3.1.4-4]
#[test]
fn a_clean_start_forgets_the_session() {
    let mut world = World::new();
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    let receiver = world.connect(clean_start(lasting("r", 100), true));
    assert!(!world.connack(receiver).session_present);
    assert_eq!(world.stats().subscriptions, 0);
}

#[test]
fn a_clean_session_of_mqtt_3_ends_with_its_connection() {
    let mut world = World::new();
    let receiver = world.connect(v311("r"));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.cut(receiver);
    assert_eq!((world.stats().sessions, world.stats().subscriptions), (0, 0));
}

#[test]
fn the_broker_may_grant_less_and_says_so() {
    let mut world = World::with(|config| config.session_expiry = seconds(60));
    let modest = world.connect(lasting("modest", 60));
    assert_eq!(world.connack(modest).properties.session_expiry_interval(), None);
    let greedy = world.connect(lasting("greedy", u32::MAX));
    assert_eq!(world.connack(greedy).properties.session_expiry_interval(), Some(60));
}

#[test]
fn disconnect_can_change_the_expiry() {
    let mut world = World::new();
    let client = world.connect(lasting("c", 100));
    let properties = goodbye().properties.with_session_expiry_interval(5);
    world.disconnect(client, &Disconnect { properties, ..goodbye() });
    world.pass(seconds(5));
    assert_eq!(world.stats().sessions, 0);
}

#[test]
fn disconnect_cannot_give_life_to_a_session_that_had_none() {
    let mut world = World::new();
    let client = world.join("c");
    // Our own client refuses to ask for it.
    world.send_raw(client, &[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 5]);
    assert_eq!(world.stats().sessions, 0);
    assert!(matches!(world.cause(client), Some(Closed::Protocol(_))));
}

/// [MQTT-3.1.4-3]
#[test]
fn a_second_connection_takes_the_session_over() {
    let mut world = World::new();
    let sender = world.join("s");
    let first = world.connect(lasting("r", 100));
    world.subscribe(first, "a", QoS::AtLeastOnce);
    let second = world.connect(lasting("r", 100));
    let Some(Closed::Peer(disconnect)) = world.closed(first) else { panic!("{:?}", world.closed(first)) };
    assert_eq!(disconnect.reason, ReasonCode::SessionTakenOver);
    assert!(world.connack(second).session_present);
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    assert_eq!(world.texts(second), ["a=x"]);
    assert_eq!(world.stats().clients, 2);
}

#[test]
fn messages_in_flight_survive_a_takeover() {
    let mut world = World::new();
    let sender = world.join("s");
    let first = world.connect(lasting("r", 100));
    world.subscribe(first, "a", QoS::ExactlyOnce);
    world.mute(first);
    world.publish(sender, "a", "1", QoS::AtLeastOnce);
    world.publish(sender, "a", "2", QoS::ExactlyOnce);
    assert_eq!(world.texts(first), ["a=1", "a=2"]);
    let second = world.connect(lasting("r", 100));
    assert_eq!(world.texts(second), ["a=1", "a=2"]);
    assert_eq!(world.duplicates(second), 2);
}

#[test]
fn many_connections_with_one_name_take_turns_and_one_stays() {
    let mut world = World::new();
    // All at once: no one gets a turn before all have sent their CONNECT.
    let ids: Vec<Id> = (0..5)
        .map(|_| {
            let connect = lasting("r", 100);
            let client =
                ClientConnection::new(ClientConfig::default(), connect, Session::new(), world.now).unwrap();
            world.open(client)
        })
        .collect();
    world.run();
    let connected = ids.iter().filter(|&&id| world.is_connected(id)).count();
    assert_eq!((connected, world.stats().clients, world.stats().sessions), (1, 1, 1));
}

#[test]
fn qos_1_is_sent_again_and_qos_2_arrives_once_across_a_cut() {
    let mut world = World::new();
    let sender = world.join("s");
    let receiver = world.connect(lasting("r", 100));
    world.subscribe(receiver, "#", QoS::ExactlyOnce);
    world.mute(receiver);
    world.publish(sender, "one", "1", QoS::AtLeastOnce);
    world.publish(sender, "two", "2", QoS::ExactlyOnce);
    assert_eq!(world.messages(receiver).len(), 2);
    world.cut(receiver);
    world.publish(sender, "later", "3", QoS::AtLeastOnce);
    let session = world.take_session(receiver);
    let receiver = world.resume(lasting("r", 100), session);
    // The client has the QoS 2 message already and takes it for the same one.
    assert_eq!(world.texts(receiver), ["one=1", "later=3"]);
    assert_eq!(world.duplicates(receiver), 1);
}

#[test]
fn a_qos_2_message_of_a_client_is_published_once_across_a_cut() {
    let mut world = World::new();
    let receiver = world.join("r");
    world.subscribe(receiver, "a", QoS::ExactlyOnce);
    let sender = world.connect(lasting("s", 100));
    // The PUBLISH arrives, the PUBREC does not.
    world.stall(sender, true);
    world.publish(sender, "a", "x", QoS::ExactlyOnce);
    world.cut(sender);
    let session = world.take_session(sender);
    let sender = world.resume(lasting("s", 100), session);
    assert_eq!(world.texts(receiver), ["a=x"]);
    assert_eq!(world.acks(sender), [ReasonCode::Success]);
}

/// [MQTT-3.1.3-6] [MQTT-3.1.3-7]
#[test]
fn a_client_without_a_name_gets_one_of_its_own() {
    let mut world = World::new();
    let (first, second) = (world.connect(v5("")), world.connect(v5("")));
    let name = |id| world.connack(id).properties.assigned_client_identifier().expect("a name");
    assert_ne!(name(first), name(second));
    let old = world.connect(v311(""));
    assert!(world.is_connected(old));
    assert_eq!(world.stats().sessions, 3);
}

/// [MQTT-3.1.2-22]
#[test]
fn a_silent_client_is_dropped_after_one_and_a_half_times_its_keep_alive() {
    let mut world = World::new();
    let silent = world.connect(keep_alive(v5("silent"), 10));
    let alive = world.connect(keep_alive(v5("alive"), 10));
    world.stall(silent, true);
    world.pass(Duration::from_millis(14_999));
    assert_eq!(world.stats().clients, 2);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.stats().clients, 1);
    assert!(matches!(world.cause(silent), Some(Closed::Timeout(_))));
    world.pass(seconds(100));
    assert!(world.is_connected(alive), "pings keep it");
}

/// [MQTT-3.2.2-21]
#[test]
fn the_broker_can_ask_for_a_shorter_keep_alive() {
    let mut world = World::with(|config| config.max_keep_alive = 10.try_into().ok());
    let client = world.connect(keep_alive(v5("c"), 0));
    assert_eq!(world.connack(client).properties.server_keep_alive(), Some(10));
    world.stall(client, true);
    world.pass(seconds(15));
    assert!(matches!(world.cause(client), Some(Closed::Timeout(_))));
}

#[test]
fn a_connection_without_a_connect_is_closed() {
    let mut world = World::new();
    let client = ClientConnection::new(ClientConfig::default(), v5("c"), Session::new(), world.now).unwrap();
    let id = world.open(client);
    let out = world.lines[id.0].client.transmit();
    out.advance(out.remaining());
    world.pass(seconds(10));
    assert!(matches!(world.cause(id), Some(Closed::Timeout(_))));
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::with(|config| config.max_sessions = 1);
    let first = world.connect(lasting("first", 100));
    let second = world.connect(v5("second"));
    assert_eq!(world.connack(second).reason, ReasonCode::QuotaExceeded);
    world.cut(first);
    assert!({
        let again = world.connect(lasting("first", 100));
        world.is_connected(again)
    });
}

#[test]
fn subscriptions_are_bounded() {
    let mut world = World::with(|config| {
        config.max_subscriptions = 1;
        config.max_topic_levels = 3;
    });
    let client = world.join("c");
    assert_eq!(world.subscribe(client, "a/b/c/d", QoS::AtMostOnce), ReasonCode::TopicFilterInvalid);
    assert_eq!(world.subscribe(client, "a", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    assert_eq!(world.subscribe(client, "a", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    assert_eq!(world.subscribe(client, "b", QoS::AtMostOnce), ReasonCode::QuotaExceeded);
    world.publish(client, "a/b/c/d", "", QoS::AtLeastOnce);
    assert_eq!(world.acks(client), [ReasonCode::TopicNameInvalid]);
}

#[test]
fn a_client_can_be_kicked() {
    let mut world = World::new();
    let client = world.join("c");
    assert!(world.state.kick(&text("c"), ReasonCode::AdministrativeAction.into()));
    assert!(!world.state.kick(&text("nobody"), ReasonCode::AdministrativeAction.into()));
    world.ring();
    world.run();
    let Some(Closed::Peer(disconnect)) = world.closed(client) else { panic!() };
    assert_eq!(disconnect.reason, ReasonCode::AdministrativeAction);
    assert_eq!(world.stats().sessions, 0);
}

#[test]
fn nothing_is_left_when_everybody_is_gone() {
    let mut world = World::new();
    let ids: Vec<Id> = (0..10).map(|number| world.connect(lasting(&format!("c{number}"), 10))).collect();
    for &id in &ids {
        world.subscribe(id, "a/+", QoS::AtLeastOnce);
        world.subscribe(id, "$share/g/a/+", QoS::AtLeastOnce);
    }
    world.publish(ids[0], "a/b", "x", QoS::ExactlyOnce);
    for &id in &ids {
        world.cut(id);
    }
    world.pass(seconds(10));
    let stats = world.stats();
    assert_eq!((stats.sessions, stats.clients, stats.subscriptions), (0, 0, 0));
    assert_eq!(world.state.poll_timeout(), None);
    assert!(world.lines.iter().all(|line| line.notify.take(Waker::noop()) & LOOK == 0));
}

#[test]
fn reconnecting_in_a_loop_leaves_one_timer() {
    let mut world = World::new();
    for _ in 0..100 {
        let client = world.connect(lasting("c", 1000));
        world.cut(client);
    }
    world.pass(seconds(999));
    assert_eq!(world.stats().sessions, 1);
    world.pass(seconds(1));
    assert_eq!((world.stats().sessions, world.state.poll_timeout()), (0, None));
}
