//! Values instead of bytes: a [`Format`] makes payloads of them and values of payloads. JSON by serde is there with the
//! feature `json`; whatever else is a few lines.
//!
//! ```no_run
//! # #[cfg(feature = "json")] mod example {
//! use mqttkit_client::typed::{Json, Values};
//! use mqttkit_client::{Client, Messages, QoS};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Reading {
//!     celsius: f32,
//! }
//!
//! async fn example(client: Client, messages: Messages) -> Result<(), Box<dyn std::error::Error>> {
//!     client.publish_value("home/kitchen", &Reading { celsius: 21.5 }, &Json, QoS::AtLeastOnce).await?;
//!
//!     let mut readings = Values::<_, Reading, _>::new(messages, Json);
//!     while let Some((message, reading)) = readings.recv().await {
//!         match reading {
//!             Ok(reading) => println!("{}: {} °C", message.topic, reading.celsius),
//!             Err(error) => println!("{}: {error}", message.topic),
//!         }
//!     }
//!     Ok(())
//! }
//! # }
//! ```

use crate::error::PublishError;
use crate::{Client, Message, QoS, Ticket, TopicName};
use bytes::Bytes;
use futures_core::Stream;
use mqttkit_codec::Str;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A way to write values.
pub trait Format {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What the payloads are called: the Content Type of MQTT 5.0, a MIME type usually. Default none.
    fn content_type(&self) -> Option<&str> {
        None
    }

    /// Whether the payloads are UTF-8 text: the Payload Format Indicator of MQTT 5.0. Default no.
    fn is_text(&self) -> bool {
        false
    }
}

/// A format that can write a `T`.
pub trait Encode<T: ?Sized>: Format {
    /// The payload of a value.
    fn encode(&self, value: &T) -> Result<Bytes, Self::Error>;
}

/// A format that can read a `T`.
pub trait Decode<T>: Format {
    /// The value of a payload.
    fn decode(&self, payload: &[u8]) -> Result<T, Self::Error>;
}

/// JSON, by serde.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

#[cfg(feature = "json")]
impl Format for Json {
    type Error = serde_json::Error;

    fn content_type(&self) -> Option<&str> {
        Some("application/json")
    }

    fn is_text(&self) -> bool {
        true
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize + ?Sized> Encode<T> for Json {
    fn encode(&self, value: &T) -> Result<Bytes, Self::Error> {
        serde_json::to_vec(value).map(Bytes::from)
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> Decode<T> for Json {
    fn decode(&self, payload: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(payload)
    }
}

/// Why a value was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError<E> {
    /// It cannot be written in this format.
    #[error("the value cannot be written: {0}")]
    Encode(E),
    /// The message could not be queued.
    #[error(transparent)]
    Publish(PublishError),
}

/// A message that says this value in this format; for MQTT 5.0 with its content type.
pub fn message<T: ?Sized, F: Encode<T>>(
    topic: TopicName,
    value: &T,
    format: &F,
) -> Result<Message, F::Error> {
    let mut message = Message::new(topic, format.encode(value)?);
    let content_type = format.content_type().and_then(|text| Str::try_from(text).ok());
    if let Some(content_type) = content_type {
        message.properties = message.properties.with_content_type(&content_type);
    }
    if format.is_text() {
        message.properties = message.properties.with_payload_format_indicator(true);
    }
    Ok(message)
}

impl Client {
    /// Publishes a value. See [`publish_message`](Self::publish_message) for what the ticket is and for cancel-safety.
    ///
    /// # Errors
    /// [`ValueError::Encode`] for a value that the format cannot write, otherwise as `publish_message`.
    pub async fn publish_value<N, T: ?Sized, F: Encode<T>>(
        &self,
        topic: N,
        value: &T,
        format: &F,
        qos: QoS,
    ) -> Result<Ticket, ValueError<F::Error>>
    where
        N: TryInto<TopicName>,
        PublishError: From<N::Error>,
    {
        let topic = topic.try_into().map_err(|error| ValueError::Publish(error.into()))?;
        let message = message(topic, value, format).map_err(ValueError::Encode)?.with_qos(qos);
        self.publish_message(message).await.map_err(ValueError::Publish)
    }
}

/// A stream of messages, each with the value of its payload or why it has none.
#[derive(Debug)]
pub struct Values<S, T, F> {
    messages: S,
    format: F,
    value: PhantomData<fn() -> T>,
}

impl<S: Stream<Item = Message> + Unpin, T, F: Decode<T> + Unpin> Values<S, T, F> {
    /// Of any stream of messages.
    pub fn new(messages: S, format: F) -> Self {
        Self { messages, format, value: PhantomData }
    }

    /// The next message and its value; `None` when the stream of messages has ended.
    ///
    /// Cancel-safe if that stream is.
    pub async fn recv(&mut self) -> Option<(Message, Result<T, F::Error>)> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The stream of messages again.
    pub fn into_inner(self) -> S {
        self.messages
    }
}

impl<S: Stream<Item = Message> + Unpin, T, F: Decode<T> + Unpin> Stream for Values<S, T, F> {
    type Item = (Message, Result<T, F::Error>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let message = ready!(Pin::new(&mut this.messages).poll_next(cx));
        Poll::Ready(message.map(|message| {
            let value = this.format.decode(&message.payload);
            (message, value)
        }))
    }
}
