//! How many may come: connections, handshakes in progress, connections from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The limits; `usize::MAX` is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) handshakes: usize,
    pub(super) per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: usize::MAX, handshakes: usize::MAX, per_address: usize::MAX }
    }
}

/// The limit of a listener that a client would have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Crowded {
    /// All connections together, those in their handshake included.
    #[error("{limit} connections are open, which is the limit")]
    Connections {
        /// The limit.
        limit: usize,
    },
    /// Handshakes in progress.
    #[error("{limit} handshakes are in progress, which is the limit")]
    Handshakes {
        /// The limit.
        limit: usize,
    },
    /// Connections from one address.
    #[error("{address} has {limit} connections, which is the limit")]
    Address {
        /// The address; of IPv6 the first 64 bits, since that is what one customer is given.
        address: IpAddr,
        /// The limit.
        limit: usize,
    },
}

/// Counts for all clones of an acceptor.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    /// `None` where nothing is limited, so that nothing is counted.
    pub(super) fn new(limits: Limits) -> Option<Arc<Self>> {
        let any =
            [limits.connections, limits.handshakes, limits.per_address].iter().any(|n| *n != usize::MAX);
        any.then(|| {
            Arc::new(Self {
                limits,
                connections: AtomicUsize::new(0),
                handshakes: AtomicUsize::new(0),
                addresses: Mutex::default(),
            })
        })
    }

    /// Lets one more connection in, or says which limit it would exceed.
    pub(super) fn enter(self: &Arc<Self>) -> Result<(Permit, Handshake), Crowded> {
        if !take(&self.connections, self.limits.connections) {
            return Err(Crowded::Connections { limit: self.limits.connections });
        }
        let permit = Permit { admission: Arc::clone(self), address: None };
        if !take(&self.handshakes, self.limits.handshakes) {
            return Err(Crowded::Handshakes { limit: self.limits.handshakes });
        }
        Ok((permit, Handshake(Arc::clone(self))))
    }
}

fn take(counter: &AtomicUsize, limit: usize) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1)).is_ok()
}

/// A place among the connections, until dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Permit {
    /// Counts it for `address`, now that it is known who comes. Done once; later calls change nothing.
    pub(super) fn comes_from(&mut self, address: IpAddr) -> Result<(), Crowded> {
        let limit = self.admission.limits.per_address;
        if limit == usize::MAX || self.address.is_some() {
            return Ok(());
        }
        let address = customer(address);
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= limit {
            return Err(Crowded::Address { address, limit });
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// A place among the handshakes in progress, until dropped.
#[derive(Debug)]
pub(super) struct Handshake(Arc<Admission>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Crowded, Limits};
    use std::net::IpAddr;

    #[test]
    fn places_are_given_and_come_back() {
        let limits = Limits { connections: 3, handshakes: 2, per_address: 1 };
        let admission = Admission::new(limits).unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (mut a, handshake_a) = admission.enter().unwrap();
        let (mut b, handshake_b) = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), Crowded::Handshakes { limit: 2 });
        drop(handshake_a);
        let (_c, handshake_c) = admission.enter().unwrap();
        drop((handshake_b, handshake_c));
        assert_eq!(admission.enter().unwrap_err(), Crowded::Connections { limit: 3 });
        a.comes_from(address("2001:db8::1")).unwrap();
        a.comes_from(address("10.0.0.9")).unwrap();
        let network = address("2001:db8::");
        assert_eq!(
            b.comes_from(address("2001:db8::2")),
            Err(Crowded::Address { address: network, limit: 1 })
        );
        drop(a);
        b.comes_from(address("2001:db8::2")).unwrap();
        assert!(admission.enter().is_ok());
        drop(b);
        assert!(admission.addresses.lock().unwrap().is_empty());
        assert!(Admission::new(Limits::default()).is_none());
    }
}
