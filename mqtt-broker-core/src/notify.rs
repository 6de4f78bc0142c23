//! `Notify`: how the state, which knows no runtime, tells the task of a connection to look again.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The bell at the door of one connection. Cheap to ring; ringing twice is ringing once.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    waker: AtomicWaker,
    flags: AtomicU8,
    /// Messages that the client has not acknowledged, as the connection last saw it.
    in_flight: AtomicUsize,
}

/// There is something in the state: messages, a kick, a session that was waited for.
pub(crate) const LOOK: u8 = 1;
/// The broker shuts down: say goodbye.
pub(crate) const SHUT_DOWN: u8 = 2;
/// The time for goodbyes is over: end at once.
pub(crate) const ABORT: u8 = 4;
/// A time has come that it wanted to be woken at.
pub(crate) const TIME: u8 = 8;
/// It has let others write before it writes itself.
pub(crate) const WAITED: u8 = 16;

impl Notify {
    /// Raises a flag and wakes the task. Not to be called under the lock of the state: a waker may poll at once.
    pub(crate) fn ring(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::Release);
        self.waker.wake();
    }

    /// Says how much the client has not acknowledged, for those who deal out messages.
    pub(crate) fn set_in_flight(&self, count: usize) {
        self.in_flight.store(count, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Registers who is to be woken from now on, then takes the flags that were raised.
    pub(crate) fn take(&self, waker: &Waker) -> u8 {
        self.register(waker);
        self.take_flags()
    }

    /// Registers who is to be woken from now on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes the flags that were raised. To be asked again after each [`register`](Self::register) before one sleeps.
    pub(crate) fn take_flags(&self) -> u8 {
        // The load keeps the usual case, nothing raised, free of a write to shared memory.
        if self.flags.load(Ordering::Acquire) == 0 { 0 } else { self.flags.swap(0, Ordering::AcqRel) }
    }
}
