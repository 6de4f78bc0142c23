//! The policy decides who is in and what they may do.

use super::*;
use crate::policy::{
    Action, Admission, AllowAll, BoxFuture, Chain, Client, Decision, Identity, Limits, Refusal,
};

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

/// [MQTT-3.3.5-2]
#[test]
fn a_message_of_mqtt_3_that_may_not_be_is_acknowledged_and_goes_nowhere() {
    let mut world = house();
    let listener = world.connect(guest(v5("listener")));
    world.subscribe(listener, "+/#", QoS::ExactlyOnce);
    let client = world.connect(guest(v311("c")));
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.publish(client, "private/x", "", qos);
    }
    assert_eq!(world.acks(client), [ReasonCode::Success; 2]);
    assert_eq!(world.texts(listener), [""; 0]);
    assert!(world.is_connected(client));
}

#[test]
fn a_will_that_may_not_be_published_keeps_its_owner_out() {
    let mut world = house();
    let client = world.connect(guest(with_will(v5("c"), "private/x", "", None)));
    assert_eq!(world.connack(client).reason, ReasonCode::NotAuthorized);
    let client = world.connect(guest(with_will(v5("c"), "public/x", "", None)));
    assert!(world.is_connected(client));
}

/// Puts every client below `t/<user>`, with little room.
struct Hotel;

impl Policy for Hotel {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = match request.connect.user_name.as_deref() {
            None => Ok(Admission::undecided()),
            Some("elsewhere") => Err(Refusal::redirect("other.example:1883", true)),
            Some("unknown") => Err(Refusal::unknown()),
            Some(name) => {
                let limits = Limits {
                    max_subscriptions: Some(2),
                    session_expiry: Some(Duration::from_secs(5)),
                    outbox_messages: Some(3),
                    valid_for: (name == "token").then(|| Duration::from_secs(60)),
                    ..Limits::default()
                };
                let room = TopicName::try_from(format!("t/{name}")).unwrap();
                Ok(Admission::new(Identity::named(name)).with_limits(limits).with_mount_point(&room))
            }
        };
        Box::pin(std::future::ready(verdict))
    }

    fn rewrite_topic(&self, _: &Client, topic: &TopicName) -> Option<TopicName> {
        let new = topic.as_str().strip_prefix("old/")?;
        TopicName::try_from(format!("new/{new}")).ok()
    }

    fn rewrite_filter(&self, _: &Client, filter: &TopicFilter) -> Option<TopicFilter> {
        let new = filter.pattern().strip_prefix("old/")?;
        TopicFilter::try_from(format!("new/{new}")).ok()
    }
}

fn user(mut connect: Connect, name: &str) -> Connect {
    connect.user_name = Some(text(name));
    connect
}

fn hotel() -> World {
    let mut world = World::new();
    world.set_policy(Hotel);
    world
}

#[test]
fn a_client_below_a_mount_point_knows_nothing_of_it() {
    let mut world = hotel();
    let seven = world.connect(user(with_will(v5("a"), "last", "words", None), "7"));
    let also = world.connect(user(v5("b"), "7"));
    let eight = world.connect(user(v5("c"), "8"));
    let host = world.connect(v5("host"));
    for client in [seven, also, eight] {
        assert_eq!(world.subscribe(client, "#", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    }
    world.subscribe(host, "t/+/last", QoS::AtMostOnce);
    world.publish(seven, "x", "1", QoS::AtMostOnce);
    world.publish(host, "t/8/y", "2", QoS::AtMostOnce);
    world.publish(host, "t/8", "not below it", QoS::AtMostOnce);
    world.cut(seven);
    assert_eq!(world.texts(also), ["x=1", "last=words"]);
    assert_eq!(world.texts(eight), ["y=2"]);
    assert_eq!(world.texts(host), ["t/7/last=words"]);
}

#[test]
fn a_session_does_not_move_to_another_mount_point() {
    let mut world = hotel();
    let first = world.connect(user(lasting("c", 60), "7"));
    world.subscribe(first, "x", QoS::AtLeastOnce);
    world.cut(first);
    let again = world.connect(user(lasting("c", 60), "7"));
    assert!(world.connack(again).session_present);
    world.cut(again);
    let other = world.connect(user(lasting("c", 60), "8"));
    assert!(!world.connack(other).session_present);
}

/// Every user has clients of its own, whatever they call themselves.
struct Tenants;

impl Policy for Tenants {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let tenant = request.connect.user_name.clone().unwrap_or_default();
        let own = Str::try_from(format!("{tenant}:{}", request.connect.client_id)).unwrap();
        let admission = Admission::new(Identity::named(&tenant))
            .with_mount_point(&TopicName::try_from(tenant).unwrap())
            .with_client_id(own);
        Box::pin(std::future::ready(Ok(admission)))
    }
}

#[test]
fn clients_of_two_tenants_may_have_the_same_identifier() {
    let mut world = World::new();
    world.set_policy(Tenants);
    let (one, two) = (world.connect(user(lasting("c", 60), "1")), world.connect(user(lasting("c", 60), "2")));
    assert!(world.is_connected(one) && world.is_connected(two));
    for client in [one, two] {
        world.subscribe(client, "x", QoS::AtLeastOnce);
    }
    world.cut(one);
    let sender = world.connect(user(v5(""), "1"));
    let assigned = world.connack(sender).properties.assigned_client_identifier().unwrap();
    assert!(assigned.starts_with("sim-"), "it is nobody's: {assigned}");
    world.publish(sender, "x", "waits", QoS::AtLeastOnce);
    let one = world.connect(user(lasting("c", 60), "1"));
    assert!(world.connack(one).session_present);
    assert!(world.connack(one).properties.assigned_client_identifier().is_none());
    assert_eq!(world.texts(one), ["x=waits"]);
    assert_eq!(world.texts(two), [""; 0]);
    assert!(world.is_connected(two), "nobody took its place");
    assert!(world.state.kick(&text("2:c"), ReasonCode::AdministrativeAction.into()));
    world.ring();
    world.run();
    assert!(!world.is_connected(two) && world.is_connected(one));
}

#[test]
fn the_limits_of_a_client_are_its_own() {
    let mut world = hotel();
    let client = world.connect(user(lasting("c", 60), "7"));
    assert_eq!(world.connack(client).properties.session_expiry_interval(), Some(5));
    world.subscribe(client, "a", QoS::AtMostOnce);
    assert_eq!(world.subscribe(client, "b", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    assert_eq!(world.subscribe(client, "c", QoS::AtMostOnce), ReasonCode::QuotaExceeded);
    let token = world.connect(user(v5("t"), "token"));
    world.pass(Duration::from_secs(59));
    assert!(world.is_connected(token));
    world.pass(Duration::from_secs(2));
    assert!(
        matches!(world.closed(token), Some(Closed::Peer(bye)) if bye.reason == ReasonCode::MaximumConnectTime)
    );
    assert!(world.is_connected(client));
}

#[test]
fn topics_and_filters_are_rewritten() {
    let mut world = hotel();
    let client = world.connect(user(v5("c"), "7"));
    world.subscribe(client, "old/#", QoS::AtMostOnce);
    world.publish(client, "old/x", "", QoS::AtMostOnce);
    assert_eq!(world.texts(client), ["new/x="]);
    assert_eq!(world.unsubscribe(client, "new/#"), ReasonCode::Success);
}

#[test]
fn a_client_is_told_where_to_go() {
    let mut world = hotel();
    let client = world.connect(user(v5("c"), "elsewhere"));
    let connack = world.connack(client);
    assert_eq!(connack.reason, ReasonCode::ServerMoved);
    assert_eq!(connack.properties.server_reference(), Some(text("other.example:1883")));
}

#[test]
fn the_first_policy_that_decides_has_decided() {
    let mut world = World::new();
    world.set_policy(Chain::new().then(Hotel).then(House));
    let (anonymous, unknown) = (world.connect(v5("a")), world.connect(user(v5("b"), "unknown")));
    for client in [anonymous, unknown] {
        assert_eq!(world.connack(client).reason, ReasonCode::BadUserNameOrPassword);
    }

    let mut world = World::new();
    world.set_policy(Chain::new().then(Hotel));
    let (anonymous, unknown) = (world.connect(v5("a")), world.connect(user(v5("b"), "unknown")));
    assert!(world.is_connected(anonymous));
    assert_eq!(world.connack(unknown).reason, ReasonCode::BadUserNameOrPassword);

    let mut world = World::new();
    world.set_policy(Chain::new().then(Hotel).then(AllowAll));
    let unknown = world.connect(user(v5("b"), "unknown"));
    assert!(world.is_connected(unknown));
}
