//! The mirror: what clients get that came to the wrong port, and all schemes on one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

mod support;

use mqttkit_ws_transport::rustls;
use mqttkit_ws_transport::tls::{ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Accepted, Acceptor, ConnectOptions, LinkExt, ListenOptions, Listener,
    MemoryStream, PeerInfo, Runtime, Scheme, Signpost, Sniffed, TokioRuntime, connect,
};
use std::time::Duration;
use support::raw::{RawPeer, upgrade};
use support::{EchoServer, Seen, echo, recv_exact};
use tokio::io::AsyncReadExt;

fn tls() -> (rustls::ServerConfig, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server = ServerTls::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).build().unwrap();
    let client = ClientTls::new().only_given_cas().ca_pem(made.cert.pem()).build().unwrap();
    (server, client)
}

/// A signpost to a server on the usual ports.
fn signpost() -> Signpost {
    let signpost = Signpost::new();
    signpost.add(Scheme::Tcp, 1883, "");
    signpost.add(Scheme::Ws, 8083, "/live");
    signpost
}

async fn start(scheme: Scheme) -> EchoServer {
    let options = AcceptOptions::new().sniff(true).signpost(signpost()).tls(tls().0);
    EchoServer::start(scheme, options).await
}

async fn wrong(server: &mut EchoServer) -> (Scheme, Sniffed) {
    match server.refused().await {
        AcceptError::WrongProtocol { expected, found } => (expected, found),
        other => panic!("{other:?}"),
    }
}

/// Sends bytes and reads the answer to its end.
async fn answer(server: &EchoServer, bytes: &[u8]) -> Vec<u8> {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(bytes).await;
    let mut answer = Vec::new();
    // Closed without an answer and with bytes unread, a connection is reset.
    peer.stream.read_to_end(&mut answer).await.ok();
    answer
}

#[tokio::test]
async fn http_on_an_mqtt_port_gets_the_right_url() {
    for (scheme, first) in [(Scheme::Tcp, "ws://box:8083/live"), (Scheme::Tls, "ws://box:8083/live")] {
        let mut server = start(scheme).await;
        let head = "GET / HTTP/1.1\r\nHost: box:1883\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n";
        let text = RawPeer::ask(server.address, head).await;
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
        assert!(
            text.contains("Content-Type: text/plain") || text.contains("content-type: text/plain"),
            "{text}"
        );
        assert!(text.contains(&format!("Connect to {first} or mqtt://box:1883")), "{text}");
        assert_eq!(wrong(&mut server).await, (scheme, Sniffed::Http));

        let page = RawPeer::ask(server.address, &head.replace("*/*", "text/html,*/*")).await;
        assert!(page.contains("text/html") && page.contains(&format!("<code>{first}</code>")), "{page}");
        // A browser's WebSocket, and somebody who tries to have markup repeated.
        let text = RawPeer::ask(server.address, &upgrade("/mqtt")).await;
        assert!(text.contains("ws://broker.example:8083/live"), "{text}");
        let text = RawPeer::ask(server.address, &head.replace("box:1883", "<script>")).await;
        assert!(!text.contains("<script>"), "{text}");
    }
}

#[tokio::test]
async fn a_get_on_the_websocket_path_is_explained() {
    let server = start(Scheme::Ws).await;
    let text = RawPeer::ask(server.address, "GET /mqtt HTTP/1.1\r\nHost: box:8083\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
    assert!(text.contains("ws://box:8083/mqtt"), "{text}");
}

#[tokio::test]
async fn mqtt_on_another_port_gets_a_connack_of_its_version() {
    let v3: &[&[u8]] = &[b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0"];
    for scheme in [Scheme::Ws, Scheme::Wss, Scheme::Tls] {
        let mut server = start(scheme).await;
        for connect in v3 {
            assert_eq!(answer(&server, connect).await, b"\x20\x02\0\x03");
            let (expected, found) = wrong(&mut server).await;
            assert!(expected == scheme && matches!(found, Sniffed::Mqtt { .. }));
        }
        let v5 = answer(&server, b"\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0").await;
        assert_eq!((v5[0], v5[3]), (0x20, 0x83));
        let text = String::from_utf8_lossy(&v5);
        assert!(text.contains("mqtt://<host>:1883"), "{text}");
    }
}

/// One byte at a time, as a slow network may deliver it.
#[tokio::test]
async fn slow_first_bytes_are_waited_for_and_given_on() {
    for sniff in [false, true] {
        let mut server = EchoServer::start(Scheme::Tcp, AcceptOptions::new().sniff(sniff)).await;
        let mut peer = RawPeer::connect(server.address).await;
        peer.stream.set_nodelay(true).unwrap();
        let packet = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
        for byte in packet {
            peer.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        let mut back = vec![0; packet.len()];
        peer.stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, packet);
        assert_eq!(server.link().await.scheme, Scheme::Tcp);
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_named() {
    for (bytes, expected) in [
        (&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], "the client speaks TLS on a port for mqtt://"),
        (
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"[..],
            "the client speaks a PROXY header on a port for mqtt://",
        ),
    ] {
        let mut server = start(Scheme::Tcp).await;
        assert_eq!(answer(&server, bytes).await, b"");
        assert_eq!(server.refused().await.to_string(), expected);
    }
    let mut server = start(Scheme::Ws).await;
    assert_eq!(answer(&server, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await, b"");
    assert_eq!(wrong(&mut server).await, (Scheme::Ws, Sniffed::Tls));
    // What nobody knows goes on to the protocol above.
    let mut server = start(Scheme::Tcp).await;
    let mut peer = RawPeer::connect(server.address).await;
    peer.send("SSH-2.0-x").await;
    let mut back = [0; 9];
    peer.stream.read_exact(&mut back).await.unwrap();
    assert!(matches!(server.next().await, Seen::Link(_)));
}

/// Without the option nothing is read before the link is handed out.
#[tokio::test]
async fn without_it_a_link_comes_at_once() {
    let mut server = EchoServer::start(Scheme::Tcp, AcceptOptions::new()).await;
    let _peer = RawPeer::connect(server.address).await;
    server.link().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_meets_the_deadline() {
    let options = || AcceptOptions::new().sniff(true).handshake_timeout(Duration::from_secs(3));
    for (scheme, sent) in [(Scheme::Tcp, &b""[..]), (Scheme::Ws, b"P"), (Scheme::Tcp, b"\x10\x0c\0")] {
        let (mut near, far) = MemoryStream::pair(64);
        let acceptor = Acceptor::new(TokioRuntime::new(), scheme, options()).unwrap();
        use mqttkit_ws_transport::ByteStream;
        std::future::poll_fn(|cx| near.poll_write(cx, sent)).await.unwrap();
        let began = tokio::time::Instant::now();
        let error = acceptor.accept(far, None).await.unwrap_err();
        assert!(matches!(error, AcceptError::Silent { received } if received == sent.len()), "{error:?}");
        assert_eq!(began.elapsed().as_secs(), 3);
    }
    let (near, far) = MemoryStream::pair(64);
    drop(near);
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Tcp, options()).unwrap();
    assert!(matches!(acceptor.accept(far, None).await, Err(AcceptError::Left { received: 0 })));
}

#[tokio::test]
async fn one_port_for_all_schemes() {
    let (server_tls, client_tls) = tls();
    let runtime = TokioRuntime::new();
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = Acceptor::any(runtime, AcceptOptions::new().tls(server_tls));
    let (report, mut seen) = tokio::sync::mpsc::unbounded_channel::<Result<PeerInfo, AcceptError>>();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (acceptor, report) = (acceptor.clone(), report.clone());
            tokio::spawn(async move {
                match acceptor.accept(stream, Some(peer)).await {
                    Ok(Accepted::Link(mut link, info)) => {
                        report.send(Ok(info)).ok();
                        echo(&mut link).await.ok();
                        link.finish().await.ok();
                    }
                    Ok(_) => {}
                    Err(error) => drop(report.send(Err(error))),
                }
            });
        }
    });
    let options = ConnectOptions::new().tls(client_tls);
    let hello = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
    for scheme in Scheme::ALL {
        let endpoint = format!("{scheme}://localhost:{}", address.port()).parse().unwrap();
        let mut link = connect(&runtime, &endpoint, &options).await.unwrap();
        link.send_all(&mut &hello[..]).await.unwrap();
        assert_eq!(recv_exact(&mut link, hello.len()).await, hello);
        let info = seen.recv().await.unwrap().unwrap();
        assert_eq!(info.scheme, scheme);
        assert_eq!(info.upgrade.is_some(), scheme.is_websocket());
        assert_eq!(info.tls.is_some(), scheme.is_tls());
        link.finish().await.unwrap();
    }
    let mut peer = RawPeer::connect(address).await;
    peer.send("SSH-2.0-x").await;
    assert_eq!(peer.stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let error = seen.recv().await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::WrongProtocol { found: Sniffed::Other, .. }), "{error:?}");
}
