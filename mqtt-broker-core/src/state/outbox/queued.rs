//! `Queued`: a published message on its way to one client, with what it shares with other clients.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mqttkit_codec::{Instant, Message, QoS};

use crate::budget::{MESSAGE, PLACE};
use crate::state::group::Serial;

/// What a message costs in a queue beside its bytes, in the accounting of limits.
pub(super) const OVERHEAD: usize = 64;

/// A published message, shared by everything it is queued for.
#[derive(Debug)]
pub(in crate::state) struct Routed {
    pub(in crate::state) message: Message,
    /// When its lifetime ends. [MQTT-3.3.2-5]
    pub(in crate::state) expires: Option<Instant>,
    /// What it was read into.
    pub(in crate::state) buffer: ReadBuffer,
    /// In how many queues it waits. Changed only under the lock of the state.
    places: AtomicU32,
}

/// A buffer that messages were read into, and that each of them pins.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::state) struct ReadBuffer {
    /// What tells it from others; 0 is that of a message with memory of its own.
    pub(super) number: u64,
    size: usize,
}

/// One message for one client.
#[derive(Debug)]
pub(in crate::state) struct Queued {
    pub(in crate::state) message: Arc<Routed>,
    pub(in crate::state) ids: Ids,
    pub(in crate::state) qos: QoS,
    pub(in crate::state) retain: bool,
    /// The group that it is for, or 0.
    pub(in crate::state) group: Serial,
    /// What the store knows it by, or 0.
    pub(in crate::state) number: u64,
    /// It is the oldest in its queue that pins its read buffer.
    pub(in crate::state) pins: bool,
}

/// The identifiers of the subscriptions that a delivery is for. Most have none, and nearly all of the rest one.
#[derive(Clone, Debug, Default)]
pub(in crate::state) enum Ids {
    #[default]
    None,
    One(NonZeroU32),
    Many(Box<[NonZeroU32]>),
}

impl Routed {
    /// One that has just been read.
    pub(in crate::state) fn new(message: Message, buffer: ReadBuffer, now: Instant) -> Self {
        let lifetime = message.properties.message_expiry_interval();
        let expires = lifetime.map(|seconds| now + Duration::from_secs(seconds.into()));
        Self { message, expires, buffer, places: AtomicU32::new(0) }
    }

    /// One that has memory of its own.
    pub(in crate::state) fn of_its_own(message: Message, expires: Option<Instant>) -> Self {
        Self { message, expires, buffer: ReadBuffer::default(), places: AtomicU32::new(0) }
    }

    /// A copy that can be kept for long.
    pub(in crate::state) fn detached(&self) -> Self {
        Self::of_its_own(self.message.detached(), self.expires)
    }

    /// Whether it pins no read buffer.
    pub(in crate::state) fn is_detached(&self) -> bool {
        self.buffer.is_none()
    }

    /// What it pins beside itself, in bytes.
    pub(super) fn pins(&self) -> u32 {
        self.buffer.size.saturating_sub(self.cost()).try_into().unwrap_or(u32::MAX >> 1)
    }

    /// What it counts for in the limits, in bytes.
    pub(in crate::state) fn cost(&self) -> usize {
        cost_of(&self.message)
    }

    /// It waits in one more queue. Returns what that adds to the budget's weight: the first place brings the message.
    pub(super) fn take_place(&self) -> usize {
        let places = self.places.load(Ordering::Relaxed);
        self.places.store(places + 1, Ordering::Relaxed);
        if places == 0 { PLACE + MESSAGE + self.cost() } else { PLACE }
    }

    /// It waits in one queue less.
    pub(super) fn leave_place(&self) -> usize {
        let places = self.places.load(Ordering::Relaxed) - 1;
        self.places.store(places, Ordering::Relaxed);
        if places == 0 { PLACE + MESSAGE + self.cost() } else { PLACE }
    }

    pub(in crate::state) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The message as it is now: its lifetime less the time it waited. [MQTT-3.3.2-6]
    fn aged(&self, now: Instant) -> Message {
        age(self.message.clone(), self.expires, now)
    }

    fn into_aged(self, now: Instant) -> Message {
        age(self.message, self.expires, now)
    }
}

fn age(mut message: Message, expires: Option<Instant>, now: Instant) -> Message {
    let Some(expires) = expires else { return message };
    let left = expires - now;
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    if message.properties.message_expiry_interval() != Some(seconds) {
        message.properties = message.properties.with_message_expiry_interval(seconds);
    }
    message
}

/// What a message counts for in the limits, in bytes.
pub(in crate::state) fn cost_of(message: &Message) -> usize {
    let Message { topic, payload, properties, .. } = message;
    topic.as_bytes().len() + payload.len() + properties.as_bytes().len() + OVERHEAD
}

/// Whether a message, which may have a lifetime, goes with QoS 0 and as it was published, to a client that is told
/// properties or is not.
pub(in crate::state) fn goes_as_published(qos: QoS, ids: &Ids, expires: bool, has_properties: bool) -> bool {
    let as_is = !has_properties || (ids.as_slice().is_empty() && !expires);
    as_is && qos == QoS::AtMostOnce
}

impl ReadBuffer {
    /// Whether the message has memory of its own.
    pub(in crate::state) fn is_none(self) -> bool {
        self.number == 0
    }

    pub(in crate::state) fn number(self) -> u64 {
        self.number
    }

    /// Another one, of this size in bytes.
    pub(in crate::state) fn next(self, size: usize) -> Self {
        Self { number: self.number + 1, size }
    }
}

impl Queued {
    /// Whether it can be written from where it is, but for RETAIN.
    pub(in crate::state) fn is_as_published(&self, has_properties: bool) -> bool {
        goes_as_published(self.qos, &self.ids, self.message.expires.is_some(), has_properties)
    }

    /// The message as the client gets it; `None` if its lifetime is over.
    pub(in crate::state) fn into_message(self, now: Instant) -> Option<Message> {
        if self.message.is_expired(now) {
            return None;
        }
        Some(self.into_sent(now))
    }

    /// The same of one that was sent already, whose lifetime does not matter any more.
    pub(in crate::state) fn into_sent(self, now: Instant) -> Message {
        // It is for nobody else, as a rule.
        let mut message = match Arc::try_unwrap(self.message) {
            Ok(routed) => routed.into_aged(now),
            Err(shared) => shared.aged(now),
        };
        message.qos = self.qos;
        message.retain = self.retain;
        for &id in self.ids.as_slice() {
            message.properties = message.properties.with_subscription_identifier(id);
        }
        message
    }
}

impl Ids {
    pub(in crate::state) fn new(id: Option<NonZeroU32>) -> Self {
        id.map_or(Self::None, Self::One)
    }

    pub(in crate::state) fn add(&mut self, id: Option<NonZeroU32>) {
        let Some(id) = id else { return };
        *self = match self.as_slice() {
            [] => Self::One(id),
            more => Self::Many(more.iter().copied().chain([id]).collect()),
        };
    }

    /// The only one, of a delivery for one subscription.
    pub(in crate::state) fn first(&self) -> Option<NonZeroU32> {
        self.as_slice().first().copied()
    }

    pub(in crate::state) fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}
