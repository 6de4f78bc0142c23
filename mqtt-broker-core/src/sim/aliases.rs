//! Topic aliases that the broker sets for its clients.

use super::*;

const NAME: &str = "a/rather/long/name/of/a/topic";

fn taker(world: &mut World, client_id: &str, maximum: u16) -> Id {
    let mut config = ClientConfig::default();
    config.topic_alias_maximum = maximum;
    let id = world.connect_with(config, lasting(client_id, 100));
    assert!(world.is_connected(id));
    world.subscribe(id, "#", QoS::ExactlyOnce);
    world.bytes(id);
    id
}

/// How many bytes each of these messages took.
fn sizes(world: &mut World, sender: Id, to: Id, topics: &[&str], qos: QoS) -> Vec<usize> {
    let size = |topic: &&str| {
        world.publish(sender, topic, "x", qos);
        assert_eq!(world.texts(to), [format!("{topic}=x")], "the receiver knows the name");
        world.bytes(to)
    };
    topics.iter().map(size).collect()
}

#[test]
fn the_second_message_to_a_topic_goes_without_its_name() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let sender = world.join("s");
        let taker = taker(&mut world, "c", 10);
        let sizes = sizes(&mut world, sender, taker, &[NAME; 3], qos);
        assert_eq!(sizes[1], sizes[0] - NAME.len(), "{qos:?}");
        assert_eq!(sizes[2], sizes[1]);
    }
}

/// [MQTT-3.1.2-26], [MQTT-3.1.2-27]
#[test]
fn a_client_gets_no_more_aliases_than_it_allows() {
    let mut world = World::new();
    let sender = world.join("s");
    let (none, two) = (taker(&mut world, "none", 0), taker(&mut world, "two", 2));
    let topics = ["name/1", "name/2", "name/1", "name/3", "name/1", "name/2"];
    let sizes: Vec<usize> = topics
        .iter()
        .map(|topic| {
            world.publish(sender, topic, "x", QoS::AtMostOnce);
            assert_eq!(world.texts(none), world.texts(two));
            assert_eq!(world.bytes(none), 12, "no alias, ever");
            world.bytes(two)
        })
        .collect();
    // 1 and 2 are new; 3 takes the place of 2, which was used least recently, and so 2 is new once more.
    assert_eq!(sizes, [15, 15, 9, 15, 9, 15]);
    assert!(world.is_connected(two));
}

#[test]
fn the_configuration_bounds_them_too() {
    let mut world = World::with(|config| config.outgoing_topic_aliases = 0);
    let sender = world.join("s");
    let taker = taker(&mut world, "c", 10);
    let sizes = sizes(&mut world, sender, taker, &[NAME; 2], QoS::AtMostOnce);
    assert_eq!(sizes[0], sizes[1]);
}

/// [MQTT-3.3.2-7]: an alias means nothing on the next connection.
#[test]
fn what_is_sent_again_has_its_name() {
    let mut world = World::new();
    let sender = world.join("s");
    let id = taker(&mut world, "c", 10);
    world.publish(sender, NAME, "0", QoS::AtLeastOnce);
    world.mute(id);
    world.publish(sender, NAME, "1", QoS::AtLeastOnce);
    world.cut(id);
    world.messages(id);
    let session = world.take_session(id);
    let back = world.resume(lasting("c", 100), session);
    assert_eq!(world.texts(back), [format!("{NAME}=1")]);
    assert_eq!(world.duplicates(back), 1);
}
