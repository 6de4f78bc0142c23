//! `Connector`: how the driver gets a link, so that a transport of your own can take the place of the network.

use crate::error::ConnectError;
use mqttkit_ws_transport::{ClientLink, ConnectOptions, Endpoint, Link, Runtime, connect};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Opens the transport for each attempt to connect.
///
/// [`NetConnector`] is what [`Options::connect`](crate::Options::connect) uses. Implement it for a Unix socket, a
/// tunnel or memory, or around `NetConnector` to find out a fresh URL or token before each attempt. See
/// [`Options::connect_with`](crate::Options::connect_with).
pub trait Connector: Send + 'static {
    /// What it opens.
    type Link: Link + 'static;

    /// Opens a link, in the time given at most: the driver drops the future then.
    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static;
}

/// Connects over the network: TCP, TLS, WebSocket, or WebSocket over TLS, as the URL says.
#[derive(Debug, Clone)]
pub struct NetConnector<R> {
    runtime: R,
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// With which headers and TLS configuration. Its timeout is replaced by the client's.
    pub options: ConnectOptions,
}

impl<R: Runtime> NetConnector<R> {
    /// To `endpoint`.
    pub fn new(runtime: R, endpoint: Endpoint, options: ConnectOptions) -> Self {
        Self { runtime, endpoint: Arc::new(endpoint), options }
    }
}

impl<R: Runtime> Connector for NetConnector<R> {
    type Link = ClientLink<R>;

    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let Self { runtime, endpoint, options } = self.clone();
        let options = options.timeout(timeout);
        async move { Ok(connect(&runtime, &endpoint, &options).await?) }
    }
}
