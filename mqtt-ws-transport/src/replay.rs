//! A byte stream some of whose first bytes were read already: they come again, then the stream goes on.
//!
//! Whoever looks at the first bytes of a connection (which protocol is it, is there a PROXY header) hands those that
//! belong to the next layer to it in this way. Nothing is held once they are read.

use crate::io::ByteStream;
use bytes::BytesMut;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The stream `S` with bytes in front of it.
#[derive(Debug)]
pub(crate) struct Replay<S> {
    first: Vec<u8>,
    stream: S,
}

impl<S> Replay<S> {
    /// Nothing in front.
    pub(crate) fn new(stream: S) -> Self {
        Self { first: Vec::new(), stream }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Up to `len` of the bytes in front.
    pub(crate) fn peek(&self, len: usize) -> &[u8] {
        &self.first[..self.first.len().min(len)]
    }

    /// Puts `first` in front of all that is to come.
    pub(crate) fn unread(&mut self, mut first: Vec<u8>) {
        first.append(&mut self.first);
        self.first = first;
    }
}

impl<S: ByteStream> ByteStream for Replay<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.first.is_empty() {
            return self.stream.poll_read(cx, buf);
        }
        let n = buf.len().min(self.first.len());
        buf[..n].copy_from_slice(&self.first[..n]);
        self.first.drain(..n);
        if self.first.is_empty() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(n))
    }
    fn poll_read_room(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if self.first.is_empty() {
            return self.stream.poll_read_room(cx, buf, limit);
        }
        let room = (buf.capacity() - buf.len()).max(1);
        let n = limit.min(room).min(self.first.len());
        buf.extend_from_slice(&self.first[..n]);
        self.first.drain(..n);
        if self.first.is_empty() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(n))
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, data)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::Replay;
    use crate::io::ByteStream;
    use crate::memory::MemoryStream;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn what_was_read_comes_again_in_order() {
        let (near, mut far) = MemoryStream::pair(64);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(far.poll_write(&mut cx, b"gh").is_ready());
        let mut stream = Replay::new(near);
        stream.unread(b"def".to_vec());
        stream.unread(b"abc".to_vec());
        let mut got = Vec::new();
        let mut buf = [0; 4];
        while let Poll::Ready(Ok(n)) = stream.poll_read(&mut cx, &mut buf) {
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, b"abcdefgh");
        assert_eq!(stream.first.capacity(), 0, "an idle connection holds nothing of it");
    }
}
