//! What can go wrong with a proxy: in its URL, on the way to it, and with what it answers.

use crate::connect::ConnectError;
use crate::url::UrlError;
use http::StatusCode;
use std::fmt;
use std::io;

/// Why a text is not the URL of a [`Proxy`](super::Proxy).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The scheme is none that proxies have.
    #[error("`{scheme}://` is not a proxy scheme")]
    UnknownScheme {
        /// The scheme as given.
        scheme: String,
    },
    /// TLS to the proxy itself.
    #[error("TLS to the proxy itself is not supported")]
    TlsToProxy,
    /// Host, port or credentials are wrong.
    #[error("the proxy's URL: {0}")]
    Url(#[from] UrlError),
}

impl ProxyUrlError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownScheme { .. } => {
                "Use http:// or socks5://, for example http://proxy.example:3128".to_owned()
            }
            Self::TlsToProxy => {
                "Use http:// if the proxy has such a port: what goes through it is encrypted anyway with mqtts:// and wss://"
                    .to_owned()
            }
            Self::Url(error) => error.hint(),
        }
    }
}

/// Why there is no way through a proxy. [`hint`](Self::hint) says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    #[error("the proxy cannot be reached: {0}")]
    Unreachable(Box<ConnectError>),
    /// The connection to the proxy failed.
    #[error("the connection to the proxy failed: {0}")]
    Io(#[from] io::Error),
    /// The proxy closed the connection instead of answering.
    #[error("the proxy closed the connection without an answer")]
    Ended,
    /// What answers is not a proxy of this kind.
    #[error("what answers is not a proxy of this kind (first bytes {first:02x?})")]
    NotAProxy {
        /// The first bytes of the answer, at most 16.
        first: Vec<u8>,
    },
    /// The proxy sent more than its answer before anything was sent through it.
    #[error("the proxy sends data that nobody asked for")]
    UnexpectedData,
    /// The proxy wants to know who asks: HTTP status 407, or no method of SOCKS5 that we could use.
    #[error("the proxy demands {}", if *.refused { "other credentials" } else { "credentials" })]
    AuthenticationRequired {
        /// Credentials were sent and not accepted.
        refused: bool,
        /// What an HTTP proxy says about the method it wants (`Proxy-Authenticate`).
        challenge: Option<String>,
    },
    /// An HTTP proxy refused the tunnel.
    #[error("the proxy refuses the tunnel with {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused {
        /// The status.
        status: StatusCode,
        /// The reason in its answer, where it is text.
        reason: String,
    },
    /// A SOCKS5 proxy refused the tunnel.
    #[error("the proxy refuses the tunnel: {0}")]
    Socks(SocksReply),
    /// The user name or password cannot be sent: too long for SOCKS5 (255 bytes), empty, or with a colon in the user
    /// name for an HTTP proxy.
    #[error("this user name or password cannot be sent to the proxy")]
    BadCredentials,
    /// The name of the server is too long for SOCKS5 (255 bytes).
    #[error("the name of the server is too long for SOCKS5")]
    NameTooLong,
}

impl ProxyError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable(error) => format!("Check the address of the proxy. {}", error.hint()),
            Self::Io(_) | Self::Ended | Self::UnexpectedData => {
                "Check address and kind of the proxy, and see its log".to_owned()
            }
            Self::NotAProxy { first } => match first.first() {
                Some(5) => "It answers like a SOCKS5 proxy: use socks5://".to_owned(),
                Some(b'H') => "It answers like an HTTP proxy: use http://".to_owned(),
                Some(0x15 | 0x16) => "The proxy wants TLS on this port; use its port without".to_owned(),
                _ => "Check address and kind of the proxy".to_owned(),
            },
            Self::AuthenticationRequired { refused: true, .. } => {
                "Check user name and password for the proxy".to_owned()
            }
            Self::AuthenticationRequired { refused: false, challenge } => match challenge {
                Some(challenge) if !challenge.to_ascii_lowercase().contains("basic") => {
                    format!(
                        "The proxy wants {challenge}, of which only a ready-made Proxy-Authorization header can be given"
                    )
                }
                _ => "Give user name and password for the proxy: http://user:password@proxy.example:3128"
                    .to_owned(),
            },
            Self::Refused { status, .. } => match status.as_u16() {
                403 | 405 => {
                    "Its rules forbid it: many proxies allow only port 443, where wss:// can be served"
                        .to_owned()
                }
                400 | 501 => "Is it a proxy, and does it allow CONNECT?".to_owned(),
                502..=504 => "The proxy cannot reach the server: check its host and port".to_owned(),
                _ => "Ask who runs the proxy".to_owned(),
            },
            Self::Socks(reply) => match reply {
                SocksReply::NotAllowed => {
                    "Its rules forbid it: ask who runs the proxy, or try another port".to_owned()
                }
                SocksReply::ConnectionRefused
                | SocksReply::HostUnreachable
                | SocksReply::NetworkUnreachable
                | SocksReply::TtlExpired => {
                    "The proxy cannot reach the server: check its host and port".to_owned()
                }
                _ => "See the log of the proxy".to_owned(),
            },
            Self::BadCredentials => {
                "Use a user name and password of 1 to 255 bytes, without a colon in the name".to_owned()
            }
            Self::NameTooLong => "Use a shorter name or an address".to_owned(),
        }
    }
}

/// Why a SOCKS5 proxy refuses, RFC 1928 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocksReply {
    /// 1
    GeneralFailure,
    /// 2
    NotAllowed,
    /// 3
    NetworkUnreachable,
    /// 4
    HostUnreachable,
    /// 5
    ConnectionRefused,
    /// 6
    TtlExpired,
    /// 7
    CommandNotSupported,
    /// 8
    AddressTypeNotSupported,
    /// Any other code.
    Other(u8),
}

impl SocksReply {
    pub(super) fn new(code: u8) -> Self {
        match code {
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralFailure => "a failure of its own",
            Self::NotAllowed => "its rules do not allow it",
            Self::NetworkUnreachable => "the network of the server is unreachable",
            Self::HostUnreachable => "the server is unreachable",
            Self::ConnectionRefused => "the server refuses the connection",
            Self::TtlExpired => "the way to the server is too long",
            Self::CommandNotSupported => "it does not know how to open connections",
            Self::AddressTypeNotSupported => "it does not know this kind of address",
            Self::Other(code) => return write!(f, "code {code}"),
        })
    }
}
