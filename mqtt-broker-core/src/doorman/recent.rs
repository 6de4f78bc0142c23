//! `Recent`: a table that forgets what it has not seen for long, so that it never grows beyond its bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Two generations of entries. When the newer is full the older is forgotten, so that everything stays for at least half
/// of `limit` other entries, and nothing needs to be searched for the oldest.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Of at most so many entries.
    pub(super) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// The value of a key, a new one if none is remembered.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= (self.limit / 2).max(1) {
            self.old = mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| known.unwrap_or_else(new))
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_is_used_and_never_grows_beyond_its_bound() {
        let mut recent = Recent::new(10);
        *recent.entry(0, || 0) = 7;
        for number in 1..1_000 {
            recent.entry(number, || number);
            assert!(recent.young.len() + recent.old.len() <= 10);
            assert_eq!(*recent.entry(0, || 0), 7, "it is seen all the time");
        }
        assert_eq!(*recent.entry(5, || 55), 55, "it has not been seen for long");
        recent.forget(&5);
        assert_eq!(*recent.entry(5, || 56), 56);
    }
}
