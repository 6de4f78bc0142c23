//! Pairs, fan-out, fan-in and shared subscriptions, which differ in who gets what.

use std::error::Error;

use crate::batch::{self, Batch};
use crate::flow::Flow;
use crate::load::{Group, Load, LoadOptions, Publisher};
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;

/// Who publishes to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Each publisher has one subscriber of its own.
    Pairs(usize),
    /// One publisher, and each of the subscribers gets everything.
    FanOut(usize),
    /// One subscriber gets everything that many publish, through a wildcard.
    FanIn(usize),
    /// The members of a group get what many publish, each message one of them.
    Shared { publishers: usize, members: usize },
}

/// Runs it and says what was found.
pub(crate) fn run(world: &mut World, shape: Shape, options: &LoadOptions) -> Result<Report, Box<dyn Error>> {
    let mut progress = Progress::new();
    let mut report = Report::new(shape.name(), world.target());
    options.describe(&mut report);
    shape.describe(&mut report);
    let load = prepare(world, shape, options, &mut report, &mut progress)?;
    load.measure(world, options, &mut report, &mut progress)?;
    Ok(report)
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Pairs(_) => "pairs",
            Self::FanOut(_) => "fan-out",
            Self::FanIn(_) => "fan-in",
            Self::Shared { .. } => "shared",
        }
    }

    fn describe(self, report: &mut Report) {
        match self {
            Self::Pairs(pairs) => report.setting("pairs", pairs),
            Self::FanOut(subscribers) => report.setting("subscribers", subscribers),
            Self::FanIn(publishers) => report.setting("publishers", publishers),
            Self::Shared { publishers, members } => {
                report.setting("publishers", publishers);
                report.setting("members", members);
            }
        }
    }

    /// How many groups of connections there are, and how many publish and subscribe in each.
    fn groups(self) -> (usize, usize, usize) {
        match self {
            Self::Pairs(pairs) => (pairs, 1, 1),
            Self::FanOut(subscribers) => (1, 1, subscribers),
            Self::FanIn(publishers) => (1, publishers, 1),
            Self::Shared { publishers, members } => (1, publishers, members),
        }
    }

    /// What the subscribers of a group ask for.
    fn filter(self, prefix: &str, group: usize) -> String {
        match self {
            Self::Pairs(_) | Self::FanOut(_) => topic(prefix, group, 0),
            Self::FanIn(_) => format!("{prefix}/0/+"),
            Self::Shared { .. } => format!("$share/group/{prefix}/0/+"),
        }
    }
}

fn topic(prefix: &str, group: usize, publisher: usize) -> String {
    format!("{prefix}/{group}/{publisher}")
}

fn prepare(
    world: &mut World,
    shape: Shape,
    options: &LoadOptions,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<Load, Box<dyn Error>> {
    let target = world.target().clone();
    let (groups, publishers, subscribers) = shape.groups();
    let (window, batch) = options.window_and_batch(groups, subscribers, publishers);

    // Subscribers first: nothing may be published that nobody hears.
    let subscribing = world.open(groups * subscribers, progress)?;
    let mut packets = Vec::new();
    for conn in subscribing.clone() {
        let filter = shape.filter(&target.prefix, (conn - subscribing.start) / subscribers);
        packets.push((conn, batch::subscribe(target.version, options.qos, [filter.as_str()])?, 1));
    }
    world.subscribe(packets, progress)?;
    let publishing = world.open(groups * publishers, progress)?;
    let batch = options.acknowledged_batch(batch, world, publishing.clone());
    report.setting("window", window);
    report.setting("batch", batch);

    let kind = options.kind(&target);
    let mut all = Vec::new();
    for group in 0..groups {
        let flow = match shape {
            Shape::Shared { members, .. } => Flow::to_one_of(members, window),
            _ => Flow::to_each(subscribers, window, batch),
        };
        let mut members = Vec::new();
        for index in 0..publishers {
            let topic = topic(&target.prefix, group, index);
            let batches = vec![Batch::new(kind, (0..batch).map(|_| topic.as_str()))?];
            members.push(Publisher::new(world, publishing.start + group * publishers + index, batches));
        }
        let first = subscribing.start + group * subscribers;
        all.push(Group { flow, publishers: members, subscribers: (first..first + subscribers).collect() });
    }
    Ok(Load::new(all, batch, options.qos))
}
