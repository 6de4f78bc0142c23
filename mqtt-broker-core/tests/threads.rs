//! The broker starts no threads of its own. A file of its own: other tests beside it would have theirs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", target_os = "linux"))]

mod support;

use mqttkit_broker_core::transport::ConnectOptions;
use mqttkit_broker_core::{Broker, Listen, QoS};
use support::{PATIENCE, RawClient, dial, v5};
use tokio::runtime::{Builder, Runtime};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Everything that a broker does: listeners of both kinds, clients, messages, timers, the goodbye.
async fn a_life() {
    let broker = Broker::builder().build();
    let tcp = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let ws = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
    let mut inside = broker.local_client().unwrap();
    inside.subscribe("a".try_into().unwrap(), QoS::AtLeastOnce).unwrap();
    for url in [format!("mqtt://{}", tcp.local_addr()), format!("ws://{}/mqtt", ws.local_addr())] {
        let mut client = RawClient::connect(dial(&url, &ConnectOptions::default()).await, v5("c")).await;
        client.subscribe("a", QoS::ExactlyOnce).await;
        client.publish("a", "x", QoS::ExactlyOnce).await;
        assert_eq!(client.message().await.payload, "x");
        assert_eq!(inside.recv().await.unwrap().payload, "x");
        client.disconnect().await;
    }
    tcp.stop().await;
    assert!(broker.shutdown(PATIENCE).await);
}

fn lives_on(runtime: &Runtime, workers: usize) {
    let before = threads();
    // Those of tokio's workers, which are there from the start.
    assert!(before > workers);
    runtime.block_on(async { tokio::spawn(a_life()).await.unwrap() });
    assert_eq!(threads(), before);
}

/// One test, so that the harness has as many threads all the time.
#[test]
fn it_starts_no_threads_of_its_own() {
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    lives_on(&current, 0);
    drop(current);
    lives_on(&Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(), 2);
}
