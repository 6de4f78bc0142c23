//! The store: what waits for it, what the next process finds, and what happens when it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::codec::{PacketId, ServerEvent};
use mqttkit_client::store::{Batch, Progress, Snapshot, Store, StoreError, StoreOp};
use mqttkit_client::{
    Client, Continuity, Delivery, Event, Message, Options, OptionsError, Priority, PublishError, QoS,
    ReasonCode, TicketState, TopicName, Version,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::server::{client, options};
use support::{event, next, soon};

/// Keeps ops in memory, when it is told to.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is kept.
    ops: Vec<StoreOp>,
    /// What is not yet.
    waiting: Vec<StoreOp>,
    /// Whether it waits to be told.
    is_slow: bool,
    progress: Progress,
}

impl Store for Memory {
    fn open(&self, progress: Progress) -> Result<Snapshot, StoreError> {
        let mut state = self.0.lock().unwrap();
        state.progress = progress;
        let mut snapshot = Snapshot::new();
        state.ops.iter().cloned().for_each(|op| snapshot.apply(op));
        Ok(snapshot)
    }

    fn submit(&self, batch: Batch) {
        let is_slow = {
            let mut state = self.0.lock().unwrap();
            state.waiting.extend(batch.ops);
            state.is_slow
        };
        if !is_slow {
            // As a store must: from elsewhere.
            let memory = self.clone();
            tokio::spawn(async move { memory.write() });
        }
    }
}

impl Memory {
    fn slow() -> Self {
        let memory = Self::default();
        memory.0.lock().unwrap().is_slow = true;
        memory
    }

    /// Writes what waits.
    fn write(&self) {
        let (progress, written) = {
            let mut state = self.0.lock().unwrap();
            let waiting = std::mem::take(&mut state.waiting);
            let written = state.progress.position() + waiting.len() as u64;
            state.ops.extend(waiting);
            (state.progress.clone(), written)
        };
        progress.durable(written);
    }

    fn fail(&self) {
        let progress = self.0.lock().unwrap().progress.clone();
        progress.fail(StoreError::Custom("full".into()));
    }

    fn waiting(&self) -> Vec<StoreOp> {
        self.0.lock().unwrap().waiting.clone()
    }

    /// What it holds, as a store of its own: the process has ended here.
    fn after_a_crash(&self) -> Self {
        let ops = self.0.lock().unwrap().ops.clone();
        Self(Arc::new(Mutex::new(State { ops, ..State::default() })))
    }

    fn holds(&self) -> Snapshot {
        self.after_a_crash().open(Progress::new()).unwrap()
    }
}

fn kept(store: &Memory) -> Options {
    options().clean_start(false).session_expiry(Duration::from_secs(3600)).store(store.clone())
}

fn message(payload: &str, qos: QoS) -> Message {
    Message::new(TopicName::try_from("t").unwrap(), payload.to_owned()).with_qos(qos)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Lets everybody do what can be done.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn connected(event: Event) -> Option<Continuity> {
    if let Event::Connected(continuity) = event { Some(continuity) } else { None }
}

#[tokio::test(start_paused = true)]
async fn publish_and_the_wire_wait_for_the_store() {
    let store = Memory::slow();
    let (client, _messages, mut listener) = client(kept(&store));
    let mut server = listener.accept(None).await;
    until("connected", || client.is_connected()).await;
    store.write();
    let publishing = {
        let client = client.clone();
        tokio::spawn(async move { client.publish_message(message("m", QoS::ExactlyOnce)).await })
    };
    until("two ops", || store.waiting().len() == 2).await;
    settle().await;
    assert!(!publishing.is_finished(), "publish waits");
    let waiting = store.waiting();
    assert!(matches!(waiting[..], [StoreOp::Queued(_), StoreOp::Sent { .. }]), "{waiting:?}");
    assert!(store.holds().is_empty());
    tokio::select! {
        biased;
        event = server.event() => panic!("{event:?} before it is kept"),
        () = settle() => {}
    }
    store.write();
    let ticket = publishing.await.unwrap().unwrap();
    let (message, token) = server.message().await;
    assert_eq!(message.payload, "m");
    server.ack(token).await;
    until("PUBREC is noted", || matches!(store.waiting()[..], [StoreOp::Received { .. }])).await;
    tokio::select! {
        biased;
        event = server.event() => panic!("{event:?}: PUBREL before PUBREC is kept"),
        () = settle() => {}
    }
    assert_eq!(ticket.state(), TicketState::Received);
    store.write();
    // PUBREL is answered while the server waits for something else.
    let answering = tokio::spawn(async move { server.event().await });
    soon("the ticket", ticket).await.unwrap();
    store.write();
    assert!(store.holds().is_empty());
    client.end().await;
    assert!(matches!(soon("the end", answering).await.unwrap(), ServerEvent::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn the_next_process_goes_on_where_the_last_one_was_cut() {
    let store = Memory::default();
    let mut session;
    {
        let (client, _messages, mut listener) = client(kept(&store).max_in_flight(3.try_into().unwrap()));
        let mut server = listener.accept(None).await;
        for (payload, qos) in [
            ("1", QoS::AtLeastOnce),
            ("2", QoS::ExactlyOnce),
            ("3", QoS::ExactlyOnce),
            ("4", QoS::AtLeastOnce),
        ] {
            soon("publish", client.publish_message(message(payload, qos))).await.unwrap();
        }
        let alarm = Delivery::new().priority(Priority::High);
        soon("publish", client.publish_with(message("alarm", QoS::AtLeastOnce), alarm)).await.unwrap();
        let gone = Delivery::new().time_to_live(Duration::from_secs(3600));
        let cancelled = client.publish_with(message("no", QoS::AtLeastOnce), gone).await.unwrap();
        assert!(cancelled.cancel());
        soon("QoS 0", client.publish_message(message("0", QoS::AtMostOnce))).await.unwrap();
        // The server takes the second over; its PUBREL does not arrive any more.
        let mut tokens = Vec::new();
        for _ in 0..3 {
            tokens.push(server.message().await.1);
        }
        server.ack(tokens[1]).await;
        server.ack(tokens[0]).await;
        // One is complete, so the alarm takes its place.
        until("the alarm is sent", || store.holds().queued().count() == 1).await;
        until("one is received", || store.holds().in_flight().any(|(_, _, message)| message.is_none())).await;
        session = server.connection.take_session();
        session.ack(tokens.pop().flatten().unwrap(), ReasonCode::Success);
    }
    let store = store.after_a_crash();
    let (client, _messages, mut listener) = client(kept(&store));
    let mut events = client.events();
    let restored = event(&mut events, |event| match event {
        Event::Restored(restored) => Some(restored),
        _ => None,
    })
    .await;
    assert_eq!(
        (restored.in_flight, restored.received, restored.queued, restored.cut),
        (2, 1, 1, 0),
        "{restored:?}"
    );
    let mut server = listener.accept(Some(session)).await;
    let continuity = event(&mut events, connected).await;
    assert_eq!((continuity.restored, continuity.resent, continuity.session_present), (4, 3, true));
    let mut got = Vec::new();
    while got.len() < 2 {
        let (message, token) = server.message().await;
        got.push(message.payload);
        server.ack(token).await;
    }
    // The third is known to the server already, by its identifier, and not delivered again.
    assert_eq!(got, ["alarm", "4"]);
    let reading = tokio::spawn(async move { server.event().await });
    until("all is complete", || store.holds().is_empty()).await;
    soon("goodbye", client.disconnect()).await.unwrap();
    soon("the end", reading).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_noted_and_everything_is_published_anew() {
    let store = Memory::default();
    {
        let (client, _messages, mut listener) = client(kept(&store));
        let mut server = listener.accept(None).await;
        for payload in ["1", "2", "3"] {
            soon("publish", client.publish_message(message(payload, QoS::ExactlyOnce))).await.unwrap();
        }
        for _ in 0..3 {
            server.message().await;
        }
    }
    let store = store.after_a_crash();
    assert_eq!(store.holds().in_flight().count(), 3);
    let (client, _messages, mut listener) = client(kept(&store));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    let continuity = event(&mut events, connected).await;
    assert_eq!((continuity.restored, continuity.republished, continuity.possibly_duplicated), (3, 3, 3));
    for payload in ["1", "2", "3"] {
        let (message, token) = server.message().await;
        assert_eq!(message.payload, payload);
        server.ack(token).await;
    }
    let reading = tokio::spawn(async move { server.event().await });
    until("all is complete", || store.holds().is_empty()).await;
    client.end().await;
    soon("the end", reading).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_qos_2_message_that_was_acknowledged_does_not_come_again_to_the_next_process() {
    let store = Memory::default();
    let session;
    {
        let (_client, mut messages, mut listener) = client(kept(&store));
        let mut server = listener.accept(None).await;
        server.publish(message("once", QoS::ExactlyOnce)).await;
        assert_eq!(next(&mut messages).await.payload, "once");
        until("it is noted", || store.holds().incoming().count() == 1).await;
        session = server.connection.take_session();
    }
    let store = store.after_a_crash();
    let (_client, mut messages, mut listener) = client(kept(&store));
    // The server has not seen PUBREC, so it sends the message again.
    let mut server = listener.accept(Some(session)).await;
    let acknowledged = server.event().await;
    assert!(matches!(acknowledged, ServerEvent::Acknowledged { .. }), "{acknowledged:?}");
    until("it is released", || store.holds().incoming().count() == 0).await;
    // The same identifier means another message now.
    let mut again = None;
    while again != PacketId::new(1) {
        again = server.publish(message("other", QoS::ExactlyOnce)).await;
        assert_eq!(next(&mut messages).await.payload, "other");
        let done = server.event().await;
        assert!(matches!(done, ServerEvent::Acknowledged { .. }), "{done:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_client_and_all_are_told() {
    let store = Memory::slow();
    let (client, _messages, mut listener) = client(kept(&store));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    store.write();
    until("connected", || client.is_connected()).await;
    let open = client.try_publish(message("open", QoS::AtLeastOnce)).unwrap();
    let publishing = {
        let client = client.clone();
        tokio::spawn(async move { client.publish_message(message("m", QoS::AtLeastOnce)).await.err() })
    };
    until("both lie there", || store.waiting().len() >= 3).await;
    store.fail();
    let error = StoreError::Custom("full".into());
    assert_eq!(open.stored().await, Err(error.clone()));
    assert_eq!(soon("publish", publishing).await.unwrap(), Some(PublishError::Store(error.clone())));
    assert_eq!(soon("the ticket", open).await, Err(PublishError::Store(error.clone())));
    let told = event(&mut events, |event| match event {
        Event::StoreFailed(error) => Some(error),
        _ => None,
    })
    .await;
    assert_eq!(told, error);
    let next = server.event().await;
    assert!(matches!(next, ServerEvent::Closed(_)), "not a byte more: {next:?}");
    assert_eq!(client.publish_message(message("m", QoS::AtMostOnce)).await.err(), Some(PublishError::Closed));
}

#[tokio::test]
async fn a_store_wants_a_session_that_lasts() {
    let store = Memory::default();
    let base = || Client::builder("mqtt://memory").store(store.clone());
    let hour = Duration::from_secs(3600);
    let needs = |options: Options| match options.connect_in_background() {
        Err(OptionsError::StoreNeeds(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(needs(base().clean_start(false).session_expiry(hour)), "a client_id");
    assert_eq!(needs(base().client_id("c").session_expiry(hour)), "clean_start(false)");
    assert_eq!(needs(base().client_id("c").clean_start(false)), "a session_expiry");
    let v311 = base().client_id("c").clean_start(false).version(Version::V311);
    drop(v311.connect_in_background().unwrap());
    until("whose it is is kept", || store.holds().client_id().is_some()).await;
    let other = base().client_id("d").clean_start(false).session_expiry(hour).connect_in_background();
    assert!(
        matches!(&other, Err(OptionsError::Store(StoreError::OtherClient { client_id })) if client_id == "c"),
        "{other:?}"
    );
}
