//! The answers to clients that came to the wrong port, in the protocol that they speak.
//!
//! A page or a line of text for HTTP, a CONNACK for MQTT; each names the URL that works, as far as the listener knows
//! one. What is TLS cannot be answered in words: it is named in the server's log by the typed error.

mod signpost;

pub use signpost::Signpost;

use crate::io::ByteStream;
use crate::sniff::Sniffed;
use crate::url::Scheme;
use crate::ws::{HttpRequest, HttpResponse, head, parse_request, respond};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use std::fmt::Write as _;

/// The largest request head that is read to answer it.
const MAX_HEAD: usize = 16 * 1024;
/// How much of what a client still sends is swallowed after the answer.
const LINGER: usize = 64 * 1024;

/// What a port is for, so that an answer can say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) signpost: &'a Signpost,
}

/// Answers a client that speaks `found` on this port, where there is a way to. It waits for the client; run it under
/// a timeout.
pub(crate) async fn answer<S: ByteStream>(stream: &mut S, found: Sniffed, port: Port<'_>) {
    match found {
        Sniffed::Http => answer_http(stream, port).await,
        Sniffed::Mqtt { level } => {
            if head::write_all(stream, &connack(level, &port.sentence("<host>"))).await.is_ok() {
                head::linger(stream, LINGER).await;
            }
        }
        Sniffed::Tls | Sniffed::ProxyHeader { .. } | Sniffed::Other => {}
    }
}

async fn answer_http<S: ByteStream>(stream: &mut S, port: Port<'_>) {
    let request = match head::read(stream, MAX_HEAD, |_| true).await {
        Ok(head) => parse_request(&head.bytes, MAX_HEAD).ok(),
        Err(head::HeadError::TooLarge) => None,
        Err(_) => return,
    };
    let head_only = request.as_ref().is_some_and(|request| request.method() == Method::HEAD);
    // Nobody is left to be told when this fails.
    let _ = respond(stream, &page(request.as_ref(), port), head_only).await;
}

impl Port<'_> {
    /// One sentence: what this port is for, and where else to go.
    fn sentence(self, host: &str) -> String {
        let mut text = match self.scheme {
            Scheme::Tcp => "This port speaks MQTT over TCP",
            Scheme::Tls => "This port speaks MQTT over TLS",
            Scheme::Ws => "This port speaks MQTT over WebSocket",
            Scheme::Wss => "This port speaks MQTT over WebSocket over TLS",
        }
        .to_owned();
        let urls = self.signpost.urls(host, self.scheme);
        if !urls.is_empty() {
            let _ = write!(text, ". Connect to {}", urls.join(" or "));
        }
        text
    }
}

/// What an HTTP client gets on a port for something else. 400, as it is not its fault in detail but altogether.
fn page(request: Option<&HttpRequest>, port: Port<'_>) -> HttpResponse {
    let header = |name| request.and_then(|request| request.headers().get(name)?.to_str().ok());
    let host = header(header::HOST).map(without_port).filter(|host| is_host(host)).unwrap_or("<host>");
    let wants_html = header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let advice = "Programs use an MQTT client with one of these URLs, pages a client over WebSocket (ws:// or wss://).";
    let body = if wants_html {
        let mut list = String::new();
        for url in port.signpost.urls(host, port.scheme) {
            let _ = write!(list, "<li><code>{}</code></li>", escape(&url));
        }
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>An MQTT port</title>\
             <body><h1>This is an MQTT port, not a page</h1><p>{}.</p><ul>{list}</ul><p>{advice}</p></body></html>\n",
            escape(&port.sentence(host))
        )
    } else {
        format!("{}.\n", port.sentence(host))
    };
    let content = if wants_html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let mut response = HttpResponse::new(Bytes::from(body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What a client may say its host is and have repeated to it.
fn is_host(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A CONNACK that refuses: with the sentence in MQTT 5.0, with "server unavailable" before [MQTT-3.2.2-4], with
/// "unacceptable protocol version" for a version that does not exist.
fn connack(level: u8, sentence: &str) -> Vec<u8> {
    /// Implementation specific error: the CONNECT is valid but not accepted by this server.
    const REFUSED: u8 = 0x83;
    const REASON_STRING: u8 = 0x1F;
    // A bridge marks itself with the highest bit.
    match level & 0x7F {
        5 => {
            let len = u16::try_from(sentence.len()).unwrap_or(u16::MAX);
            let mut property = vec![REASON_STRING];
            property.extend_from_slice(&len.to_be_bytes());
            property.extend_from_slice(&sentence.as_bytes()[..len.into()]);
            let mut body = vec![0, REFUSED];
            push_length(&mut body, property.len());
            body.append(&mut property);
            let mut packet = vec![0x20];
            push_length(&mut packet, body.len());
            packet.append(&mut body);
            packet
        }
        3 | 4 => vec![0x20, 2, 0, 3],
        _ => vec![0x20, 2, 0, 1],
    }
}

/// A variable byte integer.
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length > 0x7F {
        bytes.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connack_fits_the_version() {
        assert_eq!(connack(4, "x"), [0x20, 2, 0, 3]);
        assert_eq!(connack(0x83, "x"), [0x20, 2, 0, 3]);
        assert_eq!(connack(9, "x"), [0x20, 2, 0, 1]);
        assert_eq!(connack(5, "no"), [0x20, 8, 0, 0x83, 5, 0x1F, 0, 2, b'n', b'o']);
        let long = connack(5, &"x".repeat(300));
        assert_eq!(long[..10], [0x20, 0xB3, 0x02, 0, 0x83, 0xAF, 0x02, 0x1F, 0x01, 0x2C]);
        assert_eq!(long.len(), 10 + 300);
    }

    #[test]
    fn a_host_is_repeated_only_if_it_is_one() {
        assert_eq!(without_port("a.example:1883"), "a.example");
        assert_eq!(without_port("[::1]:1883"), "[::1]");
        assert_eq!(without_port("a.example"), "a.example");
        assert!(is_host("[::1]") && is_host("my_host-1.example"));
        assert!(!is_host("<script>") && !is_host("") && !is_host("a b"));
    }
}
