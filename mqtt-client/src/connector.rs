//! `Connector`: how the driver gets a link, so that a transport of your own can take the place of the network.

use crate::error::{ConnectError, DisconnectCause};
use bytes::Bytes;
use mqttkit_codec::{ReasonCode, Str};
use mqttkit_ws_transport::{BoxError, Link, Target};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Opens the transport for each attempt to connect.
///
/// [`NetConnector`](crate::NetConnector) is what [`Options::connect`](crate::Options::connect) uses. Implement it for a Unix socket, a
/// tunnel or memory. See [`Options::connect_with`](crate::Options::connect_with); for a fresh URL or token before each
/// attempt [`Options::recipe`](crate::Options::recipe) is enough.
pub trait Connector: Send + 'static {
    /// What it opens.
    type Link: Link + 'static;

    /// Opens a link, in the time given at most: the driver drops the future then.
    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static;

    /// What the driver calls: [`connect`](Self::connect), told which attempt it is, and free to bring credentials.
    ///
    /// `number` counts the attempts of the client from 1; `last_failure` is what made this one necessary.
    fn attempt(
        &mut self,
        number: u32,
        last_failure: Option<Failure>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Opened<Self::Link>, ConnectError>> + Send + 'static {
        let _ = (number, last_failure);
        let link = self.connect(timeout);
        async move { Ok(Opened::new(link.await?)) }
    }

    /// Whether the next attempt may go elsewhere or show other credentials. Then a refusal that nothing else would change,
    /// such as a wrong password, is no reason for the longest wait.
    fn adapts(&self) -> bool {
        false
    }

    /// How many servers there are to try in turn before it makes sense to wait.
    fn servers(&self) -> u32 {
        1
    }

    /// The server says to use another one, by this Server Reference; `moved` says that this is for good. Returns whether
    /// the next attempt will go there. Only called with
    /// [`Options::follow_redirects`](crate::Options::follow_redirects).
    fn redirect(&mut self, reference: &str, moved: bool) -> bool {
        let _ = (reference, moved);
        false
    }
}

/// A link that was opened for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened<L> {
    /// The link.
    pub link: L,
    /// What CONNECT says in place of the options' user name and password, if anything.
    pub credentials: Option<Credentials>,
}

/// Who connects.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The user name.
    pub user_name: Option<String>,
    /// The password, or a token. MQTT 3 demands a user name with it.
    pub password: Option<Bytes>,
}

impl<L> Opened<L> {
    /// With the user name and password of the options.
    pub fn new(link: L) -> Self {
        Self { link, credentials: None }
    }

    /// With these, for this connection.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish()
    }
}

/// What made another attempt necessary.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// The attempt before failed.
    Connect(Arc<ConnectError>),
    /// The connection before ended.
    Disconnected(Arc<DisconnectCause>),
}

impl Failure {
    /// The server that shall be used instead, and whether that is for good: in a CONNACK or DISCONNECT with the reason "use
    /// another server" or "server moved", MQTT 5.0.
    pub fn server_reference(&self) -> Option<(Str, bool)> {
        let (reason, reference) = match self {
            Self::Connect(error) => match &**error {
                ConnectError::Refused { connack, .. } => {
                    (connack.reason, connack.properties.server_reference())
                }
                _ => return None,
            },
            Self::Disconnected(cause) => match &**cause {
                DisconnectCause::Server(disconnect) => {
                    (disconnect.reason, disconnect.properties.server_reference())
                }
                _ => return None,
            },
        };
        match reason {
            ReasonCode::UseAnotherServer => Some((reference?, false)),
            ReasonCode::ServerMoved => Some((reference?, true)),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Disconnected(cause) => cause.fmt(f),
        }
    }
}

/// What a recipe is told, see [`Options::recipe`](crate::Options::recipe).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts the attempts of the client, from 1.
    pub number: u32,
    /// What made this attempt necessary; nothing for the first.
    pub last_failure: Option<Failure>,
    /// What would be done without the recipe, to be changed and returned.
    pub target: Target,
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Target, BoxError>> + Send>>;

/// A function of the program that says for each attempt where to connect to, and how.
#[derive(Clone)]
pub(crate) struct Recipe(pub(crate) Arc<dyn Fn(Attempt) -> Answer + Send + Sync>);

impl Recipe {
    pub(crate) fn new<F, Fut>(recipe: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Target, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |attempt| Box::pin(recipe(attempt))))
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipe")
    }
}
