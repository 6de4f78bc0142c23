//! Why a connection could not be opened.

use super::BoxError;
use crate::proxy::{ProxyError, ProxyUrlError};
use crate::tls::{TlsConfigError, TlsError};
use crate::ws::HandshakeError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why [`connect`](crate::connect()) failed. [`hint`](Self::hint) says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// The host name exists, but has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// No address of the host accepted a TCP connection.
    #[error("cannot connect to {}", Attempts(attempts))]
    Tcp {
        /// Every address tried and what came of it, in order of failure; never empty.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
    /// There is no way through the proxy.
    #[error("{proxy}: {error}")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// Why not.
        error: ProxyError,
    },
    /// The proxy that the environment names is none.
    #[error(transparent)]
    ProxyUrl(#[from] ProxyUrlError),
    /// The program's own recipe for this attempt failed.
    #[error("no recipe for this attempt: {0}")]
    Recipe(BoxError),
    /// The TLS session failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS configuration cannot be used.
    #[error(transparent)]
    TlsConfig(#[from] TlsConfigError),
    /// The WebSocket upgrade failed.
    #[error(transparent)]
    WebSocket(HandshakeError),
    /// The time was over.
    #[error("no connection after {after:?}: {phase} took too long")]
    TimedOut {
        /// The step that was under way.
        phase: Phase,
        /// The time given for all steps together.
        after: Duration,
    },
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        // With TLS 1.3 a refused client certificate shows only when the first answer is read.
        match error {
            HandshakeError::Io(error) => match TlsError::find(error) {
                Ok(error) => Self::Tls(error),
                Err(error) => Self::WebSocket(HandshakeError::Io(error)),
            },
            error => Self::WebSocket(error),
        }
    }
}

impl ConnectError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Resolve { host, .. } | Self::NoAddress { host } => {
                format!("Check the spelling of {host} and the DNS of this machine")
            }
            Self::Tcp { attempts } => match attempts.last().map(|(_, error)| error.kind()) {
                Some(io::ErrorKind::ConnectionRefused) => {
                    "Nothing listens there: is the broker running, and is it the right port?".to_owned()
                }
                Some(io::ErrorKind::TimedOut) => "Nothing answers: is a firewall in between?".to_owned(),
                _ => "Check host, port and network".to_owned(),
            },
            Self::Proxy { error, .. } => error.hint(),
            Self::ProxyUrl(error) => error.hint(),
            Self::Recipe(_) => "See what the program's own recipe needs: a token service, a file?".to_owned(),
            Self::Tls(error) => error.hint(),
            Self::TlsConfig(_) => "Correct the TLS options".to_owned(),
            Self::WebSocket(error) => error.hint(),
            Self::TimedOut { phase, .. } => match phase {
                Phase::Recipe => "The program's own recipe took all the time".to_owned(),
                Phase::Resolve => "The DNS does not answer".to_owned(),
                Phase::Proxy => "The proxy or the server behind it does not answer".to_owned(),
                Phase::Tcp => "Nothing answers at this address: is a firewall in between?".to_owned(),
                Phase::Tls => "The server does not answer to TLS: is it the port for TLS?".to_owned(),
                Phase::WebSocket => {
                    "The server does not answer to HTTP: is it a WebSocket port? MQTT without WebSocket is mqtt://"
                        .to_owned()
                }
            },
        }
    }
}

/// A step of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Asking the program's own recipe.
    Recipe,
    /// Resolving the host name.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// Reaching the proxy and having it open the tunnel.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The WebSocket upgrade.
    WebSocket,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipe => "the recipe",
            Self::Resolve => "resolving the name",
            Self::Proxy => "the way through the proxy",
            Self::Tcp => "the TCP connection",
            Self::Tls => "the TLS handshake",
            Self::WebSocket => "the WebSocket upgrade",
        })
    }
}

struct Attempts<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (address, error)) in self.0.iter().enumerate() {
            write!(f, "{}{address}: {error}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
