//! The recipe: an asynchronous function that is asked before every attempt where to connect to, and how.
//!
//! For whatever does not stay the same: signed URLs, tokens that expire, certificates that are renewed, several brokers
//! in turn.

use super::{Clock, ConnectError, ConnectOptions, Phase, open};
use crate::net::ClientLink;
use crate::rt::Runtime;
use crate::url::{Endpoint, UrlError};
use http::header::{HeaderName, HeaderValue};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Any error of the program's own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one attempt connects to, and how. User name and password are those of the endpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Target {
    /// Where to.
    pub endpoint: Endpoint,
    /// With which headers, sub-protocols, TLS identity, proxy. The timeout in it does not count: there is one for the
    /// recipe and the connection together.
    pub options: ConnectOptions,
}

impl Target {
    /// The endpoint with these options.
    pub fn new(endpoint: Endpoint, options: ConnectOptions) -> Self {
        Self { endpoint, options }
    }

    /// Another URL. When it names no user, user name and password stay.
    ///
    /// # Errors
    /// [`UrlError`] for what is no MQTT URL.
    pub fn url(self, url: &str) -> Result<Self, UrlError> {
        let endpoint: Endpoint = url.parse()?;
        let endpoint = if endpoint.username().is_none() && endpoint.password().is_none() {
            endpoint.credentials_of(&self.endpoint)
        } else {
            endpoint
        };
        Ok(Self { endpoint, ..self })
    }

    /// With a user name and password for CONNECT.
    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.endpoint = self.endpoint.with_credentials(username, password);
        self
    }

    /// With a header in addition for the WebSocket upgrade.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.options = self.options.header(name, value);
        self
    }

    /// With this TLS configuration, and so this client certificate.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.options = self.options.tls(config);
        self
    }
}

/// Does what `recipe` comes to say, all within `timeout`: finding out, and connecting. Returns what was said besides, for
/// the credentials.
///
/// Dropping the future gives everything up that was begun.
///
/// # Errors
/// [`ConnectError::Recipe`] with the error of the recipe; otherwise as [`connect`](crate::connect()).
pub async fn connect_by<R: Runtime>(
    runtime: &R,
    timeout: Duration,
    recipe: impl Future<Output = Result<Target, BoxError>>,
) -> Result<(ClientLink<R>, Target), ConnectError> {
    let clock = Clock::new(runtime, timeout);
    let recipe = async { recipe.await.map_err(ConnectError::Recipe) };
    let target = clock.run(Phase::Recipe, recipe).await?;
    let link = open(&clock, &target.endpoint, &target.options).await?;
    Ok((link, target))
}

/// What a recipe of a [`Dialer`] is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts the attempts of the dialer, from 1.
    pub number: u32,
    /// Why the attempt before this one failed, if there was one and it did.
    pub last_error: Option<Arc<ConnectError>>,
    /// What would be done without the recipe, to be changed and returned.
    pub target: Target,
}

type Recipe = dyn Fn(Attempt) -> Pin<Box<dyn Future<Output = Result<Target, BoxError>> + Send>> + Send + Sync;

/// Connects again and again, by a recipe.
///
/// ```
/// use mqttkit_ws_transport::http::{HeaderValue, header::AUTHORIZATION};
/// use mqttkit_ws_transport::{ConnectOptions, Dialer, TokioRuntime};
///
/// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = "wss://broker.example/mqtt".parse()?;
/// let mut dialer = Dialer::new(TokioRuntime::new(), endpoint, ConnectOptions::new()).recipe(|attempt| async move {
///     let value = HeaderValue::try_from(format!("Bearer {}", fresh_token().await?))?;
///     Ok(attempt.target.header(AUTHORIZATION, value))
/// });
/// let (link, _target) = dialer.connect().await?;
/// # drop(link);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dialer<R> {
    runtime: R,
    target: Target,
    recipe: Option<Arc<Recipe>>,
    attempts: u32,
    last_error: Option<Arc<ConnectError>>,
}

impl<R: Runtime> Dialer<R> {
    /// To `endpoint`, each time the same way until a recipe says otherwise. The timeout of `options` counts for each
    /// attempt, with what the recipe takes.
    pub fn new(runtime: R, endpoint: Endpoint, options: ConnectOptions) -> Self {
        let target = Target::new(endpoint, options);
        Self { runtime, target, recipe: None, attempts: 0, last_error: None }
    }

    /// Asks `recipe` before every attempt.
    #[must_use]
    pub fn recipe<F, Fut>(mut self, recipe: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Target, BoxError>> + Send + 'static,
    {
        self.recipe = Some(Arc::new(move |attempt| Box::pin(recipe(attempt))));
        self
    }

    /// One attempt.
    ///
    /// # Errors
    /// As [`connect_by`]; the next recipe is told too.
    pub async fn connect(&mut self) -> Result<(ClientLink<R>, Target), Arc<ConnectError>> {
        self.attempts = self.attempts.saturating_add(1);
        let last_error = self.last_error.take();
        let timeout = self.target.options.timeout;
        let target = self.target.clone();
        let attempt = Attempt { number: self.attempts, last_error, target };
        let target = async {
            match &self.recipe {
                Some(recipe) => recipe(attempt).await,
                None => Ok(attempt.target),
            }
        };
        connect_by(&self.runtime, timeout, target).await.map_err(|error| {
            let error = Arc::new(error);
            self.last_error = Some(Arc::clone(&error));
            error
        })
    }
}

impl<R: fmt::Debug> fmt::Debug for Dialer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("target", &self.target)
            .field("recipe", &self.recipe.is_some())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
