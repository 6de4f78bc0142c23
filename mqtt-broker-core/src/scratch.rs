//! Memory for one turn, used again by the next turn on the same thread: connections that are idle own none of it.

use std::cell::Cell;
use std::sync::Arc;

use crate::notify::Notify;
use crate::peer::Work;

thread_local! {
    static WORK: Cell<Vec<Work>> = const { Cell::new(Vec::new()) };
    static BELLS: Cell<Vec<Arc<Notify>>> = const { Cell::new(Vec::new()) };
}

/// Lends an empty list of work.
pub(crate) fn work<T>(use_it: impl FnOnce(&mut Vec<Work>) -> T) -> T {
    let mut work = WORK.take();
    let result = use_it(&mut work);
    work.clear();
    WORK.set(work);
    result
}

/// Lends an empty list of bells.
pub(crate) fn bells<T>(use_them: impl FnOnce(&mut Vec<Arc<Notify>>) -> T) -> T {
    let mut bells = BELLS.take();
    let result = use_them(&mut bells);
    bells.clear();
    bells.shrink_to(MAX_KEPT);
    BELLS.set(bells);
    result
}

/// Bells that one thread keeps room for.
const MAX_KEPT: usize = 4096;
