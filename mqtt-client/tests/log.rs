//! What happens to the connection is told to `tracing`, too.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_broker_core::Broker;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use support::broker::connect;
use support::server::options;
use support::{bye, soon};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps level, origin and message of each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        self.0.lock().unwrap().push((*metadata.level(), metadata.target().to_owned(), text.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn connections_are_told_to_tracing() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let broker = Broker::builder().build();
    let (client, mut messages) = soon("connect", connect(&broker, options())).await.unwrap();
    bye(&client).await;
    assert!(soon("the end", messages.recv()).await.is_none());
    let told = log.0.lock().unwrap();
    let ours: Vec<_> = told.iter().filter(|(_, target, _)| target.starts_with("mqttkit_client")).collect();
    assert!(
        ours.iter().any(|(level, _, text)| *level == Level::INFO && text.contains("connected")),
        "{ours:?}"
    );
    assert!(ours.iter().all(|(level, ..)| *level > Level::WARN), "nothing is wrong: {ours:?}");
}
