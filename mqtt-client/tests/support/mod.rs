//! What the tests have in common: Debian's mosquitto on free ports, and a proxy that can be cut.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod broker;
pub mod faulty;
pub mod mosquitto;
pub mod proxy;
pub mod server;

use mqttkit_client::{Client, Event, Events, Message, Messages};
use std::future::Future;
use std::time::Duration;

/// The most that anything may take. Nothing waits for it to pass; it is where a test that hangs fails.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Fails when it takes too long.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// The next message.
pub async fn next(messages: &mut Messages) -> Message {
    soon("a message", messages.recv()).await.expect("the stream goes on")
}

/// Waits for an event that satisfies.
pub async fn event<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    soon("an event", async {
        loop {
            let event = events.recv().await.expect("the event comes before the end");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    })
    .await
}

/// Disconnects and expects nothing left behind.
pub async fn bye(client: &Client) {
    soon("a goodbye", client.disconnect()).await.expect("all is acknowledged");
}

/// Bytes that differ from place to place, so that a mix-up shows.
pub fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}
