//! `Ledger`: what was sent and what has come, and the promises about both.

use std::collections::{HashMap, HashSet};

use super::player::{LEVELS, Player};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// For everybody.
    Plain,
    /// For one of a group.
    Shared,
    /// For those who come later.
    Retained,
    /// For those who are quick.
    Expiring,
    Will,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// Every message was given a number, which grows.
    number: u64,
    /// Those that must arrive: of clients whose sessions last.
    plain: Vec<u64>,
    shared: Vec<(u64, QoS)>,
    wills: Vec<(usize, u64)>,
    /// The last retained message of each publisher whose session lasts.
    retained: HashMap<usize, u64>,
    got: HashMap<usize, Got>,
    by_group: HashSet<u64>,
    pub(super) received: u64,
    /// Messages are dropped for lack of room.
    drops: bool,
    /// The broker dies. What it was about to deliver is delivered after that, though its lifetime may be over.
    dies: bool,
}

/// What one client has got.
#[derive(Default)]
struct Got {
    /// The last number, by publisher, topic and QoS.
    last: HashMap<(u64, u64, QoS), u64>,
    all: HashSet<(Kind, u64, u64)>,
}

impl Kind {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Plain => 't',
            Self::Shared => 's',
            Self::Retained => 'r',
            Self::Expiring => 'e',
            Self::Will => 'w',
        }
    }

    fn of(topic: &str) -> Self {
        let all = [Self::Plain, Self::Shared, Self::Retained, Self::Expiring, Self::Will];
        all.into_iter().find(|kind| topic.starts_with(kind.letter())).unwrap()
    }
}

impl Ledger {
    pub(super) fn new(drops: bool, dies: bool) -> Self {
        Self { drops, dies, ..Self::default() }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number
    }

    pub(super) fn published(&self) -> u64 {
        self.number
    }

    pub(super) fn sent(&mut self, kind: Kind, number: u64, from: usize, qos: QoS, lasts: bool) {
        assert_eq!(number, self.number);
        self.number += 1;
        if !lasts || qos == QoS::AtMostOnce {
            return;
        }
        match kind {
            Kind::Plain => self.plain.push(number),
            Kind::Shared => self.shared.push((number, qos)),
            Kind::Retained => {
                self.retained.insert(from, number);
            }
            Kind::Expiring | Kind::Will => {}
        }
    }

    /// The connection was in, and ended without a goodbye.
    pub(super) fn expect_will(&mut self, of: usize, connection: u64) {
        self.wills.push((of, connection));
    }

    /// Exactly once, at least once, at most once; each publisher's messages to a topic in their order.
    pub(super) fn received(&mut self, by: &Player, message: &Message) {
        self.received += 1;
        let text = std::str::from_utf8(&message.payload).unwrap();
        let parts: Vec<u64> = text.split(' ').map(|part| part.parse().unwrap()).collect();
        let [number, from, topic, qos] = parts[..] else { panic!("{text}") };
        let (kind, qos) = (Kind::of(message.topic.as_str()), LEVELS[qos as usize]);
        assert_eq!(message.qos, qos, "{text}");
        let got = self.got.entry(by.number).or_default();
        let mut is_new = got.all.insert((kind, from, number));
        if kind == Kind::Shared {
            // Nor has another member got it.
            is_new = self.by_group.insert(number);
        }
        if !is_new {
            assert_eq!(qos, QoS::AtLeastOnce, "{kind:?} twice: {text}");
        } else if kind == Kind::Plain && (by.lasts && !self.drops || qos != QoS::AtLeastOnce) {
            // One of QoS 1 that was dropped, or published before there was a session to take it, may be published
            // again, and then comes late.
            let last = got.last.entry((from, topic, qos)).or_insert(0);
            assert!(*last <= number, "{text} after {last}");
            *last = number;
        }
        if let Some(left) = message.properties.message_expiry_interval() {
            let least = u32::from(!self.dies);
            assert!(kind == Kind::Expiring && (least..=3).contains(&left), "{text}: {left} s left");
        }
    }

    /// What should have come to these and has not.
    pub(super) fn lost(&self, players: &[Player]) -> Vec<String> {
        let nothing = Got::default();
        let mut lost = Vec::new();
        let all: HashSet<u64> = self.plain.iter().copied().collect();
        for player in players.iter().filter(|player| player.lasts) {
            let got = self.got.get(&player.number).unwrap_or(&nothing);
            let mut missing = all.clone();
            for (kind, _, number) in &got.all {
                if *kind == Kind::Plain {
                    missing.remove(number);
                }
            }
            lost.extend(missing.iter().map(|number| format!("{number} for c{}", player.number)));
            let wills = self
                .wills
                .iter()
                .filter(|&&(of, number)| !got.all.contains(&(Kind::Will, of as u64, number)));
            lost.extend(wills.map(|will| format!("will {will:?} for c{}", player.number)));
        }
        let members = players.iter().filter(|player| player.in_group);
        // What a member has begun to take with QoS 2 ends with its session.
        let all_last = members.clone().all(|player| player.lasts);
        if members.clone().any(|player| player.lasts) {
            let must = self.shared.iter().filter(|&&(_, qos)| all_last || qos == QoS::AtLeastOnce);
            let missing = must.filter(|(number, _)| !self.by_group.contains(number));
            lost.extend(missing.map(|(number, qos)| format!("{number} for the group, {qos:?}")));
        }
        lost
    }

    /// Who comes last gets the last retained message of each, and nothing else of those whose sessions last.
    pub(super) fn check_retained(&self, messages: &[Message], players: &[Player]) {
        let mut found = HashMap::new();
        for message in messages {
            assert!(message.retain && Kind::of(message.topic.as_str()) == Kind::Retained);
            let text = std::str::from_utf8(&message.payload).unwrap();
            let mut parts = text.split(' ').map(|part| part.parse::<u64>().unwrap());
            let (number, from) = (parts.next().unwrap(), parts.next().unwrap() as usize);
            assert_eq!(found.insert(from, number), None, "two of c{from}");
        }
        for (from, number) in &self.retained {
            assert_eq!(found.get(from), Some(number), "the last of c{from}");
        }
        assert!(found.keys().all(|&from| from < players.len()));
    }
}
