//! The client for programs without a runtime: nothing here is `async`, and a thread of its own does the work.
//!
//! ```no_run
//! use mqttkit_client::{Client, QoS, blocking};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut messages) = blocking::connect(Client::builder("mqtt://localhost"))?;
//! client.subscribe("home/#", QoS::AtLeastOnce)?;
//!
//! let ticket = client.publish("home/door", "open", QoS::AtLeastOnce)?;
//! ticket.wait_timeout(Duration::from_secs(5))?; // the server has it
//!
//! for message in messages.by_ref().take(10) {
//!     println!("{}: {:?}", message.topic, message.payload);
//! }
//! while let Next::Item(message) = messages.next_within(Duration::from_secs(1)) {
//!     println!("{}", message.topic);
//! }
//! client.disconnect()?;
//! # use mqttkit_client::blocking::Next;
//! # Ok(())
//! # }
//! ```
//!
//! Sockets and timers are those of `smol`, without its executor. Whatever else the [`Client`](crate::Client) has is there
//! too: [`Client::as_async`] and [`wait`]. The process must not end before [`Client::disconnect`] has returned, or what is
//! not sent by then is lost.

use crate::error::{ConnectError, DisconnectError, Leftover, PublishError, SubscribeError};
use crate::{Connector, Driver, Events, Message, Messages, Options, Parts, QoS, TopicFilter, TopicName};
use bytes::Bytes;
use futures_core::Stream;
use mqttkit_codec::ReasonCode;
use mqttkit_ws_transport::{Runtime, SmolRuntime};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Connects: returns when the server has accepted the connection. Otherwise as [`Options::connect_on`].
pub fn connect(options: Options) -> Result<(Client, Iter<Messages>), ConnectError> {
    let Parts { client, messages, mut driver } = options.build(&SmolRuntime::new())?;
    async_io::block_on(driver.connect())?;
    run(driver)?;
    Ok((Client { client }, Iter(messages)))
}

/// Connects in the background, and goes on trying. Otherwise as [`Options::connect_in_background_on`].
pub fn connect_in_background(options: Options) -> Result<(Client, Iter<Messages>), ConnectError> {
    let Parts { client, messages, driver } = options.build(&SmolRuntime::new())?;
    run(driver)?;
    Ok((Client { client }, Iter(messages)))
}

/// Gives the driver its thread.
fn run<R: Runtime, C: Connector>(driver: Driver<R, C>) -> Result<(), ConnectError> {
    let thread = thread::Builder::new().name("mqttkit-client".into());
    thread
        .spawn(move || async_io::block_on(driver))
        .map(drop)
        .map_err(|error| ConnectError::Custom(error.into()))
}

/// A handle to a connection, as [`crate::Client`] is. Its methods block; use it from as many threads as you like.
#[derive(Debug, Clone)]
pub struct Client {
    client: crate::Client,
}

impl Client {
    /// Publishes a message: returns its ticket as soon as it is queued, connected or not. Blocks while the queue is full.
    ///
    /// # Errors
    /// As [`crate::Client::publish`].
    pub fn publish<T>(&self, topic: T, payload: impl Into<Bytes>, qos: QoS) -> Result<Ticket, PublishError>
    where
        T: TryInto<TopicName>,
        PublishError: From<T::Error>,
    {
        wait(self.client.publish(topic, payload, qos)).map(Ticket)
    }

    /// Publishes a message that was made before.
    ///
    /// # Errors
    /// As [`crate::Client::publish_message`].
    pub fn publish_message(&self, message: Message) -> Result<Ticket, PublishError> {
        wait(self.client.publish_message(message)).map(Ticket)
    }

    /// Subscribes, and waits for the server's answer. The messages come out of what [`connect`] returned.
    ///
    /// # Errors
    /// As [`crate::Client::subscribe`].
    pub fn subscribe<F>(&self, filter: F, qos: QoS) -> Result<QoS, SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        wait(self.client.subscribe(filter, qos))
    }

    /// Ends a subscription, and waits for the server's answer.
    ///
    /// # Errors
    /// As [`crate::Client::unsubscribe`].
    pub fn unsubscribe<F>(&self, filter: F) -> Result<(), SubscribeError>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        wait(self.client.unsubscribe(filter))
    }

    /// What happens to the connection, one event after the other.
    pub fn events(&self) -> Iter<Events> {
        Iter(self.client.events())
    }

    /// Ends gracefully, and returns when the transport is closed.
    ///
    /// # Errors
    /// As [`crate::Client::disconnect`].
    pub fn disconnect(&self) -> Result<(), DisconnectError> {
        wait(self.client.disconnect())
    }

    /// Ends by force. Returns what was not complete.
    pub fn end(&self) -> Leftover {
        wait(self.client.end())
    }

    /// The client for everything else, with [`wait`].
    pub fn as_async(&self) -> &crate::Client {
        &self.client
    }
}

/// What becomes of one message, as [`crate::Ticket`] is. Drop it, and the message goes its way.
#[derive(Debug)]
pub struct Ticket(crate::Ticket);

impl Ticket {
    /// Waits until the message is complete, however many reconnects that takes.
    ///
    /// # Errors
    /// As [`crate::Ticket`].
    pub fn wait(self) -> Result<ReasonCode, PublishError> {
        wait(self.0)
    }

    /// Waits so long at most. A message that is still queued then is cancelled.
    ///
    /// # Errors
    /// [`PublishError::Deadline`] when the time is over, otherwise as [`crate::Ticket`].
    pub fn wait_timeout(self, time: Duration) -> Result<ReasonCode, PublishError> {
        wait(self.0.within(time))
    }

    /// The ticket itself: its state, to cancel it.
    pub fn as_async(&self) -> &crate::Ticket {
        &self.0
    }
}

/// A stream as an iterator that blocks: [`Messages`], [`Events`] and all others.
#[derive(Debug)]
pub struct Iter<S>(S);

/// What [`Iter::next_within`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// The next item.
    Item(T),
    /// There was none in time.
    Nothing,
    /// There will be none.
    Ended,
}

impl<S: Stream + Unpin> Iter<S> {
    /// Of any stream.
    pub fn new(stream: S) -> Self {
        Self(stream)
    }

    /// The next item, if there is one within `time`; zero does not wait.
    pub fn next_within(&mut self, time: Duration) -> Next<S::Item> {
        match wait_until(self.poll_next(), Instant::now().checked_add(time)) {
            Some(Some(item)) => Next::Item(item),
            Some(None) => Next::Ended,
            None => Next::Nothing,
        }
    }

    fn poll_next(&mut self) -> impl Future<Output = Option<S::Item>> {
        poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx))
    }
}

impl<S: Stream + Unpin> Iterator for Iter<S> {
    type Item = S::Item;

    /// Waits for as long as it takes.
    fn next(&mut self) -> Option<S::Item> {
        wait(self.poll_next())
    }
}

/// Blocks this thread until the future is ready: for what the client has and this module has not.
///
/// It must not be called where blocking is forbidden, such as in a task of a runtime.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        // Without a deadline there is nothing but the output.
        if let Some(output) = wait_until(future.as_mut(), None) {
            return output;
        }
    }
}

/// Polls until the deadline. At least once.
fn wait_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => return None,
            },
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[test]
    fn waiting_ends_with_the_future_or_at_the_deadline() {
        assert_eq!(wait(ready(1)), 1);
        assert_eq!(wait_until(pending::<()>(), Some(Instant::now())), None);
        assert_eq!(wait_until(ready(2), Some(Instant::now())), Some(2), "it is asked once in any case");
        let (resolver, promise) = crate::promise::promise();
        let other = thread::spawn(move || resolver.resolve(3));
        assert_eq!(wait(promise), Some(3));
        other.join().unwrap();
    }
}
