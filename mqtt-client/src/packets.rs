//! `Packets`: every packet that is sent and received, for those who want to watch. Nobody else pays for it.

use crate::hub::{Heard, ReaderId};
use crate::shared::Shared;
use futures_core::Stream;
use mqttkit_codec::Packet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
    id: ReaderId,
    missed: u64,
}

/// How many packets are kept for a slow reader.
pub(crate) const CAPACITY: usize = 1024;

impl Packets {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.packets.subscribe();
        Self { shared, id, missed: 0 }
    }

    /// The next packet; `None` when the client has ended.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    pub async fn recv(&mut self) -> Option<Passed> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// How many packets were not taken in time, since this was last asked.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed) + self.shared.packets.take_missed(self.id)
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Passed>> {
        loop {
            match ready!(self.shared.packets.poll_recv(cx, self.id)) {
                Some(Heard::Told(packet)) => return Poll::Ready(Some(packet)),
                Some(Heard::Missed(count)) => self.missed += count,
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Packets {
    type Item = Passed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Passed>> {
        self.poll_recv(cx)
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.shared.packets.unsubscribe(self.id);
    }
}
