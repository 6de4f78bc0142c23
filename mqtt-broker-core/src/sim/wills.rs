//! Wills: published for every end but a goodbye, and when.

use super::*;

fn listener(world: &mut World) -> Id {
    let listener = world.join("listener");
    world.subscribe(listener, "will", QoS::ExactlyOnce);
    listener
}

/// [MQTT-3.1.2-8]
#[test]
fn a_cut_publishes_the_will() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let listener = listener(&mut world);
        let client = world.connect(with_will(connect("c"), "will", "gone", None));
        world.cut(client);
        assert_eq!(world.texts(listener), ["will=gone"]);
    }
}

/// [MQTT-3.1.2-10]
#[test]
fn a_goodbye_discards_the_will() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let listener = listener(&mut world);
        let client = world.connect(with_will(connect("c"), "will", "gone", None));
        world.disconnect(client, &goodbye());
        assert_eq!(world.texts(listener), [""; 0]);
    }
}

#[test]
fn a_goodbye_can_ask_for_the_will() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let client = world.connect(with_will(v5("c"), "will", "gone", None));
    world.disconnect(client, &Disconnect::new(ReasonCode::DisconnectWithWill));
    assert_eq!(world.texts(listener), ["will=gone"]);
}

#[test]
fn silence_and_violations_publish_the_will() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let silent = world.connect(with_will(keep_alive(v5("a"), 5), "will", "silent", None));
    world.stall(silent, true);
    world.pass(seconds(8));
    assert_eq!(world.texts(listener), ["will=silent"]);
    let rude = world.connect(with_will(v5("b"), "will", "rude", None));
    world.send_raw(rude, &[0xff, 0xff]);
    assert_eq!(world.texts(listener), ["will=rude"]);
    let kicked = world.connect(with_will(v5("c"), "will", "kicked", None));
    world.state.kick(&text("c"), ReasonCode::AdministrativeAction.into());
    world.ring();
    world.run();
    assert!(!world.is_connected(kicked));
    assert_eq!(world.texts(listener), ["will=kicked"]);
}

#[test]
fn a_will_has_qos_properties_and_can_be_retained() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let mut connect = with_will(v5("c"), "will", "gone", None);
    if let Some(will) = &mut connect.will {
        will.qos = QoS::ExactlyOnce;
        will.retain = true;
        will.properties = std::mem::take(&mut will.properties).with_content_type(&text("text/plain"));
    }
    let client = world.connect(connect);
    world.cut(client);
    let messages = world.messages(listener);
    assert_eq!(messages[0].qos, QoS::ExactlyOnce);
    assert_eq!(messages[0].properties.content_type(), Some(text("text/plain")));
    assert_eq!(world.stats().retained_messages, 1);
}

/// [MQTT-3.1.3-9]
#[test]
fn a_delayed_will_waits_and_a_client_that_is_back_in_time_stops_it() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let connect = || with_will(lasting("c", 100), "will", "gone", Some(10));
    let client = world.connect(connect());
    world.cut(client);
    world.pass(seconds(9));
    let client = world.connect(connect());
    world.pass(seconds(50));
    assert_eq!(world.texts(listener), [""; 0]);
    world.cut(client);
    world.pass(seconds(9));
    assert_eq!(world.texts(listener), [""; 0]);
    world.pass(seconds(1));
    assert_eq!(world.texts(listener), ["will=gone"]);
    world.pass(seconds(1000));
    assert_eq!(world.texts(listener), [""; 0], "once");
    assert_eq!(world.stats().sessions, 1);
}

#[test]
fn a_delayed_will_does_not_outlive_its_session() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let client = world.connect(with_will(lasting("c", 5), "will", "expired", Some(10)));
    world.cut(client);
    world.pass(seconds(4));
    assert_eq!(world.texts(listener), [""; 0]);
    world.pass(seconds(1));
    assert_eq!(world.texts(listener), ["will=expired"]);
    // A session that ends with the connection ends the delay too.
    let client = world.connect(with_will(v5("d"), "will", "at once", Some(10)));
    world.cut(client);
    assert_eq!(world.texts(listener), ["will=at once"]);
    // A clean start ends the session.
    let client = world.connect(with_will(lasting("e", 100), "will", "clean start", Some(10)));
    world.cut(client);
    world.connect(v5("e"));
    assert_eq!(world.texts(listener), ["will=clean start"]);
}

#[test]
fn a_takeover_publishes_the_will_unless_it_is_delayed_and_the_session_goes_on() {
    for (delay, clean_start, expected) in [(0, false, 1), (0, true, 1), (10, true, 1), (10, false, 0)] {
        let mut world = World::new();
        let listener = listener(&mut world);
        world.connect(with_will(lasting("c", 100), "will", "taken over", Some(delay)));
        world.connect(super::clean_start(lasting("c", 100), clean_start));
        world.pass(seconds(20));
        assert_eq!(world.messages(listener).len(), expected, "delay {delay}, clean start {clean_start}");
    }
}

#[test]
fn the_will_of_a_refused_connection_is_not_published() {
    let mut world = World::with(|config| config.max_sessions = 1);
    let listener = listener(&mut world);
    let client = world.connect(with_will(v5("c"), "will", "never in", None));
    assert!(!world.is_connected(client));
    assert_eq!(world.texts(listener), [""; 0]);
}

/// [MQTT-3.1.2-12]
#[test]
fn without_a_will_there_is_none() {
    for connect in [v5, v311] {
        let mut world = World::new();
        let listener = world.join("listener");
        world.subscribe(listener, "#", QoS::ExactlyOnce);
        // Nor is that of an earlier connection taken for one of this.
        let client = world.connect(with_will(clean_start(connect("c"), false), "will", "gone", None));
        world.cut(client);
        assert_eq!(world.texts(listener), ["will=gone"]);
        let client = world.connect(clean_start(connect("c"), false));
        world.cut(client);
        world.pass(seconds(10));
        assert_eq!(world.texts(listener), [""; 0]);
    }
}

/// [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.2-16] [MQTT-3.1.2-17]
#[test]
fn a_will_is_retained_if_it_says_so() {
    for connect in [v5, v311] {
        for retain in [false, true] {
            let mut world = World::new();
            let mut connect = with_will(connect("c"), "will", "gone", None);
            connect.will.as_mut().unwrap().retain = retain;
            let client = world.connect(connect);
            world.cut(client);
            assert_eq!(world.stats().retained_messages, usize::from(retain));
            let late = world.join("late");
            world.subscribe(late, "will", QoS::AtMostOnce);
            assert_eq!(world.texts(late).len(), usize::from(retain));
        }
    }
}

/// [MQTT-3.1.2-7] [MQTT-3.1.2-10]
#[test]
fn a_will_belongs_to_the_session_and_goes_with_its_publication() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let client = world.connect(with_will(lasting("c", 100), "will", "first", Some(5)));
    world.cut(client);
    assert_eq!(world.texts(listener), [""; 0], "the session has it");
    world.pass(seconds(5));
    assert_eq!(world.texts(listener), ["will=first"]);
    let client = world.connect(lasting("c", 100));
    assert!(world.connack(client).session_present);
    world.cut(client);
    world.pass(seconds(1_000));
    assert_eq!(world.texts(listener), [""; 0], "and has it no more");
}
