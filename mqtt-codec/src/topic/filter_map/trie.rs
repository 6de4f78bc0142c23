//! `Trie`: filters with wildcards as a tree of levels, walked without recursion.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hash;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::entries::Entries;
use super::label::Label;
use super::levels::{Level, Levels};
use super::slab::{NONE, Slab};

/// The node of the empty prefix.
const ROOT: u32 = 0;

#[derive(Clone, Debug)]
pub(super) struct Trie<K, V> {
    nodes: Slab<Node>,
    /// The subscriptions of all nodes that have any; most nodes have none.
    entries: Slab<Entries<K, V>>,
    /// Every node that stands for a literal level, by parent and level: one table, so that a node needs none.
    literals: HashTable<u32>,
}

/// A prefix of filters. `+` is a node of its own, `#` is not, since nothing follows it.
#[derive(Clone, Debug)]
struct Node {
    /// The last level of the prefix.
    level: Label,
    parent: u32,
    /// How many literal children there are.
    literals: u32,
    /// The child for `+`, or [`NONE`].
    plus: u32,
    /// The entries of the filter that ends here, or [`NONE`].
    here: u32,
    /// The entries of the filter that goes on with `#`, or [`NONE`].
    below: u32,
}

impl Node {
    fn new(level: &str, parent: u32) -> Self {
        Self { level: Label::new(level), parent, literals: 0, plus: NONE, here: NONE, below: NONE }
    }

    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        literal_hash(self.parent, Level::new(self.level.as_bytes(), hasher))
    }

    fn is_unused(&self) -> bool {
        self.literals == 0 && self.plus == NONE && self.here == NONE && self.below == NONE
    }
}

/// The two places at a node where entries can hang.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Here,
    Below,
}

impl<K: Eq + Hash, V> Trie<K, V> {
    pub(super) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new("", NONE));
        Self { nodes, entries: Slab::new(), literals: HashTable::new() }
    }

    pub(super) fn insert(
        &mut self,
        filter: &str,
        key: K,
        value: V,
        hasher: &DefaultHashBuilder,
    ) -> Option<V> {
        let (levels, place) = split(filter);
        let mut node = ROOT;
        for level in levels {
            node = match self.child(node, level, hasher) {
                Some(child) => child,
                None => self.add_child(node, level, hasher),
            };
        }
        let slot = match (self.nodes.get_mut(node)?, place) {
            (node, Place::Here) => &mut node.here,
            (node, Place::Below) => &mut node.below,
        };
        if *slot == NONE {
            *slot = self.entries.insert(Entries::Empty);
        }
        self.entries.get_mut(*slot)?.insert(key, value, hasher)
    }

    pub(super) fn remove(&mut self, filter: &str, key: &K, hasher: &DefaultHashBuilder) -> Option<V> {
        let (node, place) = self.find(filter, hasher)?;
        let slot = self.slot(node, place)?;
        let entries = self.entries.get_mut(slot)?;
        let removed = entries.remove(key, hasher)?;
        if entries.is_empty() {
            self.entries.remove(slot);
            match (self.nodes.get_mut(node)?, place) {
                (node, Place::Here) => node.here = NONE,
                (node, Place::Below) => node.below = NONE,
            }
            self.prune(node, hasher);
        }
        Some(removed)
    }

    pub(super) fn get(&self, filter: &str, hasher: &DefaultHashBuilder) -> Option<&Entries<K, V>> {
        let (node, place) = self.find(filter, hasher)?;
        self.entries.get(self.slot(node, place)?)
    }

    pub(super) fn get_mut(
        &mut self,
        filter: &str,
        hasher: &DefaultHashBuilder,
    ) -> Option<&mut Entries<K, V>> {
        let (node, place) = self.find(filter, hasher)?;
        self.entries.get_mut(self.slot(node, place)?)
    }

    /// Calls `found` with the entries of each filter that matches.
    ///
    /// A node stands for one prefix, so each is visited at most once, whatever the filters are.
    pub(super) fn for_each_match<'a>(
        &'a self,
        topic: &str,
        hasher: &DefaultHashBuilder,
        mut found: impl FnMut(&'a Entries<K, V>),
    ) {
        // [MQTT-4.7.2-1] a leading wildcard does not match a leading `$`
        let dollar = topic.starts_with('$');
        let mut emit = |slot| self.entries.get(slot).map(&mut found);
        let mut levels = Levels::new(topic, hasher);
        let mut pending = Pending::new(Visit { node: ROOT, depth: 0 });
        while let Some(Visit { node: number, depth }) = pending.pop() {
            let Some(node) = self.nodes.get(number) else { continue };
            let wildcards = number != ROOT || !dollar;
            // `#` stands for the parent level too: `a/#` matches `a`.
            if node.below != NONE && wildcards {
                emit(node.below);
            }
            if !levels.has(depth as usize) {
                if node.here != NONE {
                    emit(node.here);
                }
                continue;
            }
            if node.plus == NONE && node.literals == 0 {
                continue;
            }
            let Some(level) = levels.get(depth as usize) else { continue };
            if node.plus != NONE && wildcards {
                pending.push(Visit { node: node.plus, depth: depth + 1 });
            }
            if node.literals > 0
                && let Some(child) = self.literal(number, level)
            {
                pending.push(Visit { node: child, depth: depth + 1 });
            }
        }
    }

    /// Every filter with its entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, &Entries<K, V>)> {
        self.nodes.iter().flat_map(move |(number, node)| {
            let filter = move |slot, end: &[&str]| {
                self.entries.get(slot).map(|entries| (self.filter(number, end), entries))
            };
            [filter(node.here, &[]), filter(node.below, &["#"])].into_iter().flatten()
        })
    }

    /// The filter of a node, with a level appended.
    fn filter(&self, number: u32, end: &[&str]) -> String {
        let mut levels: Vec<&str> = end.to_vec();
        let mut at = number;
        while at != ROOT
            && let Some(node) = self.nodes.get(at)
        {
            levels.push(node.level.as_str());
            at = node.parent;
        }
        levels.reverse();
        levels.join("/")
    }

    fn find(&self, filter: &str, hasher: &DefaultHashBuilder) -> Option<(u32, Place)> {
        let (mut levels, place) = split(filter);
        Some((levels.try_fold(ROOT, |node, level| self.child(node, level, hasher))?, place))
    }

    fn slot(&self, node: u32, place: Place) -> Option<u32> {
        let node = self.nodes.get(node)?;
        Some(if place == Place::Here { node.here } else { node.below })
    }

    fn child(&self, parent: u32, level: &str, hasher: &DefaultHashBuilder) -> Option<u32> {
        if level == "+" {
            self.nodes.get(parent).map(|node| node.plus).filter(|&plus| plus != NONE)
        } else {
            self.literal(parent, Level::new(level.as_bytes(), hasher))
        }
    }

    fn literal(&self, parent: u32, level: Level<'_>) -> Option<u32> {
        let is_child = |&number: &u32| {
            self.nodes.get(number).is_some_and(|node| node.parent == parent && node.level.is(level.text))
        };
        self.literals.find(literal_hash(parent, level), is_child).copied()
    }

    fn add_child(&mut self, parent: u32, level: &str, hasher: &DefaultHashBuilder) -> u32 {
        let child = self.nodes.insert(Node::new(level, parent));
        if level == "+" {
            if let Some(node) = self.nodes.get_mut(parent) {
                node.plus = child;
            }
            return child;
        }
        if let Some(node) = self.nodes.get_mut(parent) {
            node.literals += 1;
        }
        let Self { nodes, literals, .. } = self;
        let hash = |&number: &u32| nodes.get(number).map_or(0, |node| node.hash(hasher));
        literals.insert_unique(hash(&child), child, hash);
        child
    }

    /// Drops a node that nothing needs any more, and its ancestors with it.
    fn prune(&mut self, mut number: u32, hasher: &DefaultHashBuilder) {
        while number != ROOT
            && let Some(node) = self.nodes.get(number)
            && node.is_unused()
        {
            let parent = node.parent;
            let hash = node.hash(hasher);
            let is_plus = self.nodes.get(parent).is_some_and(|node| node.plus == number);
            if !is_plus && let Ok(found) = self.literals.find_entry(hash, |&found| found == number) {
                found.remove();
            }
            if let Some(parent) = self.nodes.get_mut(parent) {
                if is_plus {
                    parent.plus = NONE;
                } else {
                    parent.literals -= 1;
                }
            }
            self.nodes.remove(number);
            number = parent;
        }
    }

    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.nodes.iter().count()
    }
}

/// The levels of a filter without the `#` at its end, and where that puts its entries.
fn split(filter: &str) -> (impl Iterator<Item = &str>, Place) {
    let (prefix, place) = match filter.strip_suffix('#') {
        Some("") => (None, Place::Below),
        Some(prefix) if prefix.ends_with('/') => (prefix.strip_suffix('/'), Place::Below),
        _ => (Some(filter), Place::Here),
    };
    (prefix.into_iter().flat_map(|prefix| prefix.split('/')), place)
}

/// The hash of a literal level below `parent`. That of the level is keyed and well mixed, but the same below every
/// parent.
fn literal_hash(parent: u32, level: Level<'_>) -> u64 {
    let mixed = (level.hash ^ u64::from(parent)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 32
}

/// A node to visit, and how many levels of the name its prefix has used up.
#[derive(Clone, Copy)]
struct Visit {
    node: u32,
    depth: u32,
}

/// A stack of nodes to visit that takes memory of its own only when a topic meets many wildcards.
struct Pending {
    near: [Visit; 16],
    len: usize,
    far: Vec<Visit>,
}

impl Pending {
    fn new(first: Visit) -> Self {
        Self { near: [first; 16], len: 1, far: Vec::new() }
    }

    fn push(&mut self, visit: Visit) {
        if let Some(slot) = self.near.get_mut(self.len) {
            *slot = visit;
            self.len += 1;
        } else {
            self.far.push(visit);
        }
    }

    fn pop(&mut self) -> Option<Visit> {
        if let Some(visit) = self.far.pop() {
            return Some(visit);
        }
        self.len = self.len.checked_sub(1)?;
        self.near.get(self.len).copied()
    }
}
