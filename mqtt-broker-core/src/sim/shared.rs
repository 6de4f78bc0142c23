//! Shared subscriptions.

use super::*;

#[test]
fn a_group_shares_the_messages() {
    let mut world = World::new();
    let sender = world.join("s");
    let members: Vec<Id> = (0..3).map(|number| world.join(&format!("m{number}"))).collect();
    for &member in &members {
        assert_eq!(world.subscribe(member, "$share/g/jobs/#", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    }
    for number in 0..9 {
        world.publish(sender, "jobs/x", &number.to_string(), QoS::AtLeastOnce);
    }
    for &member in &members {
        assert_eq!(world.messages(member).len(), 3);
    }
    assert_eq!(world.unsubscribe(members[0], "$share/g/jobs/#"), ReasonCode::Success);
    world.publish(sender, "jobs/x", "", QoS::AtLeastOnce);
    assert_eq!(world.messages(members[0]).len(), 0);
}

#[test]
fn groups_and_plain_subscriptions_do_not_interfere() {
    let mut world = World::new();
    let sender = world.join("s");
    let (a, b) = (world.join("a"), world.join("b"));
    world.subscribe(a, "$share/g/t", QoS::AtMostOnce);
    world.subscribe(b, "$share/h/t", QoS::AtMostOnce);
    world.subscribe(b, "t", QoS::AtMostOnce);
    world.publish(sender, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.texts(a), ["t=x"]);
    assert_eq!(world.texts(b), ["t=x", "t=x"], "once for itself and once for its group");
}

#[test]
fn members_that_are_away_are_passed_over_while_others_are_there() {
    let mut world = World::new();
    let sender = world.join("s");
    let (away, here) = (world.connect(lasting("away", 100)), world.join("here"));
    for member in [away, here] {
        world.subscribe(member, "$share/g/t", QoS::AtLeastOnce);
    }
    world.cut(away);
    for _ in 0..4 {
        world.publish(sender, "t", "x", QoS::AtLeastOnce);
    }
    assert_eq!(world.messages(here).len(), 4);
    world.cut(here);
    world.publish(sender, "t", "kept", QoS::AtLeastOnce);
    let back = world.connect(lasting("away", 100));
    assert_eq!(world.texts(back), ["t=kept"]);
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let mut world = World::new();
    let (sender, member) = (world.join("s"), world.join("m"));
    world.send(sender, retained("t", "x"));
    world.subscribe(member, "$share/g/t", QoS::AtMostOnce);
    assert_eq!(world.texts(member), [""; 0]);
}
