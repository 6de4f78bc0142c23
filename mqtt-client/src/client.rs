//! `Client`: the handle, cheap to clone, through which everything is asked for.

use crate::authentication::AuthenticationError;
use crate::delivery::{Delivery, WhenFull};
use crate::error::{DisconnectError, Leftover, PublishError, SubscribeError};
use crate::event::Events;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::outbox::{Command, Load, Outgoing, Reader, Refusal, Request, RequestKind, Stop};
use crate::packets::Packets;
use crate::promise::promise;
use crate::shared::Shared;
use crate::subscription::{StreamOptions, SubscriptionStream};
use crate::ticket::Ticket;
use bytes::Bytes;
use mqttkit_codec::{
    ConnAck, Disconnect, Message, QoS, ReasonCode, Str, SubscribeProperties, Subscription, TopicFilter,
    TopicName, UnsubscribeProperties,
};
use std::sync::Arc;
use std::time::Duration;

/// A handle to a connection. All clones are the same client.
///
/// When the last clone, the [`Messages`](crate::Messages) and all [`SubscriptionStream`]s are dropped the client disconnects, after what was
/// published before. While one of them lives the connection is kept, so a program that only receives may drop its
/// handle.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    defaults: Defaults,
}

/// What the options say that the handle needs.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) disconnect_timeout: Duration,
    pub(crate) delivery: Delivery,
    /// Whether a goodbye may set a session expiry, as CONNECT had one.
    pub(crate) session_expires_later: bool,
    /// Whether it speaks MQTT 5.0.
    pub(crate) has_properties: bool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.outbox.user_dropped();
    }
}

impl Client {
    /// Options for a URL: `mqtt://`, `mqtts://`, `ws://` or `wss://`. A mistake in it is reported when connecting.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use mqttkit_client::Client;
    ///
    /// let (client, messages) = Client::builder("ws://localhost:8083/mqtt").client_id("me").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: &str) -> Options {
        Options::with_url(url.parse())
    }

    pub(crate) fn new(shared: Arc<Shared>, defaults: Defaults) -> Self {
        shared.outbox.user_added();
        Self { inner: Arc::new(Inner { shared, defaults }) }
    }

    /// Publishes a message. See [`publish_message`](Self::publish_message).
    pub async fn publish<T>(
        &self,
        topic: T,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Result<Ticket, PublishError>
    where
        T: TryInto<TopicName>,
        PublishError: From<T::Error>,
    {
        self.publish_message(Message::new(topic.try_into()?, payload).with_qos(qos)).await
    }

    /// Publishes a message: returns its ticket as soon as it is queued, connected or not. Await the ticket to know
    /// that the server has it; or drop it, the message goes its way.
    ///
    /// Waits while the queue is full ([`Options::send_queue`](crate::Options::send_queue)), in line, unless
    /// [`Options::delivery`](crate::Options::delivery) says otherwise. Messages are sent in the order in which they were
    /// queued.
    ///
    /// With a [`store`](crate::Options::store) it returns when a message of QoS 1 or 2 is in there as well.
    ///
    /// Cancel-safe: a dropped future has not queued the message, unless it was dropped while it waited for the store; then
    /// the message may go its way.
    ///
    /// # Errors
    /// [`PublishError::Closed`] when the client was closed, [`PublishError::Store`] when the store has failed. Everything
    /// else comes with the ticket.
    pub async fn publish_message(&self, message: Message) -> Result<Ticket, PublishError> {
        self.publish_with(message, self.inner.defaults.delivery).await
    }

    /// Publishes a message that is to be treated like this: time to live, priority, what happens at a full queue or
    /// without a connection.
    ///
    /// Otherwise as [`publish_message`](Self::publish_message).
    pub async fn publish_with(&self, message: Message, delivery: Delivery) -> Result<Ticket, PublishError> {
        let (command, ticket) = self.publishing(message, delivery);
        match self.inner.shared.outbox.push(command).await {
            Ok(dropped) => self.drop_for_room(dropped),
            Err((command, refusal)) => self.refuse(command, refusal)?,
        }
        ticket.stored().await?;
        Ok(ticket)
    }

    /// Publishes a message if there is room in the queue now. With a store it is on its way there:
    /// [`Ticket::stored`] waits for that.
    ///
    /// # Errors
    /// [`PublishError::Full`] when there is none or others wait in line, [`PublishError::Closed`].
    pub fn try_publish(&self, message: Message) -> Result<Ticket, PublishError> {
        let delivery = self.inner.defaults.delivery;
        let (command, ticket) = self.publishing(message, delivery);
        match self.inner.shared.outbox.try_push(command) {
            Ok(dropped) => self.drop_for_room(dropped),
            Err((_, Refusal::Full)) if delivery.when_full == WhenFull::Wait => {
                return Err(PublishError::Full);
            }
            Err((command, refusal)) => self.refuse(command, refusal)?,
        }
        Ok(ticket)
    }

    fn publishing(&self, message: Message, delivery: Delivery) -> (Command, Ticket) {
        let shared = &self.inner.shared;
        let (resolver, ticket) = Ticket::new(Arc::clone(shared));
        let load = Load::of(&message);
        let lifetime = delivery.time_to_live.or_else(|| {
            let seconds = message.properties.message_expiry_interval()?;
            Some(Duration::from_secs(seconds.into()))
        });
        let expires = lifetime.map(|time| shared.now() + time);
        (Command::Publish(Outgoing { message, ticket: resolver, load, delivery, expires }), ticket)
    }

    /// Tells those that had to make room.
    fn drop_for_room(&self, dropped: Vec<Command>) {
        self.inner.shared.counters.dropped.increase(dropped.len());
        for command in dropped {
            command.resolve(Err(PublishError::Dropped));
        }
    }

    /// A message was not queued: its ticket says why, unless nobody shall have one.
    fn refuse(&self, command: Command, refusal: Refusal) -> Result<(), PublishError> {
        let error = match refusal {
            Refusal::Closed => return Err(PublishError::Closed),
            Refusal::Full => PublishError::Dropped,
            Refusal::Offline => PublishError::Offline,
        };
        self.inner.shared.counters.dropped.increment();
        command.resolve(Err(error));
        Ok(())
    }

    /// Subscribes, and waits for the server's answer: the QoS that it granted. The messages come out of
    /// [`Messages`](crate::Messages).
    ///
    /// The subscription is restored when the server loses the session. While there is no connection this waits for one.
    ///
    /// Not quite cancel-safe: once the request is queued the subscription is made, even if this future is dropped.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn subscribe<F>(&self, filter: F, qos: QoS) -> Result<QoS, SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        let subscription = Subscription::new(filter.try_into()?, qos);
        let reasons = self.subscribe_many([subscription], SubscribeProperties::new()).await?;
        let reason = reasons.first().copied().unwrap_or(ReasonCode::UnspecifiedError);
        reason.granted_qos().ok_or(SubscribeError::Refused(reason))
    }

    /// Subscribes, and gives the messages a stream of their own.
    ///
    /// ```no_run
    /// # use mqttkit_client::{Client, QoS};
    /// # async fn example(client: Client) -> Result<(), mqttkit_client::SubscribeError> {
    /// let mut doors = client.stream("home/+/door", QoS::AtLeastOnce).await?;
    /// while let Some(message) = doors.recv().await {
    ///     println!("{}: {:?}", message.topic, message.payload);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Otherwise as [`subscribe`](Self::subscribe); but a dropped future ends the subscription again.
    pub async fn stream<F>(&self, filter: F, qos: QoS) -> Result<SubscriptionStream, SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        let subscription = Subscription::new(filter.try_into()?, qos);
        self.stream_with([subscription], StreamOptions::new()).await
    }

    /// Makes several subscriptions in one request, and gives their messages one stream, which behaves as `options` say.
    ///
    /// # Errors
    /// See [`SubscribeError`]. [`Refused`](SubscribeError::Refused) only if the server refused them all, with its reason
    /// for the first; see [`SubscriptionStream::granted`].
    pub async fn stream_with(
        &self,
        subscriptions: impl IntoIterator<Item = Subscription>,
        options: StreamOptions,
    ) -> Result<SubscriptionStream, SubscribeError> {
        let subscriptions: Vec<_> = subscriptions.into_iter().collect();
        let filters: Vec<_> = subscriptions.iter().map(|subscription| subscription.filter.clone()).collect();
        if filters.is_empty() {
            return Err(SubscribeError::Empty);
        }
        let mut stream = SubscriptionStream::new(Arc::clone(&self.inner.shared), filters, &options);
        let kind = RequestKind::Subscribe(subscriptions, options.properties);
        let granted = self.request(kind, Some(stream.reader(options.on_drop))).await?;
        if let Some(&first) = granted.first()
            && granted.iter().all(|reason| reason.is_error())
        {
            return Err(SubscribeError::Refused(first));
        }
        stream.set_granted(granted);
        Ok(stream)
    }

    /// Makes several subscriptions in one request. Returns the server's answer to each, in order: the granted QoS or why
    /// it was refused.
    ///
    /// Cancel-safety and errors are those of [`subscribe`](Self::subscribe), but for a refusal.
    pub async fn subscribe_many(
        &self,
        subscriptions: impl IntoIterator<Item = Subscription>,
        properties: SubscribeProperties,
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        let subscriptions: Vec<_> = subscriptions.into_iter().collect();
        if subscriptions.is_empty() {
            return Err(SubscribeError::Empty);
        }
        self.request(RequestKind::Subscribe(subscriptions, properties), None).await
    }

    /// Ends a subscription, and waits for the server's answer. To end one that does not exist is no error. A
    /// [`SubscriptionStream`] that has no other ends with it.
    ///
    /// Cancel-safety is that of [`subscribe`](Self::subscribe).
    pub async fn unsubscribe<F>(&self, filter: F) -> Result<(), SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        let filter = filter.try_into()?;
        let reasons = self.unsubscribe_many([filter], UnsubscribeProperties::new()).await?;
        match reasons.first() {
            Some(reason) if reason.is_error() => Err(SubscribeError::Refused(*reason)),
            _ => Ok(()),
        }
    }

    /// Ends several subscriptions in one request. Returns the server's answer to each, in order; "success" for each
    /// before MQTT 5.0, which has no other.
    pub async fn unsubscribe_many(
        &self,
        filters: impl IntoIterator<Item = TopicFilter>,
        properties: UnsubscribeProperties,
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        let filters: Vec<_> = filters.into_iter().collect();
        if filters.is_empty() {
            return Err(SubscribeError::Empty);
        }
        self.request(RequestKind::Unsubscribe(filters, properties), None).await
    }

    /// Ends gracefully: takes no more messages, sends what is queued and waits for what is not acknowledged, up to
    /// [`Options::disconnect_timeout`], then says goodbye and closes. The server does not publish the will.
    ///
    /// Returns when the transport is closed; at once if it is already. Once called it takes its course, even if this
    /// future is dropped.
    pub async fn disconnect(&self) -> Result<(), DisconnectError> {
        let goodbye = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        self.disconnect_with(goodbye, self.inner.defaults.disconnect_timeout).await
    }

    /// Like [`disconnect`](Self::disconnect), with this goodbye and so much time. Zero sends no more messages.
    ///
    /// # Errors
    /// See [`DisconnectError`].
    pub async fn disconnect_with(
        &self,
        disconnect: Disconnect,
        timeout: Duration,
    ) -> Result<(), DisconnectError> {
        let seconds = disconnect.properties.session_expiry_interval().unwrap_or(0);
        if seconds > 0 && !self.inner.defaults.session_expires_later {
            return Err(DisconnectError::SessionExpiry { seconds });
        }
        let left = self.stop(disconnect, timeout).await;
        if left.is_empty() { Ok(()) } else { Err(DisconnectError::Unfinished(left)) }
    }

    /// Ends by force: sends nothing more but the goodbye, and waits for no acknowledgement. Returns what was not
    /// complete; the tickets of these messages say [`PublishError::Closed`].
    ///
    /// Otherwise as [`disconnect`](Self::disconnect).
    pub async fn end(&self) -> Leftover {
        self.stop(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION), Duration::ZERO).await
    }

    async fn stop(&self, disconnect: Disconnect, timeout: Duration) -> Leftover {
        let (done, left) = promise();
        if !self.inner.shared.outbox.stop(Stop { disconnect, timeout, done }) {
            return Leftover::default();
        }
        left.await.unwrap_or_default()
    }

    /// What the client has done and has to do, in numbers. It costs a lock or two; ask as often as you draw a graph.
    pub fn metrics(&self) -> Metrics {
        self.inner.shared.metrics()
    }

    /// Connects anew, now: ends the connection with a goodbye that keeps the session, if there is one, or what is left of
    /// the wait for the next attempt. Nothing is lost by it but QoS 0 messages on their way.
    ///
    /// It does nothing while an attempt is made, and after the end: clone the [`Options`] to begin again then.
    pub fn reconnect(&self) {
        self.inner.shared.outbox.reconnect();
    }

    /// Authenticates again, without interrupting anything, and waits for the outcome; for what has an end, such as a
    /// token. Whoever asks while that is going on gets the same outcome. MQTT 5.0 with
    /// [`Options::authenticator`](crate::Options::authenticator) only.
    ///
    /// It takes no longer than the connect timeout. When it fails the connection ends, and is made anew.
    ///
    /// Not quite cancel-safe: once called it takes its course, even if this future is dropped.
    pub async fn reauthenticate(&self) -> Result<(), AuthenticationError> {
        let (asker, outcome) = promise();
        if !self.inner.shared.again.ask(asker) {
            return Err(AuthenticationError::NotConnected);
        }
        self.inner.shared.outbox.wake_driver();
        outcome.await.unwrap_or(Err(AuthenticationError::ConnectionEnded))
    }

    /// A stream of what happens to the connection. The first one taken starts with the first event there was.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.inner.shared))
    }

    /// A stream of every packet that is sent and received from now on, to watch the protocol. It costs nothing as long as
    /// nobody asks for it, and about a second decoding while somebody does.
    pub fn packets(&self) -> Packets {
        Packets::new(Arc::clone(&self.inner.shared))
    }

    /// Whether there is an established connection right now.
    pub fn is_connected(&self) -> bool {
        self.inner.shared.status().connected
    }

    /// The client identifier; the one that the server assigned, if it did.
    pub fn client_id(&self) -> Str {
        self.inner.shared.status().client_id.clone()
    }

    /// The server's answer to the latest CONNECT that it accepted: what it can and cannot do.
    pub fn connack(&self) -> Option<Arc<ConnAck>> {
        self.inner.shared.status().connack.clone()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn has_properties(&self) -> bool {
        self.inner.defaults.has_properties
    }

    async fn request(
        &self,
        kind: RequestKind,
        reader: Option<Reader>,
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        let (ticket, answer) = promise();
        let load = Load::of_request(&kind);
        let command =
            Command::Request(Request { kind, ticket: Some(ticket), load, reader, identifier: None });
        self.inner.shared.outbox.push(command).await.map_err(|_| SubscribeError::Closed)?;
        answer.await.unwrap_or(Err(SubscribeError::Closed))
    }
}
