//! `Names`: which session has a client identifier. The name itself stands in its session alone.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use mqttkit_codec::Str;

use super::session::Session;
use super::shelves::Shelves;

/// The slots of all sessions, found by their names.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    pub(super) fn get(&self, client_id: &Str, sessions: &Shelves<Session>) -> Option<usize> {
        let is_it =
            |&slot: &u32| sessions.get(slot as usize).is_some_and(|known| known.client_id == *client_id);
        self.slots.find(self.hash(client_id), is_it).map(|&slot| slot as usize)
    }

    /// Adds a session that is there, under a name that no other has.
    pub(super) fn insert(&mut self, slot: usize, sessions: &Shelves<Session>) {
        let hash = |slot: usize| sessions.get(slot).map_or(0, |known| self.hasher.hash_one(&known.client_id));
        self.slots.insert_unique(hash(slot), slot as u32, |&known| hash(known as usize));
    }

    /// Forgets a session that had this name.
    pub(super) fn remove(&mut self, slot: usize, client_id: &Str) {
        if let Ok(found) = self.slots.find_entry(self.hash(client_id), |&known| known as usize == slot) {
            found.remove();
        }
    }

    fn hash(&self, client_id: &Str) -> u64 {
        self.hasher.hash_one(client_id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::budget::Budget;

    #[test]
    fn each_name_finds_its_session_until_that_is_gone() {
        let (mut names, mut sessions, budget) =
            (Names::default(), Shelves::new(), Arc::new(Budget::default()));
        let name = |number: usize| Str::try_from(format!("client-{number}")).unwrap();
        for number in 0..1_000 {
            let slot = sessions.insert(Session::new(name(number), &budget));
            names.insert(slot, &sessions);
        }
        for number in (0..1_000).step_by(2) {
            let slot = names.get(&name(number), &sessions).unwrap();
            assert_eq!(sessions.try_remove(slot).unwrap().client_id, name(number));
            names.remove(slot, &name(number));
        }
        for number in 0..1_000 {
            let found = names.get(&name(number), &sessions).map(|slot| sessions[slot].client_id.clone());
            assert_eq!(found, (number % 2 == 1).then(|| name(number)));
        }
    }
}
