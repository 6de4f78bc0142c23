//! `Driver`: the future that owns the connection and everything that is under way.
//!
//! ```text
//!              ┌───────────────── wait is over ──────────────────┐
//!              ▼                                                 │
//!   Start ─▶ Opening ──link──▶ Online ──end──▶ Closing ──▶ Waiting
//!              │                 (CONNECT … DISCONNECT)          │
//!              └──────── failed: wait, or Done ─────────────────▶┘
//! ```
//! From every state the client's end leads to Done, from Online through Closing.
//!
//! One task, one loop: each turn takes all commands, hands them to the connection, writes everything in one go,
//! flushes once, reads and handles what there is. There is one timer, set to the earliest of all deadlines. The locks it
//! shares with the handles are held for a few instructions and never across an await.

mod again;
mod authentication;
mod in_flight;
mod intake;
mod notes;
mod online;
mod restore;
mod router;
mod tap;
mod work;

use crate::authentication::{AuthenticationError, Occasion, Running};
use crate::connector::{Connector, Credentials, Failure, Opened};
use crate::error::{ConnectError, DisconnectCause, Leftover, OptionsError};
use crate::event::Event;
use crate::options::Settings;
use crate::outbox::{Budget, Control, Stop};
use crate::promise::Resolver;
use crate::shared::Shared;
use crate::store::{Snapshot, StoreError};
use authentication::{Authentication, data_property};
use bytes::Bytes;
use intake::Intake;
use mqttkit_codec::{
    Binary, ClientConnection, Disconnect, Instant, ReasonCode, Session, Str, TextError, Version,
};
use mqttkit_ws_transport::{Runtime, Sleep, rt};
use online::{End, Online, Remains, Turn};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use work::Work;

/// Turns before other tasks get theirs.
const TURNS: usize = 32;
/// The time for the goodbye at the end of a connection.
const GOODBYE: Duration = Duration::from_secs(1);
/// A connector gets so much longer than it was told, so that its own error wins.
const GRACE: Duration = Duration::from_millis(100);
/// A connection that lasted so long was of use, even if nothing came of it.
const STABLE: Duration = Duration::from_secs(5);

/// The future that owns the connection: it connects, sends, receives, reconnects. It ends when the client was
/// disconnected or dropped, or when the connection was lost and shall not be restored.
///
/// [`Options::connect`](crate::Options::connect) spawns it for you; [`Options::build`](crate::Options::build) gives it
/// to you instead. When it is dropped before its end, the connection is cut, tickets say
/// [`Closed`](crate::PublishError::Closed) and the streams end.
pub struct Driver<R: Runtime, C: Connector> {
    runtime: R,
    connector: C,
    settings: Settings,
    work: Work,
    intake: Intake,
    /// What the last connection left for the next.
    session: Session,
    state: State<C::Link>,
    /// The version that was asked for.
    preferred: Version,
    /// Rounds of attempts that failed since the last connection that was of use; a round is one attempt for each server.
    attempt: u32,
    /// Attempts that failed in this round.
    tried: u32,
    /// Redirections followed since the last connection that was of use.
    redirects: u32,
    /// The application wants another connection now.
    reconnect: bool,
    /// All attempts.
    attempts: u32,
    /// What made the next attempt necessary.
    last_failure: Option<Failure>,
    stopping: Option<Stopping>,
    /// A failed first attempt ends the client.
    fail_fast: bool,
    first_error: Option<ConnectError>,
    timer: Option<R::Sleep>,
    /// What the timer is set to.
    armed: Option<Instant>,
    /// When a handle wants to be woken, or a queued message expires.
    wake_at: Option<Instant>,
}

enum State<L> {
    Start,
    Opening { link: Opening<L>, begun: Instant },
    Online(Box<Online<L>>),
    Closing { goodbye: Pin<Box<dyn Future<Output = ()> + Send>>, retry_at: Option<Instant> },
    Waiting { until: Instant },
    Done,
}

type Opening<L> = Pin<Box<dyn Future<Output = Result<(Opened<L>, Option<Begun>), ConnectError>> + Send>>;

/// An enhanced authentication, and what CONNECT says for it.
type Begun = (Bytes, Running);

/// The client is to end.
struct Stopping {
    disconnect: Disconnect,
    deadline: Instant,
    done: Vec<Resolver<Leftover>>,
}

/// What to do after a step.
enum Step {
    /// There may be more to do at once.
    Again,
    /// The same, after other tasks.
    Later,
    /// Nothing to do before a waker calls.
    Wait,
    Done,
}

impl<R: Runtime, C: Connector> Driver<R, C> {
    /// With what the store holds, if there is one.
    pub(crate) fn new(
        runtime: R,
        connector: C,
        settings: Settings,
        shared: Arc<Shared>,
        snapshot: Option<Snapshot>,
    ) -> Result<Self, StoreError> {
        let mut work = Work::new(Arc::clone(&shared), settings.resubscribe);
        let session = match snapshot {
            Some(snapshot) => work.restore(snapshot)?,
            None => Session::new(),
        };
        Ok(Self {
            intake: Intake::new(shared, settings.receive_buffer),
            work,
            preferred: settings.connect.version,
            runtime,
            connector,
            settings,
            session,
            state: State::Start,
            attempt: 0,
            tried: 0,
            redirects: 0,
            reconnect: false,
            attempts: 0,
            last_failure: None,
            stopping: None,
            fail_fast: false,
            first_error: None,
            timer: None,
            armed: None,
            wake_at: None,
        })
    }

    /// Connects: drives until the server has accepted the first connection. Then go on by awaiting the driver itself.
    ///
    /// Cancel-safe: a dropped future leaves the driver where it is.
    ///
    /// # Errors
    /// Why the first attempt failed. The client has ended then.
    pub async fn connect(&mut self) -> Result<(), ConnectError> {
        self.fail_fast = true;
        poll_fn(|cx| {
            let ended = self.run(cx).is_ready();
            if let Some(error) = self.first_error.take() {
                return Poll::Ready(Err(error));
            }
            if self.work.connections() > 0 {
                return Poll::Ready(Ok(()));
            }
            if ended { Poll::Ready(Err(ConnectError::Closed)) } else { Poll::Pending }
        })
        .await
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.step(cx) {
                Step::Again => {}
                Step::Later => break,
                Step::Wait => return Poll::Pending,
                Step::Done => return Poll::Ready(()),
            }
        }
        self.runtime.wake_later(cx);
        Poll::Pending
    }

    fn now(&self) -> Instant {
        Instant::new(self.runtime.now())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let now = self.now();
        let budget = match &mut self.state {
            State::Online(online) => online.budget(&self.work),
            _ => Budget::default(),
        };
        let control = self.work.take(cx, now, budget);
        let next_alarm = self.work.shared.alarms.fire(now);
        self.wake_at = next_alarm.into_iter().chain(control.next_expiry).min();
        self.note(now, control);
        self.authenticate_again(now);
        if let Some(error) = self.work.notes.failure()
            && !self.work.is_ended()
        {
            // Without another byte: what it would tell the server might not be so.
            self.tell(&Event::StoreFailed(error.clone()));
            self.work.fail(&error);
            return self.finish();
        }
        match &mut self.state {
            State::Start => self.open(now),
            State::Opening { link, begun } => {
                let deadline = *begun + self.settings.connect_timeout + GRACE;
                match link.as_mut().poll(cx) {
                    Poll::Ready(Ok((opened, authentication))) => {
                        let begun = *begun;
                        self.greet(now, begun, opened, authentication)
                    }
                    Poll::Ready(Err(error)) => self.attempt_failed(now, error),
                    Poll::Pending if now >= deadline => {
                        let after = self.settings.connect_timeout;
                        self.attempt_failed(now, ConnectError::NoAnswer { after })
                    }
                    Poll::Pending => self.wait_offline(cx, now, deadline),
                }
            }
            State::Online(_) => self.online(cx, now),
            State::Closing { goodbye, retry_at } => match (goodbye.as_mut().poll(cx), *retry_at) {
                (Poll::Pending, _) => self.poll_timer(cx, None),
                (Poll::Ready(()), None) => self.finish(),
                (Poll::Ready(()), Some(until)) => {
                    self.state = State::Waiting { until };
                    Step::Again
                }
            },
            State::Waiting { until } if now >= *until => {
                self.state = State::Start;
                Step::Again
            }
            State::Waiting { until } => {
                let until = *until;
                self.wait_offline(cx, now, until)
            }
            State::Done => Step::Done,
        }
    }

    // ---- connecting

    fn open(&mut self, now: Instant) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        self.work.shared.counters.attempts.add(1);
        self.tell(&Event::Connecting { number: self.attempts });
        let timeout = self.settings.connect_timeout;
        let link = self.connector.attempt(self.attempts, self.last_failure.take(), timeout);
        let running = self.settings.authentication.as_ref().map(|method| method.begin(Occasion::Connect));
        let opening = Box::pin(async move {
            let opened = link.await?;
            let Some(running) = running else { return Ok((opened, None)) };
            let begun = running.first().await.map_err(ConnectError::Authentication)?;
            Ok((opened, Some(begun)))
        });
        self.state = State::Opening { link: opening, begun: now };
        Step::Again
    }

    /// The transport is open: sends CONNECT.
    fn greet(
        &mut self,
        now: Instant,
        begun: Instant,
        opened: Opened<C::Link>,
        authentication: Option<Begun>,
    ) -> Step {
        let Opened { link, credentials } = opened;
        let mut connect = self.settings.connect.clone();
        // A server of MQTT 3 cannot say how much it takes.
        let most = if connect.version.has_properties() { 1000 } else { 20 };
        self.work.set_max_in_flight(self.settings.max_in_flight.unwrap_or(most));
        if let Some(Credentials { user_name, password }) = credentials {
            let user_name = user_name.map(Str::try_from).transpose();
            let password = password.map(Binary::try_from).transpose();
            match (user_name, password) {
                (Ok(user_name), Ok(password)) => {
                    (connect.user_name, connect.password) = (user_name, password);
                }
                (Err(error), _) => return self.unusable(now, "user name", error),
                (_, Err(error)) => return self.unusable(now, "password", error),
            }
        }
        connect.client_id = self.work.shared.status().client_id.clone();
        // In MQTT 5.0 a clean start is the first one's only; in MQTT 3 the flag also ends the session with the
        // connection, so it must stay, or the server would keep a session that nobody wanted.
        if connect.version == Version::V5 && self.work.connections() > 0 {
            connect.clean_start = false;
        }
        let clean_start = connect.clean_start;
        let deadline = begun + self.settings.connect_timeout;
        let authentication = match (authentication, self.settings.authentication.clone()) {
            (Some((data, running)), Some(method)) => {
                match data_property(data) {
                    Ok(Some(data)) => {
                        connect.properties = connect.properties.with_authentication_data(&data);
                    }
                    Ok(None) => {}
                    Err(error) => return self.attempt_failed(now, ConnectError::Authentication(error)),
                }
                Some(Authentication::new(method, running, deadline, self.settings.connect_timeout))
            }
            _ => None,
        };
        let mut config = self.settings.codec.clone();
        config.connect_timeout = deadline - now;
        let session = std::mem::take(&mut self.session);
        let written = self.work.shared.counters.bytes_sent();
        match ClientConnection::new(config, connect, session, now) {
            Ok(connection) => {
                let online = Online::new(link, connection, clean_start, written, authentication);
                self.state = State::Online(Box::new(online));
                Step::Again
            }
            Err(error) => self.attempt_failed(now, OptionsError::Connect(error).into()),
        }
    }

    fn unusable(&mut self, now: Instant, option: &'static str, error: TextError) -> Step {
        self.attempt_failed(now, OptionsError::Text { option, error }.into())
    }

    fn attempt_failed(&mut self, now: Instant, error: ConnectError) -> Step {
        let retry_at = self.after_failure(now, error);
        self.leave(retry_at)
    }

    fn leave(&mut self, retry_at: Option<Instant>) -> Step {
        match retry_at {
            Some(until) => {
                self.state = State::Waiting { until };
                Step::Again
            }
            None => self.finish(),
        }
    }

    // ---- connected

    /// Somebody asks for another authentication.
    fn authenticate_again(&mut self, now: Instant) {
        let askers = self.work.shared.again.take();
        if askers.is_empty() {
            return;
        }
        let refusal = match &mut self.state {
            State::Online(online) if online.is_established() => match online.authentication() {
                Some(authentication) => return authentication.again(now, askers),
                None => AuthenticationError::NotSet,
            },
            _ if self.settings.authentication.is_none() => AuthenticationError::NotSet,
            _ => AuthenticationError::NotConnected,
        };
        for asker in askers {
            asker.resolve(Err(refusal.clone()));
        }
    }

    fn online(&mut self, cx: &mut Context<'_>, now: Instant) -> Step {
        let State::Online(online) = &mut self.state else { return Step::Again };
        if let Some(stopping) = &self.stopping {
            let idle = self.work.is_idle() && online.is_flushed();
            if idle || now >= stopping.deadline {
                if !online.is_established() {
                    return self.finish();
                }
                online.disconnect(now, &stopping.disconnect);
            }
        }
        match online.turn(cx, now, &mut self.work, &mut self.intake) {
            Turn::Progress => Step::Again,
            Turn::Plenty => Step::Later,
            Turn::Idle => {
                let stop_at = self.stopping.as_ref().map(|stopping| stopping.deadline);
                let deadline = online.poll_timeout().into_iter().chain(stop_at).min();
                self.poll_timer(cx, deadline)
            }
            Turn::Ended(end) => self.connection_ended(now, end),
        }
    }

    fn connection_ended(&mut self, now: Instant, end: End) -> Step {
        let State::Online(online) = std::mem::replace(&mut self.state, State::Done) else {
            return Step::Again;
        };
        let remains = online.finish(&mut self.work);
        self.session = remains.session;
        self.work.shared.status().connected = false;
        let lasted = remains.established.map(|since| now - since);
        if lasted.is_some_and(|lasted| remains.useful || lasted >= STABLE) {
            (self.attempt, self.redirects) = (0, 0);
        }
        let after = self.settings.connect_timeout;
        let retry_at = match (end, lasted) {
            (End::Refused(connack), _) => {
                let text = connack.properties.reason_string().map(|text| text.as_str().to_owned());
                self.after_failure(now, ConnectError::Refused { connack, text })
            }
            (End::NoAnswer, _) => self.after_failure(now, ConnectError::NoAnswer { after }),
            (End::Cause(DisconnectCause::Authentication(error)), None) => {
                self.after_failure(now, ConnectError::Authentication(error))
            }
            (End::Cause(cause), None) => self.after_failure(now, ConnectError::Disconnected(cause)),
            (End::Cause(cause), Some(_)) => self.after_end(now, cause),
        };
        match remains.goodbye {
            None => self.leave(retry_at),
            Some(peer) => {
                let runtime = self.runtime.clone();
                let goodbye = Box::pin(async move {
                    let _ = rt::timeout(&runtime, GOODBYE, Remains::say_goodbye(peer)).await;
                });
                self.state = State::Closing { goodbye, retry_at };
                Step::Again
            }
        }
    }

    // ---- the end

    /// Notes what the handles want beside sending.
    fn note(&mut self, now: Instant, control: Control) {
        let Control { stops, acks, gone, reconnect, abandoned, .. } = control;
        if reconnect {
            self.reconnect(now);
        }
        for (token, reason) in acks {
            if let State::Online(online) = &mut self.state {
                online.acknowledge(now, token, reason);
            } else {
                self.session.ack(token, reason);
                self.work.notes.incoming(&self.session);
            }
        }
        if !gone.is_empty() {
            self.work.streams_gone(&gone);
        }
        for Stop { disconnect, timeout, done } in stops {
            self.stop(now + timeout, disconnect).done.push(done);
        }
        if abandoned && self.stopping.is_none() {
            let goodbye = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
            self.stop(now + self.settings.disconnect_timeout, goodbye);
        }
    }

    /// The application wants another connection now.
    fn reconnect(&mut self, now: Instant) {
        (self.attempt, self.tried, self.redirects) = (0, 0, 0);
        match &mut self.state {
            State::Online(online) if online.is_established() => {
                self.reconnect = true;
                online.disconnect(now, &Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
            }
            State::Closing { retry_at: Some(until), .. } | State::Waiting { until } => *until = now,
            _ => {}
        }
    }

    fn stop(&mut self, deadline: Instant, disconnect: Disconnect) -> &mut Stopping {
        let stopping = self.stopping.get_or_insert(Stopping { disconnect, deadline, done: Vec::new() });
        // Whoever is in more of a hurry decides.
        stopping.deadline = stopping.deadline.min(deadline);
        stopping
    }

    /// Waits without a connection, until `deadline` or until the client is to end and need not or must not wait.
    fn wait_offline(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Instant) -> Step {
        let deadline = match &self.stopping {
            Some(stopping) if now >= stopping.deadline || self.work.is_idle_offline() => {
                return self.finish();
            }
            Some(stopping) => deadline.min(stopping.deadline),
            None => deadline,
        };
        self.poll_timer(cx, Some(deadline))
    }

    fn finish(&mut self) -> Step {
        if matches!(self.state, State::Done) && self.stopping.is_none() && self.work.is_ended() {
            return Step::Done;
        }
        let unwritten = match std::mem::replace(&mut self.state, State::Done) {
            State::Online(online) => online.unwritten(),
            _ => 0,
        };
        let mut left = self.work.end();
        left.queued += unwritten;
        for done in self.stopping.take().into_iter().flat_map(|stopping| stopping.done) {
            done.resolve(left);
        }
        Step::Done
    }

    // ---- helpers

    fn tell(&self, event: &Event) {
        self.work.shared.tell(event);
    }

    /// Sets the one timer. It may fire earlier than asked: to move it for every packet would cost more than to look
    /// at the deadlines once more.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Step {
        let Some(deadline) = deadline.into_iter().chain(self.wake_at).min() else { return Step::Wait };
        if self.armed.is_none_or(|armed| deadline < armed) {
            let at = deadline.since_origin();
            match &mut self.timer {
                Some(timer) => timer.reset(at),
                none => *none = Some(self.runtime.sleep_until(at)),
            }
            self.armed = Some(deadline);
        }
        match self.timer.as_mut().map(|timer| Pin::new(timer).poll(cx)) {
            Some(Poll::Ready(())) => {
                self.armed = None;
                Step::Again
            }
            _ => Step::Wait,
        }
    }
}

impl<R: Runtime, C: Connector> Future for Driver<R, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.run(cx)
    }
}

// Nothing in it is pinned: futures are boxed, links and timers are `Unpin` by their traits.
impl<R: Runtime, C: Connector> Unpin for Driver<R, C> {}

impl<R: Runtime, C: Connector> Drop for Driver<R, C> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<R: Runtime, C: Connector> fmt::Debug for Driver<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Start | State::Opening { .. } => "connecting",
            State::Online(_) => "online",
            State::Closing { .. } => "closing",
            State::Waiting { .. } => "waiting",
            State::Done => "done",
        };
        f.debug_struct("Driver")
            .field("state", &state)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
