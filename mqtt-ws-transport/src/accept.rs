//! Accepting a client: TLS, HTTP and WebSocket on a socket that a listener gave, inside a deadline.
//!
//! The accept loop belongs to whoever owns the listener. It hands each socket to [`Acceptor::accept`] on a task of
//! its own, so that a silent client delays nobody else.

use crate::io::ByteStream;
use crate::net::{NetLink, ServerLink};
use crate::replay::Replay;
use crate::rt::Runtime;
use crate::tls::{TlsConfigError, TlsError, TlsInfo};
use crate::url::Scheme;
use crate::ws::{HttpRequest, HttpResponse, Served, ServerHandshake, Upgrade, UpgradeError, WsLimits};
use http::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a listener demands of its clients. All have sensible defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptOptions {
    /// The time for the TLS handshake, for the request head and for taking an HTTP answer, each. Default 10 s.
    pub handshake_timeout: Duration,
    http: ServerHandshake,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            http: ServerHandshake::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl AcceptOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another time for the handshake.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Serving MQTT at this path, which is compared exactly. Default `/mqtt`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.http.path = path.into();
        self
    }

    /// Whether a client must offer the sub-protocol `mqtt` or `mqttv3.1` [MQTT-6.0.0-3]. Default true. When false, one
    /// that offers none at all is taken too.
    #[must_use]
    pub fn require_subprotocol(mut self, require: bool) -> Self {
        self.http.require_subprotocol = require;
        self
    }

    /// With a limit for the head of a request, in bytes. Default 16 KiB.
    #[must_use]
    pub fn max_head_size(mut self, bytes: usize) -> Self {
        self.http.max_head_size = bytes;
        self
    }

    /// With these bounds of a WebSocket.
    #[must_use]
    pub fn limits(mut self, limits: WsLimits) -> Self {
        self.http.limits = limits;
        self
    }

    /// Answers plain GET and HEAD requests on a WebSocket listener: a page, a health check. `None` leaves the answer
    /// to the transport. It must not block.
    #[must_use]
    pub fn http(
        mut self,
        handler: impl Fn(&HttpRequest) -> Option<HttpResponse> + Send + Sync + 'static,
    ) -> Self {
        self.http.handler = Some(Arc::new(handler));
        self
    }

    /// With this TLS configuration; [`ServerTls`](crate::tls::ServerTls) makes one from PEM.
    ///
    /// For `wss` the protocol `http/1.1` is announced (ALPN) when the configuration announces none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ServerConfig>>) -> Self {
        self.tls = Some(config.into());
        self
    }
}

/// Turns accepted sockets into links. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Acceptor<R> {
    runtime: R,
    layers: Layers,
    options: Arc<AcceptOptions>,
}

/// What lies on the socket. A TLS layer cannot be without its configuration.
#[derive(Debug, Clone)]
enum Layers {
    Tcp,
    Ws,
    #[cfg(feature = "tls")]
    Tls(Arc<rustls::ServerConfig>),
    #[cfg(feature = "tls")]
    Wss(Arc<rustls::ServerConfig>),
}

impl Layers {
    #[cfg(feature = "tls")]
    fn new(scheme: Scheme, options: &AcceptOptions) -> Result<Self, TlsConfigError> {
        let tls = || options.tls.clone().ok_or(TlsConfigError::Missing);
        Ok(match scheme {
            Scheme::Tcp => Self::Tcp,
            Scheme::Ws => Self::Ws,
            Scheme::Tls => Self::Tls(tls()?),
            Scheme::Wss => {
                let mut config = tls()?;
                if config.alpn_protocols.is_empty() {
                    Arc::make_mut(&mut config).alpn_protocols = vec![crate::tls::ALPN_HTTP.to_vec()];
                }
                Self::Wss(config)
            }
        })
    }

    #[cfg(not(feature = "tls"))]
    fn new(scheme: Scheme, _: &AcceptOptions) -> Result<Self, TlsConfigError> {
        match scheme {
            Scheme::Tcp => Ok(Self::Tcp),
            Scheme::Ws => Ok(Self::Ws),
            Scheme::Tls | Scheme::Wss => Err(TlsConfigError::Unavailable),
        }
    }

    fn scheme(&self) -> Scheme {
        match self {
            Self::Tcp => Scheme::Tcp,
            Self::Ws => Scheme::Ws,
            #[cfg(feature = "tls")]
            Self::Tls(_) => Scheme::Tls,
            #[cfg(feature = "tls")]
            Self::Wss(_) => Scheme::Wss,
        }
    }
}

/// What became of a socket.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "made once per connection and taken apart at once")]
pub enum Accepted<S> {
    /// A client that speaks MQTT from here on.
    Link(ServerLink<S>, PeerInfo),
    /// A plain HTTP request, answered by the application's handler. The connection is done.
    HttpServed {
        /// The status of the answer.
        status: StatusCode,
    },
}

/// Who connected, and how.
#[derive(Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The address of the socket, where it has one.
    pub address: Option<SocketAddr>,
    /// How MQTT is carried.
    pub scheme: Scheme,
    /// The HTTP request that became a WebSocket: path, query, headers, cookies, sub-protocol.
    pub upgrade: Option<Box<Upgrade>>,
    /// What TLS knows: the client's certificate, the name it asked for.
    pub tls: Option<Box<TlsInfo>>,
}

impl PeerInfo {
    /// Of a connection that came without this crate's help.
    pub fn new(scheme: Scheme, address: Option<SocketAddr>) -> Self {
        Self { address, scheme, upgrade: None, tls: None }
    }
}

/// Why a socket did not become a link. It has been answered and closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS handshake was not complete in time.
    #[error("the TLS handshake was not complete in time")]
    TlsTimedOut,
    /// The HTTP request was no proper upgrade.
    #[error(transparent)]
    Upgrade(UpgradeError),
}

impl From<UpgradeError> for AcceptError {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Io(error) => match TlsError::find(error) {
                Ok(error) => Self::Tls(error),
                Err(error) => Self::Upgrade(UpgradeError::Io(error)),
            },
            error => Self::Upgrade(error),
        }
    }
}

impl<R: Runtime> Acceptor<R> {
    /// For a listener of `scheme`.
    ///
    /// # Errors
    /// [`TlsConfigError::Missing`] for a TLS scheme without a TLS configuration, and
    /// [`TlsConfigError::Unavailable`] when the crate was built without TLS.
    pub fn new(runtime: R, scheme: Scheme, mut options: AcceptOptions) -> Result<Self, TlsConfigError> {
        options.http.secure = scheme.is_tls();
        let layers = Layers::new(scheme, &options)?;
        Ok(Self { runtime, layers, options: Arc::new(options) })
    }

    /// What this acceptor is for.
    pub fn scheme(&self) -> Scheme {
        self.layers.scheme()
    }

    /// Makes a link of an accepted socket, or serves its plain HTTP request.
    ///
    /// Run it on a task of its own. It ends within the handshake times; dropping the future drops the socket.
    ///
    /// # Errors
    /// See [`AcceptError`]. The peer has been told what is wrong, where it understands it.
    pub async fn accept<S: ByteStream>(
        &self,
        stream: S,
        address: Option<SocketAddr>,
    ) -> Result<Accepted<S>, AcceptError> {
        let peer = PeerInfo::new(self.scheme(), address);
        let stream = Replay::new(stream);
        match &self.layers {
            Layers::Tcp => Ok(Accepted::Link(NetLink::tcp(stream), peer)),
            Layers::Ws => self.serve(stream, peer, NetLink::ws).await,
            #[cfg(feature = "tls")]
            Layers::Tls(config) => {
                let stream = self.encrypt(stream, config).await?;
                let peer = PeerInfo { tls: Some(Box::new(stream.info())), ..peer };
                Ok(Accepted::Link(NetLink::tls(Replay::new(stream)), peer))
            }
            #[cfg(feature = "tls")]
            Layers::Wss(config) => {
                let stream = self.encrypt(stream, config).await?;
                let peer = PeerInfo { tls: Some(Box::new(stream.info())), ..peer };
                self.serve(Replay::new(stream), peer, NetLink::wss).await
            }
        }
    }

    async fn serve<S: ByteStream, T>(
        &self,
        stream: S,
        peer: PeerInfo,
        link: fn(crate::ws::WsLink<S>) -> NetLink<T>,
    ) -> Result<Accepted<T>, AcceptError> {
        let deadline = self.options.handshake_timeout;
        match self.options.http.accept(&self.runtime, stream, deadline).await? {
            Served::WebSocket(ws, upgrade) => {
                Ok(Accepted::Link(link(ws), PeerInfo { upgrade: Some(upgrade), ..peer }))
            }
            Served::Http { status } => Ok(Accepted::HttpServed { status }),
        }
    }

    #[cfg(feature = "tls")]
    async fn encrypt<S: ByteStream>(
        &self,
        stream: S,
        config: &Arc<rustls::ServerConfig>,
    ) -> Result<crate::tls::TlsStream<S>, AcceptError> {
        let handshake = crate::tls::accept(stream, Arc::clone(config));
        match crate::rt::timeout(&self.runtime, self.options.handshake_timeout, handshake).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(AcceptError::TlsTimedOut),
        }
    }
}
