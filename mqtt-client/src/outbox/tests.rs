//! The queue alone: lines, bounds, classes, and what is dropped.

use super::*;
use crate::delivery::{Delivery, Priority, WhenFull};
use crate::shared::Shared;
use crate::ticket::Ticket;
use futures_util::FutureExt;
use mqttkit_codec::{Message, QoS, TopicName};
use std::sync::Arc;
use std::time::Duration;

fn command(payload: &'static str, qos: QoS, delivery: Delivery) -> (Command, Ticket) {
    let message = Message::new(TopicName::try_from("t").unwrap(), payload).with_qos(qos);
    let load = Load::of(&message);
    let (ticket, waiting) = Ticket::new(Arc::new(Shared::for_tests()));
    let expires = delivery.time_to_live.map(Instant::new);
    (Command::Publish(Outgoing { message, ticket, load, delivery, expires }), waiting)
}

fn message(payload: &'static str) -> Command {
    command(payload, QoS::AtMostOnce, Delivery::new()).0
}

const ALL: Budget = Budget { bytes: usize::MAX, window: usize::MAX, identifiers: usize::MAX };

fn outbox(entries: usize, bytes: usize) -> Outbox {
    Outbox::new(Load { entries, bytes }, None)
}

fn take(outbox: &Outbox) -> Vec<String> {
    take_at(outbox, Instant::ZERO, ALL)
}

fn take_at(outbox: &Outbox, now: Instant, budget: Budget) -> Vec<String> {
    let mut commands = VecDeque::new();
    outbox.take(&Context::from_waker(Waker::noop()), now, budget, &mut commands);
    let payload = |command| match command {
        Command::Publish(outgoing) => String::from_utf8(outgoing.message.payload.to_vec()).unwrap(),
        Command::Request(_) => unreachable!("not pushed here"),
    };
    commands.into_iter().map(payload).collect()
}

#[test]
fn whoever_waits_longest_comes_first() {
    let outbox = outbox(1, 1 << 20);
    let one = message("").load();
    assert!(matches!(outbox.push(message("a")).now_or_never(), Some(Ok(_))));
    let (mut b, mut c) = (outbox.push(message("b")), outbox.push(message("c")));
    assert!((&mut b).now_or_never().is_none());
    assert!((&mut c).now_or_never().is_none());
    assert_eq!(take(&outbox), ["a"]);
    assert!((&mut c).now_or_never().is_none(), "the place is not free yet: a is not complete");
    outbox.release(one);
    assert!((&mut c).now_or_never().is_none(), "b is first");
    assert_eq!(refusal(&outbox, message("d")), Some(Refusal::Full), "and nobody jumps the line");
    assert!(matches!((&mut b).now_or_never(), Some(Ok(_))));
    outbox.release(one);
    assert!(matches!((&mut c).now_or_never(), Some(Ok(_))));
    assert_eq!(take(&outbox), ["b", "c"]);
}

#[test]
fn one_who_gives_up_passes_the_turn_on() {
    let outbox = outbox(1, 1 << 20);
    outbox.try_push(message("a")).unwrap();
    let mut b = outbox.push(message("b"));
    let mut c = outbox.push(message("c"));
    assert!((&mut b).now_or_never().is_none());
    assert!((&mut c).now_or_never().is_none());
    outbox.release(message("").load());
    drop(b);
    assert!(matches!((&mut c).now_or_never(), Some(Ok(_))));
    assert_eq!(take(&outbox), ["a", "c"]);
}

#[test]
fn bytes_are_bounded_too_but_a_large_message_passes_alone() {
    let outbox = outbox(10, 10);
    outbox.try_push(message("larger than ten bytes")).unwrap();
    assert_eq!(refusal(&outbox, message("")), Some(Refusal::Full));
}

#[test]
fn a_closed_queue_refuses_those_who_wait() {
    let outbox = outbox(1, 1 << 20);
    outbox.try_push(message("a")).unwrap();
    let mut b = outbox.push(message("b"));
    assert!((&mut b).now_or_never().is_none());
    outbox.close();
    assert!(matches!((&mut b).now_or_never(), Some(Err(_))));
    assert_eq!(refusal(&outbox, message("c")), Some(Refusal::Closed));
}

fn refusal(outbox: &Outbox, command: Command) -> Option<Refusal> {
    outbox.try_push(command).err().map(|(_, refusal)| refusal)
}

#[test]
fn the_higher_class_goes_first_and_each_keeps_its_order() {
    let outbox = outbox(10, 1 << 20);
    for (payload, priority) in [
        ("l1", Priority::Low),
        ("n1", Priority::Normal),
        ("h1", Priority::High),
        ("l2", Priority::Low),
        ("h2", Priority::High),
        ("n2", Priority::Normal),
    ] {
        let (command, _) = command(payload, QoS::AtMostOnce, Delivery::new().priority(priority));
        outbox.try_push(command).unwrap();
    }
    assert_eq!(take(&outbox), ["h1", "h2", "n1", "n2", "l1", "l2"]);
}

#[test]
fn a_connection_gets_what_fits_and_no_class_holds_another_up() {
    let outbox = outbox(10, 1 << 20);
    for (payload, qos, priority) in [
        ("q1", QoS::AtLeastOnce, Priority::High),
        ("q2", QoS::ExactlyOnce, Priority::High),
        ("h", QoS::AtMostOnce, Priority::High),
        ("n", QoS::AtMostOnce, Priority::Normal),
    ] {
        outbox.try_push(command(payload, qos, Delivery::new().priority(priority)).0).unwrap();
    }
    assert_eq!(take_at(&outbox, Instant::ZERO, Budget { window: 1, ..ALL }), ["q1", "n"]);
    assert!(take_at(&outbox, Instant::ZERO, Budget { identifiers: 0, ..ALL }).is_empty());
    assert!(take_at(&outbox, Instant::ZERO, Budget::default()).is_empty());
    assert_eq!(take_at(&outbox, Instant::ZERO, Budget { bytes: 1, ..ALL }), ["q2"], "one passes");
    assert_eq!(take(&outbox), ["h"]);
}

#[test]
fn what_makes_room_is_of_no_higher_class_and_the_oldest() {
    let fill = || {
        let outbox = outbox(4, 1 << 20);
        for (payload, priority) in
            [("h", Priority::High), ("n1", Priority::Normal), ("n2", Priority::Normal), ("l", Priority::Low)]
        {
            outbox.try_push(command(payload, QoS::AtMostOnce, Delivery::new().priority(priority)).0).unwrap();
        }
        outbox
    };
    let push = |outbox: &Outbox, priority, when_full| {
        let delivery = Delivery::new().priority(priority).when_full(when_full);
        let (command, _ticket) = command("new", QoS::AtMostOnce, delivery);
        outbox.try_push(command).map(|dropped| dropped.len()).map_err(|(_, refusal)| refusal)
    };
    use Priority::{High, Low, Normal};
    use WhenFull::{DropLower, DropNewest, DropOldest};
    for (priority, when_full, accepted, left) in [
        (High, DropNewest, false, &["h", "n1", "n2", "l"][..]),
        (Low, DropOldest, true, &["h", "n1", "n2", "new"]),
        (Low, DropLower, false, &["h", "n1", "n2", "l"]),
        (Normal, DropLower, true, &["h", "n1", "n2", "new"]),
        (High, DropOldest, true, &["h", "new", "n1", "n2"]),
    ] {
        let outbox = fill();
        let expected = if accepted { Ok(1) } else { Err(Refusal::Full) };
        assert_eq!(push(&outbox, priority, when_full), expected, "{priority:?} {when_full:?}");
        assert_eq!(take(&outbox), left, "{priority:?} {when_full:?}");
    }
    // Within a class it is the oldest; and what is in flight cannot make room.
    let outbox = fill();
    for _ in 0..2 {
        assert_eq!(push(&outbox, Normal, DropOldest), Ok(1));
    }
    assert_eq!(take(&outbox), ["h", "n2", "new", "new"]);
    assert_eq!(push(&outbox, High, DropOldest), Err(Refusal::Full));
}

#[test]
fn a_message_too_large_for_all_that_can_be_dropped_drops_nothing() {
    let outbox = outbox(4, 400);
    outbox.try_push(command("h", QoS::AtMostOnce, Delivery::new().priority(Priority::High)).0).unwrap();
    outbox.try_push(message("n")).unwrap();
    const LARGE: &str = match std::str::from_utf8(&[b'x'; 200]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let (large, _ticket) = command(LARGE, QoS::AtMostOnce, Delivery::new().when_full(WhenFull::DropOldest));
    assert_eq!(refusal(&outbox, large), Some(Refusal::Full));
    assert_eq!(take(&outbox), ["h", "n"]);
}

#[test]
fn what_has_expired_or_was_cancelled_gives_its_place_back() {
    let outbox = outbox(3, 1 << 20);
    let second = |n| Duration::from_secs(n);
    let lives = |n| Delivery::new().time_to_live(second(n));
    let (two, two_ticket) = command("two", QoS::AtMostOnce, lives(2));
    outbox.try_push(two).unwrap();
    outbox.try_push(command("five", QoS::AtMostOnce, lives(5)).0).unwrap();
    outbox.try_push(message("for ever")).unwrap();
    let mut waiting = outbox.push(message("waited"));
    assert!((&mut waiting).now_or_never().is_none());
    let control = outbox.take(
        &Context::from_waker(Waker::noop()),
        Instant::new(second(2)),
        Budget::default(),
        &mut VecDeque::new(),
    );
    assert_eq!((control.expired, control.queued), (1, 2));
    assert_eq!(control.next_expiry, Some(Instant::new(second(5))));
    assert_eq!(two_ticket.now_or_never(), Some(Err(PublishError::Expired)));
    assert!(matches!((&mut waiting).now_or_never(), Some(Ok(_))));
    assert_eq!(take_at(&outbox, Instant::new(second(3)), ALL), ["five", "for ever", "waited"]);
}

#[test]
fn without_a_connection_only_what_may_wait_is_kept() {
    use crate::delivery::Offline;
    let outbox = outbox(10, 1 << 20);
    let drop_it = Delivery::new().offline(Offline::Drop);
    let now_or_never = || command("now", QoS::AtMostOnce, drop_it).0;
    assert_eq!(refusal(&outbox, now_or_never()), Some(Refusal::Offline));
    outbox.set_online(true);
    outbox.try_push(now_or_never()).unwrap();
    outbox.try_push(command("q1", QoS::AtLeastOnce, drop_it).0).unwrap();
    outbox.try_push(message("waits")).unwrap();
    assert_eq!(outbox.set_online(false).len(), 1);
    assert_eq!(take(&outbox), ["q1", "waits"]);
}
