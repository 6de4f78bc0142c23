//! Keep-alive of a WebSocket, both sides, in simulated time: who is asked when, and what becomes of one who is silent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::BytesMut;
use mqttkit_ws_transport::ws::{KeepAlive, WsFrames, WsLimits, WsLink, WsRole};
use mqttkit_ws_transport::{ByteStream, LinkError, LinkExt, MemoryStream, TokioRuntime};
use std::future::poll_fn;
use std::time::Duration;
use support::raw::{BINARY, PING, PONG, frame};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A link that keeps alive, and the raw stream of its peer.
fn pair(role: WsRole, keep_alive: Option<KeepAlive>) -> (WsLink<MemoryStream>, MemoryStream) {
    let (near, far) = MemoryStream::pair(64 * 1024);
    let frames = WsFrames::new(near, role, Vec::new(), WsLimits::default());
    let frames = match keep_alive {
        Some(keep_alive) => frames.keep_alive(&TokioRuntime::new(), keep_alive, "203.0.113.9:4711"),
        None => frames,
    };
    (WsLink::new(frames), far)
}

async fn read(stream: &mut MemoryStream) -> Vec<u8> {
    let mut buf = [0; 256];
    let n = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await.unwrap();
    buf[..n].to_vec()
}

async fn write(stream: &mut MemoryStream, data: &[u8]) {
    let n = poll_fn(|cx| stream.poll_write(cx, data)).await.unwrap();
    assert_eq!(n, data.len());
}

/// Receives in the background until the link ends.
fn receive(mut link: WsLink<MemoryStream>) -> tokio::task::JoinHandle<(Result<usize, LinkError>, Duration)> {
    tokio::spawn(async move {
        let began = Instant::now();
        let mut buf = BytesMut::new();
        loop {
            match link.recv(&mut buf).await {
                Ok(n) if n > 0 => {}
                result => return (result, began.elapsed()),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_once_and_then_given_up_by_name() {
    for role in [WsRole::Server, WsRole::Client] {
        let keep_alive = KeepAlive::every(20 * SECOND).pong_within(7 * SECOND);
        let (link, mut peer) = pair(role, Some(keep_alive));
        let began = Instant::now();
        let ended = receive(link);
        let ping = read(&mut peer).await;
        assert_eq!(ping[0], 0x80 | PING);
        assert_eq!(began.elapsed().as_secs(), 10, "within the interval");
        // Behind it only the close frame comes.
        assert_eq!(read(&mut peer).await[0], 0x88);
        let (result, after) = ended.await.unwrap();
        assert_eq!(after.as_secs(), 17);
        match result.unwrap_err() {
            error @ LinkError::PeerSilent { .. } => {
                assert_eq!(error.to_string(), "203.0.113.9:4711 has been silent for 7s after a ping");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_asked_in_every_interval_and_kept() {
    let keep_alive = KeepAlive::every(20 * SECOND).pong_within(7 * SECOND);
    let (link, mut peer) = pair(WsRole::Server, Some(keep_alive));
    let ended = receive(link);
    read(&mut peer).await;
    let mut last = Instant::now();
    for _ in 0..100 {
        write(&mut peer, &frame(true, PONG, b"mqtt")).await;
        assert_eq!(read(&mut peer).await[0], 0x80 | PING);
        assert_eq!(last.elapsed().as_secs(), 20, "no direction is silent for longer than the interval");
        last = Instant::now();
    }
    drop(peer);
    assert!(matches!(ended.await.unwrap().0, Err(LinkError::ClosedAbruptly)));
}

/// Any received byte counts as life: even of a frame that is not complete, and without any pong.
#[tokio::test(start_paused = true)]
async fn any_byte_is_life() {
    let keep_alive = KeepAlive::every(20 * SECOND).pong_within(7 * SECOND);
    let (link, mut peer) = pair(WsRole::Server, Some(keep_alive));
    let ended = receive(link);
    let long = frame(true, BINARY, &[0; 120]);
    for byte in &long[..100] {
        tokio::time::sleep(5 * SECOND).await;
        write(&mut peer, &[*byte]).await;
        assert!(!ended.is_finished());
    }
}

/// Who sends and receives all the time is not asked; who only receives must be, since a proxy may watch one direction.
#[tokio::test(start_paused = true)]
async fn busy_links_do_not_ping() {
    let keep_alive = KeepAlive::every(20 * SECOND).pong_within(7 * SECOND);
    let (mut link, mut peer) = pair(WsRole::Server, Some(keep_alive));
    let mut buf = BytesMut::new();
    for _ in 0..100 {
        write(&mut peer, &frame(true, BINARY, b"x")).await;
        // As in a broker: receiving is polled until nothing is left.
        while timeout(3 * SECOND, link.recv(&mut buf)).await.is_ok() {}
        link.send_all(&mut &b"y"[..]).await.unwrap();
        assert_eq!(read(&mut peer).await, [0x82, 1, b'y']);
    }
    let mut pings = 0;
    for _ in 0..40 {
        write(&mut peer, &frame(true, BINARY, b"x")).await;
        while timeout(3 * SECOND, link.recv(&mut buf)).await.is_ok() {}
        while timeout(Duration::ZERO, poll_fn(|cx| peer.poll_read(cx, &mut [0; 64]))).await.is_ok() {
            pings += 1;
        }
    }
    assert!((6..=12).contains(&pings), "{pings} pings in 120 s in which only the peer sent");
}

/// A program that was busy elsewhere finds the pong in the socket before it judges.
#[tokio::test(start_paused = true)]
async fn a_late_look_does_not_condemn() {
    let keep_alive = KeepAlive::every(20 * SECOND).pong_within(7 * SECOND);
    let (mut link, mut peer) = pair(WsRole::Server, Some(keep_alive));
    let mut buf = BytesMut::new();
    assert!(timeout(11 * SECOND, link.recv(&mut buf)).await.is_err());
    read(&mut peer).await;
    write(&mut peer, &frame(true, PONG, b"mqtt")).await;
    tokio::time::sleep(100 * SECOND).await;
    assert!(timeout(SECOND, link.recv(&mut buf)).await.is_err(), "still open");
}

#[tokio::test(start_paused = true)]
async fn none_is_asked_when_it_is_off() {
    let (link, mut peer) = pair(WsRole::Server, None);
    let ended = receive(link);
    assert!(timeout(10_000 * SECOND, read(&mut peer)).await.is_err());
    assert!(!ended.is_finished());
}

/// The defaults of both options: asked within 30 s, so that the usual 60 s of proxies are never reached.
#[tokio::test(start_paused = true)]
async fn both_sides_ask_by_default_and_by_option() {
    use mqttkit_ws_transport::{
        AcceptOptions, Accepted, Acceptor, ConnectOptions, Endpoint, Scheme, connect_over,
    };
    let endpoint: Endpoint = "ws://broker.example/mqtt".parse().unwrap();
    let quick = KeepAlive::every(4 * SECOND).pong_within(SECOND);
    for (client, server, expected) in [
        (
            ConnectOptions::new(),
            AcceptOptions::new().keep_alive(None),
            "broker.example has been silent for 15s after a ping",
        ),
        (
            ConnectOptions::new().keep_alive(quick),
            AcceptOptions::new().keep_alive(None),
            "broker.example has been silent for 1s after a ping",
        ),
        (
            ConnectOptions::new().keep_alive(None),
            AcceptOptions::new(),
            "203.0.113.9:5 has been silent for 15s after a ping",
        ),
        (
            ConnectOptions::new().keep_alive(None),
            AcceptOptions::new().keep_alive(quick),
            "203.0.113.9:5 has been silent for 1s after a ping",
        ),
    ] {
        let client_asks = expected.starts_with("broker");
        let (near, far) = MemoryStream::pair(4096);
        let runtime = TokioRuntime::new();
        let acceptor = Acceptor::new(runtime, Scheme::Ws, server).unwrap();
        let accepting =
            tokio::spawn(async move { acceptor.accept(far, Some("203.0.113.9:5".parse().unwrap())).await });
        let mut client = connect_over(&runtime, near, &endpoint, &client).await.unwrap();
        let Ok(Accepted::Link(mut server, _)) = accepting.await.unwrap() else { panic!("no link") };
        // The other side is open and does nothing, as if its network were gone.
        let began = Instant::now();
        let mut buf = BytesMut::new();
        let result = if client_asks { client.recv(&mut buf).await } else { server.recv(&mut buf).await };
        assert_eq!(result.unwrap_err().to_string(), expected);
        assert!(began.elapsed() < 60 * SECOND);
    }
}
