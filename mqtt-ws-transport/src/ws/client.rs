//! The client's side of the upgrade, and what the answers that are not an upgrade mean.

use super::engine::{WsFrames, WsRole};
use super::head::{self, Head, HeadError};
use super::request::tokens;
use super::{WsLimits, WsLink, WsOptions};
use crate::connect::ConnectOptions;
use crate::io::ByteStream;
use crate::rt::{Runtime, timeout};
use crate::url::Endpoint;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// The largest response head taken.
const MAX_HEAD: usize = 16 * 1024;
/// How much of a refusal's body is looked at, and how long it is waited for.
const MAX_BODY: usize = 4 * 1024;
const BODY_TIME: Duration = Duration::from_secs(1);
/// The handshake sets these itself.
const RESERVED: [HeaderName; 8] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
];

/// A request to upgrade a stream to a WebSocket that carries MQTT.
#[derive(Debug, Clone)]
pub(crate) struct ClientHandshake {
    host: String,
    target: String,
    headers: HeaderMap,
    protocols: Vec<String>,
    limits: WsLimits,
    options: WsOptions,
}

impl ClientHandshake {
    /// For the host, path and query of `endpoint`, offering the sub-protocol `mqtt`.
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self {
            host: endpoint.authority(),
            target: ascii(&endpoint.request_target()),
            headers: HeaderMap::new(),
            protocols: vec![super::SUBPROTOCOLS[0].to_owned()],
            limits: WsLimits::of_client(),
            options: WsOptions::default(),
        }
    }

    /// With these headers in addition, such as `Authorization` or `Cookie`.
    #[must_use]
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Offering these sub-protocols, in order of preference. None at all for servers that refuse the header.
    #[must_use]
    pub(crate) fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// With these bounds.
    #[must_use]
    pub(crate) fn limits(mut self, limits: WsLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Behaving like this once it is open.
    #[must_use]
    pub(crate) fn options(mut self, options: WsOptions) -> Self {
        self.options = options;
        self
    }

    /// Performs the upgrade. Returns the link and the head of the server's answer.
    ///
    /// It waits as long as the server does; run it under a timeout. Dropping the future drops the stream.
    pub(crate) async fn connect<R: Runtime, S: ByteStream>(
        &self,
        runtime: &R,
        mut stream: S,
    ) -> Result<(WsLink<S>, http::Response<()>), HandshakeError> {
        let key = generate_key();
        head::write_all(&mut stream, &self.request(&key)?).await?;
        let Head { bytes, rest } = head::read(&mut stream, MAX_HEAD, |bytes| {
            let len = bytes.len().min(5);
            bytes[..len] == b"HTTP/"[..len]
        })
        .await?;
        let response = parse(&bytes)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let mut body = rest;
            // The refusal is known; its explanation is worth a moment, not the whole deadline.
            let _ = timeout(runtime, BODY_TIME, read_first_line(&mut stream, &response, &mut body)).await;
            return Err(refusal(&response, &body));
        }
        self.verify(&response, &key)?;
        let frames = WsFrames::new(stream, WsRole::Client, rest, self.limits).options(
            runtime,
            self.options,
            &self.host,
        );
        Ok((WsLink::new(frames), response))
    }

    fn request(&self, key: &str) -> Result<Vec<u8>, HandshakeError> {
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            self.target, self.host
        );
        if !self.protocols.is_empty() {
            let list = self.protocols.join(", ");
            if HeaderValue::from_str(&list).is_err() {
                return Err(HandshakeError::BadHeader { name: header::SEC_WEBSOCKET_PROTOCOL });
            }
            let _ = write!(text, "Sec-WebSocket-Protocol: {list}\r\n");
        }
        let mut bytes = text.into_bytes();
        for (name, value) in &self.headers {
            if RESERVED.contains(name) {
                return Err(HandshakeError::BadHeader { name: name.clone() });
            }
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes)
    }

    /// RFC 6455 section 4.1, the client's checks.
    fn verify(&self, response: &http::Response<()>, key: &str) -> Result<(), HandshakeError> {
        let headers = response.headers();
        let has = |name, value: &str| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(value));
        if !has(&header::UPGRADE, "websocket") || !has(&header::CONNECTION, "upgrade") {
            return Err(HandshakeError::NotWebSocket("it does not name the upgrade"));
        }
        let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(HandshakeError::NotWebSocket("its answer to the key is wrong"));
        }
        if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return Err(HandshakeError::NotWebSocket("it uses an extension that was not offered"));
        }
        let chosen = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap_or("?"));
        let agreed = match chosen {
            None => self.protocols.is_empty(),
            Some(chosen) => self.protocols.iter().any(|ours| ours == chosen),
        };
        if !agreed {
            return Err(HandshakeError::Subprotocol { chosen: chosen.map(str::to_owned) });
        }
        Ok(())
    }
}

/// Upgrades `stream`, which is connected to the server of `endpoint`, and gives the WebSocket itself: for programs that
/// speak something else than MQTT over it. The headers, sub-protocols, limits and keep-alive of `options` apply, its
/// time does not.
///
/// ```no_run
/// use mqttkit_ws_transport::ws::{self, WsMessage};
/// use mqttkit_ws_transport::{ConnectOptions, Endpoint, TokioIo, TokioRuntime};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint: Endpoint = "ws://localhost:9001/chat".parse()?;
/// let stream = TokioIo::new(tokio::net::TcpStream::connect("localhost:9001").await?);
/// let options = ConnectOptions::new().protocols(["chat"]);
/// let mut socket = ws::connect(&TokioRuntime::new(), stream, &endpoint, &options).await?;
/// socket.send_message(WsMessage::Text("hello".to_owned())).await?;
/// while let Some(message) = socket.recv_message().await? {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn connect<R: Runtime, S: ByteStream>(
    runtime: &R,
    stream: S,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<WsFrames<S>, HandshakeError> {
    let handshake = ClientHandshake::new(endpoint)
        .headers(options.headers.clone())
        .protocols(options.protocols.iter().map(String::as_str))
        .limits(options.limits)
        .options(options.ws);
    let (link, _) = handshake.connect(runtime, stream).await?;
    Ok(link.into_inner())
}

/// Why an upgrade did not succeed. [`hint`](Self::hint) says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection failed.
    #[error("connection failed during the WebSocket upgrade: {0}")]
    Io(#[from] io::Error),
    /// The server closed without an answer.
    #[error("the server closed the connection during the WebSocket upgrade, after {received} bytes")]
    Ended {
        /// Bytes that had arrived.
        received: usize,
    },
    /// The server does not speak HTTP.
    #[error("the server does not speak HTTP (first bytes: {first:02x?})")]
    NotHttp {
        /// Up to 16 of the first bytes.
        first: Vec<u8>,
    },
    /// The head of the answer is malformed or exceeds 16 KiB.
    #[error("the server's HTTP answer is malformed")]
    Malformed,
    /// The server answered, but not with an upgrade.
    #[error("the server refused the WebSocket upgrade with {status}{}{line}", if line.is_empty() { "" } else { ": " })]
    Refused {
        /// The status.
        status: StatusCode,
        /// The first line of the body, at most 200 characters, where it is text.
        line: String,
        /// Where a redirect points to.
        location: Option<String>,
    },
    /// The server claims to upgrade, but breaks the rules of it.
    #[error("the server's WebSocket upgrade is wrong: {0}")]
    NotWebSocket(&'static str),
    /// The server did not choose one of the sub-protocols offered [MQTT-6.0.0-4].
    #[error("the server did not accept the WebSocket sub-protocol of MQTT (it chose {chosen:?})")]
    Subprotocol {
        /// What it chose.
        chosen: Option<String>,
    },
    /// A header given by the program cannot be sent, or belongs to the handshake.
    #[error("header `{name}` cannot be set")]
    BadHeader {
        /// Its name.
        name: HeaderName,
    },
}

impl HandshakeError {
    /// One sentence that says what to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Io(_) => "Check that the server is reachable and see its log".to_owned(),
            Self::Ended { .. } => {
                "Is it a WebSocket port? Brokers usually have it on 8083 (ws) or 8084 (wss), and MQTT without WebSocket on 1883".to_owned()
            }
            Self::NotHttp { first } => match first.first() {
                Some(0x15 | 0x16) => "The server speaks TLS on this port: use wss:// instead of ws://".to_owned(),
                _ => "The port does not serve WebSocket: use mqtt:// or another port".to_owned(),
            },
            Self::Malformed => "Is there a proxy or another service on this port?".to_owned(),
            Self::Refused { status, location, .. } => refusal_hint(*status, location.as_deref()),
            Self::NotWebSocket(_) => "A proxy in between may not support WebSocket".to_owned(),
            Self::Subprotocol { .. } => {
                "The server is a WebSocket server, but not one for MQTT at this path; check path and port".to_owned()
            }
            Self::BadHeader { .. } => "Leave the headers of the WebSocket handshake to the transport".to_owned(),
        }
    }
}

impl From<HeadError> for HandshakeError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Io(error) => Self::Io(error),
            HeadError::Ended(received) => Self::Ended { received: received.len() },
            HeadError::TooLarge => Self::Malformed,
            HeadError::NotHttp(mut first) => {
                first.truncate(16);
                Self::NotHttp { first }
            }
        }
    }
}

fn refusal_hint(status: StatusCode, location: Option<&str>) -> String {
    match status.as_u16() {
        300..=399 => match location {
            Some(location) => return format!("The server redirects to {location} : connect there"),
            None => "The server redirects; ask its operator for the WebSocket URL",
        },
        400 => "The server does not take this as an MQTT upgrade; check path and port, and that it serves MQTT over WebSocket",
        401 | 403 => "The server wants credentials with the upgrade: set headers such as Authorization or Cookie",
        404 => "The path is wrong; most brokers use /mqtt",
        407 => "A proxy in between wants credentials",
        408 | 504 => "The server or a proxy waited too long; try again",
        426 => "The server did not see the upgrade; a proxy in between may have removed it",
        429 => "The server has too many requests; try again later",
        200..=299 => "The server answers with a page: check path and port",
        500..=599 => "The server or a proxy in front of it has a problem; is the broker behind it running?",
        _ => "Check path and port",
    }
    .into()
}

fn parse(bytes: &[u8]) -> Result<http::Response<()>, HandshakeError> {
    let mut headers = [httparse::EMPTY_HEADER; head::MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    if !matches!(parsed.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return Err(HandshakeError::Malformed);
    }
    let mut response = http::Response::new(());
    let code = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    *response.status_mut() = code.ok_or(HandshakeError::Malformed)?;
    *response.version_mut() = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    for line in &*parsed.headers {
        // A header that is none is the server's affair, unless it is missed later.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(line.name.as_bytes()), HeaderValue::from_bytes(line.value))
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// Reads until a line of the body is complete or the body ends.
async fn read_first_line<S: ByteStream>(
    stream: &mut S,
    response: &http::Response<()>,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let length = length.unwrap_or(MAX_BODY).min(MAX_BODY);
    while body.len() < length && first_line(response, body, false).is_none() {
        if head::read_some(stream, body, MAX_BODY).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn refusal(response: &http::Response<()>, body: &[u8]) -> HandshakeError {
    let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let line = first_line(response, body, true).unwrap_or_default();
    HandshakeError::Refused { status: response.status(), line, location }
}

/// The first line that is not blank, if it is text. `ended` takes an unfinished one too.
fn first_line(response: &http::Response<()>, body: &[u8], ended: bool) -> Option<String> {
    let chunked =
        tokens(response.headers(), &header::TRANSFER_ENCODING).any(|t| t.eq_ignore_ascii_case("chunked"));
    let text = String::from_utf8_lossy(body);
    let mut lines = text.split_inclusive('\n');
    if chunked {
        // The line with the length of the first chunk.
        lines.next();
    }
    let line = lines.find(|line| !line.trim().is_empty())?;
    let complete = ended || line.ends_with('\n');
    let printable = |c: &char| !c.is_control() && *c != char::REPLACEMENT_CHARACTER;
    complete.then(|| line.trim().chars().take(200).filter(printable).collect())
}

/// What a request target cannot carry as it is, percent-encoded.
fn ascii(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
