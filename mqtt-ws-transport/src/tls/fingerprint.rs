//! Trust in one certificate by its fingerprint: the safe way to connect to a self-signed server.

use super::{TlsConfigError, TlsError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme, SupportedCipherSuite,
};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The SHA-256 fingerprint of a certificate, as `openssl x509 -in cert.pem -noout -fingerprint -sha256` prints it.
///
/// ```
/// use mqttkit_ws_transport::tls::Fingerprint;
///
/// let text = "5E:FF:56:A2:AF:15:88:25:AE:06:85:AB:E3:DE:5D:15:6F:B1:1C:CF:B4:2A:23:92:31:EB:FA:52:89:02:D5:7C";
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(fingerprint));
/// # Ok::<(), mqttkit_ws_transport::tls::BadFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not a SHA-256 fingerprint: 64 hex digits, with colons or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: 64 hex digits, with colons or without")]
pub struct BadFingerprint;

impl Fingerprint {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// [`TlsConfigError::NoProvider`] without the features `aws-lc-rs` and `ring`.
    pub fn of(certificate: &[u8]) -> Result<Self, TlsConfigError> {
        Ok(Self::with(sha256(&*super::provider()?)?, certificate))
    }

    fn with(sha256: &dyn Hash, certificate: &[u8]) -> Self {
        let mut fingerprint = Self([0; 32]);
        for (to, from) in fingerprint.0.iter_mut().zip(sha256.hash(certificate).as_ref()) {
            *to = *from;
        }
        fingerprint
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let mut digits = text.trim().chars().filter(|&c| c != ':').map(|c| c.to_digit(16));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            match (digits.next(), digits.next()) {
                (Some(Some(high)), Some(Some(low))) => *byte = (high * 16 + low) as u8,
                _ => return Err(BadFingerprint),
            }
        }
        if digits.next().is_some() { Err(BadFingerprint) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(i, byte)| write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" }))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The provider's own SHA-256, which every provider has for its cipher suites.
fn sha256(provider: &CryptoProvider) -> Result<&'static dyn Hash, TlsConfigError> {
    provider
        .cipher_suites
        .iter()
        .filter_map(SupportedCipherSuite::tls13)
        .map(|suite| suite.common.hash_provider)
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
        .ok_or(TlsConfigError::NoProvider)
}

/// How a certificate that is none of the pinned ones is reported through rustls.
#[derive(Debug, thiserror::Error)]
#[error("the certificate with the fingerprint {0} is not one that is trusted")]
struct NotPinned(Fingerprint);

/// The error behind a [`NotPinned`], if it is one.
pub(super) fn find(error: &CertificateError) -> Option<TlsError> {
    let CertificateError::Other(OtherError(error)) = error else { return None };
    let NotPinned(presented) = error.downcast_ref()?;
    Some(TlsError::WrongFingerprint { presented: presented.to_string() })
}

/// Accepts the certificates it is told, or any, and always checks that the peer owns the key.
#[derive(Debug)]
pub(super) struct ByFingerprint {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

enum Trusted {
    These(Vec<Fingerprint>, &'static dyn Hash),
    Anyone,
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(fingerprints, _) => fingerprints.fmt(f),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

impl ByFingerprint {
    pub(super) fn these(
        fingerprints: Vec<Fingerprint>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsConfigError> {
        Ok(Self { trusted: Trusted::These(fingerprints, sha256(&provider)?), provider })
    }

    pub(super) fn anyone(provider: Arc<CryptoProvider>) -> Self {
        Self { trusted: Trusted::Anyone, provider }
    }
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Trusted::These(fingerprints, sha256) = &self.trusted {
            let presented = Fingerprint::with(*sha256, certificate);
            if !fingerprints.contains(&presented) {
                let error = OtherError(Arc::new(NotPinned(presented)));
                return Err(CertificateError::Other(error).into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let good = "ab".repeat(32);
        assert!(good.parse::<Fingerprint>().is_ok());
        for bad in ["", "ab", &good[1..], &format!("{good}a"), &format!("{good}ab"), &good.replace('b', "x")]
        {
            assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint), "{bad}");
        }
    }
}
