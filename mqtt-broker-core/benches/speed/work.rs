//! What is measured.

use bytes::BytesMut;
use mqttkit_broker_core::bench::Bench;
use mqttkit_broker_core::{Config, QoS};

use crate::packets;

/// Something that is done over and over. What is not measured happens before.
pub(crate) trait Work {
    fn prepare(&mut self);
    /// Does it, and returns how many messages it was.
    fn run(&mut self) -> usize;
}

type Make = Box<dyn Fn() -> Box<dyn Work>>;

/// Messages that come in one read.
const BATCH: usize = 64;

pub(crate) fn all() -> Vec<(String, Make)> {
    let mut all: Vec<(String, Make)> = Vec::new();
    for count in [10, 1_000, 100_000, 1_000_000] {
        for kind in ["exact", "+", "#", "shared"] {
            let name = format!("route to one of {count} filters, {kind}");
            all.push((name, Box::new(move || Box::new(Route::new(count, kind, Search::New)))));
        }
        let name = format!("route to none of {count} filters, +");
        all.push((name, Box::new(move || Box::new(Route::new(count, "+", Search::Vain)))));
        let name = format!("route to one of {count} filters, + and known");
        all.push((name, Box::new(move || Box::new(Route::new(count, "+", Search::Known)))));
    }
    all.push(("outbox: push".into(), Box::new(|| Box::new(Outbox::new(Step::Push)))));
    all.push(("outbox: drain and encode".into(), Box::new(|| Box::new(Outbox::new(Step::Drain)))));
    for count in [100, 1_000] {
        let name = format!("fan-out to {count}, for each");
        all.push((name, Box::new(move || Box::new(FanOut::new(count)))));
    }
    for count in [1_000, 100_000] {
        let name = format!("retained: {count} messages to one subscriber");
        all.push((name, Box::new(move || Box::new(RetainedToOne::new(count)))));
        let name = format!("retained: one of {count} messages to one subscriber");
        all.push((name, Box::new(move || Box::new(OneRetained::new(count)))));
    }
    all.push(("resume a session with 500 messages of QoS 1".into(), Box::new(|| Box::new(Resume::new(500)))));
    all.push(("resume an empty session".into(), Box::new(|| Box::new(Resume::new(0)))));
    all
}

fn broker() -> Bench {
    let mut config = Config::default();
    config.max_subscriptions = usize::MAX;
    Bench::new(config)
}

fn join(broker: &mut Bench, client_id: &str) -> usize {
    let line = broker.open();
    broker.take(line, packets::connect(client_id));
    assert!(broker.give(line) > 0, "a CONNACK");
    line
}

fn subscribe(broker: &mut Bench, line: usize, filters: &[String], qos: QoS) {
    for some in filters.chunks(1000) {
        broker.take(line, packets::subscribe(some, qos));
        broker.give(line);
    }
}

/// How a topic is found.
#[derive(Clone, Copy, PartialEq)]
enum Search {
    /// The subscriptions have changed.
    New,
    /// The same, and nobody is subscribed to it.
    Vain,
    /// It was published to before, and the subscriptions are the same.
    Known,
}

/// Publishing to many topics in the presence of many filters.
struct Route {
    broker: Bench,
    publisher: usize,
    subscriber: usize,
    bytes: BytesMut,
    input: BytesMut,
    search: Search,
}

impl Route {
    fn new(count: usize, kind: &str, search: Search) -> Self {
        let mut broker = broker();
        let publisher = join(&mut broker, "publisher");
        let subscriber = join(&mut broker, "subscriber");
        let topic = |number: usize| format!("site{}/device{number}/state", number % 1000);
        let filters: Vec<_> = (0..count)
            .map(|number| match kind {
                "+" => format!("site{}/device{number}/+", number % 1000),
                "#" => format!("site{}/device{number}/#", number % 1000),
                "shared" => format!("$share/group/{}", topic(number)),
                _ => topic(number),
            })
            .collect();
        subscribe(&mut broker, subscriber, &filters, QoS::AtMostOnce);
        // Far from each other, so that the caches of the processor do not help more than they would.
        let offset = if search == Search::Vain { count } else { 0 };
        let topics: Vec<_> = (0..BATCH).map(|at| topic(offset + at * 7_368_787 % count)).collect();
        let bytes = packets::publish(topics.iter().map(String::as_str), QoS::AtMostOnce, false);
        Self { broker, publisher, subscriber, bytes, input: BytesMut::new(), search }
    }
}

impl Work for Route {
    fn prepare(&mut self) {
        if self.search != Search::Known {
            subscribe(&mut self.broker, self.subscriber, &["another/+".into()], QoS::AtMostOnce);
        }
        self.broker.give(self.subscriber);
        self.input = self.bytes.clone();
    }

    fn run(&mut self) -> usize {
        self.broker.take(self.publisher, std::mem::take(&mut self.input));
        BATCH
    }
}

#[derive(PartialEq)]
enum Step {
    Push,
    Drain,
}

/// Messages of one publisher for one subscriber.
struct Outbox {
    broker: Bench,
    publisher: usize,
    subscriber: usize,
    bytes: BytesMut,
    input: BytesMut,
    step: Step,
}

impl Outbox {
    fn new(step: Step) -> Self {
        let mut broker = broker();
        let publisher = join(&mut broker, "publisher");
        let subscriber = join(&mut broker, "subscriber");
        subscribe(&mut broker, subscriber, &["a/b".into()], QoS::AtMostOnce);
        let bytes = packets::publish(["a/b"; BATCH], QoS::AtMostOnce, false);
        Self { broker, publisher, subscriber, bytes, input: BytesMut::new(), step }
    }
}

impl Work for Outbox {
    fn prepare(&mut self) {
        self.broker.give(self.subscriber);
        self.input = self.bytes.clone();
        if self.step == Step::Drain {
            self.broker.take(self.publisher, std::mem::take(&mut self.input));
        }
    }

    fn run(&mut self) -> usize {
        if self.step == Step::Drain {
            assert!(self.broker.give(self.subscriber) > BATCH * 64);
        } else {
            self.broker.take(self.publisher, std::mem::take(&mut self.input));
        }
        BATCH
    }
}

/// One message to everybody.
struct FanOut {
    broker: Bench,
    publisher: usize,
    subscribers: Vec<usize>,
    bytes: BytesMut,
    input: BytesMut,
}

impl FanOut {
    fn new(count: usize) -> Self {
        let mut broker = broker();
        let publisher = join(&mut broker, "publisher");
        let mut subscribers = Vec::new();
        for number in 0..count {
            let line = join(&mut broker, &format!("subscriber{number}"));
            subscribe(&mut broker, line, &["a/b".into()], QoS::AtMostOnce);
            subscribers.push(line);
        }
        let bytes = packets::publish(["a/b"; BATCH], QoS::AtMostOnce, false);
        Self { broker, publisher, subscribers, bytes, input: BytesMut::new() }
    }
}

impl Work for FanOut {
    fn prepare(&mut self) {
        self.input = self.bytes.clone();
    }

    fn run(&mut self) -> usize {
        self.broker.take(self.publisher, std::mem::take(&mut self.input));
        for &line in &self.subscribers {
            assert!(self.broker.give(line) > BATCH * 64);
        }
        BATCH * self.subscribers.len()
    }
}

/// A broker with retained messages, and somebody who gets some.
fn retaining(count: usize) -> (Bench, usize) {
    let mut broker = broker();
    let publisher = join(&mut broker, "publisher");
    let topics: Vec<_> =
        (0..count).map(|number| format!("site{}/device{number}/state", number % 1000)).collect();
    broker.take(publisher, packets::publish(topics.iter().map(String::as_str), QoS::AtMostOnce, true));
    let subscriber = join(&mut broker, "subscriber");
    (broker, subscriber)
}

/// Everything that is retained to one subscriber.
struct RetainedToOne {
    broker: Bench,
    subscriber: usize,
    bytes: BytesMut,
    count: usize,
}

impl RetainedToOne {
    fn new(count: usize) -> Self {
        let (broker, subscriber) = retaining(count);
        Self { broker, subscriber, bytes: packets::subscribe(&["#".into()], QoS::AtMostOnce), count }
    }
}

impl Work for RetainedToOne {
    fn prepare(&mut self) {}

    fn run(&mut self) -> usize {
        self.broker.take(self.subscriber, self.bytes.clone());
        assert!(self.broker.give(self.subscriber) > self.count * 64);
        self.count
    }
}

/// One retained message of many to one subscriber.
struct OneRetained {
    broker: Bench,
    subscriber: usize,
    bytes: BytesMut,
}

impl OneRetained {
    fn new(count: usize) -> Self {
        let (broker, subscriber) = retaining(count);
        let filter = format!("site{}/device{}/+", (count / 2) % 1000, count / 2);
        Self { broker, subscriber, bytes: packets::subscribe(&[filter], QoS::AtMostOnce) }
    }
}

impl Work for OneRetained {
    fn prepare(&mut self) {}

    fn run(&mut self) -> usize {
        self.broker.take(self.subscriber, self.bytes.clone());
        assert!(self.broker.give(self.subscriber) > 64);
        1
    }
}

/// A client that comes back to its session and gets what waited there.
struct Resume {
    broker: Bench,
    publisher: usize,
    subscriber: usize,
    hello: BytesMut,
    messages: BytesMut,
    count: usize,
}

impl Resume {
    fn new(count: usize) -> Self {
        let mut broker = broker();
        let publisher = join(&mut broker, "publisher");
        let messages = packets::publish(vec!["a/b"; count], QoS::AtLeastOnce, false);
        Self { broker, publisher, subscriber: 0, hello: packets::resume("sleeper"), messages, count }
    }
}

impl Work for Resume {
    /// A new session each time: what was sent and not acknowledged would be sent again.
    fn prepare(&mut self) {
        if self.subscriber > 0 {
            self.broker.close(self.subscriber);
        }
        let line = self.broker.open();
        self.broker.take(line, packets::connect("sleeper"));
        self.broker.close(line);
        let line = self.broker.open();
        self.broker.take(line, self.hello.clone());
        subscribe(&mut self.broker, line, &["a/b".into()], QoS::AtLeastOnce);
        self.broker.close(line);
        self.broker.take(self.publisher, self.messages.clone());
        self.broker.give(self.publisher);
        self.subscriber = self.broker.open();
    }

    fn run(&mut self) -> usize {
        self.broker.take(self.subscriber, self.hello.clone());
        assert!(self.broker.give(self.subscriber) > self.count * 64);
        self.count.max(1)
    }
}
