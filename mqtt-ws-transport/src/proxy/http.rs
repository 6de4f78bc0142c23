//! The HTTP `CONNECT` method, RFC 9110 section 9.3.6.

use super::io::{read, send};
use super::{Credentials, Proxy, ProxyError};
use crate::io::ByteStream;
use crate::url::Endpoint;
use http::StatusCode;
use http::header::{self, HeaderMap};

/// The largest head of an answer that is taken.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

pub(super) async fn tunnel<S: ByteStream>(
    proxy: &Proxy,
    stream: &mut S,
    endpoint: &Endpoint,
) -> Result<(), ProxyError> {
    let authenticated =
        proxy.credentials.is_some() || proxy.headers.contains_key(header::PROXY_AUTHORIZATION);
    send(stream, &request(proxy.credentials.as_ref(), &proxy.headers, endpoint)?).await?;
    answer(&read_head(stream).await?, authenticated)
}

fn request(
    credentials: Option<&Credentials>,
    headers: &HeaderMap,
    endpoint: &Endpoint,
) -> Result<Vec<u8>, ProxyError> {
    // The authority form always has a port.
    let target = format!("{}:{}", endpoint.host(), endpoint.port());
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(Credentials { username, password }) = credentials {
        if username.contains(':') {
            return Err(ProxyError::BadCredentials);
        }
        let token = base64(format!("{username}:{password}").as_bytes());
        request.extend_from_slice(format!("Proxy-Authorization: Basic {token}\r\n").as_bytes());
    }
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            request.extend_from_slice(part);
        }
    }
    request.extend_from_slice(b"\r\n");
    Ok(request)
}

/// The head of the answer. Nothing may follow it: whoever is behind the tunnel waits for us to speak first, in MQTT, in
/// TLS and in HTTP.
async fn read_head<S: ByteStream>(stream: &mut S) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let n = match read(stream, &mut chunk).await {
            Err(ProxyError::Ended) if !head.is_empty() => return Err(not_a_proxy(&head)),
            read => read?,
        };
        // The end may have begun in what was there before.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(&chunk[..n]);
        let looked_at = head.len().min(5);
        if head[..looked_at] != b"HTTP/"[..looked_at] {
            return Err(not_a_proxy(&head));
        }
        if let Some(end) = head[from..].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let end = from + end + 4;
            // A refusal has a body, which does not matter.
            let accepted = head.get(9) == Some(&b'2');
            if accepted && end < head.len() {
                return Err(ProxyError::UnexpectedData);
            }
            head.truncate(end);
            return Ok(head);
        }
        if head.len() > MAX_HEAD {
            return Err(not_a_proxy(&head));
        }
    }
}

fn not_a_proxy(bytes: &[u8]) -> ProxyError {
    ProxyError::NotAProxy { first: bytes[..bytes.len().min(16)].to_vec() }
}

fn answer(head: &[u8], authenticated: bool) -> Result<(), ProxyError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let complete = matches!(response.parse(head), Ok(httparse::Status::Complete(_)));
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).filter(|_| complete);
    match status {
        None => Err(not_a_proxy(head)),
        Some(status) if status.is_success() => Ok(()),
        Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            let challenges: Vec<_> = response
                .headers
                .iter()
                .filter(|line| line.name.eq_ignore_ascii_case(header::PROXY_AUTHENTICATE.as_str()))
                .map(|line| printable(&String::from_utf8_lossy(line.value)))
                .collect();
            let challenge = (!challenges.is_empty()).then(|| challenges.join(", "));
            Err(ProxyError::AuthenticationRequired { refused: authenticated, challenge })
        }
        Some(status) => {
            Err(ProxyError::Refused { status, reason: printable(response.reason.unwrap_or_default()) })
        }
    }
}

/// Safe for a log, and short.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| u32::from(group.get(i).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_remainder() {
        // RFC 4648 section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xFB, 0xFF, 0xFE]), "+//+");
    }
}
