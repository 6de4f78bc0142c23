//! The keeper: one task that wakes the state when a delayed will or the end of a session is due.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use crate::broker::Inner;
use crate::notify::Notify;
use crate::runtime::{AnyRuntime, Timer};

/// Runs until the broker is gone.
pub(crate) async fn run(broker: Weak<Inner>, notify: Arc<Notify>, runtime: Arc<dyn AnyRuntime>) {
    let mut timer: Option<Timer> = None;
    poll_fn(move |cx: &mut Context<'_>| {
        loop {
            notify.take(cx.waker());
            let Some(inner) = broker.upgrade() else { return Poll::Ready(()) };
            let next = inner.keep();
            // Not to be the one who keeps the broker alive, nor to drop it under our own feet.
            drop(inner);
            let Some(next) = next else { return Poll::Pending };
            let timer = match &mut timer {
                Some(timer) => {
                    timer.reset(next.since_origin());
                    timer
                }
                none => none.insert(runtime.sleep_until(next)),
            };
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
