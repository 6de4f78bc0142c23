//! Tickets: what becomes of something that was handed to the driver.

use crate::error::PublishError;
use mqttkit_codec::ReasonCode;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The acknowledgement of a message, to be awaited or dropped as you like: the message goes its way either way.
///
/// It resolves
/// * for QoS 0 when the message has been handed to the operating system,
/// * for QoS 1 with the reason of PUBACK, for QoS 2 with the reason of PUBCOMP: "success" or, in MQTT 5.0, "no
///   matching subscribers". It survives reconnects, however many are needed.
///
/// Cancel-safe: it can be polled from wherever, dropped at any time and given up on by a timeout.
#[derive(Debug)]
pub struct Ticket(Promise<Result<ReasonCode, PublishError>>);

impl Ticket {
    pub(crate) fn new() -> (Resolver<Result<ReasonCode, PublishError>>, Self) {
        let (resolver, promise) = promise();
        (resolver, Self(promise))
    }

    /// Whether it has resolved: awaiting it does not wait.
    pub fn is_complete(&self) -> bool {
        self.0.lock().is_done()
    }
}

impl Future for Ticket {
    type Output = Result<ReasonCode, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.unwrap_or(Err(PublishError::Closed)))
    }
}

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

impl<T> State<T> {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
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
        let (resolver, mut ticket) = Ticket::new();
        assert!((&mut ticket).now_or_never().is_none());
        assert!(!ticket.is_complete());
        resolver.resolve(Ok(ReasonCode::NoMatchingSubscribers));
        assert!(ticket.is_complete());
        assert_eq!(ticket.now_or_never(), Some(Ok(ReasonCode::NoMatchingSubscribers)));

        let (resolver, ticket) = Ticket::new();
        drop(resolver);
        assert_eq!(ticket.now_or_never(), Some(Err(PublishError::Closed)));

        let (resolver, ticket) = Ticket::new();
        drop(ticket);
        resolver.resolve(Ok(ReasonCode::Success));
    }
}
