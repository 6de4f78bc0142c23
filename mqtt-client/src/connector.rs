//! `Connector`: how the driver gets a link, so that a transport of your own can take the place of the network.

use crate::error::{ConnectError, DisconnectCause};
use bytes::Bytes;
use mqttkit_ws_transport::{
    BoxError, ClientLink, ConnectOptions, Endpoint, Link, Runtime, Target, connect_by,
};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Opens the transport for each attempt to connect.
///
/// [`NetConnector`] is what [`Options::connect`](crate::Options::connect) uses. Implement it for a Unix socket, a
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

type Answer = Pin<Box<dyn Future<Output = Result<Target, BoxError>> + Send>>;

/// A function of the program that says for each attempt where to connect to, and how.
#[derive(Clone)]
pub(crate) struct Recipe(Arc<dyn Fn(Attempt) -> Answer + Send + Sync>);

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

/// Connects over the network: TCP, TLS, WebSocket, or WebSocket over TLS, as the URL says.
#[derive(Debug, Clone)]
pub struct NetConnector<R> {
    runtime: R,
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// With which headers, TLS configuration and proxy. Its timeout is replaced by the client's.
    pub options: ConnectOptions,
    recipe: Option<Recipe>,
}

impl<R: Runtime> NetConnector<R> {
    /// To `endpoint`.
    pub fn new(runtime: R, endpoint: Endpoint, options: ConnectOptions) -> Self {
        Self { runtime, endpoint: Arc::new(endpoint), options, recipe: None }
    }

    pub(crate) fn with_recipe(mut self, recipe: Option<Recipe>) -> Self {
        self.recipe = recipe;
        self
    }

    fn target(&self) -> Target {
        Target::new(Endpoint::clone(&self.endpoint), self.options.clone())
    }
}

impl<R: Runtime> Connector for NetConnector<R> {
    type Link = ClientLink<R>;

    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let opened = self.attempt(1, None, timeout);
        async move { Ok(opened.await?.link) }
    }

    fn attempt(
        &mut self,
        number: u32,
        last_failure: Option<Failure>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Opened<Self::Link>, ConnectError>> + Send + 'static {
        let (runtime, target, recipe) = (self.runtime.clone(), self.target(), self.recipe.clone());
        async move {
            let given = target.endpoint.clone();
            let target = async move {
                match recipe {
                    Some(Recipe(recipe)) => recipe(Attempt { number, last_failure, target }).await,
                    None => Ok(target),
                }
            };
            let (link, target) = connect_by(&runtime, timeout, target).await?;
            let opened = Opened::new(link);
            let said = (target.endpoint.username(), target.endpoint.password());
            // Those of the URL are in the options already, where others may have taken their place.
            if said == (given.username(), given.password()) {
                return Ok(opened);
            }
            Ok(opened.credentials(Credentials {
                user_name: said.0.map(str::to_owned),
                password: said.1.map(|password| Bytes::copy_from_slice(password.as_bytes())),
            }))
        }
    }

    fn adapts(&self) -> bool {
        self.recipe.is_some()
    }
}
