//! `cargo bench`: how long each work takes, in nanoseconds for one packet.
//!
//! `cargo bench --bench speed -- decode` runs what has "decode" in its name.
//! `benches/peers` runs the same beside other codecs.

// The modules are shared with `benches/peers`, to which they are public.
#![allow(unreachable_pub, dead_code, missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod harness;
mod ours;
mod samples;

fn main() {
    println!("{:>9}  work", "median ns");
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    for mut work in ours::works().into_iter().filter(|work| work.name.contains(&wanted)) {
        let times = work.time();
        println!("{:>9.1}  {}", times[0], work.name);
    }
}
