//! What async-std and smol have in common: sockets and timers of async-io, whose reactor both run on.

use super::{ListenOptions, Listener, Sleep};
use crate::io::ByteStream;
use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A socket of async-io as a [`ByteStream`], TCP or Unix.
///
/// Prefer it to [`FuturesIo`](crate::FuturesIo) over `Async`: there `poll_close` only flushes, so that the peer would
/// never see the end. It also lets other tasks run between the reads of a peer that never pauses, which
/// neither async-std nor smol see to by themselves.
#[derive(Debug)]
pub struct AsyncIo<T> {
    inner: Async<T>,
    /// Calls in a row that were ready at once, reading and writing.
    reads: u8,
    writes: u8,
}

/// After so many calls in a row that were ready at once the other tasks have their turn.
const TURN: u8 = 64;

impl<T> AsyncIo<T> {
    /// Wraps `socket`.
    pub fn new(socket: Async<T>) -> Self {
        Self { inner: socket, reads: 0, writes: 0 }
    }

    /// The socket, of the standard library.
    pub fn get_ref(&self) -> &T {
        self.inner.get_ref()
    }

    /// Unwraps the socket.
    pub fn into_inner(self) -> Async<T> {
        self.inner
    }
}

impl<T> From<Async<T>> for AsyncIo<T> {
    fn from(socket: Async<T>) -> Self {
        Self::new(socket)
    }
}

macro_rules! byte_stream {
    ($($socket:ty),*) => {$(
        impl ByteStream for AsyncIo<$socket> {
            fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                taking_turns(&mut self.reads, cx, |cx| Pin::new(&mut self.inner).poll_read(cx, buf))
            }
            fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
                taking_turns(&mut self.writes, cx, |cx| Pin::new(&mut self.inner).poll_write(cx, data))
            }
            fn poll_write_vectored(
                &mut self,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                taking_turns(&mut self.writes, cx, |cx| Pin::new(&mut self.inner).poll_write_vectored(cx, slices))
            }
            fn is_write_vectored(&self) -> bool {
                true
            }
            fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                // A socket holds nothing back.
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.inner.get_ref().shutdown(Shutdown::Write))
            }
        }
    )*};
}

byte_stream!(TcpStream);
#[cfg(unix)]
byte_stream!(std::os::unix::net::UnixStream);

#[cfg(unix)]
pub(super) async fn connect_unix(
    path: &std::path::Path,
) -> io::Result<AsyncIo<std::os::unix::net::UnixStream>> {
    Ok(AsyncIo::new(Async::<std::os::unix::net::UnixStream>::connect(path).await?))
}

fn taking_turns<T>(
    in_a_row: &mut u8,
    cx: &mut Context<'_>,
    call: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if *in_a_row == TURN {
        *in_a_row = 0;
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    let result = call(cx);
    *in_a_row = if result.is_ready() { *in_a_row + 1 } else { 0 };
    result
}

/// A listening socket of async-io.
#[derive(Debug)]
pub struct AsyncIoListener {
    listener: Async<TcpListener>,
    nodelay: bool,
}

impl AsyncIoListener {
    /// Takes over a socket that was opened elsewhere, for example by a service manager.
    pub fn new(listener: Async<TcpListener>) -> Self {
        Self { listener, nodelay: true }
    }
}

impl Listener for AsyncIoListener {
    type Stream = AsyncIo<TcpStream>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        // Before anything is accepted, so that a flood of connections leaves the handshakes their turn.
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let (socket, address) = self.listener.accept().await?;
        // Fails only for a connection that is gone already; its first read will say so.
        socket.get_ref().set_nodelay(self.nodelay).ok();
        Ok((AsyncIo::new(socket), address))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<AsyncIo<TcpStream>> {
    let socket = Async::<TcpStream>::connect(address).await?;
    socket.get_ref().set_nodelay(true)?;
    Ok(AsyncIo::new(socket))
}

/// With socket2, since the standard library lets nobody choose the backlog.
pub(super) fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<AsyncIoListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // On Windows the option means something else: it would let another program take the port over.
    if options.reuse_address && !cfg!(windows) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
    Ok(AsyncIoListener { listener: Async::new(socket.into())?, nodelay: options.nodelay })
}

/// A timer of async-io.
#[derive(Debug)]
pub struct AsyncIoSleep {
    origin: Instant,
    timer: Timer,
    /// A timer of async-io ends once; ours has then ended until it is reset.
    ended: bool,
}

impl AsyncIoSleep {
    pub(super) fn new(origin: Instant, deadline: Duration) -> Self {
        Self { origin, timer: Timer::at(instant(origin, deadline)), ended: false }
    }
}

impl Future for AsyncIoSleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ended {
            std::task::ready!(Pin::new(&mut self.timer).poll(cx));
            self.ended = true;
        }
        Poll::Ready(())
    }
}

impl Sleep for AsyncIoSleep {
    fn reset(&mut self, deadline: Duration) {
        self.timer.set_at(instant(self.origin, deadline));
        self.ended = false;
    }
}

/// A far deadline saturates instead of overflowing: thirty years are for ever.
fn instant(origin: Instant, deadline: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    origin + deadline.min(FOR_EVER)
}
