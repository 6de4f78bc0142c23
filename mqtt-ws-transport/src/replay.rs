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
    #[expect(clippy::box_collection, reason = "there is nothing of it for most of a connection's life")]
    first: Option<Box<Vec<u8>>>,
    stream: S,
}

impl<S> Replay<S> {
    /// Nothing in front.
    pub(crate) fn new(stream: S) -> Self {
        Self { first: None, stream }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Up to `len` of the bytes in front.
    pub(crate) fn peek(&self, len: usize) -> &[u8] {
        let first = self.first.as_ref().map_or(&[][..], |first| first);
        &first[..first.len().min(len)]
    }

    /// Puts `first` in front of all that is to come.
    pub(crate) fn unread(&mut self, mut first: Vec<u8>) {
        if let Some(behind) = &mut self.first {
            first.append(behind);
        }
        self.first = (!first.is_empty()).then(|| Box::new(first));
    }

    /// Takes up to `len` of the bytes in front. `None` when there are none.
    fn take<T>(&mut self, len: usize, give: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let first = self.first.as_mut()?;
        let n = len.min(first.len());
        let given = give(&first[..n]);
        first.drain(..n);
        if first.is_empty() {
            self.first = None;
        }
        Some(given)
    }
}

impl<S: ByteStream> ByteStream for Replay<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let replayed = self.take(buf.len(), |first| {
            buf[..first.len()].copy_from_slice(first);
            first.len()
        });
        match replayed {
            Some(n) => Poll::Ready(Ok(n)),
            None => self.stream.poll_read(cx, buf),
        }
    }
    fn poll_read_room(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let room = (buf.capacity() - buf.len()).max(1);
        let replayed = self.take(limit.min(room), |first| {
            buf.extend_from_slice(first);
            first.len()
        });
        match replayed {
            Some(n) => Poll::Ready(Ok(n)),
            None => self.stream.poll_read_room(cx, buf, limit),
        }
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
        assert!(stream.first.is_none(), "an idle connection holds nothing of it");
    }
}
