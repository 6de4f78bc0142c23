//! What a listener demands of its clients, and what it believes.

use super::PeerInfo;
use super::admission::Limits;
use super::cidr::{Cidr, trusts};
use super::forwarded::{ForwardedHeader, Forwarding};
use super::proxy_header::ProxyProtocol;
use crate::mirror::Signpost;
use crate::ws::{HttpRequest, HttpResponse, KeepAlive, PacketsPerFrame, ServerHandshake, WsLimits};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a listener demands of its clients. All have sensible defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptOptions {
    /// The time for the TLS handshake, for the request head and for taking an HTTP answer, each. Default 10 s.
    pub handshake_timeout: Duration,
    pub(super) http: ServerHandshake,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) trusted: Arc<[Cidr]>,
    pub(super) admission: Limits,
    pub(super) sniff: bool,
    pub(super) signpost: Signpost,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::ServerTlsSource>,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            http: ServerHandshake::default(),
            proxy_protocol: ProxyProtocol::Off,
            trusted: Arc::new([]),
            admission: Limits::default(),
            sniff: false,
            signpost: Signpost::new(),
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
        self.http.path_is_prefix = false;
        self
    }

    /// Serving MQTT at this path and at every path below it: `/mqtt` also takes `/mqtt/room/7`, but not `/mqtter`. The
    /// path asked for is in [`Upgrade::path`](crate::ws::Upgrade::path).
    #[must_use]
    pub fn path_prefix(mut self, path: impl Into<Arc<str>>) -> Self {
        self.http.path = path.into();
        self.http.path_is_prefix = true;
        self
    }

    /// Taking pages of these origins only, such as `https://app.example`; others get 403. A browser names the origin of
    /// the page and no script can change it, so that this keeps foreign pages from using a visitor's cookies. Programs
    /// that name no origin are taken, see [`require_origin`](Self::require_origin). Default: all.
    #[must_use]
    pub fn origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.http.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Whether a client must name an origin at all, so that with [`origins`](Self::origins) only browsers are taken.
    /// Default false. Programs other than browsers can claim any origin.
    #[must_use]
    pub fn require_origin(mut self, require: bool) -> Self {
        self.http.require_origin = require;
        self
    }

    /// Believing proxies in these networks, and nobody else, about whom they speak for. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = Cidr>) -> Self {
        self.trusted = networks.into_iter().collect();
        if let Some(forwarding) = &mut self.http.forwarding {
            forwarding.trusted = Arc::clone(&self.trusted);
        }
        self
    }

    /// Taking the client's address from this header of a WebSocket upgrade, where a
    /// [trusted proxy](Self::trusted_proxies) sent it. Default: none.
    #[must_use]
    pub fn client_address_from(mut self, header: ForwardedHeader) -> Self {
        self.http.forwarding = Some(Forwarding { header, trusted: Arc::clone(&self.trusted) });
        self
    }

    /// Whether [trusted proxies](Self::trusted_proxies) begin a connection with the header of the PROXY protocol,
    /// version 1 or 2, in front of TLS and everything else. It must be complete within the handshake time. Where it is
    /// optional, a trusted peer must send something within that time.
    #[must_use]
    pub fn proxy_protocol(mut self, proxy_protocol: ProxyProtocol) -> Self {
        self.proxy_protocol = proxy_protocol;
        self
    }

    /// With at most this many connections at the same time, those in their handshake included. More are closed at once
    /// ([`Crowded`](super::Crowded)). Default: no limit. It counts for all clones of an acceptor.
    #[must_use]
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.admission.connections = limit;
        self
    }

    /// With at most this many handshakes at the same time. More are closed at once. Default: no limit.
    #[must_use]
    pub fn max_handshakes(mut self, limit: usize) -> Self {
        self.admission.handshakes = limit;
        self
    }

    /// With at most this many connections of one client address, of IPv6 of one /64 network. More are closed at once, or
    /// as soon as a trusted proxy has told the address. Default: no limit.
    #[must_use]
    pub fn max_connections_per_address(mut self, limit: usize) -> Self {
        self.admission.per_address = limit;
        self
    }

    /// Pinging WebSocket clients like this; `None` never pings. Default: see [`KeepAlive`].
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: impl Into<Option<KeepAlive>>) -> Self {
        self.http.options.keep_alive = keep_alive.into();
        self
    }

    /// Laying MQTT packets into WebSocket frames like this. Default: many into one.
    #[must_use]
    pub fn packets_per_frame(mut self, packets: PacketsPerFrame) -> Self {
        self.http.options.packets_per_frame = packets;
        self
    }

    /// Asks the application about every WebSocket client before its upgrade is answered.
    ///
    /// It gets all there is to know: path, query, headers and cookies in [`PeerInfo::upgrade`], the client's certificate
    /// in [`PeerInfo::tls`], the address. It may take its time, within the handshake time, counted from the first byte
    /// of the request. It gives the client back, perhaps with something of its own in the extensions of
    /// [`Upgrade::request_mut`](crate::ws::Upgrade::request_mut), or refuses with a response of its choice.
    ///
    /// ```
    /// use mqttkit_ws_transport::http::{Response, StatusCode};
    /// use mqttkit_ws_transport::{AcceptOptions, PeerInfo};
    ///
    /// struct User(String);
    ///
    /// async fn user_of(token: &str) -> Option<User> {
    ///     // Ask a database, verify a signature …
    ///     (token == "secret").then(|| User("ada".to_owned()))
    /// }
    ///
    /// let options = AcceptOptions::new().authenticate(|mut peer: PeerInfo| async move {
    ///     let token = peer.upgrade.as_ref().and_then(|upgrade| upgrade.query_value("token"));
    ///     match user_of(&token.unwrap_or_default()).await {
    ///         Some(user) => {
    ///             if let Some(upgrade) = &mut peer.upgrade {
    ///                 upgrade.request_mut().extensions_mut().insert(std::sync::Arc::new(user));
    ///             }
    ///             Ok(peer)
    ///         }
    ///         None => {
    ///             let mut refusal = Response::new("Log in at https://app.example first.\n".into());
    ///             *refusal.status_mut() = StatusCode::UNAUTHORIZED;
    ///             Err(refusal)
    ///         }
    ///     }
    /// });
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn authenticate<F>(mut self, authenticator: impl Fn(PeerInfo) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<PeerInfo, HttpResponse>> + Send + 'static,
    {
        self.http.authenticator = Some(Arc::new(move |peer| Box::pin(authenticator(peer))));
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

    /// Whether the first bytes of a client are looked at, so that one that speaks the wrong protocol is answered in its
    /// own: HTTP gets a page that names the right URL, MQTT a CONNACK that refuses, and what cannot be answered is
    /// named by [`AcceptError::WrongProtocol`](super::AcceptError::WrongProtocol). A client of `tcp` or `tls` that sends nothing is then dropped after the
    /// handshake time.
    ///
    /// Default false: links of `tcp` and `tls` are handed out before the client has sent anything.
    #[must_use]
    pub fn sniff(mut self, sniff: bool) -> Self {
        self.sniff = sniff;
        self
    }

    /// The path at which MQTT over WebSocket is served.
    pub fn served_path(&self) -> &str {
        &self.http.path
    }

    /// Whether there is a TLS configuration.
    pub fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Where else this server is, for the answers to clients that came to the wrong port.
    #[must_use]
    pub fn signpost(mut self, signpost: Signpost) -> Self {
        self.signpost = signpost;
        self
    }

    /// With this TLS configuration; [`ServerTls`](crate::tls::ServerTls) makes one from PEM, and
    /// [`ReloadableTls`](crate::tls::ReloadableTls) one that can be replaced later.
    ///
    /// For `wss` the protocol `http/1.1` is announced (ALPN) when the configuration announces none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<crate::tls::ServerTlsSource>) -> Self {
        self.tls = Some(config.into());
        self
    }

    pub(super) fn trusts(&self, address: Option<SocketAddr>) -> bool {
        trusts(&self.trusted, address)
    }

    /// Whether that address of a socket may turn out not to be the client's own: it is a
    /// [trusted proxy](Self::trusted_proxies), and proxies are asked for whom they speak.
    pub fn speaks_for_others(&self, address: Option<SocketAddr>) -> bool {
        let may = self.proxy_protocol != ProxyProtocol::Off || self.http.reads_forwarded();
        may && self.trusts(address)
    }
}
