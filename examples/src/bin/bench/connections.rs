//! Connections that do nothing: what it takes to make them, to keep them, and to make them all again at once.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use mqttkit_codec::QoS;

use crate::batch;
use crate::meter::{self, Usage};
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;

#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionsOptions {
    /// How many.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10_000)]
    count: usize,
    /// How many seconds they are left alone.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    idle: f64,
    /// How many times all of them are cut and come back at once.
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    storms: u32,
}

/// How long a broker gets to come to rest before its memory is looked at.
const REST: Duration = Duration::from_millis(500);
/// How long the answers to all pings may take.
const PATIENCE: Duration = Duration::from_secs(30);
const PINGREQ: [u8; 2] = [0xc0, 0];

pub(crate) fn run(
    world: &mut World,
    options: &ConnectionsOptions,
    broker_pid: Option<u32>,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let count = options.count;
    let mut report = Report::new("connections", world.target());
    report.setting("count", count);
    report.setting("idle", options.idle);
    let target = world.target().clone();
    let sample = || broker_pid.and_then(meter::sample);
    let each = count as f64;

    // A broker that is overrun turns some away; they come again, as clients do.
    let attempts = count * (1 + options.storms as usize);
    world.attempts_left = attempts;
    std::thread::sleep(REST);
    let start = sample();
    let started = Instant::now();
    let all = world.open(count, &mut progress)?;
    report.measure("connects_per_s", "connections per second", each / started.elapsed().as_secs_f64(), 0);
    rest(world, REST)?;
    if let Some((start, connected)) = start.zip(sample()) {
        let usage = Usage::between(&start, &connected);
        report.measure(
            "cpu_us_per_connect",
            "broker: CPU µs per connection",
            usage.cpu.as_secs_f64() * 1e6 / each,
            1,
        );
    }

    let mut packets = Vec::new();
    for conn in all.clone() {
        let filter = format!("{}/{conn}", target.prefix);
        packets.push((conn, batch::subscribe(target.version, QoS::AtMostOnce, [filter.as_str()])?, 1));
    }
    world.subscribe(packets, &mut progress)?;
    rest(world, REST)?;
    if let Some((start, idle)) = start.zip(sample()) {
        let grown = Usage::between(&start, &idle).grown as f64;
        report.measure("kib_per_connection", "broker: KiB per idle connection", grown / 1024.0 / each, 2);
        rest(world, Duration::from_secs_f64(options.idle))?;
        if let Some(later) = sample() {
            let usage = Usage::between(&idle, &later);
            let share = usage.cpu.as_secs_f64() / usage.wall.as_secs_f64();
            report.measure("idle_cores", "broker: cores busy when all idle", share, 4);
        }
    }

    for storm in 0..options.storms {
        let before = sample();
        world.close(all.start);
        let started = Instant::now();
        world.open_at_once(count, &mut progress)?;
        let elapsed = started.elapsed().as_secs_f64();
        rest(world, REST)?;
        if storm == 0 {
            report.measure("storm_s", "seconds until all were back", elapsed, 2);
            if let Some((before, after)) = before.zip(sample()) {
                let usage = Usage::between(&before, &after);
                let micros = usage.cpu.as_secs_f64() * 1e6 / each;
                report.measure("storm_cpu_us", "broker: CPU µs per connection back", micros, 1);
            }
        }
    }
    report.count("turned_away", "connections tried again", (attempts - world.attempts_left) as u64);
    report.count("alive", "connections that answer at the end", ping(world, count)?);
    if let Some(last) = sample() {
        report.measure("broker_mib", "broker: resident MiB", last.memory as f64 / f64::from(1 << 20), 1);
    }
    progress.clear();
    Ok(report)
}

/// Lets time pass, without looking away.
fn rest(world: &mut World, time: Duration) -> Result<(), Box<dyn Error>> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        world.turn(Some(left))?;
        world.check()?;
    }
    Ok(())
}

/// How many connections answer a ping.
fn ping(world: &mut World, count: usize) -> Result<u64, Box<dyn Error>> {
    for conn in 0..count {
        world.send_packets(conn, &PINGREQ)?;
    }
    let (mut pongs, started) = (0, Instant::now());
    while pongs < count as u64 && started.elapsed() < PATIENCE {
        world.turn(Some(Duration::from_millis(100)))?;
        pongs += world.news().iter().map(|(_, tally)| tally.pongs).sum::<u64>();
    }
    Ok(pongs)
}
