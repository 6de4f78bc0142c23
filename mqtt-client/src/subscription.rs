//! `Messages`: the bounded stream of what arrives.

use crate::outbox::Load;
use crate::shared::Shared;
use futures_core::Stream;
use mqttkit_codec::Message;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The messages that arrive, in the order in which the server sent them.
///
/// It is bounded ([`Options::receive_buffer`](crate::Options::receive_buffer)). When it is full the client stops
/// reading from its connection until half of it is free: the server notices and holds messages back. To process
/// acknowledgements that the application waits for, the client reads on for as long as something of its own is
/// unanswered, into a second buffer of the same size; when that is full as well, messages of QoS 0 are dropped and
/// counted ([`Event::Dropped`](crate::Event::Dropped)). So publishing, subscribing and awaiting tickets from the task
/// that takes the messages cannot lock up.
///
/// A message of QoS 1 or 2 is acknowledged when it is put in here. Dropping the stream means that nobody wants the
/// messages: from then on they are acknowledged and thrown away.
///
/// The payload and topic of a message are slices of the buffer it was read into; keep
/// [`detached`](Message::detached) copies of small messages that are kept for long.
#[derive(Debug)]
pub struct Messages {
    shared: Arc<Shared>,
}

impl Messages {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.outbox.user_added();
        Self { shared }
    }

    /// The next message; `None` when the client has ended and all messages have been taken.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.shared.inbox.poll_recv(cx)).await
    }

    /// The next message if there is one right now.
    pub fn try_recv(&mut self) -> Option<Message> {
        match self.shared.inbox.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.shared.inbox.poll_recv(cx)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
        self.shared.outbox.user_dropped();
    }
}

/// What [`Messages`] and the driver share.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Message>,
    used: Load,
    limit: Load,
    reader: Option<Waker>,
    /// The driver, while it waits for room.
    driver: Option<Waker>,
    /// No more will come.
    ended: bool,
    /// Nobody will take any.
    abandoned: bool,
}

impl Inbox {
    pub(crate) fn new(limit: Load) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                used: Load::default(),
                limit,
                reader: None,
                driver: None,
                ended: false,
                abandoned: false,
            }),
        }
    }

    /// Takes a message, or gives it back when there is no room; then the waker of `cx` is called when there is.
    pub(crate) fn offer(&self, cx: &Context<'_>, message: Message) -> Result<(), Message> {
        let mut state = self.lock();
        if state.abandoned {
            return Ok(());
        }
        let load = Load::of(&message);
        if !state.used.takes(load, state.limit) {
            state.driver = Some(cx.waker().clone());
            return Err(message);
        }
        state.used.add(load);
        state.queue.push_back(message);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.driver = None;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.lock();
        let Some(message) = state.queue.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.used.remove(Load::of(&message));
        if state.queue.is_empty() {
            state.queue.shrink_to(IDLE_CAPACITY);
        }
        // Not at the first free place: the driver would be woken for every single message.
        let half_free =
            state.used.entries <= state.limit.entries / 2 && state.used.bytes <= state.limit.bytes / 2;
        let driver = if half_free { state.driver.take() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Poll::Ready(Some(message))
    }

    fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let queue = std::mem::take(&mut state.queue);
        let driver = state.driver.take();
        drop(state);
        drop(queue);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an empty queue keeps, in messages.
const IDLE_CAPACITY: usize = 64;
