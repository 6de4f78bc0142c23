//! Each option of a TLS configuration changes something, and what contradicts itself is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", any(feature = "aws-lc-rs", feature = "ring")))]

#[path = "support/pki.rs"]
mod pki;
mod support;

use mqttkit_ws_transport::tls::{
    Certificate, ClientAuth, ClientTls, Fingerprint, Roots, ServerTls, TlsConfigError, TlsError, TlsVersion,
};
use mqttkit_ws_transport::{AcceptError, Scheme};
use pki::{Ca, check_echo, dial, dial_as, start, tls_error};
use std::process::Command;
use support::EchoServer;

async fn serve(tls: ServerTls) -> EchoServer {
    start(Scheme::Wss, tls.build().unwrap()).await
}

#[tokio::test]
async fn versions_can_be_chosen_on_either_side() {
    use TlsVersion::{V1_2, V1_3};
    let ca = Ca::new();
    for (server_versions, client_versions, agreed) in [
        (vec![V1_2, V1_3], vec![V1_2, V1_3], Some("TLSv1_3")),
        (vec![V1_2], vec![V1_2, V1_3], Some("TLSv1_2")),
        (vec![V1_3], vec![V1_2, V1_3], Some("TLSv1_3")),
        (vec![V1_2, V1_3], vec![V1_2], Some("TLSv1_2")),
        (vec![V1_3], vec![V1_2], None),
        (vec![V1_2], vec![V1_3], None),
    ] {
        let mut server = serve(ca.server("localhost").versions(server_versions)).await;
        let result = dial(&server, &ca.client().versions(client_versions)).await;
        if let Some(agreed) = agreed {
            check_echo(&mut result.unwrap()).await;
            assert_eq!(server.link().await.tls.unwrap().version, Some(agreed));
        } else {
            // 70 is protocol_version.
            let error = tls_error(result);
            assert!(matches!(error, TlsError::Alert { alert: 70 }), "{error:?}");
            let seen = server.refused().await;
            assert!(matches!(seen, AcceptError::Tls(TlsError::Incompatible(_))), "{seen:?}");
        }
    }
    assert!(matches!(ca.client().versions([]).build(), Err(TlsConfigError::NoVersion)));
    assert!(matches!(ca.server("localhost").versions([]).build(), Err(TlsConfigError::NoVersion)));
}

#[tokio::test]
async fn application_protocols_are_agreed_on() {
    let ca = Ca::new();
    for (server_list, client_list, agreed) in [
        (vec![], vec![], None),
        (vec!["mqtt", "x"], vec!["x", "y"], Some("x")),
        (vec!["mqtt"], vec![], None),
        (vec![], vec!["mqtt"], None),
    ] {
        let tls = ca.server("localhost").alpn(server_list).build().unwrap();
        let mut server = start(Scheme::Tls, tls).await;
        check_echo(&mut dial(&server, &ca.client().alpn(client_list)).await.unwrap()).await;
        let alpn = server.link().await.tls.unwrap().alpn;
        assert_eq!(alpn.as_deref(), agreed.map(str::as_bytes));
    }
    // 120 is no_application_protocol.
    let mut server = start(Scheme::Tls, ca.server("localhost").alpn(["mqtt"]).build().unwrap()).await;
    let error = tls_error(dial(&server, &ca.client().alpn(["x"])).await);
    assert!(matches!(error, TlsError::Alert { alert: 120 }), "{error:?}");
    assert!(matches!(server.refused().await, AcceptError::Tls(TlsError::Incompatible(_))));

    // A WebSocket is HTTP/1.1, unless it is said otherwise.
    let mut server = serve(ca.server("localhost")).await;
    dial(&server, &ca.client()).await.unwrap();
    assert_eq!(server.link().await.tls.unwrap().alpn.as_deref(), Some(&b"http/1.1"[..]));
    let mut server = serve(ca.server("localhost").alpn(["x", "http/1.1"])).await;
    dial(&server, &ca.client().alpn(["x"])).await.unwrap();
    assert_eq!(server.link().await.tls.unwrap().alpn.as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn the_server_learns_the_name_unless_told_not_to() {
    let ca = Ca::new();
    let mut server = serve(ca.server("localhost")).await;
    dial(&server, &ca.client()).await.unwrap();
    assert_eq!(server.link().await.tls.unwrap().server_name.as_deref(), Some("localhost"));
    server.ended().await.0.ok();
    dial(&server, &ca.client().sni(false)).await.unwrap();
    assert_eq!(server.link().await.tls.unwrap().server_name, None);
}

#[tokio::test]
async fn another_name_than_that_of_the_url_is_asked_for_and_checked() {
    let ca = Ca::new();
    let mut server = serve(ca.server("broker.example")).await;
    dial_as(&server, &ca.client(), "broker.example").await.unwrap();
    assert_eq!(server.link().await.tls.unwrap().server_name.as_deref(), Some("broker.example"));
    let error = tls_error(dial_as(&server, &ca.client(), "other.example").await);
    assert!(matches!(error, TlsError::WrongName { expected, .. } if expected == "other.example"));
}

#[tokio::test]
async fn several_certificates_are_chosen_by_name() {
    let ca = Ca::new();
    let (b, c) = (ca.sign("b.example"), ca.sign("*.c.example"));
    let server = serve(ca.server("a.example").also_pem(b.cert, b.key).also_pem(c.cert, c.key)).await;
    for name in ["a.example", "b.example", "B.Example", "x.c.example"] {
        dial_as(&server, &ca.client(), name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["c.example", "x.y.c.example", "d.example"] {
        let error = tls_error(dial_as(&server, &ca.client(), name).await);
        assert!(
            matches!(&error, TlsError::WrongName { presented, .. } if presented[0].contains("a.example")),
            "{name}: {error:?}"
        );
    }
    let nameless = ca.sign_with("x", |params| params.subject_alt_names.clear());
    let tls = ca.server("a.example").also_pem(nameless.cert, nameless.key);
    assert!(matches!(tls.build(), Err(TlsConfigError::NoName { .. })));
    let (d, e) = (ca.sign("d.example"), ca.sign("e.example"));
    let tls = ca.server("a.example").also_pem(d.cert, e.key);
    assert!(matches!(tls.build(), Err(TlsConfigError::KeyMismatch)));
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_its_fingerprint() {
    // Another name, long expired, of an authority that nobody knows: none of it matters.
    let signed = Ca::new().sign_with("broker.example", |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    });
    let fingerprint = Fingerprint::of(&signed.der).unwrap();
    let other = Fingerprint([7; 32]);
    for versions in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let server = serve(signed.server().versions([versions])).await;
        let tls = ClientTls::new().fingerprint(other).fingerprint(fingerprint);
        check_echo(&mut dial(&server, &tls).await.unwrap()).await;
        let error = tls_error(dial(&server, &ClientTls::new().fingerprint(other)).await);
        let TlsError::WrongFingerprint { presented } = &error else { panic!("{error:?}") };
        assert_eq!(presented.parse(), Ok(fingerprint));
        assert!(error.hint().contains(presented));
    }
    // The certificate alone is not enough: whoever shows it must have its key.
    let (mine, stolen) = (Ca::new().sign("x"), signed.cert.clone());
    assert!(matches!(ServerTls::from_pem(stolen, mine.key).build(), Err(TlsConfigError::KeyMismatch)));
    let both = ClientTls::new().fingerprint(fingerprint).ca_pem(Ca::new().pem);
    assert!(matches!(both.build(), Err(TlsConfigError::FingerprintAndCa)));
}

#[test]
fn the_fingerprint_is_sha_256() {
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Fingerprint::of(b"abc").unwrap(), abc.parse().unwrap());
}

#[tokio::test]
async fn the_clients_certificate_is_handed_on_with_its_names() {
    let ca = Ca::new();
    let device = ca.sign_with("device-7.example", |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        params.distinguished_name.push(rcgen::DnType::CommonName, "device-7");
    });
    for versions in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Required);
        let mut server = serve(tls.versions([versions])).await;
        let client = ca.client().identity_pem(device.cert.clone(), device.key.clone());
        check_echo(&mut dial(&server, &client).await.unwrap()).await;
        let tls = server.link().await.tls.unwrap();
        assert_eq!(tls.client_certificates, std::slice::from_ref(&device.der));
        let certificate: Certificate = tls.client_certificate().unwrap().unwrap();
        assert_eq!(certificate.subject().common_name(), Some("device-7"));
        assert_eq!(certificate.subject().to_string(), "CN=device-7,O=Example");
        assert_eq!(certificate.dns_names(), ["device-7.example"]);
        assert!(certificate.issuer().common_name().unwrap().starts_with("CA "));
    }
    let mut server = serve(ca.server("localhost")).await;
    dial(&server, &ca.client()).await.unwrap();
    assert!(server.link().await.tls.unwrap().client_certificate().is_none());
}

/// Runs one test of this file in a process of its own, with another environment. Returns what it says on standard error.
fn run_alone(test: &str, vars: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{test}: {error}\n{}", String::from_utf8_lossy(&output.stdout));
    error
}

#[test]
fn the_dangerous_switch_is_loud() {
    let error = run_alone("build_dangerously", &[]);
    assert!(error.contains("WARNING") && error.contains("NOT CHECKED"), "{error}");
    let error = run_alone("build_safely", &[]);
    assert!(!error.contains("WARNING"), "{error}");
}

#[test]
#[ignore = "run by the_dangerous_switch_is_loud"]
fn build_dangerously() {
    ClientTls::new().danger_accept_invalid_certs(true).build().unwrap();
}

#[test]
#[ignore = "run by the_dangerous_switch_is_loud"]
fn build_safely() {
    ClientTls::new().danger_accept_invalid_certs(false).fingerprint(Fingerprint([0; 32])).build().unwrap();
}

#[test]
#[cfg(all(target_os = "linux", feature = "platform-verifier", feature = "webpki-roots"))]
fn the_roots_can_be_chosen() {
    // The certificate and key travel in the environment; the file is what the system trusts in that process.
    let ca = Ca::new();
    let signed = ca.sign("localhost");
    let dir = pki::TempDir::new();
    let roots = dir.write("roots.pem", &ca.pem);
    run_alone(
        "connect_with_roots",
        &[("SSL_CERT_FILE", roots.to_str().unwrap()), ("TEST_CERT", &signed.cert), ("TEST_KEY", &signed.key)],
    );
}

#[tokio::test]
#[ignore = "run by the_roots_can_be_chosen"]
async fn connect_with_roots() {
    let var = |name| std::env::var(name).unwrap();
    let server = serve(ServerTls::from_pem(var("TEST_CERT"), var("TEST_KEY"))).await;
    dial(&server, &ClientTls::new()).await.unwrap();
    dial(&server, &ClientTls::new().roots(Roots::Platform)).await.unwrap();
    let other = Ca::new();
    for tls in [ClientTls::new().roots(Roots::Webpki), other.client()] {
        let error = tls_error(dial(&server, &tls).await);
        assert!(matches!(error, TlsError::UnknownIssuer), "{error:?}");
    }
}

#[test]
fn the_roots_asked_for_must_be_there() {
    let ca = Ca::new();
    let build = |roots| ClientTls::new().roots(roots).build().map(|_| ());
    assert!(matches!(build(Roots::OnlyGiven), Err(TlsConfigError::NoRoots)));
    if cfg!(feature = "webpki-roots") {
        build(Roots::Webpki).unwrap();
    } else {
        assert!(matches!(build(Roots::Webpki), Err(TlsConfigError::RootsUnavailable { .. })));
    }
    if cfg!(feature = "platform-verifier") {
        build(Roots::Platform).unwrap();
        let tls = ClientTls::new().crl_pem(ca.crl(&[], 4000));
        assert!(matches!(tls.build(), Err(TlsConfigError::CrlOnPlatform)));
    } else {
        assert!(matches!(build(Roots::Platform), Err(TlsConfigError::RootsUnavailable { .. })));
    }
}
