//! `CertificateIdentity`: the client's certificate says who it is.

use mqttkit_ws_transport::tls::{Certificate, TlsInfo};

use super::{Admission, BoxFuture, ConnectRequest, Identity, Policy, Refusal};

/// Clients are who their certificate says: for listeners that ask for client certificates, which have been verified
/// when a policy sees them. A client without a certificate is [unknown](Refusal::unknown).
///
/// The whole subject is the attribute `subject`.
///
/// ```
/// use mqttkit_broker_core::{CertificateIdentity, CertificateName};
///
/// let policy = CertificateIdentity::new(CertificateName::CommonName);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CertificateIdentity {
    name: CertificateName,
}

/// What of a certificate is a client's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateName {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The whole subject, as RFC 4514 writes it: `CN=door,O=House`.
    Subject,
    /// The first DNS name of the alternative names.
    DnsName,
    /// The first URI of the alternative names, as SPIFFE has it.
    Uri,
}

impl CertificateIdentity {
    /// With this as the name.
    pub fn new(name: CertificateName) -> Self {
        Self { name }
    }

    fn identify(self, certificate: &Certificate) -> Option<Identity> {
        let subject = certificate.subject().to_string();
        let name = match self.name {
            CertificateName::CommonName => certificate.subject().common_name(),
            CertificateName::Subject => Some(subject.as_str()),
            CertificateName::DnsName => certificate.dns_names().first().map(String::as_str),
            CertificateName::Uri => certificate.uris().first().map(String::as_str),
        };
        let name = name.filter(|name| !name.is_empty())?;
        Some(Identity::named(name).with_attribute("subject", &subject))
    }
}

impl Policy for CertificateIdentity {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = if request.exchange.is_some() {
            Err(Refusal::unknown_method())
        } else {
            let certificate = request.peer.tls.as_deref().and_then(TlsInfo::client_certificate);
            let identity =
                certificate.and_then(Result::ok).and_then(|certificate| self.identify(&certificate));
            identity
                .map(Admission::from)
                .ok_or_else(|| Refusal::unknown().with_text("no client certificate with a name"))
        };
        Box::pin(std::future::ready(verdict))
    }
}
