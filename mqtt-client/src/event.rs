//! `Events`: what happens to the connection, for those who want to know.

use crate::continuity::Continuity;
use crate::error::{ConnectError, DisconnectCause};
use crate::shared::Shared;
use crate::store::StoreError;
use futures_core::Stream;
use mqttkit_codec::{ReasonCode, Str, TopicFilter, Version};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// Something that happened to the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect begins.
    Connecting {
        /// Counts the attempts of the client, from 1.
        number: u32,
    },
    /// A connection is established.
    Connected(Continuity),
    /// An attempt to connect failed.
    ConnectFailed(Arc<ConnectError>),
    /// An established connection ended.
    Disconnected(Arc<DisconnectCause>),
    /// The next attempt to connect comes after this delay.
    Reconnecting {
        /// Attempts that failed since the last connection that was of use.
        attempt: u32,
        /// The wait.
        delay: Duration,
    },
    /// The server has sent the client to another one, and it goes there; see
    /// [`Options::follow_redirects`](crate::Options::follow_redirects).
    Redirected {
        /// The Server Reference.
        reference: Str,
        /// Whether that is for good.
        moved: bool,
    },
    /// The server does not speak the version that was asked for: the next attempt is in an older one. See
    /// [`Options::version_fallback`](crate::Options::version_fallback).
    FallingBack {
        /// The version of the next attempt.
        version: Version,
    },
    /// A subscription could not be restored after the session was lost: its messages do not come any more.
    SubscriptionLost {
        /// The subscription.
        filter: TopicFilter,
        /// What the server says.
        reason: ReasonCode,
    },
    /// Incoming messages of QoS 0 were dropped because the application takes none while it waits for the server, see
    /// [`Messages`](crate::Messages).
    Dropped {
        /// How many since the last event of this kind.
        messages: u64,
    },
    /// A stream of messages is not read fast enough, and [`SlowReader`](crate::SlowReader) says to drop some: told at the
    /// first, and when there is room again.
    SlowReader {
        /// The first filter of the [`SubscriptionStream`](crate::SubscriptionStream); none for
        /// [`Messages`](crate::Messages).
        filter: Option<TopicFilter>,
        /// How many since the last event of this kind for this stream.
        dropped: u64,
    },
    /// The [`store`](crate::store) has brought back what an earlier process has left. Told before the first attempt to
    /// connect, and only if there is something. Nobody has tickets for these messages.
    Restored(Restored),
    /// The store has failed: the client ends, see [`store`](crate::store).
    StoreFailed(StoreError),
    /// This stream was not read fast enough: so many events before this one were thrown away, the oldest first.
    Missed(u64),
    /// The client has ended: nothing comes after this.
    Ended,
}

/// What an earlier process has left in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Messages that were not sent.
    pub queued: usize,
    /// Messages that were sent and not acknowledged.
    pub in_flight: usize,
    /// QoS 2 messages that the server has; only PUBCOMP is missing.
    pub received: usize,
    /// Identifiers of QoS 2 messages that were received from the server, which has not released them.
    pub incoming: usize,
    /// Bytes at the end of the store that were no whole record, as a crash in the middle of a write leaves them. They were
    /// thrown away; no [`publish`](crate::Client::publish) had returned for them.
    pub cut: u64,
}

impl Restored {
    /// How many messages that are.
    pub fn messages(&self) -> usize {
        self.queued + self.in_flight + self.received
    }
}

/// A bounded stream of [`Event`]s. It never slows the client down: a slow reader misses the oldest.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    id: u64,
}

/// How many events are kept for a slow reader.
const CAPACITY: usize = 64;

impl Events {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.events.subscribe();
        Self { shared, id }
    }

    /// The next event; `None` after [`Event::Ended`].
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.shared.events.poll_recv(cx, self.id)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.events.poll_recv(cx, self.id)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.events.unsubscribe(self.id);
    }
}

/// Where the driver tells events and readers take them.
#[derive(Debug)]
pub(crate) struct EventHub {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    readers: Vec<Reader>,
    next_id: u64,
    /// The first reader gets everything from the beginning on, whenever it comes.
    first_is_free: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Reader {
    id: u64,
    queue: VecDeque<Event>,
    missed: u64,
    waker: Option<Waker>,
}

impl Default for EventHub {
    fn default() -> Self {
        let state = State { readers: vec![Reader::default()], next_id: 1, first_is_free: true, ended: false };
        Self { state: Mutex::new(state) }
    }
}

impl EventHub {
    pub(crate) fn tell(&self, event: &Event) {
        log(event);
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.ended |= matches!(event, Event::Ended);
        for reader in &mut state.readers {
            if reader.queue.len() == CAPACITY {
                reader.queue.pop_front();
                reader.missed += 1;
            }
            reader.queue.push_back(event.clone());
            wakers.extend(reader.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn subscribe(&self) -> u64 {
        let mut state = self.lock();
        if std::mem::take(&mut state.first_is_free) {
            return 0;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.readers.push(Reader { id, ..Reader::default() });
        id
    }

    fn unsubscribe(&self, id: u64) {
        self.lock().readers.retain(|reader| reader.id != id);
    }

    fn poll_recv(&self, cx: &Context<'_>, id: u64) -> Poll<Option<Event>> {
        let mut state = self.lock();
        let ended = state.ended;
        let Some(reader) = state.readers.iter_mut().find(|reader| reader.id == id) else {
            return Poll::Ready(None);
        };
        if reader.missed > 0 {
            return Poll::Ready(Some(Event::Missed(std::mem::take(&mut reader.missed))));
        }
        match reader.queue.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if ended => Poll::Ready(None),
            None => {
                reader.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For whoever follows the program by `tracing`.
fn log(event: &Event) {
    match event {
        Event::Connecting { number } => debug!(number, "connecting"),
        Event::Connected(now) => info!(
            connection = now.connection,
            session_present = now.session_present,
            resent = now.resent,
            republished = now.republished,
            lost = now.lost,
            "connected"
        ),
        Event::ConnectFailed(error) => warn!(%error, "cannot connect"),
        Event::Disconnected(cause) => match &**cause {
            DisconnectCause::Local(reason) if !reason.is_error() => info!("disconnected"),
            _ => warn!(%cause, "disconnected"),
        },
        Event::Reconnecting { attempt, delay } => debug!(attempt, ?delay, "waiting to connect again"),
        Event::Redirected { reference, moved } => info!(%reference, moved, "the server names another"),
        Event::FallingBack { version } => info!(%version, "trying an older version"),
        Event::SubscriptionLost { filter, reason } => {
            warn!(filter = filter.as_str(), %reason, "a subscription is lost");
        }
        Event::Dropped { messages } => warn!(messages, "incoming messages dropped"),
        Event::SlowReader { filter, dropped } => {
            let filter = filter.as_ref().map(TopicFilter::as_str);
            warn!(filter, dropped, "incoming messages dropped for a slow reader");
        }
        Event::Restored(restored) => info!(
            queued = restored.queued,
            in_flight = restored.in_flight,
            received = restored.received,
            incoming = restored.incoming,
            cut = restored.cut,
            "restored what an earlier process has left"
        ),
        Event::StoreFailed(error) => error!(%error, "the store has failed"),
        Event::Missed(_) | Event::Ended => debug!("ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(hub: &EventHub, id: u64) -> Poll<Option<Event>> {
        hub.poll_recv(&Context::from_waker(Waker::noop()), id)
    }

    #[test]
    fn the_first_reader_gets_the_past_and_a_slow_one_learns_what_it_missed() {
        let hub = EventHub::default();
        hub.tell(&Event::Dropped { messages: 0 });
        let first = hub.subscribe();
        assert!(matches!(next(&hub, first), Poll::Ready(Some(Event::Dropped { messages: 0 }))));
        let second = hub.subscribe();
        assert!(next(&hub, second).is_pending());
        for messages in 1..=CAPACITY as u64 + 3 {
            hub.tell(&Event::Dropped { messages });
        }
        assert!(matches!(next(&hub, second), Poll::Ready(Some(Event::Missed(3)))));
        assert!(matches!(next(&hub, second), Poll::Ready(Some(Event::Dropped { messages: 4 }))));
        hub.unsubscribe(second);
        assert!(matches!(next(&hub, second), Poll::Ready(None)));
    }

    #[test]
    fn the_stream_ends_after_the_last_event() {
        let hub = EventHub::default();
        let first = hub.subscribe();
        hub.tell(&Event::Ended);
        assert!(matches!(next(&hub, first), Poll::Ready(Some(Event::Ended))));
        assert!(matches!(next(&hub, first), Poll::Ready(None)));
    }
}
