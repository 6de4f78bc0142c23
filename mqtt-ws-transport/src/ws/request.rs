//! A client's upgrade request: what is in it, what is wrong with it, and the answer that says so.

use super::SUBPROTOCOLS;
use super::server::{HttpRequest, HttpResponse};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::fmt;
use std::io;
use std::sync::OnceLock;

/// An accepted upgrade: the request as the client sent it, and the sub-protocol chosen.
pub struct Upgrade {
    /// As it was sent, which takes a fraction of the memory that it takes in parts.
    head: Box<[u8]>,
    /// In its parts, once somebody has looked at them.
    request: OnceLock<Box<HttpRequest>>,
    protocol: Option<&'static str>,
}

impl Upgrade {
    /// The whole request.
    pub fn request(&self) -> &HttpRequest {
        self.request.get_or_init(|| Box::new(self.parsed()))
    }
    /// The path, as sent.
    pub fn path(&self) -> &str {
        self.request().uri().path()
    }
    /// What follows `?`, undecoded.
    pub fn query(&self) -> Option<&str> {
        self.request().uri().query()
    }
    /// All headers: cookies, authorization, origin, what proxies added.
    pub fn headers(&self) -> &HeaderMap {
        self.request().headers()
    }
    /// The value of the first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }
    /// The value of the cookie of that name, as sent. The first one, where a browser sends several of the name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers().get_all(header::COOKIE).into_iter();
        let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(
            |(_, value)| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value),
        )
    }
    /// The decoded value of the first parameter of that name in the query; empty for `?name`. As in an HTML form `+` is
    /// a space; what decodes to no UTF-8 is replaced.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }
    /// The request, to change: an authenticator leaves what it found out in its extensions.
    pub fn request_mut(&mut self) -> &mut HttpRequest {
        if self.request.get().is_none() {
            self.request = OnceLock::from(Box::new(self.parsed()));
        }
        self.request.get_mut().unwrap_or_else(|| unreachable!("it was set"))
    }
    /// The chosen sub-protocol: `mqtt` or `mqttv3.1`. `None` only where none is required and none was offered.
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// The memory that it takes, in bytes, about. Once somebody has looked at the request that is more.
    pub fn memory(&self) -> usize {
        let parts = self.request.get().map_or(0, |request| {
            let headers = request.headers().iter();
            size_of::<HttpRequest>()
                + headers.map(|(name, value)| name.as_str().len() + value.len() + 128).sum::<usize>()
        });
        size_of::<Self>() + self.head.len() + parts
    }

    fn parsed(&self) -> HttpRequest {
        // It was parsed before, or it would not be here.
        parse(&self.head, self.head.len()).unwrap_or_default()
    }

    /// Of a request whose `head` was parsed, and found to ask for an upgrade.
    pub(super) fn new(head: Vec<u8>, protocol: Option<&'static str>) -> Self {
        Self { head: head.into(), request: OnceLock::new(), protocol }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut upgrade = f.debug_struct("Upgrade");
        upgrade.field("request", self.request()).field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Takes percent-encoding off.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Why a connection to a WebSocket listener did not become one. All but the first four were answered with an HTTP
/// response that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The connection failed.
    #[error("connection failed during the upgrade: {0}")]
    Io(#[from] io::Error),
    /// The peer went away before its request was complete.
    #[error("the peer left after {received} bytes of its request")]
    Ended {
        /// Bytes that had arrived. With 0 it is usually a port scan or a health check.
        received: usize,
    },
    /// The answer could not be delivered in time.
    #[error("the peer does not take the answer")]
    Stalled,
    /// What arrived is not HTTP: MQTT without WebSocket or TLS on a plain port, for example.
    #[error("the client speaks {}, not HTTP (first bytes: {first:02x?})", crate::sniff::name(first))]
    NotHttp {
        /// Up to 16 of the first bytes.
        first: Vec<u8>,
    },
    /// The request was not complete within the handshake deadline. 408.
    #[error("the request was not complete in time")]
    TimedOut,
    /// The head exceeds the limit. 431.
    #[error("the request head exceeds {limit} bytes or has too many lines")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request is malformed. 400.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The method is not GET. 405.
    #[error("method {0} is not allowed")]
    Method(Method),
    /// Nothing is served at this path. 404.
    #[error("no MQTT endpoint at {path}")]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// Pages of this origin may not connect, or none was named and one must be. 403.
    #[error("origin {} is not allowed", origin.as_deref().unwrap_or("(none)"))]
    Origin {
        /// What the client named, at most 100 characters.
        origin: Option<String>,
    },
    /// The application refused the client, with this status.
    #[error("the application refused the client with {status}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
    },
    /// The application did not decide about the client within the handshake deadline. 503.
    #[error("the application did not decide about the client in time")]
    Undecided,
    /// A plain request on the MQTT path. 426.
    #[error("plain HTTP request on the MQTT path")]
    NotAnUpgrade,
    /// A header is missing that a proxy may have removed. 400.
    #[error("the request is half an upgrade: {0}")]
    HalfUpgrade(&'static str),
    /// A version of the WebSocket protocol other than 13. 426.
    #[error("WebSocket version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in base64. 400.
    #[error("Sec-WebSocket-Key is missing or malformed")]
    Key,
    /// The client offered no sub-protocol of MQTT [MQTT-6.0.0-3]. 400.
    #[error("no MQTT sub-protocol among those offered: {offered:?}")]
    Subprotocol {
        /// What the client offered.
        offered: Vec<String>,
    },
}

impl UpgradeError {
    /// The status of the answer. `None` where HTTP makes no sense or nobody listens.
    pub fn status(&self) -> Option<StatusCode> {
        Some(match self {
            Self::Io(_) | Self::Ended { .. } | Self::Stalled | Self::NotHttp { .. } => return None,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed(_) | Self::HalfUpgrade(_) | Self::Key | Self::Subprotocol { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Origin { .. } => StatusCode::FORBIDDEN,
            Self::Refused { status } => *status,
            Self::Undecided => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
        })
    }

    /// The sentence of the answer. `url` is where MQTT is served.
    fn sentence(&self, url: &str) -> String {
        match self {
            Self::TimedOut => {
                "The request was not complete in time. Send it at once after connecting.".to_owned()
            }
            Self::HeadTooLarge { limit } => {
                format!(
                    "The request head is too large. Keep it under {limit} bytes and {} lines.",
                    super::head::MAX_HEADERS
                )
            }
            Self::Malformed(what) => {
                format!("This is not a valid HTTP/1.1 request: {what}. Connect to {url}")
            }
            Self::Method(method) => {
                format!("Method {method} is not allowed here. Use GET, or connect to {url}")
            }
            Self::NotFound { path } => format!("No MQTT endpoint at {path}. Connect to {url}"),
            Self::Origin { origin: Some(origin) } => {
                format!("Pages of {origin} may not connect here. The operator can allow this origin.")
            }
            Self::Origin { origin: None } => {
                "Only pages of certain origins may connect here, and the request names none.".to_owned()
            }
            Self::Undecided => "The server could not decide about you in time. Try again later.".to_owned(),
            Self::NotAnUpgrade => {
                format!(
                    "This is an MQTT endpoint, not a page. Connect to {url} with an MQTT client over WebSocket."
                )
            }
            Self::HalfUpgrade(what) => {
                format!("{what}. If a proxy is in between, let it pass WebSocket upgrades on.")
            }
            Self::Version => {
                "Only WebSocket version 13 is spoken here. Send `Sec-WebSocket-Version: 13`.".to_owned()
            }
            Self::Key => "Send a `Sec-WebSocket-Key` of 16 random bytes in base64.".to_owned(),
            Self::Subprotocol { .. } => {
                "No MQTT sub-protocol in the request: offer the WebSocket sub-protocol `mqtt`.".to_owned()
            }
            // A refusal is the application's to explain; the others hear nothing.
            Self::Refused { .. }
            | Self::Io(_)
            | Self::Ended { .. }
            | Self::Stalled
            | Self::NotHttp { .. } => String::new(),
        }
    }

    /// The answer, if there is one to give.
    pub(super) fn response(&self, url: &str) -> Option<HttpResponse> {
        let mut body = self.sentence(url);
        body.push('\n');
        let mut response = HttpResponse::new(Bytes::from(body));
        *response.status_mut() = self.status()?;
        let mut set = |name: HeaderName, value: &'static str| {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        set(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        // The path asked for is repeated: nobody shall take it for a page.
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        match self {
            Self::NotAnUpgrade => set(header::UPGRADE, "websocket"),
            Self::Version => {
                set(header::UPGRADE, "websocket");
                set(header::SEC_WEBSOCKET_VERSION, "13");
            }
            Self::Method(_) => set(header::ALLOW, "GET, HEAD"),
            _ => {}
        }
        Some(response)
    }
}

/// Parses a complete head.
pub(crate) fn parse(head: &[u8], limit: usize) -> Result<HttpRequest, UpgradeError> {
    let mut headers = [httparse::EMPTY_HEADER; super::head::MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(UpgradeError::Malformed("incomplete head")),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::HeadTooLarge { limit }),
        Err(httparse::Error::Version) => return Err(UpgradeError::Malformed("unknown HTTP version")),
        Err(_) => return Err(UpgradeError::Malformed("malformed head")),
    }
    let mut request = HttpRequest::new(());
    *request.version_mut() =
        if parsed.version == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
    *request.method_mut() = parsed
        .method
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok())
        .ok_or(UpgradeError::Malformed("malformed method"))?;
    *request.uri_mut() = parsed
        .path
        .and_then(|path| path.parse().ok())
        .ok_or(UpgradeError::Malformed("malformed request target"))?;
    for line in &*parsed.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(line.value);
        match (name, value) {
            (Ok(name), Ok(value)) => request.headers_mut().append(name, value),
            _ => return Err(UpgradeError::Malformed("malformed header")),
        };
    }
    Ok(request)
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// An upgrade to WebSocket.
    Upgrade,
    /// A plain answer.
    Plain,
}

pub(super) fn wish(request: &HttpRequest) -> Result<Wish, UpgradeError> {
    let headers = request.headers();
    let upgrade = tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    if upgrade {
        return Ok(Wish::Upgrade);
    }
    if headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return Err(UpgradeError::HalfUpgrade("The header `Upgrade: websocket` is missing"));
    }
    Ok(Wish::Plain)
}

/// Checks an upgrade and gives the sub-protocol and the key.
pub(super) fn check_upgrade(
    request: &HttpRequest,
    require_subprotocol: bool,
) -> Result<(Option<&'static str>, &[u8]), UpgradeError> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(UpgradeError::Method(request.method().clone()));
    }
    if request.version() != http::Version::HTTP_11 {
        return Err(UpgradeError::HalfUpgrade("WebSocket needs HTTP/1.1"));
    }
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(UpgradeError::HalfUpgrade("The header `Connection: Upgrade` is missing"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(UpgradeError::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).ok_or(UpgradeError::Key)?;
    if !is_key(key) {
        return Err(UpgradeError::Key);
    }
    // Our order decides, not the client's: a client that offers both speaks the current one.
    let protocol = SUBPROTOCOLS
        .into_iter()
        .find(|ours| tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|theirs| theirs == *ours));
    let offered = || tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect::<Vec<_>>();
    if protocol.is_none() && (require_subprotocol || headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)) {
        return Err(UpgradeError::Subprotocol { offered: offered() });
    }
    Ok((protocol, key))
}

/// The members of a comma list that may be spread over several lines of the same name.
pub(super) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// 16 bytes in base64: 22 digits and two pads.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
