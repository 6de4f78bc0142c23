//! Ten thousand clients that begin a handshake and say no more: a good one comes in meanwhile, and they are gone when
//! the deadline is over.
//!
//! The clients live in a process of their own, so that each side has all the descriptors that one process may have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "tokio", feature = "aws-lc-rs"))]

use mqttkit_ws_transport::tls::{ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ConnectOptions, Endpoint, LinkExt, ListenOptions, Listener, Runtime,
    Scheme, TokioRuntime, connect,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WANTED: usize = 10_000;
/// For the good client, the runtime and the test program itself.
const RESERVE: usize = 500;
const DEADLINE: Duration = Duration::from_secs(8);
const WITHIN: Duration = Duration::from_millis(50);

/// How a half-open client begins: silence, half a request, half a TLS hello, half a CONNECT.
const BEGINNINGS: [&[u8]; 4] =
    [b"", b"GET /mqtt HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"\x10\x0c\0"];

/// Raises the limit of descriptors as far as the system lets us, and says how many clients that allows.
fn clients() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
    let allowed = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
    WANTED.min(allowed.saturating_sub(RESERVE))
}

/// The process of the clients: opens them, says so, and on a line of input tells how many have been closed.
#[test]
#[ignore = "a part of the other test, which runs it in a process of its own"]
fn flood() {
    let Ok(target) = std::env::var("HALF_OPEN_TARGET") else { return };
    let target: SocketAddr = target.parse().unwrap();
    let sockets: Vec<TcpStream> = (0..clients())
        .map(|i| {
            let mut socket = TcpStream::connect(target).unwrap();
            socket.write_all(BEGINNINGS[i % BEGINNINGS.len()]).unwrap();
            socket
        })
        .collect();
    // The test harness has begun this line.
    println!("\nopen {}", sockets.len());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let closed = sockets.iter().filter(|socket| is_closed(socket)).count();
    println!("\nclosed {closed}");
}

/// Nothing more comes, and soon: an answer may come before the end.
fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buf = [0; 1024];
    loop {
        match socket.read(&mut buf) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

struct Flood {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Flood {
    fn start(target: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["flood", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("HALF_OPEN_TARGET", target.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn number_after(&mut self, word: &str) -> usize {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the clients are gone");
            if let Some(number) = line.trim().strip_prefix(word) {
                return number.trim().parse().unwrap();
            }
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_do_not_keep_a_good_client_out_and_are_gone_after_the_deadline() {
    clients();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = ServerTls::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).build().unwrap();
    let runtime = TokioRuntime::new();
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = Acceptor::any(runtime, AcceptOptions::new().handshake_timeout(DEADLINE).tls(tls));
    let shaking = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&shaking);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let (acceptor, shaking) = (acceptor.clone(), Arc::clone(&counter));
            shaking.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let accepted = acceptor.accept(stream, Some(peer)).await;
                shaking.fetch_sub(1, Ordering::SeqCst);
                if let Ok(Accepted::Link(mut link, _)) = accepted {
                    let mut bytes = bytes::BytesMut::new();
                    while link.recv(&mut bytes).await.is_ok_and(|n| n > 0) {
                        link.send_all(&mut bytes).await.ok();
                    }
                    link.finish().await.ok();
                }
            });
        }
    });

    let began = Instant::now();
    let mut flood = Flood::start(address);
    let (count, mut flood) =
        tokio::task::spawn_blocking(move || (flood.number_after("open"), flood)).await.unwrap();
    assert!(count > 1_000, "only {count} descriptors are allowed: this shows nothing");
    // The last of them may still be in the backlog.
    until(|| shaking.load(Ordering::SeqCst) >= count, DEADLINE).await;
    println!("{count} half-open handshakes after {:?}", began.elapsed());

    let tls = ClientTls::new().only_given_cas().ca_pem(made.cert.pem()).build().unwrap();
    let options = ConnectOptions::new().tls(tls);
    for scheme in Scheme::ALL {
        let endpoint: Endpoint = format!("{scheme}://localhost:{}", address.port()).parse().unwrap();
        let mut times = Vec::new();
        for _ in 0..15 {
            let began = Instant::now();
            let mut link = connect(&runtime, &endpoint, &options).await.unwrap();
            let hello = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
            link.send_all(&mut &hello[..]).await.unwrap();
            let mut back = bytes::BytesMut::new();
            while back.len() < hello.len() {
                assert!(link.recv(&mut back).await.unwrap() > 0);
            }
            times.push(began.elapsed());
            link.finish().await.ok();
        }
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{scheme}: connected and echoed in {median:?} (median), {worst:?} (worst)");
        // The median: on a machine that does other things, one of fifteen may be late for reasons of its own.
        assert!(median < WITHIN, "{scheme} took {median:?}");
    }
    let still = shaking.load(Ordering::SeqCst);
    assert!(still >= count, "the flood was over too soon to show anything: {still} of {count}");

    // One second is for those who get a 408 and do not take leave; the rest is for a busy machine.
    until(|| shaking.load(Ordering::SeqCst) == 0, DEADLINE + Duration::from_secs(4)).await;
    println!("all gone {:?} after the first came, with a deadline of {DEADLINE:?}", began.elapsed());
    let closed = tokio::task::spawn_blocking(move || {
        flood.stdin.write_all(b"\n").unwrap();
        flood.stdin.flush().unwrap();
        flood.number_after("closed")
    });
    assert_eq!(closed.await.unwrap(), count);
}

async fn until(done: impl Fn() -> bool, limit: Duration) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "it did not happen within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
