//! Clients that publish, stall, vanish and come back in any order, with their bytes in any pieces: a seed decides. At
//! every step what must always hold is checked, and at the end that nothing was lost.
//!
//! `CHAOS_SEEDS` and `CHAOS_STEPS` in the environment ask for more, `CHAOS_FIRST` where to begin; `CHAOS_SEED` for
//! one. A seed that fails fails again.

mod ledger;
mod player;
mod scene;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use scene::Scene;

/// Numbers from a seed. (xorshift64)
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

pub(super) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Plays one seed to its end. Returns what became of it, in numbers that are different if anything was.
fn play(seed: u64, steps: u64, store: Option<MemoryStore>) -> [u64; 4] {
    let mut scene = Scene::new(seed, store);
    for step in 0..steps {
        scene.step();
        scene.check();
        if step.is_multiple_of(20) {
            scene.check_store();
        }
    }
    scene.finish(steps)
}

#[test]
fn nothing_is_lost_doubled_or_disordered_whatever_happens() {
    play_all(setting("CHAOS_STEPS", 10_000), || None);
}

/// The same with a broker that dies and loses what its store has not written, which is slow.
#[test]
fn nothing_is_lost_doubled_or_disordered_even_if_the_broker_dies() {
    play_all(setting("CHAOS_STEPS", 1_000), || Some(MemoryStore::new()));
}

/// Plays all the seeds that are asked for, on all processors.
fn play_all(steps: u64, store: impl Fn() -> Option<MemoryStore> + Sync) {
    let seeds = match setting("CHAOS_SEED", 0) {
        0 => setting("CHAOS_FIRST", 1)..setting("CHAOS_FIRST", 1) + setting("CHAOS_SEEDS", 100),
        one => one..one + 1,
    };
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut totals = [0; 4];
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return totals;
            }
            let Ok(numbers) = catch_unwind(AssertUnwindSafe(|| play(seed, steps, store()))) else {
                next.store(seeds.end, Ordering::Relaxed);
                panic!("CHAOS_SEED={seed} CHAOS_STEPS={steps} fails");
            };
            for (total, number) in totals.iter_mut().zip(numbers) {
                *total += number;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut totals = [0; 4];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let numbers = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (total, number) in totals.iter_mut().zip(numbers) {
                *total += number;
            }
        }
    });
    let [published, received, connections, dropped] = totals;
    println!(
        "{seeds:?} of {steps} steps: {published} published, {received} received, {connections} connections, \
         {dropped} dropped for lack of room"
    );
}

/// Else a seed that failed would be of no use.
#[test]
fn a_seed_plays_the_same_every_time() {
    for seed in [3, 17, 40] {
        assert_eq!(play(seed, 1_000, None), play(seed, 1_000, None), "seed {seed}");
    }
}
