//! Where to connect to: `mqtt://`, `mqtts://`, `ws://`, `wss://` and their synonyms, parsed with hints for mistakes.
//!
//! The parser is our own. A URL crate knows the rules of the web for every scheme, at the price of Unicode tables
//! (idna) several times the size of this crate, and answers a forgotten scheme with "relative URL without a base".
//! Here a handful of schemes of the form `scheme://user:password@host:port/path?query` is all there is, and saying
//! what is wrong with one is the purpose.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

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

impl FromStr for Endpoint {
    type Err = UrlError;

    fn from_str(input: &str) -> Result<Self, UrlError> {
        let input = input.trim();
        if let Some(bad) = input.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::BadCharacter { character: bad });
        }
        let (name, rest) = split_scheme(input)?;
        let Some(scheme) = Scheme::parse(name) else {
            return Err(UrlError::UnknownScheme { scheme: name.to_owned(), rest: without_userinfo(rest) });
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path, query) = split_authority(rest);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo), host_port),
            None => (None, authority),
        };
        let (host, port) = parse_host_port(host_port)?;

        let mut endpoint = Self::new(scheme, host);
        if let Some(port) = port {
            endpoint.port = port;
        }
        if !path.is_empty() {
            path.clone_into(&mut endpoint.path);
        }
        endpoint.query = query.map(str::to_owned);
        if let Some(userinfo) = userinfo {
            let (username, password) = match userinfo.split_once(':') {
                Some((username, password)) => (username, Some(password)),
                None => (userinfo, None),
            };
            endpoint.username = if username.is_empty() { None } else { Some(percent_decode(username)?) };
            endpoint.password = password.map(percent_decode).transpose()?;
        }
        Ok(endpoint)
    }
}

/// What is wrong with a URL. Each has a sentence in [`hint`](Self::hint) that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The URL does not start with `scheme://`.
    #[error("the URL has no scheme")]
    NoScheme {
        /// The URL as given, without user name and password.
        rest: String,
    },
    /// The scheme is none of MQTT's.
    #[error("`{scheme}://` is not an MQTT scheme")]
    UnknownScheme {
        /// The scheme as given.
        scheme: String,
        /// What follows `://`, without user name and password.
        rest: String,
    },
    /// There is no host.
    #[error("the URL names no host")]
    MissingHost,
    /// The host is neither a name nor an address.
    #[error("`{host}` is not a valid host")]
    BadHost {
        /// The host as given.
        host: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("`{port}` is not a valid port")]
    BadPort {
        /// The port as given.
        port: String,
    },
    /// User name or password contain a broken percent escape or are not UTF-8.
    #[error("user name or password are not properly percent-encoded")]
    BadCredentials,
    /// A space or a control character.
    #[error("the URL contains {character:?}")]
    BadCharacter {
        /// The character.
        character: char,
    },
}

impl UrlError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::NoScheme { .. } | Self::UnknownScheme { .. } => match self.suggestion() {
                Some(url) => format!("Did you mean {url} ?"),
                None => "Use mqtt://, mqtts://, ws:// or wss://, for example ws://localhost:8083/mqtt".to_owned(),
            },
            Self::MissingHost => "Name the host after ://, for example ws://localhost:8083/mqtt".to_owned(),
            Self::BadHost { host } if !host.is_ascii() => {
                "Write an international name in its ASCII form (xn--…)".to_owned()
            }
            Self::BadHost { host } if host.contains(':') => {
                "Put an IPv6 address in brackets, for example ws://[::1]:8083/mqtt".to_owned()
            }
            Self::BadHost { .. } => {
                "Use a DNS name, an IPv4 address or an IPv6 address in brackets".to_owned()
            }
            Self::BadPort { .. } => {
                "Use a number from 1 to 65535; MQTT brokers often listen on 1883 (mqtt), 8883 (mqtts), 8083 (ws) and 8084 (wss)"
                    .to_owned()
            }
            Self::BadCredentials => {
                "Write special characters in user name and password as % and two hex digits, for example @ as %40"
                    .to_owned()
            }
            Self::BadCharacter { .. } => "Remove it, or write it as % and two hex digits".to_owned(),
        }
    }

    /// A corrected URL, where one can be guessed.
    pub fn suggestion(&self) -> Option<String> {
        let (scheme, rest) = match self {
            Self::NoScheme { rest } => {
                let port = split_authority(rest).0.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                (scheme_by_port(port), rest)
            }
            Self::UnknownScheme { scheme, rest } => match scheme.to_ascii_lowercase().as_str() {
                "http" | "mqtt+ws" | "mqttws" => (Scheme::Ws, rest),
                "https" | "mqtt+wss" | "mqttwss" | "wws" => (Scheme::Wss, rest),
                "mqtt+ssl" | "mqtt+tls" | "mqttssl" | "secure-mqtt" => (Scheme::Tls, rest),
                _ => return None,
            },
            _ => return None,
        };
        let endpoint: Endpoint = format!("{scheme}://{rest}").parse().ok()?;
        let explicit = parse_host_port(split_authority(rest).0).ok()?.1;
        let port = explicit.map(|port| format!(":{port}")).unwrap_or_default();
        // The bare root is what a browser's address bar adds; no broker serves MQTT there.
        let path = match endpoint.path.as_str() {
            "/" if scheme.is_websocket() => DEFAULT_PATH,
            path => path,
        };
        let query = endpoint.query.map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{scheme}://{}{port}{path}{query}", endpoint.host))
    }
}

/// The scheme that brokers usually serve on a port. WebSocket when in doubt: it is what a page needs.
fn scheme_by_port(port: Option<u16>) -> Scheme {
    match port {
        Some(1883) => Scheme::Tcp,
        Some(8883) => Scheme::Tls,
        Some(443 | 8084 | 8443) => Scheme::Wss,
        _ => Scheme::Ws,
    }
}

fn split_scheme(input: &str) -> Result<(&str, &str), UrlError> {
    let no_scheme = || UrlError::NoScheme { rest: without_userinfo(input.trim_start_matches('/')) };
    match input.split_once("://") {
        // `host/path?next=http://…` has the separator in its query, not after a scheme.
        Some((scheme, _)) if scheme.contains(['/', '?', '#', '@']) => Err(no_scheme()),
        Some(("", _)) => {
            Err(UrlError::NoScheme { rest: without_userinfo(input.trim_start_matches([':', '/'])) })
        }
        Some((scheme, rest)) => Ok((scheme, rest)),
        None => match input.split_once(':') {
            // `ws:host` and `ws:/host`: the scheme is there, the slashes are not.
            Some((scheme, rest)) if Scheme::parse(scheme).is_some() && rest.parse::<u16>().is_err() => {
                Ok((scheme, rest.trim_start_matches('/')))
            }
            _ => Err(no_scheme()),
        },
    }
}

fn split_authority(rest: &str) -> (&str, &str, Option<&str>) {
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    match before_query.find('/') {
        Some(slash) => (&before_query[..slash], &before_query[slash..], query),
        None => (before_query, "", query),
    }
}

/// What is repeated in an error must not carry a password into a log.
fn without_userinfo(rest: &str) -> String {
    let (authority, _, _) = split_authority(rest);
    match authority.rfind('@') {
        Some(at) => rest[at + 1..].to_owned(),
        None => rest.to_owned(),
    }
}

fn parse_host_port(text: &str) -> Result<(Host, Option<u16>), UrlError> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let bad = || UrlError::BadHost { host: text.to_owned() };
        let (address, after) = bracketed.split_once(']').ok_or_else(bad)?;
        let address = Host::Ip(IpAddr::V6(address.parse().map_err(|_| bad())?));
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or_else(bad)?),
        };
        (address, port)
    } else {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(UrlError::BadHost { host: text.to_owned() });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        (parse_host(host)?, port)
    };
    let port = match port {
        // `host:` is allowed by the generic syntax and means the default.
        None | Some("") => None,
        Some(port) => match port.parse::<u16>() {
            // A sign is accepted by the number parser but not in a URL.
            Ok(number) if number != 0 && port.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            _ => return Err(UrlError::BadPort { port: port.to_owned() }),
        },
    };
    Ok((host, port))
}

fn parse_host(host: &str) -> Result<Host, UrlError> {
    if host.is_empty() {
        return Err(UrlError::MissingHost);
    }
    if let Ok(ip) = host.parse() {
        return Ok(Host::Ip(ip));
    }
    // Underscores are not host names by the book, but container networks are full of them.
    let valid = host.len() <= 253 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    // Digits and dots only would be an IPv4 address; this one is not.
    let address_like = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !valid || address_like || host.starts_with('.') || host.contains("..") {
        return Err(UrlError::BadHost { host: host.to_owned() });
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

fn percent_decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(UrlError::BadCredentials);
        let value = digit()? * 16 + digit()?;
        bytes.push(value as u8);
    }
    String::from_utf8(bytes).map_err(|_| UrlError::BadCredentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URL, complete URL, host header.
    const GOOD: &[(&str, &str, &str)] = &[
        ("mqtt://host", "mqtt://host:1883", "host"),
        ("tcp://host", "mqtt://host:1883", "host"),
        ("mqtts://host", "mqtts://host:8883", "host"),
        ("ssl://host", "mqtts://host:8883", "host"),
        ("tls://host:1", "mqtts://host:1", "host:1"),
        ("ws://host", "ws://host:80/mqtt", "host"),
        ("wss://host", "wss://host:443/mqtt", "host"),
        ("WS://HOST:8083", "ws://host:8083/mqtt", "host:8083"),
        ("ws://host:8083/", "ws://host:8083/", "host:8083"),
        ("ws://host:8083/ws/x", "ws://host:8083/ws/x", "host:8083"),
        ("ws://host:8083?token=a/b", "ws://host:8083/mqtt?token=a/b", "host:8083"),
        ("ws://host/mqtt?a=1&b=%20#part", "ws://host:80/mqtt?a=1&b=%20", "host"),
        ("ws://127.0.0.1:80/mqtt", "ws://127.0.0.1:80/mqtt", "127.0.0.1"),
        ("ws://[::1]:8083/mqtt", "ws://[::1]:8083/mqtt", "[::1]:8083"),
        ("wss://[2001:db8::1]", "wss://[2001:db8::1]:443/mqtt", "[2001:db8::1]"),
        ("ws://host:", "ws://host:80/mqtt", "host"),
        ("ws:host:8083", "ws://host:8083/mqtt", "host:8083"),
        ("  ws://host  ", "ws://host:80/mqtt", "host"),
        ("mqtt://my_broker.local.", "mqtt://my_broker.local.:1883", "my_broker.local."),
    ];

    #[test]
    fn good_urls() {
        for (input, complete, authority) in GOOD {
            let endpoint: Endpoint = input.parse().unwrap_or_else(|e| panic!("{input}: {e}"));
            assert_eq!(endpoint.to_string(), *complete, "{input}");
            assert_eq!(endpoint.authority(), *authority, "{input}");
            assert_eq!(
                complete.parse::<Endpoint>().unwrap(),
                endpoint,
                "{input} does not survive a round trip"
            );
        }
    }

    /// URL, error, suggestion.
    const BAD: &[(&str, &str, Option<&str>)] = &[
        ("host:8083", "the URL has no scheme", Some("ws://host:8083/mqtt")),
        ("host", "the URL has no scheme", Some("ws://host/mqtt")),
        ("host:1883", "the URL has no scheme", Some("mqtt://host:1883")),
        ("host:8883", "the URL has no scheme", Some("mqtts://host:8883")),
        ("host:8084", "the URL has no scheme", Some("wss://host:8084/mqtt")),
        ("//host:8083/ws", "the URL has no scheme", Some("ws://host:8083/ws")),
        ("://host:8083", "the URL has no scheme", Some("ws://host:8083/mqtt")),
        ("u:p@host:8083", "the URL has no scheme", Some("ws://host:8083/mqtt")),
        ("127.0.0.1:8083", "the URL has no scheme", Some("ws://127.0.0.1:8083/mqtt")),
        ("[::1]:8083", "the URL has no scheme", Some("ws://[::1]:8083/mqtt")),
        ("host/a?next=http://x", "the URL has no scheme", Some("ws://host/a?next=http://x")),
        ("http://host:8083", "`http://` is not an MQTT scheme", Some("ws://host:8083/mqtt")),
        ("http://host:8083/", "`http://` is not an MQTT scheme", Some("ws://host:8083/mqtt")),
        ("https://host", "`https://` is not an MQTT scheme", Some("wss://host/mqtt")),
        ("ftp://host", "`ftp://` is not an MQTT scheme", None),
        ("http://u:p@host", "`http://` is not an MQTT scheme", Some("ws://host/mqtt")),
        ("", "the URL has no scheme", None),
        ("ws://", "the URL names no host", None),
        ("ws:///mqtt", "the URL names no host", None),
        ("ws://:8083/mqtt", "the URL names no host", None),
        ("ws://u@:1/", "the URL names no host", None),
        ("ws://host:port/mqtt", "`port` is not a valid port", None),
        ("ws://host:65536", "`65536` is not a valid port", None),
        ("ws://host:0", "`0` is not a valid port", None),
        ("ws://host:+80", "`+80` is not a valid port", None),
        ("ws://host:80:80", "`80:80` is not a valid port", None),
        ("ws://::1", "`::1` is not a valid host", None),
        ("ws://[::1", "`[::1` is not a valid host", None),
        ("ws://[::1]x", "`[::1]x` is not a valid host", None),
        ("ws://[x]", "`[x]` is not a valid host", None),
        ("ws://bücher", "`bücher` is not a valid host", None),
        ("ws://1.2.3", "`1.2.3` is not a valid host", None),
        ("ws://a..b", "`a..b` is not a valid host", None),
        ("ws://ho st", "the URL contains ' '", None),
        ("ws://host/\r\nX: y", "the URL contains '\\r'", None),
        ("ws://a%4@host", "user name or password are not properly percent-encoded", None),
        ("ws://%ff@host", "user name or password are not properly percent-encoded", None),
    ];

    #[test]
    fn bad_urls() {
        for (input, error, suggestion) in BAD {
            let got = input.parse::<Endpoint>().expect_err(input);
            assert_eq!(got.to_string(), *error, "{input}");
            assert_eq!(got.suggestion().as_deref(), *suggestion, "{input}");
            assert!(!got.hint().is_empty());
            if let Some(suggestion) = suggestion {
                assert!(suggestion.parse::<Endpoint>().is_ok(), "{suggestion}");
            }
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let endpoint: Endpoint = "mqtt://al%40ice:s%3Ae:c%20ret@host".parse().unwrap();
        assert_eq!(endpoint.username(), Some("al@ice"));
        assert_eq!(endpoint.password(), Some("s:e:c ret"));
        assert_eq!(endpoint.to_string(), "mqtt://host:1883");
        assert!(!format!("{endpoint:?}").contains("ret"));
        let error = "http://u:secret@host".parse::<Endpoint>().unwrap_err();
        assert!(!format!("{error:?} {} {}", error, error.hint()).contains("secret"));
    }

    #[test]
    fn password_may_contain_at_and_colon() {
        let endpoint: Endpoint = "ws://u:p@ss:word@host/x".parse().unwrap();
        assert_eq!((endpoint.username(), endpoint.password()), (Some("u"), Some("p@ss:word")));
        assert_eq!(endpoint.host(), &Host::Name("host".into()));
    }
}
