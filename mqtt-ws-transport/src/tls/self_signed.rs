//! A certificate for this machine, made on the spot, for development.

use super::TlsConfigError;
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// A self-signed certificate and its key, in PEM.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate; clients that shall trust it take it as a CA.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Makes a certificate for `localhost`, `127.0.0.1`, `::1` and the names given.
///
/// For development only: browsers warn about it, and it is new at each call.
///
/// # Errors
/// [`TlsConfigError::SelfSigned`] when a name is not a valid host name, or the system has no randomness.
pub fn self_signed(names: &[&str]) -> Result<SelfSigned, TlsConfigError> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    all.extend(names.iter().map(|&name| name.to_owned()));
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(all)
        .map_err(|error| TlsConfigError::SelfSigned { reason: error.to_string() })?;
    Ok(SelfSigned { certificate_pem: cert.pem(), key_pem: signing_key.serialize_pem() })
}
