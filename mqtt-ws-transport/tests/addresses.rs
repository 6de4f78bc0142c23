//! The choice among the addresses of a host (RFC 8305), and the one deadline over everything.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

use mqttkit_ws_transport::rt::tokio::TokioSleep;
use mqttkit_ws_transport::{
    ConnectError, ConnectOptions, ListenOptions, Listener, MemoryStream, Phase, Runtime, Target,
    TokioRuntime, connect, connect_by,
};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// What comes of connecting to an address, and when.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Accepts(Duration),
    Refuses(Duration),
    Silent,
}

/// tokio's clock, and a network made of words.
#[derive(Debug, Clone)]
struct Scripted {
    tokio: TokioRuntime,
    resolving: Duration,
    fates: Arc<Vec<(SocketAddr, Fate)>>,
    /// Which attempt was begun when, and which are not over.
    begun: Arc<Mutex<Vec<(SocketAddr, Duration)>>>,
    open: Arc<()>,
    /// The peers of accepted connections, so that they stay open.
    peers: Arc<Mutex<Vec<MemoryStream>>>,
}

impl Scripted {
    fn new(fates: &[(&str, Fate)]) -> Self {
        let fates = fates.iter().map(|&(address, fate)| (address.parse().unwrap(), fate)).collect();
        Self {
            tokio: TokioRuntime::new(),
            resolving: Duration::ZERO,
            fates: Arc::new(fates),
            begun: Arc::default(),
            open: Arc::default(),
            peers: Arc::default(),
        }
    }

    /// Address and milliseconds, in order.
    fn begun(&self) -> Vec<(String, u128)> {
        let begun = self.begun.lock().unwrap();
        begun.iter().map(|(address, at)| (address.ip().to_string(), at.as_millis())).collect()
    }
}

impl Runtime for Scripted {
    type Stream = MemoryStream;
    type Listener = NoListener;
    type Sleep = TokioSleep;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.tokio.spawn(future);
    }
    fn now(&self) -> Duration {
        self.tokio.now()
    }
    fn sleep_until(&self, deadline: Duration) -> TokioSleep {
        self.tokio.sleep_until(deadline)
    }
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.sleep(self.resolving).await;
        Ok(self.fates.iter().map(|(address, _)| *address).collect())
    }
    async fn connect(&self, address: SocketAddr) -> io::Result<MemoryStream> {
        self.begun.lock().unwrap().push((address, self.now()));
        let _open = Arc::clone(&self.open);
        let fate = self.fates.iter().find(|(candidate, _)| *candidate == address).unwrap().1;
        match fate {
            Fate::Accepts(after) => {
                self.sleep(after).await;
                let (near, far) = MemoryStream::pair(1 << 16);
                self.peers.lock().unwrap().push(far);
                Ok(near)
            }
            Fate::Refuses(after) => {
                self.sleep(after).await;
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Fate::Silent => std::future::pending().await,
        }
    }
    async fn listen(&self, _: SocketAddr, _: &ListenOptions) -> io::Result<NoListener> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(Debug)]
struct NoListener;

impl Listener for NoListener {
    type Stream = MemoryStream;
    async fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How long it took, and what came of it.
async fn race(runtime: &Scripted) -> (Duration, Result<(), ConnectError>) {
    let began = Instant::now();
    let options = ConnectOptions::new().timeout(Duration::from_secs(10));
    let result = connect(runtime, &"mqtt://host".parse().unwrap(), &options).await.map(|_| ());
    assert_eq!(Arc::strong_count(&runtime.open), 1, "an attempt is still under way");
    (began.elapsed(), result)
}

fn expect(list: &[(&str, u128)]) -> Vec<(String, u128)> {
    list.iter().map(|&(ip, at)| (ip.to_owned(), at)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_quick_first_address_is_the_only_one_tried() {
    let runtime =
        Scripted::new(&[("[::1]:1", Fate::Accepts(249 * MS)), ("1.1.1.1:1", Fate::Accepts(Duration::ZERO))]);
    let (time, result) = race(&runtime).await;
    result.unwrap();
    assert_eq!(time, 249 * MS);
    assert_eq!(runtime.begun(), expect(&[("::1", 0)]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_delays_the_next_family_by_a_quarter_of_a_second() {
    let runtime = Scripted::new(&[
        ("[::1]:1", Fate::Silent),
        ("[::2]:1", Fate::Silent),
        ("1.1.1.1:1", Fate::Accepts(20 * MS)),
    ]);
    let (time, result) = race(&runtime).await;
    result.unwrap();
    assert_eq!(time, 270 * MS);
    assert_eq!(runtime.begun(), expect(&[("::1", 0), ("1.1.1.1", 250)]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_lets_the_next_begin_at_once() {
    let runtime = Scripted::new(&[
        ("[::1]:1", Fate::Refuses(10 * MS)),
        ("[::2]:1", Fate::Accepts(5 * MS)),
        ("1.1.1.1:1", Fate::Refuses(10 * MS)),
    ]);
    let (time, result) = race(&runtime).await;
    result.unwrap();
    assert_eq!(time, 25 * MS);
    assert_eq!(runtime.begun(), expect(&[("::1", 0), ("1.1.1.1", 10), ("::2", 20)]));
}

#[tokio::test(start_paused = true)]
async fn the_first_to_accept_wins_although_it_began_earlier() {
    let runtime = Scripted::new(&[
        ("[::1]:1", Fate::Accepts(300 * MS)),
        ("1.1.1.1:1", Fate::Accepts(200 * MS)),
        ("2.2.2.2:1", Fate::Silent),
    ]);
    let (time, result) = race(&runtime).await;
    result.unwrap();
    assert_eq!(time, 300 * MS);
    assert_eq!(runtime.begun(), expect(&[("::1", 0), ("1.1.1.1", 250)]));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_each_is_named() {
    let runtime = Scripted::new(&[
        ("[::1]:1", Fate::Refuses(600 * MS)),
        ("1.1.1.1:1", Fate::Refuses(600 * MS)),
        ("[::2]:1", Fate::Refuses(10 * MS)),
    ]);
    let (time, result) = race(&runtime).await;
    assert_eq!(time, 850 * MS);
    assert_eq!(runtime.begun(), expect(&[("::1", 0), ("1.1.1.1", 250), ("::2", 500)]));
    let Err(ConnectError::Tcp { attempts }) = result else { panic!("{result:?}") };
    let failed: Vec<_> = attempts.iter().map(|(address, _)| address.ip().to_string()).collect();
    assert_eq!(failed, ["::2", "::1", "1.1.1.1"]);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_silent_the_deadline_ends_it() {
    let runtime = Scripted::new(&[("[::1]:1", Fate::Silent), ("1.1.1.1:1", Fate::Silent)]);
    let (time, result) = race(&runtime).await;
    assert!(matches!(result, Err(ConnectError::TimedOut { phase: Phase::Tcp, .. })), "{result:?}");
    assert_eq!(time, Duration::from_secs(10));
}

/// Each step takes a part of the time that is there for all of them together.
#[tokio::test(start_paused = true)]
async fn one_deadline_counts_for_all_steps() {
    for (total, expected) in
        [(900, Phase::Recipe), (1900, Phase::Resolve), (2900, Phase::Tcp), (3500, Phase::WebSocket)]
    {
        let mut runtime = Scripted::new(&[("1.1.1.1:1", Fate::Accepts(1000 * MS))]);
        runtime.resolving = 1000 * MS;
        let began = Instant::now();
        let recipe = async {
            tokio::time::sleep(1000 * MS).await;
            Ok(Target::new("ws://host".parse()?, ConnectOptions::new()))
        };
        // The peer never answers the upgrade.
        let result = connect_by(&runtime, total * MS, recipe).await;
        let Err(ConnectError::TimedOut { phase, after }) = result else { panic!("{result:?}") };
        assert_eq!((phase, after, began.elapsed()), (expected, total * MS, total * MS));
    }
}
