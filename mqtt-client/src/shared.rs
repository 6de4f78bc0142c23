//! What the handles, the streams and the driver have in common.

use crate::event::EventHub;
use crate::outbox::{Load, Outbox};
use crate::subscription::Inbox;
use mqttkit_codec::{ConnAck, Str};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each part has a lock of its own, held for a few instructions and never while another is taken.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) events: EventHub,
    status: Mutex<Status>,
}

/// Where the connection stands.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) connected: bool,
    pub(crate) client_id: Str,
    /// The latest answer of the server.
    pub(crate) connack: Option<Arc<ConnAck>>,
}

impl Shared {
    pub(crate) fn new(outbox: Load, inbox: Load, client_id: Str) -> Self {
        Self {
            outbox: Outbox::new(outbox),
            inbox: Inbox::new(inbox),
            events: EventHub::default(),
            status: Mutex::new(Status { connected: false, client_id, connack: None }),
        }
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
