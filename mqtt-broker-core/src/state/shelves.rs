//! `Shelves`: a slab that never moves what is in it.
//!
//! A slab that grows copies all it holds while everybody waits, and leaves memory behind that is as large as it was. Here
//! another shelf is put up, and taken down when nothing is left on it.

use std::ops::{Index, IndexMut};

use slab::Slab;

#[derive(Debug)]
pub(super) struct Shelves<T> {
    all: Vec<Slab<T>>,
    /// The numbers of those that have room.
    roomy: Vec<usize>,
    len: usize,
}

/// The places of a shelf.
const PLACES: usize = 256;

impl<T> Shelves<T> {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new(), roomy: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All slots are below.
    pub(super) fn end(&self) -> usize {
        self.all.len() * PLACES
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.all.get(slot / PLACES)?.get(slot % PLACES)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.all.get_mut(slot / PLACES)?.get_mut(slot % PLACES)
    }

    /// Returns where it is.
    pub(super) fn insert(&mut self, value: T) -> usize {
        let number = self.roomy.last().copied().unwrap_or_else(|| {
            self.all.push(Slab::new());
            self.roomy.push(self.all.len() - 1);
            self.all.len() - 1
        });
        let shelf = &mut self.all[number];
        if shelf.capacity() == 0 {
            shelf.reserve_exact(PLACES);
        }
        let place = shelf.insert(value);
        if shelf.len() == PLACES {
            self.roomy.pop();
        }
        self.len += 1;
        number * PLACES + place
    }

    pub(super) fn try_remove(&mut self, slot: usize) -> Option<T> {
        let number = slot / PLACES;
        let shelf = self.all.get_mut(number)?;
        let value = shelf.try_remove(slot % PLACES)?;
        if shelf.len() == PLACES - 1 {
            self.roomy.push(number);
        }
        if shelf.is_empty() {
            *shelf = Slab::new();
        }
        self.len -= 1;
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let shelves = self.all.iter().enumerate();
        shelves.flat_map(|(number, shelf)| {
            shelf.iter().map(move |(place, value)| (number * PLACES + place, value))
        })
    }
}

impl<T> Index<usize> for Shelves<T> {
    type Output = T;

    fn index(&self, slot: usize) -> &T {
        &self.all[slot / PLACES][slot % PLACES]
    }
}

impl<T> IndexMut<usize> for Shelves<T> {
    fn index_mut(&mut self, slot: usize) -> &mut T {
        &mut self.all[slot / PLACES][slot % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{PLACES, Shelves};

    #[test]
    fn what_is_put_there_stays_where_it_is() {
        let mut shelves = Shelves::new();
        let first = shelves.insert(0);
        let address: *const usize = &raw const shelves[first];
        for value in 1..10 * PLACES {
            assert_eq!(shelves.insert(value), value);
        }
        assert!(std::ptr::eq(address, &raw const shelves[first]));
        for slot in 0..10 * PLACES {
            assert_eq!(shelves.try_remove(slot), Some(slot));
        }
        assert!(shelves.all.iter().all(|shelf| shelf.capacity() == 0));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..60)) {
            let (mut shelves, mut model, mut slots) = (Shelves::new(), HashMap::new(), Vec::new());
            for (inserts, index) in steps {
                // In heaps, for shelves to be full.
                for value in 0..100 {
                    if inserts {
                        let slot = shelves.insert(value);
                        slots.push(slot);
                        prop_assert_eq!(model.insert(slot, value), None);
                    } else if !slots.is_empty() {
                        let slot = slots.swap_remove(index.index(slots.len()));
                        prop_assert_eq!(shelves.try_remove(slot), model.remove(&slot));
                        prop_assert_eq!(shelves.try_remove(slot), None);
                        prop_assert!(shelves.get(slot).is_none());
                    }
                }
                prop_assert_eq!(shelves.len(), model.len());
            }
            prop_assert_eq!(shelves.iter().map(|(slot, &value)| (slot, value)).collect::<HashMap<_, _>>(), model);
        }
    }
}
