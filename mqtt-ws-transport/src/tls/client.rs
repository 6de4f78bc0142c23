//! The client's TLS configuration: whom to trust, and which certificate to show.

use super::pem::{Identity, Pem};
use super::{TlsConfigError, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;

/// Builds a client configuration.
///
/// It trusts the system's roots (feature `platform-verifier`) or those of Mozilla (feature `webpki-roots`, when the
/// former is off), and the CAs given in addition.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    cas: Vec<Pem>,
    only_given: bool,
    identity: Option<Identity>,
    accept_invalid: bool,
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
    pub fn only_given_cas(mut self) -> Self {
        self.only_given = true;
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

    /// **Dangerous:** accepts any certificate from anybody. The connection is encrypted, but to whom is unknown:
    /// everyone on the way can read and change it. For development with self-signed certificates only; trusting
    /// that certificate with [`ca_pem`](Self::ca_pem) is safe and hardly more work.
    #[must_use]
    pub fn danger_accept_invalid_certs(mut self, accept: bool) -> Self {
        self.accept_invalid = accept;
        self
    }

    /// The configuration, for TLS 1.2 and 1.3. Change it as you like before you share it.
    ///
    /// Reads files and the system's roots, blocking; build it once and reuse it, which also lets sessions resume.
    pub fn build(&self) -> Result<ClientConfig, TlsConfigError> {
        let provider = provider()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsConfigError::NoProvider)?;
        let builder = if self.accept_invalid {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyone(provider)))
        } else if self.only_given {
            let roots = self.given_roots()?;
            if roots.is_empty() {
                return Err(TlsConfigError::NoRoots);
            }
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(self.default_verifier(provider)?)
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => builder
                .with_client_auth_cert(identity.certificate.certificates()?, identity.key.key()?)
                .map_err(|error| identity.sort_error(error)),
        }
    }

    fn given_roots(&self) -> Result<RootCertStore, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        for pem in &self.cas {
            pem.add_roots(&mut roots)?;
        }
        Ok(roots)
    }

    #[cfg(feature = "platform-verifier")]
    fn default_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
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
    fn default_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        #[allow(unused_mut, reason = "extended where the roots are compiled in")]
        let mut roots = self.given_roots()?;
        #[cfg(feature = "webpki-roots")]
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
            .map_err(|_| TlsConfigError::NoRoots)
    }
}

/// Checks that the peer owns the key of its certificate, and nothing else.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
