//! Reading the head of an HTTP message from a stream, bounded, without re-parsing what has not changed.

use crate::io::ByteStream;
use crate::scratch;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

/// How many header lines are taken.
pub(crate) const MAX_HEADERS: usize = 96;

/// A head with its terminating empty line, and what was received behind it.
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

pub(crate) enum HeadError {
    Io(io::Error),
    /// The stream ended. Holds what had arrived.
    Ended(Vec<u8>),
    TooLarge,
    /// The first bytes cannot begin an HTTP message.
    NotHttp(Vec<u8>),
}

/// Reads up to the empty line that ends a head.
///
/// `plausible` sees everything received so far and can refuse at once what is not HTTP, instead of waiting for an
/// empty line that never comes.
pub(crate) async fn read<S: ByteStream>(
    stream: &mut S,
    max: usize,
    plausible: fn(&[u8]) -> bool,
) -> Result<Head, HeadError> {
    let mut bytes = Vec::new();
    loop {
        let old = bytes.len();
        let n = read_some(stream, &mut bytes, max + 1).await.map_err(HeadError::Io)?;
        if n == 0 {
            return Err(HeadError::Ended(bytes));
        }
        if !plausible(&bytes) {
            return Err(HeadError::NotHttp(bytes));
        }
        // The terminator may have begun in what was there before.
        if let Some(end) = end_of_head(&bytes, old.saturating_sub(3)) {
            if end > max {
                return Err(HeadError::TooLarge);
            }
            let rest = bytes.split_off(end);
            return Ok(Head { bytes, rest });
        }
        if bytes.len() > max {
            return Err(HeadError::TooLarge);
        }
    }
}

/// Appends what one read gives, at most `max` bytes.
pub(crate) async fn read_some<S: ByteStream>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
    max: usize,
) -> io::Result<usize> {
    poll_fn(|cx| {
        scratch::with(|scratch| {
            let len = scratch.len().min(max);
            let n = ready!(stream.poll_read(cx, &mut scratch[..len]))?;
            bytes.extend_from_slice(&scratch[..n]);
            Poll::Ready(Ok(n))
        })
    })
    .await
}

pub(crate) async fn write_all<S: ByteStream>(stream: &mut S, mut data: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !data.is_empty() {
            let n = ready!(stream.poll_write(cx, data))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            data = &data[n..];
        }
        stream.poll_flush(cx)
    })
    .await
}

/// Ends the writing half and swallows what the peer still sends, up to `limit` bytes, so that it can read our last
/// answer before the socket closes.
pub(crate) async fn linger<S: ByteStream>(stream: &mut S, limit: usize) {
    if poll_fn(|cx| stream.poll_shutdown(cx)).await.is_err() {
        return;
    }
    let mut bytes = Vec::new();
    let mut total = 0;
    while total < limit {
        bytes.clear();
        match read_some(stream, &mut bytes, limit).await {
            Ok(0) | Err(_) => return,
            Ok(n) => total += n,
        }
    }
}

/// The position behind the empty line, also where lines end with a bare LF.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    while let Some(lf) = bytes[from..].iter().position(|&b| b == b'\n').map(|i| from + i) {
        match bytes[lf + 1..] {
            [b'\n', ..] => return Some(lf + 2),
            [b'\r', b'\n', ..] => return Some(lf + 3),
            _ => from = lf + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::end_of_head;

    #[test]
    fn finds_the_empty_line() {
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest", 0), Some(24));
        assert_eq!(end_of_head(b"a\n\nrest", 0), Some(3));
        assert_eq!(end_of_head(b"a\n\r\nrest", 0), Some(4));
        assert_eq!(end_of_head(b"a\r\nb\r\n\r", 0), None);
    }
}
