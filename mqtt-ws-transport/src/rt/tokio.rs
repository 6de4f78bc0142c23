//! tokio as a [`Runtime`], current-thread and multi-thread.

use super::{ListenOptions, Listener, Runtime, Sleep};
use crate::io::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::unconstrained;
use tokio::time::Instant;

/// A TCP socket of tokio.
pub type Stream = TokioIo<TcpStream>;

/// The handle. Its methods must be called from within a tokio runtime with IO and time enabled.
#[derive(Debug, Clone, Copy)]
pub struct TokioRuntime {
    /// tokio's own clock, so that a paused test clock is obeyed.
    origin: Instant,
}

impl TokioRuntime {
    /// A handle whose clock starts now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for TokioRuntime {
    type Stream = Stream;
    type Listener = TokioListener;
    type Sleep = TokioSleep;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        tokio::spawn(future);
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }

    fn sleep_until(&self, deadline: Duration) -> TokioSleep {
        let origin = self.origin;
        TokioSleep { origin, sleep: Box::pin(tokio::time::sleep_until(instant(origin, deadline))) }
    }

    fn wake_later(&self, cx: &mut Context<'_>) {
        // A task that wakes itself is polled dozens of times before the future that `block_on` runs. This one's waker is
        // with the scheduler as soon as it was polled.
        if pin!(tokio::task::yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    async fn listen(&self, address: SocketAddr, options: &ListenOptions) -> io::Result<TokioListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // On Windows the option means something else: it would let another program take the port over.
        if options.reuse_address && !cfg!(windows) {
            socket.set_reuseaddr(true)?;
        }
        socket.bind(address)?;
        Ok(TokioListener { listener: socket.listen(options.backlog)?, nodelay: options.nodelay })
    }
}

#[cfg(unix)]
impl super::UnixSockets for TokioRuntime {
    type UnixStream = TokioIo<tokio::net::UnixStream>;

    async fn connect_unix(&self, path: &std::path::Path) -> io::Result<Self::UnixStream> {
        Ok(TokioIo::new(tokio::net::UnixStream::connect(path).await?))
    }
}

/// A timer of tokio.
#[derive(Debug)]
pub struct TokioSleep {
    origin: Instant,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Future for TokioSleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A deadline is heard also by a task whose socket has used up its turn, or a peer that never pauses would
        // never be timed out.
        pin!(unconstrained(self.sleep.as_mut())).poll(cx)
    }
}

impl Sleep for TokioSleep {
    fn reset(&mut self, deadline: Duration) {
        self.sleep.as_mut().reset(instant(self.origin, deadline));
    }
}

/// A listening socket of tokio.
#[derive(Debug)]
pub struct TokioListener {
    listener: TcpListener,
    nodelay: bool,
}

impl TokioListener {
    /// Takes over a socket that was opened elsewhere, for example by a service manager.
    pub fn from_tokio(listener: TcpListener) -> Self {
        Self { listener, nodelay: true }
    }
}

impl Listener for TokioListener {
    type Stream = Stream;

    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, address) = self.listener.accept().await?;
        // Fails only for a connection that is gone already; its first read will say so.
        stream.set_nodelay(self.nodelay).ok();
        Ok((TokioIo::new(stream), address))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A far deadline saturates instead of overflowing: thirty years are for ever.
fn instant(origin: Instant, deadline: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    origin + deadline.min(FOR_EVER)
}
