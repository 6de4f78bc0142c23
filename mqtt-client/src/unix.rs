//! `UnixConnector`: connects to a Unix socket, of a server on the same machine.

use crate::connector::Connector;
use crate::error::ConnectError;
use mqttkit_ws_transport::{ConnectOptions, Endpoint, NetLink, UnixSockets, connect_over};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// Connects to a Unix socket, and speaks there what the URL says: MQTT, or WebSocket, with or without TLS. Its host is what
/// TLS checks and HTTP names.
///
/// [`Options::connect_unix`](crate::Options::connect_unix) makes one.
#[derive(Debug, Clone)]
pub struct UnixConnector<R> {
    runtime: R,
    path: PathBuf,
    endpoint: Endpoint,
    options: ConnectOptions,
}

impl<R: UnixSockets> UnixConnector<R> {
    /// To the socket at `path`.
    pub fn new(runtime: R, path: impl Into<PathBuf>, endpoint: Endpoint, options: ConnectOptions) -> Self {
        Self { runtime, path: path.into(), endpoint, options }
    }
}

impl<R: UnixSockets> Connector for UnixConnector<R> {
    type Link = NetLink<R::UnixStream>;

    fn connect(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let Self { runtime, path, endpoint, mut options } = self.clone();
        // The socket is there at once or not at all; what follows has steps that can hang.
        options.timeout = timeout;
        async move {
            match runtime.connect_unix(&path).await {
                Ok(stream) => Ok(connect_over(&runtime, stream, &endpoint, &options).await?),
                Err(error) => Err(ConnectError::Unix { path, error }),
            }
        }
    }
}
