//! Authorities, certificates and revocation lists for the TLS tests, and how to dial with them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use crate::support::{EchoServer, recv_exact};
use mqttkit_ws_transport::tls::{ClientTls, ServerTls, ServerTlsSource, TlsError};
use mqttkit_ws_transport::{
    AcceptOptions, ClientLink, ConnectError, ConnectOptions, Endpoint, Host, LinkExt, Scheme, TokioRuntime,
    connect,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An authority and what it signs.
pub struct Ca {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// PEM of a certificate with its key.
#[derive(Clone)]
pub struct Signed {
    pub cert: String,
    pub key: String,
    pub der: Vec<u8>,
    serial: SerialNumber,
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("CA {}", COUNT.fetch_add(1, Ordering::Relaxed)));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Ca {
    pub fn new() -> Self {
        let params = ca_params();
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// An authority below this one.
    pub fn intermediate(&self) -> Self {
        let params = ca_params();
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn sign(&self, name: &str) -> Signed {
        self.sign_with(name, |_| {})
    }

    pub fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let serial = SerialNumber::from(u64::from(COUNT.fetch_add(1, Ordering::Relaxed)) + 1);
        params.serial_number = Some(serial.clone());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Signed { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec(), serial }
    }

    pub fn server(&self, name: &str) -> ServerTls {
        self.sign(name).server()
    }

    /// Trusts this authority alone.
    pub fn client(&self) -> ClientTls {
        ClientTls::new().only_given_cas().ca_pem(self.pem.clone())
    }

    /// A list of what is revoked, in force until that year.
    pub fn crl(&self, revoked: &[&Signed], until: i32) -> String {
        let revoked_certs = revoked
            .iter()
            .map(|signed| RevokedCertParams {
                serial_number: signed.serial.clone(),
                revocation_time: date_time_ymd(2001, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        CertificateRevocationListParams {
            this_update: date_time_ymd(2000, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .pem()
        .unwrap()
    }
}

impl Signed {
    pub fn server(&self) -> ServerTls {
        ServerTls::from_pem(self.cert.clone(), self.key.clone())
    }
}

pub async fn start(scheme: Scheme, tls: impl Into<ServerTlsSource>) -> EchoServer {
    EchoServer::start(scheme, AcceptOptions::new().tls(tls)).await
}

pub async fn dial_with(
    server: &EchoServer,
    options: &ConnectOptions,
) -> Result<ClientLink<TokioRuntime>, ConnectError> {
    let endpoint: Endpoint = server.url().parse().unwrap();
    connect(&TokioRuntime::new(), &endpoint, options).await
}

pub async fn dial(server: &EchoServer, tls: &ClientTls) -> Result<ClientLink<TokioRuntime>, ConnectError> {
    dial_with(server, &ConnectOptions::new().tls(tls.build().unwrap())).await
}

/// With another name than `localhost` in TLS.
pub async fn dial_as(
    server: &EchoServer,
    tls: &ClientTls,
    name: &str,
) -> Result<ClientLink<TokioRuntime>, ConnectError> {
    let options = ConnectOptions::new().tls(tls.build().unwrap());
    dial_with(server, &options.server_name(Host::Name(name.to_owned()))).await
}

/// The TLS error of a connection that must fail.
pub fn tls_error<T: std::fmt::Debug>(result: Result<T, ConnectError>) -> TlsError {
    match result {
        Err(ConnectError::Tls(error)) => {
            assert!(!error.hint().is_empty() && !error.to_string().is_empty());
            error
        }
        other => panic!("{other:?}"),
    }
}

pub async fn check_echo(link: &mut impl LinkExt) {
    link.send_all(&mut &b"hello"[..]).await.unwrap();
    assert_eq!(recv_exact(link, 5).await, b"hello");
}

/// A directory that is removed at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let name = format!("mqttkit-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
