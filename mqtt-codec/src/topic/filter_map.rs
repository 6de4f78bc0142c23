//! `FilterMap`: subscriptions by topic filter, found by topic name.

mod entries;
mod label;
mod levels;
mod slab;
mod trie;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::hash::Hash;

use hashbrown::{DefaultHashBuilder, HashMap};

use self::entries::Entries;
use self::trie::Trie;

/// A table of subscriptions: any number of keys, each with a value, under any number of topic filters.
///
/// A broker keeps its subscribers in one, a client its handlers. Filters without wildcards are found with one
/// hash of the whole topic name; filters with wildcards are a tree of levels, of which a match visits only
/// prefixes that fit the name, each once. Nothing recurses, so neither the depth of a topic nor its number of
/// wildcards can exhaust the stack or the processor. Keys under one filter are visited in an order that depends
/// on the calls before, and on nothing else.
///
/// Filters are patterns without a share prefix, as [`TopicFilter::pattern`](crate::TopicFilter::pattern) gives
/// them. One that is no valid filter does no harm: it can be stored and removed, and what it matches is
/// unspecified.
///
/// ```
/// use mqttkit_codec::FilterMap;
///
/// let mut subscribers = FilterMap::new();
/// subscribers.insert("home/+/temperature", "display", 1);
/// subscribers.insert("home/#", "logger", 0);
/// subscribers.insert("home/kitchen/temperature", "heating", 2);
/// assert_eq!(subscribers.insert("home/#", "logger", 1), Some(0));
///
/// let mut found = Vec::new();
/// subscribers.for_each_match("home/kitchen/temperature", |&name, &qos| found.push((name, qos)));
/// found.sort();
/// assert_eq!(found, [("display", 1), ("heating", 2), ("logger", 1)]);
///
/// assert_eq!(subscribers.remove("home/#", &"logger"), Some(1));
/// assert_eq!(subscribers.len(), 2);
/// ```
#[derive(Clone)]
pub struct FilterMap<K, V> {
    exact: HashMap<Box<str>, Entries<K, V>>,
    wild: Trie<K, V>,
    hasher: DefaultHashBuilder,
    len: usize,
}

impl<K: Eq + Hash, V> FilterMap<K, V> {
    /// A table without subscriptions.
    pub fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { exact: HashMap::default(), wild: Trie::new(), hasher, len: 0 }
    }

    /// How many subscriptions there are: pairs of filter and key.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Subscribes `key` to `filter`. Returns the value it had there, which is replaced.
    pub fn insert(&mut self, filter: &str, key: K, value: V) -> Option<V> {
        let old = if has_wildcard(filter) {
            self.wild.insert(filter, key, value, &self.hasher)
        } else if let Some(entries) = self.exact.get_mut(filter) {
            entries.insert(key, value, &self.hasher)
        } else {
            self.exact.insert(filter.into(), Entries::One(key, value));
            None
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Ends the subscription of `key` to `filter`. Returns its value, or `None` if there was none.
    pub fn remove(&mut self, filter: &str, key: &K) -> Option<V> {
        let old = if has_wildcard(filter) {
            self.wild.remove(filter, key, &self.hasher)
        } else {
            let entries = self.exact.get_mut(filter)?;
            let old = entries.remove(key, &self.hasher);
            if entries.is_empty() {
                self.exact.remove(filter);
            }
            old
        };
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value of `key` under exactly this filter.
    pub fn get(&self, filter: &str, key: &K) -> Option<&V> {
        let entries =
            if has_wildcard(filter) { self.wild.get(filter, &self.hasher) } else { self.exact.get(filter) };
        entries?.get(key, &self.hasher)
    }

    /// The value of `key` under exactly this filter, to change it.
    pub fn get_mut(&mut self, filter: &str, key: &K) -> Option<&mut V> {
        let entries = if has_wildcard(filter) {
            self.wild.get_mut(filter, &self.hasher)
        } else {
            self.exact.get_mut(filter)
        };
        entries?.get_mut(key, &self.hasher)
    }

    /// Calls `found` once with each subscription whose filter matches `topic`. A key that is subscribed to several
    /// matching filters is found several times.
    ///
    /// A topic that starts with `$` is not found by a filter that starts with a wildcard. [MQTT-4.7.2-1]
    pub fn for_each_match<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a K, &'a V)) {
        let mut each = |entries: &'a Entries<K, V>| entries.iter().for_each(|(key, value)| found(key, value));
        if let Some(entries) = self.exact.get(topic) {
            each(entries);
        }
        self.wild.for_each_match(topic, &self.hasher, each);
    }

    /// Every subscription with its filter, in no particular order. A filter with wildcards is put together for
    /// it, so this is for listings rather than for busy paths.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &K, &V)> {
        let exact = self.exact.iter().map(|(filter, entries)| (Cow::Borrowed(&**filter), entries));
        let wild = self.wild.iter().map(|(filter, entries)| (Cow::Owned(filter), entries));
        exact.chain(wild).flat_map(|(filter, entries)| {
            entries.iter().map(move |(key, value)| (filter.clone(), key, value))
        })
    }
}

impl<K: Eq + Hash, V> Default for FilterMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + fmt::Debug, V: fmt::Debug> fmt::Debug for FilterMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(filter, key, value)| ((filter, key), value))).finish()
    }
}

fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::matches;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn found(map: &FilterMap<u32, ()>, topic: &str) -> Vec<u32> {
        let mut keys = Vec::new();
        map.for_each_match(topic, |&key, ()| keys.push(key));
        keys.sort_unstable();
        keys
    }

    fn map_of(filters: &[&str]) -> FilterMap<u32, ()> {
        let mut map = FilterMap::new();
        for (filter, key) in filters.iter().zip(0..) {
            assert_eq!(map.insert(filter, key, ()), None);
        }
        map
    }

    #[test]
    fn wildcards_follow_the_specification() {
        let map = map_of(&["#", "+", "+/+", "/+", "a/#", "a/+", "a", "a/", "+/b/#", "/", "a//+"]);
        assert_eq!(found(&map, "a"), [0, 1, 4, 6]);
        assert_eq!(found(&map, "a/"), [0, 2, 4, 5, 7]);
        assert_eq!(found(&map, "a/b"), [0, 2, 4, 5, 8]);
        assert_eq!(found(&map, "/"), [0, 2, 3, 9]);
        assert_eq!(found(&map, "/b"), [0, 2, 3, 8]);
        assert_eq!(found(&map, "a//b"), [0, 4, 10]);
        assert_eq!(found(&map, "x/b/c/d"), [0, 8]);
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_leading_wildcard_does_not_match_a_leading_dollar() {
        let map = map_of(&["#", "+/monitor/#", "+", "$SYS/#", "$SYS/monitor/+", "$SYS", "a/+"]);
        assert_eq!(found(&map, "$SYS"), [3, 5]);
        assert_eq!(found(&map, "$SYS/monitor/Clients"), [3, 4]);
        assert_eq!(found(&map, "a/$SYS"), [0, 6]);
    }

    #[test]
    fn keys_are_unique_within_a_filter() {
        let mut map = FilterMap::new();
        for filter in ["a", "a/+", "#"] {
            assert_eq!(map.insert(filter, "k", 1), None);
            assert_eq!(map.insert(filter, "k", 2), Some(1));
            assert_eq!(map.insert(filter, "l", 3), None);
            assert_eq!(map.get(filter, &"k"), Some(&2));
            *map.get_mut(filter, &"k").unwrap() = 4;
            assert_eq!(map.remove(filter, &"k"), Some(4));
            assert_eq!(map.remove(filter, &"k"), None);
            assert_eq!(map.get(filter, &"k"), None);
        }
        assert_eq!(map.len(), 3);
        let mut all: Vec<_> =
            map.iter().map(|(filter, &key, &value)| (filter.into_owned(), key, value)).collect();
        all.sort();
        assert_eq!(all, [("#".into(), "l", 3), ("a".into(), "l", 3), ("a/+".into(), "l", 3)]);
    }

    #[test]
    fn removal_leaves_no_nodes_behind() {
        let filters = ["a/+/c/#", "a/+", "+/+/+", "#", "a/b/c/+/d", "/#", "x"];
        let mut map = map_of(&filters);
        for (filter, key) in filters.iter().zip(0..) {
            assert_eq!(map.remove(filter, &key), Some(()));
        }
        assert!(map.is_empty());
        assert_eq!(map.wild.node_count(), 1);
        assert!(map.exact.is_empty());
    }

    #[test]
    fn the_deepest_filters_and_topics_need_no_stack() {
        let levels = 32_768;
        let topic = vec!["x"; levels].join("/");
        let all_plus = vec!["+"; levels].join("/");
        let mut alternating = ["x", "+"].repeat(levels / 2).join("/");
        alternating.push_str("/#");
        let mut map = map_of(&[&all_plus, &alternating, "+/x/#"]);
        assert_eq!(found(&map, &topic), [0, 1, 2]);
        assert_eq!(found(&map, &"/".repeat(levels - 1)), [0]);
        assert_eq!(map.iter().count(), 3);
        drop(map.clone());
        assert_eq!(map.remove(&all_plus, &0), Some(()));
        assert_eq!(map.remove(&alternating, &1), Some(()));
        assert_eq!(map.wild.node_count(), 3);
    }

    /// Each prefix is visited once, though 2^12 of the filters' paths fit the name.
    #[test]
    fn overlapping_wildcards_cost_no_more_than_their_nodes() {
        let mut map = FilterMap::new();
        for bits in 0..1u32 << 12 {
            let levels: Vec<_> = (0..12).map(|bit| if bits >> bit & 1 == 1 { "+" } else { "x" }).collect();
            map.insert(&(levels.join("/") + "/#"), bits, ());
        }
        assert_eq!(found(&map, &["x"; 12].join("/")).len(), 1 << 12);
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just(""), Just("a"), Just("b"), Just("$a"), Just("ab")].prop_map(ToString::to_string)
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..6)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a name has a character", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 2 => Just("+".to_string())];
        (prop::collection::vec(level, 0..6), any::<bool>())
            .prop_map(|(mut levels, multi)| {
                if multi {
                    levels.push("#".to_string());
                }
                levels.join("/")
            })
            .prop_filter("a filter has a character", |filter| !filter.is_empty())
    }

    proptest! {
        #[test]
        fn finds_what_a_naive_match_finds(
            subscriptions in prop::collection::vec((filter(), 0..4u32), 0..40),
            removals in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            topics in prop::collection::vec(topic(), 1..10),
        ) {
            let mut map = FilterMap::new();
            let mut naive: Vec<(String, u32, usize)> = Vec::new();
            for (value, (filter, key)) in subscriptions.iter().enumerate() {
                let old = naive.iter_mut().find(|(f, k, _)| f == filter && k == key);
                let expected = old.as_ref().map(|(_, _, old)| *old);
                match old {
                    Some((_, _, old)) => *old = value,
                    None => naive.push((filter.clone(), *key, value)),
                }
                prop_assert_eq!(map.insert(filter, *key, value), expected);
            }
            for removal in removals {
                if naive.is_empty() { break; }
                let (filter, key, value) = naive.swap_remove(removal.index(naive.len()));
                prop_assert_eq!(map.remove(&filter, &key), Some(value));
                prop_assert_eq!(map.remove(&filter, &key), None);
            }
            prop_assert_eq!(map.len(), naive.len());
            let mut listed: Vec<_> = map.iter().map(|(f, &k, &v)| (f.into_owned(), k, v)).collect();
            listed.sort();
            naive.sort();
            prop_assert_eq!(&listed, &naive);
            for topic in topics {
                let mut found = Vec::new();
                map.for_each_match(&topic, |&key, &value| found.push((key, value)));
                found.sort_unstable();
                let mut expected: Vec<_> =
                    naive.iter().filter(|(f, ..)| matches(f, &topic)).map(|&(_, k, v)| (k, v)).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected, "{}", format!("topic {topic:?}"));
            }
        }
    }
}
