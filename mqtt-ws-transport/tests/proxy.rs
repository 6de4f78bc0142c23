//! Through HTTP and SOCKS5 proxies: every scheme, every refusal, and proxies that are none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", any(feature = "aws-lc-rs", feature = "ring")))]

#[path = "support/pki.rs"]
mod pki;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use mqttkit_ws_transport::http::{HeaderValue, StatusCode, header};
use mqttkit_ws_transport::{
    AcceptOptions, ConnectError, ConnectOptions, Endpoint, Host, MemoryStream, Phase, Proxy, ProxyError,
    Scheme, SocksReply, TokioRuntime, connect,
};
use pki::{Ca, check_echo};
use proxy::FakeProxy;
use std::net::SocketAddr;
use std::time::Duration;
use support::EchoServer;
use support::hostile::Hostile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A host that exists behind the proxy only.
const INSIDE: &str = "broker.inside.invalid";

async fn through(proxy: &str, url: &str) -> Result<(), ConnectError> {
    let options = ConnectOptions::new().proxy(proxy.parse::<Proxy>().unwrap());
    let endpoint: Endpoint = url.parse().unwrap();
    connect(&TokioRuntime::new(), &endpoint, &options).await.map(|_| ())
}

fn proxy_error(result: Result<(), ConnectError>) -> ProxyError {
    match result {
        Err(error @ ConnectError::Proxy { .. }) => {
            assert!(!error.hint().is_empty());
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{text}");
            let ConnectError::Proxy { error, .. } = error else { unreachable!() };
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_scheme_goes_through_every_kind_of_proxy() {
    let ca = Ca::new();
    for scheme in Scheme::ALL {
        let options = AcceptOptions::new().tls(ca.server(INSIDE).build().unwrap());
        let server = EchoServer::start(scheme, options).await;
        for url in ["http://P", "http://user:secret@P", "socks5://P", "socks5h://user:secret@P"] {
            let login = url.contains('@').then_some(("user", "secret"));
            let mut fake = FakeProxy::start(login, server.address).await;
            let url = url.replace('P', &fake.address.to_string());
            let options =
                ConnectOptions::new().tls(ca.client().build().unwrap()).proxy(url.parse::<Proxy>().unwrap());
            // The name is resolved by the proxy, TLS asks for it and HTTP names it.
            let endpoint: Endpoint = format!("{scheme}://{INSIDE}:7").parse().unwrap();
            let mut link = connect(&TokioRuntime::new(), &endpoint, &options).await.unwrap();
            check_echo(&mut link).await;
            assert_eq!(fake.seen().await.target, format!("{INSIDE}:7"));
        }
    }
}

#[tokio::test]
async fn addresses_are_asked_for_as_such() {
    let server = EchoServer::start(Scheme::Tcp, AcceptOptions::new()).await;
    for (host, target) in [("10.9.8.7", "10.9.8.7:7"), ("[2001:db8::7]", "[2001:db8::7]:7")] {
        for scheme in ["http", "socks5"] {
            let mut fake = FakeProxy::start(None, server.address).await;
            let url = format!("mqtt://{host}:7");
            through(&format!("{scheme}://{}", fake.address), &url).await.unwrap();
            assert_eq!(fake.seen().await.target, target);
        }
    }
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_told_apart() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    for scheme in ["http", "socks5"] {
        for (login, refused) in [("", false), ("user:wrong-secret@", true)] {
            let fake = FakeProxy::start(Some(("user", "secret")), nowhere).await;
            let url = format!("{scheme}://{login}{}", fake.address);
            let error = proxy_error(through(&url, "ws://host").await);
            let ProxyError::AuthenticationRequired { refused: found, challenge } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(*found, refused, "{url}");
            assert_eq!(challenge.as_deref(), (scheme == "http").then_some("Basic realm=\"test\""));
            assert_eq!(error.hint().starts_with("Give"), !refused);
        }
    }
}

#[tokio::test]
async fn headers_for_the_proxy_reach_it_and_not_the_server() {
    let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new()).await;
    let mut fake = FakeProxy::start(None, server.address).await;
    let proxy = Proxy::http(Host::Ip(fake.address.ip()), fake.address.port())
        .header(header::PROXY_AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
    let options = ConnectOptions::new().proxy(proxy);
    connect(&TokioRuntime::new(), &"ws://host/mqtt".parse().unwrap(), &options).await.unwrap();
    assert!(fake.seen().await.head.contains("proxy-authorization: Bearer abc\r\n"));
    let upgrade = server.link().await.upgrade.unwrap();
    assert!(!upgrade.headers().contains_key(header::PROXY_AUTHORIZATION));
}

fn owned(answers: &[&[u8]]) -> Vec<Vec<u8>> {
    answers.iter().map(|answer| answer.to_vec()).collect()
}

/// Says this to whoever connects, after it has read something, and closes.
async fn saying(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buf = [0; 1024];
        for answer in answers {
            if stream.read(&mut buf).await.unwrap() == 0 {
                return;
            }
            stream.write_all(&answer).await.unwrap();
        }
        stream.shutdown().await.ok();
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    });
    address
}

#[tokio::test]
async fn what_an_http_proxy_may_answer() {
    let ask = async |answer: &[&[u8]]| {
        let address = saying(owned(answer)).await;
        through(&format!("http://{address}"), "mqtt://host").await
    };
    ask(&[b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"]).await.unwrap();
    let error = proxy_error(ask(&[b"HTTP/1.1 403 Forbidden by rule\r\n\r\nno"]).await);
    assert!(
        matches!(&error, ProxyError::Refused { status, .. } if *status == StatusCode::FORBIDDEN),
        "{error:?}"
    );
    let error = proxy_error(ask(&[b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"]).await);
    assert_eq!(error.to_string(), "the proxy refuses the tunnel with 502 Bad Gateway: Bad Gateway");
    // Redirects to a login page, as captive portals do.
    let error = proxy_error(ask(&[b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n"]).await);
    assert!(matches!(&error, ProxyError::Refused { status, .. } if status.as_u16() == 302), "{error:?}");
    let error = proxy_error(
        ask(&[b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"]).await,
    );
    assert!(error.hint().contains("Negotiate, NTLM"), "{}", error.hint());
    let error = proxy_error(ask(&[b"HTTP/1.1 200 OK\r\n\r\nsurprise"]).await);
    assert!(matches!(error, ProxyError::UnexpectedData), "{error:?}");
    for garbage in [
        &[&b"SSH-2.0-OpenSSH_9.2\r\n"[..]][..],
        &[b"\x05\x00"],
        &[b"HTTP/1.1 200"],
        &[b"HTTP/1.1 2x0 OK\r\n\r\n"],
        &[b"HTTP/1.1 999999 OK\r\n\r\n"],
    ] {
        let error = proxy_error(ask(garbage).await);
        assert!(matches!(error, ProxyError::NotAProxy { .. }), "{error:?}");
    }
    assert!(matches!(proxy_error(ask(&[b""]).await), ProxyError::Ended));
}

#[tokio::test]
async fn what_a_socks_proxy_may_answer() {
    let ask = async |login: &str, answers: &[&[u8]]| {
        let address = saying(owned(answers)).await;
        through(&format!("socks5://{login}{address}"), "mqtt://host").await
    };
    ask("", &[b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"]).await.unwrap();
    ask("", &[b"\x05\x00", b"\x05\x00\x00\x04aaaabbbbccccdddd\x00\x50"]).await.unwrap();
    ask("", &[b"\x05\x00", b"\x05\x00\x00\x03\x04name\x00\x50"]).await.unwrap();
    for (code, expected) in [
        (&[&b"\x05\x00"[..], b"\x05\x01\x00\x01"][..], SocksReply::GeneralFailure),
        (&[b"\x05\x00", b"\x05\x02\x00\x01"], SocksReply::NotAllowed),
        (&[b"\x05\x00", b"\x05\x04\x00\x01"], SocksReply::HostUnreachable),
        (&[b"\x05\x00", b"\x05\x05\x00\x01"], SocksReply::ConnectionRefused),
        (&[b"\x05\x00", b"\x05\x63\x00\x01"], SocksReply::Other(0x63)),
    ] {
        let error = proxy_error(ask("", code).await);
        assert!(matches!(error, ProxyError::Socks(reply) if reply == expected), "{error:?}");
    }
    for answers in [
        &[&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]][..],
        // It chooses what was not offered.
        &[b"\x05\x02"],
        &[b"\x05\x01"],
        &[b"\x05\x00", b"\x04\x00\x00\x01"],
        &[b"\x05\x00", b"\x05\x00\x00\x09"],
    ] {
        let error = proxy_error(ask("", answers).await);
        assert!(matches!(error, ProxyError::NotAProxy { .. }), "{error:?}");
    }
    let error = proxy_error(ask("", &[b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00"]).await);
    assert!(matches!(error, ProxyError::Ended), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let try_one = |proxy: Proxy| async move {
        let (near, mut far) = MemoryStream::pair(4096);
        let error = proxy.tunnel(near, &"mqtt://host".parse().unwrap()).await.unwrap_err();
        let mut buf = [0; 16];
        let n =
            std::future::poll_fn(|cx| mqttkit_ws_transport::ByteStream::poll_read(&mut far, cx, &mut buf));
        assert_eq!(n.await.unwrap(), 0);
        error
    };
    let host = || Host::Name("proxy".to_owned());
    for proxy in [
        Proxy::http(host(), 1).credentials("a:b", "c"),
        Proxy::socks5(host(), 1).credentials("", "c"),
        Proxy::socks5(host(), 1).credentials("a".repeat(256), "c"),
        Proxy::socks5(host(), 1).credentials("a", "c".repeat(256)),
    ] {
        assert!(matches!(try_one(proxy).await, ProxyError::BadCredentials));
    }
}

/// Short reads and writes, pending at odd moments: the tunnel is the same.
#[tokio::test]
async fn the_handshakes_survive_every_split() {
    for seed in 0..50 {
        for (scheme, answers) in [
            ("http", &[&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..]][..]),
            ("socks5", &[b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"]),
        ] {
            let (near, far) = MemoryStream::pair(64);
            let proxy: Proxy = format!("{scheme}://user:secret@proxy").parse().unwrap();
            let answer: Vec<u8> = answers.concat();
            let peer = async {
                let mut far = far;
                let (mut written, mut buf) = (0, [0; 64]);
                // It answers whatever is said, as fast as it can.
                std::future::poll_fn(|cx| {
                    use mqttkit_ws_transport::ByteStream as _;
                    use std::task::Poll;
                    while let Poll::Ready(result) = far.poll_read(cx, &mut buf) {
                        if result.unwrap() == 0 {
                            return Poll::Ready(());
                        }
                    }
                    while written < answer.len() {
                        match far.poll_write(cx, &answer[written..]) {
                            Poll::Ready(n) => written += n.unwrap(),
                            Poll::Pending => break,
                        }
                    }
                    Poll::Pending
                })
                .await;
            };
            let endpoint: Endpoint = "mqtt://host".parse().unwrap();
            let stream = Hostile::new(near, seed, 5);
            tokio::select! {
                result = proxy.tunnel(stream, &endpoint) => drop(result.unwrap()),
                () = peer => panic!("the tunnel was dropped"),
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = proxy_error(through(&format!("http://{address}"), "mqtt://host").await);
    assert!(matches!(&error, ProxyError::Unreachable(inner) if matches!(**inner, ConnectError::Tcp { .. })));
    assert!(error.hint().contains("address of the proxy"));
}

#[tokio::test]
async fn a_silent_proxy_meets_the_one_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for scheme in ["http", "socks5"] {
        let options = ConnectOptions::new()
            .timeout(Duration::from_millis(50))
            .proxy(format!("{scheme}://{address}").parse::<Proxy>().unwrap());
        let result = connect(&TokioRuntime::new(), &"wss://host".parse().unwrap(), &options).await;
        assert!(matches!(result, Err(ConnectError::TimedOut { phase: Phase::Proxy, .. })), "{result:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    });
    let error = proxy_error(through(&format!("http://{address}"), "mqtt://host").await);
    assert!(matches!(error, ProxyError::NotAProxy { .. }), "{error:?}");
}

/// The environment of a process is read only where it is asked for; the variables themselves have unit tests.
#[test]
fn the_environment_counts_only_when_asked_for() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "connect_with_environment", "--ignored", "--nocapture"])
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
#[ignore = "run by the_environment_counts_only_when_asked_for"]
async fn connect_with_environment() {
    let server = EchoServer::start(Scheme::Tcp, AcceptOptions::new()).await;
    let endpoint: Endpoint = server.url().parse().unwrap();
    let runtime = TokioRuntime::new();
    connect(&runtime, &endpoint, &ConnectOptions::new()).await.unwrap();
    let result = connect(&runtime, &endpoint, &ConnectOptions::new().proxy_from_env()).await;
    assert!(matches!(result, Err(ConnectError::Proxy { .. })), "{result:?}");
    connect(&runtime, &endpoint, &ConnectOptions::new().proxy_from_env().proxy(None)).await.unwrap();
}
