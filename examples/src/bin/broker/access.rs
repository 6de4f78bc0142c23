//! Who may come in and do what: the files that the settings name, as one policy.

use mqttkit_broker_core::{Acl, Builder, CertificateIdentity, CertificateName, Chain, PasswordFile};
use tokio::signal::unix::Signal;

use crate::settings::Settings;

/// What was read.
pub(crate) struct Access {
    pub(crate) users: Option<PasswordFile>,
    acl: Option<Acl>,
    certificates: bool,
}

impl Access {
    pub(crate) fn open(settings: &Settings) -> Result<Self, String> {
        let users = settings.password_file.as_ref().map(|path| {
            PasswordFile::open(path).map_err(|error| format!("--password-file {}: {error}", path.display()))
        });
        let acl = settings
            .acl_file
            .as_ref()
            .map(|path| Acl::open(path).map_err(|error| format!("--acl-file {}: {error}", path.display())));
        let certificates = settings.certificate_identity;
        if certificates && settings.client_ca.is_none() {
            return Err(
                "--certificate-identity needs --client-ca: no client is asked for a certificate".into()
            );
        }
        Ok(Self { users: users.transpose()?, acl: acl.transpose()?, certificates })
    }

    /// Without any of it everybody may do everything, and no policy is asked.
    pub(crate) fn give(self, builder: Builder) -> Builder {
        let Self { users, acl, certificates } = self;
        if users.is_none() && acl.is_none() && !certificates {
            return builder;
        }
        let mut chain = Chain::new();
        if certificates {
            chain = chain.then(CertificateIdentity::new(CertificateName::CommonName));
        }
        if let Some(users) = users {
            chain = chain.then(users);
        }
        if let Some(acl) = acl {
            chain = chain.then(acl);
        }
        builder.policy(chain)
    }
}

/// Reads the users again at each signal.
pub(crate) async fn reload_on(mut signal: Signal, users: PasswordFile) {
    while signal.recv().await.is_some() {
        let users = users.clone();
        // It reads a file.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || users.reload()).await {
            eprintln!("broker: the users stay as they were: {error}");
        }
    }
}
