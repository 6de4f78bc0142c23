//! smol as a [`Runtime`], with its global executor or one of your own.

use super::async_io::{self, AsyncIo, AsyncIoListener, AsyncIoSleep};
use super::{ListenOptions, Runtime};
use smol::Executor;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The handle. Its methods may be called anywhere: smol's reactor has a thread of its own.
#[derive(Debug, Clone)]
pub struct SmolRuntime {
    origin: Instant,
    /// `None` is the global one.
    executor: Option<Arc<Executor<'static>>>,
}

impl SmolRuntime {
    /// Tasks run as with [`smol::spawn`]: on one thread, or as many as the environment variable `SMOL_THREADS` says.
    pub fn new() -> Self {
        Self { origin: Instant::now(), executor: None }
    }

    /// Tasks run on `executor`, which somebody has to run; they are dropped with it.
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self { origin: Instant::now(), executor: Some(executor) }
    }
}

impl Default for SmolRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for SmolRuntime {
    type Stream = AsyncIo<TcpStream>;
    type Listener = AsyncIoListener;
    type Sleep = AsyncIoSleep;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        match &self.executor {
            Some(executor) => executor.spawn(future).detach(),
            None => smol::spawn(future).detach(),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> AsyncIoSleep {
        AsyncIoSleep::new(self.origin, deadline)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        smol::unblock(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        async_io::connect(address).await
    }

    async fn listen(&self, address: SocketAddr, options: &ListenOptions) -> io::Result<AsyncIoListener> {
        async_io::listen(address, options)
    }
}

#[cfg(unix)]
impl super::UnixSockets for SmolRuntime {
    type UnixStream = AsyncIo<std::os::unix::net::UnixStream>;

    async fn connect_unix(&self, path: &std::path::Path) -> io::Result<Self::UnixStream> {
        async_io::connect_unix(path).await
    }
}
