//! A broker with a store: what waits for it, what survives, what happens when it is slow or fails.

mod agreement;
mod cuts;
mod restored;
mod trouble;
mod waits;

use super::chaos::{Dice, setting};
use super::*;

/// A world with a store that writes everything at once.
fn world() -> (World, MemoryStore) {
    let store = MemoryStore::new();
    (World::with_store(&store, |_| {}), store)
}

impl World {
    /// Lets the store write this many ops, and everything happen that follows.
    fn write(&mut self, store: &MemoryStore, ops: u64) {
        assert_eq!(store.write(ops), ops, "so many ops wait");
        self.run();
    }

    /// Lets the store write by itself again.
    fn resume_store(&mut self, store: &MemoryStore) {
        store.resume();
        self.run();
    }

    /// The client of an ended connection comes back with what it has.
    fn come_back(&mut self, id: Id, connect: Connect) -> Id {
        let session = self.take_session(id);
        self.resume(connect, session)
    }
}
