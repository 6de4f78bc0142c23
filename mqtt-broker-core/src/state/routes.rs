//! `Routes`: whom messages to a topic are for, of topics that are published to again and again.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::budget::Budget;

/// What was found for topics, as long as it is true. `T` is one of those that a message is for.
///
/// A topic is noted when it is asked for the second time: who publishes to a new one with each message fills no table.
#[derive(Debug)]
pub(super) struct Routes<T> {
    known: HashMap<Box<[u8]>, Route<T>>,
    /// A bit for each hash of a topic that was asked for.
    seen: Box<[u64]>,
    /// How many bits are set.
    seen_count: usize,
    /// Entries of an earlier one are not true any more.
    epoch: u64,
    weight: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Route<T> {
    epoch: u64,
    targets: Targets<T>,
}

#[derive(Debug)]
enum Targets<T> {
    None,
    One(T),
    Many(Box<[T]>),
}

/// Longer topics are not noted, in bytes.
const LONGEST: usize = 256;
/// Nor are those of messages for more than so many: to find them is little beside what they are sent.
const MOST_TARGETS: usize = 8;
/// The bits of `seen`, as a power of two.
const BITS: usize = 1 << 16;
/// What an entry takes beside its topic and its targets, in bytes.
const ENTRY: usize = 112;
/// What all may weigh, in bytes, and as a part of the budget.
const MOST: usize = 4 << 20;
const PART: usize = 64;

impl<T: Clone> Routes<T> {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let known = HashMap::new();
        Self { known, seen: Box::default(), seen_count: 0, epoch: 0, weight: 0, budget }
    }

    /// Whom messages to this topic are for, if that is known.
    pub(super) fn get(&self, topic: &[u8]) -> Option<&[T]> {
        let route = self.known.get(topic).filter(|route| route.epoch == self.epoch)?;
        Some(route.targets())
    }

    /// Notes what was found, or not.
    pub(super) fn note(&mut self, topic: &[u8], targets: &[T]) {
        if topic.len() > LONGEST || targets.len() > MOST_TARGETS || !self.is_seen(topic) {
            return;
        }
        self.remove(topic);
        let weight = weight(topic, targets);
        if self.weight + weight > MOST.min(self.budget.limit() / PART) {
            self.clear();
            return;
        }
        let targets = match targets {
            [] => Targets::None,
            [one] => Targets::One(one.clone()),
            many => Targets::Many(many.into()),
        };
        self.known.insert(topic.into(), Route { epoch: self.epoch, targets });
        self.weigh(self.weight + weight);
    }

    /// The subscriptions to exactly this topic are others now.
    pub(super) fn forget(&mut self, topic: &[u8]) {
        if !self.known.is_empty() {
            self.remove(topic);
        }
    }

    /// The subscriptions to any topic may be others now.
    pub(super) fn forget_all(&mut self) {
        self.epoch += 1;
    }

    /// What it adds to the weight of what lasts, in bytes.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        assert_eq!(
            self.known.iter().map(|(topic, route)| weight(topic, route.targets())).sum::<usize>(),
            self.weight
        );
        self.weight
    }

    fn remove(&mut self, topic: &[u8]) {
        if let Some((topic, route)) = self.known.remove_entry(topic) {
            self.weigh(self.weight - weight(&topic, route.targets()));
        }
    }

    /// There are no subscriptions any more, or too many topics.
    pub(super) fn clear(&mut self) {
        self.known = HashMap::new();
        self.weigh(0);
    }

    fn weigh(&mut self, weight: usize) {
        self.budget.last(self.weight, weight);
        self.weight = weight;
    }

    /// Whether the topic was asked for before, or another with the same hash; now it was.
    fn is_seen(&mut self, topic: &[u8]) -> bool {
        if self.seen_count == 0 || self.seen_count > BITS / 2 {
            self.seen = vec![0; BITS / 64].into();
            self.seen_count = 0;
        }
        let bit = self.known.hasher().hash_one(topic) as usize % BITS;
        let Some(word) = self.seen.get_mut(bit / 64) else { return false };
        let is_seen = *word >> (bit % 64) & 1 == 1;
        *word |= 1 << (bit % 64);
        self.seen_count += usize::from(!is_seen);
        is_seen
    }
}

impl<T> Route<T> {
    fn targets(&self) -> &[T] {
        match &self.targets {
            Targets::None => &[],
            Targets::One(target) => std::slice::from_ref(target),
            Targets::Many(targets) => targets,
        }
    }
}

fn weight<T>(topic: &[u8], targets: &[T]) -> usize {
    let targets = if targets.len() > 1 { size_of_val(targets) } else { 0 };
    ENTRY + topic.len() + targets
}

impl<T> Drop for Routes<T> {
    fn drop(&mut self) {
        self.budget.last(self.weight, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_known_from_the_second_time_on_and_until_it_is_forgotten() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut routes = Routes::new(Arc::clone(&budget));
        for targets in [&[][..], &[1], &[1, 2, 3]] {
            routes = Routes::new(Arc::clone(&budget));
            routes.note(b"a/b", targets);
            assert_eq!(routes.get(b"a/b"), None);
            routes.note(b"a/b", targets);
            assert_eq!(routes.get(b"a/b"), Some(targets));
            routes.forget(b"a");
            assert_eq!(routes.get(b"a/b"), Some(targets));
            assert_eq!(budget.weights().1, routes.weight());
            routes.forget(b"a/b");
            assert_eq!((routes.get(b"a/b"), routes.weight()), (None, 0));
            routes.note(b"a/b", targets);
            routes.forget_all();
            assert_eq!(routes.get(b"a/b"), None);
            routes.note(b"a/b", &[7]);
            assert_eq!(routes.get(b"a/b"), Some(&[7][..]));
        }
        drop(routes);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut routes = Routes::new(Arc::clone(&budget));
        let many = [0; MOST_TARGETS + 1];
        let mut most = 0;
        for number in 0..100_000u32 {
            for _ in 0..2 {
                routes.note(&number.to_be_bytes(), &many[..number as usize % 4]);
                routes.note(&[7; LONGEST + 1], &[]);
                routes.note(b"many", &many);
            }
            most = most.max(routes.weight);
        }
        assert!(most <= 1 << 14 && most > 1 << 13, "{most}");
        assert_eq!(budget.weights().1, routes.weight());
        assert_eq!((routes.get(&[7; LONGEST + 1]), routes.get(b"many")), (None, None));
    }

    #[test]
    fn topics_that_do_not_come_again_are_not_noted() {
        let mut routes = Routes::new(Arc::new(Budget::new(1 << 30)));
        for number in 0..1_000_000u32 {
            routes.note(&number.to_be_bytes(), &[1]);
        }
        assert!(routes.known.len() < 400_000, "{}", routes.known.len());
    }
}
