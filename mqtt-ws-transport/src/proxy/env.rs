//! The proxy that environment variables name, by the custom that curl began.

use super::{Proxy, ProxyUrlError};
use crate::url::{Endpoint, Host, Scheme, parse_host_port};
use std::net::IpAddr;

pub(super) fn find(
    endpoint: &Endpoint,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyUrlError> {
    let get = |name: &str| var(name).filter(|value| !value.trim().is_empty());
    let names: &[&str] = match endpoint.scheme() {
        Scheme::Tcp => &["mqtt_proxy", "MQTT_PROXY"],
        Scheme::Tls => &["mqtts_proxy", "MQTTS_PROXY"],
        // Not HTTP_PROXY: a web server sets it from a header that any visitor can send.
        Scheme::Ws => &["ws_proxy", "WS_PROXY", "http_proxy"],
        Scheme::Wss => &["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY"],
    };
    let Some(url) = names.iter().chain(&["all_proxy", "ALL_PROXY"]).find_map(|name| get(name)) else {
        return Ok(None);
    };
    let exceptions = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
    if exceptions.split(',').any(|entry| matches(entry.trim(), endpoint)) {
        return Ok(None);
    }
    url.parse().map(Some)
}

/// Whether an entry of `no_proxy` means `endpoint`. What is not understood means nobody.
fn matches(entry: &str, endpoint: &Endpoint) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (Host::Ip(ip), Ok(network), Ok(bits)) = (endpoint.host(), network.parse(), bits.parse()) else {
            return false;
        };
        return in_network(*ip, network, bits);
    }
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return *endpoint.host() == Host::Ip(ip);
    }
    let entry = entry.strip_prefix("*.").unwrap_or(entry).trim_start_matches('.');
    let Ok((host, port)) = parse_host_port(entry) else { return false };
    if port.is_some_and(|port| port != endpoint.port()) {
        return false;
    }
    match (&host, endpoint.host()) {
        (Host::Name(domain), Host::Name(name)) => {
            let name = name.trim_end_matches('.');
            name == domain || name.strip_suffix(domain.as_str()).is_some_and(|left| left.ends_with('.'))
        }
        (Host::Ip(a), Host::Ip(b)) => a == b,
        _ => false,
    }
}

fn in_network(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let Some(host_bits) = u32::checked_sub(width, bits) else { return false };
    let prefix = |address: u128| address.checked_shr(host_bits).unwrap_or(0);
    prefix(ip) == prefix(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, vars: &[(&str, &str)]) -> Option<String> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        find(&url.parse().unwrap(), var).unwrap().map(|proxy| proxy.host().to_string())
    }

    #[test]
    fn each_scheme_has_its_variables() {
        let vars = [
            ("http_proxy", "http://h"),
            ("https_proxy", "http://s"),
            ("ALL_PROXY", "socks5://a"),
            ("x", "y"),
        ];
        assert_eq!(proxy("ws://host", &vars).as_deref(), Some("h"));
        assert_eq!(proxy("wss://host", &vars).as_deref(), Some("s"));
        assert_eq!(proxy("mqtt://host", &vars).as_deref(), Some("a"));
        assert_eq!(proxy("mqtts://host", &vars).as_deref(), Some("a"));
        let vars = [("HTTP_PROXY", "h"), ("HTTPS_PROXY", "s"), ("mqtts_proxy", "m"), ("all_proxy", "")];
        assert_eq!(proxy("ws://host", &vars), None);
        assert_eq!(proxy("wss://host", &vars).as_deref(), Some("s"));
        assert_eq!(proxy("mqtts://host", &vars).as_deref(), Some("m"));
        assert_eq!(proxy("mqtt://host", &vars), None);
        assert!(find(&"ws://h".parse().unwrap(), |_| Some("ftp://x".to_owned())).is_err());
    }

    #[test]
    fn exceptions() {
        let through =
            |url: &str, no_proxy: &str| proxy(url, &[("all_proxy", "p"), ("no_proxy", no_proxy)]).is_some();
        for (url, no_proxy, expected) in [
            ("mqtt://host", "", true),
            ("mqtt://host", "*", false),
            ("mqtt://host", "other,host", false),
            ("mqtt://HOST", " host ", false),
            ("mqtt://a.example", "example", false),
            ("mqtt://a.example", ".example", false),
            ("mqtt://a.example", "*.example", false),
            ("mqtt://a.example.", "a.example", false),
            ("mqtt://notexample", "example", true),
            ("mqtt://a.example", "b.a.example", true),
            ("mqtt://a.example", "a.example:1883", false),
            ("mqtt://a.example", "a.example:1884", true),
            ("mqtt://10.1.2.3", "10.0.0.0/8", false),
            ("mqtt://11.1.2.3", "10.0.0.0/8", true),
            ("mqtt://11.1.2.3", "10.0.0.0/0", false),
            ("mqtt://10.1.2.3", "10.0.0.0/99", true),
            ("mqtt://[fd00::1]", "fd00::/8", false),
            ("mqtt://[fe00::1]", "fd00::/8", true),
            ("mqtt://[::1]", "::1", false),
            ("mqtt://[::1]", "[::1]:1883", false),
            ("mqtt://127.0.0.1", "127.0.0.1", false),
            ("mqtt://127.0.0.2", "127.0.0.1", true),
        ] {
            assert_eq!(through(url, no_proxy), expected, "{url} with {no_proxy}");
        }
    }
}
