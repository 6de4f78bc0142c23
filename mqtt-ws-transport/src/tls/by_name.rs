//! Which of several certificates a client is shown: the one for the name it asks for (SNI).

use super::TlsConfigError;
use super::certificate::Certificate;
use super::pem::Identity;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The first certificate for everybody whom no other suits better.
#[derive(Debug)]
pub(super) struct ByName {
    default: Arc<CertifiedKey>,
    /// In lower case; `*.` stands for one label.
    names: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn new(
        default: &Identity,
        others: &[Identity],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsConfigError> {
        let default = Arc::new(default.certified_key(provider)?);
        let mut names = HashMap::new();
        // Without others nothing is to be chosen, and a certificate that names nothing is good enough.
        if !others.is_empty() {
            add(&mut names, &default)?;
        }
        for other in others {
            if !add(&mut names, &Arc::new(other.certified_key(provider)?))? {
                return Err(TlsConfigError::NoName { origin: other.certificate.origin() });
            }
        }
        Ok(Self { default, names })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.names.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.names.get(&format!("*.{parent}"))
        })
    }
}

/// Whether it is for any name at all. Where two are for the same name the first one is shown.
fn add(
    names: &mut HashMap<String, Arc<CertifiedKey>>,
    key: &Arc<CertifiedKey>,
) -> Result<bool, TlsConfigError> {
    let der = key.cert.first().map_or(&[][..], |certificate| certificate.as_ref());
    let certificate = Certificate::from_der(der).map_err(|error| TlsConfigError::BadCertificate {
        origin: "the server certificate".to_owned(),
        reason: error.to_string(),
    })?;
    for name in certificate.dns_names() {
        names.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(key));
    }
    Ok(!certificate.dns_names().is_empty())
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = hello.server_name().and_then(|name| self.find(name)).unwrap_or(&self.default);
        Some(Arc::clone(key))
    }
}
