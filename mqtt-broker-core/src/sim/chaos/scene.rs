//! `Scene`: the broker, its bounds and its clients, as a seed has drawn them, and what happens next.

use super::ledger::Ledger;
use super::player::Player;
use super::*;
use crate::config::{Overflow, SharedStrategy};

pub(super) struct Scene {
    world: World,
    dice: Dice,
    players: Vec<Player>,
    ledger: Ledger,
    /// No queue may be longer.
    room: usize,
    /// Nothing is dropped: the queues hold everything.
    is_roomy: bool,
    /// The broker dies and comes back; its store is as slow as the dice want.
    store: Option<MemoryStore>,
}

/// More than a scene can fill.
const ROOM: usize = 200_000;

impl Scene {
    pub(super) fn new(seed: u64, store: Option<MemoryStore>) -> Self {
        let mut dice = Dice::new(seed);
        let is_roomy = dice.below(3) > 0 || store.is_some();
        let (mut online, mut offline) = (ROOM, ROOM);
        if !is_roomy {
            (online, offline) = (dice.below(30) + 5, dice.below(30) + 1);
        }
        let change = |config: &mut Config| {
            (config.outbox_messages, config.offline_messages) = (online, offline);
            if is_roomy {
                (config.outbox_bytes, config.offline_bytes) = (usize::MAX, usize::MAX);
            }
            config.overflow =
                dice.one_of(&[Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect]);
            config.offline_qos0 = dice.below(2) == 0;
            config.receive_maximum = (dice.below(20) as u16 + 1).try_into().unwrap();
            config.max_in_flight = (dice.below(10) as u16 + 1).try_into().unwrap();
            config.transmit_watermark = dice.one_of(&[50, 500, 64 << 10]);
            config.shared_strategy = dice.one_of(&[
                SharedStrategy::RoundRobin,
                SharedStrategy::Random,
                SharedStrategy::LeastOutstanding,
                SharedStrategy::Sticky,
                SharedStrategy::HashPublisher,
                SharedStrategy::HashTopic,
            ]);
        };
        let mut world = match &store {
            Some(store) => World::with_store(store, change),
            None => World::with(change),
        };
        // Everybody whose session lasts is there before anything happens.
        let lasting = dice.below(3) + 2;
        let count = if store.is_some() { lasting } else { lasting + dice.below(3) };
        let mut ledger = Ledger::new(!is_roomy, store.is_some());
        let mut players: Vec<Player> =
            (0..count).map(|number| Player::new(number, number < lasting, &mut dice)).collect();
        for player in &mut players {
            if store.is_some() {
                // Whether there is one for a connection that the broker itself has ended is nobody's promise.
                player.will = None;
            }
            player.come(&mut world, &mut ledger);
            world.run();
            player.subscribe(&mut world);
            world.run();
        }
        if let Some(store) = &store {
            store.pause();
        }
        world.by_hand = true;
        Self { world, dice, players, ledger, room: online.max(offline), is_roomy, store }
    }

    pub(super) fn step(&mut self) {
        let Self { world, dice, players, ledger, store, .. } = self;
        let number = dice.below(players.len());
        let player = &mut players[number];
        let line = player.line;
        match dice.below(if store.is_some() { 120 } else { 100 }) {
            0..30 => player.publish(world, ledger, dice),
            30..90 => {
                world.chunk = if dice.once_in(3) { dice.below(20) + 1 } else { usize::MAX };
                // Any connection, those that were left behind too.
                let any = dice.below(world.lines.len());
                world.turn(any);
                world.turn(line.0);
                player.subscribe(world);
            }
            90 => world.stall(line, true),
            91..94 => world.stall(line, false),
            94 => {
                player.listen(world, ledger);
                world.cut(line);
            }
            95 => {
                // The client has lost its connection and the broker does not know.
                player.listen(world, ledger);
                let now = world.now;
                world.lines[line.0].client.handle_closed(now);
                player.come(world, ledger);
            }
            96 if dice.once_in(4) => {
                let now = world.now;
                let client = &mut world.lines[line.0].client;
                if client.is_connected() {
                    player.said_goodbye = true;
                    client.disconnect(now, &goodbye()).unwrap();
                }
            }
            96..99 => player.come(world, ledger),
            99 => world.pass(Duration::from_millis(dice.below(2_000) as u64)),
            100.. => self.store_something(),
        }
        self.forget_the_dead();
    }

    /// The store writes a little or much, or loses what it has not written.
    fn store_something(&mut self) {
        let Self { world, dice, players, ledger, store, .. } = self;
        let Some(store) = store else { return };
        match dice.below(30) {
            0 => {
                for player in &mut *players {
                    player.listen(world, ledger);
                }
                world.restart_after(Duration::from_millis(dice.below(2_000) as u64));
                for player in players {
                    if !dice.once_in(4) {
                        player.come(world, ledger);
                    }
                }
            }
            1..5 => drop(store.write(u64::MAX)),
            _ => drop(store.write(dice.below(8) as u64)),
        }
    }

    /// What the store will hold when it has written everything is what the broker has.
    pub(super) fn check_store(&self) {
        if let Some(store) = &self.store {
            self.world.state.agrees_with(&store.snapshot_of_all());
        }
    }

    /// What must hold at any time.
    pub(super) fn check(&mut self) {
        for player in &mut self.players {
            player.listen(&mut self.world, &mut self.ledger);
        }
        let stats = self.world.stats();
        let lasting = self.players.iter().filter(|player| player.lasts).count();
        assert!((lasting..=self.players.len()).contains(&stats.sessions), "{} sessions", stats.sessions);
        assert!(stats.clients <= stats.sessions && stats.sessions - stats.clients <= lasting);
        assert!(stats.subscriptions <= 5 * stats.sessions);
        assert!(
            self.world.state.longest_queue() <= self.room,
            "a queue of {}",
            self.world.state.longest_queue()
        );
        if self.is_roomy {
            assert_eq!((stats.dropped.slow, stats.dropped.offline), (0, 0));
        }
    }

    /// All come back, everything that must arrive has arrived, and when all have gone nothing is left.
    pub(super) fn finish(mut self, steps: u64) -> [u64; 4] {
        if let Some(store) = &self.store {
            store.resume();
        }
        self.world.by_hand = false;
        self.world.chunk = usize::MAX;
        // Twice, for those that are disconnected for their silence, or for their full queue, meanwhile.
        for _ in 0..3 {
            for player in &mut self.players {
                self.world.stall(player.line, false);
                player.come(&mut self.world, &mut self.ledger);
                self.world.run();
                player.subscribe(&mut self.world);
            }
            self.world.pass(seconds(60));
            self.forget_the_dead();
        }
        self.check();
        self.check_store();
        let (queued, lasting, _) = self.world.rules.budget.weights();
        assert_eq!((queued, lasting), self.world.state.weights());
        assert_eq!(self.world.state.longest_queue(), 0);
        let late = self.world.join("late");
        self.world.subscribe(late, "r/#", QoS::ExactlyOnce);
        self.ledger.check_retained(&self.world.messages(late), &self.players);

        let dropped = self.world.stats().dropped;
        let lost = self.ledger.lost(&self.players);
        let counted = if self.is_roomy { 0 } else { dropped.slow + dropped.offline + dropped.session_ended };
        assert!(lost.len() as u64 <= counted, "{} lost, {counted} counted: {lost:?}", lost.len());
        assert!(self.ledger.published() > steps / 50, "hardly anything happened");

        self.world.disconnect(late, &goodbye());
        for player in &self.players {
            self.world.disconnect(player.line, &goodbye());
        }
        self.world.pass(seconds(3_000_000));
        self.check_store();
        let stats = self.world.stats();
        assert_eq!((stats.sessions, stats.clients, stats.subscriptions), (0, 0, 0));
        assert_eq!(self.world.state.poll_timeout(), None, "nobody is waited for");
        let connections = self.players.iter().map(|player| player.connection).sum();
        [self.ledger.published(), self.ledger.received, connections, dropped.slow + dropped.offline]
    }

    /// Connections that both sides have done with make room for the next ones.
    fn forget_the_dead(&mut self) {
        let Self { world, players, .. } = self;
        for index in (0..world.lines.len()).rev() {
            let line = &world.lines[index];
            let is_dead = line.dead || line.cut && line.peer.closed().is_some();
            if !is_dead || players.iter().any(|player| player.line.0 == index) {
                continue;
            }
            world.lines.swap_remove(index);
            let moved = Id(world.lines.len());
            if let Some(player) = players.iter_mut().find(|player| player.line == moved) {
                player.line = Id(index);
            }
        }
    }
}
