//! Clients that publish, stall, vanish and come back in any order, with their bytes in any pieces: a seed decides. At
//! every step what must always hold is checked, and at the end that nothing was lost.
//!
//! `CHAOS_SEEDS` and `CHAOS_STEPS` in the environment ask for more; `CHAOS_SEED` for one.

use std::collections::{HashMap, HashSet};

use super::*;

const CLIENTS: usize = 4;
const TOPICS: usize = 3;
const ROOM: usize = 20_000;
const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Numbers from a seed. (xorshift64)
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// What one client has got.
#[derive(Default)]
struct Got {
    /// The last number, by publisher, topic and QoS.
    last: HashMap<(usize, usize, QoS), u64>,
    all: HashSet<u64>,
}

struct Chaos {
    world: World,
    /// The broker dies and comes back; its store is as slow as the dice want.
    store: Option<MemoryStore>,
    dice: Dice,
    lines: Vec<Id>,
    got: Vec<Got>,
    /// Every message was given a number, which grows.
    number: u64,
    /// Those that must arrive.
    sent: Vec<u64>,
}

impl Chaos {
    fn new(seed: u64, store: Option<MemoryStore>) -> Self {
        let change = |config: &mut Config| {
            config.offline_messages = ROOM;
            config.outbox_messages = ROOM;
            config.receive_maximum = 20.try_into().unwrap();
            config.max_in_flight = 5.try_into().unwrap();
        };
        let mut world = match &store {
            Some(store) => World::with_store(store, change),
            None => World::with(change),
        };
        let lines: Vec<Id> = (0..CLIENTS).map(|number| world.connect(who(number))).collect();
        for (number, &line) in lines.iter().enumerate() {
            // Some hear everything twice over, by overlapping subscriptions, and get it once.
            world.subscribe(line, "t/#", QoS::ExactlyOnce);
            if number % 2 == 0 {
                world.subscribe(line, "t/0", QoS::AtLeastOnce);
            }
        }
        if let Some(store) = &store {
            store.pause();
        }
        let got = (0..CLIENTS).map(|_| Got::default()).collect();
        Self { world, store, dice: Dice::new(seed), lines, got, number: 0, sent: Vec::new() }
    }

    fn step(&mut self) {
        let number = self.dice.below(CLIENTS);
        let line = self.lines[number];
        let kinds = if self.store.is_some() { 120 } else { 100 };
        match self.dice.below(kinds) {
            100.. => self.store_something(),
            0..30 => self.publish(number),
            30..90 => {
                self.world.chunk = if self.dice.below(3) == 0 { self.dice.below(20) + 1 } else { usize::MAX };
                let any =
                    self.world.lines.len() - 1 - self.dice.below(self.world.lines.len().min(2 * CLIENTS));
                self.world.turn(any);
                self.world.turn(line.0);
            }
            90 | 91 => self.world.stall(line, true),
            92..94 => self.world.stall(line, false),
            94 | 95 => self.world.cut(line),
            96 => {
                // The client has lost its connection and the broker does not know.
                let now = self.world.now;
                self.world.lines[line.0].client.handle_closed(now);
                self.come_back(number);
            }
            97 | 98 => self.come_back(number),
            _ => {
                let time = Duration::from_millis(self.dice.below(2_000) as u64);
                self.world.pass(time);
            }
        }
    }

    /// The store writes a little or much, or loses what it has not written.
    fn store_something(&mut self) {
        let Some(store) = self.store.clone() else { return };
        match self.dice.below(30) {
            0 => {
                let down = Duration::from_millis(self.dice.below(2_000) as u64);
                for number in 0..CLIENTS {
                    self.listen(number);
                }
                self.world.restart_after(down);
                for number in 0..CLIENTS {
                    if self.dice.below(4) > 0 {
                        self.come_back(number);
                    }
                }
            }
            1..5 => drop(store.write(u64::MAX)),
            _ => drop(store.write(self.dice.below(8) as u64)),
        }
    }

    fn publish(&mut self, number: usize) {
        let topic = self.dice.below(TOPICS);
        let qos = LEVELS[self.dice.below(3)];
        let text = format!("{} {number} {topic} {}", self.number, qos.as_u8());
        let now = self.world.now;
        let client = &mut self.world.lines[self.lines[number].0].client;
        if !client.is_connected() {
            return;
        }
        if client.publish(now, message(&format!("t/{topic}"), &text).with_qos(qos)).is_ok() {
            if qos > QoS::AtMostOnce {
                self.sent.push(self.number);
            }
            self.number += 1;
        }
    }

    fn come_back(&mut self, number: usize) {
        let line = self.lines[number];
        if self.world.lines[line.0].client.is_closed() {
            self.listen(number);
            let session = self.world.take_session(line);
            self.lines[number] = self.world.resume(who(number), session);
        }
    }

    /// Exactly once, at least once, at most once; each publisher's messages to a topic in their order.
    fn listen(&mut self, number: usize) {
        let got = &mut self.got[number];
        for message in self.world.messages(self.lines[number]) {
            let text = std::str::from_utf8(&message.payload).unwrap();
            let parts: Vec<u64> = text.split(' ').map(|part| part.parse().unwrap()).collect();
            let qos = LEVELS[parts[3] as usize];
            let last = got.last.entry((parts[1] as usize, parts[2] as usize, qos)).or_insert(0);
            if got.all.insert(parts[0]) {
                assert!(*last <= parts[0], "{text} after {last}");
                *last = parts[0];
            } else {
                assert_eq!(qos, QoS::AtLeastOnce, "twice: {text}");
            }
        }
    }

    fn check(&mut self) {
        for number in 0..CLIENTS {
            self.listen(number);
        }
        let stats = self.world.stats();
        assert_eq!(stats.sessions, CLIENTS, "a session for each client, no more, no less");
        assert!(stats.clients <= CLIENTS);
        assert_eq!(stats.subscriptions, CLIENTS + CLIENTS.div_ceil(2));
        assert_eq!((stats.dropped.slow, stats.dropped.offline), (0, 0));
        assert!(self.world.state.longest_queue() <= ROOM);
    }

    /// What the store will hold when it has written everything is what the broker has.
    fn check_store(&self) {
        if let Some(store) = &self.store {
            self.world.state.agrees_with(&store.snapshot_of_all());
        }
    }

    /// All come back, and everything that must arrive has arrived everywhere.
    fn finish(&mut self) {
        if let Some(store) = &self.store {
            store.resume();
        }
        self.world.by_hand = false;
        self.world.chunk = usize::MAX;
        for number in 0..CLIENTS {
            self.world.stall(self.lines[number], false);
            self.come_back(number);
        }
        self.world.pass(seconds(60));
        for number in 0..CLIENTS {
            // Who was disconnected for its silence meanwhile.
            self.come_back(number);
        }
        self.check();
        for (number, got) in self.got.iter().enumerate() {
            let lost: Vec<_> = self.sent.iter().filter(|sent| !got.all.contains(sent)).collect();
            assert!(lost.is_empty(), "client {number} has never got {lost:?} of {}", self.number);
        }
        assert_eq!(self.world.state.longest_queue(), 0);
    }
}

fn who(number: usize) -> Connect {
    lasting(&format!("c{number}"), 1_000_000)
}

pub(super) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn play(store: impl Fn() -> Option<MemoryStore>) {
    let steps = setting("CHAOS_STEPS", 1_000);
    let seeds = match setting("CHAOS_SEED", 0) {
        0 => 1..=setting("CHAOS_SEEDS", 100),
        one => one..=one,
    };
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut chaos = Chaos::new(seed, store());
            chaos.world.by_hand = true;
            for step in 0..steps {
                chaos.step();
                chaos.check();
                if step % 20 == 0 {
                    chaos.check_store();
                }
            }
            chaos.finish();
            chaos.check_store();
            assert!(chaos.sent.len() as u64 > steps / 50, "hardly anything happened");
        });
        assert!(std::panic::catch_unwind(run).is_ok(), "CHAOS_SEED={seed} CHAOS_STEPS={steps} fails");
    }
}

#[test]
fn nothing_is_lost_doubled_or_disordered_whatever_happens() {
    play(|| None);
}

/// The same with a broker that dies and loses what its store has not written, which is slow.
#[test]
fn nothing_is_lost_doubled_or_disordered_even_if_the_broker_dies() {
    play(|| Some(MemoryStore::new()));
}
