//! The server's side of the upgrade: read a request, serve plain HTTP or become a WebSocket, say what is wrong.

use super::engine::{WsFrames, WsRole};
use super::head::{self, Head, HeadError};
use super::request::{self, Upgrade, UpgradeError, Wish};
use super::{WsLimits, WsOptions};
use crate::accept::{Forwarding, PeerInfo};
use crate::io::ByteStream;
use crate::rt::{Runtime, timeout};
use crate::url::DEFAULT_PATH;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use std::fmt::{self, Write as _};
use std::future::Future;
use std::io;
use std::pin::Pin;
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

/// Asks the application about a client.
type Authenticator = Arc<dyn Fn(PeerInfo) -> Verdict + Send + Sync>;
type Verdict = Pin<Box<dyn Future<Output = Result<PeerInfo, HttpResponse>> + Send>>;

/// How much of a request is swallowed after an answer.
const LINGER: usize = 64 * 1024;
/// How long the peer is waited for after an answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How upgrades are accepted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerHandshake {
    pub(crate) path: Arc<str>,
    pub(crate) path_is_prefix: bool,
    pub(crate) origins: Option<Arc<[String]>>,
    pub(crate) require_origin: bool,
    pub(crate) forwarding: Option<Forwarding>,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) options: WsOptions,
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
            path_is_prefix: false,
            origins: None,
            require_origin: false,
            forwarding: None,
            authenticator: None,
            options: WsOptions::default(),
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
            .field("origins", &self.origins)
            .field("forwarding", &self.forwarding)
            .field("authenticator", &self.authenticator.is_some())
            .field("limits", &self.limits)
            .field("options", &self.options)
            .field("handler", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}

/// What became of a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per connection and taken apart at once")]
pub(crate) enum Served<S> {
    /// It is a WebSocket now.
    WebSocket(WsFrames<S>, PeerInfo),
    /// The application's handler has answered a plain request and the connection is done.
    Http {
        /// The status of its answer.
        status: StatusCode,
    },
}

impl ServerHandshake {
    /// Whether a header may name the client.
    pub(crate) fn reads_forwarded(&self) -> bool {
        self.forwarding.is_some()
    }

    /// Reads one request from `stream` and serves it.
    ///
    /// The request must be complete, and the application have decided, within `deadline`; an answer must be taken
    /// within the same time again. Whatever is wrong has been answered when this returns. Dropping the future drops the
    /// stream.
    pub(crate) async fn accept<R: Runtime, S: ByteStream>(
        &self,
        runtime: &R,
        mut stream: S,
        deadline: Duration,
        peer: PeerInfo,
    ) -> Result<Served<S>, UpgradeError> {
        let end = runtime.now().saturating_add(deadline);
        let reading = timeout(runtime, deadline, self.read_request(&mut stream)).await;
        let (outcome, url, head_only) = match reading.unwrap_or(Err(UpgradeError::TimedOut)) {
            Ok((request, Head { bytes, rest })) => {
                let (url, head_only) = (self.url(Some(&request)), request.method() == Method::HEAD);
                let left = end.saturating_sub(runtime.now());
                (
                    self.judge(runtime, left, request, bytes, peer).await.map(|verdict| (verdict, rest)),
                    url,
                    head_only,
                )
            }
            Err(error) => (Err(error), self.url(None), false),
        };
        let (response, result) = match outcome {
            Ok((Judged::Upgrade { answer, peer }, rest)) => {
                let writing = timeout(runtime, deadline, head::write_all(&mut stream, answer.as_bytes()));
                writing.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(stalled)?;
                let name =
                    peer.address.map_or_else(|| "the client".to_owned(), |address| address.to_string());
                let frames = WsFrames::new(stream, WsRole::Server, rest, self.limits);
                return Ok(Served::WebSocket(frames.options(runtime, self.options, &name), *peer));
            }
            Ok((Judged::Serve(response), _)) => {
                let served = Served::Http { status: response.status() };
                (Some(response), Ok(served))
            }
            Ok((Judged::Refuse(response), _)) => {
                let refused = UpgradeError::Refused { status: response.status() };
                (Some(response), Err(refused))
            }
            Err(error) => (error.response(&url), Err(error)),
        };
        if let Some(response) = response {
            let writing = timeout(runtime, deadline, write_response(&mut stream, &response, head_only));
            writing.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(stalled)?;
            // The answer is out. Whether the peer ends its side changes nothing about what it was.
            let _ = timeout(runtime, deadline.min(LINGER_TIME), head::linger(&mut stream, LINGER)).await;
        }
        result
    }

    /// What a request gets, also by the application's opinion, which it has to form within `left`.
    async fn judge<R: Runtime>(
        &self,
        runtime: &R,
        left: Duration,
        request: HttpRequest,
        head: Vec<u8>,
        mut peer: PeerInfo,
    ) -> Result<Judged, UpgradeError> {
        let (protocol, answer) = match self.decide(&request)? {
            Decision::Respond(response) => return Ok(Judged::Serve(response)),
            Decision::Upgrade { protocol, answer } => (protocol, answer),
        };
        if let Some(forwarding) = &self.forwarding {
            peer.behind(forwarding.client(request.headers(), peer.address));
        }
        peer.upgrade = Some(Box::new(Upgrade::new(head, protocol)));
        let Some(authenticator) = &self.authenticator else {
            return Ok(Judged::Upgrade { answer, peer: Box::new(peer) });
        };
        match timeout(runtime, left, authenticator(peer)).await {
            Ok(Ok(peer)) => Ok(Judged::Upgrade { answer, peer: Box::new(peer) }),
            Ok(Err(response)) => Ok(Judged::Refuse(response)),
            Err(_) => Err(UpgradeError::Undecided),
        }
    }

    async fn read_request<S: ByteStream>(&self, stream: &mut S) -> Result<(HttpRequest, Head), UpgradeError> {
        // Every method is a word of capitals; TLS begins with 0x16 and MQTT with 0x10.
        fn plausible(bytes: &[u8]) -> bool {
            bytes.first().is_none_or(|b| b.is_ascii_uppercase() || matches!(b, b'\r' | b'\n'))
        }
        let limit = self.max_head_size;
        match head::read(stream, limit, plausible).await {
            Ok(head) => Ok((request::parse(&head.bytes, limit)?, head)),
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
                Err(if self.serves(path) { UpgradeError::NotAnUpgrade } else { not_found() })
            }
            Wish::Upgrade => {
                if !self.serves(path) {
                    return Err(not_found());
                }
                self.check_origin(request)?;
                let (protocol, key) = request::check_upgrade(request, self.require_subprotocol)?;
                Ok(Decision::Upgrade { protocol, answer: switching_protocols(key, protocol) })
            }
        }
    }

    fn serves(&self, path: &str) -> bool {
        if !self.path_is_prefix {
            return path == &*self.path;
        }
        let below = path.strip_prefix(self.path.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// RFC 6455 section 10.2.
    fn check_origin(&self, request: &HttpRequest) -> Result<(), UpgradeError> {
        let mut named = request.headers().get_all(header::ORIGIN).into_iter().peekable();
        if self.require_origin && named.peek().is_none() {
            return Err(UpgradeError::Origin { origin: None });
        }
        let Some(origins) = &self.origins else { return Ok(()) };
        for origin in named {
            let allowed = |ours: &String| ours.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
            if !origins.iter().any(allowed) {
                let origin = String::from_utf8_lossy(origin.as_bytes()).chars().take(100).collect();
                return Err(UpgradeError::Origin { origin: Some(origin) });
            }
        }
        Ok(())
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

/// What a request gets after all.
enum Judged {
    Upgrade { answer: String, peer: Box<PeerInfo> },
    Serve(HttpResponse),
    Refuse(HttpResponse),
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

fn stalled(error: io::Error) -> UpgradeError {
    if error.kind() == io::ErrorKind::TimedOut { UpgradeError::Stalled } else { UpgradeError::Io(error) }
}

/// Writes a response and ends the connection. One request per connection keeps a page's few files simple and leaves
/// no idle HTTP connection to look after.
pub(crate) async fn respond<S: ByteStream>(
    stream: &mut S,
    response: &HttpResponse,
    head_only: bool,
) -> Result<(), UpgradeError> {
    write_response(stream, response, head_only).await?;
    head::linger(stream, LINGER).await;
    Ok(())
}

async fn write_response<S: ByteStream>(
    stream: &mut S,
    response: &HttpResponse,
    head_only: bool,
) -> io::Result<()> {
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
    head::write_all(stream, &bytes).await
}
