//! What a runtime itself must do: time, tasks, names and sockets.

use crate::on::joined;
use crate::support::peer::LIMIT;
use futures_util::future::{join, join3, select};
use mqttkit_ws_transport::{ByteStream, ListenOptions, Listener, Runtime, Sleep, rt};
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(40);
const FOR_EVER: Duration = Duration::MAX;

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub async fn timers_end_in_their_order<R: Runtime>(runtime: R) {
    let order = Mutex::new(Vec::new());
    let began = (runtime.now(), Instant::now());
    let after = |n: u32| {
        let (runtime, order) = (&runtime, &order);
        async move {
            runtime.sleep(SHORT * n).await;
            order.lock().unwrap().push(n);
        }
    };
    join3(after(3), after(1), after(2)).await;
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    assert!(began.1.elapsed() + Duration::from_millis(2) >= SHORT * 3);
    assert!(runtime.now() >= began.0 + SHORT * 3);
    // The clock is the same for every clone.
    assert!(runtime.clone().now() >= began.0 + SHORT * 3);
    assert!(runtime.now() < began.0 + LIMIT);
}

pub async fn a_timer_can_be_reset_whenever<R: Runtime>(runtime: R) {
    // Before it was polled, to sooner; nothing ends too late or not at all.
    let mut sleep = runtime.sleep(FOR_EVER);
    sleep.reset(runtime.now() + SHORT);
    (&mut sleep).await;
    // An end that was reached stays reached.
    (&mut sleep).await;
    // After its end, to later.
    let again = runtime.now() + SHORT;
    sleep.reset(again);
    (&mut sleep).await;
    assert!(runtime.now() >= again);
    // While it is waited for: once to later, once to sooner. The waker is that of the last poll.
    let later = runtime.now() + SHORT * 3;
    sleep.reset(runtime.now() + SHORT);
    let mut helper = runtime.sleep(SHORT / 4);
    poll_fn(|cx| {
        assert!(pin!(&mut sleep).poll(cx).is_pending());
        pin!(&mut helper).poll(cx)
    })
    .await;
    sleep.reset(later);
    (&mut sleep).await;
    assert!(runtime.now() >= later);
    sleep.reset(FOR_EVER);
    let mut helper = runtime.sleep(SHORT / 4);
    poll_fn(|cx| {
        assert!(pin!(&mut sleep).poll(cx).is_pending());
        pin!(&mut helper).poll(cx)
    })
    .await;
    sleep.reset(runtime.now() + SHORT);
    (&mut sleep).await;
    // The past is over.
    sleep.reset(Duration::ZERO);
    (&mut sleep).await;
}

pub async fn a_timeout_drops_what_took_too_long<R: Runtime>(runtime: R) {
    struct Dropped<'a>(&'a AtomicBool);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = AtomicBool::new(false);
    let guard = Dropped(&dropped);
    let endless = async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    assert_eq!(rt::timeout(&runtime, SHORT, endless).await, Err(rt::Elapsed));
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(rt::timeout(&runtime, Duration::ZERO, async { 5 }).await, Ok(5), "what is ready is in time");
    assert_eq!(rt::timeout(&runtime, FOR_EVER, async { 5 }).await, Ok(5));
}

pub async fn tasks_run_in_the_background<R: Runtime>(runtime: R) {
    let ran = Arc::new(AtomicBool::new(false));
    let inner = runtime.clone();
    let flag = Arc::clone(&ran);
    runtime.spawn(async move {
        let innermost = inner.clone();
        inner.spawn(async move {
            innermost.sleep(SHORT / 4).await;
            flag.store(true, Ordering::Release);
        });
    });
    while !ran.load(Ordering::Acquire) {
        runtime.sleep(SHORT / 10).await;
    }
}

/// A resolver may take seconds; meanwhile every other task must run on.
pub async fn names_are_resolved_off_the_executor<R: Runtime>(runtime: R) {
    let addresses = runtime.resolve("localhost", 1883).await.unwrap();
    assert!(addresses.iter().any(|address| address.ip().is_loopback() && address.port() == 1883));
    assert!(runtime.resolve("no-such-host.invalid", 1883).await.is_err());
    // Somewhere else than here means that it is pending at first, unless the other thread is very quick.
    let mut pending = 0;
    for _ in 0..20 {
        let mut resolving = pin!(runtime.resolve("localhost", 1883));
        let mut first = true;
        poll_fn(|cx| {
            let result = resolving.as_mut().poll(cx);
            pending += u32::from(std::mem::replace(&mut first, false) && result.is_pending());
            result
        })
        .await
        .unwrap();
    }
    assert!(pending > 0);
}

pub async fn a_closed_port_refuses<R: Runtime>(runtime: R) {
    let listener = runtime.listen(any_port(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = runtime.connect(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

pub async fn a_listener_listens_again_at_once<R: Runtime>(runtime: R) {
    let options = ListenOptions::default();
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = runtime.listen(host.parse().unwrap(), &options).await else {
            assert_ne!(host, "127.0.0.1:0", "only IPv6 may be missing");
            continue;
        };
        let address = listener.local_addr().unwrap();
        let taken = runtime.listen(address, &options).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let client = runtime.connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        // The server ends first, so that its side of the address lingers in the system.
        drop(server);
        drop(listener);
        drop(client);
        runtime.listen(address, &options).await.unwrap();
    }
}

/// A listener whose queue is full: further connections are neither accepted nor refused.
pub struct Full {
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&any_port().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let (waiting, full) = fill(address, 100);
        assert!(full, "the queue never fills");
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// Opens connections until one has to wait, at most so many.
fn fill(address: SocketAddr, most: usize) -> (Vec<TcpStream>, bool) {
    let mut waiting = Vec::new();
    for _ in 0..most {
        match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => waiting.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return (waiting, true);
            }
        }
    }
    (waiting, false)
}

pub async fn the_backlog_is_obeyed<R: Runtime>(runtime: R) {
    let mut options = ListenOptions::default();
    options.backlog = 2;
    let listener = runtime.listen(any_port(), &options).await.unwrap();
    let (waiting, full) = fill(listener.local_addr().unwrap(), 20);
    assert!(full, "{} connections wait", waiting.len());
    options.backlog = 64;
    let listener = runtime.listen(any_port(), &options).await.unwrap();
    let (_, full) = fill(listener.local_addr().unwrap(), 20);
    assert!(!full);
}

pub async fn an_accept_can_be_dropped<R: Runtime>(runtime: R) {
    let listener = runtime.listen(any_port(), &ListenOptions::default()).await.unwrap();
    // Dropped while it waits, and again and again while a connection may be coming.
    rt::timeout(&runtime, SHORT, listener.accept()).await.unwrap_err();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.local_addr().unwrap()
    });
    let peer = loop {
        // One poll each, no more.
        let mut accepting = pin!(listener.accept());
        let polled = poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
        match polled {
            Poll::Ready(accepted) => break accepted.unwrap().1,
            Poll::Pending => runtime.sleep(Duration::from_millis(1)).await,
        }
        // Two polls: the second may accept.
        let mut accepting = pin!(listener.accept());
        let mut polls = 0;
        let accepted = poll_fn(|cx| {
            polls += 1;
            match accepting.as_mut().poll(cx) {
                Poll::Pending if polls == 1 => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                polled => Poll::Ready(polled),
            }
        })
        .await;
        if let Poll::Ready(accepted) = accepted {
            break accepted.unwrap().1;
        }
    };
    assert_eq!(peer, joined(&runtime, client).await, "nothing was accepted and lost");
}

pub async fn a_half_closed_socket_still_carries_the_other_half<R: Runtime>(runtime: R) {
    let listener = runtime.listen(any_port(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = join(runtime.connect(address), listener.accept()).await;
    let (mut client, (mut server, _)) = (client.unwrap(), accepted.unwrap());
    poll_fn(|cx| client.poll_write(cx, b"question")).await.unwrap();
    poll_fn(|cx| client.poll_shutdown(cx)).await.unwrap();
    assert_eq!(read_to_end(&mut server).await, b"question");
    let error = poll_fn(|cx| client.poll_write(cx, b"more")).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    poll_fn(|cx| server.poll_write(cx, b"answer")).await.unwrap();
    poll_fn(|cx| server.poll_shutdown(cx)).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"answer");
}

async fn read_to_end(stream: &mut impl ByteStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 64];
    loop {
        match poll_fn(|cx| stream.poll_read(cx, &mut buf)).await.unwrap() {
            0 => return all,
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

/// A peer that sends faster than it is read must not keep a thread to itself.
pub async fn a_flood_leaves_the_others_their_turn<R: Runtime>(runtime: R) {
    let listener = runtime.listen(any_port(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let flood = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        while !told.load(Ordering::Relaxed) && stream.write_all(&[7; 10_000]).is_ok() {}
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let reading = async {
        // Byte by byte, so that there is always more.
        while poll_fn(|cx| stream.poll_read(cx, &mut [0; 1])).await.unwrap() > 0 {}
    };
    // Both in one task: a read that is always ready would never let the timer be asked.
    let ticking = async {
        for _ in 0..3 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
    };
    select(pin!(reading), pin!(ticking)).await;
    stop.store(true, Ordering::Relaxed);
    drop(stream);
    joined(&runtime, flood).await;
}

pub async fn slices_are_written_in_order<R: Runtime>(runtime: R) {
    let listener = runtime.listen(any_port(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        TcpStream::connect(address).unwrap().read_to_end(&mut all).unwrap();
        all
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(stream.is_write_vectored());
    let slices = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
    assert_eq!(poll_fn(|cx| stream.poll_write_vectored(cx, &slices)).await.unwrap(), 13);
    poll_fn(|cx| stream.poll_shutdown(cx)).await.unwrap();
    assert_eq!(joined(&runtime, reading).await, b"one two three");
}
