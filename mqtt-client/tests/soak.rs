//! A publisher and a subscriber whose links are cut every 0.2 to 2 s, delayed, split and dead for a while: QoS 1 at least
//! once, QoS 2 exactly once, in order, and every ticket tells the truth.
//!
//! `MQTTKIT_TEST_SOAK` is how many seconds it lasts against each broker, 60 by default; 600 is what the claim is about.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_broker_core::{Broker, Config, Listen};
use mqttkit_client::transport::TokioRuntime;
use mqttkit_client::{Client, Messages, Metrics, Options, Parts, QoS, ReconnectPolicy, Ticket};
use std::collections::VecDeque;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::faulty::{Faults, Faulty};
use support::mosquitto::Mosquitto;

fn seconds() -> u64 {
    env::var("MQTTKIT_TEST_SOAK").map_or(60, |seconds| seconds.parse().unwrap())
}

fn options(url: &str, id: &str) -> Options {
    Client::builder(url)
        .client_id(id)
        .clean_start(false)
        .session_expiry(Duration::from_secs(3600))
        .keep_alive(Duration::from_secs(1))
        .ping_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_secs(1))
        .send_queue(200, 1 << 20)
        .max_in_flight(20.try_into().unwrap())
        .disconnect_timeout(Duration::from_secs(30))
        .reconnect(ReconnectPolicy::new(Duration::from_millis(10), Duration::from_millis(100)))
}

fn connect(url: &str, id: &str, seed: u64) -> (Client, Messages, Arc<AtomicUsize>) {
    let connector = Faulty::new(url, Faults::soak(), seed);
    let cuts = connector.cuts();
    let Parts { client, messages, driver, .. } =
        options(url, id).connect_with(&TokioRuntime::new(), connector).unwrap();
    tokio::spawn(driver);
    (client, messages, cuts)
}

/// What has arrived of one QoS.
#[derive(Default)]
struct Stream {
    /// The number that is next, if nothing is missing.
    next: u64,
    repeated: u64,
}

/// Resident memory of this process, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn soak(url: &str, what: &str) {
    let length = Duration::from_secs(seconds());
    let (publisher, _nothing, publisher_cuts) = connect(url, "publisher", 1);
    let (subscriber, mut messages, subscriber_cuts) = connect(url, "subscriber", 2);
    tokio::time::timeout(Duration::from_secs(60), subscriber.subscribe("soak/#", QoS::ExactlyOnce))
        .await
        .expect("a subscription within a minute")
        .unwrap();

    let publishing = tokio::spawn(async move {
        let end = Instant::now() + length;
        let mut numbers = [0_u64; 2];
        let mut tickets = VecDeque::<Ticket>::new();
        let mut outgoing = 0;
        while Instant::now() < end {
            for (number, qos) in numbers.iter_mut().zip([QoS::AtLeastOnce, QoS::ExactlyOnce]) {
                let topic = format!("soak/{}", qos.as_u8());
                tickets.push_back(publisher.publish(topic, number.to_string(), qos).await.unwrap());
                *number += 1;
            }
            while tickets.len() > 100
                && let Some(ticket) = tickets.pop_front()
            {
                let reason =
                    tokio::time::timeout(Duration::from_secs(60), ticket).await.expect("a ticket").unwrap();
                assert!(!reason.is_error());
            }
            let Metrics { outgoing: now, .. } = publisher.metrics();
            outgoing = outgoing.max(now);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for ticket in tickets {
            tokio::time::timeout(Duration::from_secs(60), ticket).await.expect("a ticket").unwrap();
        }
        assert!(outgoing <= 200, "{outgoing} messages in a queue of 200");
        publisher.disconnect().await.unwrap();
        numbers
    });

    let mut streams = [Stream::default(), Stream::default()];
    let mut sent: Option<[u64; 2]> = None;
    let mut publishing = Some(publishing);
    let (begun, mut settled, mut at) = (Instant::now(), 0, Instant::now());
    loop {
        if let Some([one, two]) = sent
            && streams[0].next >= one
            && streams[1].next >= two
        {
            break;
        }
        tokio::select! {
            message = messages.recv() => {
                let message = message.expect("the subscriber lives");
                at = Instant::now();
                let number: u64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                let is_once = message.topic.as_str() == "soak/2";
                let stream = &mut streams[usize::from(is_once)];
                if number == stream.next {
                    stream.next += 1;
                } else {
                    // Those sent again come in their order, and none is left out.
                    assert!(number < stream.next, "{what}: {number} of {} before {}", message.topic, stream.next);
                    assert!(!is_once, "{what}: QoS 2 message {number} twice, after {}", stream.next);
                    stream.repeated += 1;
                }
                if settled == 0 && begun.elapsed() > length / 4 {
                    settled = memory();
                }
            }
            numbers = async { publishing.as_mut().unwrap().await }, if publishing.is_some() => {
                sent = Some(numbers.unwrap());
                publishing = None;
            }
            () = tokio::time::sleep(Duration::from_secs(60)) => {
                panic!("{what}: nothing for {:?}, {} and {} of {sent:?}", at.elapsed(), streams[0].next, streams[1].next);
            }
        }
    }
    let grown = memory().saturating_sub(settled);
    let cuts = [publisher_cuts.load(Ordering::Relaxed), subscriber_cuts.load(Ordering::Relaxed)];
    println!(
        "{what}: {:?}, cut {cuts:?} times, {sent:?} of QoS 1 and 2, QoS 1 again {}, memory {settled} KiB + {grown} KiB",
        begun.elapsed(),
        streams[0].repeated,
    );
    assert_eq!(sent, Some([streams[0].next, streams[1].next]));
    assert!(cuts.into_iter().all(|cuts| cuts as u64 > length.as_secs() / 3), "{cuts:?} cuts");
    assert!(grown < 16 << 10, "{what}: {grown} KiB more than after a quarter of the time");
    drop(subscriber);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_again_and_again_with_our_broker() {
    let mut config = Config::default();
    (config.outbox_messages, config.offline_messages) = (1_000_000, 1_000_000);
    let broker = Broker::builder().config(config).build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    soak(&format!("mqtt://{}", listening.local_addr()), "our broker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_again_and_again_with_mosquitto() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0");
    soak(&broker.tcp(), "mosquitto").await;
}
