//! Floods, measured: strangers that send nonsense, and a subscriber that is too slow. Others do not notice, and memory
//! does not grow.
//!
//! `FLOOD_SECONDS` in the environment makes each flood as long as that; the figures are printed. For a minute of each:
//!
//! ```text
//! FLOOD_SECONDS=60 cargo test --release -p mqttkit-broker-core --test flood -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", target_os = "linux"))]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mqttkit_broker_core::transport::{ConnectOptions, Link};
use mqttkit_broker_core::{Broker, Config, Listen, Message, QoS, TopicName};
use mqttkit_codec::ClientEvent;
use support::{RawClient, dial, until, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

/// One at a time: they measure the memory of the process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long a flood is, and whether it is the long one.
fn length() -> (Duration, bool) {
    let asked = std::env::var("FLOOD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    (Duration::from_secs(asked.unwrap_or(3)), asked.is_some())
}

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// In tenths, which is as exact as it need be.
fn mib(bytes: usize) -> String {
    let tenths = (bytes * 10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Numbers from a seed. (xorshift64)
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Clients that each send to the next, in a ring, and keep an account of what arrives.
struct Ring {
    clients: Vec<JoinHandle<()>>,
    account: Arc<Account>,
}

/// What all of them have sent and got.
#[derive(Default)]
struct Account {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    received: AtomicU64,
    /// In microseconds, which take little of the memory that is measured.
    latencies: Mutex<Vec<u32>>,
    /// Nothing more is to be sent.
    stop: AtomicBool,
    /// Everybody may go.
    done: AtomicBool,
}

impl Ring {
    async fn start(address: SocketAddr, count: usize, every: Duration) -> Self {
        let account = Arc::new(Account::default());
        let origin = Instant::now();
        let mut clients = Vec::new();
        for number in 0..count {
            let link = dial(&format!("mqtt://{address}"), &ConnectOptions::new()).await;
            let mut client = RawClient::connect(link, v5(&format!("good-{number}"))).await;
            client.subscribe(&format!("ring/{number}"), QoS::ExactlyOnce).await;
            clients.push(client);
        }
        let clients = clients.into_iter().enumerate().map(|(number, client)| {
            let to = format!("ring/{}", (number + 1) % count);
            tokio::spawn(take_part(client, to, origin, every, Arc::clone(&account)))
        });
        Self { clients: clients.collect(), account }
    }

    /// The 99th percentile since the last call.
    fn p99(&self) -> (usize, Duration) {
        let mut latencies = std::mem::take(&mut *self.account.latencies.lock().unwrap());
        latencies.sort_unstable();
        (latencies.len(), Duration::from_micros(latencies[latencies.len() * 99 / 100].into()))
    }

    /// Stops and checks the account: whatever was sent has arrived. Returns how much that was.
    async fn finish(self) -> u64 {
        let account = self.account;
        account.stop.store(true, Ordering::Relaxed);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = || (read(&account.sent), read(&account.acknowledged), read(&account.received));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (sent, acknowledged, received) = counts();
            sleep(Duration::from_millis(100)).await;
            if sent == acknowledged && sent == received && counts() == (sent, sent, sent) {
                break;
            }
            assert!(Instant::now() < deadline, "sent, acknowledged, received: {:?}", counts());
        }
        account.done.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        let (sent, acknowledged, received) = counts();
        assert_eq!((acknowledged, received), (sent, sent), "nothing is lost or doubled");
        sent
    }
}

/// Sends with QoS 1 and 2 in turn; what comes must be in order and without gaps.
async fn take_part<L: Link>(
    mut client: RawClient<L>,
    to: String,
    origin: Instant,
    every: Duration,
    account: Arc<Account>,
) {
    let topic = TopicName::try_from(to).unwrap();
    let mut sent = 0u64;
    // QoS 1 and 2 may overtake one another: each has its own numbers.
    let mut expected = [0u64, 1];
    let mut ticks = interval(every);
    loop {
        if account.done.load(Ordering::Relaxed) {
            client.disconnect().await;
            return;
        }
        tokio::select! {
            _ = ticks.tick() => {
                if !account.stop.load(Ordering::Relaxed) {
                    let qos = if sent.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                    let now = u64::try_from(origin.elapsed().as_nanos()).unwrap();
                    let mut payload = sent.to_be_bytes().to_vec();
                    payload.extend(now.to_be_bytes());
                    payload.resize(100, 0);
                    let message = Message::new(topic.clone(), payload).with_qos(qos);
                    let now = client.now();
                    client.connection.publish(now, message).unwrap();
                    client.flush().await;
                    sent += 1;
                    account.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            event = client.event() => match event {
                ClientEvent::Publish { message, dup, .. } => {
                    assert!(!dup);
                    let word = |at: usize| u64::from_be_bytes(message.payload[at..at + 8].try_into().unwrap());
                    let number = word(0);
                    let next = &mut expected[(number % 2) as usize];
                    assert_eq!(number, *next, "in order and without gaps");
                    *next += 2;
                    let latency = origin.elapsed().saturating_sub(Duration::from_nanos(word(8)));
                    let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
                    account.latencies.lock().unwrap().push(micros);
                    account.received.fetch_add(1, Ordering::Relaxed);
                }
                ClientEvent::Acknowledged { reason, .. } => {
                    assert!(!reason.is_error(), "{reason:?}");
                    account.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What a stranger sends, most of it wrong.
fn nonsense(dice: &mut Dice) -> Vec<u8> {
    const CONNECT: &[u8] = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03bad";
    let mut bytes = match dice.below(8) {
        // Noise.
        0 => {
            return {
                let count = dice.below(200) + 1;
                dice.bytes(count)
            };
        }
        // A packet that is announced larger than anybody may send.
        1 => return [&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &dice.bytes(100)].concat(),
        // A request of another protocol.
        2 => return b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        // Half a CONNECT.
        3 => return CONNECT[..=dice.below(CONNECT.len() - 1)].to_vec(),
        // A CONNECT with a fault.
        4 => {
            let mut bytes = CONNECT.to_vec();
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            bytes
        }
        // A good one, and then noise, or a message that is never complete.
        5 | 6 => CONNECT.to_vec(),
        _ => [CONNECT, &[0x30, 0xe0, 0xa7, 0x12, 0, 1, b'a', 0], &[0; 1_000]].concat(),
    };
    let count = dice.below(100);
    bytes.extend(dice.bytes(count));
    bytes
}

/// Opens a connection, sends nonsense and reads what comes, for a while.
async fn intrude(address: SocketAddr, number: u64) {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    dice.next();
    let socket = TcpSocket::new_v4().unwrap();
    // From several addresses: one has not so many ports.
    socket.bind(([127, 0, 0, 2 + (number % 32) as u8], 0).into()).unwrap();
    let Ok(Ok(mut stream)) = timeout(Duration::from_secs(5), socket.connect(address)).await else { return };
    if stream.write_all(&nonsense(&mut dice)).await.is_err() {
        return;
    }
    // One in twenty stays until it is put out.
    let patience =
        if number.is_multiple_of(20) { Duration::from_secs(5) } else { Duration::from_millis(100) };
    let mut answer = [0; 256];
    while let Ok(Ok(1..)) = timeout(patience, stream.read(&mut answer)).await {}
}

/// So many connections per second, for so long. Returns how many there were.
async fn intruders(address: SocketAddr, per_second: u64, time: Duration) -> u64 {
    let came = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut ticks = interval(Duration::from_millis(10));
    let mut begun = 0u64;
    while started.elapsed() < time {
        ticks.tick().await;
        let due = u64::try_from(started.elapsed().as_millis()).unwrap() * per_second / 1_000;
        while begun < due {
            begun += 1;
            let (came, number) = (Arc::clone(&came), begun);
            tokio::spawn(async move {
                intrude(address, number).await;
                came.fetch_add(1, Ordering::Relaxed);
            });
        }
    }
    begun
}

/// A thousand connections per second that send nonsense, while a hundred clients exchange QoS 1 and 2 messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_send_nonsense_harm_nobody() {
    let _alone = ALONE.lock().await;
    let (time, is_long) = length();
    let mut config = Config::default();
    // Those that stay are put out soon, so that the short flood sees it too.
    config.connect_timeout = Duration::from_secs(2);
    let broker = Broker::builder().config(config).build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listening.local_addr();
    let ring = Ring::start(address, 100, Duration::from_millis(if is_long { 20 } else { 100 })).await;

    // Warm up, then as it is without strangers.
    intruders(address, 1_000, time / 6).await;
    sleep(Duration::from_millis(500)).await;
    ring.p99();
    sleep(time / 3).await;
    let (quiet_count, quiet) = ring.p99();

    let flood = tokio::spawn(intruders(address, 1_000, time));
    sleep(time / 4).await;
    let early = resident();
    let strangers = flood.await.unwrap();
    let late = resident();
    let (count, flooded) = ring.p99();
    println!(
        "{strangers} strangers in {time:?}: p99 {flooded:?} of {count} messages, {quiet:?} of {quiet_count} before; \
         resident {} MiB after a quarter, {} MiB in the end; accounted {} KiB",
        mib(early),
        mib(late),
        broker.stats().memory / 1024,
    );
    let growth = late.saturating_sub(early);
    assert!(growth < 16 << 20, "grown by {} MiB", mib(growth));
    // A few seconds on a machine that does other things as well say little about latency.
    let hiccup = if is_long { Duration::from_millis(10) } else { Duration::from_secs(5) };
    assert!(flooded < quiet * 2 + hiccup, "p99 {flooded:?}, without strangers {quiet:?}");
    let sent = ring.finish().await;
    assert!(sent > 1_000, "{sent}");
    until("the strangers are gone", || broker.stats().connections == 0).await;
    assert_eq!(broker.stats().sessions, 0);
    assert_eq!(broker.stats().memory, 0);
    println!("{sent} messages of QoS 1 and 2, none lost");
}

/// A subscriber that reads a tenth of what is published for it, with the default limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_a_tenth_harms_nobody() {
    const SIZE: usize = 1_000;
    let _alone = ALONE.lock().await;
    let (time, is_long) = length();
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listening.local_addr();
    let ring = Ring::start(address, 20, Duration::from_millis(if is_long { 20 } else { 100 })).await;
    let url = format!("mqtt://{address}");

    // Reads so many bytes per second, and does not even look at them.
    let reads = if is_long { 2_000_000usize } else { 1_000_000 };
    let mut connect = v5("slow");
    // It says nothing for as long as the flood is.
    connect.keep_alive = 0;
    let slow = RawClient::connect(dial(&url, &ConnectOptions::new()).await, connect).await;
    let mut slow = slow;
    slow.subscribe("flood/0", QoS::AtMostOnce).await;
    slow.subscribe("flood/1", QoS::AtLeastOnce).await;
    let slow = tokio::spawn(async move {
        let mut read = 0u64;
        let mut ticks = interval(Duration::from_millis(10));
        let mut bytes = bytes::BytesMut::new();
        let mut owed = 0usize;
        loop {
            ticks.tick().await;
            owed += reads / 100;
            while owed > 0 {
                use mqttkit_broker_core::transport::LinkExt;
                let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(1), slow.link.recv(&mut bytes)).await
                else {
                    break;
                };
                bytes.clear();
                read += count as u64;
                owed = owed.saturating_sub(count);
            }
            if read == u64::MAX {
                return;
            }
        }
    });
    let mut flooder = RawClient::connect(dial(&url, &ConnectOptions::new()).await, v5("flooder")).await;

    sleep(time / 6).await;
    ring.p99();
    sleep(time / 3).await;
    let (_, quiet) = ring.p99();
    let before = (resident(), broker.stats());
    let (mut peak, mut accounted) = (0, 0);
    let started = Instant::now();
    let mut sent = 0usize;
    let mut ticks = interval(Duration::from_millis(5));
    let topics = [TopicName::try_from("flood/0").unwrap(), TopicName::try_from("flood/1").unwrap()];
    while started.elapsed() < time {
        ticks.tick().await;
        let due = usize::try_from(started.elapsed().as_millis()).unwrap() * (reads / 100) / SIZE;
        let now = flooder.now();
        while sent < due && flooder.connection.send_quota() > 0 {
            let (topic, qos) = (topics[sent % 2].clone(), [QoS::AtMostOnce, QoS::AtLeastOnce][sent % 2]);
            let message = Message::new(topic, vec![7; SIZE]).with_qos(qos);
            flooder.connection.publish(now, message).unwrap();
            sent += 1;
        }
        flooder.flush().await;
        while let Ok(event) = timeout(Duration::from_micros(100), flooder.event()).await {
            assert!(matches!(event, ClientEvent::Acknowledged { .. }), "{event:?}");
        }
        peak = peak.max(resident());
        accounted = accounted.max(broker.stats().memory);
    }
    let (count, flooded) = ring.p99();
    let stats = broker.stats();
    let dropped = stats.dropped;
    println!(
        "{sent} messages of {SIZE} bytes in {time:?}, a subscriber that reads {reads} bytes/s: dropped {dropped:?}; \
         resident {} MiB before and at most {} MiB, accounted at most {} of {} MiB; \
         others' p99 {flooded:?} of {count} messages, {quiet:?} before",
        mib(before.0),
        mib(peak),
        mib(accounted),
        mib(broker.config().max_memory),
    );
    let grown = peak.saturating_sub(before.0);
    assert!(grown <= accounted + (32 << 20), "grown by {} MiB, accounted {}", mib(grown), mib(accounted));
    assert!(grown < 96 << 20, "one slow subscriber costs {} MiB", mib(grown));
    assert!(dropped.slow_qos0 > 0, "{dropped:?}");
    assert_eq!(dropped.total(), dropped.slow_qos0 + dropped.slow, "by cause: {dropped:?}");
    let hiccup = if is_long { Duration::from_millis(10) } else { Duration::from_secs(5) };
    assert!(flooded < quiet * 2 + hiccup, "p99 {flooded:?}, without the flood {quiet:?}");
    ring.finish().await;
    slow.abort();
    let waiting = broker.clients().iter().map(|client| client.waiting as u64).sum::<u64>();
    println!("{waiting} messages wait");
}
