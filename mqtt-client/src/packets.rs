//! `Packets`: every packet that is sent and received, for those who want to watch. Nobody else pays for it.

use crate::shared::Shared;
use futures_core::Stream;
use mqttkit_codec::Packet;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A packet that went by.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Passed {
    /// It was handed to the transport.
    Sent(Packet),
    /// It arrived.
    Received(Packet),
}

/// A bounded stream of all packets that are sent and received, in their order. See
/// [`Client::packets`](crate::Client::packets).
///
/// It never slows the client down: a slow reader misses the oldest, and [`missed`](Self::missed) says how many. It begins
/// with the next connection, or as soon as the present one is between two packets.
#[derive(Debug)]
pub struct Packets {
    shared: Arc<Shared>,
    id: u64,
}

/// How many packets are kept for a slow reader.
const CAPACITY: usize = 1024;

impl Packets {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.packets.subscribe();
        Self { shared, id }
    }

    /// The next packet; `None` when the client has ended.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Passed> {
        poll_fn(|cx| self.shared.packets.poll_recv(cx, self.id)).await
    }

    /// How many packets were not taken in time, since this was last asked.
    pub fn missed(&mut self) -> u64 {
        self.shared.packets.take_missed(self.id)
    }
}

impl Stream for Packets {
    type Item = Passed;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Passed>> {
        self.shared.packets.poll_recv(cx, self.id)
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.shared.packets.unsubscribe(self.id);
    }
}

/// Where the driver tells packets and readers take them.
#[derive(Debug, Default)]
pub(crate) struct PacketHub {
    /// How many readers there are, so that the driver need not lock for none.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    readers: Vec<Reader>,
    next_id: u64,
    ended: bool,
}

#[derive(Debug, Default)]
struct Reader {
    id: u64,
    queue: VecDeque<Passed>,
    missed: u64,
    waker: Option<Waker>,
}

impl PacketHub {
    pub(crate) fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn tell(&self, packet: &Passed) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        for reader in &mut state.readers {
            if reader.queue.len() == CAPACITY {
                reader.queue.pop_front();
                reader.missed += 1;
            }
            reader.queue.push_back(packet.clone());
            wakers.extend(reader.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let wakers: Vec<_> = state.readers.iter_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn subscribe(&self) -> u64 {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.readers.push(Reader { id, ..Reader::default() });
        self.count.store(state.readers.len(), Ordering::Relaxed);
        id
    }

    fn unsubscribe(&self, id: u64) {
        let mut state = self.lock();
        state.readers.retain(|reader| reader.id != id);
        self.count.store(state.readers.len(), Ordering::Relaxed);
    }

    fn take_missed(&self, id: u64) -> u64 {
        let mut state = self.lock();
        let reader = state.readers.iter_mut().find(|reader| reader.id == id);
        reader.map_or(0, |reader| std::mem::take(&mut reader.missed))
    }

    fn poll_recv(&self, cx: &Context<'_>, id: u64) -> Poll<Option<Passed>> {
        let mut state = self.lock();
        let ended = state.ended;
        let Some(reader) = state.readers.iter_mut().find(|reader| reader.id == id) else {
            return Poll::Ready(None);
        };
        match reader.queue.pop_front() {
            Some(packet) => Poll::Ready(Some(packet)),
            None if ended => Poll::Ready(None),
            None => {
                reader.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
