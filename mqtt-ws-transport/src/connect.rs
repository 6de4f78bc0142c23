//! Connecting a client: name, TCP, TLS and WebSocket, all inside one deadline.

mod error;
pub(crate) mod race;

pub use error::{ConnectError, Phase};

use crate::io::ByteStream;
use crate::net::{ClientLink, NetLink};
use crate::replay::Replay;
use crate::rt::{Runtime, timeout};
use crate::url::{Endpoint, Host, Scheme};
use crate::ws::{ClientHandshake, WsLimits, WsLink};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "tls")]
use std::sync::{Arc, OnceLock};

/// How to connect. All have sensible defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The time for everything together, from the name to the open link. Default 10 s.
    pub timeout: Duration,
    /// Headers in addition for the WebSocket upgrade, such as `Authorization`.
    pub headers: HeaderMap,
    /// The WebSocket sub-protocols offered, in order of preference. Default `mqtt`.
    pub protocols: Vec<String>,
    /// The bounds of a WebSocket.
    pub limits: WsLimits,
    /// Given, or made of the default roots at the first need and then shared by all clones.
    #[cfg(feature = "tls")]
    tls: Arc<OnceLock<Arc<rustls::ClientConfig>>>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            headers: HeaderMap::new(),
            protocols: vec![crate::ws::SUBPROTOCOLS[0].to_owned()],
            limits: WsLimits::default(),
            #[cfg(feature = "tls")]
            tls: Arc::default(),
        }
    }
}

impl ConnectOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another deadline for everything together.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With a header in addition for the WebSocket upgrade.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Offering these WebSocket sub-protocols.
    #[must_use]
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// With these bounds of a WebSocket.
    #[must_use]
    pub fn limits(mut self, limits: WsLimits) -> Self {
        self.limits = limits;
        self
    }

    /// With this TLS configuration; [`ClientTls`](crate::tls::ClientTls) makes one from PEM.
    ///
    /// Without one the default roots are loaded, blocking, at the first connect over TLS of these options or a clone
    /// of them. For `wss` the protocol `http/1.1` is
    /// announced (ALPN) when the configuration announces none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Arc::new(OnceLock::from(config.into()));
        self
    }
}

/// Opens a connection to `endpoint`.
///
/// Dropping the future gives everything up that was begun.
///
/// # Errors
/// See [`ConnectError`]; each has a hint.
pub async fn connect<R: Runtime>(
    runtime: &R,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<ClientLink<R>, ConnectError> {
    let clock = Clock::new(runtime, options.timeout);
    let addresses = clock.run(Phase::Resolve, resolve(runtime, endpoint)).await?;
    let stream = clock.run(Phase::Tcp, race::connect(runtime, addresses)).await?;
    finish(&clock, stream, endpoint, options).await
}

/// Performs TLS and WebSocket, as `endpoint` says, on a stream that is connected already: a Unix socket, a tunnel, an
/// in-memory pipe. The host of `endpoint` is what TLS checks and HTTP names.
///
/// # Errors
/// See [`ConnectError`]; each has a hint.
pub async fn connect_over<R: Runtime, S: ByteStream>(
    runtime: &R,
    stream: S,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<NetLink<S>, ConnectError> {
    let clock = Clock::new(runtime, options.timeout);
    finish(&clock, stream, endpoint, options).await
}

async fn finish<R: Runtime, S: ByteStream>(
    clock: &Clock<'_, R>,
    stream: S,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<NetLink<S>, ConnectError> {
    let stream = Replay::new(stream);
    match endpoint.scheme() {
        Scheme::Tcp => Ok(NetLink::tcp(stream)),
        Scheme::Ws => Ok(NetLink::ws(upgrade(clock, stream, endpoint, options).await?)),
        #[cfg(feature = "tls")]
        Scheme::Tls => Ok(NetLink::tls(Replay::new(encrypt(clock, stream, endpoint, options).await?))),
        #[cfg(feature = "tls")]
        Scheme::Wss => {
            let stream = Replay::new(encrypt(clock, stream, endpoint, options).await?);
            Ok(NetLink::wss(upgrade(clock, stream, endpoint, options).await?))
        }
        #[cfg(not(feature = "tls"))]
        Scheme::Tls | Scheme::Wss => Err(crate::tls::TlsConfigError::Unavailable.into()),
    }
}

pub(crate) async fn resolve<R: Runtime>(
    runtime: &R,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let name = match endpoint.host() {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, endpoint.port())]),
        Host::Name(name) => name,
    };
    let addresses = runtime
        .resolve(name, endpoint.port())
        .await
        .map_err(|error| ConnectError::Resolve { host: name.clone(), error })?;
    if addresses.is_empty() {
        return Err(ConnectError::NoAddress { host: name.clone() });
    }
    Ok(addresses)
}

pub(crate) async fn upgrade<R: Runtime, S: ByteStream>(
    clock: &Clock<'_, R>,
    stream: S,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<WsLink<S>, ConnectError> {
    let handshake = ClientHandshake::new(endpoint)
        .headers(options.headers.clone())
        .protocols(options.protocols.iter().map(String::as_str))
        .limits(options.limits);
    let handshake = async { Ok(handshake.connect(clock.runtime, stream).await?) };
    let (link, _) = clock.run(Phase::WebSocket, handshake).await?;
    Ok(link)
}

#[cfg(feature = "tls")]
pub(crate) async fn encrypt<R: Runtime, S: ByteStream>(
    clock: &Clock<'_, R>,
    stream: S,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<crate::tls::TlsStream<S>, ConnectError> {
    let mut config = if let Some(config) = options.tls.get() {
        Arc::clone(config)
    } else {
        let made = Arc::new(crate::tls::ClientTls::new().build()?);
        Arc::clone(options.tls.get_or_init(|| made))
    };
    if endpoint.scheme() == Scheme::Wss && config.alpn_protocols.is_empty() {
        // A server that also speaks HTTP/2 must not choose it: the upgrade is HTTP/1.1.
        Arc::make_mut(&mut config).alpn_protocols = vec![crate::tls::ALPN_HTTP.to_vec()];
    }
    let handshake = async { Ok(crate::tls::connect(stream, endpoint.host(), config).await?) };
    clock.run(Phase::Tls, handshake).await
}

/// One deadline over several steps, which knows the step that used it up.
pub(crate) struct Clock<'a, R> {
    runtime: &'a R,
    end: Duration,
    total: Duration,
}

impl<'a, R: Runtime> Clock<'a, R> {
    pub(crate) fn new(runtime: &'a R, total: Duration) -> Self {
        Self { runtime, end: runtime.now().saturating_add(total), total }
    }

    pub(crate) async fn run<T>(
        &self,
        phase: Phase,
        step: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let left = self.end.saturating_sub(self.runtime.now());
        timeout(self.runtime, left, step)
            .await
            .unwrap_or(Err(ConnectError::TimedOut { phase, after: self.total }))
    }
}
