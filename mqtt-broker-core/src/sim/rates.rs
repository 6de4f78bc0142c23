//! Clients that send faster than they may: held back, and disconnected when they do not learn.

use super::*;
use crate::policy::{Admission, BoxFuture, Identity, Limits, Refusal};
use crate::rate::Rate;

/// Sends so many messages at once. Returns how many of them have arrived at somebody who listens.
fn send(world: &mut World, sender: Id, listener: Id, count: usize) -> usize {
    for number in 0..count {
        let now = world.now;
        let message = message("a", &number.to_string());
        world.lines[sender.0].client.publish(now, message).unwrap();
    }
    world.run();
    world.messages(listener).len()
}

fn listener(world: &mut World) -> (Id, Id) {
    let (sender, listener) = (world.join("s"), world.join("l"));
    world.subscribe(listener, "a", QoS::AtMostOnce);
    (sender, listener)
}

#[test]
fn messages_beyond_the_rate_wait_and_none_is_lost() {
    let mut world = World::with(|config| config.message_rate = Some(Rate::per_second(10)));
    let (sender, listener) = listener(&mut world);
    assert_eq!(send(&mut world, sender, listener, 100), 10);
    for _ in 0..9 {
        world.pass(Duration::from_secs(1));
        assert_eq!(world.messages(listener).len(), 10);
    }
    world.pass(Duration::from_secs(100));
    assert!(world.is_connected(sender), "it has caught up");
    assert_eq!(send(&mut world, sender, listener, 10), 10);
}

#[test]
fn who_does_not_catch_up_is_disconnected() {
    let mut world = World::with(|config| {
        config.message_rate = Some(Rate::per_second(10));
        config.rate_patience = Duration::from_secs(5);
    });
    let (sender, listener) = listener(&mut world);
    assert_eq!(send(&mut world, sender, listener, 100), 10);
    world.pass(Duration::from_millis(4_900));
    assert!(world.is_connected(sender));
    world.pass(Duration::from_millis(200));
    assert_eq!(world.cause(sender), Some(&Closed::Local(ReasonCode::MessageRateTooHigh)));
    assert!(
        matches!(world.closed(sender), Some(Closed::Peer(bye)) if bye.reason == ReasonCode::MessageRateTooHigh)
    );
    assert!(world.is_connected(listener));
}

#[test]
fn who_catches_up_in_time_begins_anew() {
    let mut world = World::with(|config| {
        config.message_rate = Some(Rate::per_second(10));
        config.rate_patience = Duration::from_secs(5);
    });
    let (sender, listener) = listener(&mut world);
    for _ in 0..5 {
        send(&mut world, sender, listener, 40);
        world.pass(Duration::from_secs(4));
        assert!(world.is_connected(sender));
    }
}

#[test]
fn bytes_are_counted_and_silence_that_was_ours_is_forgiven() {
    let mut world = World::with(|config| {
        config.byte_rate = Some(Rate::per_second(100));
        config.rate_patience = Duration::from_secs(60);
    });
    let sender = world.connect(keep_alive(v5("s"), 2));
    // The sender reads nothing, so that it does not miss its pings.
    world.stall(sender, true);
    let now = world.now;
    for _ in 0..2 {
        world.lines[sender.0].client.publish(now, message("a", &"x".repeat(1_000))).unwrap();
    }
    world.run();
    assert_eq!(world.stats().messages_published, 1);
    world.pass(Duration::from_secs(8));
    assert_eq!((world.stats().messages_published, world.cause(sender)), (1, None));
    world.pass(Duration::from_secs(2));
    assert_eq!((world.stats().messages_published, world.cause(sender)), (2, None));
    world.pass(Duration::from_secs(20));
    assert_eq!(world.cause(sender), Some(&Closed::Timeout(mqttkit_codec::Timeout::KeepAlive)));
}

#[test]
fn too_many_bytes_for_too_long_are_beyond_the_quota() {
    let mut world = World::with(|config| {
        config.byte_rate = Some(Rate::per_second(100));
        config.rate_patience = Duration::from_secs(5);
    });
    let sender = world.join("s");
    world.publish(sender, "a", &"x".repeat(1_000), QoS::AtMostOnce);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.cause(sender), Some(&Closed::Local(ReasonCode::QuotaExceeded)));
}

/// Lets everybody send little.
struct Strict;

impl Policy for Strict {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let limits = Limits { message_rate: Some(Rate::per_second(5)), ..Limits::default() };
        let admission = Admission::new(Identity::anonymous()).with_limits(limits);
        Box::pin(std::future::ready(Ok(admission)))
    }
}

#[test]
fn a_policy_can_be_stricter_but_not_more_generous() {
    for (rate, expected) in [(None, 5), (Some(Rate::per_second(3)), 3), (Some(Rate::per_second(30)), 5)] {
        let mut world = World::with(|config| config.message_rate = rate);
        world.set_policy(Strict);
        let (sender, listener) = listener(&mut world);
        assert_eq!(send(&mut world, sender, listener, 100), expected);
    }
}
