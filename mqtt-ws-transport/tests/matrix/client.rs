//! Our client on the runtime, against a server without a line of ours.

use crate::on::{joined, tls};
use crate::support::bodies::{HELLO, SIZES, exchange, recv_all};
use crate::support::peer::{self, Peer};
use crate::support::{Noise, recv_exact};
use bytes::BytesMut;
use mqttkit_ws_transport::{
    ClientLink, ConnectError, ConnectOptions, Endpoint, LinkExt, Phase, Runtime, Scheme, connect, rt,
};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

fn endpoint(scheme: Scheme, address: SocketAddr) -> Endpoint {
    format!("{scheme}://localhost:{}", address.port()).parse().unwrap()
}

fn serve<T: Send + 'static>(
    scheme: Scheme,
    conduct: impl FnOnce(Peer) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    peer::serve_peer(scheme, tls().server.clone(), conduct)
}

async fn open<R: Runtime>(runtime: &R, scheme: Scheme, address: SocketAddr) -> ClientLink<R> {
    let mut link = connect(runtime, &endpoint(scheme, address), &tls().connect).await.unwrap();
    link.send_all(&mut &HELLO[..]).await.unwrap();
    assert_eq!(recv_exact(&mut link, HELLO.len()).await, HELLO);
    link
}

pub async fn every_size_comes_back<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = serve(scheme, Peer::echo);
    let mut link = open(&runtime, scheme, address).await;
    for size in SIZES {
        exchange(&mut link, &Noise::new(size as u64).bytes(size), 1).await;
    }
    link.finish().await.unwrap();
    joined(&runtime, server).await;
}

pub async fn what_is_sent_at_once_comes_back<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = serve(scheme, Peer::echo);
    let mut link = open(&runtime, scheme, address).await;
    let data = Noise::new(7).bytes(1_500_000);
    for seed in 0..2 {
        exchange(&mut link, &data, seed).await;
    }
    link.finish().await.unwrap();
    joined(&runtime, server).await;
}

pub async fn we_close<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = serve(scheme, |mut peer| {
        let got = peer.recv_all();
        let code = peer.code();
        peer.close();
        (got, code)
    });
    let mut link = open(&runtime, scheme, address).await;
    link.send_all(&mut &b"the last words"[..]).await.unwrap();
    link.finish().await.unwrap();
    drop(link);
    let (got, code) = joined(&runtime, server).await;
    assert_eq!(got, b"the last words");
    assert_eq!(code, scheme.is_websocket().then_some(1000));
}

pub async fn the_peer_closes<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = serve(scheme, |mut peer| {
        peer.recv_exact(2);
        peer.send(b"the last words");
        // Returns once our side has said goodbye, too.
        peer.close();
    });
    let mut link = open(&runtime, scheme, address).await;
    link.send_all(&mut &b"go"[..]).await.unwrap();
    assert_eq!(recv_all(&mut link).await, b"the last words");
    link.finish().await.unwrap();
    joined(&runtime, server).await;
}

/// Over TCP alone the silence is a connection that nobody accepts, otherwise a handshake that nobody answers.
pub async fn a_silent_peer_is_given_up<R: Runtime>(runtime: R, scheme: Scheme) {
    let limit = Duration::from_millis(300);
    let options = tls().connect.clone().timeout(limit);
    let began = Instant::now();
    let (expected, error) = if scheme == Scheme::Tcp {
        let full = super::runtime::Full::new();
        (Phase::Tcp, connect(&runtime, &endpoint(scheme, full.address), &options).await.unwrap_err())
    } else {
        // The server sees what was begun, and then the end of it.
        let (address, server) = peer::serve(|mut socket| socket.read_to_end(&mut Vec::new()).unwrap());
        let error = connect(&runtime, &endpoint(scheme, address), &options).await.unwrap_err();
        assert!(joined(&runtime, server).await > 0);
        (if scheme.is_tls() { Phase::Tls } else { Phase::WebSocket }, error)
    };
    assert!(began.elapsed() >= limit);
    match error {
        ConnectError::TimedOut { phase, after } => assert_eq!((phase, after), (expected, limit)),
        other => panic!("{other:?}"),
    }
}

pub async fn a_peer_that_leaves_is_an_error<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = peer::serve(|mut socket| {
        // Not before it has heard something, or the kernel would say "reset".
        let heard = socket.read(&mut [0; 10]).unwrap();
        assert!(heard > 0);
    });
    let result = connect(&runtime, &endpoint(scheme, address), &options_in_time()).await;
    if scheme == Scheme::Tcp {
        let mut link = result.unwrap();
        link.send_all(&mut &b"hello"[..]).await.unwrap();
        assert_eq!(recv_all(&mut link).await, b"");
    } else {
        let error = result.unwrap_err();
        assert!(!matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    }
    joined(&runtime, server).await;
}

pub async fn a_peer_that_speaks_something_else_is_an_error<R: Runtime>(runtime: R, scheme: Scheme) {
    const WORDS: &[u8] = b"220 mail.example ESMTP at your service\r\n\r\n";
    let (address, server) = peer::serve(|mut socket| {
        socket.write_all(WORDS).unwrap();
        socket.read_to_end(&mut Vec::new()).ok();
    });
    let result = connect(&runtime, &endpoint(scheme, address), &options_in_time()).await;
    if scheme == Scheme::Tcp {
        // TCP carries anything; that it is no MQTT is for the decoder to say.
        assert_eq!(recv_exact(&mut result.unwrap(), WORDS.len()).await, WORDS);
    } else {
        let error = result.unwrap_err();
        assert!(!matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    }
    joined(&runtime, server).await;
}

pub async fn a_dropped_attempt_lets_go_of_the_socket<R: Runtime>(runtime: R, scheme: Scheme) {
    let (address, server) = peer::serve(|mut socket| socket.read_to_end(&mut Vec::new()).is_ok());
    let endpoint = endpoint(scheme, address);
    let options = tls().connect.clone();
    let attempt = async {
        let mut link = connect(&runtime, &endpoint, &options).await.unwrap();
        // Over TCP alone there is no handshake to wait in.
        link.recv(&mut BytesMut::new()).await.unwrap();
    };
    rt::timeout(&runtime, Duration::from_millis(100), attempt).await.unwrap_err();
    // The server's side returns for this reason only.
    assert!(joined(&runtime, server).await);
}

fn options_in_time() -> ConnectOptions {
    tls().connect.clone().timeout(Duration::from_secs(30))
}
