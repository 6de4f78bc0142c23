//! `$SYS` topics: what the broker says of itself, as retained messages that are published when they change.

use std::time::Duration;

use mqttkit_codec::{Instant, Message, TopicName};

use super::State;
use crate::stats::Stats;

/// When to speak next, and what was said last.
#[derive(Debug, Default)]
pub(super) struct Sys {
    next: Option<Instant>,
    started: Option<Instant>,
    said: Vec<Option<u64>>,
}

type Figure = (&'static str, fn(&Stats) -> u64);

/// Numbers, as decimal text.
const FIGURES: [Figure; 11] = [
    ("$SYS/broker/clients/connected", |stats| stats.clients as u64),
    ("$SYS/broker/clients/disconnected", |stats| stats.sessions.saturating_sub(stats.clients) as u64),
    ("$SYS/broker/clients/total", |stats| stats.sessions as u64),
    ("$SYS/broker/subscriptions/count", |stats| stats.subscriptions as u64),
    ("$SYS/broker/retained messages/count", |stats| stats.retained_messages as u64),
    ("$SYS/broker/retained messages/bytes", |stats| stats.retained_bytes as u64),
    ("$SYS/broker/publish/messages/received", |stats| stats.messages_published),
    ("$SYS/broker/publish/messages/sent", |stats| stats.messages_delivered),
    ("$SYS/broker/publish/messages/dropped", |stats| stats.dropped.total()),
    ("$SYS/broker/publish/messages/not retained", |stats| stats.retained_refused),
    ("$SYS/broker/publish/messages/expired", |stats| stats.dropped.expired),
];

impl State {
    /// When there is something to say.
    pub(super) fn sys_timeout(&self) -> Option<Instant> {
        // The first time at once.
        self.config.sys_interval.map(|_| self.sys.next.unwrap_or(Instant::ZERO))
    }

    pub(super) fn handle_sys(&mut self, now: Instant) {
        let Some(interval) = self.config.sys_interval else { return };
        if self.sys.next.is_some_and(|next| now < next) {
            return;
        }
        // No busy loop, whatever the configuration.
        self.sys.next = Some(now + interval.max(SHORTEST));
        let mut stats = Stats::default();
        self.stats(&mut stats);
        if self.sys.started.is_none() {
            self.say(now, "$SYS/broker/version", concat!("mqttkit ", env!("CARGO_PKG_VERSION")).into());
        }
        let started = *self.sys.started.get_or_insert(now);
        self.say(now, "$SYS/broker/uptime", format!("{} seconds", (now - started).as_secs()));
        self.sys.said.resize(FIGURES.len(), None);
        for (index, (topic, figure)) in FIGURES.into_iter().enumerate() {
            let value = figure(&stats);
            if self.sys.said[index].replace(value) != Some(value) {
                self.say(now, topic, value.to_string());
            }
        }
    }

    fn say(&mut self, now: Instant, topic: &str, payload: String) {
        if let Ok(topic) = TopicName::try_from(topic) {
            // Nothing that anybody has published: else this figure would change with every look at it.
            let published = self.counters.published;
            self.publish_host(now, Message::new(topic, payload).with_retain(true));
            self.counters.published = published;
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
