//! Whoever watches is told everything that is counted: each cause of a loss, and each connection that came to nothing.

use std::collections::HashMap;
use std::task::{Context, Poll};

use super::*;
use crate::events::{DropCause, Event, Events, NotConnected};
use crate::policy::{Admission, BoxFuture, Refusal};

fn all(events: &mut Events) -> Vec<Event> {
    let mut list = Vec::new();
    while let Poll::Ready(Some(event)) = events.poll_recv(&mut Context::from_waker(Waker::noop())) {
        list.push(event);
    }
    list
}

fn small_packets(mut connect: Connect) -> Connect {
    connect.properties = connect.properties.with_maximum_packet_size(50.try_into().unwrap());
    connect
}

#[test]
fn every_cause_of_a_loss_is_told_as_often_as_it_is_counted() {
    let mut world = World::with(|config| {
        config.outbox_messages = 5;
        config.offline_messages = 5;
        config.max_memory = 4 << 20;
        config.transmit_watermark = 1;
    });
    let mut events = world.state.observe(10_000, false);
    let sender = world.join("s");
    let receiver = world.connect(small_packets(lasting("r", 100)));
    world.subscribe(receiver, "a", QoS::AtLeastOnce);
    world.publish(sender, "a", &"x".repeat(100), QoS::AtLeastOnce);
    world.stall(receiver, true);
    for _ in 0..200 {
        world.publish(sender, "a", "what fills the line", QoS::AtLeastOnce);
        world.publish(sender, "a", "what fills the line", QoS::AtMostOnce);
    }
    world.cut(receiver);
    let absent = world.connect(lasting("absent", 100));
    world.subscribe(absent, "b", QoS::AtLeastOnce);
    world.cut(absent);
    for _ in 0..9 {
        world.send(sender, expiring("b", "short", 5).with_qos(QoS::AtLeastOnce));
    }
    world.pass(seconds(20));
    let absent = world.connect(lasting("absent", 100));
    world.cut(absent);
    world.publish(sender, "b", "waits in vain", QoS::AtLeastOnce);
    world.publish(sender, "b", &"x".repeat(300_000), QoS::AtLeastOnce);
    world.pass(seconds(200));

    let mut told: HashMap<DropCause, u64> = HashMap::new();
    for event in all(&mut events) {
        if let Event::Dropped { client_id, cause, count } = event {
            assert!(["r", "absent"].contains(&client_id.as_str()), "{client_id}");
            *told.entry(cause).or_default() += count;
        }
    }
    let dropped = world.stats().dropped;
    for cause in DropCause::ALL {
        assert!(dropped.of(*cause) > 0, "nothing was lost by {cause:?}: {dropped:?}");
        assert_eq!(told.get(cause).copied(), Some(dropped.of(*cause)), "{cause:?}");
    }
    assert_eq!(told.values().sum::<u64>(), dropped.total());
}

/// Knows nobody.
struct Nobody;

impl Policy for Nobody {
    fn authenticate<'a>(&'a self, _: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(std::future::ready(Err(Refusal::new(ReasonCode::Banned))))
    }
}

#[test]
fn a_connection_that_comes_to_nothing_is_told_with_its_cause() {
    let mut world = World::new();
    world.set_policy(Nobody);
    let mut events = world.state.observe(100, false);
    world.connect(v5("stranger"));
    let raw = ClientConnection::new(ClientConfig::default(), v5("raw"), Session::new(), world.now).unwrap();
    let raw = world.open(raw);
    let connect = world.lines[raw.0].client.transmit();
    connect.advance(connect.remaining());
    world.send_raw(raw, b"GET / HTTP/1.1\r\n\r\n");
    let told: Vec<_> = all(&mut events)
        .into_iter()
        .map(|event| match event {
            Event::Refused { client_id, cause: NotConnected::Closed(closed), .. } => (client_id, closed),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told[0], (Some(text("stranger")), Closed::Local(ReasonCode::Banned)));
    assert!(matches!(&told[1], (None, Closed::Protocol(_))), "{told:?}");
    assert_eq!(told.len(), 2, "each is told once");
}
