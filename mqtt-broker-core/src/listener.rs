//! Listeners: the accept loop, with every handshake off it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use mqttkit_ws_transport::ws::WsLimits;
use mqttkit_ws_transport::{
    AcceptFault, AcceptOptions, Accepted, Acceptor, Listener, Runtime, Scheme, ServerLink, Signpost,
    tls::TlsConfigError,
};
use tracing::debug;

use mqttkit_codec::Instant;

use crate::broker::{Inner, ServeError};
use crate::config::Config;
use crate::connection::{Connection, Task};
use crate::events::NotConnected;
use crate::house::{Member, Seat, Seats};
use crate::log::Log;
use crate::notify::{ABORT, Notify, SHUT_DOWN};
use crate::rate::Rate;

/// Where to listen, and for what.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use mqttkit_broker_core::transport::AcceptOptions;
/// use mqttkit_broker_core::{Broker, Listen};
///
/// let broker = Broker::builder().build();
/// broker.listen(Listen::tcp(([0, 0, 0, 0], 1883))).await?;
/// let options = AcceptOptions::new().path("/live");
/// broker.listen(Listen::ws(([0, 0, 0, 0], 8083)).options(options)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Listen {
    address: SocketAddr,
    /// `None` for all.
    scheme: Option<Scheme>,
    options: Option<AcceptOptions>,
    sniff: bool,
    name: Option<Arc<str>>,
    limits: ListenLimits,
}

/// What one listener takes, beside what the broker does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenLimits {
    connections: usize,
    rate: Option<Rate>,
}

/// A listening socket of a broker. Dropping it changes nothing: the socket is open until
/// [`stop`](Self::stop) or the end of the broker.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    scheme: Option<Scheme>,
    running: Arc<Running>,
}

/// Why a broker does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The socket cannot be opened: the address is in use, or not of this machine, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The TLS configuration is missing or unusable.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl Listen {
    /// At this address for this scheme. Port 0 picks a free one; see [`Listening::local_addr`].
    pub fn new(scheme: Scheme, address: impl Into<SocketAddr>) -> Self {
        Self {
            address: address.into(),
            scheme: Some(scheme),
            options: None,
            sniff: true,
            name: None,
            limits: ListenLimits { connections: usize::MAX, rate: None },
        }
    }

    /// For MQTT over TCP and over WebSocket, and with a TLS configuration in the [`options`](Self::options) over TLS too:
    /// the first bytes of a client say what it wants.
    pub fn any(address: impl Into<SocketAddr>) -> Self {
        Self { scheme: None, ..Self::tcp(address) }
    }

    /// For MQTT over TCP.
    pub fn tcp(address: impl Into<SocketAddr>) -> Self {
        Self::new(Scheme::Tcp, address)
    }

    /// For MQTT over WebSocket, at the path `/mqtt` unless [`options`](Self::options) say otherwise.
    pub fn ws(address: impl Into<SocketAddr>) -> Self {
        Self::new(Scheme::Ws, address)
    }

    /// For MQTT over TLS. The [`options`](Self::options) must have a TLS configuration.
    pub fn tls(address: impl Into<SocketAddr>) -> Self {
        Self::new(Scheme::Tls, address)
    }

    /// For MQTT over WebSocket over TLS. The [`options`](Self::options) must have a TLS configuration.
    pub fn wss(address: impl Into<SocketAddr>) -> Self {
        Self::new(Scheme::Wss, address)
    }

    /// With these options for TLS, HTTP and WebSocket. Without, WebSocket messages are taken up to
    /// [`Config::max_packet_size`] and 64 KiB.
    pub fn options(self, options: AcceptOptions) -> Self {
        Self { options: Some(options), ..self }
    }

    /// Whether a client that speaks the wrong protocol is answered in its own: HTTP on an MQTT port with a page that
    /// names the right URL, MQTT on a WebSocket port with a CONNACK. Default true. The URLs are those of all listeners
    /// of the broker. [`any`](Self::any) always looks.
    pub fn sniff(self, sniff: bool) -> Self {
        Self { sniff, ..self }
    }

    /// With this name, which policies, events and logs find in [`PeerInfo::listener`](mqttkit_ws_transport::PeerInfo::listener). Default its URL, such as
    /// `ws://0.0.0.0:8083/mqtt`; `any://` for [`any`](Self::any).
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The name it was given.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// With at most so many connections at a time through this listener, those in their handshake included. One more is
    /// closed at once and counted. Default: no limit but [`Config::max_connections`].
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.limits.connections = limit;
        self
    }

    /// With at most so many new connections, from all addresses together. Those beyond it wait in the backlog of the
    /// socket, so that a crowd that comes all at once, after a restart say, is let in one by one. Default: no limit.
    pub fn connect_rate(mut self, rate: Rate) -> Self {
        self.limits.rate = Some(rate);
        self
    }

    pub(crate) fn limits(&self) -> ListenLimits {
        self.limits
    }

    pub(crate) fn into_parts(
        self,
        config: &Config,
        signpost: &Signpost,
    ) -> (SocketAddr, Option<Scheme>, AcceptOptions) {
        let options = self.options.unwrap_or_else(|| {
            // Most clients send a packet in one message; a little more than that for those that gather.
            let message = config.max_packet_size as usize + (64 << 10);
            AcceptOptions::new().limits(WsLimits::default().max_message_size(message))
        });
        let options = options.sniff(self.sniff).signpost(signpost.clone());
        (self.address, self.scheme, options)
    }
}

impl Listening {
    pub(crate) async fn start(inner: Arc<Inner>, listen: Listen) -> Result<Self, ListenError> {
        let running = Arc::new(Running::default());
        let scheme = listen.scheme;
        let runtime = Arc::clone(inner.runtime());
        let address = runtime.listen(inner, listen, Arc::clone(&running)).await?;
        Ok(Self { address, scheme, running })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// For what; [`Scheme::Tcp`] stands for [`Listen::any`].
    pub fn scheme(&self) -> Scheme {
        self.scheme.unwrap_or(Scheme::Tcp)
    }

    /// Closes the socket and returns when it is closed. Connections that came through it go on. Cancel-safe: the
    /// socket is closed all the same.
    pub async fn stop(self) {
        self.running.notify.ring(SHUT_DOWN);
        poll_fn(|cx| {
            self.running.waiter.register(cx.waker());
            if self.running.ended.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What an accept loop shares with its handle.
#[derive(Debug, Default)]
pub(crate) struct Running {
    notify: Arc<Notify>,
    ended: AtomicBool,
    waiter: AtomicWaker,
}

impl Running {
    pub(crate) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }
}

/// What the signpost says of a listener, for as long as that accepts.
#[derive(Debug)]
pub(crate) struct Signs {
    signpost: Signpost,
    schemes: Vec<Scheme>,
    port: u16,
}

impl Signs {
    pub(crate) fn put(signpost: &Signpost, scheme: Option<Scheme>, tls: bool, port: u16, path: &str) -> Self {
        let schemes: Vec<_> = match scheme {
            Some(scheme) => vec![scheme],
            None => Scheme::ALL.into_iter().filter(|scheme| tls || !scheme.is_tls()).collect(),
        };
        for scheme in &schemes {
            signpost.add(*scheme, port, path);
        }
        Self { signpost: signpost.clone(), schemes, port }
    }
}

impl Drop for Signs {
    fn drop(&mut self) {
        for scheme in &self.schemes {
            self.signpost.remove(*scheme, self.port);
        }
    }
}

/// Tells the handle that the loop is over, however it ends.
struct Ending(Arc<Running>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.waiter.wake();
    }
}

/// Says in the log that the loop is over, however it ends.
struct Stopped(Arc<str>);

impl Drop for Stopped {
    fn drop(&mut self) {
        Log::stopped(&self.0);
    }
}

/// Counts the handshakes of one listener; the loop waits while there are too many.
#[derive(Debug, Default)]
struct Gate {
    inside: AtomicUsize,
    waiter: AtomicWaker,
}

/// One handshake. Given back when dropped.
struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Release);
        self.0.waiter.wake();
    }
}

/// The accept loop.
#[allow(clippy::too_many_arguments, reason = "it takes over everything that the listener is")]
pub(crate) async fn accept<R: Runtime>(
    inner: Arc<Inner>,
    runtime: R,
    listener: R::Listener,
    acceptor: Acceptor<R>,
    running: Arc<Running>,
    member: Member,
    door: FrontDoor,
) {
    let notify = running.notify();
    let _stopped = Stopped(Arc::clone(&door.name));
    // Dropped in reverse order: the socket first, then the news of it.
    let _ending = Ending(running);
    let door = door;
    let _member = member;
    let listener = listener;
    let gate = Arc::new(Gate::default());
    let seats = Arc::new(Seats::default());
    let mut full_at = Instant::ZERO;
    // Those who shake hands, the oldest first. Whoever is done is dead here.
    let mut shaking: VecDeque<Weak<Notify>> = VecDeque::new();
    loop {
        let places = inner.config().max_handshakes.max(1);
        // Half-open handshakes must not keep good clients out: a good one takes milliseconds, so the oldest is none.
        if gate.inside.load(Ordering::Acquire) >= places {
            make_room(&mut shaking);
        }
        let Some(pass) = until_told(&notify, enter(&gate, places)).await else { return };
        if let Some(rate) = door.limits.rate {
            let wait = rate.free_at(full_at) - inner.now();
            if !wait.is_zero() && until_told(&notify, runtime.sleep(wait)).await.is_none() {
                return;
            }
            full_at = rate.spend(full_at, inner.now(), 1);
        }
        let Some(accepted) = until_told(&notify, listener.accept()).await else { return };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = door.admit(&inner, address) {
                    inner.refused(Some(address), Some(&door.name), error.into());
                    continue;
                }
                let Some(place) = seats.take(door.limits.connections) else {
                    inner.refuse_seat();
                    inner.refused(Some(address), Some(&door.name), NotConnected::TooManyOnListener);
                    continue;
                };
                let Some(seat) = inner.take_seat() else {
                    inner.refused(Some(address), Some(&door.name), NotConnected::TooManyConnections);
                    continue;
                };
                let seats = (seat, Some(place));
                let leave = Arc::new(Notify::default());
                // Even who is dead here takes memory.
                if shaking.len() > 2 * gate.inside.load(Ordering::Relaxed) + 64 {
                    shaking.retain(|other| other.strong_count() > 0);
                }
                shaking.push_back(Arc::downgrade(&leave));
                let (inner, acceptor, name) = (Arc::clone(&inner), acceptor.clone(), Arc::clone(&door.name));
                let hands = shake_hands::<R>(inner, acceptor, stream, address, seats, pass, leave, name);
                Runtime::spawn(&runtime, Task::Coming(Box::pin(hands)));
            }
            Err(error) => match AcceptFault::of(&error) {
                AcceptFault::Shortage => {
                    Log::accept_failed(&door.name, &error);
                    if until_told(&notify, runtime.sleep(AcceptFault::PAUSE)).await.is_none() {
                        return;
                    }
                }
                AcceptFault::Listener => {
                    Log::listener_failed(&door.name, &error);
                    return;
                }
                _ => debug!(%error, "a connection was gone before it was accepted"),
            },
        }
    }
}

/// Who may come in at all, by the address of the socket.
#[derive(Debug)]
pub(crate) struct FrontDoor {
    limits: ListenLimits,
    options: AcceptOptions,
    name: Arc<str>,
    _signs: Signs,
}

impl FrontDoor {
    pub(crate) fn new(limits: ListenLimits, options: AcceptOptions, name: Arc<str>, signs: Signs) -> Self {
        Self { limits, options, name, _signs: signs }
    }

    /// A proxy comes for many, and is let in.
    fn admit(&self, inner: &Inner, address: SocketAddr) -> Result<(), ServeError> {
        if self.options.speaks_for_others(Some(address)) { Ok(()) } else { inner.admit(Some(address)) }
    }
}

/// Tells the oldest handshake that is still going on to give up.
fn make_room(shaking: &mut VecDeque<Weak<Notify>>) {
    while let Some(oldest) = shaking.pop_front() {
        if let Some(leave) = oldest.upgrade() {
            leave.ring(ABORT);
            return;
        }
    }
}

/// The handshake of one connection, which can be told to `leave`.
#[allow(clippy::too_many_arguments, reason = "it takes over everything that the connection is")]
async fn shake_hands<R: Runtime>(
    inner: Arc<Inner>,
    acceptor: Acceptor<R>,
    stream: R::Stream,
    address: SocketAddr,
    seats: (Seat, Option<Seat>),
    pass: Pass,
    leave: Arc<Notify>,
    name: Arc<str>,
) -> Option<Connection<ServerLink<R::Stream>>> {
    let notify = Arc::new(Notify::default());
    let member = inner.register(Arc::clone(&notify))?;
    let shaking = until_told(&leave, acceptor.accept(stream, Some(address)));
    let accepted = until_told(&notify, shaking).await?;
    drop((pass, leave));
    match accepted {
        Some(Ok(Accepted::Link(link, mut info))) => {
            info.listener = Some(name);
            // Behind a proxy it is only known now who comes.
            if info.via.is_some()
                && let Err(error) = inner.admit(info.address)
            {
                inner.refused(info.address, info.listener.as_deref(), error.into());
                return None;
            }
            return Some(Connection::new(inner, link, info, notify, seats, member));
        }
        Some(Err(error)) => {
            inner.refused(Some(address), Some(&name), NotConnected::Handshake(Arc::new(error)));
        }
        None => inner.refused(Some(address), Some(&name), NotConnected::TooManyHandshakes),
        // Plain HTTP was answered.
        Some(Ok(_)) => {}
    }
    None
}

/// What a listener without a name is called.
pub(crate) fn url(scheme: Option<Scheme>, address: SocketAddr, path: &str) -> Arc<str> {
    match scheme {
        Some(scheme @ (Scheme::Ws | Scheme::Wss)) => format!("{scheme}://{address}{path}"),
        Some(scheme) => format!("{scheme}://{address}"),
        None => format!("any://{address}"),
    }
    .into()
}

/// Waits for a place among `places` handshakes. Only the accept loop waits, so that one waker is enough.
async fn enter(gate: &Arc<Gate>, places: usize) -> Pass {
    poll_fn(|cx| {
        gate.waiter.register(cx.waker());
        if gate.inside.load(Ordering::Acquire) < places.max(1) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    gate.inside.fetch_add(1, Ordering::Relaxed);
    Pass(Arc::clone(gate))
}

/// Runs a future until it is done, or until somebody is told to leave.
async fn until_told<F: Future>(notify: &Notify, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if notify.take(cx.waker()) & (SHUT_DOWN | ABORT) != 0 {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
