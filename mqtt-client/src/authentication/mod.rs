//! Enhanced authentication, MQTT 5.0: who proves what to whom, in rounds.
//!
//! ```text
//!   authenticator                       server
//!     Exchange::send(data) ───────────▶ CONNECT, method, data
//!     Reply::Challenge(data) ◀───────── AUTH 0x18, data
//!     Exchange::send(data) ───────────▶ AUTH 0x18, data
//!     Reply::Accepted(data) ◀────────── CONNACK, data
//! ```
//! To authenticate again ([`Client::reauthenticate`](crate::Client::reauthenticate)) it is AUTH 0x19 in place of
//! CONNECT, and AUTH 0x00 in place of CONNACK.

mod error;
#[cfg(feature = "scram")]
mod scram;

pub use error::AuthenticationError;
#[cfg(feature = "scram")]
pub use scram::{ScramError, ScramSha256};

use bytes::Bytes;
use mqttkit_ws_transport::BoxError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A method of enhanced authentication, given to [`Options::authenticator`](crate::Options::authenticator).
///
/// What is known between the rounds lives in the variables of its future:
///
/// ```
/// use mqttkit_client::authentication::{Authenticator, Exchange};
/// use mqttkit_client::transport::BoxError;
///
/// /// Shows a token that is fetched anew for each connection.
/// #[derive(Debug)]
/// struct Token;
///
/// # async fn fetch() -> Result<String, BoxError> { Ok(String::new()) }
/// impl Authenticator for Token {
///     fn method(&self) -> &str {
///         "OAUTHBEARER"
///     }
///
///     async fn authenticate(&self, mut exchange: Exchange) -> Result<(), BoxError> {
///         exchange.send(fetch().await?).await.accepted()?;
///         Ok(())
///     }
/// }
/// ```
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// The name of the method, as the server knows it.
    fn method(&self) -> &str;

    /// Authenticates: once for each connection, before it is made, and again when asked to.
    ///
    /// It returns `Ok` when it is satisfied with the server's last word, or does not care for it; a connection whose
    /// server is accepted before that is not used until then. An error ends the connection. It runs on the driver's
    /// task, within the connect timeout, and is dropped with the connection: work that takes long goes elsewhere.
    fn authenticate(&self, exchange: Exchange) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// What an exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occasion {
    /// A connection is being made.
    Connect,
    /// An established connection is authenticated again.
    Again,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It wants to hear more. Empty if it sent no data.
    Challenge(Bytes),
    /// It is satisfied, and this is its last word. Empty if it sent no data.
    Accepted(Bytes),
}

impl Reply {
    /// The challenge, where the method has one at this point.
    ///
    /// # Errors
    /// [`AuthenticationError::AcceptedEarly`].
    pub fn challenge(self) -> Result<Bytes, AuthenticationError> {
        match self {
            Self::Challenge(data) => Ok(data),
            Self::Accepted(_) => Err(AuthenticationError::AcceptedEarly),
        }
    }

    /// The server's last word, where the method is at its end.
    ///
    /// # Errors
    /// [`AuthenticationError::ChallengedLate`].
    pub fn accepted(self) -> Result<Bytes, AuthenticationError> {
        match self {
            Self::Accepted(data) => Ok(data),
            Self::Challenge(_) => Err(AuthenticationError::ChallengedLate),
        }
    }
}

/// The authenticator's side of one exchange.
#[derive(Debug)]
pub struct Exchange {
    occasion: Occasion,
    rounds: Arc<Rounds>,
}

impl Exchange {
    /// What it is for.
    pub fn occasion(&self) -> Occasion {
        self.occasion
    }

    /// Sends `data`, with CONNECT the first time, and waits for what the server says. Empty data is not sent.
    ///
    /// Not cancel-safe: what the server answers to a dropped call is the answer to the next.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Reply {
        self.rounds.lock().said = Some(data.into());
        poll_fn(|cx| self.rounds.poll_reply(cx)).await
    }
}

/// What authenticator and driver share.
#[derive(Debug, Default)]
struct Rounds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Bytes>,
    reply: Option<Reply>,
    waker: Option<Waker>,
}

impl Rounds {
    fn poll_reply(&self, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut state = self.lock();
        if let Some(reply) = state.reply.take() {
            return Poll::Ready(reply);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Proof = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// An [`Authenticator`] of whatever type, as the options hold it.
#[derive(Clone)]
pub(crate) struct Method {
    name: String,
    begin: Arc<dyn Fn(Exchange) -> Proof + Send + Sync>,
}

impl Method {
    pub(crate) fn new(authenticator: impl Authenticator) -> Self {
        let authenticator = Arc::new(authenticator);
        let name = authenticator.method().to_owned();
        let begin = move |exchange| -> Proof {
            let authenticator = Arc::clone(&authenticator);
            Box::pin(async move { authenticator.authenticate(exchange).await })
        };
        Self { name, begin: Arc::new(begin) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn begin(&self, occasion: Occasion) -> Running {
        let rounds = Arc::new(Rounds::default());
        let proof = (self.begin)(Exchange { occasion, rounds: Arc::clone(&rounds) });
        Running { occasion, rounds, proof: Some(proof), said: 0, accepted: false }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.name).finish()
    }
}

/// The driver's side of one exchange.
///
/// ```text
///   proof runs ──▶ Say ──(server)──▶ hear ──▶ … ──▶ Satisfied, once it is accepted and the proof has ended
/// ```
pub(crate) struct Running {
    occasion: Occasion,
    rounds: Arc<Rounds>,
    /// `None` when it has ended well.
    proof: Option<Proof>,
    /// How often something was said.
    said: u32,
    accepted: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Progress {
    /// This is to be sent.
    Say(Bytes),
    /// Both sides are satisfied.
    Satisfied,
}

impl Running {
    /// Whether what is said next is the first.
    pub(crate) fn is_first(&self) -> bool {
        self.said <= 1
    }

    pub(crate) fn occasion(&self) -> Occasion {
        self.occasion
    }

    /// The server says something.
    pub(crate) fn hear(&mut self, reply: Reply) -> Result<(), AuthenticationError> {
        self.accepted |= matches!(reply, Reply::Accepted(_));
        if self.proof.is_none() {
            return reply.accepted().map(drop);
        }
        let mut state = self.rounds.lock();
        if state.said.is_some() {
            // Nobody has asked it.
            return Err(AuthenticationError::ChallengedLate);
        }
        state.reply = Some(reply);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, AuthenticationError>> {
        if let Some(proof) = &mut self.proof {
            let polled = proof.as_mut().poll(cx);
            if let Some(data) = self.rounds.lock().said.take() {
                self.said += 1;
                return Poll::Ready(Ok(Progress::Say(data)));
            }
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(AuthenticationError::of(error))),
                Poll::Ready(Ok(())) if self.said == 0 => {
                    return Poll::Ready(Err(AuthenticationError::SaidNothing));
                }
                Poll::Ready(Ok(())) => self.proof = None,
            }
        }
        if self.accepted { Poll::Ready(Ok(Progress::Satisfied)) } else { Poll::Pending }
    }

    /// What CONNECT brings.
    pub(crate) async fn first(mut self) -> Result<(Bytes, Self), AuthenticationError> {
        match poll_fn(|cx| self.poll(cx)).await? {
            Progress::Say(data) => Ok((data, self)),
            Progress::Satisfied => Err(AuthenticationError::SaidNothing),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("occasion", &self.occasion)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}
