//! TLS: who is trusted, who is refused, and how that is called. Each option is shown to matter.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

mod support;

use mqttkit_ws_transport::tls::{ClientAuth, ClientTls, ServerTls, TlsConfigError, TlsError};
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Acceptor, ClientLink, ConnectError, ConnectOptions, Endpoint, LinkError,
    LinkExt, MemoryStream, Phase, Scheme, TokioRuntime, connect,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::raw::RawPeer;
use support::{EchoServer, recv_exact};

/// An authority and what it signs.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self::named(&format!("CA {}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, name: &str) -> ServerTls {
        let (cert, key) = self.sign(name, |_| {});
        ServerTls::from_pem(cert, key)
    }

    fn client(&self) -> ClientTls {
        ClientTls::new().only_given_cas().ca_pem(self.pem.clone())
    }
}

async fn start(scheme: Scheme, tls: &ServerTls) -> EchoServer {
    EchoServer::start(scheme, AcceptOptions::new().tls(tls.build().unwrap())).await
}

async fn dial(server: &EchoServer, tls: &ClientTls) -> Result<ClientLink<TokioRuntime>, ConnectError> {
    let endpoint: Endpoint = server.url().parse().unwrap();
    connect(&TokioRuntime::new(), &endpoint, &ConnectOptions::new().tls(tls.build().unwrap())).await
}

async fn refused(server: &EchoServer, tls: &ClientTls) -> TlsError {
    match dial(server, tls).await {
        Err(ConnectError::Tls(error)) => {
            assert!(!error.hint().is_empty());
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_foreign_authority_is_refused_on_both_sides() {
    let mut server = start(Scheme::Tls, &Ca::new().server("localhost")).await;
    let error = refused(&server, &Ca::new().client()).await;
    assert!(matches!(error, TlsError::UnknownIssuer), "{error}");
    // 48 is unknown_ca.
    let seen = server.refused().await;
    assert!(matches!(seen, AcceptError::Tls(TlsError::CertificateRefused { alert: 48 })), "{seen:?}");
    // The default roots do not know it either.
    let error = refused(&server, &ClientTls::new()).await;
    assert!(matches!(error, TlsError::UnknownIssuer), "{error}");
}

/// As after making the CA anew and forgetting to copy it to the client.
#[tokio::test]
async fn an_authority_of_the_same_name_is_not_the_same() {
    let mut server = start(Scheme::Tls, &Ca::named("twin").server("localhost")).await;
    let error = refused(&server, &Ca::named("twin").client()).await;
    assert!(matches!(error, TlsError::UnknownIssuer), "{error}");
    let seen = server.refused().await;
    assert!(matches!(seen, AcceptError::Tls(TlsError::CertificateRefused { .. })), "{seen:?}");
}

#[tokio::test]
async fn a_given_ca_adds_to_the_default_roots() {
    let ca = Ca::new();
    let server = start(Scheme::Wss, &ca.server("localhost")).await;
    dial(&server, &ClientTls::new().ca_pem(ca.pem)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_name_lists_the_names() {
    let ca = Ca::new();
    let server = start(Scheme::Wss, &ca.server("broker.example")).await;
    let error = refused(&server, &ca.client()).await;
    assert!(
        matches!(&error, TlsError::WrongName { expected, presented }
            if expected == "localhost" && presented.iter().any(|name| name.contains("broker.example"))),
        "{error:?}"
    );
    assert!(error.hint().contains("Connect to broker.example"), "{}", error.hint());
}

#[tokio::test]
async fn expired_and_not_yet_valid_are_told_apart() {
    let ca = Ca::new();
    let year = rcgen::date_time_ymd;
    for (from, to, expired) in [(2000, 2001, true), (4000, 4001, false)] {
        let (cert, key) = ca.sign("localhost", |params| {
            params.not_before = year(from, 1, 1);
            params.not_after = year(to, 1, 1);
        });
        let server = start(Scheme::Tls, &ServerTls::from_pem(cert, key)).await;
        let error = refused(&server, &ca.client()).await;
        assert!(
            matches!((&error, expired), (TlsError::Expired, true) | (TlsError::NotYetValid, false)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn the_dangerous_switch_accepts_anybody() {
    for scheme in [Scheme::Tls, Scheme::Wss] {
        let server = start(scheme, &Ca::new().server("broker.example")).await;
        let mut link = dial(&server, &ClientTls::new().danger_accept_invalid_certs(true)).await.unwrap();
        link.send_all(&mut &b"who are you"[..]).await.unwrap();
        assert_eq!(recv_exact(&mut link, 11).await, b"who are you");
    }
}

#[tokio::test]
async fn mutual_tls_hands_the_certificate_on() {
    let ca = Ca::new();
    let (cert, key) = ca.sign("device-7", |_| {});
    for scheme in [Scheme::Tls, Scheme::Wss] {
        for auth in [ClientAuth::Required, ClientAuth::Optional] {
            let mut server = start(scheme, &ca.server("localhost").client_ca_pem(ca.pem.clone(), auth)).await;
            let client = ca.client().identity_pem(cert.clone(), key.clone());
            let mut link = dial(&server, &client).await.unwrap();
            link.send_all(&mut &b"hello"[..]).await.unwrap();
            assert_eq!(recv_exact(&mut link, 5).await, b"hello");
            let tls = server.link().await.tls.unwrap();
            assert_eq!(tls.client_certificates.len(), 1);
            let text = String::from_utf8_lossy(&tls.client_certificates[0]).into_owned();
            assert!(text.contains("device-7"));
            assert_eq!(tls.version, Some("TLSv1_3"));
        }
    }
}

#[tokio::test]
async fn a_missing_client_certificate_is_refused_where_required() {
    let ca = Ca::new();
    let optional = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Optional);
    let mut server = start(Scheme::Wss, &optional).await;
    dial(&server, &ca.client()).await.unwrap();
    assert!(server.link().await.tls.unwrap().client_certificates.is_empty());

    let required = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Required);
    let mut server = start(Scheme::Wss, &required).await;
    let error = refused(&server, &ca.client()).await;
    assert!(matches!(error, TlsError::ClientCertificateRequired), "{error:?}");
    let seen = server.refused().await;
    assert!(matches!(seen, AcceptError::Tls(TlsError::NoClientCertificate)), "{seen:?}");

    // Without WebSocket the client's handshake is over before the server's verdict comes: it shows on the link.
    let server = start(Scheme::Tls, &required).await;
    let mut link = dial(&server, &ca.client()).await.unwrap();
    let error = link.recv(&mut bytes::BytesMut::new()).await.unwrap_err();
    assert!(matches!(error, LinkError::Tls(TlsError::ClientCertificateRequired)), "{error:?}");
}

#[tokio::test]
async fn a_client_certificate_of_a_foreign_authority_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (cert, key) = other.sign("device", |_| {});
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let mut server =
            start(Scheme::Wss, &ca.server("localhost").client_ca_pem(ca.pem.clone(), auth)).await;
        let error = refused(&server, &ca.client().identity_pem(cert.clone(), key.clone())).await;
        assert!(matches!(error, TlsError::CertificateRefused { .. }), "{error:?}");
        let seen = server.refused().await;
        assert!(matches!(seen, AcceptError::Tls(TlsError::UnknownIssuer)), "{seen:?}");
    }
}

#[tokio::test]
async fn tls_and_plain_mixed_up_are_named() {
    let ca = Ca::new();
    // A TLS client at a plain WebSocket port, which answers with nothing, or with an HTTP refusal.
    let server = EchoServer::start(Scheme::Ws, AcceptOptions::new()).await;
    let endpoint = server.url().replace("ws://", "wss://").parse().unwrap();
    let options = ConnectOptions::new().tls(ca.client().build().unwrap());
    let error = connect(&TokioRuntime::new(), &endpoint, &options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(TlsError::Ended | TlsError::NotTls)), "{error:?}");
    // An HTTP client at a TLS port.
    let mut server = start(Scheme::Wss, &ca.server("localhost")).await;
    let mut peer = RawPeer::connect(server.address).await;
    peer.send("GET / HTTP/1.1\r\n\r\n").await;
    let seen = server.refused().await;
    assert!(matches!(seen, AcceptError::Tls(TlsError::NotTls)), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_tls_peer_meets_the_deadline_on_both_sides() {
    let ca = Ca::new();
    let (_silent, far) = MemoryStream::pair(64);
    let options = AcceptOptions::new()
        .handshake_timeout(Duration::from_secs(3))
        .tls(ca.server("localhost").build().unwrap());
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Tls, options).unwrap();
    let began = tokio::time::Instant::now();
    assert!(matches!(acceptor.accept(far, None).await, Err(AcceptError::TlsTimedOut)));
    assert_eq!(began.elapsed().as_secs(), 3);

    let (near, _silent) = MemoryStream::pair(1 << 16);
    let endpoint = "wss://localhost".parse().unwrap();
    let options = ConnectOptions::new().tls(ca.client().build().unwrap());
    let result = mqttkit_ws_transport::connect_over(&TokioRuntime::new(), near, &endpoint, &options).await;
    assert!(matches!(result, Err(ConnectError::TimedOut { phase: Phase::Tls, .. })));
}

#[tokio::test]
async fn a_tls_listener_needs_a_configuration() {
    let result = Acceptor::new(TokioRuntime::new(), Scheme::Wss, AcceptOptions::new());
    assert!(matches!(result, Err(TlsConfigError::Missing)));
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let ca = Ca::new();
    let (cert, key) = ca.sign("localhost", |_| {});
    let (_, other_key) = ca.sign("localhost", |_| {});
    let build = |cert: &str, key: &str| ServerTls::from_pem(cert, key).build().unwrap_err();
    assert!(matches!(build(&cert, &other_key), TlsConfigError::KeyMismatch));
    assert!(matches!(build(&key, &key), TlsConfigError::NoCertificate { .. }));
    assert!(matches!(build(&cert, &cert), TlsConfigError::NoKey { .. }));
    assert!(matches!(build("", &key), TlsConfigError::NoCertificate { .. }));
    let broken = cert.replace("-----END", "----END");
    assert!(matches!(
        build(&broken, &key),
        TlsConfigError::BadPem { .. } | TlsConfigError::NoCertificate { .. }
    ));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(build(garbage, &key), TlsConfigError::BadCertificate { .. }));
    let garbage_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(build(&cert, garbage_key), TlsConfigError::BadKey { .. }));
    match ServerTls::from_files("/nonexistent/cert.pem", "/nonexistent/key.pem").build().unwrap_err() {
        TlsConfigError::Read { path, .. } => assert_eq!(path.to_str(), Some("/nonexistent/cert.pem")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(ClientTls::new().only_given_cas().build(), Err(TlsConfigError::NoRoots)));
    assert!(matches!(ClientTls::new().ca_pem("").build(), Err(TlsConfigError::NoCertificate { .. })));
    let mismatched = ClientTls::new().danger_accept_invalid_certs(true).identity_pem(cert, other_key);
    assert!(matches!(mismatched.build(), Err(TlsConfigError::KeyMismatch)));
    let private = format!("{:?}", ServerTls::from_pem("x", "secret"));
    assert!(!private.contains("secret"), "a key must not get into a log: {private}");
}

#[cfg(feature = "self-signed")]
#[tokio::test]
async fn the_self_signed_certificate_serves_this_machine() {
    use mqttkit_ws_transport::tls::self_signed;
    let made = self_signed(&["my-host"]).unwrap();
    let mut server =
        start(Scheme::Wss, &ServerTls::from_pem(made.certificate_pem.clone(), made.key_pem)).await;
    let client = ClientTls::new().only_given_cas().ca_pem(made.certificate_pem);
    dial(&server, &client).await.unwrap();
    server.link().await;
    let endpoint = format!("wss://127.0.0.1:{}", server.address.port()).parse().unwrap();
    let options = ConnectOptions::new().tls(client.build().unwrap());
    connect(&TokioRuntime::new(), &endpoint, &options).await.unwrap();
}
