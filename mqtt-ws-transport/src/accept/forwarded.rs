//! The client's address as proxies in front tell it: `X-Forwarded-For`, `X-Real-IP`, `Forwarded` (RFC 7239).

use super::cidr::{Cidr, trusts};
use http::header::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The header in which the proxies in front tell the client's address.
///
/// Name the one that your proxy *sets*. One that it only passes on is the client's to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy1, proxy2`, to which each proxy appends whom it talks to.
    XForwardedFor,
    /// `X-Real-IP: client`, which the one proxy in front sets.
    XRealIp,
    /// `Forwarded: for=client, for="[2001:db8::1]:4711"`, to which each proxy appends (RFC 7239).
    Forwarded,
}

/// Which header is read, and from whom.
#[derive(Debug, Clone)]
pub(crate) struct Forwarding {
    pub(crate) header: ForwardedHeader,
    pub(crate) trusted: Arc<[Cidr]>,
}

impl Forwarding {
    /// The client behind `socket`, by what trusted proxies say; `None` when it is `socket` itself.
    ///
    /// It walks the list from its end, which the nearest proxy wrote, and believes each entry as long as the one who
    /// wrote it is trusted. So nothing that a client writes itself is ever believed.
    pub(crate) fn client(&self, headers: &HeaderMap, socket: Option<SocketAddr>) -> Option<SocketAddr> {
        if !trusts(&self.trusted, socket) {
            return None;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardedHeader::XRealIp => HeaderName::from_static("x-real-ip"),
            ForwardedHeader::Forwarded => http::header::FORWARDED,
        };
        let mut client = None;
        'lines: for line in headers.get_all(name).into_iter().rev() {
            let Ok(line) = line.to_str() else { break };
            let entries: Vec<&str> = match self.header {
                ForwardedHeader::XRealIp => vec![line],
                ForwardedHeader::XForwardedFor => line.split(',').collect(),
                ForwardedHeader::Forwarded => split_quoted(line, ',').collect(),
            };
            for entry in entries.into_iter().rev() {
                let entry = if self.header == ForwardedHeader::Forwarded { node(entry) } else { Some(entry) };
                // `unknown`, a hidden name or nonsense: what was said so far is all that is known.
                let Some(address) = entry.and_then(address) else { break 'lines };
                client = Some(address);
                if self.header == ForwardedHeader::XRealIp || !trusts(&self.trusted, client) {
                    break 'lines;
                }
            }
        }
        client
    }
}

/// The value of `for` in one element of `Forwarded`, without quotes.
fn node(element: &str) -> Option<&str> {
    split_quoted(element, ';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// Splits at `separator` where it is not within quotes.
fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`; port 0 where none is told.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, 0)),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ForwardedHeader, Forwarding};
    use http::header::{HeaderMap, HeaderName};

    fn client(header: ForwardedHeader, lines: &[(&str, &str)], socket: &str) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()].into();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let socket = Some(format!("{socket}:999").parse().unwrap());
        Forwarding { header, trusted }.client(&headers, socket).map(|address| address.to_string())
    }

    #[test]
    fn the_list_is_walked_from_its_end_as_long_as_the_writer_is_trusted() {
        let cases = [
            ("203.0.113.9", Some("203.0.113.9:0")),
            // A client that lies: the proxy appended its true address.
            ("1.1.1.1, 203.0.113.9", Some("203.0.113.9:0")),
            ("1.1.1.1, 203.0.113.9, 10.0.0.2", Some("203.0.113.9:0")),
            ("203.0.113.9,10.0.0.3 , 10.0.0.2", Some("203.0.113.9:0")),
            ("203.0.113.9:4711, fd00::2", Some("203.0.113.9:4711")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:4711", Some("[2001:db8::1]:4711")),
            ("10.0.0.3, 10.0.0.2", Some("10.0.0.3:0")),
            ("203.0.113.9, unknown, 10.0.0.2", Some("10.0.0.2:0")),
            ("unknown", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let line = [("X-Forwarded-For", value)];
            let got = client(ForwardedHeader::XForwardedFor, &line, "10.0.0.1");
            assert_eq!(got.as_deref(), expected, "{value}");
            assert_eq!(client(ForwardedHeader::XForwardedFor, &line, "203.0.113.1"), None, "not trusted");
            assert_eq!(client(ForwardedHeader::XRealIp, &line, "10.0.0.1"), None, "another header");
        }
        let lines = [("X-Forwarded-For", "1.1.1.1, 203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
        let got = client(ForwardedHeader::XForwardedFor, &lines, "10.0.0.1");
        assert_eq!(got.as_deref(), Some("203.0.113.9:0"));
    }

    #[test]
    fn the_standard_header_is_understood() {
        let cases = [
            ("for=203.0.113.9;proto=https;by=10.0.0.1", Some("203.0.113.9:0")),
            (r#"For="[2001:db8::1]:4711", for=10.0.0.2"#, Some("[2001:db8::1]:4711")),
            (r#"proto="a,b;c"; FOR="203.0.113.9:80""#, Some("203.0.113.9:80")),
            ("for=_hidden", None),
            ("proto=https", None),
        ];
        for (value, expected) in cases {
            let got = client(ForwardedHeader::Forwarded, &[("Forwarded", value)], "10.0.0.1");
            assert_eq!(got.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn the_one_address_is_taken_from_the_last_line() {
        let lines = [("X-Real-IP", "1.1.1.1"), ("X-Real-IP", "203.0.113.9")];
        assert_eq!(client(ForwardedHeader::XRealIp, &lines, "10.0.0.1").as_deref(), Some("203.0.113.9:0"));
        assert_eq!(client(ForwardedHeader::XRealIp, &lines, "203.0.113.1"), None);
    }
}
