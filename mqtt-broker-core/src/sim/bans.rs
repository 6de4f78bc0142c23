//! Who is banned is refused, whether the host wanted it or its own conduct.

use super::*;
use crate::doorman::{BanCause, Banned, Tolerance};
use crate::events::Event;
use crate::policy::{Admission, BoxFuture, Refusal};

const TOLERANCE: Tolerance =
    Tolerance { times: 3, within: Duration::from_secs(60), ban: Duration::from_secs(300) };

#[test]
fn the_banned_are_refused_in_every_version() {
    let mut world = World::new();
    world.address = Some("10.0.0.1".parse().unwrap());
    let mut named = v5("other");
    named.user_name = Some(text("u"));
    for (subject, connect) in [
        (Banned::ClientId(text("c")), v5("c")),
        (Banned::UserName(text("u")), named),
        (Banned::Address("10.0.0.1".parse().unwrap()), v5("anybody")),
    ] {
        let now = world.now;
        world.rules.doorman.ban(now, subject.clone(), Some(Duration::from_secs(10))).unwrap();
        let banned = world.connect(connect.clone());
        assert_eq!(world.connack(banned).reason, ReasonCode::Banned);
        let mut old = connect.clone();
        old.version = Version::V311;
        let banned = world.connect(old);
        assert_eq!(world.connack(banned).reason, ReasonCode::NotAuthorized);
        let friend = world.connect(v5("friend"));
        assert_eq!(world.is_connected(friend), !matches!(subject, Banned::Address(_)));
        world.pass(Duration::from_secs(10));
        let free = world.connect(connect);
        assert!(world.is_connected(free));
    }
}

#[test]
fn a_ban_ends_the_connections_that_it_concerns() {
    let mut world = World::new();
    let mut named = v5("named");
    named.user_name = Some(text("u"));
    let named = world.connect(named);
    world.address = Some("2001:db8::1".parse().unwrap());
    let far = world.connect(v5("far"));
    world.address = Some("2001:db8:0:1::1".parse().unwrap());
    let farther = world.connect(v5("farther"));
    for subject in [Banned::UserName(text("u")), Banned::Address("2001:db8::2".parse().unwrap())] {
        assert_eq!(world.state.kick_banned(&subject, 0, 1_000), None);
    }
    world.ring();
    world.run();
    let kicked = Closed::Local(ReasonCode::AdministrativeAction);
    assert_eq!((world.cause(named), world.cause(far)), (Some(&kicked), Some(&kicked)));
    assert!(world.is_connected(farther));
}

#[test]
fn a_client_that_comes_and_goes_is_banned_for_a_while() {
    let mut world = World::with(|config| config.flapping = Some(TOLERANCE));
    let mut events = world.state.observe(100, false);
    for _ in 0..3 {
        let client = world.join("c");
        world.cut(client);
    }
    let client = world.connect(v5("c"));
    assert_eq!(world.connack(client).reason, ReasonCode::Banned);
    world.join("other");
    let mut told = false;
    let mut cx = std::task::Context::from_waker(Waker::noop());
    while let std::task::Poll::Ready(Some(event)) = events.poll_recv(&mut cx) {
        told |= matches!(event, Event::Banned { subject: Banned::ClientId(id), cause: BanCause::Flapping } if id == "c");
    }
    assert!(told);
    world.pass(Duration::from_secs(299));
    let client = world.connect(v5("c"));
    assert!(!world.is_connected(client));
    world.pass(Duration::from_secs(1));
    world.join("c");
}

/// Knows one password.
struct Lock;

impl Policy for Lock {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = match request.connect.password.as_deref() {
            Some(b"right") => Ok(Admission::default()),
            _ => Err(Refusal::new(ReasonCode::BadUserNameOrPassword)),
        };
        Box::pin(std::future::ready(verdict))
    }
}

#[test]
fn an_address_that_guesses_passwords_is_banned_and_nobody_else() {
    let mut world = World::with(|config| {
        config.authentication_failures = Some(TOLERANCE);
        config.flapping = Some(TOLERANCE);
    });
    world.set_policy(Lock);
    let with = |password: &'static str| {
        let mut connect = v5("c");
        connect.user_name = Some(text("u"));
        connect.password = Some(bytes::Bytes::from(password).try_into().unwrap());
        connect
    };
    world.address = Some("10.0.0.1".parse().unwrap());
    for _ in 0..4 {
        let client = world.connect(with("guess"));
        assert_eq!(world.connack(client).reason, ReasonCode::BadUserNameOrPassword);
    }
    let client = world.connect(with("right"));
    assert_eq!(world.connack(client).reason, ReasonCode::Banned);
    world.address = Some("10.0.0.2".parse().unwrap());
    let client = world.connect(with("right"));
    assert!(world.is_connected(client), "strangers cannot get an identifier banned");
}
