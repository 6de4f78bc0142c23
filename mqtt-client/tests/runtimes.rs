//! The client on runtimes other than tokio: connecting, keep-alive, reconnecting, the goodbye, with no tokio runtime there.
//!
//! The server is bytes written by hand on a blocking socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "smol", feature = "async-std"))]

use mqttkit_client::transport::{AsyncStdRuntime, Runtime, SmolRuntime};
use mqttkit_client::{Client, QoS, ReconnectPolicy, Version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// The next packet: its first byte and its body, which is shorter than 128 bytes.
fn packet(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(head[1])];
    socket.read_exact(&mut body).unwrap();
    (head[0], body)
}

/// An accepted CONNECT.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(packet(&mut socket).0, 0x10);
    socket.write_all(b"\x20\x02\0\0").unwrap();
    socket
}

fn serve(listener: &TcpListener) {
    // The connection ends before the message is acknowledged.
    let mut socket = accept(listener);
    let (first, body) = packet(&mut socket);
    assert_eq!(first, 0x32, "PUBLISH with QoS 1");
    drop(socket);
    // The client comes again by itself, with the message [MQTT-4.4.0-1].
    let mut socket = accept(listener);
    let (_, again) = packet(&mut socket);
    assert_eq!(again[..3], body[..3], "the same topic");
    let id = [again[3], again[4]];
    socket.write_all(&[0x40, 2, id[0], id[1]]).unwrap();
    // It has nothing to say for a second.
    assert_eq!(packet(&mut socket).0, 0xC0, "PINGREQ");
    socket.write_all(b"\xd0\0\x30\x05\0\x01ahi").unwrap();
    assert_eq!(packet(&mut socket).0, 0xE0, "DISCONNECT");
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
}

async fn works<R: Runtime>(runtime: R) {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://localhost:{}", listener.local_addr().unwrap().port());
    let server = thread::spawn(move || serve(&listener));

    let options = Client::builder(&url)
        .version(Version::V311)
        .keep_alive(Duration::from_secs(1))
        .reconnect(ReconnectPolicy::new(Duration::from_millis(50), Duration::from_millis(50)));
    let (client, mut messages) = options.connect_on(&runtime).await.unwrap();
    let ticket = client.publish("a", "x", QoS::AtLeastOnce).await.unwrap();
    ticket.await.unwrap();
    assert_eq!(messages.recv().await.unwrap().payload, "hi");
    client.disconnect().await.unwrap();
    joined(&runtime, server).await;
}

async fn joined<R: Runtime, T>(runtime: &R, thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

#[test]
fn on_smol() {
    block_on(works(SmolRuntime::new()));
}

#[test]
fn on_async_std() {
    block_on(works(AsyncStdRuntime::new()));
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
