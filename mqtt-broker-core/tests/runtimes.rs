//! The broker on runtimes other than tokio: listeners, timers and the shutdown, with no tokio runtime there.
//!
//! The client is bytes written by hand on a blocking socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "smol", feature = "async-std"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use mqttkit_broker_core::transport::{AsyncStdRuntime, Runtime, SmolRuntime};
use mqttkit_broker_core::{Broker, Listen};

/// MQTT 3.1.1, a clean session, client identifier "c", keep alive of one second.
const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x01\0\x01c";

fn client(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(CONNECT).unwrap();
    expect(&mut socket, b"\x20\x02\0\0");
    socket
}

fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    socket.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

async fn serves<R: Runtime>(runtime: R) {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let broker = Broker::builder().build_with(runtime.clone());
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listening.local_addr();

    let talking = thread::spawn(move || {
        let mut socket = client(address);
        // SUBSCRIBE to "a" at QoS 1, then PUBLISH to it, which comes back and is acknowledged, in whichever order.
        socket.write_all(b"\x82\x06\0\x01\0\x01a\x01").unwrap();
        expect(&mut socket, b"\x90\x03\0\x01\x01");
        socket.write_all(b"\x30\x05\0\x01ahi").unwrap();
        expect(&mut socket, b"\x30\x05\0\x01ahi");
        socket.write_all(b"\xe0\0").unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    });
    joined(&runtime, talking).await;

    // A timer: who says nothing for one and a half times its keep alive is cut off [MQTT-3.1.2-24].
    let silent = thread::spawn(move || {
        let began = Instant::now();
        assert_eq!(client(address).read(&mut [0]).unwrap(), 0);
        began.elapsed()
    });
    assert!(joined(&runtime, silent).await >= Duration::from_millis(1_400));

    let (tell, told) = channel();
    let staying = thread::spawn(move || {
        let mut socket = client(address);
        tell.send(()).unwrap();
        // Pinging until the broker goes.
        while socket.write_all(b"\xc0\0").is_ok() && matches!(socket.read(&mut [0; 2]), Ok(n) if n > 0) {}
    });
    while told.try_recv().is_err() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    assert!(broker.shutdown(Duration::from_secs(10)).await);
    joined(&runtime, staying).await;
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

async fn joined<R: Runtime, T>(runtime: &R, thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

#[test]
fn on_smol() {
    block_on(serves(SmolRuntime::new()));
}

#[test]
fn on_async_std() {
    block_on(serves(AsyncStdRuntime::new()));
}

/// The smallest executor; both runtimes have threads of their own for tasks and sockets.
fn block_on<F: Future>(future: F) -> F::Output {
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
        thread::park_timeout(Duration::from_secs(60));
    }
}
