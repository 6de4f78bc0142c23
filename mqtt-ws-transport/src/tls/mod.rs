//! TLS with rustls: configurations from PEM, the encrypted stream, and errors that name the cause.
//!
//! A configuration is always made for an explicit crypto provider. Nothing here reads or sets the process-wide
//! default one, so this crate neither depends on nor disturbs other users of rustls in the program.

mod certificate;
mod der;
mod error;

#[cfg(feature = "tls")]
mod by_name;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod fingerprint;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod reload;
#[cfg(feature = "tls")]
mod revocation;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod version;

#[cfg(all(feature = "self-signed", any(feature = "aws-lc-rs", feature = "ring")))]
mod self_signed;

pub use certificate::{Certificate, DistinguishedName, MalformedCertificate};
pub use error::{TlsConfigError, TlsError, TlsInfo};

#[cfg(feature = "tls")]
pub use client::{ClientTls, Roots};
#[cfg(feature = "tls")]
pub use fingerprint::{BadFingerprint, Fingerprint};
#[cfg(feature = "tls")]
pub(crate) use reload::{Announce, PresentTls};
#[cfg(feature = "tls")]
pub use reload::{ReloadableTls, ServerTlsSource};
#[cfg(feature = "tls")]
pub use revocation::Revocation;
#[cfg(feature = "tls")]
pub use server::{ClientAuth, ServerTls};
#[cfg(feature = "tls")]
pub use stream::TlsStream;
#[cfg(feature = "tls")]
pub(crate) use stream::{accept, connect};
#[cfg(feature = "tls")]
pub use version::TlsVersion;

#[cfg(all(feature = "self-signed", any(feature = "aws-lc-rs", feature = "ring")))]
pub use self_signed::{SelfSigned, self_signed};

#[cfg(feature = "tls")]
use rustls::crypto::CryptoProvider;
#[cfg(feature = "tls")]
use std::sync::Arc;

/// HTTP/1.1, the protocol that a WebSocket upgrade is written in.
#[cfg(feature = "tls")]
pub(crate) const ALPN_HTTP: &[u8] = b"http/1.1";

/// The provider that was compiled in: `aws-lc-rs`, or else `ring`.
#[cfg(feature = "tls")]
#[allow(clippy::unnecessary_wraps, reason = "it fails where no provider is compiled in")]
pub(crate) fn provider() -> Result<Arc<CryptoProvider>, TlsConfigError> {
    #[cfg(feature = "aws-lc-rs")]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    return Err(TlsConfigError::NoProvider);
}
