//! An in-memory connection: a pair of byte streams with a bounded buffer each way.
//!
//! For tests and for programs that hold both sides. It behaves like a socket: it is full at its capacity, each half
//! can be ended on its own, and a dropped side is the end for reading and a broken pipe for writing.

use crate::io::ByteStream;
use crate::stream::StreamLink;
use bytes::{Buf, BytesMut};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// One side of an in-memory connection as a [`Link`](crate::Link).
pub type MemoryLink = StreamLink<MemoryStream>;

/// A connected pair of links; each direction holds at most `capacity` bytes (at least 1).
pub fn pipe(capacity: usize) -> (MemoryLink, MemoryLink) {
    let (a, b) = MemoryStream::pair(capacity);
    (StreamLink::new(a), StreamLink::new(b))
}

/// One side of an in-memory connection as a byte stream.
#[derive(Debug)]
pub struct MemoryStream {
    incoming: Direction,
    outgoing: Direction,
}

impl MemoryStream {
    /// A connected pair; each direction holds at most `capacity` bytes (at least 1).
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (x, y) = (Direction::new(capacity), Direction::new(capacity));
        (Self { incoming: x.clone(), outgoing: y.clone() }, Self { incoming: y, outgoing: x })
    }
}

#[derive(Debug, Clone)]
struct Direction(Arc<Mutex<Flow>>);

#[derive(Debug)]
struct Flow {
    bytes: BytesMut,
    capacity: usize,
    /// The writer has ended its half or is gone.
    ended: bool,
    /// The reader is gone.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Flow {
            bytes: BytesMut::new(),
            capacity: capacity.max(1),
            ended: false,
            broken: false,
            reader: None,
            writer: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut flow = self.lock();
        flow.ended = true;
        wake(flow, |flow| &mut flow.reader);
    }
}

/// Wakes outside the lock, since a waker may poll at once.
fn wake(mut flow: MutexGuard<'_, Flow>, side: impl FnOnce(&mut Flow) -> &mut Option<Waker>) {
    let waker = side(&mut flow).take();
    drop(flow);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl ByteStream for MemoryStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.incoming.lock();
        if flow.bytes.is_empty() && !flow.ended {
            flow.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = buf.len().min(flow.bytes.len());
        flow.bytes.split_to(n).copy_to_slice(&mut buf[..n]);
        if flow.bytes.is_empty() {
            // Idle connections hold no buffer.
            flow.bytes = BytesMut::new();
        }
        wake(flow, |flow| &mut flow.writer);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.outgoing.lock();
        if flow.broken || flow.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = data.len().min(flow.capacity - flow.bytes.len());
        if n == 0 && !data.is_empty() {
            flow.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        flow.bytes.extend_from_slice(&data[..n]);
        wake(flow, |flow| &mut flow.reader);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.end();
        let mut flow = self.incoming.lock();
        flow.broken = true;
        flow.bytes = BytesMut::new();
        wake(flow, |flow| &mut flow.writer);
    }
}
