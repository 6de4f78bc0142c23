//! async-std as a [`Runtime`].
//!
//! async-std is discontinued; its authors send everybody to smol, whose reactor it uses. This is for programs that have
//! not moved yet.

use super::async_io::{self, AsyncIo, AsyncIoListener, AsyncIoSleep};
use super::{ListenOptions, Runtime};
use ::async_std::task;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The handle. Its methods may be called anywhere: async-std's threads start at the first need.
#[derive(Debug, Clone, Copy)]
pub struct AsyncStdRuntime {
    origin: Instant,
}

impl AsyncStdRuntime {
    /// A handle whose clock starts now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for AsyncStdRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for AsyncStdRuntime {
    type Stream = AsyncIo<TcpStream>;
    type Listener = AsyncIoListener;
    type Sleep = AsyncIoSleep;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        // Dropping the handle lets the task go on.
        drop(task::spawn(future));
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> AsyncIoSleep {
        AsyncIoSleep::new(self.origin, deadline)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        task::spawn_blocking(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        async_io::connect(address).await
    }

    async fn listen(&self, address: SocketAddr, options: &ListenOptions) -> io::Result<AsyncIoListener> {
        async_io::listen(address, options)
    }
}

#[cfg(unix)]
impl super::UnixSockets for AsyncStdRuntime {
    type UnixStream = AsyncIo<std::os::unix::net::UnixStream>;

    async fn connect_unix(&self, path: &std::path::Path) -> io::Result<Self::UnixStream> {
        async_io::connect_unix(path).await
    }
}
