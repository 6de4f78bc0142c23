//! The commands of the README, run as they stand there: what OpenSSL makes is what is needed here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", any(feature = "aws-lc-rs", feature = "ring"), unix))]

#[path = "support/pki.rs"]
mod pki;
mod support;

use mqttkit_ws_transport::rustls::pki_types::pem::PemObject;
use mqttkit_ws_transport::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use mqttkit_ws_transport::rustls::sign::{CertifiedKey, SingleCertAndKey};
use mqttkit_ws_transport::tls::{Certificate, ClientAuth, ClientTls, ServerTls, TlsError};
use mqttkit_ws_transport::{AcceptError, ConnectOptions, Scheme};
use pki::{TempDir, check_echo, dial, dial_with, start, tls_error};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

fn sh(dir: &TempDir, script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(&dir.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_commands_of_the_readme_make_mutual_tls() {
    let readme = include_str!("../README.md");
    let script = readme.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let dir = TempDir::new();
    sh(&dir, script);
    let file = |name: &str| -> PathBuf { dir.0.join(name) };

    let server_tls = ServerTls::from_files(file("server.pem"), file("server.key"))
        .client_ca_file(file("ca.pem"), ClientAuth::Required);
    let client_tls = ClientTls::new().only_given_cas().ca_file(file("ca.pem"));
    let client_tls = client_tls.identity_files(file("device.pem"), file("device.key"));
    let mut server = start(Scheme::Wss, server_tls.build().unwrap()).await;
    check_echo(&mut dial(&server, &client_tls).await.unwrap()).await;
    let certificate: Certificate = server.link().await.tls.unwrap().client_certificate().unwrap().unwrap();

    // What is read of the certificate is what OpenSSL reads.
    let said = sh(&dir, "openssl x509 -in device.pem -noout -subject -issuer -nameopt RFC2253 -serial");
    let serial = certificate.serial().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    let read =
        format!("subject={}\nissuer={}\nserial={serial}\n", certificate.subject(), certificate.issuer());
    assert_eq!(read, said);
    let until = sh(&dir, "date -u -d \"$(openssl x509 -in device.pem -noout -enddate | cut -d= -f2)\" +%s");
    let not_after = certificate.not_after().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(until.trim(), not_after.as_secs().to_string());

    let mut server =
        start(Scheme::Wss, server_tls.client_crl_file(file("revoked.pem")).build().unwrap()).await;
    tls_error(dial(&server, &client_tls).await);
    assert!(matches!(server.refused().await, AcceptError::Tls(TlsError::Revoked)));

    let line = sh(&dir, "openssl x509 -in server.pem -noout -fingerprint -sha256");
    let fingerprint = line.trim().split_once('=').unwrap().1.parse().unwrap();
    let server = ServerTls::from_files(file("server.pem"), file("server.key"));
    let server = start(Scheme::Tls, server.build().unwrap()).await;
    check_echo(&mut dial(&server, &ClientTls::new().fingerprint(fingerprint)).await.unwrap()).await;
}

/// The two mistakes that are made most with OpenSSL.
#[tokio::test]
async fn what_openssl_makes_by_default_is_refused_with_a_reason() {
    let dir = TempDir::new();
    sh(
        &dir,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
           -addext subjectAltName=DNS:localhost -keyout ca.key -out ca.pem
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
           -keyout one.key -out one.csr
         openssl x509 -req -in one.csr -CA ca.pem -CAkey ca.key -out one.pem",
    );
    let file = |name: &str| -> PathBuf { dir.0.join(name) };
    let client = ClientTls::new().only_given_cas().ca_file(file("ca.pem"));
    let server = ServerTls::from_files(file("ca.pem"), file("ca.key")).build().unwrap();
    let error = tls_error(dial(&start(Scheme::Tls, server).await, &client).await);
    assert!(matches!(error, TlsError::AuthorityAsPeer), "{error:?}");

    let client = ClientTls::new().only_given_cas().ca_file(file("ca.pem"));
    let own = client.identity_files(file("one.pem"), file("one.key")).build().unwrap_err();
    assert!(own.to_string().contains("of version 1") && own.to_string().contains("subjectAltName"), "{own}");

    // A client that does not look at what it shows.
    let mut config = ClientTls::new().danger_accept_invalid_certs(true).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(file("one.key")).unwrap();
    let key = config.crypto_provider().key_provider.load_private_key(key).unwrap();
    let certificate = CertificateDer::from_pem_file(file("one.pem")).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    config.client_auth_cert_resolver = Arc::new(shown);
    let server = ServerTls::from_files(file("ca.pem"), file("ca.key"))
        .client_ca_file(file("ca.pem"), ClientAuth::Required);
    let mut server = start(Scheme::Wss, server.build().unwrap()).await;
    tls_error(dial_with(&server, &ConnectOptions::new().tls(config)).await);
    let seen = server.refused().await;
    assert!(matches!(seen, AcceptError::Tls(TlsError::VersionOne)), "{seen:?}");
}
