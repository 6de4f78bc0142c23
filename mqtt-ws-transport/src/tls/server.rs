//! The server's TLS configuration: certificate and key, and whether clients must show one.

use super::pem::{Identity, Pem};
use super::{TlsConfigError, provider};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::Arc;

/// Whether a client must show a certificate, where a CA for clients is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client may come without; a certificate that it shows must be valid.
    Optional,
}

/// Builds a server configuration from PEM.
#[derive(Debug, Clone)]
pub struct ServerTls {
    identity: Identity,
    client_ca: Option<(Pem, ClientAuth)>,
}

impl ServerTls {
    /// From the PEM text of the certificate chain, the server's own first, and its private key.
    pub fn from_pem(certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(
            Pem::Text(certificates.into(), "the server certificate"),
            Pem::Text(key.into(), "the server key"),
        )
    }

    /// From PEM files. They are read by [`build`](Self::build).
    pub fn from_files(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(Pem::File(certificates.into()), Pem::File(key.into()))
    }

    fn new(certificate: Pem, key: Pem) -> Self {
        Self { identity: Identity { certificate, key }, client_ca: None }
    }

    /// Checks client certificates against the CA certificates in this PEM text.
    #[must_use]
    pub fn client_ca_pem(mut self, pem: impl Into<Vec<u8>>, auth: ClientAuth) -> Self {
        self.client_ca = Some((Pem::Text(pem.into(), "the CA for clients"), auth));
        self
    }

    /// Checks client certificates against the CA certificates in this PEM file.
    #[must_use]
    pub fn client_ca_file(mut self, path: impl Into<PathBuf>, auth: ClientAuth) -> Self {
        self.client_ca = Some((Pem::File(path.into()), auth));
        self
    }

    /// The configuration, for TLS 1.2 and 1.3. Change it as you like before you share it.
    ///
    /// Reads the files, blocking.
    pub fn build(&self) -> Result<ServerConfig, TlsConfigError> {
        let provider = provider()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.identity.sort_error(error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some((pem, auth)) => {
                let mut roots = RootCertStore::empty();
                pem.add_roots(&mut roots)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match auth {
                    ClientAuth::Required => verifier,
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|error| TlsConfigError::BadCertificate {
                    origin: pem.origin(),
                    reason: error.to_string(),
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder
            .with_single_cert(self.identity.certificate.certificates()?, self.identity.key.key()?)
            .map_err(|error| self.identity.sort_error(error))
    }
}
