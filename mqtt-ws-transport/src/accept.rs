//! Accepting a client: TLS, HTTP and WebSocket on a socket that a listener gave, inside a deadline.
//!
//! The accept loop belongs to whoever owns the listener. It hands each socket to [`Acceptor::accept`] on a task of
//! its own, so that a silent client delays nobody else.

mod admission;
mod cidr;
mod forwarded;
mod options;
mod proxy_header;

pub use admission::Crowded;
pub(crate) use admission::Permit;
pub use cidr::{Cidr, CidrError};
pub use forwarded::ForwardedHeader;
pub(crate) use forwarded::Forwarding;
pub use options::AcceptOptions;
pub use proxy_header::{ProxyHeaderError, ProxyProtocol};

use crate::io::ByteStream;
use crate::mirror::{self, Port};
use crate::net::{NetLink, ServerLink};
use crate::replay::Replay;
use crate::rt::{Runtime, timeout};
use crate::sniff::{Sniffed, sniff};
#[cfg(feature = "tls")]
use crate::tls::{Announce, PresentTls};
use crate::tls::{TlsConfigError, TlsError, TlsInfo};
use crate::url::Scheme;
use crate::ws::{Served, Upgrade, UpgradeError, WsFrames, WsLink, head};
use admission::Admission;
use http::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;

/// Turns accepted sockets into links. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Acceptor<R> {
    runtime: R,
    layers: Layers,
    options: Arc<AcceptOptions>,
    admission: Option<Arc<Admission>>,
}

/// What lies on the socket. A TLS layer cannot be without its configuration.
#[derive(Debug, Clone)]
enum Layers {
    Tcp,
    Ws,
    #[cfg(feature = "tls")]
    Tls(PresentTls),
    #[cfg(feature = "tls")]
    Wss(PresentTls),
    /// Whatever the client's first bytes ask for, TLS if there is a certificate.
    Any {
        #[cfg(feature = "tls")]
        tls: Option<PresentTls>,
    },
}

impl Layers {
    #[cfg(feature = "tls")]
    fn new(scheme: Scheme, options: &AcceptOptions) -> Result<Self, TlsConfigError> {
        let tls = |announce| match &options.tls {
            Some(source) => Ok(source.announcing(announce)),
            None => Err(TlsConfigError::Missing),
        };
        Ok(match scheme {
            Scheme::Tcp => Self::Tcp,
            Scheme::Ws => Self::Ws,
            Scheme::Tls => Self::Tls(tls(Announce::Nothing)?),
            Scheme::Wss => Self::Wss(tls(Announce::Http)?),
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

    fn any(options: &AcceptOptions) -> Self {
        #[cfg(feature = "tls")]
        let tls = options.tls.as_ref().map(|source| source.announcing(Announce::Any));
        #[cfg(not(feature = "tls"))]
        let _ = options;
        Self::Any {
            #[cfg(feature = "tls")]
            tls,
        }
    }

    fn scheme(&self) -> Scheme {
        match self {
            Self::Tcp | Self::Any { .. } => Scheme::Tcp,
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
///
/// An [authenticator](AcceptOptions::authenticate) gets it before the upgrade is answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The client's address, where there is one: what a trusted proxy said, by the PROXY protocol or a header, or else
    /// the address of the socket. A proxy that tells no port gives port 0.
    pub address: Option<SocketAddr>,
    /// The address of the socket, where that belongs to a proxy that spoke for the client.
    pub via: Option<Box<SocketAddr>>,
    /// How MQTT is carried.
    pub scheme: Scheme,
    /// The name of the listener that accepted the connection, if whoever runs it gave it one.
    pub listener: Option<Arc<str>>,
    /// The HTTP request that became a WebSocket: path, query, headers, cookies, sub-protocol.
    pub upgrade: Option<Box<Upgrade>>,
    /// What TLS knows: the client's certificate, the name it asked for.
    pub tls: Option<Box<TlsInfo>>,
}

impl PeerInfo {
    /// Of a connection that came without this crate's help.
    pub fn new(scheme: Scheme, address: Option<SocketAddr>) -> Self {
        Self { address, via: None, scheme, listener: None, upgrade: None, tls: None }
    }

    /// The client is `client`, if that is known better than by the socket.
    pub(crate) fn behind(&mut self, client: Option<SocketAddr>) {
        if let Some(client) = client {
            self.via = self.via.take().or(self.address.map(Box::new));
            self.address = Some(client);
        }
    }
}

/// Why a socket did not become a link. It has been answered and closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client speaks a protocol that this port is not for. Where that protocol has words for it, it was told.
    #[error("the client speaks {found} on a port for {expected}://")]
    WrongProtocol {
        /// What the port is for; on a port for all schemes, `mqtt`.
        expected: Scheme,
        /// What the client began with.
        found: Sniffed,
    },
    /// The client sent nothing in time from which its protocol could be told.
    #[error("the client sent only {received} bytes in time")]
    Silent {
        /// Bytes that had arrived.
        received: usize,
    },
    /// The client went away before its protocol could be told.
    #[error("the client left after {received} bytes")]
    Left {
        /// Bytes that had arrived. With 0 it is usually a port scan or a health check.
        received: usize,
    },
    /// The connection failed before the client's protocol could be told.
    #[error("connection failed: {0}")]
    Io(std::io::Error),
    /// A limit of the listener is reached. The client was not answered, since that would cost more.
    #[error("refused: {0}")]
    Crowded(#[from] Crowded),
    /// The header of the PROXY protocol is missing, malformed or not to be believed.
    #[error(transparent)]
    ProxyHeader(#[from] ProxyHeaderError),
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
        let admission = Admission::new(options.admission);
        Ok(Self { runtime, layers, options: Arc::new(options), admission })
    }

    /// For one port that serves `mqtt` and `ws`, and with a TLS configuration also `mqtts` and `wss`: the first bytes
    /// of a client say which. [`PeerInfo::scheme`] tells what it became.
    ///
    /// ```
    /// use mqttkit_ws_transport::{AcceptOptions, Acceptor, TokioRuntime};
    ///
    /// let acceptor = Acceptor::any(TokioRuntime::new(), AcceptOptions::new());
    /// ```
    pub fn any(runtime: R, options: AcceptOptions) -> Self {
        let layers = Layers::any(&options);
        let admission = Admission::new(options.admission);
        Self { runtime, layers, options: Arc::new(options), admission }
    }

    /// What this acceptor is for; [`Scheme::Tcp`] for [`any`](Self::any).
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
        // A handshake needs some kilobytes of state, which would stay a part of the connection's task for its whole life.
        Box::pin(self.shake_hands(stream, address)).await
    }

    async fn shake_hands<S: ByteStream>(
        &self,
        stream: S,
        address: Option<SocketAddr>,
    ) -> Result<Accepted<S>, AcceptError> {
        let (mut permit, _handshake) = match &self.admission {
            Some(admission) => {
                admission.enter().map(|(permit, handshake)| (Some(permit), Some(handshake)))?
            }
            None => (None, None),
        };
        let mut peer = PeerInfo::new(self.scheme(), address);
        if !self.options.speaks_for_others(address) {
            count(permit.as_mut(), &peer)?;
        }
        let mut stream = Replay::new(stream);
        if self.options.proxy_protocol != ProxyProtocol::Off {
            peer.behind(Box::pin(self.proxy_header(&mut stream, address)).await?);
            if !self.options.http.reads_forwarded() {
                count(permit.as_mut(), &peer)?;
            }
        }
        // Boxed where they are large, for the usual ones to stay small.
        let accepted = self.accept_layers(stream, peer).await?;
        Ok(match accepted {
            Accepted::Link(link, peer) => {
                count(permit.as_mut(), &peer)?;
                Accepted::Link(link.with_permit(permit), peer)
            }
            served @ Accepted::HttpServed { .. } => served,
        })
    }

    /// Performs what [`accept`](Self::accept) does for a WebSocket listener without TLS, and gives the WebSocket itself:
    /// for programs that speak something else than MQTT over it. The limits of connections and the PROXY protocol do not
    /// apply.
    ///
    /// `None` when a plain HTTP request was answered.
    pub async fn accept_frames<S: ByteStream>(
        &self,
        stream: S,
        address: Option<SocketAddr>,
    ) -> Result<Option<(WsFrames<S>, PeerInfo)>, AcceptError> {
        let peer = PeerInfo::new(Scheme::Ws, address);
        let deadline = self.options.handshake_timeout;
        let serving = self.options.http.accept(&self.runtime, stream, deadline, peer);
        Ok(match Box::pin(serving).await? {
            Served::WebSocket(frames, peer) => Some((frames, peer)),
            Served::Http { .. } => None,
        })
    }

    /// The client's address by the PROXY protocol. `None` where it is that of the socket.
    async fn proxy_header<S: ByteStream>(
        &self,
        stream: &mut Replay<S>,
        address: Option<SocketAddr>,
    ) -> Result<Option<SocketAddr>, ProxyHeaderError> {
        let required = self.options.proxy_protocol == ProxyProtocol::Required;
        match address {
            Some(peer) if !self.options.trusts(address) => {
                return if required { Err(ProxyHeaderError::Untrusted { peer }) } else { Ok(None) };
            }
            _ => {}
        }
        let reading = timeout(&self.runtime, self.options.handshake_timeout, proxy_header::read(stream));
        match reading.await.unwrap_or(Err(ProxyHeaderError::TimedOut))? {
            Some(client) => Ok(client),
            None if required => Err(ProxyHeaderError::Missing { first: stream.peek(16).to_vec() }),
            None => Ok(None),
        }
    }

    async fn accept_layers<S: ByteStream>(
        &self,
        mut stream: Replay<S>,
        peer: PeerInfo,
    ) -> Result<Accepted<S>, AcceptError> {
        match &self.layers {
            Layers::Tcp => {
                self.admit(&mut stream, Scheme::Tcp, is_mqtt).await?;
                Ok(Accepted::Link(NetLink::tcp(stream), peer))
            }
            Layers::Ws => {
                self.admit(&mut stream, Scheme::Ws, is_http).await?;
                Box::pin(self.serve(stream, peer, NetLink::ws)).await
            }
            #[cfg(feature = "tls")]
            Layers::Tls(config) => {
                self.admit(&mut stream, Scheme::Tls, is_tls).await?;
                let stream = Box::pin(self.encrypt(stream, config)).await?;
                let peer = PeerInfo { tls: Some(Box::new(stream.info())), ..peer };
                let mut stream = Replay::new(stream);
                self.admit(&mut stream, Scheme::Tls, is_mqtt).await?;
                Ok(Accepted::Link(NetLink::tls(stream), peer))
            }
            #[cfg(feature = "tls")]
            Layers::Wss(config) => {
                self.admit(&mut stream, Scheme::Wss, is_tls).await?;
                let stream = Box::pin(self.encrypt(stream, config)).await?;
                let peer = PeerInfo { tls: Some(Box::new(stream.info())), ..peer };
                let mut stream = Replay::new(stream);
                self.admit(&mut stream, Scheme::Wss, is_http).await?;
                Box::pin(self.serve(stream, peer, NetLink::wss)).await
            }
            Layers::Any { .. } => Box::pin(self.accept_any(stream, peer)).await,
        }
    }

    /// Lets the client's first bytes choose among the schemes.
    async fn accept_any<S: ByteStream>(
        &self,
        mut stream: Replay<S>,
        peer: PeerInfo,
    ) -> Result<Accepted<S>, AcceptError> {
        match self.look(&mut stream).await? {
            Sniffed::Mqtt { .. } => Ok(Accepted::Link(NetLink::tcp(stream), peer)),
            Sniffed::Http => self.serve(stream, PeerInfo { scheme: Scheme::Ws, ..peer }, NetLink::ws).await,
            #[cfg(feature = "tls")]
            Sniffed::Tls => match &self.layers {
                Layers::Any { tls: Some(config) } => self.accept_any_tls(stream, config, peer).await,
                _ => Err(AcceptError::WrongProtocol { expected: Scheme::Tcp, found: Sniffed::Tls }),
            },
            found => Err(AcceptError::WrongProtocol { expected: Scheme::Tcp, found }),
        }
    }

    #[cfg(feature = "tls")]
    async fn accept_any_tls<S: ByteStream>(
        &self,
        stream: Replay<S>,
        config: &PresentTls,
        peer: PeerInfo,
    ) -> Result<Accepted<S>, AcceptError> {
        let stream = self.encrypt(stream, config).await?;
        let peer = PeerInfo { tls: Some(Box::new(stream.info())), scheme: Scheme::Tls, ..peer };
        let mut stream = Replay::new(stream);
        match self.look(&mut stream).await? {
            Sniffed::Mqtt { .. } => Ok(Accepted::Link(NetLink::tls(stream), peer)),
            Sniffed::Http => self.serve(stream, PeerInfo { scheme: Scheme::Wss, ..peer }, NetLink::wss).await,
            found => Err(AcceptError::WrongProtocol { expected: Scheme::Tls, found }),
        }
    }

    /// Where first bytes are looked at: answers and refuses a client that does not begin as it must here.
    async fn admit<S: ByteStream>(
        &self,
        stream: &mut Replay<S>,
        expected: Scheme,
        fits: fn(Sniffed) -> bool,
    ) -> Result<(), AcceptError> {
        if !self.options.sniff {
            return Ok(());
        }
        let found = self.look(stream).await?;
        // What nobody knows goes on: the next layer has the better words for it.
        if fits(found) || found == Sniffed::Other {
            return Ok(());
        }
        let port = Port { scheme: expected, signpost: &self.options.signpost };
        let answer = Box::pin(mirror::answer(stream, found, port));
        // The error is the same whether or not the client takes the answer.
        let _ = timeout(&self.runtime, self.options.handshake_timeout, answer).await;
        Err(AcceptError::WrongProtocol { expected, found })
    }

    /// Says what the client begins with, and leaves the bytes where they were.
    async fn look<S: ByteStream>(&self, stream: &mut Replay<S>) -> Result<Sniffed, AcceptError> {
        let mut first = Vec::new();
        let reading = async {
            loop {
                if let Some(found) = sniff(&first) {
                    return Ok(found);
                }
                match head::read_some(stream, &mut first, FIRST_READ).await {
                    Ok(0) => return Err(AcceptError::Left { received: first.len() }),
                    Ok(_) => {}
                    Err(error) => {
                        return Err(TlsError::find(error).map_or_else(AcceptError::Io, AcceptError::Tls));
                    }
                }
            }
        };
        let found = timeout(&self.runtime, self.options.handshake_timeout, reading).await;
        let found = found.unwrap_or(Err(AcceptError::Silent { received: first.len() }))?;
        stream.unread(first);
        Ok(found)
    }

    async fn serve<S: ByteStream, T>(
        &self,
        stream: S,
        peer: PeerInfo,
        link: fn(WsLink<S>) -> NetLink<T>,
    ) -> Result<Accepted<T>, AcceptError> {
        let deadline = self.options.handshake_timeout;
        Ok(match self.options.http.accept(&self.runtime, stream, deadline, peer).await? {
            Served::WebSocket(frames, peer) => Accepted::Link(link(WsLink::new(frames)), peer),
            Served::Http { status } => Accepted::HttpServed { status },
        })
    }

    #[cfg(feature = "tls")]
    async fn encrypt<S: ByteStream>(
        &self,
        stream: S,
        config: &PresentTls,
    ) -> Result<crate::tls::TlsStream<S>, AcceptError> {
        let handshake = crate::tls::accept(stream, config.config());
        match timeout(&self.runtime, self.options.handshake_timeout, handshake).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(AcceptError::TlsTimedOut),
        }
    }
}

/// What is read at most to see how a client begins: usually all that it begins with, which spares another read.
const FIRST_READ: usize = 512;

fn count(permit: Option<&mut Permit>, peer: &PeerInfo) -> Result<(), Crowded> {
    match (permit, peer.address) {
        (Some(permit), Some(address)) => permit.comes_from(address.ip()),
        _ => Ok(()),
    }
}

fn is_mqtt(found: Sniffed) -> bool {
    matches!(found, Sniffed::Mqtt { .. })
}

fn is_http(found: Sniffed) -> bool {
    found == Sniffed::Http
}

#[cfg(feature = "tls")]
fn is_tls(found: Sniffed) -> bool {
    found == Sniffed::Tls
}
