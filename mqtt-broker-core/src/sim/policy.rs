//! The policy decides who is in and what they may do.

use super::*;
use crate::policy::{Action, Admission, BoxFuture, Client, Decision, Identity, Refusal};

struct House;

impl Policy for House {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = match &request.connect.user_name {
            Some(name) if name == "guest" => Ok(Identity::named(name).into()),
            _ => Err(Refusal::new(ReasonCode::BadUserNameOrPassword).with_text("guests only")),
        };
        Box::pin(std::future::ready(verdict))
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        assert_eq!(client.identity().name(), Some("guest"));
        let allowed = match action {
            Action::Publish(message) => message.topic.as_str().starts_with("public/"),
            Action::Subscribe(subscription) => subscription.filter.pattern() != "#",
        };
        // Success is no refusal, and is not taken for one.
        if allowed { Decision::Allow } else { Decision::Deny(ReasonCode::Success) }
    }
}

fn guest(mut connect: Connect) -> Connect {
    connect.user_name = Some(text("guest"));
    connect
}

fn house() -> World {
    let mut world = World::new();
    world.set_policy(House);
    world
}

#[test]
fn strangers_are_told_why_they_stay_outside() {
    let mut world = house();
    let stranger = world.connect(v5("c"));
    assert_eq!(world.connack(stranger).reason, ReasonCode::BadUserNameOrPassword);
    assert_eq!(world.connack(stranger).properties.reason_string(), Some(text("guests only")));
    let old = world.connect(v311("c"));
    assert_eq!(world.connack(old).reason, ReasonCode::BadUserNameOrPassword);
    assert_eq!(world.stats().sessions, 0);
    let friend = world.connect(guest(v5("c")));
    assert!(world.is_connected(friend));
}

#[test]
fn messages_and_subscriptions_are_judged_one_by_one() {
    let mut world = house();
    let client = world.connect(guest(v5("c")));
    assert_eq!(world.subscribe(client, "#", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    assert_eq!(world.subscribe(client, "+/#", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    world.publish(client, "private/x", "", QoS::AtLeastOnce);
    world.publish(client, "private/x", "", QoS::AtMostOnce);
    world.publish(client, "public/x", "", QoS::AtLeastOnce);
    assert_eq!(world.acks(client), [ReasonCode::NotAuthorized, ReasonCode::Success]);
    assert_eq!(world.texts(client), ["public/x="]);
    let old = world.connect(guest(v311("old")));
    assert_eq!(world.subscribe(old, "#", QoS::AtMostOnce), ReasonCode::UnspecifiedError);
}

#[test]
fn a_will_that_may_not_be_published_keeps_its_owner_out() {
    let mut world = house();
    let client = world.connect(guest(with_will(v5("c"), "private/x", "", None)));
    assert_eq!(world.connack(client).reason, ReasonCode::NotAuthorized);
    let client = world.connect(guest(with_will(v5("c"), "public/x", "", None)));
    assert!(world.is_connected(client));
}
