//! The client without a runtime, over sockets to our broker, which has one in a thread of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "blocking")]

use mqttkit_broker_core::{Broker, Listen};
use mqttkit_client::blocking::{self, Next};
use mqttkit_client::{Client, ConnectError, Event, Options, PublishError, QoS, ReasonCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A broker until the end of the process, and its URLs for TCP and WebSocket.
fn broker() -> (Broker, Vec<String>) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let broker = Broker::builder().build();
            let tcp = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
            let ws = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
            let urls = vec![format!("mqtt://{}", tcp.local_addr()), format!("ws://{}/mqtt", ws.local_addr())];
            tell.send((broker.clone(), urls)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv_timeout(LIMIT).unwrap()
}

fn options(url: &str) -> Options {
    Client::builder(url).reconnect_period(Duration::from_millis(20))
}

#[test]
fn a_program_without_a_runtime_publishes_and_receives() {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let (_broker, urls) = broker();
    for url in urls {
        let (client, mut messages) = blocking::connect(options(&url)).unwrap();
        assert_eq!(client.subscribe("a/#", QoS::ExactlyOnce), Ok(QoS::ExactlyOnce));
        assert_eq!(messages.next_within(Duration::ZERO), Next::Nothing);
        let sender = client.clone();
        let sending = thread::spawn(move || {
            for number in 0..100 {
                let ticket = sender.publish("a/b", number.to_string(), QoS::ExactlyOnce).unwrap();
                assert_eq!(ticket.wait(), Ok(ReasonCode::Success));
            }
        });
        for (number, message) in messages.by_ref().take(100).enumerate() {
            assert_eq!(message.payload, number.to_string());
        }
        sending.join().unwrap();
        client.unsubscribe("a/#").unwrap();
        let unheard = client.publish("a/b", "", QoS::AtLeastOnce).unwrap();
        assert_eq!(unheard.wait_timeout(LIMIT), Ok(ReasonCode::NoMatchingSubscribers));
        client.disconnect().unwrap();
        assert_eq!(messages.next_within(LIMIT), Next::Ended);
        assert!(client.publish("a/b", "", QoS::AtMostOnce).is_err());
    }
}

#[test]
fn waiting_for_a_ticket_or_a_message_has_an_end() {
    let (_broker, urls) = broker();
    let (client, mut messages) = blocking::connect(options(&urls[0])).unwrap();
    let began = Instant::now();
    assert_eq!(messages.next_within(Duration::from_millis(50)), Next::Nothing);
    assert!(began.elapsed() >= Duration::from_millis(50));
    client.disconnect().unwrap();

    // Nobody listens here.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", free.local_addr().unwrap());
    drop(free);
    let (client, _messages) = blocking::connect_in_background(options(&url)).unwrap();
    let ticket = client.publish("a", "", QoS::AtLeastOnce).unwrap();
    let outcome = ticket.wait_timeout(Duration::from_millis(50));
    assert_eq!(outcome, Err(PublishError::Deadline { sent: false }));
    assert!(client.end().is_empty());
    let error = blocking::connect(options(&url)).unwrap_err();
    assert!(matches!(error, ConnectError::Transport(_)), "{error:?}");
}

#[test]
fn it_comes_back_by_itself_and_everything_else_is_a_wait_away() {
    let (broker, urls) = broker();
    let (client, messages) = blocking::connect(options(&urls[0]).client_id("c")).unwrap();
    drop(messages);
    let mut events = client.events();
    assert!(events.any(|event| matches!(event, Event::Connected(_))));
    let mut doors =
        blocking::Iter::new(blocking::wait(client.as_async().stream("door", QoS::AtLeastOnce)).unwrap());
    broker.kick("c", ReasonCode::ServerBusy).unwrap();
    assert!(events.any(|event| matches!(event, Event::Connected(_))));
    client.publish("door", "open", QoS::AtLeastOnce).unwrap();
    let Next::Item(message) = doors.next_within(LIMIT) else { panic!("no message") };
    assert_eq!(message.payload, "open");
    client.disconnect().unwrap();
}
