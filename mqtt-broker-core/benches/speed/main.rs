//! `cargo bench -p mqttkit-broker-core --features bench --bench speed`: what the steps of the hot path take, in
//! nanoseconds for one message.
//!
//! With `-- route` at its end it runs what has "route" in its name. There are no sockets and no tasks: bytes go in, and
//! come out.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod packets;
mod work;

use std::time::{Duration, Instant};

use work::Work;

/// How long one work is repeated, about.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    println!("{:>9}  work", "median ns");
    for (name, work) in work::all() {
        if name.contains(&wanted) {
            let time = median(&mut *work());
            println!("{time:>9.1}  {name}");
        }
    }
}

/// The median time of one message.
fn median(work: &mut dyn Work) -> f64 {
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 11 || started.elapsed() < PATIENCE {
        work.prepare();
        let start = Instant::now();
        let messages = work.run();
        times.push(start.elapsed().as_nanos() as f64 / messages as f64);
    }
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
