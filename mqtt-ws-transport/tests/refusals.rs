//! What a client gets from servers that are not what it thinks: typed errors with a hint.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use mqttkit_ws_transport::http::header::{AUTHORIZATION, HOST, HeaderValue};
use mqttkit_ws_transport::ws::HandshakeError;
use mqttkit_ws_transport::{
    AcceptOptions, ConnectError, ConnectOptions, Endpoint, Phase, Scheme, TokioRuntime, connect,
};
use std::io;
use std::time::Duration;
use support::EchoServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn connect_to(url: &str, options: &ConnectOptions) -> Result<(), ConnectError> {
    let endpoint: Endpoint = url.parse().unwrap();
    connect(&TokioRuntime::new(), &endpoint, options).await.map(drop)
}

/// A server that reads a request head and answers with `answer`; it stays open when `stay`.
async fn server(answer: impl Into<String>, stay: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/mqtt", listener.local_addr().unwrap());
    let answer = answer.into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let key = String::from_utf8(request).unwrap();
        let key = key.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        stream.write_all(answer.replace("{accept}", &accept).as_bytes()).await.unwrap();
        if stay {
            let _ = stream.read(&mut [0]).await;
        }
    });
    url
}

async fn refused_by(answer: &str, stay: bool) -> HandshakeError {
    match connect_to(&server(answer, stay).await, &ConnectOptions::new()).await {
        Err(ConnectError::WebSocket(error)) => {
            assert!(!error.hint().is_empty());
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn our_own_refusals_arrive_with_their_sentence() {
    let server = EchoServer::start(Scheme::Ws, AcceptOptions::new()).await;
    let error = connect_to(&format!("{}/ws", server.url()), &ConnectOptions::new()).await.unwrap_err();
    let port = server.address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "the server refused the WebSocket upgrade with 404 Not Found: \
             No MQTT endpoint at /ws. Connect to ws://localhost:{port}/mqtt"
        )
    );
    let options = ConnectOptions::new().protocols(["chat"]);
    match connect_to(&server.url(), &options).await.unwrap_err() {
        ConnectError::WebSocket(HandshakeError::Refused { status, line, .. }) => {
            assert_eq!(status.as_u16(), 400);
            assert!(line.contains("offer the WebSocket sub-protocol `mqtt`"), "{line}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refusals_of_others_are_typed() {
    let error =
        refused_by("HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\n\r\n go away\nxx", true).await;
    assert!(
        matches!(&error, HandshakeError::Refused { status, line, .. } if status.as_u16() == 401 && line == "go away"),
        "{error:?}"
    );
    let error =
        refused_by("HTTP/1.1 302 Found\r\nLocation: https://x/login\r\nContent-Length: 0\r\n\r\n", true)
            .await;
    assert!(matches!(&error, HandshakeError::Refused { location: Some(to), .. } if to == "https://x/login"));
    assert!(error.hint().contains("https://x/login"));
    let chunked =
        "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nno upstream\r\n0\r\n\r\n";
    let error = refused_by(chunked, true).await;
    assert!(matches!(&error, HandshakeError::Refused { line, .. } if line == "no upstream"), "{error:?}");
    let error = refused_by("HTTP/1.0 200 OK\r\n\r\n<html>", false).await;
    assert!(
        matches!(&error, HandshakeError::Refused { status, line, .. } if status.as_u16() == 200 && line == "<html>")
    );
}

/// The status is known; a body that was promised and never comes must not cost the whole deadline.
#[tokio::test]
async fn a_refusal_without_its_body_does_not_wait() {
    let began = std::time::Instant::now();
    let error = refused_by("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n", true).await;
    assert!(matches!(&error, HandshakeError::Refused { status, .. } if status.as_u16() == 503));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn wrong_upgrades_are_refused() {
    let head = "HTTP/1.1 101 Switching Protocols\r\n";
    let good = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: {accept}\r\n";
    let protocol = "Sec-WebSocket-Protocol: mqtt\r\n";
    connect_to(&server(format!("{head}{good}{protocol}\r\n"), true).await, &ConnectOptions::new())
        .await
        .unwrap();

    let error = refused_by(&format!("{head}{good}\r\n"), true).await;
    assert!(matches!(error, HandshakeError::Subprotocol { chosen: None }));
    let error = refused_by(&format!("{head}{good}Sec-WebSocket-Protocol: chat\r\n\r\n"), true).await;
    assert!(matches!(error, HandshakeError::Subprotocol { chosen: Some(chosen) } if chosen == "chat"));
    for wrong in [
        format!("{head}{protocol}{}\r\n", good.replace("{accept}", "AAAA")),
        format!("{head}{protocol}{}\r\n", good.replace("Upgrade: WebSocket\r\n", "")),
        format!("{head}{protocol}{good}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    ] {
        let error = refused_by(&wrong, true).await;
        assert!(matches!(error, HandshakeError::NotWebSocket(_)), "{wrong}: {error:?}");
    }
}

#[tokio::test]
async fn servers_that_are_none_are_named() {
    assert!(matches!(refused_by("", false).await, HandshakeError::Ended { received: 0 }));
    assert!(matches!(refused_by("HTTP/1.1 1", false).await, HandshakeError::Ended { received: 10 }));
    assert!(matches!(refused_by("\x20\x02\x00\x01", true).await, HandshakeError::NotHttp { .. }));
    let error = refused_by("\x15\x03\x01\x00\x02\x02\x16", true).await;
    assert!(error.hint().contains("wss://"), "{}", error.hint());
    let endless = format!("HTTP/1.1 101 x\r\nA: {}", "x".repeat(20_000));
    assert!(matches!(refused_by(&endless, true).await, HandshakeError::Malformed));
}

#[tokio::test]
async fn headers_are_sent_and_the_handshakes_own_are_protected() {
    let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new()).await;
    let options = ConnectOptions::new().header(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    connect_to(&format!("{}/mqtt?a=ä%20b", server.url()), &options).await.unwrap();
    let upgrade = server.link().await.upgrade.unwrap();
    assert_eq!(upgrade.header("authorization"), Some("Bearer x"));
    assert_eq!(upgrade.query(), Some("a=%C3%A4%20b"));
    assert_eq!(upgrade.header("host"), Some(format!("localhost:{}", server.address.port()).as_str()));

    let options = ConnectOptions::new().header(HOST, HeaderValue::from_static("x"));
    let error = connect_to(&server.url(), &options).await.unwrap_err();
    assert!(matches!(error, ConnectError::WebSocket(HandshakeError::BadHeader { name }) if name == HOST));
}

#[tokio::test]
async fn a_closed_port_is_refused_and_every_address_is_named() {
    // Bound and dropped: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    match connect_to(&format!("mqtt://127.0.0.1:{port}"), &ConnectOptions::new()).await.unwrap_err() {
        ConnectError::Tcp { attempts } => {
            assert_eq!(attempts.len(), 1);
            assert_eq!(attempts[0].0.port(), port);
            assert_eq!(attempts[0].1.kind(), io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    match connect_to("mqtt://no-such-host.invalid", &ConnectOptions::new()).await.unwrap_err() {
        ConnectError::Resolve { host, .. } => assert_eq!(host, "no-such-host.invalid"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_all_and_names_the_step() {
    // It accepts, since the system does, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ConnectOptions::new().timeout(Duration::from_secs(7));
    let began = tokio::time::Instant::now();
    match connect_to(&format!("ws://127.0.0.1:{port}"), &options).await.unwrap_err() {
        ConnectError::TimedOut { phase: Phase::WebSocket, after } => assert_eq!(after.as_secs(), 7),
        // The paused clock may run while the system still connects.
        ConnectError::TimedOut { phase: Phase::Tcp, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(began.elapsed().as_secs(), 7);
}
