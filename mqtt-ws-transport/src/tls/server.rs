//! The server's TLS configuration: certificates and keys, and whether clients must show one.

use super::by_name::ByName;
use super::pem::{Identity, Pem};
use super::revocation::{Crls, Revocation};
use super::version::{self, TlsVersion};
use super::{TlsConfigError, provider};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
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
///
/// ```no_run
/// use mqttkit_ws_transport::AcceptOptions;
/// use mqttkit_ws_transport::tls::{ClientAuth, ReloadableTls, ServerTls};
///
/// // Mutual TLS: clients show a certificate of this CA that is not revoked.
/// let tls = ServerTls::from_files("server.pem", "server.key")
///     .client_ca_file("clients-ca.pem", ClientAuth::Required)
///     .client_crl_file("revoked.pem");
///
/// // Once, as it is now:
/// let options = AcceptOptions::new().tls(tls.build()?);
/// // or so that the files can be read again while connections live on:
/// let reloadable = ReloadableTls::new(tls)?;
/// let options = AcceptOptions::new().tls(&reloadable);
/// reloadable.reload()?;
/// # drop(options);
/// # Ok::<(), mqttkit_ws_transport::tls::TlsConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerTls {
    identity: Identity,
    others: Vec<Identity>,
    client_ca: Option<(Pem, ClientAuth)>,
    crls: Crls,
    versions: Vec<TlsVersion>,
    alpn: Vec<Vec<u8>>,
}

impl ServerTls {
    /// From the PEM text of the certificate chain, the server's own first, and its private key.
    pub fn from_pem(certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(server_pem(certificates.into(), key.into()))
    }

    /// From PEM files. They are read by [`build`](Self::build).
    pub fn from_files(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(Identity { certificate: Pem::File(certificates.into()), key: Pem::File(key.into()) })
    }

    fn new(identity: Identity) -> Self {
        Self {
            identity,
            others: Vec::new(),
            client_ca: None,
            crls: Crls::default(),
            versions: TlsVersion::DEFAULT.to_vec(),
            alpn: Vec::new(),
        }
    }

    /// With another certificate, for clients that ask for one of its names (SNI, subject alternative names, `*.` for
    /// one label). The first certificate is for all others.
    #[must_use]
    pub fn also_pem(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.others.push(server_pem(certificates.into(), key.into()));
        self
    }

    /// Like [`also_pem`](Self::also_pem), from files.
    #[must_use]
    pub fn also_files(mut self, certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.others
            .push(Identity { certificate: Pem::File(certificates.into()), key: Pem::File(key.into()) });
        self
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

    /// Refuses the client certificates that are in the revocation lists of this PEM text; needs a CA for clients.
    /// Can be called several times. See [`Revocation`].
    #[must_use]
    pub fn client_crl_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.crls.lists.push(Pem::Text(pem.into(), "the revocation list"));
        self
    }

    /// Like [`client_crl_pem`](Self::client_crl_pem), from a file.
    #[must_use]
    pub fn client_crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.crls.lists.push(Pem::File(path.into()));
        self
    }

    /// How strictly the revocation lists are applied.
    #[must_use]
    pub fn revocation(mut self, strictness: Revocation) -> Self {
        self.crls.strictness = strictness;
        self
    }

    /// Taking these versions of TLS only. Default TLS 1.2 and 1.3.
    #[must_use]
    pub fn versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        self
    }

    /// Announces these application protocols (ALPN), in order of preference. A client that offers others only is
    /// refused; one that offers none is taken. Default none for `mqtts`, and `http/1.1` for `wss`.
    #[must_use]
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The configuration. Change it as you like before you share it.
    ///
    /// Reads the files, blocking.
    pub fn build(&self) -> Result<ServerConfig, TlsConfigError> {
        let provider = provider()?;
        let certificates = ByName::new(&self.identity, &self.others, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&version::supported(&self.versions)?)
            .map_err(|_| TlsConfigError::NoVersion)?;
        let builder = match self.client_verifier(provider)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(config)
    }

    fn client_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsConfigError> {
        let Some((pem, auth)) = &self.client_ca else {
            if self.crls.lists.is_empty() {
                return Ok(None);
            }
            return Err(TlsConfigError::CrlWithoutCa);
        };
        let mut roots = RootCertStore::empty();
        pem.add_roots(&mut roots)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match auth {
            ClientAuth::Required => verifier,
            ClientAuth::Optional => verifier.allow_unauthenticated(),
        };
        let verifier = self.crls.for_clients(verifier)?.build();
        verifier.map(Some).map_err(|error| self.crls.sort_error(&error))
    }
}

fn server_pem(certificates: Vec<u8>, key: Vec<u8>) -> Identity {
    Identity {
        certificate: Pem::Text(certificates, "the server certificate"),
        key: Pem::Text(key, "the server key"),
    }
}
