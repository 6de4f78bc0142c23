//! Times contenders at the same work in turns, so that a slow moment of the machine hits them alike.

use std::time::{Duration, Instant};

/// Runs the work once inside the clock, and returns when it is done.
pub type Clock<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// Something to measure, done by one or more codecs.
pub struct Work {
    /// What is done.
    pub name: &'static str,
    /// How many packets (or matches) one turn is.
    pub batch: usize,
    /// Who does it. The first is ours.
    pub contenders: Vec<Contender>,
}

/// One codec at one work.
pub struct Contender {
    /// Its name, and what it does differently, if anything.
    pub name: &'static str,
    /// Whether what it decodes owns its data, so that it may outlive the read buffer.
    pub owned: bool,
    turn: Box<dyn FnMut(Clock<'_>)>,
}

impl Contender {
    /// `prepare` and the drop of what it makes are outside the clock, `run` is inside.
    pub fn new<S>(
        name: &'static str,
        mut prepare: impl FnMut() -> S + 'static,
        mut run: impl FnMut(&mut S) + 'static,
    ) -> Self {
        let turn = move |clock: Clock<'_>| {
            let mut state = prepare();
            clock(&mut || run(&mut state));
        };
        Self { name, owned: true, turn: Box::new(turn) }
    }

    /// What it decodes borrows from the input.
    pub fn borrowed(self) -> Self {
        Self { owned: false, ..self }
    }

    /// Prepares, and does the work inside `clock`.
    pub fn turn(&mut self, clock: Clock<'_>) {
        (self.turn)(clock);
    }
}

impl Work {
    /// The median time of each contender, in nanoseconds for one packet.
    pub fn time(&mut self) -> Vec<f64> {
        // The slowest contender decides how many rounds fit into the patience.
        let mut slowest = Duration::from_micros(1);
        for contender in &mut self.contenders {
            for _ in 0..5 {
                slowest = slowest.max(timed(contender));
            }
        }
        let patience = PATIENCE.div_duration_f64(2 * slowest) / self.contenders.len() as f64;
        let rounds = (patience as usize).clamp(31, 5_001);
        let mut times = vec![Vec::with_capacity(rounds); self.contenders.len()];
        let count = self.contenders.len();
        for round in 0..rounds {
            // Each is the first in its turn: what the one before left in the caches and the allocator differs.
            for place in 0..count {
                let index = (round + place) % count;
                // Once outside the clock: its code and what it branches on were evicted by the others.
                timed(&mut self.contenders[index]);
                times[index].push(timed(&mut self.contenders[index]));
            }
        }
        times.into_iter().map(|times| median(times).as_nanos() as f64 / self.batch as f64).collect()
    }
}

/// How long all rounds of one work take, about.
const PATIENCE: Duration = Duration::from_secs(2);

fn timed(contender: &mut Contender) -> Duration {
    let mut took = Duration::ZERO;
    contender.turn(&mut |run| {
        let start = Instant::now();
        run();
        took = start.elapsed();
    });
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
