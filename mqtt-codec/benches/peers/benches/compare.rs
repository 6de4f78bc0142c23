//! Prints the comparison: median time and allocations of each codec at each work.

use std::process::Command;

fn main() {
    let allocations = Command::new(env!("CARGO_BIN_EXE_allocations")).output().unwrap();
    assert!(allocations.status.success(), "{}", String::from_utf8_lossy(&allocations.stderr));
    let allocations = String::from_utf8(allocations.stdout).unwrap();
    let mut allocations = allocations.lines().map(|line| line.parse::<f64>().unwrap());

    for mut work in mqttkit_codec_peers::works() {
        let times = work.time();
        let best = work.contenders.iter().zip(&times).skip(1).filter(|(contender, _)| contender.owned);
        let best = best.map(|(_, &time)| time).min_by(f64::total_cmp);
        println!("\n{}", work.name);
        println!("  {:>11} {:>11} {:>13}", "median ns", "allocations", "× best peer");
        for (contender, time) in work.contenders.iter().zip(times) {
            let ratio = best.map_or(String::new(), |best| format!("{:.2}", time / best));
            let count = allocations.next().unwrap();
            println!("  {time:>11.1} {count:>11.2} {ratio:>13}  {}", contender.name);
        }
    }
}
