//! `Broker`: the handle. Build it, give it connections or let it listen, talk to it, shut it down.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use mqttkit_codec::{Closed, Instant, Message, ReasonCode, Str, TextError, TopicFilter};
use mqttkit_ws_transport::{Link, PeerInfo, Runtime, Signpost};

use crate::config::Config;
use crate::connection::{self, Connection};
use crate::doorman::{Ban, BanCause, BanError, Banned, Denied};
use crate::events::{Events, NotConnected};
use crate::house::{House, Member, Seat};
use crate::keeper;
use crate::listener::{Listen, ListenError, Listening};
use crate::local::{LocalClient, LocalError};
use crate::log::Log;
use crate::notify::{LOOK, Notify};
use crate::policy::{Policy, Refusal};
use crate::rules::Rules;
use crate::runtime::AnyRuntime;
use crate::scratch;
use crate::state::{Clock, State};
use crate::stats::{ClientInfo, Stats};
use crate::store::{Desk, Progress, Snapshot, Store, StoreError};
use crate::trace::{TraceError, Traces};

/// An MQTT broker. A cheap handle: clones are the same broker.
///
/// It starts no threads; connections are tasks of your runtime. Dropping the handle ends nothing that runs: call
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Broker {
    pub(crate) inner: Arc<Inner>,
}

/// What a [`Broker`] is made of.
#[derive(Debug, Default)]
pub struct Builder {
    config: Config,
    policy: Option<Arc<dyn Policy>>,
    kept: Option<Kept>,
}

/// A store that was opened, and what it holds.
#[derive(Debug)]
struct Kept {
    desk: Desk,
    snapshot: Snapshot,
}

/// What all handles and tasks of one broker share.
pub(crate) struct Inner {
    rules: Arc<Rules>,
    runtime: Arc<dyn AnyRuntime>,
    state: Mutex<Guarded>,
    house: Arc<House>,
    keeper: Arc<Notify>,
    keeper_runs: AtomicBool,
    signpost: Signpost,
    desk: Option<Desk>,
    log: Log,
    traces: Traces,
}

struct Guarded {
    state: State,
    /// For when the keeper has set its alarm.
    alarm: Option<Instant>,
}

/// Why [`Broker::serve`] did not serve a connection. It was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There are [`Config::max_connections`] already.
    #[error("there are as many connections as the configuration allows")]
    TooManyConnections,
    /// Its address comes more often than [`Config::connect_rate`] allows.
    #[error("this address connects too often")]
    TooOften,
    /// Its address is banned.
    #[error("this address is banned")]
    Banned,
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl From<ServeError> for NotConnected {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::TooManyConnections => Self::TooManyConnections,
            ServeError::TooOften => Self::TooOften,
            ServeError::Banned => Self::Banned,
            ServeError::ShuttingDown => Self::Closed(Closed::Local(ReasonCode::ServerShuttingDown)),
        }
    }
}

impl Builder {
    /// With these limits.
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// With this policy. Without one, everybody may do everything.
    #[must_use]
    pub fn policy(self, policy: impl Policy) -> Self {
        Self { policy: Some(Arc::new(policy)), ..self }
    }

    /// With what this store holds, and keeping there what is to survive. Without one, nothing survives the broker. It is
    /// opened and read here, which may block; the store must not serve another broker.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be read, or makes no sense.
    pub fn store(self, store: impl Store) -> Result<Self, StoreError> {
        let (desk, snapshot) = Desk::open(Arc::new(store))?;
        Ok(Self { kept: Some(Kept { desk, snapshot }), ..self })
    }

    /// A broker on tokio, multi-threaded or current-thread.
    ///
    /// It may be built anywhere; [`Broker::serve`] and [`Broker::listen`] must run within a tokio runtime with IO
    /// and time enabled.
    #[cfg(feature = "tokio")]
    pub fn build(self) -> Broker {
        self.build_with(mqttkit_ws_transport::TokioRuntime::new())
    }

    /// A broker on another runtime.
    pub fn build_with(self, runtime: impl Runtime) -> Broker {
        let rules = Arc::new(Rules::new(self.config, self.policy));
        // All that is random: it keeps assigned client identifiers apart across restarts, and deals out messages of
        // shared subscriptions if they are to go by chance.
        let random = RandomState::new();
        let prefix = format!("auto-{:016x}", random.hash_one(0u8));
        let mut state = State::new(&rules, prefix, random.hash_one(1u8));
        let runtime: Arc<dyn AnyRuntime> = Arc::new(runtime);
        let keeper = Arc::new(Notify::default());
        let desk = self.kept.map(|Kept { desk, snapshot }| {
            desk.progress().set_keeper(&keeper);
            let now = runtime.now();
            let wall = SystemTime::now();
            let origin = wall.checked_sub(now.since_origin()).unwrap_or(wall);
            state.restore(now, snapshot, desk.progress().clone(), Clock { origin });
            desk
        });
        let inner = Inner {
            rules,
            runtime,
            state: Mutex::new(Guarded { state, alarm: None }),
            house: Arc::new(House::default()),
            keeper,
            keeper_runs: AtomicBool::new(false),
            signpost: Signpost::new(),
            desk,
            log: Log::default(),
            traces: Traces::default(),
        };
        // What the restoring itself has changed.
        inner.with_state(|_| ());
        Broker { inner: Arc::new(inner) }
    }
}

impl Broker {
    /// The parts of a broker, to be chosen.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Serves one client over any link until its connection ends, and says how it ended.
    ///
    /// Spawn it, or await it where the connection came in. Dropping the future cuts the connection, as if the
    /// network had: the session goes on as agreed and the will is published.
    ///
    /// # Errors
    /// [`ServeError`], when the link was closed without being served.
    pub fn serve<L: Link>(
        &self,
        link: L,
        peer: PeerInfo,
    ) -> impl Future<Output = Result<Closed, ServeError>> + Send + use<L> {
        let inner = Arc::clone(&self.inner);
        async move {
            if let Err(error) = inner.admit(peer.address) {
                inner.refused(peer.address, peer.listener.as_deref(), error.into());
                return Err(error);
            }
            let Some(seat) = inner.take_seat() else {
                inner.refused(peer.address, peer.listener.as_deref(), NotConnected::TooManyConnections);
                return Err(ServeError::TooManyConnections);
            };
            let notify = Arc::new(Notify::default());
            let member = inner.register(Arc::clone(&notify)).ok_or(ServeError::ShuttingDown)?;
            // Boxed, or this future would hold the link twice.
            let connection = Connection::new(inner, link, peer, notify, (seat, None), member);
            Ok(Box::pin(connection::run(connection)).await)
        }
    }

    /// Serves one client over any byte stream of tokio; see [`serve`](Self::serve).
    #[cfg(feature = "tokio")]
    pub fn serve_stream<S>(
        &self,
        stream: S,
        address: Option<SocketAddr>,
    ) -> impl Future<Output = Result<Closed, ServeError>> + Send + use<S>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    {
        let link = mqttkit_ws_transport::StreamLink::from_tokio(stream);
        self.serve(link, PeerInfo::new(mqttkit_ws_transport::Scheme::Tcp, address))
    }

    /// Opens a listening socket and serves whoever connects, in the background.
    ///
    /// # Errors
    /// [`ListenError`]: the address is in use or not ours, TLS is not configured, the broker is shutting down.
    pub async fn listen(&self, listen: Listen) -> Result<Listening, ListenError> {
        let inner = Arc::clone(&self.inner);
        inner.start_keeper();
        Listening::start(inner, listen).await
    }

    /// A client within this process: no socket, no encoding, no policy. It gets an identifier of its own and a
    /// session that ends when it is dropped.
    ///
    /// # Errors
    /// [`LocalError::TooManySessions`].
    pub fn local_client(&self) -> Result<LocalClient, LocalError> {
        LocalClient::new(Arc::clone(&self.inner), None)
    }

    /// The same with this client identifier.
    ///
    /// # Errors
    /// [`LocalError::InUse`] while a client with this identifier is connected, and
    /// [`LocalError::TooManySessions`].
    pub fn local_client_with_id(&self, client_id: Str) -> Result<LocalClient, LocalError> {
        LocalClient::new(Arc::clone(&self.inner), Some(client_id))
    }

    /// Publishes a message in the broker's own name, under `$SYS/` too.
    ///
    /// The answer is [`Success`](ReasonCode::Success), or
    /// [`NoMatchingSubscribers`](ReasonCode::NoMatchingSubscribers), or
    /// [`TopicNameInvalid`](ReasonCode::TopicNameInvalid) for a topic with too many levels. With a
    /// [store](crate::store), a QoS 1 or 2 message that it could not keep is not published:
    /// [`QuotaExceeded`](ReasonCode::QuotaExceeded). [`stored`](Self::stored) waits until it is kept.
    pub fn publish(&self, message: Message) -> ReasonCode {
        let now = self.inner.now();
        self.inner.with_state(|state| state.publish_host(now, message))
    }

    /// Ends the connection of a client; an MQTT 5.0 client is told the reason, which is a [`ReasonCode`] or, with a
    /// sentence or [another server](Refusal::redirect) to go to, a [`Refusal`]. Its session goes on as agreed and its
    /// will is published. Returns whether there was one.
    ///
    /// # Errors
    /// When `client_id` cannot be a client identifier.
    pub fn kick(&self, client_id: &str, reason: impl Into<Refusal>) -> Result<bool, TextError> {
        let client_id = Str::try_from(client_id)?;
        let refusal = reason.into();
        Ok(self.inner.with_state(|state| state.kick(&client_id, refusal)))
    }

    /// Bans somebody for this long, or for good. Clients that are in and that it concerns are disconnected with 0x98;
    /// whoever comes is refused with 0x8A, and closed at once if its address is banned. An earlier ban is replaced.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use mqttkit_broker_core::{Banned, Broker};
    ///
    /// let broker = Broker::builder().build();
    /// let mallory = Banned::UserName("mallory".try_into()?);
    /// broker.ban(mallory.clone(), Some(Duration::from_secs(3600)))?;
    /// assert_eq!(broker.bans()[0].subject, mallory);
    /// assert!(broker.unban(mallory));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BanError`], when there is no room in the table.
    pub fn ban(&self, subject: Banned, time: Option<Duration>) -> Result<(), BanError> {
        let now = self.inner.now();
        self.inner.rules.doorman.ban(now, subject.clone(), time)?;
        if let Banned::ClientId(id) = &subject {
            self.inner.with_state(|state| state.kick(id, ReasonCode::AdministrativeAction.into()));
        } else {
            let mut next = Some(0);
            while let Some(start) = next {
                next = self.inner.with_state(|state| state.kick_banned(&subject, start, LISTED));
            }
        }
        self.inner.with_state(|state| state.tell_of_ban(subject, BanCause::Host));
        Ok(())
    }

    /// Ends a ban. Returns whether there was one.
    pub fn unban(&self, subject: Banned) -> bool {
        let now = self.inner.now();
        self.inner.rules.doorman.unban(now, subject)
    }

    /// All bans that are in force, in no order: those of the host, and those for [`Config::flapping`] and
    /// [`Config::authentication_failures`].
    pub fn bans(&self) -> Vec<Ban> {
        let now = self.inner.now();
        self.inner.rules.doorman.bans(now)
    }

    /// Watches what happens from now on: clients that come and go, subscriptions, messages that are dropped. It has
    /// room for `capacity` events; see [`Events`]. While nobody watches it costs nothing.
    pub fn events(&self, capacity: usize) -> Events {
        self.inner.with_state(|state| state.observe(capacity, false))
    }

    /// The same with every message that is published.
    pub fn events_with_messages(&self, capacity: usize) -> Events {
        self.inner.with_state(|state| state.observe(capacity, true))
    }

    /// All sessions, in no order. It is made part by part, so that clients do not wait for it; who comes or goes
    /// meanwhile may be missing.
    pub fn clients(&self) -> Vec<ClientInfo> {
        let now = self.inner.now();
        let mut list = Vec::new();
        let mut next = Some(0);
        while let Some(start) = next {
            next = self.inner.with_state(|state| state.list(now, start, LISTED, &mut list));
        }
        list
    }

    /// Logs every packet of this client from now on, whichever connection it has: one that is there already, or comes
    /// later. Returns whether that is new.
    ///
    /// Each packet is an event at level info for the target `mqttkit_broker_core::trace`, with the fields `client`,
    /// `direction` (`in` or `out`), `packet` (its type), `id`, `bytes`, and the rest in words: topics, QoS, reasons,
    /// neither payloads nor passwords. Of a client within the process it is what it publishes, receives and subscribes
    /// to. A client that is being sent something at the moment is traced in that direction once that is done.
    ///
    /// For a look now and then: what a traced client sends and receives is decoded twice. As long as nobody is traced it
    /// costs a connection one relaxed load of an atomic number whenever it has something to do.
    ///
    /// # Errors
    /// [`TraceError`]: 64 clients are traced already, or the text cannot be a client identifier.
    pub fn trace_client(&self, client_id: &str) -> Result<bool, TraceError> {
        self.inner.traces.add(Str::try_from(client_id)?)
    }

    /// Ends [`trace_client`](Self::trace_client). Returns whether it was traced.
    pub fn untrace_client(&self, client_id: &str) -> bool {
        self.inner.traces.remove(client_id)
    }

    /// The clients that are traced.
    pub fn traced_clients(&self) -> Vec<Str> {
        self.inner.traces.list()
    }

    /// Logs every publication to a topic that this filter matches, and what becomes of it, from now on. Returns whether
    /// that is new. Topics are traced with their mount points.
    ///
    /// There are events at level info for the target `mqttkit_broker_core::trace`: `published` with `topic`, `publisher`
    /// (none for the host and wills), `qos`, `retain`, `size` and the number of `receivers`, and for each receiver, with
    /// its `client`, `queued` or `dropped`, and `delivered` when it is handed to its connection.
    ///
    /// # Errors
    /// [`TraceError::TooMany`]: 64 filters are traced already.
    pub fn trace_topic(&self, filter: &TopicFilter) -> Result<bool, TraceError> {
        self.inner.with_state(|state| state.trace_topic(filter))
    }

    /// Ends [`trace_topic`](Self::trace_topic). Returns whether it was traced.
    pub fn untrace_topic(&self, filter: &TopicFilter) -> bool {
        self.inner.with_state(|state| state.untrace_topic(filter))
    }

    /// The topic filters that are traced.
    pub fn traced_topics(&self) -> Vec<TopicFilter> {
        self.inner.with_state(|state| state.traced_topics())
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let (connections_banned, connections_too_often) = self.inner.rules.doorman.counts();
        let mut stats = Stats {
            connections: self.inner.house.seats().taken(),
            connections_refused: self.inner.house.seats().refused(),
            connections_banned,
            connections_too_often,
            memory: self.inner.rules.budget.used(),
            ..Stats::default()
        };
        self.inner.with_state(|state| state.stats(&mut stats));
        stats
    }

    /// The limits it was built with.
    pub fn config(&self) -> &Config {
        self.inner.config()
    }

    /// Shuts down: the listeners close, MQTT 5.0 clients are told 0x8B, everything written is flushed, WebSockets
    /// and TCP connections end with their own goodbyes, wills are published. What is not done after `deadline` is
    /// cut. Returns whether everybody had left by then, and with a [store](crate::store) whether that has kept everything.
    ///
    /// Nothing can be served or opened afterwards. Cancel-safe: dropped, the shutdown goes on without a deadline.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let inner = &self.inner;
        // Those that are in are told why; the bell of the house is for handshakes, listeners and newcomers.
        inner.with_state(|state| state.kick_all(ReasonCode::ServerShuttingDown));
        inner.house.close();
        let all = async {
            poll_fn(|cx| inner.house.poll_empty(cx)).await;
            self.stored().await.is_ok()
        };
        if let Some(all_is_kept) = inner.within(deadline, all).await {
            return all_is_kept;
        }
        inner.house.clear();
        inner.within(CUT, poll_fn(|cx| inner.house.poll_empty(cx))).await;
        false
    }

    /// Waits until everything that has happened so far is kept in the [store](crate::store): a message that the host has
    /// [published](Self::publish) before, for instance. Without a store there is nothing to wait for.
    ///
    /// Cancel-safe: dropped, it has only waited less.
    ///
    /// # Errors
    /// [`StoreError`]: the store has failed, so part of it may never be kept.
    pub async fn stored(&self) -> Result<(), StoreError> {
        let Some(progress) = self.inner.store_progress() else { return Ok(()) };
        let op = self.inner.with_state(|state| state.store_position());
        let bell = Arc::new(Notify::default());
        let _place = progress.register(op, &bell);
        poll_fn(|cx| {
            bell.take(cx.waker());
            if progress.position() >= op {
                return Poll::Ready(Ok(()));
            }
            match progress.error() {
                Some(error) => Poll::Ready(Err(error.clone())),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// How many sessions are listed under one lock.
const LISTED: usize = 1_000;

/// How long tasks get to end that were told to end at once.
const CUT: Duration = Duration::from_millis(200);

impl Inner {
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.rules.config
    }

    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Where the listeners are, for clients that come to the wrong one.
    pub(crate) fn signpost(&self) -> &Signpost {
        &self.signpost
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// A connection came to nothing before there was anything of MQTT.
    pub(crate) fn refused(&self, address: Option<SocketAddr>, listener: Option<&str>, cause: NotConnected) {
        self.log.refused(self.now(), address, listener, &cause);
        self.with_state(|state| state.refused(address, None, || cause));
    }

    /// How far the store has come, if there is one.
    pub(crate) fn store_progress(&self) -> Option<&Progress> {
        self.desk.as_ref().map(Desk::progress)
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn AnyRuntime> {
        &self.runtime
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// Lets somebody from this address come in, or not.
    pub(crate) fn admit(&self, address: Option<SocketAddr>) -> Result<(), ServeError> {
        let address = address.map(|address| address.ip());
        self.rules.doorman.admit(self.now(), address).map_err(|denied| match denied {
            Denied::Banned => ServeError::Banned,
            Denied::TooOften => ServeError::TooOften,
        })
    }

    pub(crate) fn take_seat(&self) -> Option<Seat> {
        self.house.seats().take(self.config().max_connections)
    }

    /// A connection found no place on its listener.
    pub(crate) fn refuse_seat(&self) {
        self.house.seats().refuse();
    }

    pub(crate) fn register(&self, notify: Arc<Notify>) -> Option<Member> {
        self.house.enter(notify)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.house.is_closing()
    }

    /// Works on the state under its lock, then wakes whom that concerns. Nothing foreign runs under the lock.
    pub(crate) fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.with_state_ringing(work).0
    }

    /// The same, and says how many were woken.
    pub(crate) fn with_state_ringing<T>(&self, work: impl FnOnce(&mut State) -> T) -> (T, usize) {
        scratch::bells(|bells| {
            let (result, earlier, remarks) = {
                let mut guarded = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let result = work(&mut guarded.state);
                if let Some(desk) = &self.desk
                    && let Some(ops) = guarded.state.take_ops()
                {
                    desk.lay(ops);
                }
                guarded.state.take_wakes(bells);
                let next = guarded.state.poll_timeout();
                let earlier = next.is_some_and(|next| guarded.alarm.is_none_or(|alarm| next < alarm));
                if earlier {
                    guarded.alarm = next;
                }
                (result, earlier, guarded.state.take_remarks())
            };
            let rung = bells.len();
            for bell in bells.drain(..) {
                bell.ring(LOOK);
            }
            if let Some(desk) = &self.desk {
                desk.hand_over();
            }
            if earlier {
                self.keeper.ring(LOOK);
            }
            if let Some(remarks) = remarks {
                self.log.say(self.now(), remarks);
            }
            (result, rung)
        })
    }

    /// Does what is due without any client. Returns when to come again.
    pub(crate) fn keep(&self) -> Option<Instant> {
        let now = self.now();
        self.house.ring_due(now);
        self.with_state(|state| state.handle_timeout(now));
        let alarm = {
            let mut guarded = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            guarded.alarm = guarded.state.poll_timeout();
            guarded.alarm
        };
        [alarm, self.house.next_alarm()].into_iter().flatten().min()
    }

    /// Has a member of the house woken at this time or a little later. Returns by when it is to ask again.
    pub(crate) fn set_alarm(&self, member: &Member, now: Instant, deadline: Instant) -> Instant {
        let (until, is_next) = member.set_alarm(now, deadline);
        if is_next {
            self.keeper.ring(LOOK);
        }
        until
    }

    /// The first connection or listener starts the keeper: only then is a runtime certain to be there.
    pub(crate) fn start_keeper(self: &Arc<Self>) {
        if !self.keeper_runs.swap(true, Ordering::Relaxed) {
            let keeper =
                keeper::run(Arc::downgrade(self), Arc::clone(&self.keeper), Arc::clone(&self.runtime));
            self.runtime.spawn(Box::pin(keeper));
        }
    }

    /// Waits for this, at most so long.
    async fn within<T>(&self, limit: Duration, what: impl Future<Output = T>) -> Option<T> {
        let mut timer = self.runtime.sleep_until(self.now() + limit);
        let mut what = pin!(what);
        poll_fn(|cx: &mut Context<'_>| {
            if let Poll::Ready(came) = what.as_mut().poll(cx) {
                return Poll::Ready(Some(came));
            }
            Pin::new(&mut timer).poll(cx).map(|()| None)
        })
        .await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The keeper sees that its broker is gone.
        self.keeper.ring(LOOK);
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("config", self.inner.config()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}
