//! The certificates that a server shows, read whether or not they are to be believed.

use super::Patient;
use crate::rt::Runtime;
use crate::tls::Certificate;
use crate::url::Endpoint;
use std::net::IpAddr;
use std::time::SystemTime;

/// What a chain says, its first certificate being the server's own.
#[derive(Debug)]
pub(super) struct Chain(Vec<Certificate>);

impl Chain {
    /// The host names and addresses of the server's certificate; its common name where it has none.
    pub(super) fn names(&self) -> Vec<String> {
        let Some(own) = self.0.first() else { return Vec::new() };
        let mut names = own.dns_names().to_vec();
        names.extend(own.ip_addresses().iter().map(IpAddr::to_string));
        if names.is_empty() {
            names.extend(own.subject().common_name().map(str::to_owned));
        }
        names
    }

    /// Who signed the last certificate that the server shows: the authority that should be known. And whether the
    /// server's certificate signed itself.
    pub(super) fn issuer(&self) -> (Option<String>, bool) {
        let self_signed = self.0.len() == 1 && self.0[0].is_self_issued();
        (self.0.last().map(|last| last.issuer().to_string()).filter(|name| !name.is_empty()), self_signed)
    }

    /// The day the server's certificate begins and ends to be valid.
    pub(super) fn days(&self) -> Option<(String, String)> {
        self.0.first().map(|own| (day(own.not_before()), day(own.not_after())))
    }
}

/// `YYYY-MM-DD` in UTC.
fn day(time: SystemTime) -> String {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    // Days since 0000-03-01, in cycles of 400 years; years begin in March, so that the leap day is their last.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + cycle * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "the same as with TLS")]
pub(super) async fn fetch<R: Runtime>(_: &Patient<'_, R>, _: &Endpoint) -> Chain {
    Chain(Vec::new())
}

/// Opens a connection that trusts anybody, tells nothing, and keeps what the server shows.
#[cfg(feature = "tls")]
pub(super) async fn fetch<R: Runtime>(patient: &Patient<'_, R>, endpoint: &Endpoint) -> Chain {
    use crate::url::Scheme;
    let Ok((config, seen)) = recording::config() else { return Chain(Vec::new()) };
    // The handshake is enough, and it must not matter whether the upgrade succeeds.
    let scheme = if endpoint.scheme().is_tls() { endpoint.scheme() } else { Scheme::Tls };
    let options = patient.stranger().tls(config);
    let _ = crate::connect(patient.runtime, &endpoint.clone().with_scheme(scheme), &options).await;
    Chain(seen.take().iter().filter_map(|der| Certificate::from_der(der).ok()).collect())
}

#[cfg(feature = "tls")]
pub(super) mod recording {
    use crate::tls::{TlsConfigError, provider};
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
    use std::sync::{Arc, Mutex, PoisonError};

    /// The chain of the last handshake, in DER.
    #[derive(Debug, Clone, Default)]
    pub(in crate::doctor) struct Seen(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Seen {
        pub(super) fn take(&self) -> Vec<Vec<u8>> {
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// A configuration that believes everybody and writes down what it is shown. Nothing secret may be sent over it.
    pub(in crate::doctor) fn config() -> Result<(ClientConfig, Seen), TlsConfigError> {
        let provider = provider()?;
        let seen = Seen::default();
        let recorder = Recorder { provider: Arc::clone(&provider), seen: seen.clone() };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsConfigError::NoProvider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(recorder))
            .with_no_client_auth();
        Ok((config, seen))
    }

    #[derive(Debug)]
    struct Recorder {
        provider: Arc<CryptoProvider>,
        seen: Seen,
    }

    impl ServerCertVerifier for Recorder {
        fn verify_server_cert(
            &self,
            own: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            let chain = std::iter::once(own).chain(intermediates).map(|der| der.to_vec()).collect();
            *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = chain;
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::day;
    use std::time::{Duration, SystemTime};

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_782_400), "2000-02-29");
        assert_eq!(at(951_868_800), "2000-03-01");
        assert_eq!(at(1_735_689_599), "2024-12-31");
        assert_eq!(day(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1969-12-31");
    }
}
