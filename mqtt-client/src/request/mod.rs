//! Questions and answers, MQTT 5.0: a message that asks, with a response topic and correlation data, and the one that answers.
//!
//! ```no_run
//! use mqttkit_client::request::{RequestOptions, Requests, Responder};
//! use mqttkit_client::{Client, QoS};
//!
//! # async fn example(client: Client, other: Client) -> Result<(), Box<dyn std::error::Error>> {
//! // Who asks:
//! let requests = Requests::open(&client, RequestOptions::new()).await?;
//! let answer = requests.request("rooms/kitchen/get", "temperature").await?;
//! println!("{:?}", answer.payload);
//!
//! // Who answers:
//! let mut responder = Responder::open(&other, "rooms/+/get", QoS::AtLeastOnce).await?;
//! while let Some(request) = responder.recv().await {
//!     request.respond("21.5").await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! MQTT 3 has neither response topics nor correlation data, and an agreement about payloads that took their place would
//! be this library's own, understood by nobody else; so [`Requests::open`] says no there. Two topics and a number in the
//! payload are what an application agrees on by itself.

mod pending;
mod responder;

pub use responder::{Request, RespondError, Responder, response_to};

use crate::alarm::Alarm;
use crate::error::{PublishError, SubscribeError};
use crate::{Client, Delivery, Message, QoS, StreamOptions, Subscription, SubscriptionStream, TopicName};
use bytes::Bytes;
use mqttkit_codec::{Binary, Instant, ReasonCode};
use pending::{Line, Pending};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How requests are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestOptions {
    /// How long a request waits for its answer, from the call on. Default 10 s.
    pub timeout: Duration,
    /// How many requests may wait for their answers at a time; more wait in line, within their time. Default 256.
    pub outstanding: usize,
    /// With which QoS requests are sent and answers subscribed to. Default 1.
    pub qos: QoS,
    /// Where the answers come. Default: what the server offers as Response Information, if CONNECT asked for it, or
    /// `responses/` and the client identifier; with a random number behind it.
    pub response_topic: Option<TopicName>,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            outstanding: 256,
            qos: QoS::AtLeastOnce,
            response_topic: None,
        }
    }
}

impl RequestOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// With so many [`outstanding`](Self::outstanding) requests, one at least.
    #[must_use]
    pub fn outstanding(self, outstanding: usize) -> Self {
        Self { outstanding: outstanding.max(1), ..self }
    }

    /// With this [`qos`](Self::qos).
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    /// With this [`response_topic`](Self::response_topic), which nobody else may use.
    #[must_use]
    pub fn response_topic(self, topic: TopicName) -> Self {
        Self { response_topic: Some(topic), ..self }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There was none in time. The request may have been answered or not.
    #[error("no answer in time")]
    TimedOut,
    /// Nobody is subscribed to the topic, the server says.
    #[error("nobody is there to answer")]
    NoResponder,
    /// The request was not published.
    #[error(transparent)]
    Publish(PublishError),
    /// The client has ended, or the subscription to the answers has.
    #[error("the client was closed")]
    Closed,
}

/// Why no requests can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The client does not speak MQTT 5.0.
    #[error("requests are for MQTT 5.0 only")]
    Version,
    /// The answers cannot be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

/// Makes requests. All clones share one subscription, on which the answers come; it ends with the last of them.
#[derive(Clone)]
pub struct Requests {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    options: RequestOptions,
    response_topic: TopicName,
    line: Line,
    pending: Arc<Pending>,
    answers: Mutex<SubscriptionStream>,
}

impl Requests {
    /// Subscribes to the answers, and waits for the server to grant that.
    ///
    /// Cancel-safe: a dropped future leaves no subscription behind.
    pub async fn open(client: &Client, options: RequestOptions) -> Result<Self, OpenError> {
        if !client.has_properties() {
            return Err(OpenError::Version);
        }
        let response_topic = match options.response_topic.clone() {
            Some(topic) => topic,
            None => response_topic(client).map_err(SubscribeError::from)?,
        };
        let filter = response_topic.as_str().try_into().map_err(SubscribeError::from)?;
        // One answer each, so that none ever waits for room.
        let stream = StreamOptions::new().buffer(options.outstanding, 32 << 20);
        let answers = client.stream_with([Subscription::new(filter, options.qos)], stream).await?;
        if let Some(&reason) = answers.granted().first().filter(|reason| reason.is_error()) {
            return Err(SubscribeError::Refused(reason).into());
        }
        Ok(Self {
            inner: Arc::new(Inner {
                client: client.clone(),
                line: Line::new(options.outstanding),
                options,
                response_topic,
                pending: Arc::default(),
                answers: Mutex::new(answers),
            }),
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// Cancel-safe in so far as nothing is left waiting; the request may have been sent.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<T>(&self, topic: T, payload: impl Into<Bytes>) -> Result<Message, RequestError>
    where
        T: TryInto<TopicName>,
        PublishError: From<T::Error>,
    {
        let topic = topic.try_into().map_err(|error| RequestError::Publish(error.into()))?;
        let message = Message::new(topic, payload).with_qos(self.inner.options.qos);
        self.request_message(message, self.inner.options.timeout).await
    }

    /// Asks by a message that was made before, and waits so long for the answer. Response topic and correlation data are
    /// set here. What is left of the time goes along as the Message Expiry Interval, so that nobody answers in vain.
    ///
    /// Cancel-safety and errors are those of [`request`](Self::request).
    pub async fn request_message(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let inner = &*self.inner;
        let shared = inner.client.shared();
        let deadline = shared.now() + timeout;
        let asking = inner.ask(message, deadline);
        let mut alarm = Alarm::new(Arc::clone(shared), deadline);
        let mut asking = pin!(asking);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = asking.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            match Pin::new(&mut alarm).poll(cx) {
                Poll::Pending => Poll::Pending,
                // Alarms also go off when the client ends.
                Poll::Ready(()) if shared.now() < deadline => Poll::Ready(Err(RequestError::Closed)),
                Poll::Ready(()) => Poll::Ready(Err(RequestError::TimedOut)),
            }
        })
        .await
    }

    /// Where the answers come.
    pub fn response_topic(&self) -> &TopicName {
        &self.inner.response_topic
    }

    /// How many requests wait for their answers now.
    pub fn outstanding(&self) -> usize {
        self.inner.pending.len()
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("response_topic", &self.inner.response_topic)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn ask(&self, mut message: Message, deadline: Instant) -> Result<Message, RequestError> {
        let _place = self.line.place().await;
        let waiting = self.pending.register();
        let correlation = Bytes::copy_from_slice(&waiting.correlation());
        // Eight bytes always fit.
        let correlation = Binary::try_from(correlation).unwrap_or_default();
        message.properties =
            message.properties.with_response_topic(&self.response_topic).with_correlation_data(&correlation);
        let delivery = Delivery::new().time_to_live(deadline - self.client.shared().now());
        let ticket = self.client.publish_with(message, delivery).await.map_err(RequestError::Publish)?;
        let mut ticket = Some(ticket);
        poll_fn(|cx| {
            if let Poll::Ready(published) =
                ticket.as_mut().map_or(Poll::Pending, |open| Pin::new(open).poll(cx))
            {
                ticket = None;
                match published {
                    Ok(ReasonCode::NoMatchingSubscribers) => {
                        return Poll::Ready(Err(RequestError::NoResponder));
                    }
                    Ok(_) => {}
                    Err(PublishError::Closed) => return Poll::Ready(Err(RequestError::Closed)),
                    Err(PublishError::Expired) => return Poll::Ready(Err(RequestError::TimedOut)),
                    Err(error) => return Poll::Ready(Err(RequestError::Publish(error))),
                }
            }
            self.poll_answer(cx, &waiting)
        })
        .await
    }

    /// Whoever waits takes what has come, also for the others.
    fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        waiting: &pending::Waiting,
    ) -> Poll<Result<Message, RequestError>> {
        waiting.listen(cx);
        let waker = self.pending.waker();
        let mut cx = Context::from_waker(&waker);
        loop {
            let polled = {
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                poll_next(&mut answers, &mut cx)
            };
            match polled {
                Poll::Ready(Some(answer)) => self.pending.answer(answer),
                Poll::Ready(None) => {
                    return Poll::Ready(waiting.take().ok_or(RequestError::Closed));
                }
                Poll::Pending => break,
            }
        }
        waiting.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
    }
}

fn poll_next(answers: &mut SubscriptionStream, cx: &mut Context<'_>) -> Poll<Option<Message>> {
    futures_core::Stream::poll_next(Pin::new(answers), cx)
}

/// What nobody else subscribes to.
fn response_topic(client: &Client) -> Result<TopicName, mqttkit_codec::TopicError> {
    let offered = client.connack().and_then(|connack| connack.properties.response_information());
    let base = match offered {
        Some(offered) => offered.as_str().trim_end_matches('/').to_owned(),
        // A wildcard in it would be none in a name.
        None => format!("responses/{}", client.client_id().as_str().replace(['+', '#'], "_")),
    };
    TopicName::try_from(format!("{base}/{:08x}", crate::options::random() as u32))
}
