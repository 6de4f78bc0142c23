//! `Remarks`: what happens under the lock and is to be logged when it is open again.

use mqttkit_codec::{QoS, ReasonCode, Str, TopicFilter, TopicName};
use tracing::level_filters::LevelFilter;

use crate::events::DropCause;

/// Bounded: what does not fit is counted.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) list: Vec<Remark>,
    pub(crate) left_out: u64,
    /// As many as were dropped, in the order of [`DropCause::ALL`].
    pub(crate) dropped: [u64; DropCause::ALL.len()],
    /// For whom the last of them was.
    pub(crate) loser: Option<Str>,
}

/// Something that is logged in detail, because of the level or because somebody traces it.
#[derive(Debug)]
pub(crate) enum Remark {
    Subscribed { client_id: Str, filter: TopicFilter, reason: ReasonCode },
    Unsubscribed { client_id: Str, filter: TopicFilter },
    Published { topic: TopicName, from: Option<Str>, qos: QoS, retain: bool, size: usize, receivers: usize },
    Queued { topic: TopicName, client_id: Str, qos: QoS },
    Lost { topic: TopicName, client_id: Str, cause: DropCause },
    Delivered { topic: TopicName, client_id: Str, qos: QoS },
}

/// How many are kept until the lock is open.
const MOST: usize = 1_024;

impl Remarks {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.loser.is_none()
    }

    pub(crate) fn add(&mut self, remark: Remark) {
        if self.list.len() < MOST {
            self.list.push(remark);
        } else {
            self.left_out += 1;
        }
    }

    /// Makes the remark if anybody listens to this level at all, which costs a look at one atomic number.
    pub(crate) fn add_at(&mut self, level: LevelFilter, remark: impl FnOnce() -> Remark) {
        if LevelFilter::current() >= level {
            self.add(remark());
        }
    }

    pub(crate) fn dropped(&mut self, client_id: &Str, cause: DropCause, count: u64) {
        if LevelFilter::current() < LevelFilter::WARN {
            return;
        }
        if let Some(index) = DropCause::ALL.iter().position(|known| *known == cause) {
            self.dropped[index] += count;
            if self.loser.as_ref() != Some(client_id) {
                self.loser = Some(client_id.clone());
            }
        }
    }
}
