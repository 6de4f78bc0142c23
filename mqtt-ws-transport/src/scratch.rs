//! One read buffer per thread, so that an idle connection owns none.
//!
//! A read goes into the thread's buffer and what arrived is copied to its owner. The copy of a filled 16 KiB costs
//! about a tenth of the system call that fetched it; in exchange memory is taken when bytes are there and exactly
//! as much, where reserving before each read would pin a buffer per idle connection, and without `unsafe` would
//! also clear it each time.

use std::cell::Cell;

/// The most that one read can return.
pub(crate) const LEN: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the thread's buffer to `f`.
///
/// The buffer is taken out while it is lent: a stream that is built on another link and so comes here again from
/// within `f` gets a fresh buffer instead of a panic.
pub(crate) fn with<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; LEN].into_boxed_slice());
    let result = f(&mut buffer);
    BUFFER.set(Some(buffer));
    result
}
