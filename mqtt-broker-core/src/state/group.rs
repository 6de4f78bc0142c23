//! `Group`: the sessions that share a subscription, and which of them gets the next message.

use mqttkit_codec::TopicFilter;

use super::router::Wish;
use crate::config::SharedStrategy;

/// The sessions that share a subscription: each message goes to one of them. [MQTT-4.8.2-4]
#[derive(Debug)]
pub(super) struct Group {
    pub(super) serial: Serial,
    pub(super) name: TopicFilter,
    members: Vec<(usize, Wish)>,
    /// Whose turn it is.
    next: usize,
}

/// Names a group for as long as a message of it is under way. Never 0, which stands for no group.
pub(super) type Serial = u32;

/// How the member for one message is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pick {
    Next,
    /// The same as last time.
    Same,
    LeastOutstanding,
    /// The one that this number makes the heaviest: always the same for the same number, and when a member leaves
    /// only what was its own moves.
    Weighed(u64),
}

impl Pick {
    /// For one message. `random` is asked only by the strategy that needs it.
    pub(super) fn new(
        strategy: SharedStrategy,
        publisher: Option<usize>,
        topic: &str,
        random: &mut Random,
    ) -> Self {
        match strategy {
            SharedStrategy::RoundRobin => Self::Next,
            SharedStrategy::Random => Self::Weighed(random.next()),
            SharedStrategy::LeastOutstanding => Self::LeastOutstanding,
            SharedStrategy::Sticky => Self::Same,
            SharedStrategy::HashPublisher => Self::Weighed(publisher.map_or(0, |slot| slot as u64 + 1)),
            SharedStrategy::HashTopic => Self::Weighed(hash(topic)),
        }
    }
}

/// Numbers that look random and follow from a seed. (splitmix64)
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

impl Group {
    pub(super) fn new(serial: Serial, name: TopicFilter) -> Self {
        Self { serial, name, members: Vec::new(), next: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns whether the member is new; what an old one wants is replaced.
    pub(super) fn join(&mut self, slot: usize, wish: Wish) -> bool {
        if let Some(member) = self.members.iter_mut().find(|(member, _)| *member == slot) {
            member.1 = wish;
            return false;
        }
        self.members.push((slot, wish));
        true
    }

    /// Returns whether it was a member.
    pub(super) fn leave(&mut self, slot: usize) -> bool {
        let Some(at) = self.members.iter().position(|&(member, _)| member == slot) else { return false };
        self.members.remove(at);
        if at < self.next {
            self.next -= 1;
        }
        if self.next >= self.members.len() {
            self.next = 0;
        }
        true
    }

    /// The member for the next message: one that `is_online`, or else any, which takes messages in its absence.
    pub(super) fn pick(
        &mut self,
        pick: Pick,
        is_online: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> usize,
    ) -> Option<(usize, Wish)> {
        let Self { members, next, .. } = self;
        let nobody = !members.iter().any(|&(slot, _)| is_online(slot));
        let takes = |&index: &usize| nobody || is_online(members[index].0);
        let mut in_turn = (*next..members.len()).chain(0..*next).filter(takes);
        let chosen = match pick {
            Pick::Next | Pick::Same => in_turn.next(),
            // Of several it is the first whose turn comes.
            Pick::LeastOutstanding => in_turn.min_by_key(|&index| outstanding(members[index].0)),
            Pick::Weighed(number) => in_turn.max_by_key(|&index| mix(number ^ mix(members[index].0 as u64))),
        }?;
        let step = usize::from(!matches!(pick, Pick::Same));
        *next = (chosen + step) % members.len();
        Some(members[chosen])
    }
}

/// Spreads a number over all its bits.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The same for the same topic in every process. (FNV-1a)
fn hash(topic: &str) -> u64 {
    topic
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
