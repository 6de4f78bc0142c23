//! The client's TLS configuration: whom to trust, and which certificate to show.

use super::fingerprint::{ByFingerprint, Fingerprint};
use super::pem::{Identity, Pem};
use super::revocation::{Crls, Revocation};
use super::version::{self, TlsVersion};
use super::{TlsConfigError, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;

/// Whom a client trusts beside the CAs it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Roots {
    /// The system's roots, or Mozilla's where the feature `platform-verifier` is off, or nobody where both are.
    #[default]
    Default,
    /// The system's roots and its verifier. Needs the feature `platform-verifier`.
    Platform,
    /// Mozilla's roots, as compiled in. Needs the feature `webpki-roots`.
    Webpki,
    /// Nobody.
    OnlyGiven,
}

/// Builds a client configuration.
///
/// It trusts the system's roots (feature `platform-verifier`) or those of Mozilla (feature `webpki-roots`, when the
/// former is off), and the CAs given in addition.
///
/// ```no_run
/// use mqttkit_ws_transport::ConnectOptions;
/// use mqttkit_ws_transport::tls::ClientTls;
///
/// // A broker with a certificate of our own CA, which wants to see ours.
/// let tls = ClientTls::new().only_given_cas().ca_file("ca.pem").identity_files("device.pem", "device.key");
/// let options = ConnectOptions::new().tls(tls.build()?);
/// # drop(options);
/// # Ok::<(), mqttkit_ws_transport::tls::TlsConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientTls {
    cas: Vec<Pem>,
    roots: Roots,
    fingerprints: Vec<Fingerprint>,
    crls: Crls,
    identity: Option<Identity>,
    versions: Vec<TlsVersion>,
    alpn: Vec<Vec<u8>>,
    sni: bool,
    accept_invalid: bool,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            cas: Vec::new(),
            roots: Roots::Default,
            fingerprints: Vec::new(),
            crls: Crls::default(),
            identity: None,
            versions: TlsVersion::DEFAULT.to_vec(),
            alpn: Vec::new(),
            sni: true,
            accept_invalid: false,
        }
    }
}

impl ClientTls {
    /// With the default roots and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the CA certificates in this PEM text too.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.cas.push(Pem::Text(pem.into(), "the CA"));
        self
    }

    /// Trusts the CA certificates in this PEM file too.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.cas.push(Pem::File(path.into()));
        self
    }

    /// Trusts the CAs given here and nobody else.
    #[must_use]
    pub fn only_given_cas(self) -> Self {
        self.roots(Roots::OnlyGiven)
    }

    /// Trusts these roots beside the CAs given.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Trusts the server certificate with this fingerprint and no other, whoever signed it, whatever name it is for and
    /// however old it is: the safe way to a self-signed certificate. Can be called several times, for a certificate that
    /// will be replaced. It takes the place of CAs, which cannot be given besides.
    #[must_use]
    pub fn fingerprint(mut self, sha256: Fingerprint) -> Self {
        self.fingerprints.push(sha256);
        self
    }

    /// Refuses the server certificates that are in the revocation lists of this PEM text. Can be called several times.
    ///
    /// Not for the system's verifier: give a CA and [`only_given_cas`](Self::only_given_cas), or use
    /// [`Roots::Webpki`].
    #[must_use]
    pub fn crl_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.crls.lists.push(Pem::Text(pem.into(), "the revocation list"));
        self
    }

    /// Like [`crl_pem`](Self::crl_pem), from a file.
    #[must_use]
    pub fn crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.crls.lists.push(Pem::File(path.into()));
        self
    }

    /// How strictly the revocation lists are applied.
    #[must_use]
    pub fn revocation(mut self, strictness: Revocation) -> Self {
        self.crls.strictness = strictness;
        self
    }

    /// Shows this certificate chain, the client's own first, when the server asks for one (mutual TLS).
    #[must_use]
    pub fn identity_pem(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Identity {
            certificate: Pem::Text(certificates.into(), "the client certificate"),
            key: Pem::Text(key.into(), "the client key"),
        });
        self
    }

    /// Like [`identity_pem`](Self::identity_pem), from files.
    #[must_use]
    pub fn identity_files(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity =
            Some(Identity { certificate: Pem::File(certificates.into()), key: Pem::File(key.into()) });
        self
    }

    /// Offering these versions of TLS only. Default TLS 1.2 and 1.3.
    #[must_use]
    pub fn versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        self
    }

    /// Offers these application protocols (ALPN), in order of preference. Default none for `mqtts`, and `http/1.1` for
    /// `wss`, which should stay. Some servers choose by it what they speak on port 443, for example
    /// `x-amzn-mqtt-ca`.
    #[must_use]
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the server is told which host name is wanted (SNI). Default true. Without it a server with several
    /// certificates shows its first, and everyone on the way sees one thing less.
    /// [`ConnectOptions::server_name`](crate::ConnectOptions::server_name) sets another name than that of the URL.
    #[must_use]
    pub fn sni(mut self, tell: bool) -> Self {
        self.sni = tell;
        self
    }

    /// **Dangerous:** accepts any certificate from anybody, whatever CAs are given. The connection is encrypted, but to
    /// whom is unknown: everyone on the way can read and change it. For development with self-signed certificates only,
    /// and [`build`](Self::build) says so on standard error each time; trusting that certificate with
    /// [`ca_pem`](Self::ca_pem) or by its [`fingerprint`](Self::fingerprint) is safe and hardly more work.
    #[must_use]
    pub fn danger_accept_invalid_certs(mut self, accept: bool) -> Self {
        self.accept_invalid = accept;
        self
    }

    /// The configuration. Change it as you like before you share it.
    ///
    /// Reads files and the system's roots, blocking; build it once and reuse it, which also lets sessions resume.
    #[expect(clippy::print_stderr, reason = "the dangerous switch must be heard also where nothing logs")]
    pub fn build(&self) -> Result<ClientConfig, TlsConfigError> {
        let provider = provider()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&version::supported(&self.versions)?)
            .map_err(|_| TlsConfigError::NoVersion)?;
        if self.accept_invalid {
            eprintln!("{DANGER}");
        }
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(provider)?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.certificate.certificates()?, identity.key.key()?)
                .map_err(|error| identity.sort_error(error))?,
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.enable_sni = self.sni;
        Ok(config)
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        if self.accept_invalid {
            return Ok(Arc::new(ByFingerprint::anyone(provider)));
        }
        if !self.fingerprints.is_empty() {
            if !self.cas.is_empty() || !self.crls.lists.is_empty() {
                return Err(TlsConfigError::FingerprintAndCa);
            }
            return Ok(Arc::new(ByFingerprint::these(self.fingerprints.clone(), provider)?));
        }
        match self.roots {
            Roots::Platform => self.platform(provider),
            Roots::Default if cfg!(feature = "platform-verifier") => self.platform(provider),
            Roots::Default if cfg!(not(feature = "webpki-roots")) => self.webpki(false, provider),
            Roots::Default | Roots::Webpki => self.webpki(true, provider),
            Roots::OnlyGiven => self.webpki(false, provider),
        }
    }

    fn given_roots(&self) -> Result<RootCertStore, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        for pem in &self.cas {
            pem.add_roots(&mut roots)?;
        }
        Ok(roots)
    }

    fn webpki(
        &self,
        mozilla: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        let mut roots = self.given_roots()?;
        if mozilla {
            add_mozilla(&mut roots)?;
        }
        if roots.is_empty() {
            return Err(TlsConfigError::NoRoots);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        match self.crls.for_servers(verifier)?.build() {
            Ok(verifier) => Ok(verifier),
            Err(error) => Err(self.crls.sort_error(&error)),
        }
    }

    #[cfg(feature = "platform-verifier")]
    fn platform(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        if !self.crls.lists.is_empty() {
            return Err(TlsConfigError::CrlOnPlatform);
        }
        // Parsed here as well, for an error that names the file.
        self.given_roots()?;
        let mut extra = Vec::new();
        for pem in &self.cas {
            extra.extend(pem.certificates()?);
        }
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
            .map_err(|error| TlsConfigError::PlatformRoots { reason: error.to_string() })?;
        Ok(Arc::new(verifier))
    }

    #[cfg(not(feature = "platform-verifier"))]
    #[expect(clippy::unused_self, reason = "like the one that the feature brings")]
    fn platform(&self, _: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        Err(TlsConfigError::RootsUnavailable { feature: "platform-verifier" })
    }
}

const DANGER: &str = "WARNING: TLS certificates are NOT CHECKED (danger_accept_invalid_certs): \
anyone on the way can read and change this connection. For development only.";

#[cfg(feature = "webpki-roots")]
#[expect(clippy::unnecessary_wraps, reason = "like the one without the feature")]
fn add_mozilla(roots: &mut RootCertStore) -> Result<(), TlsConfigError> {
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(())
}

#[cfg(not(feature = "webpki-roots"))]
fn add_mozilla(_: &mut RootCertStore) -> Result<(), TlsConfigError> {
    Err(TlsConfigError::RootsUnavailable { feature: "webpki-roots" })
}
