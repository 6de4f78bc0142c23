//! Counts allocations instead of time: one line for each codec at each work, for the comparison to read.
//!
//! It is a program of its own so that counting does not slow the codecs down that allocate.

fn main() {
    for mut work in mqttkit_codec_peers::works() {
        for contender in &mut work.contenders {
            let mut count = 0;
            contender.turn(&mut |run| count = allocation_counter::measure(run).count_total);
            println!("{}", count as f64 / work.batch as f64);
        }
    }
}
