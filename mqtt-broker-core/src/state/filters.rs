//! `Filters`: what a session is subscribed to. Most have few filters, which a list holds in a quarter of the memory.

use std::collections::HashSet;

use mqttkit_codec::TopicFilter;

#[derive(Debug)]
pub(super) struct Filters(Held);

#[derive(Debug)]
enum Held {
    Few(Vec<TopicFilter>),
    #[expect(clippy::box_collection, reason = "sessions are as large as the larger of these")]
    Many(Box<HashSet<TopicFilter>>),
}

/// Up to here to look at all of them is as quick as to hash one.
const FEW: usize = 8;

impl Filters {
    pub(super) const fn new() -> Self {
        Self(Held::Few(Vec::new()))
    }

    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Held::Few(list) => list.len(),
            Held::Many(set) => set.len(),
        }
    }

    pub(super) fn get(&self, filter: &TopicFilter) -> Option<&TopicFilter> {
        match &self.0 {
            Held::Few(list) => list.iter().find(|known| *known == filter),
            Held::Many(set) => set.get(filter),
        }
    }

    /// Adds a filter, unless it is there.
    pub(super) fn insert(&mut self, filter: TopicFilter) {
        match &mut self.0 {
            Held::Few(list) if list.contains(&filter) => {}
            Held::Few(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push(filter);
            }
            Held::Few(list) => {
                let set = list.drain(..).chain([filter]).collect();
                self.0 = Held::Many(Box::new(set));
            }
            Held::Many(set) => {
                set.insert(filter);
            }
        }
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, filter: &TopicFilter) -> bool {
        match &mut self.0 {
            Held::Few(list) => {
                let index = list.iter().position(|known| known == filter);
                index.map(|index| list.swap_remove(index)).is_some()
            }
            Held::Many(set) => {
                let removed = set.remove(filter);
                if set.is_empty() {
                    *self = Self::new();
                }
                removed
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TopicFilter> {
        let (few, many) = match &self.0 {
            Held::Few(list) => (Some(list), None),
            Held::Many(set) => (None, Some(set)),
        };
        few.into_iter().flatten().chain(many.into_iter().flat_map(|set| set.iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_set_are_the_same_from_outside() {
        let filter = |number: usize| TopicFilter::try_from(format!("a/{number}/#")).unwrap();
        for count in [1, FEW, FEW + 1, 5 * FEW] {
            let mut filters = Filters::new();
            for number in 0..count {
                assert!(filters.get(&filter(number)).is_none());
                filters.insert(filter(number));
                filters.insert(filter(number));
                assert_eq!(filters.get(&filter(number)), Some(&filter(number)));
                assert_eq!(filters.len(), number + 1);
            }
            let mut all: Vec<_> = filters.iter().map(ToString::to_string).collect();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count);
            for number in 0..count {
                assert!(filters.remove(&filter(number)));
                assert!(!filters.remove(&filter(number)));
            }
            assert_eq!(filters.len(), 0);
            assert!(filters.iter().next().is_none());
        }
    }
}
