//! An in-memory connection that does to its bytes what a network may do: splits them anywhere, merges them, makes both
//! sides wait at odd moments, ends in the middle. All of it reproducible.

use super::Noise;
use mqttkit_ws_transport::ByteStream;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// How one direction behaves.
#[derive(Debug, Clone)]
pub struct Habits {
    /// No read goes past this position of the stream, and the one after it has to wait.
    pub split: Option<usize>,
    /// The stream ends at this position, whatever was written.
    pub cut: Option<usize>,
    /// Bytes per read and per write, at most.
    pub most: usize,
    /// Bytes written and not yet read, at most.
    pub capacity: usize,
    /// One call in so many is told to wait, at random. 0 is none.
    pub stall: usize,
    /// So often a reader is told to wait after each write, so that what is written meanwhile is merged.
    pub patience: usize,
    pub seed: u64,
}

impl Default for Habits {
    /// Those of an ideal network.
    fn default() -> Self {
        Self {
            split: None,
            cut: None,
            most: usize::MAX,
            capacity: usize::MAX,
            stall: 0,
            patience: 0,
            seed: 0,
        }
    }
}

#[derive(Debug)]
struct Flow {
    habits: Habits,
    noise: Noise,
    bytes: VecDeque<u8>,
    read: usize,
    waited_at_split: bool,
    patience: usize,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Flow {
    fn new(habits: Habits) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            noise: Noise::new(habits.seed),
            patience: habits.patience,
            habits,
            bytes: VecDeque::new(),
            read: 0,
            waited_at_split: false,
            ended: false,
            broken: false,
            reader: None,
            writer: None,
        }))
    }

    fn stalls(&mut self) -> bool {
        self.habits.stall > 0 && self.noise.below(self.habits.stall) == 0
    }

    /// Bytes of this call.
    fn some(&mut self, available: usize) -> usize {
        match self.habits.most {
            usize::MAX => available,
            most => available.min(1 + self.noise.below(most)),
        }
    }
}

#[derive(Debug)]
pub struct Adversary {
    incoming: Arc<Mutex<Flow>>,
    outgoing: Arc<Mutex<Flow>>,
}

/// A connection between a client and a server; `up` is what the client writes. Also how many bytes the server, then the
/// client has read so far.
pub fn adversary(up: Habits, down: Habits) -> (Adversary, Adversary, impl Fn() -> (usize, usize)) {
    let (up, down) = (Flow::new(up), Flow::new(down));
    let client = Adversary { incoming: Arc::clone(&down), outgoing: Arc::clone(&up) };
    let server = Adversary { incoming: Arc::clone(&up), outgoing: Arc::clone(&down) };
    (client, server, move || (up.lock().unwrap().read, down.lock().unwrap().read))
}

fn come_again<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl ByteStream for Adversary {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.incoming.lock().unwrap();
        let flow = &mut *flow;
        if flow.stalls() {
            return come_again(cx);
        }
        if flow.habits.cut == Some(flow.read) {
            return Poll::Ready(Ok(0));
        }
        if flow.bytes.is_empty() {
            if flow.ended {
                return Poll::Ready(Ok(0));
            }
            flow.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if flow.patience > 0 && !flow.ended {
            flow.patience -= 1;
            return come_again(cx);
        }
        if flow.habits.split == Some(flow.read) && !flow.waited_at_split {
            flow.waited_at_split = true;
            return come_again(cx);
        }
        let mut most = flow.bytes.len().min(buf.len());
        for border in [flow.habits.split, flow.habits.cut].into_iter().flatten() {
            if border > flow.read {
                most = most.min(border - flow.read);
            }
        }
        let n = flow.some(most);
        for (to, from) in buf.iter_mut().zip(flow.bytes.drain(..n)) {
            *to = from;
        }
        flow.read += n;
        wake(&mut flow.writer);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.outgoing.lock().unwrap();
        let flow = &mut *flow;
        if flow.stalls() {
            return come_again(cx);
        }
        if flow.broken || flow.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = flow.habits.capacity - flow.bytes.len();
        if room == 0 && !data.is_empty() {
            flow.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = flow.some(data.len().min(room));
        flow.bytes.extend(&data[..n]);
        flow.patience = flow.habits.patience;
        wake(&mut flow.reader);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.lock().unwrap().stalls() { come_again(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut flow = self.outgoing.lock().unwrap();
        if flow.stalls() {
            return come_again(cx);
        }
        flow.ended = true;
        wake(&mut flow.reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Adversary {
    fn drop(&mut self) {
        let mut outgoing = self.outgoing.lock().unwrap();
        outgoing.ended = true;
        wake(&mut outgoing.reader);
        drop(outgoing);
        let mut incoming = self.incoming.lock().unwrap();
        incoming.broken = true;
        wake(&mut incoming.writer);
    }
}
