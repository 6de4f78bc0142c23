//! Connecting a client: name, TCP, proxy, TLS and WebSocket, all inside one deadline.

mod error;
mod options;
pub(crate) mod race;
mod recipe;

pub use error::{ConnectError, Phase};
pub use options::ConnectOptions;
pub use recipe::{Attempt, BoxError, Dialer, Target, connect_by};

use crate::io::ByteStream;
use crate::net::{ClientLink, NetLink};
use crate::proxy::{Proxy, ProxyError};
use crate::replay::Replay;
use crate::rt::{Runtime, timeout};
use crate::url::{Endpoint, Host, Scheme};
use crate::ws::{ClientHandshake, WsLink};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

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
    open(&Clock::new(runtime, options.timeout), endpoint, options).await
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

async fn open<R: Runtime>(
    clock: &Clock<'_, R>,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<ClientLink<R>, ConnectError> {
    let stream = if let Some(proxy) = options.proxy.of(endpoint)? {
        let through = async {
            through(clock.runtime, &proxy, endpoint)
                .await
                .map_err(|error| ConnectError::Proxy { proxy: proxy.to_string(), error })
        };
        clock.run(Phase::Proxy, through).await?
    } else {
        let addresses = clock.run(Phase::Resolve, resolve(clock.runtime, endpoint)).await?;
        clock.run(Phase::Tcp, race::connect(clock.runtime, addresses)).await?
    };
    finish(clock, stream, endpoint, options).await
}

/// A tunnel through `proxy` to the host and port of `endpoint`.
async fn through<R: Runtime>(
    runtime: &R,
    proxy: &Proxy,
    endpoint: &Endpoint,
) -> Result<R::Stream, ProxyError> {
    let unreachable = |error| ProxyError::Unreachable(Box::new(error));
    let addresses = addresses(runtime, proxy.host(), proxy.port()).await.map_err(unreachable)?;
    let stream = race::connect(runtime, addresses).await.map_err(unreachable)?;
    proxy.tunnel(stream, endpoint).await
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
        Scheme::Tls => {
            let stream = encrypt(clock, stream, endpoint, options).await?;
            Ok(NetLink::tls(Replay::new(stream)))
        }
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
    addresses(runtime, endpoint.host(), endpoint.port()).await
}

async fn addresses<R: Runtime>(runtime: &R, host: &Host, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name,
    };
    let addresses = runtime
        .resolve(name, port)
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
        .limits(options.limits)
        .options(options.ws);
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
    let config = options.tls_config(endpoint.scheme())?;
    let name = options.server_name.as_ref().unwrap_or(endpoint.host());
    let handshake = async { Ok(crate::tls::connect(stream, name, config).await?) };
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
        // Boxed: a handshake is large, and would be part of every future around it, several times over.
        timeout(self.runtime, left, Box::pin(step))
            .await
            .unwrap_or(Err(ConnectError::TimedOut { phase, after: self.total }))
    }
}
