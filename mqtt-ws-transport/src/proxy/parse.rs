//! From text to a [`Proxy`].

use super::{Credentials, Kind, Proxy, ProxyUrlError};
use crate::url::{UrlError, parse_host_port, percent_decode, split_authority};
use std::str::FromStr;

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(input: &str) -> Result<Self, ProxyUrlError> {
        let input = input.trim();
        if let Some(character) = input.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::BadCharacter { character }.into());
        }
        let (scheme, rest) = input.split_once("://").unwrap_or(("http", input));
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, 80),
            "socks5" | "socks5h" | "socks" => (Kind::Socks5, 1080),
            "https" => return Err(ProxyUrlError::TlsToProxy),
            _ => return Err(ProxyUrlError::UnknownScheme { scheme: scheme.to_owned() }),
        };
        let (authority, _, _) = split_authority(rest);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo), host_port),
            None => (None, authority),
        };
        let (host, port) = parse_host_port(host_port)?;
        let credentials = match userinfo {
            None | Some("") => None,
            Some(userinfo) => {
                let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                Some(Credentials { username: percent_decode(username)?, password: percent_decode(password)? })
            }
        };
        let proxy = Self::http(host, port.unwrap_or(default_port));
        Ok(Self { kind, credentials, ..proxy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls() {
        for (input, complete) in [
            ("http://proxy.example", "http://proxy.example:80"),
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://PROXY:3128/", "http://proxy:3128"),
            ("socks5://proxy", "socks5://proxy:1080"),
            ("socks5h://[::1]:9050", "socks5://[::1]:9050"),
            ("socks5://u:p@10.0.0.1", "socks5://10.0.0.1:1080"),
        ] {
            let proxy: Proxy = input.parse().unwrap_or_else(|error| panic!("{input}: {error}"));
            assert_eq!(proxy.to_string(), complete);
        }
    }

    #[test]
    fn bad_urls() {
        for (input, error) in [
            ("https://proxy", "TLS to the proxy itself is not supported"),
            ("socks4://proxy", "`socks4://` is not a proxy scheme"),
            ("mqtt://proxy", "`mqtt://` is not a proxy scheme"),
            ("", "the proxy's URL: the URL names no host"),
            ("http://:3128", "the proxy's URL: the URL names no host"),
            ("proxy:x", "the proxy's URL: `x` is not a valid port"),
            ("http://pr oxy", "the proxy's URL: the URL contains ' '"),
            ("http://a%4@proxy", "the proxy's URL: user name or password are not properly percent-encoded"),
        ] {
            let got = input.parse::<Proxy>().expect_err(input);
            assert_eq!(got.to_string(), error, "{input}");
            assert!(!got.hint().is_empty());
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let proxy: Proxy = "http://us%3Aer:se%40cret@proxy".parse().unwrap();
        let Credentials { username, password } = proxy.credentials.clone().unwrap();
        assert_eq!((username.as_str(), password.as_str()), ("us:er", "se@cret"));
        assert!(!format!("{proxy} {proxy:?}").contains("cret"));
    }
}
