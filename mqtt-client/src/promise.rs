//! `promise`: one answer from the driver to a handle that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The waiting half of [`promise`]. `None` when the other half was dropped without an answer.
#[derive(Debug)]
pub(crate) struct Promise<T>(Arc<Mutex<State<T>>>);

/// The answering half of [`promise`]. To drop it is an answer too.
#[derive(Debug)]
pub(crate) struct Resolver<T>(Option<Arc<Mutex<State<T>>>>);

/// ```text
///   Open(waker of the waiting half) ──▶ Done(answer, or none) ──poll──▶ Done(none)
/// ```
#[derive(Debug)]
enum State<T> {
    Open(Option<Waker>),
    Done(Option<T>),
}

pub(crate) fn promise<T>() -> (Resolver<T>, Promise<T>) {
    let state = Arc::new(Mutex::new(State::Open(None)));
    (Resolver(Some(Arc::clone(&state))), Promise(state))
}

impl<T> Promise<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *self.lock() {
            State::Done(answer) => Poll::Ready(answer.take()),
            State::Open(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            State::Open(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Resolver<T> {
    pub(crate) fn resolve(mut self, answer: T) {
        self.finish(Some(answer));
    }

    fn finish(&mut self, answer: Option<T>) {
        let Some(state) = self.0.take() else { return };
        let before = std::mem::replace(
            &mut *state.lock().unwrap_or_else(PoisonError::into_inner),
            State::Done(answer),
        );
        // Woken outside the lock, since a waker may poll at once.
        if let State::Open(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn an_answer_arrives_once_and_a_dropped_resolver_is_one_too() {
        let (resolver, mut waiting) = promise();
        assert!((&mut waiting).now_or_never().is_none());
        resolver.resolve(7);
        assert_eq!(waiting.now_or_never(), Some(Some(7)));

        let (resolver, waiting) = promise::<u8>();
        drop(resolver);
        assert_eq!(waiting.now_or_never(), Some(None));

        let (resolver, waiting) = promise();
        drop(waiting);
        resolver.resolve(7);
    }
}
