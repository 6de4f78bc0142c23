//! The options of a listener: paths, origins, proxies, limits, authentication. Each test fails when its option is ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::Bytes;
use mqttkit_ws_transport::http::{Response, StatusCode};
use mqttkit_ws_transport::ws::{PacketsPerFrame, UpgradeError};
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Accepted, Acceptor, ByteStream, Cidr, Crowded, ForwardedHeader, LinkExt,
    MemoryStream, PeerInfo, ProxyHeaderError, ProxyProtocol, Scheme, TokioRuntime,
};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;
use support::raw::{BINARY, RawPeer, frame, upgrade};
use support::{EchoServer, Seen};

async fn server(options: AcceptOptions) -> EchoServer {
    EchoServer::start(Scheme::Ws, options).await
}

fn networks(list: &[&str]) -> Vec<Cidr> {
    list.iter().map(|network| network.parse().unwrap()).collect()
}

/// Sends an upgrade with `lines` in addition; gives the status line and what the server saw.
async fn ask(server: &mut EchoServer, path: &str, lines: &str) -> (String, Seen) {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(upgrade(path).replace("\r\n\r\n", &format!("\r\n{lines}\r\n"))).await;
    let head = peer.read_head().await;
    // The server waits for the end of whom it refused.
    drop(peer);
    (head.lines().next().unwrap().to_owned(), server.next().await)
}

const OPEN: &str = "HTTP/1.1 101 Switching Protocols";

#[tokio::test]
async fn a_prefix_takes_the_paths_below() {
    let mut server = server(AcceptOptions::new().path_prefix("/mqtt")).await;
    for (path, taken) in [
        ("/mqtt", true),
        ("/mqtt/", true),
        ("/mqtt/room/7?x=/", true),
        ("/mqtter", false),
        ("/", false),
        ("/MQTT", false),
        ("/x/mqtt", false),
    ] {
        let (status, seen) = ask(&mut server, path, "").await;
        assert_eq!(status == OPEN, taken, "{path}: {status}");
        assert_eq!(
            matches!(seen, Seen::Link(info) if path.starts_with(info.upgrade.as_ref().unwrap().path())),
            taken
        );
        if taken {
            server.ended().await.0.unwrap_err();
        }
    }
}

#[tokio::test]
async fn foreign_origins_are_refused_with_a_sentence() {
    let options = AcceptOptions::new().origins(["https://app.example", "http://localhost:3000"]);
    let mut strict = server(options.clone().require_origin(true)).await;
    let mut server = server(options).await;
    for (line, taken, taken_if_required) in [
        ("", true, false),
        ("Origin: https://app.example\r\n", true, true),
        ("origin: HTTPS://APP.EXAMPLE\r\n", true, true),
        ("Origin: http://localhost:3000\r\n", true, true),
        ("Origin: http://localhost:3001\r\n", false, false),
        ("Origin: https://app.example.evil.example\r\n", false, false),
        ("Origin: http://app.example\r\n", false, false),
        ("Origin: null\r\n", false, false),
        ("Origin: https://app.example\r\nOrigin: https://evil.example\r\n", false, false),
    ] {
        for (server, taken) in [(&mut server, taken), (&mut strict, taken_if_required)] {
            let (status, seen) = ask(server, "/mqtt", line).await;
            let expected = if taken { OPEN } else { "HTTP/1.1 403 Forbidden" };
            assert_eq!(status, expected, "{line}");
            match seen {
                Seen::Link(_) => drop(server.ended().await),
                Seen::Refused(AcceptError::Upgrade(UpgradeError::Origin { .. })) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let request = upgrade("/mqtt").replace("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n");
    let answer = RawPeer::ask(server.address, &request).await;
    let sentence =
        "\r\n\r\nPages of https://evil.example may not connect here. The operator can allow this origin.\n";
    assert!(answer.ends_with(sentence), "{answer}");
}

#[tokio::test]
async fn the_client_is_whom_a_trusted_proxy_names() {
    let lines = "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2\r\nX-Real-IP: 203.0.113.8\r\n\
                 Forwarded: for=\"[2001:db8::7]:4711\"\r\n";
    for (header, expected) in [
        (ForwardedHeader::XForwardedFor, "203.0.113.9:0"),
        (ForwardedHeader::XRealIp, "203.0.113.8:0"),
        (ForwardedHeader::Forwarded, "[2001:db8::7]:4711"),
    ] {
        for (trusted, believed) in
            [(&["127.0.0.0/8", "10.0.0.0/8"], true), (&["192.0.2.0/24", "10.0.0.0/8"], false)]
        {
            let options = AcceptOptions::new().client_address_from(header).trusted_proxies(networks(trusted));
            let mut server = server(options).await;
            let (_, Seen::Link(info)) = ask(&mut server, "/mqtt", lines).await else { panic!("no link") };
            if believed {
                assert_eq!(info.address.unwrap().to_string(), expected);
                assert!(info.via.unwrap().ip().is_loopback());
            } else {
                assert!(info.address.unwrap().ip().is_loopback());
                assert_eq!(info.via, None);
            }
        }
    }
    let mut server = server(AcceptOptions::new().trusted_proxies(networks(&["127.0.0.0/8"]))).await;
    let (_, Seen::Link(info)) = ask(&mut server, "/mqtt", lines).await else { panic!("no link") };
    assert!(info.address.unwrap().ip().is_loopback(), "no header is read unless one is named");
}

/// What a listener of `scheme` makes of a client at 127.0.0.1 that sends `bytes`.
async fn accept(
    scheme: Scheme,
    options: AcceptOptions,
    bytes: &[u8],
) -> Result<(PeerInfo, Vec<u8>), AcceptError> {
    let (mut near, far) = MemoryStream::pair(8 * 1024);
    poll_fn(|cx| near.poll_write(cx, bytes)).await.unwrap();
    let acceptor = Acceptor::new(TokioRuntime::new(), scheme, options).unwrap();
    match acceptor.accept(far, Some("127.0.0.1:999".parse().unwrap())).await? {
        Accepted::Link(mut link, info) => {
            let mut buf = bytes::BytesMut::new();
            poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
            while let Ok(1..) = link.recv(&mut buf).await {}
            Ok((info, buf.to_vec()))
        }
        other => panic!("{other:?}"),
    }
}

fn proxied(protocol: ProxyProtocol, trusted: &[&str]) -> AcceptOptions {
    AcceptOptions::new()
        .proxy_protocol(protocol)
        .trusted_proxies(networks(trusted))
        .handshake_timeout(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn the_proxy_protocol_is_read_from_trusted_peers() {
    use ProxyProtocol::{Off, Optional, Required};
    let loopback = &["127.0.0.1"];
    let v1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 1883\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 7, 91]);
    for header in [v1, v2] {
        for protocol in [Optional, Required] {
            let bytes = [&header[..], b"\x10\x0cMQTT"].concat();
            let (info, rest) = accept(Scheme::Tcp, proxied(protocol, loopback), &bytes).await.unwrap();
            assert_eq!(info.address.unwrap().to_string(), "203.0.113.9:4711");
            assert_eq!(info.via.unwrap().to_string(), "127.0.0.1:999");
            assert_eq!(rest, b"\x10\x0cMQTT");
            // In front of HTTP, in one piece with it.
            let bytes = [&header[..], upgrade("/mqtt").as_bytes(), &frame(true, BINARY, b"hello")].concat();
            let (info, rest) = accept(Scheme::Ws, proxied(protocol, loopback), &bytes).await.unwrap();
            assert_eq!(
                (info.address.unwrap().to_string().as_str(), &rest[..]),
                ("203.0.113.9:4711", &b"hello"[..])
            );
        }
        // From a stranger it is not even read.
        let error = accept(Scheme::Tcp, proxied(Required, &["10.0.0.0/8"]), &header).await.unwrap_err();
        assert!(matches!(error, AcceptError::ProxyHeader(ProxyHeaderError::Untrusted { .. })), "{error}");
        for options in [proxied(Optional, &["10.0.0.0/8"]), proxied(Off, loopback)] {
            let (info, rest) = accept(Scheme::Tcp, options, &header).await.unwrap();
            assert!(info.address.unwrap().ip().is_loopback());
            assert_eq!(rest, header);
        }
    }
    let local = b"PROXY UNKNOWN\r\n\x10";
    let (info, _) = accept(Scheme::Tcp, proxied(Required, loopback), local).await.unwrap();
    assert_eq!((info.address.unwrap().port(), info.via), (999, None));
}

#[tokio::test(start_paused = true)]
async fn without_the_proxy_header_it_depends() {
    use ProxyProtocol::{Optional, Required};
    let loopback = &["127.0.0.1"];
    let (info, rest) = accept(Scheme::Tcp, proxied(Optional, loopback), b"\x10\x0cMQTT").await.unwrap();
    assert!(info.address.unwrap().ip().is_loopback());
    assert_eq!(rest, b"\x10\x0cMQTT");
    match accept(Scheme::Tcp, proxied(Required, loopback), b"\x10\x0cMQTT").await.unwrap_err() {
        AcceptError::ProxyHeader(ProxyHeaderError::Missing { first }) => assert_eq!(first, b"\x10\x0cMQTT"),
        other => panic!("{other:?}"),
    }
    let error = accept(Scheme::Tcp, proxied(Required, loopback), b"PROXY TCP4 x\r\n").await.unwrap_err();
    assert!(matches!(error, AcceptError::ProxyHeader(ProxyHeaderError::Malformed(_))), "{error}");
    for slow in [&b""[..], b"PROXY TCP4 203"] {
        let began = tokio::time::Instant::now();
        let error = accept(Scheme::Tcp, proxied(Required, loopback), slow).await.unwrap_err();
        assert!(matches!(error, AcceptError::ProxyHeader(ProxyHeaderError::TimedOut)), "{error}");
        assert_eq!(began.elapsed().as_secs(), 2);
    }
}

/// The header comes before TLS, in the clear.
#[cfg(all(feature = "tls", feature = "self-signed"))]
#[tokio::test]
async fn the_proxy_header_comes_before_tls() {
    use mqttkit_ws_transport::tls::{ClientTls, ServerTls, self_signed};
    use mqttkit_ws_transport::{ConnectOptions, Endpoint, TokioIo, connect_over};
    use tokio::io::AsyncWriteExt;
    let pem = self_signed(&["localhost"]).unwrap();
    let tls = ServerTls::from_pem(pem.certificate_pem.clone(), pem.key_pem).build().unwrap();
    let options = proxied(ProxyProtocol::Required, &["127.0.0.0/8"]).tls(tls);
    let mut server = EchoServer::start(Scheme::Wss, options).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 8084\r\n").await.unwrap();
    let endpoint: Endpoint = server.url().parse().unwrap();
    let client = ConnectOptions::new().tls(ClientTls::new().ca_pem(pem.certificate_pem).build().unwrap());
    connect_over(&TokioRuntime::new(), TokioIo::new(stream), &endpoint, &client).await.unwrap();
    assert_eq!(server.link().await.address.unwrap().to_string(), "203.0.113.9:4711");
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_at_once() {
    let mut server = server(AcceptOptions::new().max_connections(2)).await;
    let first = RawPeer::open(server.address).await;
    let _second = RawPeer::open(server.address).await;
    server.link().await;
    server.link().await;
    let mut third = RawPeer::connect(server.address).await;
    assert!(matches!(server.refused().await, AcceptError::Crowded(Crowded::Connections { limit: 2 })));
    assert_eq!(third.read_to_end().await, "");
    // A place comes back when its link is dropped.
    drop(first);
    server.ended().await.0.unwrap_err();
    loop {
        let mut peer = RawPeer::connect(server.address).await;
        match tokio::time::timeout(Duration::from_millis(100), server.next()).await {
            Ok(Seen::Refused(AcceptError::Crowded(_))) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                peer.send(upgrade("/mqtt")).await;
                peer.read_head().await;
                server.link().await;
                break;
            }
        }
    }
}

#[tokio::test]
async fn more_handshakes_than_allowed_are_closed_at_once() {
    let mut server = server(AcceptOptions::new().max_handshakes(2)).await;
    // Open links do not count.
    let _open = [RawPeer::open(server.address).await, RawPeer::open(server.address).await];
    server.link().await;
    server.link().await;
    let _silent = [RawPeer::connect(server.address).await, RawPeer::connect(server.address).await];
    let _third = RawPeer::connect(server.address).await;
    assert!(matches!(server.refused().await, AcceptError::Crowded(Crowded::Handshakes { limit: 2 })));
}

#[tokio::test]
async fn one_address_gets_its_share() {
    let options = AcceptOptions::new()
        .max_connections_per_address(1)
        .client_address_from(ForwardedHeader::XRealIp)
        .trusted_proxies(networks(&["127.0.0.0/8"]));
    let mut shared = server(options).await;
    let _open = RawPeer::connect(shared.address).await;
    let mut kept = Vec::new();
    for (client, taken) in [("203.0.113.9", true), ("203.0.113.9", false), ("203.0.113.8", true)] {
        let mut peer = RawPeer::connect(shared.address).await;
        peer.send(upgrade("/mqtt").replace("\r\n\r\n", &format!("\r\nX-Real-IP: {client}\r\n\r\n"))).await;
        match shared.next().await {
            Seen::Link(_) => assert!(taken, "{client}"),
            Seen::Refused(AcceptError::Crowded(Crowded::Address { address, limit: 1 })) => {
                assert!(!taken);
                assert_eq!(address.to_string(), client);
            }
            other => panic!("{other:?}"),
        }
        kept.push(peer);
    }
    // Without a proxy it is known, and counted, before the handshake.
    let mut direct = server(AcceptOptions::new().max_connections_per_address(1)).await;
    let _silent = RawPeer::connect(direct.address).await;
    let _second = RawPeer::connect(direct.address).await;
    assert!(matches!(direct.refused().await, AcceptError::Crowded(Crowded::Address { limit: 1, .. })));
}

#[derive(Debug, Clone, PartialEq)]
struct User(String);

/// Takes the holder of the cookie `id=7` with the query `?token=a b`, after a while.
async fn authenticate(mut peer: PeerInfo) -> Result<PeerInfo, Response<Bytes>> {
    tokio::task::yield_now().await;
    let upgrade = peer.upgrade.as_mut().unwrap();
    if upgrade.cookie("id") == Some("7") && upgrade.query_value("token").as_deref() == Some("a b") {
        let user = User(format!("{:?} of {}", upgrade.header("x-name"), peer.address.unwrap().ip()));
        upgrade.request_mut().extensions_mut().insert(user);
        return Ok(peer);
    }
    let answer = Response::builder().status(StatusCode::UNAUTHORIZED).header("WWW-Authenticate", "Bearer");
    Err(answer.body(Bytes::from("Log in first.\n")).unwrap())
}

#[tokio::test]
async fn the_application_decides_and_may_say_why_not() {
    let mut server = server(AcceptOptions::new().authenticate(authenticate)).await;
    let lines = "Cookie: a=b; id=7\r\nX-Name: ada\r\n";
    let (status, Seen::Link(info)) = ask(&mut server, "/mqtt?x&token=a%20b", lines).await else {
        panic!("no link")
    };
    assert_eq!(status, OPEN);
    let upgrade = info.upgrade.unwrap();
    let user = upgrade.request().extensions().get::<User>();
    assert_eq!(user, Some(&User("Some(\"ada\") of 127.0.0.1".to_owned())));
    server.ended().await.0.unwrap_err();

    let answer = RawPeer::ask(server.address, &support::raw::upgrade("/mqtt")).await;
    assert_eq!(
        answer,
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 14\r\n\
         www-authenticate: Bearer\r\n\r\nLog in first.\n"
    );
    match server.refused().await {
        AcceptError::Upgrade(UpgradeError::Refused { status }) => assert_eq!(status.as_u16(), 401),
        other => panic!("{other:?}"),
    }
    // What is no upgrade at all is not asked about.
    assert!(RawPeer::ask(server.address, "GET /mqtt HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 426 "));
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_decide_costs_no_more_than_the_handshake_time() {
    let options = AcceptOptions::new()
        .handshake_timeout(Duration::from_secs(3))
        .authenticate(|_| std::future::pending());
    let (mut near, far) = MemoryStream::pair(4_096);
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, options).unwrap();
    let began = tokio::time::Instant::now();
    let server = tokio::spawn(async move { acceptor.accept(far, None).await });
    poll_fn(|cx| near.poll_write(cx, upgrade("/mqtt").as_bytes())).await.unwrap();
    let mut answer = vec![0; 4_096];
    let n = poll_fn(|cx| near.poll_read(cx, &mut answer)).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 3);
    assert!(answer[..n].starts_with(b"HTTP/1.1 503 Service Unavailable\r\n"));
    drop(near);
    assert!(matches!(server.await.unwrap(), Err(AcceptError::Upgrade(UpgradeError::Undecided))));
}

#[tokio::test]
async fn cookies_and_queries_are_found() {
    let mut server = server(AcceptOptions::new()).await;
    let lines = "Cookie: a=1; b=\"two\"; c==x\r\nCookie: d=4; a=5\r\n";
    let path = "/mqtt?q=1&r=a+b%2Bc&s&%74=%C3%A9&u=%zz%4&q=2";
    let (_, Seen::Link(info)) = ask(&mut server, path, lines).await else { panic!("no link") };
    let upgrade = info.upgrade.unwrap();
    let cookies = ["a", "b", "c", "d", "e"].map(|name| upgrade.cookie(name));
    assert_eq!(cookies, [Some("1"), Some("two"), Some("=x"), Some("4"), None]);
    let values = ["q", "r", "s", "t", "u", "v"].map(|name| upgrade.query_value(name));
    let expected = [Some("1"), Some("a b+c"), Some(""), Some("é"), Some("%zz%4"), None];
    assert_eq!(values, expected.map(|value| value.map(str::to_owned)));
}

/// Both sides: packets that were handed over together or in parts.
#[tokio::test]
async fn one_packet_goes_into_each_frame_where_that_is_asked_for() {
    // Two whole packets and the beginning of a third, then its rest.
    let parts = [&[0xC0, 0, 0x30, 3, 0, 1, b'a', 0x30, 0xC8][..], &[[0x01].as_slice(), &[7; 200]].concat()];
    let mut long = vec![0x30, 0xC8, 1];
    long.extend([7; 200]);
    let cases = [
        (PacketsPerFrame::Single, vec![vec![0xC0, 0], vec![0x30, 3, 0, 1, b'a'], long]),
        (PacketsPerFrame::Many, parts.iter().map(|part| part.to_vec()).collect()),
    ];
    for (packets, expected) in cases {
        let (mut near, far) = MemoryStream::pair(8 * 1024);
        poll_fn(|cx| near.poll_write(cx, upgrade("/mqtt").as_bytes())).await.unwrap();
        let options = AcceptOptions::new().packets_per_frame(packets);
        let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, options).unwrap();
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let Accepted::Link(mut link, _) = acceptor.accept(far, Some(peer)).await.unwrap() else {
            panic!("no link")
        };
        for mut part in parts {
            link.send_all(&mut part).await.unwrap();
        }
        let mut buf = vec![0; 4096];
        let n = poll_fn(|cx| near.poll_read(cx, &mut buf)).await.unwrap();
        let head = buf[..n].windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let mut rest = &buf[head..n];
        let mut frames = Vec::new();
        while let [0x82, len, ..] = *rest {
            let (start, len) = if len == 126 {
                (4, usize::from(u16::from_be_bytes([rest[2], rest[3]])))
            } else {
                (2, usize::from(len))
            };
            frames.push(rest[start..start + len].to_vec());
            rest = &rest[start + len..];
        }
        assert_eq!(frames, expected, "{packets:?}");
    }
}

#[tokio::test]
async fn small_packets_leave_at_once_unless_told_otherwise() {
    use mqttkit_ws_transport::{ListenOptions, Listener, Runtime};
    let runtime = TokioRuntime::new();
    for (options, expected) in
        [(ListenOptions::default(), true), (ListenOptions::default().nodelay(false).backlog(8), false)]
    {
        let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &options).await.unwrap();
        let _client = RawPeer::connect(listener.local_addr().unwrap()).await;
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.get_ref().nodelay().unwrap(), expected);
    }
}
