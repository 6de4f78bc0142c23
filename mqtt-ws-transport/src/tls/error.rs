//! What can go wrong with TLS: in the configuration, and with a peer.

use super::certificate::{Certificate, MalformedCertificate};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is known about the TLS session of an accepted connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The host name the client asked for (SNI).
    pub server_name: Option<String>,
    /// The client's certificate chain in DER, its own first. Empty when it showed none. Verified.
    /// [`client_certificate`](Self::client_certificate) reads the first.
    pub client_certificates: Vec<Vec<u8>>,
    /// The application protocol agreed on (ALPN).
    pub alpn: Option<Vec<u8>>,
    /// The protocol version: `TLSv1_2`, `TLSv1_3`.
    pub version: Option<&'static str>,
    /// Whether an earlier session was resumed. Certificates were checked when that began.
    pub resumed: bool,
}

impl TlsInfo {
    /// What the client's own certificate says: its subject, its names. `None` when it showed none.
    pub fn client_certificate(&self) -> Option<Result<Certificate, MalformedCertificate>> {
        self.client_certificates.first().map(|der| Certificate::from_der(der))
    }
}

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no certificate in the PEM text.
    #[error("{origin} contains no certificate (PEM with BEGIN CERTIFICATE)")]
    NoCertificate {
        /// The file, or what the text was given as.
        origin: String,
    },
    /// There is no private key in the PEM text.
    #[error(
        "{origin} contains no private key (PEM with BEGIN PRIVATE KEY; a key with a passphrase cannot be used)"
    )]
    NoKey {
        /// The file, or what the text was given as.
        origin: String,
    },
    /// The PEM text is malformed.
    #[error("{origin} is not valid PEM")]
    BadPem {
        /// The file, or what the text was given as.
        origin: String,
    },
    /// A certificate cannot be parsed, or cannot be used as a CA.
    #[error("{origin} contains a certificate that cannot be used: {reason}")]
    BadCertificate {
        /// The file, or what the text was given as.
        origin: String,
        /// What rustls says about it, for humans.
        reason: String,
    },
    /// The private key cannot be parsed or is of an unsupported kind.
    #[error("{origin} contains a private key that cannot be used: {reason}")]
    BadKey {
        /// The file, or what the text was given as.
        origin: String,
        /// What rustls says about it, for humans.
        reason: String,
    },
    /// There is no certificate revocation list in the PEM text.
    #[error("{origin} contains no certificate revocation list (PEM with BEGIN X509 CRL)")]
    NoCrl {
        /// The file, or what the text was given as.
        origin: String,
    },
    /// A certificate revocation list cannot be parsed.
    #[error("{origin} contains a revocation list that cannot be used: {reason}")]
    BadCrl {
        /// The file or files, or what the text was given as.
        origin: String,
        /// What rustls says about it, for humans.
        reason: String,
    },
    /// Revocation lists for clients, but no client can show a certificate.
    #[error("a revocation list for clients is of no use without a CA for clients")]
    CrlWithoutCa,
    /// The system's verifier has no place for revocation lists.
    #[error(
        "revocation lists cannot be used with the system's roots: use `only_given_cas` and a CA, or `Roots::Webpki`"
    )]
    CrlOnPlatform,
    /// Fingerprints take the place of CAs.
    #[error("give either fingerprints or CAs and revocation lists, not both")]
    FingerprintAndCa,
    /// A certificate to be chosen by its names has none.
    #[error("{origin} names no host (subject alternative name), so that it cannot be chosen by name")]
    NoName {
        /// The file, or what the text was given as.
        origin: String,
    },
    /// No version of TLS is allowed.
    #[error("no version of TLS is left: allow 1.2 or 1.3")]
    NoVersion,
    /// The roots asked for are not compiled in.
    #[error("these roots need the feature `{feature}`")]
    RootsUnavailable {
        /// The feature of this crate.
        feature: &'static str,
    },
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The client would trust nobody.
    #[error("no trusted roots: give a CA, or enable the feature `platform-verifier` or `webpki-roots`")]
    NoRoots,
    /// The system's roots cannot be loaded.
    #[error("the system's trusted roots are not usable: {reason}")]
    PlatformRoots {
        /// What the verifier says about it, for humans.
        reason: String,
    },
    /// A self-signed certificate could not be made.
    #[error("cannot make a self-signed certificate: {reason}")]
    SelfSigned {
        /// Why, for humans.
        reason: String,
    },
    /// The crate was built without a crypto provider.
    #[error(
        "no crypto provider: enable the feature `aws-lc-rs` or `ring`, or bring a finished configuration"
    )]
    NoProvider,
    /// A listener with TLS was given no server configuration.
    #[error("no certificate: a TLS listener needs a server configuration")]
    Missing,
    /// The crate was built without TLS.
    #[error("built without TLS: enable the feature `aws-lc-rs` or `ring`")]
    Unavailable,
}

/// Why a TLS session failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate comes from an authority that is not trusted, or from an older or newer one of the same
    /// name, or is self-signed.
    UnknownIssuer,
    /// The server's certificate is for another host.
    WrongName {
        /// The host connected to.
        expected: String,
        /// The names in the certificate, as far as known.
        presented: Vec<String>,
    },
    /// The peer's certificate has expired.
    Expired,
    /// The peer's certificate is not valid yet; often the local clock is wrong.
    NotYetValid,
    /// The peer's certificate is revoked.
    Revoked,
    /// The peer shows the certificate of an authority (`CA:TRUE`) as its own. That is what `openssl req -x509` makes
    /// unless told otherwise.
    AuthorityAsPeer,
    /// The peer's certificate is of version 1, without any extension. That is what `openssl x509 -req` makes of a request
    /// without extensions.
    VersionOne,
    /// The revocation lists do not cover the peer's certificate.
    RevocationUnknown,
    /// The revocation list that covers the peer's certificate is out of date.
    RevocationListOutdated,
    /// The server's certificate is none of those trusted by their fingerprints.
    WrongFingerprint {
        /// The SHA-256 fingerprint of the certificate that it showed.
        presented: String,
    },
    /// The peer's certificate is unusable for another reason.
    BadCertificate(Box<dyn std::error::Error + Send + Sync>),
    /// This server demands a client certificate and the client showed none.
    NoClientCertificate,
    /// The server demands a client certificate and we showed none.
    ClientCertificateRequired,
    /// The peer refused our certificate with this alert (RFC 8446 section 6).
    CertificateRefused {
        /// The alert's number, for example 48 for an unknown CA.
        alert: u8,
    },
    /// The peer ended the handshake with this alert.
    Alert {
        /// The alert's number, for example 40 for a handshake failure.
        alert: u8,
    },
    /// Both sides have no TLS version, cipher or application protocol in common.
    Incompatible(Box<dyn std::error::Error + Send + Sync>),
    /// The peer does not speak TLS.
    NotTls,
    /// The peer closed during the handshake.
    Ended,
    /// The connection failed.
    Io(io::Error),
    /// Anything else rustls reports.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str("the certificate comes from an unknown authority"),
            Self::WrongName { expected, presented } if presented.is_empty() => {
                write!(f, "the certificate is not for {expected}")
            }
            Self::WrongName { expected, presented } => {
                write!(f, "the certificate is not for {expected} but for {}", presented.join(", "))
            }
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::Revoked => f.write_str("the certificate is revoked"),
            Self::AuthorityAsPeer => {
                f.write_str("the certificate is that of an authority and cannot be a peer's own")
            }
            Self::VersionOne => f.write_str("the certificate is of version 1, which is not accepted"),
            Self::RevocationUnknown => f.write_str("no revocation list covers the certificate"),
            Self::RevocationListOutdated => {
                f.write_str("the revocation list for the certificate is out of date")
            }
            Self::WrongFingerprint { presented } => {
                write!(f, "the certificate has the fingerprint {presented}, which is not trusted")
            }
            Self::BadCertificate(error) => write!(f, "the certificate is not acceptable: {error}"),
            Self::NoClientCertificate => f.write_str("the client showed no certificate"),
            Self::ClientCertificateRequired => f.write_str("the server demands a client certificate"),
            Self::CertificateRefused { alert } => {
                write!(f, "the peer refused our certificate (alert {alert})")
            }
            Self::Alert { alert } => write!(f, "the peer ended the TLS handshake (alert {alert})"),
            Self::Incompatible(error) => write!(f, "no common TLS parameters: {error}"),
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            Self::Ended => f.write_str("the peer closed the connection during the TLS handshake"),
            Self::Io(error) => write!(f, "connection failed during the TLS handshake: {error}"),
            Self::Other(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::BadCertificate(error) | Self::Incompatible(error) | Self::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

impl TlsError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownIssuer => {
                "Give the CA that signed the certificate as a trusted CA, in its present version".to_owned()
            }
            Self::WrongName { presented, .. } => match presented.iter().find_map(|name| dns_name(name)) {
                Some(name) => format!("Connect to {name}, or have a certificate made for this host"),
                None => "Connect to the name in the certificate, or have one made for this host".to_owned(),
            },
            Self::Expired => "Renew the certificate, and check the clock of this machine".to_owned(),
            Self::NotYetValid => "Check the clock of this machine".to_owned(),
            Self::AuthorityAsPeer => {
                "Have a certificate made with basicConstraints=CA:FALSE, or trust this one by its fingerprint".to_owned()
            }
            Self::VersionOne => {
                "Have a certificate made with extensions, such as subjectAltName or extendedKeyUsage".to_owned()
            }
            Self::RevocationUnknown => {
                "Give a revocation list of every authority between the certificate and the root, or allow certificates without one"
                    .to_owned()
            }
            Self::RevocationListOutdated => "Get a new revocation list from the authority".to_owned(),
            Self::WrongFingerprint { presented } => format!(
                "If you know that the server has a new certificate, trust {presented}; otherwise somebody is in between"
            ),
            Self::NoClientCertificate | Self::ClientCertificateRequired => {
                "Configure a client certificate and its key".to_owned()
            }
            Self::CertificateRefused { .. } => {
                "The peer must trust the CA of our certificate; see its log for the reason".to_owned()
            }
            Self::NotTls => {
                "The port serves plain connections: use mqtt:// or ws://, or the port for TLS".to_owned()
            }
            Self::Ended => "Is it a TLS port? See the log of the server".to_owned(),
            Self::Revoked | Self::BadCertificate(_) => "Replace the certificate".to_owned(),
            Self::Alert { .. } | Self::Incompatible(_) | Self::Io(_) | Self::Other(_) => {
                "See the log of the peer".to_owned()
            }
        }
    }

    /// Takes a failure of the TLS layer out of the IO error that tokio's and std's traits wrap it in.
    #[cfg(feature = "tls")]
    pub(crate) fn find(error: io::Error) -> Result<Self, io::Error> {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Ok(Self::from_rustls(inner)),
            None => Err(error),
        }
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn find(error: io::Error) -> Result<Self, io::Error> {
        Err(error)
    }

    /// An error of the handshake itself.
    #[cfg(feature = "tls")]
    pub(crate) fn from_handshake(error: io::Error) -> Self {
        Self::find(error).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Io(error),
        })
    }

    #[cfg(feature = "tls")]
    pub(super) fn from_rustls(error: &rustls::Error) -> Self {
        use rustls::{AlertDescription as Alert, CertificateError as Cert, Error};
        match error {
            Error::InvalidCertificate(cert) => match cert {
                // A bad signature: the trusted authority has the same name but another key, as after making it anew.
                Cert::UnknownIssuer | Cert::BadSignature => Self::UnknownIssuer,
                Cert::NotValidForName => {
                    Self::WrongName { expected: "this host".to_owned(), presented: vec![] }
                }
                Cert::NotValidForNameContext { expected, presented } => {
                    Self::WrongName { expected: expected.to_str().into_owned(), presented: presented.clone() }
                }
                Cert::Expired | Cert::ExpiredContext { .. } => Self::Expired,
                Cert::NotValidYet | Cert::NotValidYetContext { .. } => Self::NotYetValid,
                Cert::Revoked => Self::Revoked,
                Cert::UnknownRevocationStatus => Self::RevocationUnknown,
                Cert::ExpiredRevocationList | Cert::ExpiredRevocationListContext { .. } => {
                    Self::RevocationListOutdated
                }
                Cert::Other(other) => super::fingerprint::find(cert).unwrap_or_else(|| {
                    // rustls has no name for these; the words are those of its verifier.
                    match other.to_string().as_str() {
                        "CaUsedAsEndEntity" => Self::AuthorityAsPeer,
                        "UnsupportedCertVersion" => Self::VersionOne,
                        _ => Self::BadCertificate(Box::new(error.clone())),
                    }
                }),
                _ => Self::BadCertificate(Box::new(error.clone())),
            },
            Error::NoCertificatesPresented => Self::NoClientCertificate,
            Error::AlertReceived(alert) => match alert {
                Alert::CertificateRequired => Self::ClientCertificateRequired,
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                // How a signature that does not fit the trusted authority is reported.
                | Alert::DecryptError
                | Alert::AccessDenied => Self::CertificateRefused { alert: u8::from(*alert) },
                _ => Self::Alert { alert: u8::from(*alert) },
            },
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => {
                Self::Incompatible(Box::new(error.clone()))
            }
            // The first record did not have a shape that TLS knows.
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other(Box::new(error.clone())),
        }
    }
}

/// The names come as `DnsName("host")`; what is not a DNS name is left out.
fn dns_name(presented: &str) -> Option<&str> {
    let name = presented.strip_prefix("DnsName(\"")?.strip_suffix("\")")?;
    (!name.contains('*')).then_some(name)
}
