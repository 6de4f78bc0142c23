//! Certificate revocation lists: where they come from and how strictly they are applied.

use super::TlsConfigError;
use super::pem::Pem;
use rustls::client::ServerCertVerifierBuilder;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::{ClientCertVerifierBuilder, VerifierBuilderError};

/// How strictly revocation lists are applied, where some are given.
///
/// The default: every certificate of the chain but the root must be covered by a list of its issuer, and must not be in
/// it. A list past its next update still counts, since refusing everybody because a list was not renewed in time is
/// the more frequent misfortune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Revocation {
    /// Looks at the peer's own certificate only, not at the intermediate authorities between it and the root.
    pub only_end_entity: bool,
    /// Accepts a certificate that no list covers.
    pub allow_uncovered: bool,
    /// Refuses where the list is past its next update.
    pub refuse_outdated: bool,
}

impl Revocation {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether only the peer's own certificate is looked at.
    #[must_use]
    pub fn only_end_entity(mut self, only: bool) -> Self {
        self.only_end_entity = only;
        self
    }

    /// Whether a certificate that no list covers is accepted.
    #[must_use]
    pub fn allow_uncovered(mut self, allow: bool) -> Self {
        self.allow_uncovered = allow;
        self
    }

    /// Whether a list past its next update makes its certificates unacceptable.
    #[must_use]
    pub fn refuse_outdated(mut self, refuse: bool) -> Self {
        self.refuse_outdated = refuse;
        self
    }
}

/// The lists and how to apply them.
#[derive(Debug, Clone, Default)]
pub(super) struct Crls {
    pub(super) lists: Vec<Pem>,
    pub(super) strictness: Revocation,
}

impl Crls {
    fn load(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
        let mut lists = Vec::new();
        for pem in &self.lists {
            lists.extend(pem.crls()?);
        }
        Ok(lists)
    }

    pub(super) fn for_clients(
        &self,
        mut builder: ClientCertVerifierBuilder,
    ) -> Result<ClientCertVerifierBuilder, TlsConfigError> {
        if self.lists.is_empty() {
            return Ok(builder);
        }
        builder = builder.with_crls(self.load()?);
        if self.strictness.only_end_entity {
            builder = builder.only_check_end_entity_revocation();
        }
        if self.strictness.allow_uncovered {
            builder = builder.allow_unknown_revocation_status();
        }
        if self.strictness.refuse_outdated {
            builder = builder.enforce_revocation_expiration();
        }
        Ok(builder)
    }

    pub(super) fn for_servers(
        &self,
        mut builder: ServerCertVerifierBuilder,
    ) -> Result<ServerCertVerifierBuilder, TlsConfigError> {
        if self.lists.is_empty() {
            return Ok(builder);
        }
        builder = builder.with_crls(self.load()?);
        if self.strictness.only_end_entity {
            builder = builder.only_check_end_entity_revocation();
        }
        if self.strictness.allow_uncovered {
            builder = builder.allow_unknown_revocation_status();
        }
        if self.strictness.refuse_outdated {
            builder = builder.enforce_revocation_expiration();
        }
        Ok(builder)
    }

    /// Which of the inputs a verifier could not be built of. Certificates were parsed before it.
    pub(super) fn sort_error(&self, error: &VerifierBuilderError) -> TlsConfigError {
        match error {
            VerifierBuilderError::InvalidCrl(error) => TlsConfigError::BadCrl {
                origin: self.lists.iter().map(Pem::origin).collect::<Vec<_>>().join(", "),
                reason: format!("{error:?}"),
            },
            _ => TlsConfigError::NoRoots,
        }
    }
}
