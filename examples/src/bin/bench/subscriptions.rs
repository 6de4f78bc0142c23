//! Many filters: what it takes to load them, what they weigh, and what a message costs with all of them present.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;

use crate::batch::{self, Batch};
use crate::flow::Flow;
use crate::load::{Group, Load, LoadOptions, Publisher};
use crate::meter::{self, Usage};
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;

#[derive(Debug, Clone, Args)]
pub(crate) struct SubscriptionsOptions {
    /// How many filters.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100_000, value_parser = at_least_one)]
    filters: usize,
    /// How many connections share them.
    #[arg(short, long, value_name = "COUNT", default_value_t = 100, value_parser = at_least_one)]
    connections: usize,
    /// How many of the connections get messages; the others are only there. Default: all.
    #[arg(short, long, value_name = "COUNT", value_parser = at_least_one)]
    receivers: Option<usize>,
    /// How many connections publish.
    #[arg(short, long, value_name = "COUNT", default_value_t = 10, value_parser = at_least_one)]
    publishers: usize,
    /// How many of a hundred filters have a wildcard.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    wildcards: usize,
    /// Filters in one SUBSCRIBE.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    per_packet: usize,
}

/// How long a broker gets to come to rest before its memory is looked at.
const REST: Duration = Duration::from_millis(500);
/// About how many topics each publisher goes through.
const TOPICS: usize = 2048;

pub(crate) fn run(
    world: &mut World,
    many: &SubscriptionsOptions,
    options: &LoadOptions,
) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new("subscriptions", world.target());
    options.describe(&mut report);
    report.setting("filters", many.filters);
    report.setting("connections", many.connections);
    report.setting("receivers", many.receivers());
    report.setting("publishers", many.publishers);
    report.setting("wildcards", many.wildcards);
    let target = world.target().clone();
    let sample = || options.broker_pid.and_then(meter::sample);

    let subscribers = world.open(many.connections, &mut progress)?;
    let mut packets = Vec::new();
    let share = many.share();
    for (conn, first) in subscribers.clone().zip((0..many.filters).step_by(share)) {
        let own: Vec<_> = (first..many.filters.min(first + share))
            .map(|number| many.filter(&target.prefix, number))
            .collect();
        for filters in own.chunks(many.per_packet.max(1)) {
            let packet = batch::subscribe(target.version, options.qos, filters.iter().map(String::as_str))?;
            packets.push((conn, packet, filters.len() as u64));
        }
    }
    std::thread::sleep(REST);
    let (empty, started) = (sample(), Instant::now());
    world.subscribe(packets, &mut progress)?;
    let rate = many.filters as f64 / started.elapsed().as_secs_f64();
    report.measure("filters_per_s", "filters loaded per second", rate, 0);
    std::thread::sleep(REST);
    if let Some((empty, loaded)) = empty.zip(sample()) {
        let usage = Usage::between(&empty, &loaded);
        let filters = many.filters as f64;
        report.measure(
            "cpu_us_per_filter",
            "broker: CPU µs per filter",
            usage.cpu.as_secs_f64() * 1e6 / filters,
            2,
        );
        report.measure("bytes_per_filter", "broker: bytes per filter", usage.grown as f64 / filters, 0);
    }

    let publishing = world.open(many.publishers, &mut progress)?;
    let (window, count) = options.window_and_batch(1, 1, many.publishers);
    let count = options.acknowledged_batch(count, world, publishing.clone());
    report.setting("window", window);
    report.setting("batch", count);
    let mut publishers = Vec::new();
    for (index, conn) in publishing.enumerate() {
        let mut batches = Vec::new();
        for first in (0..TOPICS).step_by(count as usize) {
            let numbers = (first..first + count as usize).map(|at| many.scattered(index * TOPICS + at));
            let topics: Vec<_> = numbers.map(|number| many.topic(&target.prefix, number)).collect();
            batches.push(Batch::new(options.kind(&target), topics.iter().map(String::as_str))?);
        }
        publishers.push(Publisher::new(world, conn, batches));
    }
    let flow = Flow::to_one_of(many.connections, window);
    let group = Group { flow, publishers, subscribers: subscribers.collect() };
    let load = Load::new(vec![group], count, options.qos);
    load.measure(world, options, &mut report, &mut progress)?;
    Ok(report)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "it is 1 or more".to_owned())
}

impl SubscriptionsOptions {
    fn receivers(&self) -> usize {
        self.receivers.unwrap_or(self.connections).min(self.connections)
    }

    /// How many filters a connection has.
    fn share(&self) -> usize {
        self.filters.div_ceil(self.connections)
    }

    /// So many of each hundred, and about as many of each ten.
    fn has_wildcard(&self, number: usize) -> bool {
        number * self.wildcards % 100 < self.wildcards
    }

    /// The filter with this number.
    fn filter(&self, prefix: &str, number: usize) -> String {
        let last = if self.has_wildcard(number) { "+" } else { "state" };
        format!("{prefix}/site{}/device{number}/{last}", number % 1000)
    }

    /// A topic that this filter, and no other, matches.
    fn topic(&self, prefix: &str, number: usize) -> String {
        let last = if self.has_wildcard(number) { "value" } else { "state" };
        format!("{prefix}/site{}/device{number}/{last}", number % 1000)
    }

    /// Numbers that jump around among the filters of those who receive, each as often as any other.
    fn scattered(&self, at: usize) -> usize {
        const PRIME: usize = 7_368_787;
        at.wrapping_mul(PRIME) % self.filters.min(self.receivers() * self.share())
    }
}
