//! What the handles, the streams and the driver have in common.

use crate::alarm::Alarms;
use crate::authentication::AuthenticationError;
use crate::event::{self, Event};
use crate::hub::Hub;
use crate::inbox::Inbox;
use crate::metrics::{Counters, Metrics};
use crate::outbox::{Load, Outbox};
use crate::packets::{self, Passed};
use crate::promise::Resolver;
use crate::store::Desk;
use mqttkit_codec::{ConnAck, Instant, Str};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each part has a lock of its own, held for a few instructions and never while another is taken; but for the store,
/// which is told under the lock of the outbox, so that it has messages in their order.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) outbox: Outbox,
    /// What goes to no stream.
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Hub<Event>,
    pub(crate) packets: Hub<Passed>,
    pub(crate) alarms: Alarms,
    pub(crate) counters: Counters,
    clock: Clock,
    streams: AtomicU64,
    pub(crate) again: Again,
    desk: Option<Arc<Desk>>,
    status: Mutex<Status>,
}

/// Who wants to authenticate again.
#[derive(Debug)]
pub(crate) struct Again {
    /// Looked at in every turn of the driver, so that the lock is not.
    asked: AtomicBool,
    /// `None` when the driver has ended.
    askers: Mutex<Option<Vec<Asker>>>,
}

/// Told how an authentication went.
pub(crate) type Asker = Resolver<Result<(), AuthenticationError>>;

impl Default for Again {
    fn default() -> Self {
        Self { asked: AtomicBool::new(false), askers: Mutex::new(Some(Vec::new())) }
    }
}

impl Again {
    /// Returns whether there is a driver to hear it.
    pub(crate) fn ask(&self, asker: Asker) -> bool {
        let mut askers = self.lock();
        let Some(askers) = &mut *askers else { return false };
        askers.push(asker);
        self.asked.store(true, Ordering::Release);
        true
    }

    pub(crate) fn take(&self) -> Vec<Asker> {
        if !self.asked.load(Ordering::Relaxed) || !self.asked.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody hears it any more.
    pub(crate) fn end(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Asker>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the connection stands.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) connected: bool,
    pub(crate) client_id: Str,
    /// The latest answer of the server.
    pub(crate) connack: Option<Arc<ConnAck>>,
}

/// The time of the driver's runtime.
pub(crate) struct Clock(Box<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Box::new(now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        outbox: Load,
        inbox: Inbox,
        client_id: Str,
        desk: Option<Arc<Desk>>,
    ) -> Self {
        Self {
            outbox: Outbox::new(outbox, desk.clone()),
            inbox: Arc::new(inbox),
            events: Hub::with_first(event::CAPACITY),
            packets: Hub::new(packets::CAPACITY),
            alarms: Alarms::default(),
            counters: Counters::default(),
            clock,
            streams: AtomicU64::new(0),
            again: Again::default(),
            desk,
            status: Mutex::new(Status { connected: false, client_id, connack: None }),
        }
    }

    /// Tells the application, and whoever follows the program by `tracing`.
    pub(crate) fn tell(&self, event: &Event) {
        event::log(event);
        self.events.tell(event);
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let limit = Load { entries: 10, bytes: 1 << 20 };
        let inbox = Inbox::new(limit, crate::SlowReader::Wait, false, None);
        Self::new(Clock::new(|| Instant::ZERO), limit, inbox, Str::EMPTY, None)
    }

    /// The store, if there is one.
    pub(crate) fn desk(&self) -> Option<&Arc<Desk>> {
        self.desk.as_ref()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.0()
    }

    /// The number of another stream.
    pub(crate) fn next_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let (used, queued) = self.outbox.depth();
        Metrics {
            outgoing: used.entries,
            outgoing_bytes: used.bytes,
            queued,
            incoming: self.inbox.len(),
            ..self.counters.snapshot()
        }
    }
}
