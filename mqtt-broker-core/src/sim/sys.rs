//! `$SYS` topics.

use super::*;

fn talking() -> World {
    let mut world = World::with(|config| config.sys_interval = Some(seconds(10)));
    world.pass(seconds(1));
    world
}

#[test]
fn who_subscribes_gets_the_figures_at_once_and_then_what_has_changed() {
    let mut world = talking();
    let client = world.join("c");
    world.subscribe(client, "$SYS/#", QoS::AtMostOnce);
    let texts = world.texts(client);
    assert!(texts.contains(&"$SYS/broker/clients/connected=0".into()), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("$SYS/broker/version=mqttkit ")), "{texts:?}");
    world.pass(seconds(10));
    let texts = world.texts(client);
    for wanted in ["clients/connected=1", "subscriptions/count=1", "uptime=10 seconds"] {
        assert!(texts.contains(&format!("$SYS/broker/{wanted}")), "{wanted}: {texts:?}");
    }
    world.pass(seconds(10));
    let texts = world.texts(client);
    assert!(!texts.iter().any(|text| text.contains("clients")), "nothing new: {texts:?}");
    assert!(!texts.iter().any(|text| text.contains("received")), "it does not count itself: {texts:?}");
}

/// [MQTT-4.7.2-1]
#[test]
fn wildcards_at_the_front_do_not_match_them() {
    let mut world = talking();
    let client = world.join("c");
    world.subscribe(client, "#", QoS::AtMostOnce);
    world.subscribe(client, "+/broker/#", QoS::AtMostOnce);
    world.pass(seconds(30));
    assert_eq!(world.texts(client), [""; 0]);
}

#[test]
fn a_broker_that_is_not_asked_to_says_nothing() {
    let mut world = World::new();
    let client = world.join("c");
    world.subscribe(client, "$SYS/#", QoS::AtMostOnce);
    world.pass(seconds(1000));
    assert_eq!(world.texts(client), [""; 0]);
    assert_eq!(world.state.poll_timeout(), None);
}
