//! From text to an [`Endpoint`].

use super::{Endpoint, Host, Scheme, UrlError};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

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

pub(crate) fn split_authority(rest: &str) -> (&str, &str, Option<&str>) {
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

pub(crate) fn parse_host_port(text: &str) -> Result<(Host, Option<u16>), UrlError> {
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

pub(crate) fn percent_decode(text: &str) -> Result<String, UrlError> {
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
