//! Enhanced authentication, re-authentication, and clients that are sent elsewhere.

use mqttkit_codec::AuthProperties;

use super::*;
use crate::policy::{Admission, BoxFuture, Identity, Limits, Refusal};

/// Asks twice: for `1`, then for `2`.
struct Quiz;

impl Policy for Quiz {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let Some(exchange) = request.exchange else {
                return Err(Refusal::new(ReasonCode::NotAuthorized));
            };
            if **exchange.method() != *"QUIZ" {
                return Err(Refusal::new(ReasonCode::BadAuthenticationMethod));
            }
            if request.current.is_some() && **exchange.data() == *b"quick" {
                return Ok(Identity::named("quick").into());
            }
            for wanted in ["1", "2"] {
                if exchange.challenge(format!("{wanted}?")).await != wanted {
                    return Err(Refusal::new(ReasonCode::NotAuthorized));
                }
            }
            let limits = Limits { valid_for: Some(seconds(30)), ..Limits::default() };
            Ok(Admission::new(Identity::named("clever"))
                .with_limits(limits)
                .with_authentication_data("well done"))
        })
    }
}

fn with_method(mut connect: Connect, method: &str) -> Connect {
    connect.properties = connect.properties.with_authentication_method(&text(method));
    keep_alive(connect, 0)
}

fn quiz() -> World {
    let mut world = World::new();
    world.set_policy(Quiz);
    world
}

impl World {
    fn auth(&mut self, id: Id, reason: ReasonCode, data: &'static str) {
        let properties = AuthProperties::new()
            .with_authentication_method(&text("QUIZ"))
            .with_authentication_data(&data.try_into().unwrap());
        self.lines[id.0].client.auth(self.now, &Auth { reason, properties }).unwrap();
        self.run();
    }

    /// The last step of the broker: its reason and data.
    fn asked(&mut self, id: Id) -> Option<(ReasonCode, String)> {
        let auth = self.lines[id.0].seen.auths.pop()?;
        let data = auth.properties.authentication_data().unwrap_or_default();
        Some((auth.reason, String::from_utf8(data.to_vec()).unwrap()))
    }
}

const CONTINUE: ReasonCode = ReasonCode::ContinueAuthentication;

fn clever(world: &mut World) -> Id {
    let client = world.connect(with_method(v5("c"), "QUIZ"));
    assert_eq!(world.asked(client), Some((CONTINUE, "1?".into())));
    world.auth(client, CONTINUE, "1");
    assert_eq!(world.asked(client), Some((CONTINUE, "2?".into())));
    assert!(!world.is_connected(client));
    world.auth(client, CONTINUE, "2");
    assert!(world.is_connected(client));
    client
}

fn goodbye_of(world: &World, id: Id) -> Option<ReasonCode> {
    match world.closed(id) {
        Some(Closed::Peer(disconnect)) => Some(disconnect.reason),
        _ => None,
    }
}

/// [MQTT-4.12.0-2] to [MQTT-4.12.0-5]
#[test]
fn a_client_is_asked_in_rounds() {
    let mut world = quiz();
    let client = clever(&mut world);
    let properties = world.connack(client).properties.clone();
    assert_eq!(properties.authentication_method(), Some(text("QUIZ")));
    assert_eq!(properties.authentication_data().as_deref(), Some(&b"well done"[..]));
}

#[test]
fn a_wrong_answer_keeps_it_out() {
    let mut world = quiz();
    let client = world.connect(with_method(v5("c"), "QUIZ"));
    world.auth(client, CONTINUE, "2");
    assert_eq!(world.connack(client).reason, ReasonCode::NotAuthorized);
    let other = world.connect(with_method(v5("c"), "OTHER"));
    assert_eq!(world.connack(other).reason, ReasonCode::BadAuthenticationMethod);
    assert_eq!(world.stats().sessions, 0);
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let mut world = quiz();
    let client = world.connect(with_method(v5("c"), "QUIZ"));
    world.stall(client, true);
    world.pass(seconds(11));
    assert!(world.cause(client).is_some());
}

/// [MQTT-4.12.0-1]
#[test]
fn a_method_that_the_policy_does_not_look_at_is_not_supported() {
    let mut world = World::new();
    world.set_policy(crate::policy::AllowAll);
    let client = world.connect(with_method(v5("c"), "QUIZ"));
    assert_eq!(world.connack(client).reason, ReasonCode::BadAuthenticationMethod);
    assert!(world.join("other").0 > 0);
}

/// Looks at the method and leaves the decision to others.
struct Curious;

impl Policy for Curious {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let _ = request.exchange.map(|exchange| exchange.method().clone());
        Box::pin(std::future::ready(Ok(Admission::undecided())))
    }
}

/// Lets everybody in and has never heard of methods.
struct Careless;

impl Policy for Careless {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(std::future::ready(Ok(Identity::anonymous().into())))
    }
}

/// [MQTT-4.12.0-1]
#[test]
fn nobody_is_in_by_a_method_on_which_nobody_decided() {
    use crate::policy::Chain;
    let deaf = || Chain::new().then(Curious).then(Careless);
    let mut world = World::new();
    for policy in [Chain::new().then(Curious), deaf(), Chain::new().then(deaf())] {
        world.set_policy(policy);
        let client = world.connect(with_method(v5("c"), "QUIZ"));
        assert_eq!(world.connack(client).reason, ReasonCode::BadAuthenticationMethod);
        assert_eq!(world.stats().sessions, 0);
    }
    world.set_policy(Curious);
    let client = world.connect(with_method(v5("c"), "QUIZ"));
    assert_eq!(world.connack(client).reason, ReasonCode::BadAuthenticationMethod);
    world.set_policy(Chain::new().then(Curious).then(Quiz).then(Careless));
    clever(&mut world);
}

#[test]
fn a_client_authenticates_again_and_stays_longer() {
    let mut world = quiz();
    let client = clever(&mut world);
    world.pass(seconds(20));
    world.auth(client, ReasonCode::ReAuthenticate, "");
    assert_eq!(world.asked(client), Some((CONTINUE, "1?".into())));
    // Life goes on meanwhile.
    world.subscribe(client, "t", QoS::AtMostOnce);
    world.publish(client, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.texts(client), ["t=x"]);
    world.auth(client, CONTINUE, "1");
    world.auth(client, CONTINUE, "2");
    assert_eq!(world.asked(client), Some((ReasonCode::Success, "well done".into())));
    world.pass(seconds(20));
    assert!(world.is_connected(client), "30 s from the second time on");
    world.pass(seconds(11));
    assert_eq!(goodbye_of(&world, client), Some(ReasonCode::MaximumConnectTime));
}

#[test]
fn a_client_that_fails_to_authenticate_again_is_sent_away() {
    let mut world = quiz();
    let client = clever(&mut world);
    world.auth(client, ReasonCode::ReAuthenticate, "");
    world.auth(client, CONTINUE, "wrong");
    assert_eq!(goodbye_of(&world, client), Some(ReasonCode::NotAuthorized));
}

#[test]
fn again_can_be_without_a_round() {
    let mut world = quiz();
    let client = clever(&mut world);
    world.auth(client, ReasonCode::ReAuthenticate, "quick");
    assert_eq!(world.asked(client), Some((ReasonCode::Success, String::new())));
    world.pass(seconds(60));
    assert!(world.is_connected(client), "this time without a limit");
}

#[test]
fn an_answer_that_nobody_asked_for_is_a_violation() {
    let mut world = quiz();
    let client = clever(&mut world);
    // AUTH 0x18, method QUIZ
    world.send_raw(client, &[0xf0, 9, 0x18, 7, 0x15, 0, 4, b'Q', b'U', b'I', b'Z']);
    assert_eq!(goodbye_of(&world, client), Some(ReasonCode::ProtocolError));
}

#[test]
fn a_connected_client_is_sent_to_another_server() {
    let mut world = World::new();
    let client = world.join("c");
    let refusal = Refusal::redirect("other.example:1883", false).with_text("maintenance");
    assert!(world.state.kick(&text("c"), refusal));
    world.ring();
    world.run();
    let Some(Closed::Peer(disconnect)) = world.closed(client) else { panic!("no goodbye") };
    assert_eq!(disconnect.reason, ReasonCode::UseAnotherServer);
    assert_eq!(disconnect.properties.server_reference(), Some(text("other.example:1883")));
    assert_eq!(disconnect.properties.reason_string(), Some(text("maintenance")));
}
