//! `Events`: what happens to the connection, for those who want to know.

use crate::continuity::Continuity;
use crate::error::{ConnectError, DisconnectCause};
use crate::hub::{Heard, ReaderId};
use crate::shared::Shared;
use crate::store::StoreError;
use futures_core::Stream;
use mqttkit_codec::{ReasonCode, Str, TopicFilter, Version};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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
    id: ReaderId,
}

/// How many events are kept for a slow reader.
pub(crate) const CAPACITY: usize = 64;

impl Events {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.events.subscribe();
        Self { shared, id }
    }

    /// The next event; `None` after [`Event::Ended`].
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let heard = self.shared.events.poll_recv(cx, self.id);
        heard.map(|heard| {
            heard.map(|heard| match heard {
                Heard::Told(event) => event,
                Heard::Missed(count) => Event::Missed(count),
            })
        })
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_recv(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.events.unsubscribe(self.id);
    }
}

/// For whoever follows the program by `tracing`.
pub(crate) fn log(event: &Event) {
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
