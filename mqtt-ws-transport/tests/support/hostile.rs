//! A stream that keeps every promise of the traits and nothing more: short reads and writes, pending at odd moments.

use super::Noise;
use mqttkit_ws_transport::ByteStream;
use std::io;
use std::task::{Context, Poll};

pub struct Hostile<S> {
    inner: S,
    noise: Noise,
    max: usize,
}

impl<S> Hostile<S> {
    /// Moves at most `max` bytes at a time.
    pub fn new(inner: S, seed: u64, max: usize) -> Self {
        Self { inner, noise: Noise::new(seed), max }
    }

    fn stalls(&mut self, cx: &Context<'_>) -> bool {
        let stalls = self.noise.below(3) == 0;
        if stalls {
            cx.waker().wake_by_ref();
        }
        stalls
    }
}

impl<S: ByteStream> ByteStream for Hostile<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.stalls(cx) {
            return Poll::Pending;
        }
        let len = buf.len().min(1 + self.noise.below(self.max));
        self.inner.poll_read(cx, &mut buf[..len])
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.stalls(cx) {
            return Poll::Pending;
        }
        let len = data.len().min(1 + self.noise.below(self.max));
        self.inner.poll_write(cx, &data[..len])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stalls(cx) {
            return Poll::Pending;
        }
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stalls(cx) {
            return Poll::Pending;
        }
        self.inner.poll_shutdown(cx)
    }
}
