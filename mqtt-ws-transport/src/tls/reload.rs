//! A server configuration that can be replaced while it is in use.
//!
//! The whole configuration is replaced and not the certificate alone: a new list of revoked clients must count too,
//! and with the old configuration goes its memory of sessions, so that a client that is no longer welcome cannot come
//! back by resuming one.

use super::{ALPN_HTTP, ServerTls, TlsConfigError};
use rustls::ServerConfig;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A server configuration that is replaced without dropping a connection: those that exist live on with what they
/// began with, each new one gets the present configuration.
///
/// Clones are handles to the same configuration.
///
/// ```no_run
/// use mqttkit_ws_transport::AcceptOptions;
/// use mqttkit_ws_transport::tls::{ReloadableTls, ServerTls};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = ReloadableTls::new(ServerTls::from_files("fullchain.pem", "privkey.pem"))?;
/// let options = AcceptOptions::new().tls(&tls);
///
/// // Twice a day, as certificates of 90 days are renewed.
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(Duration::from_secs(12 * 60 * 60)).await;
///         if let Err(error) = tls.reload() {
///             eprintln!("the old certificate stays: {error}");
///         }
///     }
/// });
/// # drop(options);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReloadableTls(Arc<Shared>);

struct Shared {
    /// Held while a configuration is built, so that the last one asked for is the one that stays.
    source: Mutex<ServerTls>,
    /// Held to copy a pointer only: a handshake never waits for a file.
    current: RwLock<Configs>,
}

/// The same configuration for each kind of listener.
#[derive(Clone)]
struct Configs {
    given: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    any: Arc<ServerConfig>,
}

/// What is announced (ALPN) where the configuration announces nothing: what the listener speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Announce {
    Nothing,
    Http,
    /// HTTP and MQTT on one port.
    Any,
}

impl ReloadableTls {
    /// Builds the first configuration; reads files, blocking.
    ///
    /// # Errors
    /// Those of [`ServerTls::build`].
    pub fn new(source: ServerTls) -> Result<Self, TlsConfigError> {
        let current = RwLock::new(Configs::new(Arc::new(source.build()?)));
        Ok(Self(Arc::new(Shared { source: Mutex::new(source), current })))
    }

    /// Reads the files again, all of them: certificates, keys, CA and revocation lists. Blocking, for as long as
    /// reading small files takes; handshakes go on meanwhile.
    ///
    /// # Errors
    /// Those of [`ServerTls::build`]; the old configuration stays in use then. A certificate and a key that do not
    /// belong together may just be in the middle of being replaced: try again in a moment.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_config(source.build()?);
        Ok(())
    }

    /// Uses another source from now on.
    ///
    /// # Errors
    /// Those of [`ServerTls::build`]; the old source and configuration stay in use then.
    pub fn replace(&self, source: ServerTls) -> Result<(), TlsConfigError> {
        let mut kept = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
        self.use_config(source.build()?);
        *kept = source;
        Ok(())
    }

    fn use_config(&self, config: ServerConfig) {
        let configs = Configs::new(Arc::new(config));
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = configs;
    }

    /// The present configuration, for servers of another kind.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.configs().given
    }

    fn configs(&self) -> Configs {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ReloadableTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadableTls").field("source", &self.0.source).finish_non_exhaustive()
    }
}

impl Configs {
    fn new(given: Arc<ServerConfig>) -> Self {
        let announcing = |protocols: &[&[u8]]| {
            let mut config = Arc::clone(&given);
            if config.alpn_protocols.is_empty() {
                Arc::make_mut(&mut config).alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
            }
            config
        };
        Self { http: announcing(&[ALPN_HTTP]), any: announcing(&[ALPN_HTTP, b"mqtt"]), given }
    }
}

/// Where an [`Acceptor`](crate::Acceptor) gets its TLS configuration from: a finished one or a [`ReloadableTls`].
#[derive(Clone)]
pub struct ServerTlsSource(Inner);

#[derive(Clone)]
enum Inner {
    Fixed(Configs),
    Reloadable(ReloadableTls),
}

impl ServerTlsSource {
    pub(crate) fn announcing(&self, announce: Announce) -> PresentTls {
        PresentTls { source: self.clone(), announce }
    }
}

/// The source as one listener uses it.
#[derive(Debug, Clone)]
pub(crate) struct PresentTls {
    source: ServerTlsSource,
    announce: Announce,
}

impl PresentTls {
    /// The configuration for the next connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let configs = match &self.source.0 {
            Inner::Fixed(configs) => configs.clone(),
            Inner::Reloadable(reloadable) => reloadable.configs(),
        };
        match self.announce {
            Announce::Nothing => configs.given,
            Announce::Http => configs.http,
            Announce::Any => configs.any,
        }
    }
}

impl fmt::Debug for ServerTlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Fixed(_) => "ServerTlsSource::Fixed",
            Inner::Reloadable(_) => "ServerTlsSource::Reloadable",
        })
    }
}

impl From<Arc<ServerConfig>> for ServerTlsSource {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(Inner::Fixed(Configs::new(config)))
    }
}

impl From<ServerConfig> for ServerTlsSource {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl From<ReloadableTls> for ServerTlsSource {
    fn from(reloadable: ReloadableTls) -> Self {
        Self(Inner::Reloadable(reloadable))
    }
}

impl From<&ReloadableTls> for ServerTlsSource {
    fn from(reloadable: &ReloadableTls) -> Self {
        reloadable.clone().into()
    }
}
