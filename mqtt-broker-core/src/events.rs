//! `Events`: what happens in the broker, for whoever wants to watch.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use mqttkit_codec::{Closed, QoS, Str, TopicFilter, TopicName};
use mqttkit_ws_transport::AcceptError;

use crate::doorman::{BanCause, Banned};
use crate::notify::{LOOK, Notify};
use crate::policy::Client;
use crate::remarks::Remarks;
use crate::store::StoreError;

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A client has its session.
    Connected {
        /// Its identifier.
        client_id: Str,
        /// Who it is; `None` for a client within the process.
        client: Option<Arc<Client>>,
    },
    /// A client is gone.
    Disconnected {
        /// Its identifier.
        client_id: Str,
        /// How its connection ended.
        cause: Closed,
    },
    /// A connection ended without having been a client: refused, malformed, silent, or cut off.
    Refused {
        /// Where it came from, where that is known.
        address: Option<SocketAddr>,
        /// The client identifier in its CONNECT, if it came to that.
        client_id: Option<Str>,
        /// Why.
        cause: NotConnected,
    },
    /// A client made or renewed a subscription.
    Subscribed {
        /// Its identifier.
        client_id: Str,
        /// To what, with its mount point.
        filter: TopicFilter,
        /// The QoS that was granted.
        qos: QoS,
    },
    /// A client ended a subscription.
    Unsubscribed {
        /// Its identifier.
        client_id: Str,
        /// From what, with its mount point.
        filter: TopicFilter,
    },
    /// A message was published by a client, the host or a will. Only for [`Broker::events_with_messages`].
    ///
    /// [`Broker::events_with_messages`]: crate::Broker::events_with_messages
    Published {
        /// The topic, with the mount point of the client.
        topic: TopicName,
        /// Bytes of payload.
        size: usize,
    },
    /// Messages were not queued for a client, or were removed from its queue for others.
    Dropped {
        /// For whom they were.
        client_id: Str,
        /// Why.
        cause: DropCause,
        /// How many.
        count: u64,
    },
    /// The store has failed: nothing is kept any more, and nothing is promised that would have to be; see
    /// [`store`](crate::store).
    StoreFailed {
        /// Why.
        error: StoreError,
    },
    /// Somebody was banned.
    Banned {
        /// Who.
        subject: Banned,
        /// Why.
        cause: BanCause,
    },
    /// The observer was too slow, and did not get this many events that would have come here.
    Lost {
        /// How many.
        count: u64,
    },
}

/// Why a message was dropped. Each cause has its counter in [`Dropped`](crate::Dropped), which [`Dropped::of`] names.
///
/// [`Dropped::of`]: crate::Dropped::of
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// QoS 0, and the outbox of a connected client was full: it reads too slowly.
    SlowQos0,
    /// The same of QoS 1 or 2.
    Slow,
    /// The queue of a client that is not connected was full.
    Offline,
    /// There is too little left of [`Config::max_memory`](crate::Config::max_memory).
    Memory,
    /// Its lifetime ended before it could be sent.
    Expired,
    /// Larger than the packets that the client takes.
    TooLarge,
    /// It waited in a session that ended.
    SessionEnded,
}

impl DropCause {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::SlowQos0,
        Self::Slow,
        Self::Offline,
        Self::Memory,
        Self::Expired,
        Self::TooLarge,
        Self::SessionEnded,
    ];
}

/// Why a connection never became a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotConnected {
    /// There were [`Config::max_connections`](crate::Config::max_connections).
    TooManyConnections,
    /// Its listener had [`Listen::max_connections`](crate::Listen::max_connections).
    TooManyOnListener,
    /// Its address comes more often than [`Config::connect_rate`](crate::Config::connect_rate) allows.
    TooOften,
    /// Its address is banned.
    Banned,
    /// Its handshake failed: TLS, WebSocket, the PROXY protocol, or it spoke something else.
    Handshake(Arc<AcceptError>),
    /// Its handshake was the oldest of [`Config::max_handshakes`](crate::Config::max_handshakes) and not done yet.
    TooManyHandshakes,
    /// It ended like this. [`Closed::Local`] has the reason with which the policy or the broker refused it.
    Closed(Closed),
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyConnections => {
                f.write_str("there are as many connections as the configuration allows")
            }
            Self::TooManyOnListener => f.write_str("there are as many connections as the listener allows"),
            Self::TooOften => f.write_str("this address connects too often"),
            Self::Banned => f.write_str("this address is banned"),
            Self::Handshake(error) => error.fmt(f),
            Self::TooManyHandshakes => f.write_str("there are too many handshakes, and it was the oldest"),
            Self::Closed(closed) => closed.fmt(f),
        }
    }
}

/// Receives events, from the moment it was made on. It has room for a number of events; what comes while it is full
/// is counted and told as [`Event::Lost`]. Nothing ever waits for it.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    capacity: usize,
    messages: bool,
    notify: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    lost: u64,
    /// The bell has not been rung for what waits.
    unheard: bool,
    ended: bool,
}

impl Events {
    /// The next event; `None` when the broker is gone.
    ///
    /// Cancel-safe: a dropped future has taken no event.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, if there is one; see [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.notify.take(cx.waker());
        let mut queue = self.shared.lock();
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        // What was lost came after all that was kept.
        if queue.lost > 0 {
            return Poll::Ready(Some(Event::Lost { count: std::mem::take(&mut queue.lost) }));
        }
        if queue.ended { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody who watches, on the side of the state.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    list: Vec<Weak<Shared>>,
    messages: bool,
    /// What the log is told.
    pub(crate) remarks: Remarks,
}

impl Observers {
    pub(crate) fn observe(&mut self, capacity: usize, messages: bool) -> Events {
        self.list.retain(|observer| observer.strong_count() > 0);
        let (queue, notify) = (Mutex::default(), Arc::default());
        let shared = Arc::new(Shared { queue, capacity: capacity.max(1), messages, notify });
        self.list.push(Arc::downgrade(&shared));
        self.messages |= messages;
        Events { shared }
    }

    /// Whether anybody wants to know of every message.
    pub(crate) fn wants_messages(&self) -> bool {
        self.messages
    }

    /// Tells everybody. The event is made only if there is somebody.
    pub(crate) fn emit(&mut self, event: impl FnOnce() -> Event) {
        if self.list.is_empty() {
            return;
        }
        let event = event();
        let is_message = matches!(event, Event::Published { .. });
        let mut gone = false;
        for observer in &self.list {
            let Some(observer) = observer.upgrade() else {
                gone = true;
                continue;
            };
            if is_message && !observer.messages {
                continue;
            }
            let mut queue = observer.lock();
            // Once something is lost nothing is kept until that was told, so that the gap is where it was.
            if queue.lost > 0 || queue.events.len() >= observer.capacity {
                queue.lost += 1;
            } else {
                queue.events.push_back(event.clone());
            }
            queue.unheard = true;
        }
        if gone {
            self.list.retain(|observer| observer.strong_count() > 0);
            let mut observers = self.list.iter().filter_map(Weak::upgrade);
            self.messages = observers.any(|observer| observer.messages);
        }
    }

    /// Adds the bells of those who have not heard of something.
    pub(crate) fn take_bells(&mut self, bells: &mut Vec<Arc<Notify>>) {
        for observer in self.list.iter().filter_map(Weak::upgrade) {
            let unheard = std::mem::take(&mut observer.lock().unheard);
            if unheard {
                bells.push(Arc::clone(&observer.notify));
            }
        }
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        for observer in self.list.iter().filter_map(Weak::upgrade) {
            observer.lock().ended = true;
            observer.notify.ring(LOOK);
        }
    }
}
