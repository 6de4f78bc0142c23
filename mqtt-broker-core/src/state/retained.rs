//! Retained messages, and the cursor that hands them to a new subscription bit by bit.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use mqttkit_codec::{Instant, Message, QoS, TopicFilter, TopicName, matches};

use super::outbox::{Ids, Queued, Routed, goes_as_published};
use crate::budget::{Budget, RETAINED};

/// The last retained message of each topic, in the order of the topics.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<TopicName, Kept>,
    bytes: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Routed>,
    /// The number of the publication that it came with.
    sequence: u64,
}

/// Where a subscription is in its retained messages.
///
/// What was retained when the subscription was made is delivered when the client has room for it, without a
/// queue of all of it. What is retained later reaches the client as a live message, so the cursor passes over
/// it: nothing comes twice, and nothing older comes after something newer.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) filter: TopicFilter,
    from: Bound<TopicName>,
    to: Bound<TopicName>,
    up_to: u64,
    qos: QoS,
    ids: Ids,
}

/// What a cursor found.
pub(super) enum Found {
    /// With the number of the publication it came with.
    Message(Queued, u64),
    /// Nothing yet, and the turn is long enough already: ask again.
    Again,
    /// The lifetime of this one was over, and it is forgotten: ask again.
    Expired(TopicName),
    /// There is no more.
    End,
}

/// How many topics one step of a cursor may look at.
const SCAN: usize = 512;

impl Retained {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// What is kept, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps or, with an empty payload, forgets a message. Returns whether there was room for it.
    /// [MQTT-3.3.1-5] [MQTT-3.3.1-6]
    pub(super) fn store(&mut self, message: &Routed, sequence: u64, room: super::outbox::Room) -> bool {
        let topic = &message.message.topic;
        if message.message.payload.is_empty() {
            self.forget(topic);
            return true;
        }
        let old = self.by_topic.get(topic).map(|kept| kept.message.cost());
        let (before, after) = (old.map_or(0, weight), weight(message.cost()));
        let has_memory = after.saturating_sub(before) <= self.budget.room_to_last();
        let count = self.by_topic.len() + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + message.cost();
        if count > room.messages || bytes > room.bytes || !has_memory {
            // The old one is no longer what the topic holds.
            self.forget(topic);
            return false;
        }
        self.bytes = bytes;
        self.budget.last(before, after);
        let message = Arc::new(message.detached());
        self.by_topic.insert(message.message.topic.clone(), Kept { message, sequence });
        true
    }

    /// Keeps what a store has kept, whatever room there is.
    pub(super) fn restore(&mut self, message: Arc<Routed>, sequence: u64) {
        self.bytes += message.cost();
        self.budget.last(0, weight(message.cost()));
        self.by_topic.insert(message.message.topic.clone(), Kept { message, sequence });
    }

    /// What it weighs in the budget.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.bytes + self.by_topic.len() * RETAINED
    }

    #[cfg(test)]
    pub(super) fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.by_topic.keys()
    }

    fn forget(&mut self, topic: &TopicName) {
        if let Some(kept) = self.by_topic.remove(topic) {
            self.bytes -= kept.message.cost();
            self.budget.last(weight(kept.message.cost()), 0);
        }
    }
}

/// What a retained message weighs in the budget; its topic stands in the order as well.
fn weight(cost: usize) -> usize {
    RETAINED + cost
}

/// The cursors of one session, the oldest first. Most sessions have none, and no memory for any.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "there are hardly ever any")]
pub(super) struct Cursors(Option<Box<VecDeque<Cursor>>>);

impl Cursors {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |cursors| cursors.len())
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Cursor> {
        self.0.as_mut()?.front_mut()
    }

    pub(super) fn pop_front(&mut self) -> Option<Cursor> {
        let first = self.0.as_mut()?.pop_front();
        self.0.take_if(|cursors| cursors.is_empty());
        first
    }

    /// Adds the cursor of a filter, in the place of one that is there.
    pub(super) fn push_back(&mut self, cursor: Cursor) {
        self.forget(&cursor.filter);
        self.0.get_or_insert_default().push_back(cursor);
    }

    pub(super) fn forget(&mut self, filter: &TopicFilter) {
        if let Some(cursors) = &mut self.0 {
            cursors.retain(|cursor| cursor.filter != *filter);
        }
        self.0.take_if(|cursors| cursors.is_empty());
    }
}

impl Cursor {
    pub(super) fn new(filter: TopicFilter, up_to: u64, qos: QoS, ids: Ids) -> Self {
        let (from, to) = range(filter.pattern());
        Self { filter, from, to, up_to, qos, ids }
    }

    /// Goes on behind this topic.
    pub(super) fn go_on_after(&mut self, topic: TopicName) {
        self.from = Bound::Excluded(topic);
    }

    /// The next message. With `only_qos0`, a message of a higher QoS stays and `Err` says so.
    pub(super) fn next(
        &mut self,
        now: Instant,
        retained: &mut Retained,
        only_qos0: bool,
    ) -> Result<Found, ()> {
        let mut looked = 0;
        let mut expired = None;
        let mut last = None;
        for (topic, kept) in retained.by_topic.range((self.from.clone(), self.to.clone())) {
            looked += 1;
            if self.wants(topic, kept) {
                if kept.message.is_expired(now) {
                    expired = Some(topic.clone());
                } else {
                    let qos = kept.message.message.qos.min(self.qos);
                    if only_qos0 && qos > QoS::AtMostOnce {
                        self.from = Bound::Included(topic.clone());
                        return Err(());
                    }
                    self.from = Bound::Excluded(topic.clone());
                    // [MQTT-3.3.1-8]: RETAIN is set, whatever the subscription says.
                    let message = Arc::clone(&kept.message);
                    let ids = self.ids.clone();
                    let queued = Queued { message, ids, qos, retain: true, group: 0, number: 0, pins: false };
                    return Ok(Found::Message(queued, kept.sequence));
                }
            }
            if looked == SCAN || expired.is_some() {
                last = Some(topic.clone());
                break;
            }
        }
        let Some(last) = last else { return Ok(Found::End) };
        self.from = Bound::Excluded(last);
        if let Some(topic) = expired {
            retained.forget(&topic);
            return Ok(Found::Expired(topic));
        }
        Ok(Found::Again)
    }

    /// Passes to `give` what comes next, as long as it goes with QoS 0 and as it was published to a client that is told
    /// properties or is not, and `give` has not had enough. Looks at no more than `left` topics; returns how many are
    /// left. Whatever else comes next is for [`next`](Self::next).
    pub(super) fn give(
        &mut self,
        now: Instant,
        retained: &Retained,
        has_properties: bool,
        mut left: usize,
        mut give: impl FnMut(&Message) -> bool,
    ) -> usize {
        let mut last = None;
        for (topic, kept) in retained.by_topic.range((self.from.clone(), self.to.clone())) {
            if left == 0 {
                break;
            }
            if self.wants(topic, kept) {
                let routed = &*kept.message;
                let qos = routed.message.qos.min(self.qos);
                let as_is = goes_as_published(qos, &self.ids, routed.expires.is_some(), has_properties);
                if !as_is || routed.is_expired(now) || !give(&routed.message) {
                    break;
                }
            }
            left -= 1;
            last = Some(topic);
        }
        if let Some(last) = last {
            self.from = Bound::Excluded(last.clone());
        }
        left
    }

    /// Whether it was retained when the subscription was made, and the filter matches.
    fn wants(&self, topic: &TopicName, kept: &Kept) -> bool {
        kept.sequence <= self.up_to && matches(self.filter.pattern(), topic.as_str())
    }
}

/// The topics among which those are that a filter matches.
fn range(pattern: &str) -> (Bound<TopicName>, Bound<TopicName>) {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let Some(wildcard) = pattern.find(['+', '#']) else {
        return match TopicName::try_from(pattern) {
            Ok(topic) => (Bound::Included(topic.clone()), Bound::Included(topic)),
            Err(_) => everything,
        };
    };
    let Some(parent) = pattern[..wildcard].strip_suffix('/') else { return everything };
    // `a/#` also matches `a`; what lies below `a` lies between `a/` and `a0`, the character behind the slash.
    let from = if parent.is_empty() { "/" } else { parent };
    match (TopicName::try_from(from), TopicName::try_from(format!("{parent}0"))) {
        (Ok(from), Ok(to)) => (Bound::Included(from), Bound::Excluded(to)),
        // The end would be too long for a topic.
        (Ok(from), Err(_)) => (Bound::Included(from), Bound::Unbounded),
        _ => everything,
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::{ReadBuffer, Room};
    use super::*;

    const ROOM: Room = Room { messages: 100, bytes: 10_000, alone: 0 };

    fn retained() -> Retained {
        Retained::new(Arc::new(Budget::new(1 << 30)))
    }

    fn routed(topic: &str, payload: &'static str) -> Routed {
        Routed::new(
            Message::new(TopicName::try_from(topic).unwrap(), payload),
            ReadBuffer::default(),
            Instant::ZERO,
        )
    }

    fn topics(retained: &mut Retained, filter: &str, up_to: u64) -> Vec<String> {
        let filter = TopicFilter::try_from(filter).unwrap();
        let mut cursor = Cursor::new(filter, up_to, QoS::AtMostOnce, Ids::None);
        let mut topics = Vec::new();
        loop {
            match cursor.next(Instant::ZERO, retained, true) {
                Ok(Found::Message(queued, _)) => topics.push(queued.message.message.topic.to_string()),
                Ok(Found::Again | Found::Expired(_)) => {}
                Ok(Found::End) | Err(()) => return topics,
            }
        }
    }

    #[test]
    fn a_cursor_finds_what_the_filter_matches() {
        let all = [
            "a",
            "a!b",
            "a/",
            "a/b",
            "a/b/c",
            "a0",
            "/",
            "/a",
            "$SYS/a",
            "b",
            "b/a",
            "é/+".trim_end_matches("/+"),
        ];
        let mut retained = retained();
        for topic in all {
            assert!(retained.store(&routed(topic, "x"), 1, ROOM));
        }
        for filter in
            ["#", "+", "a/#", "a/+", "+/a", "/#", "/+", "a", "a/b", "$SYS/#", "+/b/#", "a/+/c", "x/#", "é/#"]
        {
            let mut expected: Vec<&str> = all.into_iter().filter(|topic| matches(filter, topic)).collect();
            expected.sort_unstable();
            assert_eq!(topics(&mut retained, filter, 1), expected, "{filter}");
        }
    }

    #[test]
    fn a_cursor_gives_many_at_once_and_stops_before_what_must_be_looked_at() {
        let mut retained = retained();
        for topic in ["a", "b", "c", "x", "d", "e"] {
            retained.store(&routed(topic, topic), 1, ROOM);
        }
        let mut certain = routed("c", "c");
        certain.message.qos = QoS::AtLeastOnce;
        retained.store(&certain, 1, ROOM);
        retained.store(&routed("d", "new"), 2, ROOM);
        let filter = TopicFilter::try_from("+").unwrap();
        let mut cursor = Cursor::new(filter, 1, QoS::AtLeastOnce, Ids::None);
        let mut given = Vec::new();
        let mut give = |cursor: &mut Cursor, left: usize, count: usize| {
            let before = given.len();
            let left = cursor.give(Instant::ZERO, &retained, true, left, |message| {
                let more = given.len() < before + count;
                if more {
                    given.push(message.payload.clone());
                }
                more
            });
            (given.len() - before, left)
        };
        assert_eq!(give(&mut cursor, 10, 1), (1, 9));
        assert_eq!(give(&mut cursor, 10, 9), (1, 9), "the next is of QoS 1");
        assert_eq!(give(&mut cursor, 10, 9), (0, 10));
        let Ok(Found::Message(queued, 1)) = cursor.next(Instant::ZERO, &mut retained, false) else {
            panic!()
        };
        assert_eq!(queued.message.message.topic.as_str(), "c");
        let mut rest = Vec::new();
        for expected in [0, 7] {
            let left =
                cursor.give(Instant::ZERO, &retained, true, if expected == 0 { 1 } else { 9 }, |message| {
                    rest.push(message.payload.clone());
                    true
                });
            assert_eq!(left, expected, "one that is newer was passed over, then the rest");
        }
        assert_eq!(rest, ["e", "x"]);
        assert!(matches!(cursor.next(Instant::ZERO, &mut retained, false), Ok(Found::End)));
    }

    #[test]
    fn a_cursor_passes_over_what_is_newer_than_its_subscription() {
        let mut retained = retained();
        retained.store(&routed("a", "1"), 1, ROOM);
        retained.store(&routed("b", "2"), 2, ROOM);
        assert_eq!(topics(&mut retained, "#", 1), ["a"]);
    }

    #[test]
    fn a_long_scan_is_cut_into_steps() {
        let mut retained = retained();
        let room = Room { messages: usize::MAX, bytes: usize::MAX, alone: 0 };
        for number in 0..2 * SCAN {
            retained.store(&routed(&format!("{number}/x"), "x"), 1, room);
        }
        retained.store(&routed("z/y", "x"), 1, room);
        assert_eq!(topics(&mut retained, "+/y", 1), ["z/y"]);
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let mut retained = retained();
        let room = Room { messages: 1, bytes: 100, alone: 0 };
        assert!(retained.store(&routed("a", "1"), 1, room));
        assert!(!retained.store(&routed("b", "1"), 1, room));
        assert!(retained.store(&routed("a", ""), 1, room));
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
        assert!(retained.store(&routed("b", "1"), 1, room));
    }

    #[test]
    fn the_budget_bounds_it_too() {
        let budget = Arc::new(Budget::new(10_000));
        let mut retained = Retained::new(Arc::clone(&budget));
        let kept =
            (0..100).filter(|number| retained.store(&routed(&number.to_string(), "x"), 1, ROOM)).count();
        assert_eq!(kept, 15, "half of the budget");
        assert!(retained.store(&routed("0", "y"), 2, ROOM), "what is there can be replaced");
        assert!(!retained.store(&routed("x", "y"), 2, ROOM));
        for number in 0..100 {
            retained.store(&routed(&number.to_string(), ""), 3, ROOM);
        }
        assert_eq!(budget.used(), 0);
    }
}
