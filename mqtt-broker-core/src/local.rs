//! `LocalClient`: a client within this process, on the same state as all others, without sockets or encoding.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use mqttkit_codec::{Closed, Message, QoS, ReasonCode, Session as InFlight, Str, Subscription, TopicFilter};
use tracing::info;

use crate::broker::Inner;
use crate::log::TRACE;
use crate::notify::Notify;
use crate::state::{ClientKey, InFlightForGroups, Received, UNKNOWN};

/// A client within this process. Messages wait for it in a bounded queue, as for any other client: see
/// [`Config::outbox_messages`](crate::Config::outbox_messages). Its session ends when it is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mqttkit_broker_core::{Broker, Message, QoS, TopicFilter, TopicName};
///
/// let broker = Broker::builder().build();
/// let mut client = broker.local_client()?;
/// client.subscribe(TopicFilter::try_from("home/+")?, QoS::AtLeastOnce)?;
///
/// broker.publish(Message::new(TopicName::try_from("home/door")?, "open"));
/// let message = client.recv().await.ok_or("kicked")?;
/// assert_eq!(message.payload, "open");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalClient {
    inner: Arc<Inner>,
    key: ClientKey,
    client_id: Str,
    notify: Arc<Notify>,
}

/// Why something is refused to a [`LocalClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A client with this identifier is connected. [`Broker::kick`](crate::Broker::kick) it first.
    #[error("a client with this identifier is connected")]
    InUse,
    /// There are [`Config::max_sessions`](crate::Config::max_sessions) already.
    #[error("there are as many sessions as the configuration allows")]
    TooManySessions,
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
    /// The subscription is not accepted, for this reason.
    #[error("the subscription is not accepted: {0}")]
    Subscribe(ReasonCode),
}

impl LocalClient {
    pub(crate) fn new(inner: Arc<Inner>, client_id: Option<Str>) -> Result<Self, LocalError> {
        if inner.is_closing() {
            return Err(LocalError::ShuttingDown);
        }
        let notify = Arc::new(Notify::default());
        let now = inner.now();
        let connected = inner.with_state(|state| state.connect_local(now, client_id, &notify));
        match connected {
            Ok((key, client_id)) => Ok(Self { inner, key, client_id, notify }),
            Err(ReasonCode::ClientIdentifierNotValid) => Err(LocalError::InUse),
            Err(_) => Err(LocalError::TooManySessions),
        }
    }

    /// The client identifier.
    pub fn client_id(&self) -> &Str {
        &self.client_id
    }

    /// Publishes a message. It is in the queues of all its receivers when this returns; nothing waits for the slow
    /// ones. The answer is as for [`Broker::publish`](crate::Broker::publish).
    pub fn publish(&self, mut message: Message) -> ReasonCode {
        let now = self.inner.now();
        if self.is_traced() {
            info!(target: TRACE, client = self.client_id.as_str(), direction = "in", topic = message.topic.as_str(),
                qos = message.qos as u8, retain = message.retain, size = message.payload.len(), "publishes");
        }
        self.inner.with_state(|state| {
            state.begin_buffer(UNKNOWN);
            state.publish(now, self.key, &mut message, None)
        })
    }

    /// Subscribes and returns the QoS that is granted. Retained messages follow.
    ///
    /// # Errors
    /// [`LocalError::Subscribe`], when a limit is reached or this client has been kicked.
    pub fn subscribe(&self, filter: TopicFilter, qos: QoS) -> Result<QoS, LocalError> {
        self.subscribe_with(&Subscription::new(filter, qos))
    }

    /// The same with all the options of MQTT 5.0.
    ///
    /// # Errors
    /// As for [`subscribe`](Self::subscribe).
    pub fn subscribe_with(&self, subscription: &Subscription) -> Result<QoS, LocalError> {
        let reason = self.inner.with_state(|state| state.subscribe(self.key, subscription, None));
        // Retained messages ring no bell: whoever subscribes over the network comes for them with the same turn.
        self.notify.ring(crate::notify::LOOK);
        if self.is_traced() {
            info!(target: TRACE, client = self.client_id.as_str(), direction = "in",
                filter = subscription.filter.as_str(), reason = reason.as_u8(), "subscribes");
        }
        reason.granted_qos().ok_or(LocalError::Subscribe(reason))
    }

    /// Ends a subscription. Returns whether there was one. Messages that wait already stay.
    pub fn unsubscribe(&self, filter: &TopicFilter) -> bool {
        self.inner.with_state(|state| state.unsubscribe(self.key, filter)) == ReasonCode::Success
    }

    /// The next message, as soon as there is one. `None` when the client was kicked or the broker shuts down.
    ///
    /// Cancel-safe: a dropped future has taken no message.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message, if there is one; see [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.notify.take(cx.waker());
        let now = self.inner.now();
        let (received, kicked) =
            self.inner.with_state(|state| (state.receive(now, self.key), state.kicked(self.key)));
        match received {
            Received::Message(message) => {
                self.log_received(&message);
                Poll::Ready(Some(message))
            }
            Received::Nothing if kicked.is_some() => Poll::Ready(None),
            Received::Nothing => Poll::Pending,
            Received::Again => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// The next message that waits already.
    pub fn try_recv(&mut self) -> Option<Message> {
        let now = self.inner.now();
        loop {
            match self.inner.with_state(|state| state.receive(now, self.key)) {
                Received::Message(message) => {
                    self.log_received(&message);
                    return Some(message);
                }
                Received::Nothing => return None,
                Received::Again => {}
            }
        }
    }
}

impl LocalClient {
    fn is_traced(&self) -> bool {
        self.inner.traces().has(&self.client_id)
    }

    fn log_received(&self, message: &Message) {
        if self.is_traced() {
            info!(target: TRACE, client = self.client_id.as_str(), direction = "out", topic = message.topic.as_str(),
                qos = message.qos as u8, retain = message.retain, size = message.payload.len(), "receives");
        }
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        let now = self.inner.now();
        let closed = Closed::Local(ReasonCode::NORMAL_DISCONNECTION);
        self.inner.with_state(|state| {
            state.disconnected(now, self.key, InFlight::new(), InFlightForGroups::new(), &closed);
        });
    }
}
