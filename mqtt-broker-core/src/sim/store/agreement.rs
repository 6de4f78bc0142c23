//! Whatever happens: what the ops amount to is what the broker has, and a broker that is restored has the same.

use super::*;
use crate::Overflow;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const FILTERS: [&str; 6] = ["#", "t/+", "t/1", "$share/g/t/+", "$share/h/#", "will/+"];

struct Life {
    world: World,
    store: MemoryStore,
    dice: Dice,
    lines: Vec<Id>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let store = MemoryStore::new();
        let overflow = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect][dice.below(3)];
        let world = World::with_store(&store, |config| {
            config.overflow = overflow;
            config.outbox_messages = 8;
            config.offline_messages = 5;
            config.offline_qos0 = seed.is_multiple_of(2);
            config.max_in_flight = 3.try_into().unwrap();
            config.max_retained_messages = 5;
        });
        Self { world, store, dice, lines: Vec::new() }
    }

    /// Any client does anything that it can.
    fn step(&mut self) {
        self.lines.retain(|line| !self.world.lines[line.0].client.is_closed());
        let Some(&line) = self.lines.get(self.dice.below(self.lines.len().max(1))) else {
            return self.connect();
        };
        let now = self.world.now;
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.dice.below(3)];
        let topic = format!("t/{}", self.dice.below(6));
        match self.dice.below(100) {
            0..15 => self.connect(),
            15..55 => {
                let mut message = if self.dice.below(5) == 0 {
                    expiring(&topic, "short", 1 + self.dice.below(30) as u32)
                } else {
                    message(&topic, if self.dice.below(10) == 0 { "" } else { "x" })
                };
                message = message.with_qos(qos).with_retain(self.dice.below(3) == 0);
                let _ = self.world.lines[line.0].client.publish(now, message);
            }
            55..70 => {
                let filter = FILTERS[self.dice.below(FILTERS.len())].try_into().unwrap();
                let mut properties = SubscribeProperties::new();
                if self.dice.below(2) == 0 {
                    properties = properties.with_subscription_identifier(7.try_into().unwrap());
                }
                let subscription = Subscription::new(filter, qos);
                let _ = self.world.lines[line.0].client.subscribe(now, properties, [subscription]);
            }
            70..74 => {
                let filter: TopicFilter = FILTERS[self.dice.below(FILTERS.len())].try_into().unwrap();
                let client = &mut self.world.lines[line.0].client;
                let _ = client.unsubscribe(now, UnsubscribeProperties::new(), [filter]);
            }
            74..80 => self.world.cut(line),
            80..84 => {
                let mut goodbye = goodbye();
                if self.dice.below(2) == 0 {
                    goodbye.properties =
                        goodbye.properties.with_session_expiry_interval(self.dice.below(40) as u32);
                }
                let _ = self.world.lines[line.0].client.disconnect(now, &goodbye);
            }
            84..90 => self.world.mute(line),
            90 => {
                let name = text(NAMES[self.dice.below(NAMES.len())]);
                self.world.state.kick(&name, ReasonCode::AdministrativeAction.into());
                self.world.ring();
            }
            91..97 => self.world.pass(Duration::from_secs(self.dice.below(20) as u64)),
            _ => {
                self.check();
                let down = self.dice.below(30) as u64;
                self.world.restart_after(seconds(down));
            }
        }
        self.world.run();
    }

    fn connect(&mut self) {
        let name = NAMES[self.dice.below(NAMES.len())];
        let mut connect = match self.dice.below(5) {
            0 => clean_start(v5(name), self.dice.below(2) == 0),
            1 => clean_start(v311(name), self.dice.below(2) == 0),
            _ => clean_start(lasting(name, self.dice.below(60) as u32), self.dice.below(8) == 0),
        };
        if self.dice.below(3) == 0 {
            let delay = (connect.version == Version::V5).then(|| self.dice.below(20) as u32);
            connect = with_will(connect, &format!("will/{name}"), "gone", delay);
            connect.will.as_mut().unwrap().qos = QoS::AtLeastOnce;
            connect.will.as_mut().unwrap().retain = self.dice.below(3) == 0;
        }
        self.lines.push(self.world.connect(connect));
    }

    fn check(&self) {
        self.world.state.agrees_with(&self.store.snapshot_of_all());
    }
}

#[test]
fn the_store_amounts_to_what_the_broker_has() {
    for seed in 1..=setting("CHAOS_SEEDS", 100) {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut life = Life::new(seed);
            for _ in 0..setting("CHAOS_STEPS", 1_000) / 4 {
                life.step();
                life.check();
            }
        });
        assert!(std::panic::catch_unwind(run).is_ok(), "seed {seed} fails");
    }
}
