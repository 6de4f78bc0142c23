//! The client over a Unix socket, on each runtime that has them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "smol", feature = "async-std"))]

mod support;

use mqttkit_client::transport::{AsyncStdRuntime, SmolRuntime, TokioRuntime, UnixSockets};
use mqttkit_client::{Client, ConnectError, QoS, Version};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;
use support::soon;

struct Socket(PathBuf);

impl Socket {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mqttkit-client-{name}-{}.sock", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Accepts, acknowledges one message of QoS 1, and waits for DISCONNECT; all by hand.
fn serve(listener: &UnixListener) {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut packet = || {
        let mut head = [0; 2];
        socket.read_exact(&mut head).unwrap();
        let mut body = vec![0; usize::from(head[1])];
        socket.read_exact(&mut body).unwrap();
        let answer: &[u8] = match head[0] {
            0x10 => b"\x20\x02\0\0",
            0x32 => b"\x40\x02\0\x01",
            _ => b"",
        };
        socket.write_all(answer).unwrap();
        head[0]
    };
    assert_eq!([packet(), packet(), packet()], [0x10, 0x32, 0xE0]);
}

async fn works<R: UnixSockets>(runtime: R, name: &str) {
    let socket = Socket::new(name);
    let options = Client::builder("mqtt://localhost").version(Version::V311);
    let missing = options.clone().connect_unix_on(&runtime, &socket.0).await.unwrap_err();
    assert!(matches!(&missing, ConnectError::Unix { path, .. } if *path == socket.0), "{missing:?}");
    assert!(missing.hint().unwrap().contains("no such file"));
    let listener = UnixListener::bind(&socket.0).unwrap();
    let server = std::thread::spawn(move || serve(&listener));
    let (client, _messages) = options.connect_unix_on(&runtime, &socket.0).await.unwrap();
    client.publish("a", "x", QoS::AtLeastOnce).await.unwrap().await.unwrap();
    client.disconnect().await.unwrap();
    while !server.is_finished() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    server.join().unwrap();
}

#[tokio::test]
async fn on_tokio() {
    soon("the conversation", works(TokioRuntime::new(), "tokio")).await;
}

// The sockets and timers of async-io need no runtime around them; the tasks have threads of their own.
#[tokio::test]
async fn on_smol() {
    soon("the conversation", works(SmolRuntime::new(), "smol")).await;
}

#[tokio::test]
async fn on_async_std() {
    soon("the conversation", works(AsyncStdRuntime::new(), "async-std")).await;
}
