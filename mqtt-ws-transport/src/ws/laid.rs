//! `Laid`: frames laid over bytes that stay where they are, for one vectored write.

use super::frame::binary_header;
use crate::frames::MAX_FRAME_PAYLOAD;
use crate::io::ByteStream;
use crate::stream::MAX_SLICES;
use bytes::{Buf, BufMut, BytesMut};
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The most frames for one write: 128 KiB.
const MAX_FRAMES: usize = 8;
/// The longest header of an unmasked frame of at most [`MAX_FRAME_PAYLOAD`].
const MAX_HEADER: usize = 4;

/// The frames that one write is to take.
#[derive(Debug, Default)]
pub(super) struct Laid {
    frames: [Frame; MAX_FRAMES],
    count: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Frame {
    header: [u8; MAX_HEADER],
    header_len: usize,
    payload: usize,
}

impl Frame {
    fn of(payload: usize) -> Self {
        let (bytes, header_len) = binary_header(payload);
        let mut header = [0; MAX_HEADER];
        header.copy_from_slice(&bytes[..MAX_HEADER]);
        Self { header, header_len, payload }
    }

    fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }
}

impl Laid {
    /// Over as much of `data` as it can show at once.
    pub(super) fn over(data: &dyn Buf) -> Self {
        let mut parts = [IoSlice::new(&[]); MAX_SLICES];
        let count = data.chunks_vectored(&mut parts);
        let mut left: usize = parts[..count].iter().map(|part| part.len()).sum();
        let mut this = Self::default();
        while left > 0 && this.count < MAX_FRAMES {
            let payload = left.min(MAX_FRAME_PAYLOAD);
            this.frames[this.count] = Frame::of(payload);
            this.count += 1;
            left -= payload;
        }
        this
    }

    fn frames(&self) -> &[Frame] {
        &self.frames[..self.count]
    }

    /// Writes them. `data` is what they were laid over.
    pub(super) fn poll_write<S: ByteStream>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
        data: &dyn Buf,
    ) -> Poll<io::Result<usize>> {
        let mut parts = [IoSlice::new(&[]); MAX_SLICES];
        let count = data.chunks_vectored(&mut parts);
        let mut parts = parts[..count].iter().map(|part| &**part);
        // A header for each frame, and each may cut a part in two.
        let mut slices = [IoSlice::new(&[]); MAX_SLICES + 2 * MAX_FRAMES];
        let mut filled = 0;
        let mut put = |slice| {
            slices[filled] = IoSlice::new(slice);
            filled += 1;
        };
        let mut part: &[u8] = &[];
        for frame in self.frames() {
            put(frame.header());
            let mut left = frame.payload;
            while left > 0 {
                if part.is_empty() {
                    let Some(next) = parts.next() else { break };
                    part = next;
                }
                let (now, later) = part.split_at(part.len().min(left));
                put(now);
                part = later;
                left -= now.len();
            }
        }
        stream.poll_write_vectored(cx, &slices[..filled])
    }

    /// Takes off `data` what was written, and behind it the rest of a frame that was begun, which goes to `out`.
    pub(super) fn take(&self, mut written: usize, data: &mut dyn Buf, out: &mut BytesMut) {
        for frame in self.frames() {
            if written == 0 {
                return;
            }
            let header = written.min(frame.header_len);
            let payload = (written - header).min(frame.payload);
            written -= header + payload;
            data.advance(payload);
            let left = frame.payload - payload;
            if header < frame.header_len || left > 0 {
                out.reserve(frame.header_len - header + left);
                out.extend_from_slice(&frame.header()[header..]);
                out.put(data.take(left));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{WsFrames, WsLimits, WsRole};
    use crate::frames::{Frames, MAX_FRAME_PAYLOAD};
    use crate::io::ByteStream;
    use bytes::{Buf, Bytes, BytesMut};
    use std::collections::VecDeque;
    use std::io::{self, IoSlice};
    use std::task::{Context, Poll, Waker};

    /// Takes as many bytes of one call as it is told, and then nothing for one call.
    #[derive(Default)]
    struct Narrow {
        takes: VecDeque<usize>,
        blocked: bool,
        input: Vec<u8>,
        written: BytesMut,
        /// Writes that were given more than one slice.
        vectored: usize,
    }

    impl ByteStream for Narrow {
        fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            if self.input.is_empty() {
                return Poll::Pending;
            }
            let n = self.input.len().min(buf.len());
            buf[..n].copy_from_slice(&self.input[..n]);
            self.input.drain(..n);
            Poll::Ready(Ok(n))
        }
        fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(data)])
        }
        fn poll_write_vectored(
            &mut self,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.blocked = !self.blocked;
            if self.blocked {
                return Poll::Pending;
            }
            self.vectored += usize::from(slices.len() > 1);
            let most = self.takes.pop_front().unwrap_or(usize::MAX);
            let before = self.written.len();
            for slice in slices {
                let left = most - (self.written.len() - before);
                self.written.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            Poll::Ready(Ok(self.written.len() - before))
        }
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// In parts that are not cut where frames are.
    fn message(len: usize, part: usize) -> (Parts, Vec<u8>) {
        let all: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        (Parts(all.chunks(part).map(Bytes::copy_from_slice).collect()), all)
    }

    struct Parts(VecDeque<Bytes>);

    impl Buf for Parts {
        fn remaining(&self) -> usize {
            self.0.iter().map(Bytes::len).sum()
        }
        fn chunk(&self) -> &[u8] {
            self.0.front().map_or(&[], |part| part)
        }
        fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
            let mut filled = 0;
            for (slice, part) in slices.iter_mut().zip(&self.0) {
                *slice = IoSlice::new(part);
                filled += 1;
            }
            filled
        }
        fn advance(&mut self, mut count: usize) {
            while count > 0 {
                let part = self.0.front_mut().unwrap();
                let n = part.len().min(count);
                part.advance(n);
                count -= n;
                if part.is_empty() {
                    self.0.pop_front();
                }
            }
        }
    }

    /// The payloads of the frames, and the ping's answer apart.
    fn read(stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut payload, mut pongs, mut rest) = (Vec::new(), Vec::new(), stream);
        while let [first, second, tail @ ..] = rest {
            assert!(second & 0x80 == 0, "a server does not mask");
            let (len, tail) = match second {
                126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
                127 => panic!("a frame of more than 64 KiB"),
                len => (usize::from(*len), tail),
            };
            assert!(len <= MAX_FRAME_PAYLOAD);
            match first {
                0x82 => payload.extend_from_slice(&tail[..len]),
                0x8a => pongs.push(tail[..len].to_vec()),
                _ => panic!("opcode {first:#x}"),
            }
            rest = &tail[len..];
        }
        assert!(rest.is_empty(), "half a header");
        (payload, pongs)
    }

    /// Whatever the stream takes at a time, and with a ping to be answered in the middle.
    #[test]
    fn what_is_taken_in_pieces_arrives_whole() {
        let mut cx = Context::from_waker(Waker::noop());
        let sizes =
            [1, 2, 3, 4, 5, 100, 16_383, 16_384, 16_387, 16_388, 16_389, 16_391, 40_000, 131_104, usize::MAX];
        for len in [16_384, 16_385, 40_000, 131_072, 300_001] {
            for part in [7_000, 16_384, 100_000] {
                for take in sizes {
                    let stream = Narrow { takes: [take, take].into(), ..Narrow::default() };
                    let mut socket = WsFrames::new(stream, WsRole::Server, Vec::new(), WsLimits::default());
                    let (mut data, expected) = message(len, part);
                    let mut polls = 0;
                    while socket.poll_send(&mut cx, &mut data).is_pending() {
                        if polls == 2 {
                            socket.stream_mut().input = vec![0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
                            assert!(socket.poll_recv(&mut cx).is_pending());
                        }
                        polls += 1;
                        assert!(polls < 100, "it does not end");
                    }
                    while socket.poll_flush(&mut cx).is_pending() {}
                    let stream = socket.get_ref();
                    let (payload, pongs) = read(&stream.written);
                    assert!(payload == expected, "{len} in parts of {part}, taken by {take}");
                    assert_eq!(pongs, vec![b"hi".to_vec(); usize::from(polls > 2)]);
                    assert!(stream.vectored > 0);
                }
            }
        }
    }

    /// What is small is gathered, and so is all that a client masks.
    #[test]
    fn only_the_large_and_unmasked_goes_straight() {
        let mut cx = Context::from_waker(Waker::noop());
        for (role, len) in [(WsRole::Server, 16_383), (WsRole::Client, 100_000)] {
            let mut socket = WsFrames::new(Narrow::default(), role, Vec::new(), WsLimits::default());
            let (mut data, _) = message(len, 1000);
            while socket.poll_send(&mut cx, &mut data).is_pending() {}
            while socket.poll_flush(&mut cx).is_pending() {}
            assert_eq!(socket.get_ref().vectored, 0);
        }
    }
}
