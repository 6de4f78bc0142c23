//! `Entries`: the subscriptions under one filter: one usually, a hundred thousand sometimes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Up to so many entries are searched one by one.
const LINEAR: usize = 8;

#[derive(Clone, Debug)]
pub(super) enum Entries<K, V> {
    Empty,
    One(K, V),
    Many(Box<Many<K, V>>),
}

/// More than one. They stand in one array, because a fan-out walks them far more often than they change.
#[derive(Clone, Debug)]
pub(super) struct Many<K, V> {
    items: Vec<(K, V)>,
    /// Where each key stands in `items`; empty while there are at most [`LINEAR`].
    index: HashTable<u32>,
}

impl<K: Eq + Hash, V> Entries<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (one, many) = match self {
            Self::Empty => (None, &[][..]),
            Self::One(key, value) => (Some((key, value)), &[][..]),
            Self::Many(many) => (None, many.items.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn get(&self, key: &K, hasher: &DefaultHashBuilder) -> Option<&V> {
        match self {
            Self::One(found, value) if found == key => Some(value),
            Self::Many(many) => many.items.get(many.position(key, hasher)?).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: &K, hasher: &DefaultHashBuilder) -> Option<&mut V> {
        match self {
            Self::One(found, value) if found == key => Some(value),
            Self::Many(many) => {
                let at = many.position(key, hasher)?;
                many.items.get_mut(at).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Returns the value that was replaced.
    pub(super) fn insert(&mut self, key: K, value: V, hasher: &DefaultHashBuilder) -> Option<V> {
        if let Some(old) = self.get_mut(&key, hasher) {
            return Some(core::mem::replace(old, value));
        }
        *self = match core::mem::replace(self, Self::Empty) {
            Self::Empty => Self::One(key, value),
            Self::One(first, first_value) => {
                let items = Vec::from([(first, first_value), (key, value)]);
                Self::Many(Box::new(Many { items, index: HashTable::new() }))
            }
            Self::Many(mut many) => {
                many.push(key, value, hasher);
                Self::Many(many)
            }
        };
        None
    }

    pub(super) fn remove(&mut self, key: &K, hasher: &DefaultHashBuilder) -> Option<V> {
        match core::mem::replace(self, Self::Empty) {
            Self::One(found, value) if found == *key => Some(value),
            Self::Many(mut many) => {
                let removed = many.position(key, hasher).map(|at| many.swap_remove(at, hasher));
                *self = match many.items.len() {
                    1 => many.items.pop().map_or(Self::Empty, |(key, value)| Self::One(key, value)),
                    _ => Self::Many(many),
                };
                removed
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<K: Eq + Hash, V> Many<K, V> {
    fn position(&self, key: &K, hasher: &DefaultHashBuilder) -> Option<usize> {
        if self.index.is_empty() {
            return self.items.iter().position(|(found, _)| found == key);
        }
        let is_key = |&at: &u32| self.items.get(at as usize).is_some_and(|(found, _)| found == key);
        self.index.find(hasher.hash_one(key), is_key).map(|&at| at as usize)
    }

    /// Adds a key that is not there.
    fn push(&mut self, key: K, value: V, hasher: &DefaultHashBuilder) {
        self.items.push((key, value));
        let Self { items, index } = self;
        let hash = |&at: &u32| items.get(at as usize).map_or(0, |(key, _)| hasher.hash_one(key));
        let unindexed = if items.len() <= LINEAR { items.len() } else { index.len() };
        for at in unindexed as u32..items.len() as u32 {
            index.insert_unique(hash(&at), at, hash);
        }
    }

    fn swap_remove(&mut self, at: usize, hasher: &DefaultHashBuilder) -> V {
        let (key, value) = self.items.swap_remove(at);
        let last = self.items.len() as u32;
        if self.items.len() <= LINEAR {
            self.index = HashTable::new();
            self.items.shrink_to(LINEAR);
        } else {
            if let Ok(found) = self.index.find_entry(hasher.hash_one(&key), |&found| found == at as u32) {
                found.remove();
            }
            if let Some((moved, _)) = self.items.get(at)
                && let Some(found) = self.index.find_mut(hasher.hash_one(moved), |&found| found == last)
            {
                *found = at as u32;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_unique_through_growth_and_shrinking() {
        let hasher = DefaultHashBuilder::default();
        let mut entries = Entries::Empty;
        for round in 0..2 {
            for key in 0..100u32 {
                let old = entries.insert(key, key + round, &hasher);
                assert_eq!(old, (round > 0).then_some(key), "insert {key} in round {round}");
            }
        }
        assert_eq!(entries.iter().count(), 100);
        for key in (0..100).step_by(3).chain((0..100).filter(|key| key % 3 != 0)) {
            assert_eq!(entries.get(&key, &hasher), Some(&(key + 1)));
            assert_eq!(entries.remove(&key, &hasher), Some(key + 1));
            assert_eq!(entries.remove(&key, &hasher), None);
        }
        assert!(entries.is_empty());
    }
}
