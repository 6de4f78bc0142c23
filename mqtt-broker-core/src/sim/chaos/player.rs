//! `Player`: one client, and what it does when it is its turn.

use super::ledger::{Kind, Ledger};
use super::*;

/// What a client is for as long as the scene lasts.
pub(super) struct Player {
    pub(super) number: usize,
    pub(super) version: Version,
    /// Its session goes on without it. Otherwise each of its connections begins anew.
    pub(super) lasts: bool,
    pub(super) in_group: bool,
    receive_maximum: Option<u16>,
    /// Each of its connections has a will, which is published so many seconds after it.
    pub(super) will: Option<u32>,
    pub(super) line: Id,
    /// Counts its connections.
    pub(super) connection: u64,
    pub(super) was_connected: bool,
    pub(super) said_goodbye: bool,
    has_subscribed: bool,
}

impl Player {
    pub(super) fn new(number: usize, lasts: bool, dice: &mut Dice) -> Self {
        let version = dice.one_of(&[Version::V5, Version::V5, Version::V311]);
        Self {
            number,
            version,
            lasts,
            in_group: dice.below(2) == 0,
            receive_maximum: (version == Version::V5 && dice.below(2) == 0).then(|| dice.below(9) as u16 + 1),
            will: dice.once_in(3).then(|| if version == Version::V5 { dice.one_of(&[0, 0, 3]) } else { 0 }),
            line: Id(usize::MAX),
            connection: 0,
            was_connected: false,
            said_goodbye: false,
            has_subscribed: false,
        }
    }

    fn connect(&self) -> Connect {
        let name = format!("c{}", self.number);
        let mut connect = match self.version {
            Version::V5 if self.lasts => lasting(&name, 1_000_000),
            Version::V5 => v5(&name),
            Version::V311 | Version::V31 => clean_start(v311(&name), !self.lasts),
        };
        if let Some(maximum) = self.receive_maximum.and_then(|maximum| maximum.try_into().ok()) {
            connect.properties = connect.properties.with_receive_maximum(maximum);
        }
        if let Some(delay) = self.will {
            let text = format!("{} {} 0 2", self.connection, self.number);
            connect = with_will(connect, "w/0", &text, (delay > 0).then_some(delay));
            if let Some(will) = &mut connect.will {
                will.qos = QoS::ExactlyOnce;
            }
        }
        connect
    }

    /// Comes, or comes back once it has seen the end of its last connection.
    pub(super) fn come(&mut self, world: &mut World, ledger: &mut Ledger) {
        let mut session = Session::new();
        if self.line.0 != usize::MAX {
            if !world.lines[self.line.0].client.is_closed() {
                return;
            }
            self.listen(world, ledger);
            if self.lasts {
                session = world.take_session(self.line);
            }
            if self.was_connected && !self.said_goodbye && self.will == Some(0) {
                ledger.expect_will(self.number, self.connection);
            }
        }
        self.connection += 1;
        let connect = self.connect();
        let client = ClientConnection::new(ClientConfig::default(), connect, session, world.now).unwrap();
        self.line = world.open(client);
        (self.was_connected, self.said_goodbye) = (false, false);
        if !self.lasts {
            self.has_subscribed = false;
        }
    }

    /// Subscribes to everything, once it is in.
    pub(super) fn subscribe(&mut self, world: &mut World) {
        let now = world.now;
        let client = &mut world.lines[self.line.0].client;
        if self.has_subscribed || !client.is_connected() {
            return;
        }
        self.has_subscribed = true;
        // Some hear things twice over, by overlapping subscriptions, and get them once.
        let mut filters = vec!["t/#", "e/+", "w/#"];
        if self.number.is_multiple_of(2) {
            filters.push("t/0");
        }
        if self.in_group {
            filters.push("$share/g/s/#");
        }
        let wishes = filters.into_iter().map(|filter| {
            let qos = if filter == "t/0" { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            Subscription::new(filter.try_into().unwrap(), qos)
        });
        client.subscribe(now, SubscribeProperties::new(), wishes.collect::<Vec<_>>()).unwrap();
    }

    pub(super) fn publish(&mut self, world: &mut World, ledger: &mut Ledger, dice: &mut Dice) {
        let now = world.now;
        let client = &mut world.lines[self.line.0].client;
        if !client.is_connected() {
            return;
        }
        let kind = dice.one_of(&[
            Kind::Plain,
            Kind::Plain,
            Kind::Plain,
            Kind::Shared,
            Kind::Retained,
            Kind::Expiring,
        ]);
        let topic = dice.below(3);
        // What is retained last is certain only among messages of one QoS: one of QoS 1 that comes again may come
        // after one of QoS 2 that is known already.
        let qos = if kind == Kind::Retained { LEVELS[1 + self.number % 2] } else { dice.one_of(&LEVELS) };
        let (number, place) = (ledger.next_number(), format!("{}/", kind.letter()));
        let text = format!("{number} {} {topic} {}", self.number, qos.as_u8());
        let sent = match kind {
            Kind::Retained => retained(&format!("{place}{}", self.number), &text),
            Kind::Expiring if self.version == Version::V5 => {
                expiring(&format!("{place}{topic}"), &text, dice.below(3) as u32 + 1)
            }
            _ => message(&format!("{place}{topic}"), &text),
        };
        if client.publish(now, sent.with_qos(qos)).is_ok() {
            ledger.sent(kind, number, self.number, qos, self.lasts);
        }
    }

    /// Reads what has come.
    pub(super) fn listen(&mut self, world: &mut World, ledger: &mut Ledger) {
        let line = &world.lines[self.line.0];
        self.was_connected |= line.seen.connack.is_some();
        if !line.seen.messages.is_empty() {
            for message in world.messages(self.line) {
                ledger.received(self, &message);
            }
        }
    }
}

pub(super) const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
