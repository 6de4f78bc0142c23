//! `ConnectOptions`: everything that can be said about a connection beside where it goes.

use crate::proxy::{Proxy, ProxyChoice};
use crate::url::Host;
use crate::ws::{KeepAlive, PacketsPerFrame, WsLimits, WsOptions};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::tls::{ALPN_HTTP, ClientTls, TlsConfigError};
#[cfg(feature = "tls")]
use crate::url::Scheme;
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
    pub(crate) ws: WsOptions,
    /// The name that TLS asks for and checks in place of the URL's host. Default `None`: the URL's.
    pub server_name: Option<Host>,
    pub(crate) proxy: ProxyChoice,
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
            limits: WsLimits::of_client(),
            ws: WsOptions::default(),
            server_name: None,
            proxy: ProxyChoice::None,
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

    /// Pinging the server over a WebSocket like this; `None` never pings. Default: see [`KeepAlive`].
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: impl Into<Option<KeepAlive>>) -> Self {
        self.ws.keep_alive = keep_alive.into();
        self
    }

    /// Laying MQTT packets into WebSocket frames like this. Default: many into one.
    #[must_use]
    pub fn packets_per_frame(mut self, packets: PacketsPerFrame) -> Self {
        self.ws.packets_per_frame = packets;
        self
    }

    /// Through this proxy, to which the name of the server is left to resolve. Default none.
    ///
    /// [`connect_over`](crate::connect_over) goes through no proxy, see [`Proxy::tunnel`].
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into().map_or(ProxyChoice::None, |proxy| ProxyChoice::Given(Box::new(proxy)));
        self
    }

    /// Through the proxy that the environment names for the URL, if any: see [`Proxy::from_env`].
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        self.proxy = ProxyChoice::Environment;
        self
    }

    /// Asks TLS for this name and checks the certificate for it, and not the host of the URL: where the URL has an
    /// address, or the port of a tunnel.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<Option<Host>>) -> Self {
        self.server_name = name.into();
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

    /// The configuration for the next connection.
    #[cfg(feature = "tls")]
    pub(super) fn tls_config(&self, scheme: Scheme) -> Result<Arc<rustls::ClientConfig>, TlsConfigError> {
        let mut config = if let Some(config) = self.tls.get() {
            Arc::clone(config)
        } else {
            let made = Arc::new(ClientTls::new().build()?);
            Arc::clone(self.tls.get_or_init(|| made))
        };
        if scheme == Scheme::Wss && config.alpn_protocols.is_empty() {
            // A server that also speaks HTTP/2 must not choose it: the upgrade is HTTP/1.1.
            Arc::make_mut(&mut config).alpn_protocols = vec![ALPN_HTTP.to_vec()];
        }
        Ok(config)
    }
}
