//! Certificates and keys from PEM text or files.

use super::{TlsConfigError, TlsError};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};
use std::path::PathBuf;

/// PEM text or the file it is in; files are read when the configuration is built.
#[derive(Clone)]
pub(super) enum Pem {
    Text(Vec<u8>, &'static str),
    File(PathBuf),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may be a private key.
        f.write_str(&self.origin())
    }
}

impl Pem {
    pub(super) fn origin(&self) -> String {
        match self {
            Self::Text(_, name) => (*name).to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let certificates = CertificateDer::pem_slice_iter(&self.bytes()?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TlsConfigError::BadPem { origin: self.origin() })?;
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate { origin: self.origin() });
        }
        Ok(certificates)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?).map_err(|error| match error {
            PemError::NoItemsFound => TlsConfigError::NoKey { origin: self.origin() },
            _ => TlsConfigError::BadPem { origin: self.origin() },
        })
    }

    pub(super) fn crls(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
        let lists = CertificateRevocationListDer::pem_slice_iter(&self.bytes()?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TlsConfigError::BadPem { origin: self.origin() })?;
        if lists.is_empty() {
            return Err(TlsConfigError::NoCrl { origin: self.origin() });
        }
        Ok(lists)
    }

    pub(super) fn add_roots(&self, roots: &mut RootCertStore) -> Result<(), TlsConfigError> {
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.bad_certificate(&error))?;
        }
        Ok(())
    }

    fn bad_certificate(&self, error: &Error) -> TlsConfigError {
        let reason = match TlsError::from_rustls(error) {
            known @ (TlsError::VersionOne | TlsError::AuthorityAsPeer) => {
                format!("{known}. {}", known.hint())
            }
            _ => error.to_string(),
        };
        TlsConfigError::BadCertificate { origin: self.origin(), reason }
    }

    fn bytes(&self) -> Result<Vec<u8>, TlsConfigError> {
        match self {
            Self::Text(text, _) => Ok(text.clone()),
            Self::File(path) => {
                std::fs::read(path).map_err(|error| TlsConfigError::Read { path: path.clone(), error })
            }
        }
    }
}

/// Our certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
}

impl Identity {
    pub(super) fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsConfigError> {
        CertifiedKey::from_der(self.certificate.certificates()?, self.key.key()?, provider)
            .map_err(|error| self.sort_error(error))
    }

    /// Which of the two it was that rustls did not like.
    pub(super) fn sort_error(&self, error: Error) -> TlsConfigError {
        match error {
            Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch,
            Error::InvalidCertificate(_) => self.certificate.bad_certificate(&error),
            error => TlsConfigError::BadKey { origin: self.key.origin(), reason: error.to_string() },
        }
    }
}
