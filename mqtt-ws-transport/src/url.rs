//! Where to connect to: `mqtt://`, `mqtts://`, `ws://`, `wss://` and their synonyms, parsed with hints for mistakes.
//!
//! The parser is our own. A URL crate knows the rules of the web for every scheme, at the price of Unicode tables
//! (idna) several times the size of this crate, and answers a forgotten scheme with "relative URL without a base".
//! Here a handful of schemes of the form `scheme://user:password@host:port/path?query` is all there is, and saying
//! what is wrong with one is the purpose.

mod error;
mod parse;

pub use error::UrlError;
pub(crate) use parse::{parse_host_port, percent_decode, split_authority};

use std::fmt;
use std::net::IpAddr;

/// The path that a WebSocket URL without one gets, and that servers listen on: `/mqtt`.
pub const DEFAULT_PATH: &str = "/mqtt";

/// How MQTT is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP: `mqtt://`, `tcp://`. Port 1883.
    Tcp,
    /// TLS: `mqtts://`, `tls://`, `ssl://`. Port 8883.
    Tls,
    /// WebSocket: `ws://`. Port 80.
    Ws,
    /// WebSocket over TLS: `wss://`. Port 443.
    Wss,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The scheme's name in URLs: `mqtt`, `mqtts`, `ws`, `wss`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether the bytes go through TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether the bytes go through a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn parse(name: &str) -> Option<Self> {
        const NAMES: [(&str, Scheme); 7] = [
            ("mqtt", Scheme::Tcp),
            ("tcp", Scheme::Tcp),
            ("mqtts", Scheme::Tls),
            ("tls", Scheme::Tls),
            ("ssl", Scheme::Tls),
            ("ws", Scheme::Ws),
            ("wss", Scheme::Wss),
        ];
        NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, scheme)| scheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The host of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to be resolved, in lower case.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Host {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A parsed MQTT URL.
///
/// ```
/// use mqttkit_ws_transport::{Endpoint, Scheme};
///
/// let endpoint: Endpoint = "ws://broker.example:8083".parse()?;
/// assert_eq!(endpoint.scheme(), Scheme::Ws);
/// assert_eq!(endpoint.to_string(), "ws://broker.example:8083/mqtt");
///
/// let mistake = "broker.example:8083".parse::<Endpoint>().unwrap_err();
/// assert_eq!(mistake.suggestion().as_deref(), Some("ws://broker.example:8083/mqtt"));
/// # Ok::<(), mqttkit_ws_transport::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Starts with `/`; empty only for TCP and TLS.
    path: String,
    query: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Endpoint {
    /// An endpoint from its parts, with the scheme's default port and path.
    pub fn new(scheme: Scheme, host: Host) -> Self {
        let path = if scheme.is_websocket() { DEFAULT_PATH.to_owned() } else { String::new() };
        let port = scheme.default_port();
        Self { scheme, host, port, path, query: None, username: None, password: None }
    }

    /// With another port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With another scheme. The port and the path stay.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        if scheme.is_websocket() && self.path.is_empty() {
            DEFAULT_PATH.clone_into(&mut self.path);
        }
        self
    }

    /// With a user name and password for CONNECT.
    #[must_use]
    pub fn with_credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self.password = Some(password.into());
        self
    }

    pub(crate) fn credentials_of(mut self, other: &Self) -> Self {
        self.username.clone_from(&other.username);
        self.password.clone_from(&other.password);
        self
    }

    /// How MQTT is carried.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// The host, a name or an address.
    pub fn host(&self) -> &Host {
        &self.host
    }
    /// The port, the scheme's default when the URL named none.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// The path, starting with `/`. Empty for TCP and TLS without one, where it has no meaning.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// What follows `?`, undecoded.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    /// The user name, percent-decoded. It belongs into CONNECT; the transport does not send it.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }
    /// The password, percent-decoded. It belongs into CONNECT; the transport does not send it.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Path and query as an HTTP request target.
    pub fn request_target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// The value of an HTTP `Host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    /// The complete URL with its port, without user name and password, so that it can be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl fmt::Debug for Endpoint {
    /// Like `Display`, and says whether there are credentials, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &format_args!("{self}"))
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}
