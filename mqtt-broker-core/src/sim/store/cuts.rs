//! One exchange of everything there is, cut after every op and at every step: whatever the store lost of it, all that was
//! promised holds.

use std::collections::HashMap;

use super::*;

/// Clients that do one thing after the other, as far as the broker lets them.
struct Play {
    world: World,
    store: MemoryStore,
    publisher: Id,
    receiver: Id,
    /// The receiver knows that it has its subscription.
    subscribed: bool,
    /// What the receiver must get, by payload.
    sent: Vec<(String, QoS)>,
    got: HashMap<String, usize>,
    retained: Option<String>,
}

const STEPS: usize = 13;

impl Play {
    fn new() -> Self {
        let (mut world, store) = world();
        // Nobody is there yet.
        let (publisher, receiver) = (world.connect(v5("nobody")), world.connect(v5("nobody else")));
        for id in [publisher, receiver] {
            world.lines[id.0].seen.connack = None;
            world.cut(id);
        }
        let (sent, got) = (Vec::new(), HashMap::new());
        Self { world, store, publisher, receiver, subscribed: false, sent, got, retained: None }
    }

    fn step(&mut self, step: usize) {
        match step {
            0 => self.receiver = self.world.connect(lasting("r", 1_000)),
            1 => self.subscribe(),
            2 => self.publisher = self.world.connect(lasting("p", 1_000)),
            3 => self.publish("1", QoS::AtLeastOnce, false),
            4 => self.publish("2", QoS::ExactlyOnce, false),
            5 => {
                self.publish("3", QoS::ExactlyOnce, true);
                self.retained = self.world.acks(self.publisher).pop().map(|_| "3".into());
            }
            6 => self.world.mute(self.receiver),
            7 => self.publish("4", QoS::ExactlyOnce, false),
            8 => self.publish("5", QoS::AtLeastOnce, false),
            9 => self.world.cut(self.receiver),
            10 => self.publish("6", QoS::ExactlyOnce, false),
            11 => self.publish("7", QoS::AtLeastOnce, false),
            12 => self.receiver = self.come_back(self.receiver, "r"),
            _ => unreachable!(),
        }
        self.listen();
    }

    fn subscribe(&mut self) {
        let now = self.world.now;
        let client = &mut self.world.lines[self.receiver.0].client;
        if client.is_connected() {
            let all = Subscription::new("t".try_into().unwrap(), QoS::ExactlyOnce);
            client.subscribe(now, SubscribeProperties::new(), [all]).unwrap();
            self.world.run();
        }
        self.subscribed |= !self.world.lines[self.receiver.0].seen.reasons.is_empty();
    }

    fn publish(&mut self, payload: &str, qos: QoS, retain: bool) {
        let now = self.world.now;
        let client = &mut self.world.lines[self.publisher.0].client;
        if !client.is_connected()
            || client.publish(now, message("t", payload).with_qos(qos).with_retain(retain)).is_err()
        {
            return;
        }
        if self.subscribed {
            self.sent.push((payload.into(), qos));
        }
        self.world.run();
    }

    fn listen(&mut self) {
        for message in self.world.messages(self.receiver) {
            *self.got.entry(String::from_utf8(message.payload.to_vec()).unwrap()).or_default() += 1;
        }
    }

    /// The client of this connection comes back, however far the earlier one had got.
    fn come_back(&mut self, id: Id, name: &str) -> Id {
        let line = &self.world.lines[id.0];
        if !line.client.is_closed() {
            return id;
        }
        let was_in = line.seen.connack.as_ref().is_some_and(|connack| !connack.reason.is_error());
        let mut session = self.world.take_session(id);
        for token in std::mem::take(&mut self.world.lines[id.0].seen.unanswered) {
            session.ack(token, ReasonCode::Success);
        }
        let again = self.world.resume(lasting(name, 1_000), session);
        if was_in && self.world.is_connected(again) {
            assert!(self.world.connack(again).session_present, "{name} was promised a session");
        }
        again
    }

    /// The broker dies, and all come back to the next one.
    fn restart_and_finish(&mut self) {
        self.listen();
        self.world.restart();
        self.store.resume();
        self.receiver = self.come_back_or_begin(self.receiver, "r");
        self.listen();
        self.publisher = self.come_back_or_begin(self.publisher, "p");
        self.world.run();
        self.listen();
        self.world.state.agrees_with(&self.store.snapshot());
    }

    fn come_back_or_begin(&mut self, id: Id, name: &str) -> Id {
        let again = self.come_back(id, name);
        if again == id { self.world.connect(lasting(name, 1_000)) } else { again }
    }

    fn check(&mut self, when: &str) {
        for (payload, qos) in &self.sent {
            let count = self.got.get(payload).copied().unwrap_or(0);
            match qos {
                QoS::ExactlyOnce => assert_eq!(count, 1, "{payload} {when}"),
                _ => assert!(count >= 1, "{payload} is lost {when}"),
            }
        }
        for payload in ["2", "3", "4", "6"] {
            assert!(self.got.get(payload).is_none_or(|&count| count == 1), "{payload} {when}");
        }
        if let Some(expected) = &self.retained {
            let fresh = self.world.connect(v5("fresh"));
            self.world.subscribe(fresh, "t", QoS::AtMostOnce);
            assert_eq!(self.world.texts(fresh), [format!("t={expected}")], "{when}");
        }
        let stats = self.world.stats();
        assert_eq!(stats.dropped.total(), 0);
        assert_eq!(self.store.snapshot().messages(), 0, "{when}: all is acknowledged");
    }
}

#[test]
fn nothing_promised_is_lost_or_doubled_wherever_the_broker_is_cut() {
    let mut cases = 0;
    for steps in 1..=STEPS {
        for ops in 0.. {
            let mut play = Play::new();
            play.store.pause_after(ops);
            for step in 0..steps {
                play.step(step);
            }
            let all_written = play.store.waiting() == 0;
            play.restart_and_finish();
            play.check(&format!("after {steps} steps and {ops} ops"));
            cases += 1;
            if all_written {
                break;
            }
        }
    }
    assert!(cases > 100, "{cases} cases");
}

/// The same with a store that is one op behind all the time, so that every answer is late.
#[test]
fn nothing_is_lost_or_doubled_by_a_store_that_is_slow() {
    for steps in 1..=STEPS {
        let mut play = Play::new();
        play.store.pause();
        for step in 0..steps {
            play.step(step);
            while play.store.write(1) > 0 {
                play.world.run();
            }
            play.listen();
        }
        play.restart_and_finish();
        play.check(&format!("after {steps} steps"));
    }
}
