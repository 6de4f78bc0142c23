//! `SubscriptionStream`: the bounded stream of one subscription, or of several made together.

use crate::acknowledgement::Acknowledgement;
use crate::inbox::{Inbox, Item, SlowReader, StreamEnd};
use crate::messages::taken;
use crate::outbox::{Load, Reader};
use crate::shared::Shared;
use futures_core::Stream;
use mqttkit_codec::{Message, ReasonCode, SubscribeProperties, TopicFilter};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The messages of some subscriptions, in the order in which the server sent them. See
/// [`Client::stream`](crate::Client::stream).
///
/// What comes here does not come out of [`Messages`](crate::Messages). A message that fits several streams goes to each
/// of them, and once to each. Which those are is told by the Subscription Identifiers that the client gives its
/// subscriptions in MQTT 5.0, and by the filters where there are none. In MQTT 3 a server may send a message once for each
/// subscription that fits, and nothing tells the copies apart: streams whose filters overlap get it several times there.
///
/// It is bounded, and [`SlowReader`] says what happens when it is full. With [`SlowReader::Wait`], the default, it behaves
/// as [`Messages`](crate::Messages) says, and holds up other streams too.
///
/// Dropping it ends its subscriptions in the background, as far as no other stream and no
/// [`Client::subscribe`](crate::Client::subscribe) has them too; see [`OnDrop`] for another way. Messages that it had not
/// given out are acknowledged and thrown away. While it lives, so does the connection.
#[derive(Debug)]
pub struct SubscriptionStream {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    id: u64,
    filters: Vec<TopicFilter>,
    granted: Vec<ReasonCode>,
}

/// How a stream behaves. See [`Client::stream_with`](crate::Client::stream_with).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOptions {
    /// How many messages are held for a slow reader. Default 1,000.
    pub messages: usize,
    /// How many bytes are. Default 32 MiB. A larger message passes when it is alone.
    pub bytes: usize,
    /// What happens when that is full. Default: wait.
    pub slow_reader: SlowReader,
    /// Whether QoS 1 and 2 messages are acknowledged by [`recv_unacknowledged`](SubscriptionStream::recv_unacknowledged)'s
    /// handle, or by [`recv`](SubscriptionStream::recv); otherwise they are when they are put into the stream. Default
    /// false.
    pub manual_acknowledgement: bool,
    /// What becomes of the subscriptions when the stream is dropped. Default: they are ended.
    pub on_drop: OnDrop,
    /// For SUBSCRIBE, MQTT 5.0. A Subscription Identifier in it takes the place of the client's own.
    pub properties: SubscribeProperties,
}

/// What becomes of subscriptions when their stream is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDrop {
    /// They are ended, in the background.
    #[default]
    Unsubscribe,
    /// They stay, for a session that shall outlive the program; their messages go to [`Messages`](crate::Messages).
    Keep,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            messages: 1000,
            bytes: 32 << 20,
            slow_reader: SlowReader::Wait,
            manual_acknowledgement: false,
            on_drop: OnDrop::Unsubscribe,
            properties: SubscribeProperties::new(),
        }
    }
}

impl StreamOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds so many messages and bytes.
    #[must_use]
    pub fn buffer(self, messages: usize, bytes: usize) -> Self {
        Self { messages, bytes, ..self }
    }

    /// With this [`slow_reader`](Self::slow_reader).
    #[must_use]
    pub fn slow_reader(self, slow_reader: SlowReader) -> Self {
        Self { slow_reader, ..self }
    }

    /// With or without [`manual_acknowledgement`](Self::manual_acknowledgement).
    #[must_use]
    pub fn manual_acknowledgement(self, manual_acknowledgement: bool) -> Self {
        Self { manual_acknowledgement, ..self }
    }

    /// With this [`on_drop`](Self::on_drop).
    #[must_use]
    pub fn on_drop(self, on_drop: OnDrop) -> Self {
        Self { on_drop, ..self }
    }

    /// With these [`properties`](Self::properties).
    #[must_use]
    pub fn properties(self, properties: SubscribeProperties) -> Self {
        Self { properties, ..self }
    }
}

impl SubscriptionStream {
    pub(crate) fn new(shared: Arc<Shared>, filters: Vec<TopicFilter>, options: &StreamOptions) -> Self {
        shared.outbox.user_added();
        let limit = Load { entries: options.messages, bytes: options.bytes };
        let id = shared.next_stream();
        let stream = filters.first().map(|first| (id, first.clone()));
        let inbox = Inbox::new(limit, options.slow_reader, options.manual_acknowledgement, stream);
        Self { shared, inbox: Arc::new(inbox), id, filters, granted: Vec::new() }
    }

    pub(crate) fn reader(&self, on_drop: OnDrop) -> Reader {
        Reader { id: self.id, inbox: Arc::clone(&self.inbox), on_drop }
    }

    pub(crate) fn set_granted(&mut self, granted: Vec<ReasonCode>) {
        self.granted = granted;
    }

    /// The next message; `None` when the stream has ended and all its messages have been taken. With manual
    /// acknowledgement it is acknowledged by being taken.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.inbox.poll_recv(cx)).await.map(|item| taken(&self.shared, item))
    }

    /// The next message, with what acknowledges it, for [`StreamOptions::manual_acknowledgement`].
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv_unacknowledged(&mut self) -> Option<(Message, Acknowledgement)> {
        let Item { message, ack } = poll_fn(|cx| self.inbox.poll_recv(cx)).await?;
        Some((message, Acknowledgement::new(Arc::clone(&self.shared), ack)))
    }

    /// The next message if there is one right now.
    pub fn try_recv(&mut self) -> Option<Message> {
        match self.inbox.poll_recv(&Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item.map(|item| taken(&self.shared, item)),
            Poll::Pending => None,
        }
    }

    /// What it is subscribed to.
    pub fn filters(&self) -> &[TopicFilter] {
        &self.filters
    }

    /// The server's answer to each: the granted QoS, or why it was refused.
    pub fn granted(&self) -> &[ReasonCode] {
        &self.granted
    }

    /// How many messages were dropped because they were not taken in time, since this was last asked.
    pub fn missed(&mut self) -> u64 {
        self.inbox.take_missed()
    }

    /// Why the stream has ended; `None` while there are messages in it or may be.
    pub fn ended(&self) -> Option<StreamEnd> {
        self.inbox.ended()
    }
}

impl Stream for SubscriptionStream {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbox.poll_recv(cx).map(|item| item.map(|item| taken(&self.shared, item)))
    }
}

impl Drop for SubscriptionStream {
    fn drop(&mut self) {
        for ack in self.inbox.abandon() {
            ack.give(&self.shared, ReasonCode::Success);
        }
        self.shared.outbox.stream_dropped(self.id);
    }
}
