//! The protocol versions of TLS.

use super::TlsConfigError;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::fmt;

/// A version of TLS. Older ones are broken and not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// What is offered and taken unless told otherwise.
    pub(super) const DEFAULT: [Self; 2] = [Self::V1_3, Self::V1_2];

    fn rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V1_2 => &TLS12,
            Self::V1_3 => &TLS13,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}

pub(super) fn supported(
    versions: &[TlsVersion],
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsConfigError> {
    if versions.is_empty() {
        return Err(TlsConfigError::NoVersion);
    }
    Ok(versions.iter().map(|version| version.rustls()).collect())
}
