//! `Journal`: what the state tells the store, in the order in which it happens.
//!
//! Without a store it is one pointer that is null, and nothing that is told to it is even made.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqttkit_codec::Instant;

use super::outbox::Routed;
use crate::config::Config;
use crate::store::{DeliveryRecord, MessageRecord, Progress, Retention, Source, StoreOp};

/// The ops of the state.
#[derive(Debug, Default)]
pub(super) struct Journal {
    log: Option<Box<Log>>,
}

#[derive(Debug)]
struct Log {
    /// What was not yet taken.
    ops: Vec<StoreOp>,
    /// How many ops there were, and their cost.
    count: u64,
    bytes: u64,
    /// The same at the end of what was taken each time and may not be durable yet.
    marks: VecDeque<(u64, u64)>,
    /// The cost of what is durable.
    durable_bytes: u64,
    progress: Progress,
    clock: Clock,
    max_ops: u64,
    max_bytes: u64,
    last_delivery: u64,
    /// For whom the message waits that is being published.
    deliveries: Vec<DeliveryRecord>,
    /// The failure of the store was told.
    told: bool,
}

/// The time on the wall, by the time of the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// At the origin of all instants.
    pub(crate) origin: SystemTime,
}

impl Journal {
    /// A journal for a store that holds nothing yet, or deliveries up to this number.
    pub(super) fn new(config: &Config, progress: Progress, clock: Clock, last_delivery: u64) -> Self {
        let log = Log {
            ops: Vec::new(),
            count: 0,
            bytes: 0,
            marks: VecDeque::new(),
            durable_bytes: 0,
            progress,
            clock,
            max_ops: config.store_ops as u64,
            max_bytes: config.store_bytes as u64,
            last_delivery,
            deliveries: Vec::new(),
            told: false,
        };
        Self { log: Some(Box::new(log)) }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Tells the store. The op is made only if there is one.
    #[inline]
    pub(super) fn tell(&mut self, op: impl FnOnce(Clock) -> StoreOp) {
        if let Some(log) = &mut self.log {
            log.count += 1;
            if log.progress.has_failed() {
                // Whatever waits for this op waits for ever, as it must.
                return;
            }
            let op = op(log.clock);
            log.bytes += op.cost() as u64;
            log.ops.push(op);
        }
    }

    /// The number of the last op.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.count)
    }

    /// The number of another delivery; 0 without a store.
    pub(super) fn next_delivery(&mut self) -> u64 {
        self.log.as_mut().map_or(0, |log| {
            log.last_delivery += 1;
            log.last_delivery
        })
    }

    /// The message that is being published waits for this session as well.
    pub(super) fn waits(&mut self, delivery: DeliveryRecord) {
        if let Some(log) = &mut self.log {
            log.deliveries.push(delivery);
        }
    }

    /// For whom it waits.
    pub(super) fn take_deliveries(&mut self) -> Vec<DeliveryRecord> {
        self.log.as_mut().map_or_else(Vec::new, |log| std::mem::take(&mut log.deliveries))
    }

    /// A message was published.
    pub(super) fn published(
        &mut self,
        routed: &Routed,
        number: u64,
        retention: Retention,
        source: Option<Source>,
    ) {
        if self.log.is_none() {
            return;
        }
        let deliveries = self.take_deliveries();
        if !deliveries.is_empty() || retention != Retention::Untouched {
            self.tell(|clock| {
                let message = record(routed, number, clock);
                StoreOp::Published { source, message, retention, deliveries }
            });
        } else if let Some(source) = source {
            self.tell(|_| StoreOp::Settled { source });
        }
    }

    /// Appends what the store has not been told yet.
    pub(super) fn take(&mut self) -> Option<&mut Vec<StoreOp>> {
        let log = self.log.as_mut().filter(|log| !log.ops.is_empty())?;
        log.forget_durable();
        log.marks.push_back((log.count, log.bytes));
        Some(&mut log.ops)
    }

    /// How many ops, of which cost in bytes, are not durable.
    pub(super) fn behind(&self) -> (u64, u64) {
        let Some(log) = self.log.as_ref().filter(|log| !log.progress.has_failed()) else { return (0, 0) };
        let durable = log.progress.position();
        let passed = log.marks.iter().take_while(|&&(op, _)| op <= durable).last();
        let bytes = passed.map_or(log.durable_bytes, |&(_, bytes)| bytes);
        (log.count.saturating_sub(durable), log.bytes - bytes)
    }

    /// Whether more waits for the store than should.
    pub(super) fn is_behind(&mut self) -> bool {
        let Some(log) = self.log.as_mut().filter(|log| !log.progress.has_failed()) else { return false };
        if log.count.saturating_sub(log.progress.position()) >= log.max_ops {
            return true;
        }
        if log.bytes - log.durable_bytes < log.max_bytes {
            return false;
        }
        log.forget_durable();
        log.bytes - log.durable_bytes >= log.max_bytes
    }

    /// The op that must be durable before somebody goes on who has added too much: about half of what waits.
    pub(super) fn half_way(&self) -> u64 {
        let Some(log) = &self.log else { return 0 };
        log.marks.get(log.marks.len() / 2).map_or(log.count, |&(op, _)| op)
    }

    /// Whether there is a store.
    pub(super) fn is_kept(&self) -> bool {
        self.log.is_some()
    }

    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.progress.has_failed())
    }

    /// The failure of the store, once.
    pub(super) fn take_failure(&mut self) -> Option<crate::store::StoreError> {
        let log = self.log.as_mut().filter(|log| !log.told)?;
        let error = log.progress.error()?.clone();
        log.told = true;
        Some(error)
    }
}

impl Log {
    fn forget_durable(&mut self) {
        let durable = self.progress.position();
        while let Some(&(op, bytes)) = self.marks.front()
            && op <= durable
        {
            self.durable_bytes = bytes;
            self.marks.pop_front();
        }
    }
}

impl Clock {
    pub(super) fn at(self, instant: Instant) -> SystemTime {
        // A time that cannot be told will never come.
        self.origin.checked_add(instant.since_origin()).unwrap_or(self.origin + CENTURIES)
    }

    /// How long ago this was.
    pub(super) fn since(self, now: Instant, then: SystemTime) -> Duration {
        self.at(now).duration_since(then).unwrap_or_default()
    }
}

/// Far enough away.
const CENTURIES: Duration = Duration::from_secs(200 * 365 * 24 * 60 * 60);

/// A message for the store.
pub(super) fn record(routed: &Routed, number: u64, clock: Clock) -> Arc<MessageRecord> {
    let expires = routed.expires.map(|at| clock.at(at));
    Arc::new(MessageRecord { number, message: routed.message.clone(), expires })
}
