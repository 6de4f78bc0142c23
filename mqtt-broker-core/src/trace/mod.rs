//! Tracing: the switches that have every packet of a client, or every publication to a topic, logged.
//!
//! Topics are traced where they are routed, in the state. Clients are traced at their connections: the bytes that come
//! and go are copied and read a second time, so that what is logged is what was on the wire, acknowledgements and all.

mod summary;
mod tap;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use mqttkit_codec::{Str, TextError};

pub(crate) use tap::Tap;

/// How many clients, and how many topic filters, can be traced at the same time.
pub(crate) const MOST: usize = 64;

/// Why something is not traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// 64 of the kind are traced already.
    #[error("64 are traced already")]
    TooMany,
    /// No client can have this identifier.
    #[error("not a client identifier: {0}")]
    ClientId(#[from] TextError),
}

/// The clients that are traced.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// Changes with the list. A connection that knows this number need not look at the list.
    epoch: AtomicU32,
    clients: RwLock<Vec<Str>>,
}

impl Traces {
    /// Returns whether it is new.
    pub(crate) fn add(&self, client_id: Str) -> Result<bool, TraceError> {
        self.change(|clients| {
            if clients.contains(&client_id) {
                return Ok(false);
            }
            if clients.len() >= MOST {
                return Err(TraceError::TooMany);
            }
            clients.push(client_id);
            Ok(true)
        })
    }

    /// Returns whether it was there.
    pub(crate) fn remove(&self, client_id: &str) -> bool {
        self.change(|clients| {
            let before = clients.len();
            clients.retain(|known| **known != *client_id);
            clients.len() < before
        })
    }

    pub(crate) fn list(&self) -> Vec<Str> {
        self.clients().clone()
    }

    /// The state of the switches, by one relaxed load.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether any client is traced, ever since the start: the cheap question.
    pub(crate) fn are_used(&self) -> bool {
        self.epoch() != 0
    }

    pub(crate) fn is_any(&self) -> bool {
        self.are_used() && !self.clients().is_empty()
    }

    pub(crate) fn has(&self, client_id: &str) -> bool {
        self.are_used() && self.clients().iter().any(|known| **known == *client_id)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Str>) -> T) -> T {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut clients);
        // Whoever sees the new number finds the new list behind its lock.
        self.epoch.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn clients(&self) -> RwLockReadGuard<'_, Vec<Str>> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_every_change_shows() {
        let traces = Traces::default();
        assert!(!traces.are_used() && !traces.is_any());
        let id = |number: usize| Str::try_from(format!("c{number}")).unwrap();
        for number in 0..MOST {
            assert_eq!(traces.add(id(number)), Ok(true));
        }
        assert_eq!(traces.add(id(0)), Ok(false));
        assert_eq!(traces.add(id(MOST)), Err(TraceError::TooMany));
        let before = traces.epoch();
        assert!(traces.remove("c0") && !traces.remove("c0"));
        assert_ne!(traces.epoch(), before);
        assert!(traces.has("c1") && !traces.has("c0"));
        assert_eq!(traces.list().len(), MOST - 1);
    }
}
