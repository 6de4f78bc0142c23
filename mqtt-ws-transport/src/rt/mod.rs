//! The runtime seam: time, tasks and sockets. One small file per runtime; nothing else in this crate names one.

#[cfg(any(feature = "async-std", feature = "smol"))]
pub mod async_io;
#[cfg(feature = "async-std")]
pub mod async_std;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "tokio")]
pub mod tokio;

use crate::io::ByteStream;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What this family of crates needs from an async runtime.
pub trait Runtime: Clone + Debug + Send + Sync + 'static {
    /// A connected TCP socket, with `TCP_NODELAY` on.
    type Stream: ByteStream + Debug + 'static;
    /// A listening TCP socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A timer.
    type Sleep: Sleep;

    /// Starts a task in the background. Dropping the runtime may drop it at any await.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F);

    /// Time since an arbitrary origin, the same for all clones of this handle. Never goes back.
    fn now(&self) -> Duration;

    /// A timer that ends when [`now`](Self::now) reaches `deadline`.
    fn sleep_until(&self, deadline: Duration) -> Self::Sleep;

    /// A timer that ends after `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(self.now().saturating_add(duration))
    }

    /// Has the task that is polled woken again, after others had their turn. By default that is the runtime's way with a
    /// task that wakes itself.
    fn wake_later(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// The addresses of `host`, in the order of the resolver.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a TCP connection. Dropping the future gives the attempt up.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Opens a listening TCP socket. Port 0 picks a free one, see [`Listener::local_addr`].
    fn listen(
        &self,
        address: SocketAddr,
        options: &ListenOptions,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;
}

/// A [`Runtime`] with Unix sockets.
#[cfg(unix)]
pub trait UnixSockets: Runtime {
    /// A connected Unix socket.
    type UnixStream: ByteStream + Debug + 'static;

    /// Opens a connection to the socket at `path`. Dropping the future gives the attempt up.
    fn connect_unix(
        &self,
        path: &std::path::Path,
    ) -> impl Future<Output = io::Result<Self::UnixStream>> + Send;
}

/// A timer of a [`Runtime`].
pub trait Sleep: Future<Output = ()> + Send + Unpin + Debug + 'static {
    /// Sets a new end, also after the timer has ended. Cheaper than a new timer.
    fn reset(&mut self, deadline: Duration);
}

/// A listening socket of a [`Runtime`].
pub trait Listener: Send + Sync + Debug + 'static {
    /// The accepted socket.
    type Stream: ByteStream + 'static;

    /// The next connection and its address. Cancel-safe: a dropped future has accepted nothing.
    ///
    /// An error concerns one connection or a shortage, hardly ever the listener: ask [`AcceptFault::of`] what to do.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// How to open a listening socket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that may wait for [`Listener::accept`]. The system may allow fewer. Default 1024.
    pub backlog: u32,
    /// `SO_REUSEADDR`: listen again at once after a restart. Default true.
    pub reuse_address: bool,
    /// `TCP_NODELAY` of the accepted sockets: small packets leave at once. Without it the system holds them back until
    /// the peer has confirmed the ones before, which saves packets on the network. Default true.
    pub nodelay: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_address: true, nodelay: true }
    }
}

impl ListenOptions {
    /// With this many connections that may wait.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// With or without `TCP_NODELAY`.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }
}

/// What a failed [`Listener::accept`] means for the loop around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptFault {
    /// That one connection was gone before it was accepted. Go on at once.
    Connection,
    /// The process or the system is out of descriptors or memory. The connection still waits, so the next call fails
    /// the same way: pause before it, about [`AcceptFault::PAUSE`].
    Shortage,
    /// The listener itself is unusable. End the loop.
    Listener,
}

impl AcceptFault {
    /// A sensible pause after a [`Shortage`](Self::Shortage).
    pub const PAUSE: Duration = Duration::from_millis(100);

    /// Sorts an error of [`Listener::accept`].
    pub fn of(error: &io::Error) -> Self {
        // EMFILE, ENFILE, ENOMEM are 24, 23, 12 on every Unix; ENOBUFS differs. 10024 and 10055 are WSAEMFILE and
        // WSAENOBUFS. `ErrorKind` has no stable name for them.
        const SHORTAGE: &[i32] = if cfg!(windows) {
            &[10024, 10055]
        } else if cfg!(target_os = "linux") {
            &[24, 23, 12, 105]
        } else {
            &[24, 23, 12, 55]
        };
        // EBADF, EINVAL, ENOTSOCK: only a program error leads here, but spinning on it would be worse.
        const LISTENER: &[i32] = if cfg!(windows) {
            &[10009, 10022, 10038]
        } else if cfg!(target_os = "linux") {
            &[9, 22, 88]
        } else {
            &[9, 22, 38]
        };
        match error.raw_os_error() {
            Some(code) if SHORTAGE.contains(&code) => Self::Shortage,
            Some(code) if LISTENER.contains(&code) => Self::Listener,
            _ => Self::Connection,
        }
    }
}

/// The time given to [`timeout`] is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time for it is over")]
pub struct Elapsed;

/// Runs `future` for at most `limit`; it is dropped when the time is over.
pub async fn timeout<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = runtime.sleep(limit);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        pin!(&mut sleep).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
