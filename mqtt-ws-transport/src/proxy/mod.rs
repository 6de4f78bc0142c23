//! Proxies on the way to the server: HTTP CONNECT and SOCKS5, over any byte stream.
//!
//! A proxy is asked for a tunnel to host and port of the endpoint; TLS and WebSocket then go through it untouched.
//! The proxy resolves the name of the server in both protocols, so that nothing is asked of the local DNS.

mod env;
mod error;
mod http;
mod io;
mod parse;
mod socks5;

pub use error::{ProxyError, ProxyUrlError, SocksReply};

use crate::io::ByteStream;
use crate::url::{Endpoint, Host};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// A proxy: `http://proxy.example:3128` or `socks5://user:password@proxy.example`.
///
/// ```
/// use mqttkit_ws_transport::{ConnectOptions, Proxy};
///
/// let proxy: Proxy = "http://user:secret@proxy.example:3128".parse()?;
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// let options = ConnectOptions::new().proxy(proxy);
/// # drop(options);
/// # Ok::<(), mqttkit_ws_transport::ProxyUrlError>(())
/// ```
///
/// Parsing takes `http://` (port 80 unless named) and `socks5://` or `socks5h://` (port 1080), which mean the same
/// here: the proxy resolves names. Without a scheme it is `http://`. User name and password are percent-encoded. TLS
/// to the proxy itself (`https://`) is not supported and says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    host: Host,
    port: u16,
    credentials: Option<Credentials>,
    headers: HeaderMap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    username: String,
    password: String,
}

impl Proxy {
    /// An HTTP proxy that allows `CONNECT`.
    pub fn http(host: Host, port: u16) -> Self {
        Self { kind: Kind::Http, host, port, credentials: None, headers: HeaderMap::new() }
    }

    /// A SOCKS5 proxy.
    pub fn socks5(host: Host, port: u16) -> Self {
        Self { kind: Kind::Socks5, ..Self::http(host, port) }
    }

    /// With a user name and password: `Basic` for an HTTP proxy, RFC 1929 for SOCKS5. They are sent in the clear.
    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { username: username.into(), password: password.into() });
        self
    }

    /// With a header in addition for the `CONNECT` request of an HTTP proxy, for example a token in
    /// `Proxy-Authorization`. SOCKS5 has none.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The proxy that the environment names for `endpoint`, if any.
    ///
    /// As is the custom: `ws_proxy`, or else `http_proxy`, for `ws://`; `wss_proxy` or `https_proxy` for `wss://`;
    /// `mqtt_proxy` and `mqtts_proxy`; or else `all_proxy`. In capitals too, but for `HTTP_PROXY`, which a CGI
    /// program's visitor can set. `no_proxy` lists exceptions, separated by commas: a domain with all below it, an
    /// address, a network such as `10.0.0.0/8`, each with a port or without, or `*`.
    ///
    /// # Errors
    /// [`ProxyUrlError`] when the variable is set to something that is no proxy.
    pub fn from_env(endpoint: &Endpoint) -> Result<Option<Self>, ProxyUrlError> {
        env::find(endpoint, |name| std::env::var(name).ok())
    }

    /// [`from_env`](Self::from_env) with variables from elsewhere: a configuration file, a test.
    ///
    /// # Errors
    /// As there.
    pub fn from_vars(
        endpoint: &Endpoint,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyUrlError> {
        env::find(endpoint, var)
    }

    /// The host of the proxy.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has a tunnel opened through `stream`, which is connected to the proxy. From then on the stream leads to the
    /// host and port of `endpoint`. [`connect`](crate::connect()) does this itself.
    ///
    /// It waits as long as the proxy does; run it under a timeout. Dropping the future drops the stream.
    ///
    /// # Errors
    /// See [`ProxyError`]; each has a hint.
    pub async fn tunnel<S: ByteStream>(&self, mut stream: S, endpoint: &Endpoint) -> Result<S, ProxyError> {
        match self.kind {
            Kind::Http => http::tunnel(self, &mut stream, endpoint).await?,
            Kind::Socks5 => {
                socks5::tunnel(self.credentials.as_ref(), &mut stream, endpoint).await?;
            }
        }
        Ok(stream)
    }
}

impl fmt::Display for Proxy {
    /// The URL without user name and password, so that it can be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.kind.as_str(), self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &format_args!("{self}"))
            .field("credentials", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

/// Which proxy a connection goes through.
#[derive(Debug, Clone, Default)]
pub(crate) enum ProxyChoice {
    #[default]
    None,
    Given(Box<Proxy>),
    Environment,
}

impl ProxyChoice {
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Result<Option<Proxy>, ProxyUrlError> {
        match self {
            Self::None => Ok(None),
            Self::Given(proxy) => Ok(Some((**proxy).clone())),
            Self::Environment => Proxy::from_env(endpoint),
        }
    }
}
