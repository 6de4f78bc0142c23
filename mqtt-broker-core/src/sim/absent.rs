//! Clients that are away: what is kept for them, and for whom.

use super::*;

fn lasting_v311(client_id: &str) -> Connect {
    clean_start(v311(client_id), false)
}

fn lasting_v5(client_id: &str) -> Connect {
    lasting(client_id, 100)
}

/// [MQTT-3.1.2-5] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-4.1.0-1]
#[test]
fn subscriptions_and_messages_of_qos_1_and_2_are_kept() {
    for connect in [lasting_v311, lasting_v5] {
        let mut world = World::new();
        let (sender, receiver) = (world.join("s"), world.connect(connect("r")));
        assert!(!world.connack(receiver).session_present);
        world.subscribe(receiver, "a", QoS::ExactlyOnce);
        world.disconnect(receiver, &goodbye());
        for (payload, qos) in [
            ("0", QoS::AtMostOnce),
            ("1", QoS::AtLeastOnce),
            ("2", QoS::ExactlyOnce),
            ("3", QoS::AtLeastOnce),
        ] {
            world.publish(sender, "a", payload, qos);
        }
        world.pass(seconds(99));
        let receiver = world.connect(connect("r"));
        assert!(world.connack(receiver).session_present);
        let messages = world.messages(receiver);
        let got: Vec<_> = messages.iter().map(|message| (&*message.payload, message.qos)).collect();
        let kept =
            [(&b"1"[..], QoS::AtLeastOnce), (&b"2"[..], QoS::ExactlyOnce), (&b"3"[..], QoS::AtLeastOnce)];
        assert_eq!(got, kept);
        world.publish(sender, "a", "live", QoS::AtMostOnce);
        assert_eq!(world.texts(receiver), ["a=live"], "the subscription goes on");
    }
}

/// [MQTT-3.1.3-2]
#[test]
fn a_session_is_its_clients_and_nobody_elses() {
    for connect in [lasting_v311, lasting_v5] {
        let mut world = World::new();
        let sender = world.join("s");
        for name in ["r", "R", "r "] {
            let receiver = world.connect(connect(name));
            assert!(!world.connack(receiver).session_present, "{name:?}");
            world.subscribe(receiver, name, QoS::AtLeastOnce);
            world.cut(receiver);
        }
        for name in ["r", "R", "r "] {
            world.publish(sender, name, "x", QoS::AtLeastOnce);
        }
        for name in ["r ", "r", "R"] {
            let receiver = world.connect(connect(name));
            assert!(world.connack(receiver).session_present, "{name:?}");
            assert_eq!(world.texts(receiver), [format!("{name}=x")]);
        }
    }
}

/// [MQTT-3.1.4-2]
#[test]
fn a_second_connection_of_mqtt_3_puts_an_end_to_the_first() {
    let mut world = World::new();
    let sender = world.join("s");
    let first = world.connect(lasting_v311("r"));
    world.subscribe(first, "a", QoS::AtLeastOnce);
    let second = world.connect(lasting_v311("r"));
    assert_eq!(world.closed(first), Some(&Closed::Transport), "which cannot be told why");
    assert!(world.connack(second).session_present);
    world.publish(sender, "a", "x", QoS::AtLeastOnce);
    assert_eq!(world.texts(second), ["a=x"]);
    assert_eq!(world.texts(first), [""; 0]);
}

/// A session is of no version. [MQTT-3.1.2-5]
#[test]
fn a_session_can_be_taken_up_with_another_version() {
    let mut world = World::new();
    let sender = world.join("s");
    let receiver = world.connect(lasting_v5("r"));
    let subscription = Subscription::new("a".try_into().unwrap(), QoS::ExactlyOnce);
    world.subscribe_with(receiver, subscription, Some(7));
    world.mute(receiver);
    for payload in ["1", "2"] {
        world.send(sender, expiring("a", payload, 1_000).with_qos(QoS::AtLeastOnce));
    }
    assert_eq!(world.texts(receiver), ["a=1", "a=2"]);
    world.cut(receiver);
    world.send(sender, expiring("a", "3", 1_000).with_qos(QoS::ExactlyOnce));
    let receiver = world.connect(lasting_v311("r"));
    assert!(world.connack(receiver).session_present);
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.properties.is_empty()));
    world.cut(receiver);
    world.publish(sender, "a", "4", QoS::AtLeastOnce);
    let receiver = world.connect(lasting_v5("r"));
    let messages = world.messages(receiver);
    assert_eq!(messages.len(), 1);
    let ids: Vec<u32> =
        messages[0].properties.subscription_identifiers().map(std::num::NonZero::get).collect();
    assert_eq!(ids, [7], "the subscription is what it was");
}
