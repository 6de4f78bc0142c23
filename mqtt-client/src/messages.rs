//! `Messages`: the bounded stream of what arrives, but for what goes to streams of its own.

use crate::acknowledgement::Acknowledgement;
use crate::inbox::Item;
use crate::shared::Shared;
use futures_core::Stream;
use mqttkit_codec::{Message, ReasonCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The messages that arrive and go to no [`SubscriptionStream`](crate::SubscriptionStream), in the order in which the
/// server sent them.
///
/// It is bounded ([`Options::receive_buffer`](crate::Options::receive_buffer)). When it is full the client stops
/// reading from its connection until half of it is free: the server notices and holds messages back;
/// [`Options::slow_reader`](crate::Options::slow_reader) can say otherwise. To process acknowledgements that the
/// application waits for, the client reads on for as long as something of its own is unanswered or cannot be written,
/// into a second buffer of the same size; when that is full as well, messages of QoS 0 are dropped and counted
/// ([`Event::Dropped`](crate::Event::Dropped)). So publishing, subscribing and awaiting tickets from the task that takes
/// the messages cannot lock up.
///
/// A message of QoS 1 or 2 is acknowledged when it is put in here, or by hand
/// ([`Options::manual_acknowledgement`](crate::Options::manual_acknowledgement)). Dropping the stream means that nobody
/// wants the messages: from then on they are acknowledged and thrown away.
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

    /// The next message; `None` when the client has ended and all messages have been taken. With manual acknowledgement
    /// it is acknowledged by being taken.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_item(cx)).await.map(|item| taken(&self.shared, item))
    }

    /// The next message, with what acknowledges it.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv_unacknowledged(&mut self) -> Option<(Message, Acknowledgement)> {
        let Item { message, ack } = poll_fn(|cx| self.poll_item(cx)).await?;
        Some((message, Acknowledgement::new(Arc::clone(&self.shared), ack)))
    }

    /// The next message if there is one right now.
    pub fn try_recv(&mut self) -> Option<Message> {
        match self.poll_item(&Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item.map(|item| taken(&self.shared, item)),
            Poll::Pending => None,
        }
    }

    /// How many messages were dropped because this stream was not read fast enough, since this was last asked; see
    /// [`Options::slow_reader`](crate::Options::slow_reader).
    pub fn missed(&mut self) -> u64 {
        self.shared.inbox.take_missed()
    }

    fn poll_item(&self, cx: &Context<'_>) -> Poll<Option<Item>> {
        self.shared.inbox.poll_recv(cx)
    }
}

/// The message, which is acknowledged by being taken if that was left to the reader.
pub(crate) fn taken(shared: &Shared, item: Item) -> Message {
    if let Some(ack) = item.ack {
        ack.give(shared, ReasonCode::Success);
    }
    item.message
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_item(cx).map(|item| item.map(|item| taken(&self.shared, item)))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for ack in self.shared.inbox.abandon() {
            ack.give(&self.shared, ReasonCode::Success);
        }
        self.shared.outbox.user_dropped();
    }
}
