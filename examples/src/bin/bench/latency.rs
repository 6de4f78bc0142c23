//! How late messages are at a steady pace, which does not wait for the broker.
//!
//! Each message carries the moment at which it was due. So one that could not be sent in time, because the broker or
//! this program was busy with others, is late by what it waited for: the omission that closed loops hide is counted.

use std::error::Error;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mqttkit_codec::QoS;

use crate::batch::{self, Batch};
use crate::load::LoadOptions;
use crate::meter;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;

/// How long the last messages may take.
const DRAIN: Duration = Duration::from_secs(3);
const TURN: Duration = Duration::from_millis(100);
/// The longest delay that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Delays of messages, each known by the stamp it carries.
#[derive(Debug)]
pub(crate) struct Delays {
    /// What stamps count from.
    epoch: Instant,
    /// Stamps that came with the last read.
    pub(crate) stamps: Vec<u64>,
    /// Messages that were due before this stamp do not count, nor do any from the other on.
    counted: std::ops::Range<u64>,
    histogram: Histogram<u64>,
}

impl Delays {
    fn new() -> Result<Self, Box<dyn Error>> {
        let histogram = Histogram::new_with_max(LONGEST, 3)?;
        Ok(Self { epoch: Instant::now(), stamps: Vec::new(), counted: 0..0, histogram })
    }

    /// The stamps of the last read are here now.
    pub(crate) fn settle(&mut self) {
        if self.stamps.is_empty() {
            return;
        }
        let now = self.stamp(Instant::now());
        for stamp in self.stamps.drain(..) {
            if self.counted.contains(&stamp) {
                self.histogram.saturating_record(now.saturating_sub(stamp));
            }
        }
    }

    fn stamp(&self, at: Instant) -> u64 {
        u64::try_from((at - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One message a tick, to one pair after the other.
pub(crate) fn run(
    world: &mut World,
    pairs: usize,
    rate: f64,
    options: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let options = LoadOptions { size: options.size.max(size_of::<u64>()), ..options.clone() };
    let mut progress = Progress::new();
    let mut report = Report::new("latency", world.target());
    options.describe(&mut report);
    report.setting("pairs", pairs);
    report.setting("rate", rate);

    let target = world.target().clone();
    let topics: Vec<_> = (0..pairs).map(|pair| format!("{}/{pair}", target.prefix)).collect();
    let subscribers = world.open(pairs, &mut progress)?;
    let mut packets = Vec::new();
    for (conn, topic) in subscribers.clone().zip(&topics) {
        packets.push((conn, batch::subscribe(target.version, options.qos, [topic.as_str()])?, 1));
    }
    world.subscribe(packets, &mut progress)?;
    let publishers = world.open(pairs, &mut progress)?;
    let mut messages = Vec::new();
    for topic in &topics {
        messages.push((Batch::new(options.kind(&target), [topic.as_str()])?, 1));
    }

    let mut delays = Delays::new()?;
    let started = Instant::now();
    let warm = started + Duration::from_secs_f64(options.warmup);
    let end = warm + Duration::from_secs_f64(options.duration);
    delays.counted = delays.stamp(warm)..delays.stamp(end);
    let epoch = delays.epoch;
    world.delays = Some(delays);
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut pace = Pace::new(world.poll(), interval)?;
    let (mut sent, mut received, mut acked) = (0_u64, 0_u64, 0_u64);
    let (mut before, mut after) = (None, None);
    let own = std::process::id();
    let mut last_news = started;
    loop {
        let now = Instant::now();
        if before.is_none() && now >= warm {
            before = Some((options.broker_pid.and_then(meter::sample), meter::sample(own), received));
        }
        if after.is_none() && now >= end {
            after = Some((options.broker_pid.and_then(meter::sample), meter::sample(own), received));
            last_news = now;
        }
        // A due time is a multiple of the interval, so that no error adds up.
        while let due = started + Duration::from_secs_f64(sent as f64 / rate)
            && due <= now
            && due < end
        {
            let pair = (sent % pairs as u64) as usize;
            let (message, next_id) = &mut messages[pair];
            let stamp = u64::try_from((due - epoch).as_nanos())?;
            world.send(publishers.start + pair, message.stamped(stamp, next_id))?;
            sent += 1;
        }
        let complete = received >= sent && (options.qos == QoS::AtMostOnce || acked >= sent);
        if after.is_some() && (complete || last_news.elapsed() > DRAIN) {
            break;
        }
        world.turn(Some(if after.is_some() { TURN } else { Pace::PATIENCE }))?;
        pace.tick();
        world.check()?;
        for (_, tally) in world.news() {
            received += tally.messages;
            acked += tally.acked;
            if tally.messages + tally.acked > 0 {
                last_news = now;
            }
        }
        let total = end - started;
        progress.show("seconds", (now - started).as_secs(), total.as_secs());
    }
    pace.stop(world.poll());
    progress.clear();

    let Some(Delays { histogram, .. }) = world.delays.take() else { return Err("no delays".into()) };
    let millis = |nanos: u64| nanos as f64 / 1e6;
    report.count("measured", "messages measured", histogram.len());
    for (key, label, quantile) in [
        ("p50_ms", "delay, half are below, ms", 0.5),
        ("p90_ms", "delay, 90 % are below, ms", 0.9),
        ("p99_ms", "delay, 99 % are below, ms", 0.99),
        ("p999_ms", "delay, 99.9 % are below, ms", 0.999),
    ] {
        report.measure(key, label, millis(histogram.value_at_quantile(quantile)), 3);
    }
    report.measure("max_ms", "longest delay, ms", millis(histogram.max()), 3);
    report.count("lost", "lost", sent.saturating_sub(received));
    report.count("surplus", "delivered twice", received.saturating_sub(sent));
    if let (Some((broker_before, own_before, first)), Some((broker_after, own_after, last))) = (before, after)
    {
        let wall = options.duration;
        report.measure("messages_per_s", "messages per second", (last - first) as f64 / wall, 0);
        report.per_message(broker_before.zip(broker_after), own_before.zip(own_after), last - first);
    }
    Ok(report)
}
