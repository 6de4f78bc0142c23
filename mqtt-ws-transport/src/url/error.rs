//! What is wrong with a URL, and the one that was probably meant.

use super::parse::{parse_host_port, split_authority};
use super::{DEFAULT_PATH, Endpoint, Scheme};

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
