//! `Slab`: values under small numbers, so that a tree of them needs no pointers and drops without recursion.

use alloc::vec::Vec;

/// Stands for "no value" where a number is stored.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot, or [`NONE`].
    free: u32,
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Used(T),
    /// The next free slot, or [`NONE`].
    Free(u32),
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: NONE }
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.slots.get_mut(self.free as usize)
            && let Slot::Free(next) = *slot
        {
            *slot = Slot::Used(value);
            return core::mem::replace(&mut self.free, next);
        }
        self.slots.push(Slot::Used(value));
        (self.slots.len() - 1) as u32
    }

    pub(super) fn remove(&mut self, key: u32) {
        if let Some(slot @ Slot::Used(_)) = self.slots.get_mut(key as usize) {
            *slot = Slot::Free(self.free);
            self.free = key;
        }
    }

    pub(super) fn get(&self, key: u32) -> Option<&T> {
        match self.slots.get(key as usize)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.slots.get_mut(key as usize)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// Every value with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(key, slot)| match slot {
            Slot::Used(value) => Some((key as u32, value)),
            Slot::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_reused() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        slab.remove(a);
        slab.remove(a);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.insert('c'), a);
        assert_eq!(slab.insert('d'), 2);
        assert_eq!((slab.get(a), slab.get(b)), (Some(&'c'), Some(&'b')));
        assert_eq!(slab.get(NONE), None);
    }
}
