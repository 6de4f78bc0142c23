//! `conn`, `pub` and `sub`: one side of the load at a time, as long as wanted, for loads that no scenario is like.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use mqttkit_codec::QoS;

use crate::batch::{self, Batch, Kind};
use crate::load::LoadOptions;
use crate::meter;
use crate::progress::Progress;
use crate::report::Report;
use crate::stop::Stop;
use crate::world::World;

#[derive(Debug, Clone, Args)]
pub(crate) struct ConnOptions {
    /// How many connections.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1000)]
    count: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PubOptions {
    /// How many connections.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// Where to; %i stands for the number of the connection.
    #[arg(short, long, value_name = "TOPIC", default_value = "bench/%i")]
    topic: String,
    /// Messages a second of all connections together; 0 is as many as the broker takes.
    #[arg(short, long, value_name = "RATE", default_value_t = 0.0)]
    rate: f64,
    /// Have the messages retained.
    #[arg(long)]
    retain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SubOptions {
    /// How many connections.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// What to subscribe; %i stands for the number of the connection.
    #[arg(short, long, value_name = "FILTER", default_value = "bench/#")]
    topic: String,
}

const TURN: Duration = Duration::from_millis(100);
/// The most messages in one write, and without their acknowledgement.
const BATCH: u64 = 64;
const UNACKED: u64 = 1024;

/// Connects and stays until the time is over or somebody stops it.
pub(crate) fn conn(
    world: &mut World,
    options: &ConnOptions,
    load: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new("conn", world.target());
    report.setting("count", options.count);
    let before = load.broker_pid.and_then(meter::sample);
    let started = Instant::now();
    world.open(options.count, &mut progress)?;
    let rate = options.count as f64 / started.elapsed().as_secs_f64();
    report.measure("connects_per_s", "connections per second", rate, 0);
    let run = Run::new(load)?;
    while run.goes_on() {
        world.turn(Some(TURN))?;
        progress.say(&format!("{} connections, {} ended", options.count - world.ended, world.ended));
    }
    progress.clear();
    report.count("ended", "connections that ended", world.ended as u64);
    report.per_message(before.zip(load.broker_pid.and_then(meter::sample)), None, options.count as u64);
    Ok(report)
}

/// Publishes until the time is over or somebody stops it.
pub(crate) fn publish(
    world: &mut World,
    options: &PubOptions,
    load: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new("pub", world.target());
    load.describe(&mut report);
    report.setting("count", options.count);
    report.setting("topic", options.topic.as_str());
    report.setting("rate", options.rate);
    let kind = Kind { retain: options.retain, ..load.kind(world.target()) };
    let conns = world.open(options.count, &mut progress)?;
    let window = conns.clone().map(|conn| u64::from(world.conn(conn).receive_maximum())).min();
    let limit = window.unwrap_or(UNACKED).min(UNACKED);
    // At a pace messages go singly.
    let paced = options.rate > 0.0;
    let size = if paced { 1 } else { load.batch.unwrap_or(BATCH).clamp(1, limit) };
    let mut batches = Vec::new();
    for number in 0..options.count {
        let topic = options.topic.replace("%i", &number.to_string());
        batches.push((Batch::new(kind, (0..size).map(|_| topic.as_str()))?, 1_u16));
    }

    let mut unacked = vec![0; options.count];
    let (mut sent, mut acked, mut refused) = (0_u64, 0_u64, 0_u64);
    let before = load.broker_pid.and_then(meter::sample);
    let own = meter::sample(std::process::id());
    let run = Run::new(load)?;
    let mut next = 0;
    while run.goes_on() {
        let elapsed = run.started.elapsed();
        let mut passed_over = 0;
        while passed_over < options.count && (!paced || (sent as f64) < elapsed.as_secs_f64() * options.rate)
        {
            let conn = conns.start + next;
            let (batch, next_id) = &mut batches[next];
            if world.conn(conn).backlog() > 0 || unacked[next] + size > limit {
                passed_over += 1;
            } else {
                world.send(conn, batch.with_ids(next_id))?;
                sent += size;
                if load.qos > QoS::AtMostOnce {
                    unacked[next] += size;
                }
                // Where nothing is acknowledged only the sockets say when it is enough.
                passed_over += usize::from(!paced);
            }
            next = (next + 1) % options.count;
        }
        let full = passed_over == options.count && unacked.iter().all(|&count| count + size > limit);
        let patience = match (paced, full || load.qos == QoS::AtMostOnce) {
            (true, _) => Duration::from_millis(1),
            (false, true) if conns.clone().all(|conn| world.conn(conn).backlog() > 0) => TURN,
            (false, _) => Duration::from_millis(u64::from(full)),
        };
        world.turn(Some(patience))?;
        world.check()?;
        for (conn, tally) in world.news() {
            acked += tally.acked;
            refused += tally.refused;
            unacked[conn - conns.start] = unacked[conn - conns.start].saturating_sub(tally.acked);
        }
        progress.say(&format!("{sent} messages published, {acked} acknowledged"));
    }
    let seconds = run.started.elapsed().as_secs_f64();
    progress.clear();
    report.measure("messages_per_s", "messages per second", sent as f64 / seconds, 0);
    report.count("published", "published", sent);
    if load.qos > QoS::AtMostOnce {
        report.count("acked", "acknowledged", acked);
        report.count("refused", "refused", refused);
    }
    let own = own.zip(meter::sample(std::process::id()));
    report.per_message(before.zip(load.broker_pid.and_then(meter::sample)), own, sent);
    Ok(report)
}

/// Subscribes and counts until the time is over or somebody stops it.
pub(crate) fn subscribe(
    world: &mut World,
    options: &SubOptions,
    load: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new("sub", world.target());
    report.setting("qos", load.qos as u8);
    report.setting("count", options.count);
    report.setting("topic", options.topic.as_str());
    let conns = world.open(options.count, &mut progress)?;
    let mut packets = Vec::new();
    for (number, conn) in conns.enumerate() {
        let filter = options.topic.replace("%i", &number.to_string());
        packets.push((conn, batch::subscribe(world.target().version, load.qos, [filter.as_str()])?, 1));
    }
    world.subscribe(packets, &mut progress)?;
    let before = load.broker_pid.and_then(meter::sample);
    let own = meter::sample(std::process::id());
    let run = Run::new(load)?;
    let mut received = 0_u64;
    while run.goes_on() {
        world.turn(Some(TURN))?;
        world.check()?;
        received += world.news().iter().map(|(_, tally)| tally.messages).sum::<u64>();
        progress.say(&format!("{received} messages received"));
    }
    let seconds = run.started.elapsed().as_secs_f64();
    progress.clear();
    report.measure("messages_per_s", "messages per second", received as f64 / seconds, 0);
    report.count("received", "received", received);
    let own = own.zip(meter::sample(std::process::id()));
    report.per_message(before.zip(load.broker_pid.and_then(meter::sample)), own, received);
    Ok(report)
}

/// The time that a run takes.
struct Run {
    started: Instant,
    duration: Duration,
    stop: Stop,
}

impl Run {
    fn new(load: &LoadOptions) -> Result<Self, Box<dyn Error>> {
        let duration = Duration::from_secs_f64(load.duration);
        Ok(Self { started: Instant::now(), duration, stop: Stop::new()? })
    }

    fn goes_on(&self) -> bool {
        !self.stop.requested() && self.started.elapsed() < self.duration
    }
}
