//! From `Options` to a client: connecting, in all its ways.

use super::{Invalid, Options, Settings};
use crate::client::{Client, Defaults};
use crate::connector::Connector;
use crate::driver::Driver;
use crate::error::{ConnectError, OptionsError};
use crate::inbox::Inbox;
use crate::messages::Messages;
use crate::net::NetConnector;
use crate::shared::{Clock, Shared};
use crate::store::Desk;
use mqttkit_codec::{ClientConnection, Instant, Session, Str, Version};
use mqttkit_ws_transport::Runtime;
use std::sync::Arc;

/// A client whose driver is not running yet. See [`Options::build`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<R: Runtime, C: Connector> {
    /// The handle.
    pub client: Client,
    /// What arrives.
    pub messages: Messages,
    /// The future to run: [`Driver::connect`] first or not, then the driver itself to its end.
    pub driver: Driver<R, C>,
}

impl Options {
    /// Connects on tokio: returns when the server has accepted the connection. The driver runs in a task of its own.
    ///
    /// From then on the connection is restored as [`reconnect`](Self::reconnect) says.
    ///
    /// Cancel-safe: dropping the future gives everything up.
    ///
    /// # Errors
    /// Why the first attempt failed. Nothing is left running.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub async fn connect(self) -> Result<(Client, Messages), ConnectError> {
        self.connect_on(&mqttkit_ws_transport::TokioRuntime::new()).await
    }

    /// Connects on tokio in the background, and goes on trying as [`reconnect`](Self::reconnect) says, whatever comes
    /// of the first attempt. Messages can be published at once; [`Client::events`] tells how it goes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn connect_in_background(self) -> Result<(Client, Messages), OptionsError> {
        self.connect_in_background_on(&mqttkit_ws_transport::TokioRuntime::new())
    }

    /// [`connect`](Self::connect) on any runtime.
    pub async fn connect_on<R: Runtime>(self, runtime: &R) -> Result<(Client, Messages), ConnectError> {
        let Parts { client, messages, mut driver } = self.build(runtime)?;
        driver.connect().await?;
        runtime.spawn(driver);
        Ok((client, messages))
    }

    /// [`connect_in_background`](Self::connect_in_background) on any runtime.
    pub fn connect_in_background_on<R: Runtime>(
        self,
        runtime: &R,
    ) -> Result<(Client, Messages), OptionsError> {
        let Parts { client, messages, driver } = self.build(runtime)?;
        runtime.spawn(driver);
        Ok((client, messages))
    }

    /// [`connect`](Self::connect) to a Unix socket, in which the URL says what is spoken: `mqtt://localhost` for MQTT,
    /// `ws://localhost/mqtt` for WebSocket. Servers, proxies and the recipe are not used then.
    #[cfg(all(unix, feature = "tokio"))]
    pub async fn connect_unix(
        self,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<(Client, Messages), ConnectError> {
        self.connect_unix_on(&mqttkit_ws_transport::TokioRuntime::new(), path).await
    }

    /// [`connect_unix`](Self::connect_unix) on any runtime that has such sockets.
    #[cfg(unix)]
    pub async fn connect_unix_on<R: mqttkit_ws_transport::UnixSockets>(
        self,
        runtime: &R,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<(Client, Messages), ConnectError> {
        let endpoint = self.url.clone().map_err(OptionsError::from)?;
        let connector = crate::UnixConnector::new(runtime.clone(), path, endpoint, self.transport.clone());
        let Parts { client, messages, mut driver } = self.connect_with(runtime, connector)?;
        driver.connect().await?;
        runtime.spawn(driver);
        Ok((client, messages))
    }

    /// The client and its driver, which you run yourself: nothing happens but when it is polled.
    pub fn build<R: Runtime>(self, runtime: &R) -> Result<Parts<R, NetConnector<R>>, OptionsError> {
        let connector = NetConnector::new(runtime.clone(), self.url.clone()?, self.transport.clone())
            .or_else(self.servers.clone())
            .with_recipe(self.recipe.clone());
        self.connect_with(runtime, connector)
    }

    /// Like [`build`](Self::build), over a transport of your own. The URL, the recipe and the options of
    /// the transport are not used then.
    pub fn connect_with<R: Runtime, C: Connector>(
        mut self,
        runtime: &R,
        connector: C,
    ) -> Result<Parts<R, C>, OptionsError> {
        match self.invalid {
            Some(Invalid::Text(option, error)) => return Err(OptionsError::Text { option, error }),
            Some(Invalid::WillTopic(error)) => return Err(OptionsError::WillTopic(error)),
            Some(Invalid::Server(error)) => return Err(OptionsError::Url(error)),
            None => {}
        }
        if let Some(method) = &self.authentication {
            if self.connect.version != Version::V5 {
                return Err(OptionsError::AuthenticationVersion);
            }
            let method = Str::try_from(method.name());
            let method =
                method.map_err(|error| OptionsError::Text { option: "authentication method", error })?;
            self.connect.properties = self.connect.properties.with_authentication_method(&method);
        }
        // Finds what cannot be encoded now, and not at the first attempt.
        ClientConnection::new(self.codec.clone(), self.connect.clone(), Session::new(), Instant::ZERO)
            .map_err(OptionsError::Connect)?;
        let clock = {
            let runtime = runtime.clone();
            Clock::new(move || Instant::new(runtime.now()))
        };
        let client_id = self.connect.client_id.clone();
        let inbox = Inbox::new(self.receive_buffer, self.slow_reader, self.manual_acknowledgement, None);
        let session_expiry = self.connect.properties.session_expiry_interval().unwrap_or(0);
        let (desk, snapshot) = match self.store {
            None => (None, None),
            Some(_) if !self.has_client_id => return Err(OptionsError::StoreNeeds("a client_id")),
            Some(_) if self.connect.clean_start => {
                return Err(OptionsError::StoreNeeds("clean_start(false)"));
            }
            Some(_) if self.connect.version.has_properties() && session_expiry == 0 => {
                return Err(OptionsError::StoreNeeds("a session_expiry"));
            }
            Some(store) => {
                let (desk, snapshot) = Desk::open(store, &client_id, Instant::new(runtime.now()))?;
                (Some(Arc::new(desk)), Some(snapshot))
            }
        };
        let shared = Arc::new(Shared::new(clock, self.send_queue, inbox, client_id, desk));
        let defaults = Defaults {
            disconnect_timeout: self.disconnect_timeout,
            delivery: self.delivery,
            // Before MQTT 5.0 a goodbye has no properties, which are not sent then.
            session_expires_later: session_expiry > 0 || !self.connect.version.has_properties(),
            has_properties: self.connect.version.has_properties(),
        };
        let client = Client::new(Arc::clone(&shared), defaults);
        let messages = Messages::new(Arc::clone(&shared));
        let version_fallback = self.version_fallback && self.authentication.is_none();
        let settings = Settings {
            connect: self.connect,
            codec: self.codec,
            authentication: self.authentication,
            connect_timeout: self.connect_timeout,
            reconnect: self.reconnect,
            receive_buffer: self.receive_buffer,
            max_in_flight: self.max_in_flight,
            follow_redirects: self.follow_redirects,
            version_fallback,
            resubscribe: self.resubscribe,
            disconnect_timeout: self.disconnect_timeout,
        };
        let driver = Driver::new(runtime.clone(), connector, settings, shared, snapshot)?;
        Ok(Parts { client, messages, driver })
    }
}
