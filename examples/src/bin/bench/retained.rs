//! Retained messages: what they weigh, and how one subscriber gets them all.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use mqttkit_codec::QoS;

use crate::batch::{self, Batch, Kind};
use crate::load::LoadOptions;
use crate::meter::{self, Usage};
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;

#[derive(Debug, Clone, Args)]
pub(crate) struct RetainedOptions {
    /// How many messages.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100_000)]
    count: usize,
    /// Leave them on the broker at the end.
    #[arg(long)]
    keep: bool,
}

/// How long a broker gets to come to rest before its memory is looked at.
const REST: Duration = Duration::from_millis(500);
/// How long nothing may arrive until the rest counts as lost.
const STALL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: usize = 64;
const PINGREQ: [u8; 2] = [0xc0, 0];

pub(crate) fn run(
    world: &mut World,
    retained: &RetainedOptions,
    options: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new("retained", world.target());
    options.describe(&mut report);
    report.setting("count", retained.count);
    let target = world.target().clone();
    let sample = || options.broker_pid.and_then(meter::sample);
    let count = retained.count as f64;

    let publisher = world.open(1, &mut progress)?.start;
    let kind = Kind { retain: true, qos: QoS::AtMostOnce, ..options.kind(&target) };
    std::thread::sleep(REST);
    let (empty, started) = (sample(), Instant::now());
    store(world, publisher, kind, retained.count, &mut progress)?;
    let rate = count / started.elapsed().as_secs_f64();
    report.measure("stored_per_s", "stored per second", rate, 0);
    std::thread::sleep(REST);
    if let Some((empty, full)) = empty.zip(sample()) {
        let grown = Usage::between(&empty, &full).grown as f64;
        report.measure("bytes_per_message", "broker: bytes per message", grown / count, 0);
    }

    let subscriber = world.open(1, &mut progress)?.start;
    let filter = format!("{}/#", target.prefix);
    let packet = batch::subscribe(target.version, options.qos, [filter.as_str()])?;
    let before = sample();
    let (started, mut last) = (Instant::now(), Instant::now());
    let mut received = 0;
    world.send_packets(subscriber, &packet)?;
    while received < retained.count as u64 && last.elapsed() < STALL {
        world.turn(Some(Duration::from_millis(100)))?;
        world.check()?;
        let messages: u64 = world.news().iter().map(|(_, tally)| tally.messages).sum();
        if messages > 0 {
            received += messages;
            last = Instant::now();
        }
        progress.show("receiving", received, retained.count as u64);
    }
    report.measure("delivery_ms", "all delivered within ms", (last - started).as_secs_f64() * 1e3, 1);
    report.count("delivered", "delivered", received);
    report.count("lost", "lost", (retained.count as u64).saturating_sub(received));
    report.per_message(before.zip(sample()), None, received);
    if !retained.keep {
        store(world, publisher, Kind { size: 0, ..kind }, retained.count, &mut progress)?;
    }
    progress.clear();
    Ok(report)
}

/// Publishes them all, and waits until the broker has done with them.
fn store(
    world: &mut World,
    publisher: usize,
    kind: Kind,
    count: usize,
    progress: &mut Progress,
) -> Result<(), Box<dyn Error>> {
    let prefix = world.target().prefix.clone();
    let mut sent = 0;
    let mut last = Instant::now();
    let mut pinged = false;
    loop {
        if world.conn(publisher).backlog() == 0 {
            last = Instant::now();
            if sent < count {
                let topics: Vec<_> = (sent..count.min(sent + BATCH))
                    .map(|number| format!("{prefix}/site{}/device{number}/state", number % 1000))
                    .collect();
                let mut batch = Batch::new(kind, topics.iter().map(String::as_str))?;
                world.send(publisher, batch.with_ids(&mut 1))?;
                sent += topics.len();
                continue;
            }
            if !pinged {
                pinged = true;
                world.send_packets(publisher, &PINGREQ)?;
            }
        }
        world.turn(Some(Duration::from_millis(100)))?;
        world.check()?;
        if world.news().iter().any(|(_, tally)| tally.pongs > 0) {
            return Ok(());
        }
        if last.elapsed() > PATIENCE {
            return Err("the broker takes no more retained messages".into());
        }
        progress.show("storing", sent as u64, count as u64);
    }
}
