//! The doctor against real servers that make the mistake: what is wrong, and which URL works.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

#[path = "support/proxy.rs"]
mod proxy;

use bytes::BytesMut;
use mqttkit_ws_transport::doctor::{Diagnosis, Report, Speaks, Step, diagnose};
use mqttkit_ws_transport::tls::{ClientAuth, ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ConnectOptions, LinkExt, ListenOptions, Listener, Phase, Runtime,
    Scheme, TokioRuntime, UrlError,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An MQTT server as small as can be: it refuses what is not CONNECT by closing, and answers CONNECT with `connack`.
async fn broker(scheme: Scheme, options: AcceptOptions, connack: &'static [u8]) -> u16 {
    let runtime = TokioRuntime::new();
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = Acceptor::new(runtime, scheme, options).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, address)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(Accepted::Link(mut link, _)) = acceptor.accept(stream, Some(address)).await else {
                    return;
                };
                let mut bytes = BytesMut::new();
                if link.recv(&mut bytes).await.is_ok() && bytes.first() == Some(&0x10) {
                    link.send_all(&mut &connack[..]).await.ok();
                    link.recv(&mut bytes).await.ok();
                    link.finish().await.ok();
                }
            });
        }
    });
    port
}

const ACCEPTED: &[u8] = b"\x20\x02\0\0";

/// A server that answers everything that ends with an empty line, or does not begin like HTTP, with `answer`.
async fn raw(answer: impl Into<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && (request.is_empty() || request[0] == b'G') {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&request);
                let key =
                    text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or("");
                let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
                stream.write_all(answer.replace("{accept}", &accept).as_bytes()).await.ok();
                stream.shutdown().await.ok();
                while stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

async fn answering(status: &str, headers: &str, body: &str) -> Report {
    let len = body.len();
    let port = raw(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\n\r\n{body}")).await;
    ask(&format!("ws://localhost:{port}/mqtt"), &ConnectOptions::new()).await
}

async fn ask(url: &str, options: &ConnectOptions) -> Report {
    let report = diagnose(&TokioRuntime::new(), url, options).await;
    let text = report.to_string();
    assert_eq!(report.diagnosis().is_none(), report.exit_code() == 0, "{text}");
    if let Some(diagnosis) = report.diagnosis() {
        assert!(!diagnosis.hint().is_empty());
        assert!(text.contains('✗') && text.contains(&diagnosis.to_string()), "{text}");
    }
    report
}

async fn plain(url: &str) -> Report {
    ask(url, &ConnectOptions::new()).await
}

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Workshop CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerTls {
        let (cert, key) = self.sign(name, change);
        ServerTls::from_pem(cert, key)
    }

    fn client(&self) -> ClientTls {
        ClientTls::new().only_given_cas().ca_pem(self.pem.clone())
    }

    fn trusted(&self) -> ConnectOptions {
        ConnectOptions::new().tls(self.client().build().unwrap())
    }
}

fn with(tls: &ServerTls) -> AcceptOptions {
    AcceptOptions::new().tls(tls.build().unwrap())
}

#[tokio::test]
async fn a_healthy_url_gets_a_tick_for_each_step() {
    let ca = Ca::new();
    for scheme in Scheme::ALL {
        let port = broker(scheme, with(&ca.server("localhost", |_| {})), ACCEPTED).await;
        let report = ask(&format!("{scheme}://localhost:{port}"), &ca.trusted()).await;
        let steps: Vec<_> = report.passed().map(|(step, _)| step).collect();
        let mut expected = vec![Step::Url, Step::Dns, Step::Tcp];
        expected.extend(scheme.is_tls().then_some(Step::Tls));
        expected.extend(scheme.is_websocket().then_some(Step::Upgrade));
        expected.push(Step::Connect);
        assert_eq!(steps, expected, "{report}");
        assert_eq!(report.exit_code(), 0);
    }
}

#[tokio::test]
async fn no_scheme_and_an_unknown_one_are_tried_on_the_port() {
    let port = broker(Scheme::Tcp, AcceptOptions::new(), ACCEPTED).await;
    let report = plain(&format!("u:secret@localhost:{port}")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::Url(UrlError::NoScheme { .. }))));
    // The guess by the port number would be ws; the port itself says otherwise.
    assert_eq!(report.suggestion(), Some(format!("mqtt://localhost:{port}").as_str()));
    assert!(!format!("{report} {report:?}").contains("secret"), "{report:?}");

    let port = broker(Scheme::Ws, AcceptOptions::new().path("/ws"), ACCEPTED).await;
    let report = plain(&format!("http://localhost:{port}")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::Url(UrlError::UnknownScheme { .. }))));
    assert_eq!(report.suggestion(), Some(format!("ws://localhost:{port}/ws").as_str()));
    assert_eq!(report.exit_code(), 10);
}

#[tokio::test]
async fn a_wrong_or_missing_path_is_named_with_the_one_that_works() {
    let port = broker(Scheme::Ws, AcceptOptions::new().path("/ws"), ACCEPTED).await;
    for given in ["", "/", "/mqtt", "/MQTT"] {
        let report = plain(&format!("ws://localhost:{port}{given}")).await;
        assert!(
            matches!(report.diagnosis(), Some(Diagnosis::WrongPath { works: Some(works), .. }) if works == "/ws"),
            "{report}"
        );
        assert_eq!(report.suggestion(), Some(format!("ws://localhost:{port}/ws").as_str()));
        assert_eq!((report.exit_code(), report.failed_step()), (51, Some(Step::Upgrade)));
    }
    let port = broker(Scheme::Ws, AcceptOptions::new().path("/secret/path"), ACCEPTED).await;
    let report = plain(&format!("ws://localhost:{port}/mqtt?tenant=a")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::WrongPath { works: None, .. })), "{report}");
}

#[tokio::test]
async fn websocket_to_a_raw_mqtt_port() {
    for sniff in [false, true] {
        let port = broker(Scheme::Tcp, AcceptOptions::new().sniff(sniff), ACCEPTED).await;
        let report = plain(&format!("ws://localhost:{port}/mqtt")).await;
        assert!(matches!(report.diagnosis(), Some(Diagnosis::WebSocketToMqttPort)), "{report}");
        assert_eq!(report.suggestion(), Some(format!("mqtt://localhost:{port}").as_str()));
        assert_eq!(report.exit_code(), 58);
    }
}

#[tokio::test]
async fn mqtt_to_a_websocket_port_and_to_a_web_server() {
    for sniff in [false, true] {
        let port = broker(Scheme::Ws, AcceptOptions::new().sniff(sniff), ACCEPTED).await;
        let report = plain(&format!("mqtt://localhost:{port}")).await;
        assert!(
            matches!(
                report.diagnosis(),
                Some(Diagnosis::MqttToHttpPort { speaks: Speaks::Mqtt(Scheme::Ws) })
            ),
            "{report}"
        );
        assert_eq!(report.suggestion(), Some(format!("ws://localhost:{port}/mqtt").as_str()));
        assert_eq!((report.exit_code(), report.failed_step()), (59, Some(Step::Connect)));
    }
    let port = raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let report = plain(&format!("mqtt://localhost:{port}")).await;
    let diagnosis = report.diagnosis();
    assert!(matches!(diagnosis, Some(Diagnosis::MqttToHttpPort { speaks: Speaks::Http })), "{report}");
}

#[tokio::test]
async fn tls_to_a_plain_port() {
    for (served, asked) in [
        (Scheme::Tcp, Scheme::Tls),
        (Scheme::Ws, Scheme::Wss),
        (Scheme::Ws, Scheme::Tls),
        (Scheme::Tcp, Scheme::Wss),
    ] {
        let port = broker(served, AcceptOptions::new(), ACCEPTED).await;
        let report = plain(&format!("{asked}://localhost:{port}")).await;
        assert!(
            matches!(report.diagnosis(), Some(Diagnosis::TlsToPlainPort { speaks: Speaks::Mqtt(found) }) if *found == served),
            "{report}"
        );
        assert!(
            report.suggestion().unwrap().starts_with(&format!("{served}://localhost:{port}")),
            "{report}"
        );
        assert_eq!((report.exit_code(), report.failed_step()), (47, Some(Step::Tls)));
    }
}

#[tokio::test]
async fn plain_to_a_tls_port() {
    let ca = Ca::new();
    for sniff in [false, true] {
        for (served, asked) in [
            (Scheme::Tls, Scheme::Tcp),
            (Scheme::Wss, Scheme::Ws),
            (Scheme::Wss, Scheme::Tcp),
            (Scheme::Tls, Scheme::Ws),
        ] {
            let options = with(&ca.server("localhost", |_| {})).sniff(sniff);
            let port = broker(served, options, ACCEPTED).await;
            let report = plain(&format!("{asked}://localhost:{port}")).await;
            assert!(
                matches!(report.diagnosis(), Some(Diagnosis::PlainToTlsPort { speaks: Speaks::Mqtt(found) }) if *found == served),
                "{report}"
            );
            assert!(
                report.suggestion().unwrap().starts_with(&format!("{served}://localhost:{port}")),
                "{report}"
            );
            assert_eq!(report.exit_code(), 48);
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_lists_its_names() {
    let ca = Ca::new();
    let tls = ca.server("broker.example", |params| {
        params.subject_alt_names.push(rcgen::SanType::DnsName("mqtt.example".try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::IpAddress("10.1.2.3".parse().unwrap()));
    });
    let port = broker(Scheme::Wss, with(&tls), ACCEPTED).await;
    let report = ask(&format!("wss://localhost:{port}/live"), &ca.trusted()).await;
    match report.diagnosis() {
        Some(Diagnosis::WrongName { used, names }) => {
            assert_eq!(used, "localhost");
            assert_eq!(names, &["broker.example", "mqtt.example", "10.1.2.3"]);
        }
        _ => panic!("{report}"),
    }
    assert_eq!(report.suggestion(), Some(format!("wss://broker.example:{port}/live").as_str()));
    assert_eq!((report.exit_code(), report.failed_step()), (41, Some(Step::Tls)));
}

#[tokio::test]
async fn expired_and_not_yet_valid_have_their_day() {
    let ca = Ca::new();
    let day = rcgen::date_time_ymd;
    for (from, to, code, text) in [
        (day(2000, 1, 1), day(2001, 2, 3), 42, "expired on 2001-02-03"),
        (day(4000, 5, 6), day(4001, 1, 1), 43, "not valid before 4000-05-06"),
    ] {
        let tls = ca.server("localhost", |params| (params.not_before, params.not_after) = (from, to));
        let port = broker(Scheme::Tls, with(&tls), ACCEPTED).await;
        let report = ask(&format!("mqtts://localhost:{port}"), &ca.trusted()).await;
        assert_eq!(report.exit_code(), code, "{report}");
        assert!(report.to_string().contains(text), "{report}");
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_named() {
    let port = broker(Scheme::Tls, with(&Ca::new().server("localhost", |_| {})), ACCEPTED).await;
    let report = ask(&format!("mqtts://localhost:{port}"), &Ca::new().trusted()).await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::UnknownIssuer { issuer: Some(issuer), self_signed: false })
            if issuer.contains("CN=Workshop CA")),
        "{report}"
    );
    assert_eq!(report.exit_code(), 44);

    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = ServerTls::from_pem(own.pem(), key.serialize_pem());
    let port = broker(Scheme::Wss, with(&tls), ACCEPTED).await;
    let report = ask(&format!("wss://localhost:{port}"), &Ca::new().trusted()).await;
    let diagnosis = report.diagnosis();
    assert!(matches!(diagnosis, Some(Diagnosis::UnknownIssuer { self_signed: true, .. })), "{report}");
}

#[tokio::test]
async fn a_client_certificate_is_demanded_or_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    for scheme in [Scheme::Tls, Scheme::Wss] {
        let tls = ca.server("localhost", |_| {}).client_ca_pem(ca.pem.clone(), ClientAuth::Required);
        let port = broker(scheme, with(&tls), ACCEPTED).await;
        let url = format!("{scheme}://localhost:{port}");
        let report = ask(&url, &ca.trusted()).await;
        assert!(matches!(report.diagnosis(), Some(Diagnosis::ClientCertificateRequired)), "{report}");
        assert_eq!(report.exit_code(), 45);
        let (cert, key) = other.sign("device", |_| {});
        let options = ConnectOptions::new().tls(ca.client().identity_pem(cert, key).build().unwrap());
        let report = ask(&url, &options).await;
        assert!(matches!(report.diagnosis(), Some(Diagnosis::ClientCertificateRefused(_))), "{report}");
        let (cert, key) = ca.sign("device", |_| {});
        let options = ConnectOptions::new().tls(ca.client().identity_pem(cert, key).build().unwrap());
        assert_eq!(ask(&url, &options).await.exit_code(), 0);
    }
}

#[tokio::test]
async fn a_subprotocol_refused_or_not_answered() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Accept: {accept}\r\n";
    let port = raw(format!("{upgrade}\r\n")).await;
    let report = plain(&format!("ws://localhost:{port}/mqtt")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::SubprotocolUnanswered)), "{report}");
    let port = raw(format!("{upgrade}Sec-WebSocket-Protocol: chat\r\n\r\n")).await;
    let report = plain(&format!("ws://localhost:{port}/mqtt")).await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::SubprotocolRefused { answer }) if answer.contains("chat")),
        "{report}"
    );
    // Our own listener, asked for something else.
    let port = broker(Scheme::Ws, AcceptOptions::new(), ACCEPTED).await;
    let report = ask(&format!("ws://localhost:{port}"), &ConnectOptions::new().protocols(["chat"])).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::SubprotocolRefused { .. })), "{report}");
    assert_eq!(report.exit_code(), 52);
}

#[tokio::test]
async fn answers_of_web_servers_and_proxies() {
    let report = answering("301 Moved Permanently", "Location: https://other.example/mqtt\r\n", "").await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::Redirect { .. })), "{report}");
    assert_eq!(report.suggestion(), Some("wss://other.example:443/mqtt"));
    assert_eq!(report.exit_code(), 53);
    for (status, code, text) in [
        ("401 Unauthorized", 54, "wants credentials"),
        ("403 Forbidden", 54, "does not allow"),
        ("407 Proxy Authentication Required", 55, "a proxy wants credentials"),
        ("502 Bad Gateway", 56, "502 Bad Gateway"),
        ("503 Service Unavailable", 56, "503 Service Unavailable"),
        ("404 Not Found", 51, "no MQTT at /mqtt (404 Not Found)"),
    ] {
        let report = answering(status, "", "sorry\n").await;
        assert_eq!((report.exit_code(), report.failed_step()), (code, Some(Step::Upgrade)), "{report}");
        assert!(report.to_string().contains(text), "{report}");
    }
    let report =
        answering("200 OK", "Content-Type: text/html\r\n", "<html><title>Hotel Wi-Fi</title></html>").await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::Page { line, .. }) if line.contains("Hotel Wi-Fi")),
        "{report}"
    );
    assert_eq!(report.exit_code(), 57);
}

#[tokio::test]
async fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let report = plain(&format!("ws://127.0.0.1:{port}")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::Refused { addresses }) if addresses.len() == 1));
    assert_eq!((report.exit_code(), report.failed_step()), (30, Some(Step::Tcp)));
    let report = plain("mqtt://no-such-host.invalid").await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::NameNotFound { host, .. }) if host == "no-such-host.invalid")
    );
    assert_eq!((report.exit_code(), report.failed_step()), (20, Some(Step::Dns)));
}

#[tokio::test]
async fn a_silent_server() {
    // The system accepts for it, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = ConnectOptions::new().timeout(Duration::from_millis(200));
    let report = ask(&format!("ws://localhost:{port}"), &options).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::TimedOut { phase: Phase::WebSocket })), "{report}");
    let report = ask(&format!("mqtt://localhost:{port}"), &options).await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::ConnectUnanswered { closed: false, .. })),
        "{report}"
    );
    assert_eq!((report.exit_code(), report.failed_step()), (62, Some(Step::Connect)));
}

#[tokio::test]
async fn the_brokers_own_refusal_is_read() {
    let port = broker(Scheme::Ws, AcceptOptions::new(), b"\x20\x02\0\x05").await;
    let report = plain(&format!("ws://localhost:{port}")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::ConnectRefused { code: 5, v5: false, .. })));
    assert!(report.to_string().contains("not authorized"), "{report}");
    assert_eq!(report.exit_code(), 60);
    let port = raw("SSH-2.0-OpenSSH_9.2p1\r\n").await;
    let report = plain(&format!("mqtt://localhost:{port}")).await;
    assert!(
        matches!(report.diagnosis(), Some(Diagnosis::NotMqtt { first }) if first.starts_with(b"SSH-2.0-"))
    );
}

/// What looks around must not show what belongs to the broker alone.
#[tokio::test]
async fn probes_tell_no_secrets() {
    use mqttkit_ws_transport::http::header::{AUTHORIZATION, HeaderValue};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (report, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4096];
            let n = stream.read(&mut bytes).await.unwrap_or(0);
            report.send(String::from_utf8_lossy(&bytes[..n]).into_owned()).ok();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.ok();
        }
    });
    let options = ConnectOptions::new().header(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
    ask(&format!("ws://user:pa55word@localhost:{port}/mqtt"), &options).await;
    let mut with_secret = 0;
    let mut total = 0;
    while let Ok(text) = seen.try_recv() {
        total += 1;
        assert!(!text.contains("pa55word"), "{text}");
        with_secret += usize::from(text.contains("s3cret"));
    }
    assert_eq!(with_secret, 1, "the attempt itself carries the header");
    assert!(total > 4 && total < 30, "{total}");
}

/// Whoever looks around goes the same way, else it would be another server.
#[tokio::test]
async fn probes_go_through_the_proxy_too() {
    let port = broker(Scheme::Ws, AcceptOptions::new().path("/ws"), ACCEPTED).await;
    let fake = proxy::FakeProxy::start(Some(("user", "secret")), ([127, 0, 0, 1], port).into()).await;
    let url = "ws://broker.inside.invalid:7/mqtt";
    let via = |login: &str| {
        let url = format!("http://{login}{}", fake.address);
        ConnectOptions::new().proxy(url.parse::<mqttkit_ws_transport::Proxy>().unwrap())
    };
    let report = ask(url, &via("user:secret@")).await;
    assert_eq!(report.suggestion(), Some("ws://broker.inside.invalid:7/ws"), "{report}");
    let report = ask(url, &via("")).await;
    assert!(matches!(report.diagnosis(), Some(Diagnosis::Proxy { .. })), "{report}");
    assert_eq!((report.exit_code(), report.failed_step()), (55, Some(Step::Tcp)));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = format!("http://{closed}").parse::<mqttkit_ws_transport::Proxy>().unwrap();
    assert_eq!(ask(url, &ConnectOptions::new().proxy(gone)).await.exit_code(), 33);
}
