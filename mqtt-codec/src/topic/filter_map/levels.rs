//! `Levels`: the levels of a topic name, each found and hashed once, however many nodes ask for it.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

#[derive(Clone, Copy)]
pub(super) struct Level<'t> {
    pub(super) text: &'t [u8],
    pub(super) hash: u64,
}

impl<'t> Level<'t> {
    pub(super) fn new(text: &'t [u8], hasher: &DefaultHashBuilder) -> Self {
        Self { text, hash: hasher.hash_one(text) }
    }
}

/// So many levels are kept without memory of their own.
const NEAR: usize = 12;

/// Levels are split off the name when they are first asked for, since a tree is rarely as deep as a name is long.
pub(super) struct Levels<'t, 'h> {
    near: [Level<'t>; NEAR],
    far: Vec<Level<'t>>,
    /// How many levels are in `near` and `far`.
    len: usize,
    /// What follows them; `None` at the end of the name.
    rest: Option<&'t [u8]>,
    hasher: &'h DefaultHashBuilder,
}

impl<'t, 'h> Levels<'t, 'h> {
    pub(super) fn new(topic: &'t str, hasher: &'h DefaultHashBuilder) -> Self {
        let near = [Level { text: &[], hash: 0 }; NEAR];
        Self { near, far: Vec::new(), len: 0, rest: Some(topic.as_bytes()), hasher }
    }

    /// Whether the name has a level at this depth, of which all levels above have been asked for.
    pub(super) fn has(&self, depth: usize) -> bool {
        depth < self.len || self.rest.is_some()
    }

    /// The level at this depth, of which all levels above have been asked for.
    pub(super) fn get(&mut self, depth: usize) -> Option<Level<'t>> {
        if depth < self.len {
            return self.near.get(depth).or_else(|| self.far.get(depth - NEAR)).copied();
        }
        let rest = self.rest?;
        let (text, rest) = match rest.iter().position(|&byte| byte == b'/') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        let level = Level::new(text, self.hasher);
        match self.near.get_mut(self.len) {
            Some(slot) => *slot = level,
            None => self.far.push(level),
        }
        self.len += 1;
        self.rest = rest;
        Some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_come_as_split_gives_them() {
        let hasher = DefaultHashBuilder::default();
        let deep = "x/".repeat(2 * NEAR) + "y";
        for topic in ["a", "a/b", "/", "a//", &deep] {
            let mut levels = Levels::new(topic, &hasher);
            for _ in 0..2 {
                for (depth, text) in topic.split('/').enumerate() {
                    assert!(levels.has(depth));
                    let level = levels.get(depth).map(|level| level.text);
                    assert_eq!(level, Some(text.as_bytes()), "{depth} of {topic}");
                }
            }
            let end = topic.split('/').count();
            assert!(!levels.has(end) && levels.get(end).is_none());
        }
    }
}
