//! One body of tests on every runtime and every transport: connecting, all QoS, reconnecting, keep-alive, the goodbye.
//!
//! The server is our broker in a thread of its own, so that outside the tests of tokio there is no tokio runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "smol", feature = "async-std", feature = "tokio", feature = "tls"))]

use mqttkit_broker_core::{Broker, Listen};
use mqttkit_client::transport::tls::{ClientTls, SelfSigned, ServerTls, self_signed};
use mqttkit_client::transport::{
    AcceptOptions, AsyncStdRuntime, Runtime, Scheme, SmolRuntime, TokioRuntime, rt, rustls,
};
use mqttkit_client::{Client, Event, Options, QoS, ReasonCode, ReconnectPolicy, Version};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// The most that anything may take. Nothing waits for it to pass; it is where a test that hangs fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A broker until the end of the process, and how to reach it.
struct Server {
    broker: Broker,
    urls: Vec<(Scheme, String)>,
    tls: Arc<rustls::ClientConfig>,
}

impl Server {
    fn start() -> Self {
        let SelfSigned { certificate_pem, key_pem, .. } = self_signed(&["localhost", "127.0.0.1"]).unwrap();
        let accept =
            AcceptOptions::new().tls(ServerTls::from_pem(certificate_pem.clone(), key_pem).build().unwrap());
        let tls = ClientTls::new().only_given_cas().ca_pem(certificate_pem).build().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let broker = Broker::builder().build();
                let mut listening = Vec::new();
                for scheme in [Scheme::Tcp, Scheme::Ws, Scheme::Tls, Scheme::Wss] {
                    let listen = Listen::new(scheme, ([127, 0, 0, 1], 0)).options(accept.clone());
                    listening.push((scheme, broker.listen(listen).await.unwrap()));
                }
                let url = |(scheme, listening): &(Scheme, mqttkit_broker_core::Listening)| {
                    let (name, path) = match scheme {
                        Scheme::Tcp => ("mqtt", ""),
                        Scheme::Tls => ("mqtts", ""),
                        Scheme::Ws => ("ws", "/mqtt"),
                        Scheme::Wss => ("wss", "/mqtt"),
                    };
                    (*scheme, format!("{name}://localhost:{}{path}", listening.local_addr().port()))
                };
                tell.send((broker.clone(), listening.iter().map(url).collect())).unwrap();
                std::future::pending::<()>().await;
            });
        });
        let (broker, urls) = told.recv_timeout(LIMIT).unwrap();
        Self { broker, urls, tls: tls.into() }
    }

    fn options(&self, url: &str, id: &str) -> Options {
        let soonest = Duration::from_millis(20);
        Client::builder(url)
            .client_id(id)
            .tls(Arc::clone(&self.tls))
            .keep_alive(Duration::from_secs(1))
            .session_expiry(Duration::from_secs(60))
            .reconnect(ReconnectPolicy::new(soonest, soonest))
    }
}

/// Everything over these transports.
async fn works<R: Runtime>(runtime: R, schemes: &[Scheme]) {
    let server = Server::start();
    for (scheme, url) in server.urls.iter().filter(|(scheme, _)| schemes.contains(scheme)) {
        for version in [Version::V311, Version::V5] {
            let body = exchange(&runtime, &server, url, version);
            rt::timeout(&runtime, LIMIT, body).await.unwrap_or_else(|_| panic!("{scheme:?}, {version}"));
        }
    }
}

async fn exchange<R: Runtime>(runtime: &R, server: &Server, url: &str, version: Version) {
    let options = server.options(url, "c").version(version).clean_start(version == Version::V5);
    let (client, mut messages) = options.connect_on(runtime).await.unwrap();
    let mut events = client.events();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.subscribe("a/+", qos).await.unwrap();
        for size in [0, 1000, 100_000] {
            let ticket = client.publish("a/b", vec![7; size], qos).await.unwrap();
            assert_eq!(ticket.await, Ok(ReasonCode::Success));
            let message = messages.recv().await.unwrap();
            assert_eq!((message.payload.len(), message.qos), (size, qos));
        }
    }
    // The client comes again by itself, with what was published meanwhile.
    connected(&mut events).await;
    server.broker.kick("c", ReasonCode::ServerBusy).unwrap();
    let ticket = client.publish("a/b", "still there", QoS::ExactlyOnce).await.unwrap();
    ticket.await.unwrap();
    connected(&mut events).await;
    assert_eq!(messages.recv().await.unwrap().payload, "still there");
    // It has nothing to say for longer than the broker puts up with, and says so: timers work.
    runtime.sleep(Duration::from_millis(1_700)).await;
    assert!(client.is_connected());
    client.disconnect().await.unwrap();
    assert!(messages.recv().await.is_none());
}

async fn connected(events: &mut mqttkit_client::Events) {
    while !matches!(events.recv().await.unwrap(), Event::Connected(_)) {}
}

const PLAIN: [Scheme; 2] = [Scheme::Tcp, Scheme::Ws];
const TLS: [Scheme; 2] = [Scheme::Tls, Scheme::Wss];

#[tokio::test]
async fn on_tokio() {
    works(TokioRuntime::new(), &PLAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_tokio_with_threads() {
    works(TokioRuntime::new(), &PLAIN).await;
}

#[tokio::test]
async fn on_tokio_with_tls() {
    works(TokioRuntime::new(), &TLS).await;
}

#[test]
fn on_smol() {
    without_tokio(works(SmolRuntime::new(), &PLAIN));
}

#[test]
fn on_smol_with_tls() {
    without_tokio(works(SmolRuntime::new(), &TLS));
}

#[test]
fn on_async_std() {
    without_tokio(works(AsyncStdRuntime::new(), &PLAIN));
}

#[test]
fn on_async_std_with_tls() {
    without_tokio(works(AsyncStdRuntime::new(), &TLS));
}

/// The smallest executor; smol and async-std have threads of their own for tasks and sockets.
fn without_tokio<F: Future>(future: F) -> F::Output {
    assert!(tokio::runtime::Handle::try_current().is_err());
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(LIMIT);
    }
}
