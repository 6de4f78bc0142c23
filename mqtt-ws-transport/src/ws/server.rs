//! The server's side of the upgrade: read a request, serve plain HTTP or become a WebSocket, say what is wrong.

use super::engine::{WsFrames, WsRole};
use super::head::{self, Head, HeadError};
use super::request::{self, Upgrade, UpgradeError, Wish};
use super::{WsLimits, WsLink};
use crate::io::ByteStream;
use crate::rt::{Runtime, timeout};
use crate::url::DEFAULT_PATH;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

/// A request head.
pub type HttpRequest = http::Request<()>;
/// A response of the application, complete with its body. Length and connection headers are added.
pub type HttpResponse = http::Response<Bytes>;
/// Answers plain GET and HEAD requests; `None` leaves the answer to the transport (404, or 426 on the MQTT path).
///
/// It runs on the connection's task and must not block.
type HttpHandler = Arc<dyn Fn(&HttpRequest) -> Option<HttpResponse> + Send + Sync>;

/// How much of a request is swallowed after an answer.
const LINGER: usize = 64 * 1024;

/// How upgrades are accepted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerHandshake {
    pub(crate) path: Arc<str>,
    pub(crate) require_subprotocol: bool,
    pub(crate) max_head_size: usize,
    pub(crate) limits: WsLimits,
    pub(crate) handler: Option<HttpHandler>,
    /// Only for the URL in answers.
    pub(crate) secure: bool,
}

impl Default for ServerHandshake {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.into(),
            require_subprotocol: true,
            max_head_size: 16 * 1024,
            limits: WsLimits::default(),
            handler: None,
            secure: false,
        }
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake")
            .field("path", &self.path)
            .field("require_subprotocol", &self.require_subprotocol)
            .field("max_head_size", &self.max_head_size)
            .field("limits", &self.limits)
            .field("handler", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

/// What became of a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per connection and taken apart at once")]
pub(crate) enum Served<S> {
    /// It is a WebSocket now.
    WebSocket(WsLink<S>, Box<Upgrade>),
    /// The application's handler has answered a plain request and the connection is done.
    Http {
        /// The status of its answer.
        status: StatusCode,
    },
}

impl ServerHandshake {
    /// Reads one request from `stream` and serves it.
    ///
    /// The request must be complete within `deadline`; an answer must be taken within the same time again.
    /// Whatever is wrong has been answered when this returns. Dropping the future drops the stream.
    pub(crate) async fn accept<R: Runtime, S: ByteStream>(
        &self,
        runtime: &R,
        mut stream: S,
        deadline: Duration,
    ) -> Result<Served<S>, UpgradeError> {
        let request = match timeout(runtime, deadline, self.read_request(&mut stream)).await {
            Ok(Ok((request, rest))) => Ok((self.decide(&request), request, rest)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(UpgradeError::TimedOut),
        };
        let answer = async {
            match request {
                Ok((Ok(Decision::Upgrade { protocol, answer }), request, rest)) => {
                    head::write_all(&mut stream, answer.as_bytes()).await?;
                    let frames = WsFrames::new(stream, WsRole::Server, rest, self.limits);
                    Ok(Served::WebSocket(WsLink::new(frames), Box::new(Upgrade::new(request, protocol))))
                }
                Ok((Ok(Decision::Respond(response)), request, _)) => {
                    let status = response.status();
                    respond(&mut stream, &response, request.method() == Method::HEAD).await?;
                    Ok(Served::Http { status })
                }
                Ok((Err(error), request, _)) => {
                    if let Some(response) = error.response(&self.url(Some(&request))) {
                        respond(&mut stream, &response, request.method() == Method::HEAD).await?;
                    }
                    Err(error)
                }
                Err(error) => {
                    if let Some(response) = error.response(&self.url(None)) {
                        respond(&mut stream, &response, false).await?;
                    }
                    Err(error)
                }
            }
        };
        timeout(runtime, deadline, answer).await.unwrap_or(Err(UpgradeError::Stalled))
    }

    async fn read_request<S: ByteStream>(
        &self,
        stream: &mut S,
    ) -> Result<(HttpRequest, Vec<u8>), UpgradeError> {
        // Every method is a word of capitals; TLS begins with 0x16 and MQTT with 0x10.
        fn plausible(bytes: &[u8]) -> bool {
            bytes.first().is_none_or(|b| b.is_ascii_uppercase() || matches!(b, b'\r' | b'\n'))
        }
        let limit = self.max_head_size;
        match head::read(stream, limit, plausible).await {
            Ok(Head { bytes, rest }) => Ok((request::parse(&bytes, limit)?, rest)),
            Err(HeadError::Io(error)) => Err(UpgradeError::Io(error)),
            Err(HeadError::Ended(received)) => Err(UpgradeError::Ended { received: received.len() }),
            Err(HeadError::TooLarge) => Err(UpgradeError::HeadTooLarge { limit }),
            Err(HeadError::NotHttp(mut first)) => {
                first.truncate(16);
                Err(UpgradeError::NotHttp { first })
            }
        }
    }

    /// What a request gets. Pure: no IO, no clock.
    fn decide(&self, request: &HttpRequest) -> Result<Decision, UpgradeError> {
        let path = request.uri().path();
        let not_found = || UpgradeError::NotFound { path: path.chars().take(100).collect() };
        match request::wish(request)? {
            Wish::Plain => {
                if !matches!(*request.method(), Method::GET | Method::HEAD) {
                    return Err(UpgradeError::Method(request.method().clone()));
                }
                if let Some(response) = self.handler.as_ref().and_then(|handler| handler(request)) {
                    return Ok(Decision::Respond(response));
                }
                Err(if path == &*self.path { UpgradeError::NotAnUpgrade } else { not_found() })
            }
            Wish::Upgrade => {
                if path != &*self.path {
                    return Err(not_found());
                }
                let (protocol, key) = request::check_upgrade(request, self.require_subprotocol)?;
                Ok(Decision::Upgrade { protocol, answer: switching_protocols(key, protocol) })
            }
        }
    }

    /// Where MQTT is served, as far as the request knows its host.
    fn url(&self, request: Option<&HttpRequest>) -> String {
        let host = request
            .and_then(|request| request.headers().get(header::HOST)?.to_str().ok())
            .filter(|host| host.len() <= 255)
            .unwrap_or("<host>");
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{host}{}", self.path)
    }
}

enum Decision {
    Upgrade { protocol: Option<&'static str>, answer: String },
    Respond(HttpResponse),
}

fn switching_protocols(key: &[u8], protocol: Option<&str>) -> String {
    let accept = tungstenite::handshake::derive_accept_key(key);
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(protocol) = protocol {
        answer.push_str("Sec-WebSocket-Protocol: ");
        answer.push_str(protocol);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    answer
}

/// Writes a response and ends the connection. One request per connection keeps a page's few files simple and leaves
/// no idle HTTP connection to look after.
pub(crate) async fn respond<S: ByteStream>(
    stream: &mut S,
    response: &HttpResponse,
    head_only: bool,
) -> Result<(), UpgradeError> {
    let status = response.status();
    let mut text = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or(""));
    // A sender of `Upgrade` must name it in `Connection` too (RFC 9110, 7.8).
    let upgrade = if response.headers().contains_key(header::UPGRADE) { "Upgrade, " } else { "" };
    let _ = write!(text, "Connection: {upgrade}close\r\nContent-Length: {}\r\n", response.body().len());
    let mut bytes = text.into_bytes();
    for (name, value) in response.headers() {
        if [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            continue;
        }
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if !head_only {
        bytes.extend_from_slice(response.body());
    }
    head::write_all(stream, &bytes).await?;
    head::linger(stream, LINGER).await;
    Ok(())
}
