//! Exact reads and whole writes on a byte stream, for the few bytes that are exchanged with a proxy.

use super::ProxyError;
use crate::io::ByteStream;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

/// Sends all of it.
pub(super) async fn send<S: ByteStream>(stream: &mut S, mut data: &[u8]) -> Result<(), ProxyError> {
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
    .map_err(ProxyError::Io)
}

/// Reads what is there, at most `buf` full, at least a byte.
pub(super) async fn read<S: ByteStream>(stream: &mut S, buf: &mut [u8]) -> Result<usize, ProxyError> {
    match poll_fn(|cx| stream.poll_read(cx, buf)).await {
        Ok(0) => Err(ProxyError::Ended),
        Ok(n) => Ok(n),
        Err(error) => Err(ProxyError::Io(error)),
    }
}

/// Reads exactly `N` bytes and nothing of what follows.
pub(super) async fn read_exact<S: ByteStream, const N: usize>(stream: &mut S) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    fill(stream, &mut bytes).await?;
    Ok(bytes)
}

/// Reads exactly as much as `buf` takes.
pub(super) async fn fill<S: ByteStream>(stream: &mut S, buf: &mut [u8]) -> Result<(), ProxyError> {
    let mut filled = 0;
    while filled < buf.len() {
        filled += read(stream, &mut buf[filled..]).await?;
    }
    Ok(())
}
