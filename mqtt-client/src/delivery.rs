//! `Delivery`: how a message shall be treated on its way out, as a value.

use std::time::Duration;

/// How a message is treated between [`Client::publish`](crate::Client::publish) and the server: how long it is of use,
/// what it may overtake, and what happens when there is no room or no connection.
///
/// [`Options::delivery`](crate::Options::delivery) sets it for all messages,
/// [`Client::publish_with`](crate::Client::publish_with) for one.
///
/// ```
/// use mqttkit_client::{Delivery, Priority, WhenFull};
/// use std::time::Duration;
///
/// // A measured value: of use for a minute, and the newest are worth more than the oldest.
/// let measured = Delivery::new().time_to_live(Duration::from_secs(60)).when_full(WhenFull::DropOldest);
/// // An alarm goes before everything else.
/// let alarm = Delivery::new().priority(Priority::High).when_full(WhenFull::DropLower);
/// # assert_ne!(measured, alarm);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// How long the message may wait to be sent; counted from when it is queued. Then it is thrown away, and its ticket
    /// says [`PublishError::Expired`](crate::PublishError::Expired). In MQTT 5.0 what is left of it goes along as the
    /// Message Expiry Interval, in whole seconds, rounded up.
    ///
    /// Default: the Message Expiry Interval among the message's own properties, or else no limit.
    pub time_to_live: Option<Duration>,
    /// Default normal.
    pub priority: Priority,
    /// Default: wait.
    pub when_full: WhenFull,
    /// What becomes of it without a connection, if its QoS is 0. Default: it is queued.
    pub offline: Offline,
}

/// The class of a message: of what is queued, the higher class goes first. Within a class the order is kept, and what
/// was sent is not overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// After all others.
    Low,
    /// Where requests to subscribe and unsubscribe stand as well.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// What happens when the queue of outgoing messages is full.
///
/// What is dropped has not been sent. Its ticket says [`PublishError::Dropped`](crate::PublishError::Dropped), and
/// [`Metrics::dropped`](crate::Metrics::dropped) counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// [`publish`](crate::Client::publish) waits in line for room.
    #[default]
    Wait,
    /// The new message is dropped.
    DropNewest,
    /// Queued messages make room, those of the lowest class first and of each the oldest, but none of a higher class than
    /// the new one. If that is not enough the new message is dropped.
    DropOldest,
    /// Like `DropOldest`, but none of the same class either.
    DropLower,
}

/// What becomes of a message of QoS 0 while there is no connection. Others are always queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Offline {
    /// It waits for the next connection.
    #[default]
    Queue,
    /// It is dropped, as is one that still waits when the connection is lost. Its ticket says
    /// [`PublishError::Offline`](crate::PublishError::Offline).
    Drop,
}

impl Delivery {
    /// The default: no limit in time, normal priority, waits for room, is queued while there is no connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this [`time_to_live`](Self::time_to_live).
    #[must_use]
    pub fn time_to_live(self, time: Duration) -> Self {
        Self { time_to_live: Some(time), ..self }
    }

    /// With this [`priority`](Self::priority).
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// With this behaviour at a full queue.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// With this behaviour without a connection.
    #[must_use]
    pub fn offline(self, offline: Offline) -> Self {
        Self { offline, ..self }
    }
}

impl Priority {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
