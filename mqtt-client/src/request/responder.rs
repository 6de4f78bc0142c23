//! `Responder`: the stream of requests, and their answers.

use crate::error::{PublishError, SubscribeError};
use crate::{Client, Message, PublishProperties, QoS, SubscriptionStream, Ticket, TopicFilter};
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The requests that come to a topic filter, each with a way to answer. Also a shared filter, `$share/group/…`, so that
/// several responders take turns.
#[derive(Debug)]
pub struct Responder {
    client: Client,
    requests: SubscriptionStream,
}

impl Responder {
    /// Subscribes.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn open<F>(client: &Client, filter: F, qos: QoS) -> Result<Self, SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        Ok(Self { client: client.clone(), requests: client.stream(filter, qos).await? })
    }

    /// The next request; `None` when the client has ended.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Request> {
        let message = self.requests.recv().await?;
        Some(Request { message, client: self.client.clone() })
    }
}

impl Stream for Responder {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        let client = self.client.clone();
        let next = Pin::new(&mut self.requests).poll_next(cx);
        next.map(|message| message.map(|message| Request { message, client }))
    }
}

/// A request to be answered. To drop it is to leave it unanswered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// What was asked.
    pub message: Message,
    client: Client,
}

/// Why an answer was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RespondError {
    /// The message has no response topic: nobody waits for an answer.
    #[error("the message asks for no answer")]
    NotAsked,
    /// The answer could not be queued.
    #[error(transparent)]
    Publish(PublishError),
}

impl Request {
    /// Answers, with the QoS of the request. Returns as soon as the answer is queued, as
    /// [`Client::publish_message`] does, which also says what a dropped future leaves behind.
    pub async fn respond(&self, payload: impl Into<Bytes>) -> Result<Ticket, RespondError> {
        let response = response_to(&self.message, payload).ok_or(RespondError::NotAsked)?;
        self.client.publish_message(response).await.map_err(RespondError::Publish)
    }
}

/// The message that answers `request`: to its response topic, with its correlation data and QoS. `None` if it has no
/// response topic.
pub fn response_to(request: &Message, payload: impl Into<Bytes>) -> Option<Message> {
    let topic = request.properties.response_topic()?;
    let mut properties = PublishProperties::new();
    if let Some(correlation) = request.properties.correlation_data() {
        properties = properties.with_correlation_data(&correlation);
    }
    Some(Message::new(topic, payload).with_qos(request.qos).with_properties(properties))
}
