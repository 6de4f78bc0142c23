//! What an HTTP client gets from a WebSocket listener, word for word.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::Bytes;
use mqttkit_ws_transport::http::{Response, StatusCode};
use mqttkit_ws_transport::ws::UpgradeError;
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Accepted, Acceptor, MemoryStream, Scheme, TokioRuntime,
};
use std::time::Duration;
use support::EchoServer;
use support::raw::{KEY, RawPeer, upgrade};
use tokio::io::AsyncWriteExt;

async fn server() -> EchoServer {
    EchoServer::start(Scheme::Ws, AcceptOptions::new()).await
}

async fn refusal(request: &str) -> (String, UpgradeError) {
    let mut server = server().await;
    let answer = RawPeer::ask(server.address, request).await;
    match server.refused().await {
        AcceptError::Upgrade(error) => (answer, error),
        other => panic!("{other:?}"),
    }
}

/// Status line, headers and body of an answer of ours.
fn answer(status: &str, extra: &str, body: &str) -> String {
    let upgrade = if extra.contains("upgrade: ") { "Upgrade, " } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nConnection: {upgrade}close\r\nContent-Length: {}\r\n\
         content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n{extra}\r\n{body}\n",
        body.len() + 1
    )
}

#[tokio::test]
async fn the_upgrade_is_answered_exactly() {
    let server = server().await;
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(upgrade("/mqtt")).await;
    // The accept value is the example of RFC 6455 section 1.3.
    assert_eq!(
        peer.read_head().await,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[tokio::test]
async fn a_wrong_path_is_told_the_right_one() {
    let (text, error) = refusal(&upgrade("/foo?x=1")).await;
    let body = "No MQTT endpoint at /foo. Connect to ws://broker.example:8083/mqtt";
    assert_eq!(text, answer("404 Not Found", "", body));
    assert!(matches!(error, UpgradeError::NotFound { path } if path == "/foo"));
    let (text, _) = refusal("GET /foo HTTP/1.1\r\n\r\n").await;
    assert_eq!(text, answer("404 Not Found", "", "No MQTT endpoint at /foo. Connect to ws://<host>/mqtt"));
}

#[tokio::test]
async fn a_page_visit_on_the_mqtt_path_is_told_what_it_is() {
    let (text, error) = refusal("GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let body =
        "This is an MQTT endpoint, not a page. Connect to ws://h/mqtt with an MQTT client over WebSocket.";
    assert_eq!(text, answer("426 Upgrade Required", "upgrade: websocket\r\n", body));
    assert!(matches!(error, UpgradeError::NotAnUpgrade));
}

#[tokio::test]
async fn a_missing_or_foreign_sub_protocol_is_told_which() {
    let none = upgrade("/mqtt").replace("Sec-WebSocket-Protocol: mqtt\r\n", "");
    let other = upgrade("/mqtt").replace("Protocol: mqtt", "Protocol: MQTT, chat");
    for (request, list) in [(none, &[][..]), (other, &["MQTT", "chat"][..])] {
        let (text, error) = refusal(&request).await;
        let body = "No MQTT sub-protocol in the request: offer the WebSocket sub-protocol `mqtt`.";
        assert_eq!(text, answer("400 Bad Request", "", body));
        assert!(matches!(error, UpgradeError::Subprotocol { offered } if offered == list));
    }
}

#[tokio::test]
async fn sub_protocols_are_found_in_lists_and_lines() {
    let cases = [
        ("Sec-WebSocket-Protocol: mqttv3.1", Some("mqttv3.1")),
        ("Sec-WebSocket-Protocol: mqttv3.1, mqtt", Some("mqtt")),
        ("Sec-WebSocket-Protocol: chat,mqtt ,x", Some("mqtt")),
        ("Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: x, mqtt", Some("mqtt")),
        ("X: y", None),
    ];
    for (lines, expected) in cases {
        let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new().require_subprotocol(false)).await;
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(upgrade("/mqtt").replace("Sec-WebSocket-Protocol: mqtt", lines)).await;
        let head = peer.read_head().await;
        let answered = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(answered, expected, "{lines}");
        assert_eq!(server.link().await.upgrade.unwrap().protocol(), expected);
    }
}

#[tokio::test]
async fn other_mistakes_are_named() {
    let good = upgrade("/mqtt");
    let version = "Only WebSocket version 13 is spoken here. Send `Sec-WebSocket-Version: 13`.";
    let version_headers = "upgrade: websocket\r\nsec-websocket-version: 13\r\n";
    let key = "Send a `Sec-WebSocket-Key` of 16 random bytes in base64.";
    let proxy = "If a proxy is in between, let it pass WebSocket upgrades on.";
    let cases = [
        (
            good.replace("Version: 13", "Version: 8"),
            "426 Upgrade Required",
            version_headers,
            version.to_owned(),
        ),
        (good.replace(KEY, "c2hvcnQ="), "400 Bad Request", "", key.to_owned()),
        (
            good.replace("Connection: Upgrade\r\n", "Connection: keep-alive\r\n"),
            "400 Bad Request",
            "",
            format!("The header `Connection: Upgrade` is missing. {proxy}"),
        ),
        (
            good.replace("Upgrade: websocket\r\n", ""),
            "400 Bad Request",
            "",
            format!("The header `Upgrade: websocket` is missing. {proxy}"),
        ),
        (
            good.replace("HTTP/1.1", "HTTP/1.0"),
            "400 Bad Request",
            "",
            format!("WebSocket needs HTTP/1.1. {proxy}"),
        ),
        (
            good.replace("GET", "POST"),
            "405 Method Not Allowed",
            "allow: GET, HEAD\r\n",
            "Method POST is not allowed here. Use GET, or connect to ws://broker.example:8083/mqtt"
                .to_owned(),
        ),
        (
            "PUT / HTTP/1.1\r\n\r\n".to_owned(),
            "405 Method Not Allowed",
            "allow: GET, HEAD\r\n",
            "Method PUT is not allowed here. Use GET, or connect to ws://<host>/mqtt".to_owned(),
        ),
        (
            "GET\r\n\r\n".to_owned(),
            "400 Bad Request",
            "",
            "This is not a valid HTTP/1.1 request: malformed head. Connect to ws://<host>/mqtt".to_owned(),
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "400 Bad Request",
            "",
            "This is not a valid HTTP/1.1 request: unknown HTTP version. Connect to ws://<host>/mqtt"
                .to_owned(),
        ),
    ];
    for (request, status, extra, body) in cases {
        let (text, error) = refusal(&request).await;
        assert_eq!(text, answer(status, extra, &body), "{request}");
        assert_eq!(error.status().unwrap().as_str(), &status[..3]);
    }
    // A header that lists the upgrade among other things is fine.
    let server = server().await;
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(good.replace("Connection: Upgrade", "Connection: keep-alive, upgrade")).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_huge_head_is_refused_with_431() {
    let body = "The request head is too large. Keep it under 16384 bytes and 96 lines.";
    let long = upgrade("/mqtt").replace("\r\n\r\n", &format!("\r\nCookie: {}\r\n\r\n", "x".repeat(17_000)));
    let many = upgrade("/mqtt").replace("\r\n\r\n", &format!("\r\n{}\r\n", "A: b\r\n".repeat(100)));
    // Without an end, too: nobody may fill the memory by never finishing.
    let endless = format!("GET /mqtt HTTP/1.1\r\nCookie: {}", "x".repeat(100_000));
    for request in [long, many, endless] {
        let (text, error) = refusal(&request).await;
        assert_eq!(text, answer("431 Request Header Fields Too Large", "", body));
        assert!(matches!(error, UpgradeError::HeadTooLarge { limit: 16_384 }));
    }
}

#[tokio::test]
async fn what_is_not_http_is_dropped_at_once_and_named() {
    for first in [&b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0"[..], b"\x16\x03\x01\x02\0\x01"] {
        let mut server = server().await;
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(first).await;
        match server.refused().await {
            AcceptError::Upgrade(UpgradeError::NotHttp { first: seen }) => assert_eq!(seen, first),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_is_named() {
    for part in ["", "GET /mq"] {
        let mut server = server().await;
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(part).await;
        peer.stream.shutdown().await.unwrap();
        match server.refused().await {
            AcceptError::Upgrade(UpgradeError::Ended { received }) => assert_eq!(received, part.len()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_application_gets_the_request() {
    let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new().path("/live/mqtt")).await;
    let mut peer = RawPeer::connect(server.address).await;
    let request = upgrade("/live/mqtt?token=a%20b&x")
        .replace("\r\n\r\n", "\r\nCookie: id=7\r\nOrigin: http://o\r\n\r\n");
    peer.send(request).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
    let info = server.link().await;
    assert_eq!(info.address, Some(peer.stream.local_addr().unwrap()));
    let upgrade = info.upgrade.unwrap();
    assert_eq!((upgrade.path(), upgrade.query()), ("/live/mqtt", Some("token=a%20b&x")));
    assert_eq!((upgrade.header("cookie"), upgrade.header("origin")), (Some("id=7"), Some("http://o")));
    assert_eq!(upgrade.header("absent"), None);
}

#[tokio::test]
async fn the_application_serves_pages() {
    let page = "<h1>demo</h1>".repeat(100_000);
    let body = Bytes::from(page.clone());
    let options = AcceptOptions::new().http(move |request| {
        (request.uri().path() == "/")
            .then(|| Response::builder().header("Content-Type", "text/html").body(body.clone()).unwrap())
    });
    let mut server = EchoServer::start(Scheme::Ws, options).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\ncontent-type: text/html\r\n\r\n",
        page.len()
    );
    let get = RawPeer::ask(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(get == format!("{head}{page}"));
    assert_eq!(RawPeer::ask(server.address, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await, head);
    for _ in 0..2 {
        assert!(matches!(server.next().await, support::Seen::Http(200)));
    }
    // What it does not know is the transport's affair, and MQTT still works beside it.
    assert!(RawPeer::ask(server.address, "GET /x HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
    assert!(RawPeer::ask(server.address, "GET /mqtt HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 426 "));
    RawPeer::open(server.address).await;
}

#[tokio::test]
async fn a_silent_client_delays_nobody() {
    let server = server().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(RawPeer::connect(server.address).await);
    }
    // The echo server accepts in order, so this one comes after them all.
    tokio::time::timeout(Duration::from_secs(5), RawPeer::open(server.address)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_handshake_deadline_is_answered_with_408() {
    use mqttkit_ws_transport::ByteStream;
    for part in ["", "GET /mqtt HTTP/1.1\r\nHost: h\r\n"] {
        let (mut near, far) = MemoryStream::pair(4_096);
        let options = AcceptOptions::new().handshake_timeout(Duration::from_secs(3));
        let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, options).unwrap();
        let began = tokio::time::Instant::now();
        let server = tokio::spawn(async move { acceptor.accept(far, None).await });
        std::future::poll_fn(|cx| near.poll_write(cx, part.as_bytes())).await.unwrap();
        let mut answer = vec![0; 4_096];
        let n = std::future::poll_fn(|cx| near.poll_read(cx, &mut answer)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 3);
        let answer = std::str::from_utf8(&answer[..n]).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(
            answer.ends_with(
                "\r\n\r\nThe request was not complete in time. Send it at once after connecting.\n"
            )
        );
        drop(near);
        assert!(matches!(server.await.unwrap(), Err(AcceptError::Upgrade(UpgradeError::TimedOut))));
    }
}

/// A client that never reads its answer cannot hold the connection for longer than the deadline.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_up() {
    use mqttkit_ws_transport::ByteStream;
    let (mut near, far) = MemoryStream::pair(64);
    let options = AcceptOptions::new().http(|_| Some(Response::new(Bytes::from(vec![0; 100_000]))));
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, options).unwrap();
    let began = tokio::time::Instant::now();
    let server = tokio::spawn(async move { acceptor.accept(far, None).await });
    std::future::poll_fn(|cx| near.poll_write(cx, b"GET / HTTP/1.1\r\n\r\n")).await.unwrap();
    match server.await.unwrap() {
        Err(AcceptError::Upgrade(UpgradeError::Stalled)) => {}
        Ok(Accepted::HttpServed { status: StatusCode::OK }) => panic!("it was not taken"),
        other => panic!("{:?}", other.map(drop)),
    }
    assert_eq!(began.elapsed().as_secs(), 10);
}
