//! As many messages as the broker delivers: the loop of every scenario that knows no other pace.

use std::error::Error;
use std::ops::Range;
use std::time::{Duration, Instant};

use clap::Args;
use mqttkit_codec::QoS;

use crate::batch::{Batch, Kind};
use crate::flow::Flow;
use crate::meter;
use crate::progress::Progress;
use crate::report::Report;
use crate::target::{self, Target};
use crate::world::World;

/// What is published, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadOptions {
    /// QoS of messages and subscriptions.
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = target::qos, global = true)]
    pub(crate) qos: QoS,
    /// Bytes of payload.
    #[arg(short, long, value_name = "BYTES", default_value_t = 64, global = true)]
    pub(crate) size: usize,
    /// Seconds of load before anything is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, global = true)]
    pub(crate) warmup: f64,
    /// Seconds that are measured.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3.0, global = true)]
    pub(crate) duration: f64,
    /// Messages of one publisher, or of all that share their subscribers, that may be under way. Default: 1,024, or
    /// less where they are large or their receivers many, or twice as many where there are many publishers.
    #[arg(short, long, value_name = "MESSAGES", global = true)]
    pub(crate) window: Option<u64>,
    /// Messages in one write. Default: a quarter of the window, at most 128, or 32 where many publish.
    #[arg(short, long, value_name = "MESSAGES", global = true)]
    pub(crate) batch: Option<u64>,
    /// The process of the broker: its processor time and memory are measured.
    #[arg(long, value_name = "PID", global = true)]
    pub(crate) broker_pid: Option<u32>,
}

/// How long nothing may arrive until what is under way is given up.
const STALL: Duration = Duration::from_secs(2);
/// How long nothing may arrive at the end, when no more is published.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the end may take. A broker that still delivers then has lost nothing: it is behind.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a turn takes at most.
const TURN: Duration = Duration::from_millis(100);
/// The most bytes under way to one subscriber, and to all.
const WINDOW_BYTES: u64 = 1 << 20;
const TOTAL_BYTES: u64 = 64 << 20;
/// The most messages under way in one flow, and in all.
const WINDOW: u64 = 1024;
const TOTAL: u64 = 16 << 10;
/// The most messages of one publisher without their last acknowledgement: some brokers search them one by one.
const UNACKED: u64 = 256;
/// About what a message is longer than its payload.
const OVERHEAD: u64 = 32;

impl LoadOptions {
    /// The window of each flow and the messages in a write.
    pub(crate) fn window_and_batch(&self, flows: usize, subscribers: usize, publishers: usize) -> (u64, u64) {
        let bytes = self.size as u64 + OVERHEAD;
        let (most, batch) = if publishers == 1 { (WINDOW, 128) } else { (WINDOW * 2, 32) };
        let receivers = (flows * subscribers).max(1) as u64;
        let default = most
            .min(TOTAL / flows.max(1) as u64)
            .min(WINDOW_BYTES / bytes)
            .min(TOTAL_BYTES / bytes / receivers);
        let window = self.window.unwrap_or(default).max(1);
        (window, self.batch.unwrap_or(batch.min(window / 4)).clamp(1, window))
    }

    /// The messages in a write, as far as these publishers may send so many without an acknowledgement.
    pub(crate) fn acknowledged_batch(&self, batch: u64, world: &World, publishers: Range<usize>) -> u64 {
        if self.qos == QoS::AtMostOnce {
            return batch;
        }
        let limits = publishers.map(|conn| world.conn(conn).receive_maximum().into());
        batch.min(limits.min().unwrap_or(UNACKED).min(UNACKED).div_ceil(2))
    }

    pub(crate) fn kind(&self, target: &Target) -> Kind {
        Kind {
            version: target.version,
            qos: self.qos,
            retain: false,
            size: self.size,
            websocket: target.is_websocket(),
        }
    }

    /// The settings that all scenarios with messages have.
    pub(crate) fn describe(&self, report: &mut Report) {
        report.setting("qos", self.qos as u8);
        report.setting("size", self.size);
        report.setting("duration", self.duration);
    }
}

/// A connection that publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    conn: usize,
    /// Sent one after the other, over and over.
    batches: Vec<Batch>,
    next_batch: usize,
    next_id: u16,
    /// Messages without their last acknowledgement, and how many there may be.
    unacked: u64,
    limit: u64,
}

impl Publisher {
    pub(crate) fn new(world: &World, conn: usize, batches: Vec<Batch>) -> Self {
        let limit = UNACKED.min(world.conn(conn).receive_maximum().into());
        Self { conn, batches, next_batch: 0, next_id: 1, unacked: 0, limit }
    }
}

/// Connections that publish to each other.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) flow: Flow,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) subscribers: Vec<usize>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
enum Role {
    Publisher { group: usize, index: usize },
    Subscriber { group: usize, index: usize },
}

/// Groups under load.
#[derive(Debug)]
pub(crate) struct Load {
    groups: Vec<Group>,
    /// Which publisher of each group is next.
    next: Vec<usize>,
    roles: Vec<Option<Role>>,
    /// Messages in each batch.
    batch: u64,
    acknowledged: bool,
    last_news: Instant,
}

impl Load {
    /// `batch` is the number of messages in every batch of every publisher.
    pub(crate) fn new(groups: Vec<Group>, batch: u64, qos: QoS) -> Self {
        let mut roles = Vec::new();
        let mut set = |conn: usize, role| {
            if roles.len() <= conn {
                roles.resize(conn + 1, None);
            }
            roles[conn] = Some(role);
        };
        for (group, members) in groups.iter().enumerate() {
            for (index, publisher) in members.publishers.iter().enumerate() {
                set(publisher.conn, Role::Publisher { group, index });
            }
            for (index, &conn) in members.subscribers.iter().enumerate() {
                set(conn, Role::Subscriber { group, index });
            }
        }
        let next = vec![0; groups.len()];
        Self { groups, next, roles, batch, acknowledged: qos > QoS::AtMostOnce, last_news: Instant::now() }
    }

    /// Warms up, measures, waits for what is under way, and says what was found.
    pub(crate) fn measure(
        mut self,
        world: &mut World,
        options: &LoadOptions,
        report: &mut Report,
        progress: &mut Progress,
    ) -> Result<(), Box<dyn Error>> {
        let own = std::process::id();
        self.until(world, Instant::now() + Duration::from_secs_f64(options.warmup), progress)?;
        let before = self.delivered();
        let broker = options.broker_pid.and_then(meter::sample);
        let generator = meter::sample(own);
        let started = Instant::now();
        self.until(world, started + Duration::from_secs_f64(options.duration), progress)?;
        let measured = started.elapsed();
        let broker = broker.zip(options.broker_pid.and_then(meter::sample));
        let generator = generator.zip(meter::sample(own));
        let delivered = self.delivered() - before;
        let behind = self.drain(world)?;
        progress.clear();

        let rate = delivered as f64 / measured.as_secs_f64();
        report.measure("messages_per_s", "messages per second", rate, 0);
        report.count("delivered", "delivered", delivered);
        report.count("behind", "still not delivered a while later", behind);
        report.count("lost", "lost", self.groups.iter().map(|group| group.flow.lost()).sum());
        report.count(
            "surplus",
            "delivered twice or late",
            self.groups.iter().map(|group| group.flow.surplus()).sum(),
        );
        if self.acknowledged {
            let publishers = self.groups.iter().flat_map(|group| &group.publishers);
            report.count(
                "unacked",
                "never acknowledged",
                publishers.map(|publisher| publisher.unacked).sum(),
            );
        }
        report.per_message(broker, generator, delivered);
        Ok(())
    }

    fn delivered(&self) -> u64 {
        self.groups.iter().map(|group| group.flow.delivered()).sum()
    }

    /// Publishes and counts until then.
    fn until(
        &mut self,
        world: &mut World,
        end: Instant,
        progress: &mut Progress,
    ) -> Result<(), Box<dyn Error>> {
        let mut shown = (Instant::now(), self.delivered());
        self.last_news = shown.0;
        loop {
            self.publish(world)?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            world.turn(Some((end - now).min(TURN)))?;
            world.check()?;
            if self.take_news(world) {
                self.last_news = now;
            } else if self.last_news.elapsed() > STALL {
                self.last_news = now;
                self.give_up();
            }
            if progress.is_due() {
                let delivered = self.delivered();
                let rate = (delivered - shown.1) as f64 / shown.0.elapsed().as_secs_f64();
                let left = (end - now).as_secs_f64();
                progress.say(&format!("{rate:.0} messages per second, {left:.1} s to go"));
                shown = (now, delivered);
            }
        }
    }

    /// Publishes no more, and counts until everything is there, nothing comes any more, or it takes too long: then it
    /// says how much is still to come.
    fn drain(&mut self, world: &mut World) -> Result<u64, Box<dyn Error>> {
        let began = Instant::now();
        self.last_news = began;
        while self.is_busy() && self.last_news.elapsed() < DRAIN {
            world.turn(Some(TURN))?;
            world.check()?;
            if self.take_news(world) {
                self.last_news = Instant::now();
            }
            if began.elapsed() > PATIENCE {
                return Ok(self.groups.iter().map(|group| group.flow.outstanding()).sum());
            }
        }
        for group in &mut self.groups {
            group.flow.give_up();
        }
        Ok(0)
    }

    fn is_busy(&self) -> bool {
        self.groups.iter().any(|group| {
            group.flow.outstanding() > 0 || group.publishers.iter().any(|publisher| publisher.unacked > 0)
        })
    }

    fn take_news(&mut self, world: &World) -> bool {
        let mut any = false;
        for (conn, tally) in world.news() {
            any |= tally.messages + tally.acked > 0;
            match self.roles.get(*conn).copied().flatten() {
                Some(Role::Publisher { group, index }) => {
                    let publisher = &mut self.groups[group].publishers[index];
                    publisher.unacked = publisher.unacked.saturating_sub(tally.acked);
                }
                Some(Role::Subscriber { group, index }) => {
                    self.groups[group].flow.on_delivered(index, tally.messages);
                }
                None => {}
            }
        }
        any
    }

    fn publish(&mut self, world: &mut World) -> Result<(), Box<dyn Error>> {
        let count = self.batch;
        for (Group { flow, publishers, .. }, next) in self.groups.iter_mut().zip(&mut self.next) {
            let (all, mut passed_over) = (publishers.len(), 0);
            while flow.has_room(count) && passed_over < all {
                let publisher = &mut publishers[*next];
                *next = (*next + 1) % all;
                if publisher.unacked + count > publisher.limit || world.conn(publisher.conn).backlog() > 0 {
                    passed_over += 1;
                    continue;
                }
                passed_over = 0;
                let batch = &mut publisher.batches[publisher.next_batch];
                world.send(publisher.conn, batch.with_ids(&mut publisher.next_id))?;
                publisher.next_batch = (publisher.next_batch + 1) % publisher.batches.len();
                flow.on_published(count);
                if self.acknowledged {
                    publisher.unacked += count;
                }
            }
        }
        Ok(())
    }

    fn give_up(&mut self) {
        for group in &mut self.groups {
            group.flow.give_up();
            for publisher in &mut group.publishers {
                publisher.unacked = 0;
            }
        }
    }
}
