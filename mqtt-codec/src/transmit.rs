//! `Transmit`: the bytes a connection wants to send, in order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::Codec;
use crate::error::EncodeError;
use crate::packet::EncodePacket;
use crate::packet::publish::View;

/// From this size on a payload is not copied behind its header but kept as a chunk of its own, in bytes.
///
/// Below it, one more element in a vectored write costs more than the copy.
const LARGE_PAYLOAD: usize = 2048;

/// The bytes a connection wants to send: small packets gathered, large payloads shared and never copied.
///
/// It is a [`Buf`]: write [`chunk`](Buf::chunk) or [`chunks_vectored`](Buf::chunks_vectored), then
/// [`advance`](Buf::advance) by what the transport took.
#[derive(Debug, Default)]
pub struct Transmit {
    /// Complete chunks, none of them empty, if there are large payloads.
    #[expect(clippy::box_collection, reason = "most connections never have any")]
    chunks: Option<Box<VecDeque<Bytes>>>,
    /// What comes behind them and is still being written to.
    tail: BytesMut,
    /// The total length.
    len: usize,
    /// How many bytes were taken, ever.
    taken: u64,
}

impl Transmit {
    /// Gives back the memory that is kept for the next packets; for a connection that falls idle.
    pub fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self { taken: self.taken, ..Self::default() };
        }
    }

    /// Makes room for this many bytes of packets to come, so that it need not grow again and again.
    pub fn reserve(&mut self, bytes: usize) {
        self.tail.reserve(bytes);
    }

    /// How many bytes the transport has taken, ever: growth shows that it takes more.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) fn packet<P: EncodePacket>(&mut self, codec: &Codec, packet: &P) -> Result<(), EncodeError> {
        let before = self.tail.len();
        codec.encode(packet, &mut self.tail)?;
        self.len += self.tail.len() - before;
        Ok(())
    }

    pub(crate) fn publish(&mut self, codec: &Codec, publish: View<'_>) -> Result<(), EncodeError> {
        if publish.payload.len() < LARGE_PAYLOAD {
            return self.packet(codec, &publish);
        }
        let before = self.tail.len();
        codec.encode_view_header(&publish, &mut self.tail)?;
        self.len += self.tail.len() - before + publish.payload.len();
        let header = self.tail.split().freeze();
        self.chunks.get_or_insert_default().extend([header, publish.payload.clone()]);
        Ok(())
    }

    /// Adds packets that were encoded elsewhere.
    pub(crate) fn append(&mut self, packets: &[u8]) {
        self.tail.extend_from_slice(packets);
        self.len += packets.len();
    }

    fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter().flat_map(|chunks| chunks.iter())
    }

    fn first_chunk_mut(&mut self) -> Option<&mut Bytes> {
        self.chunks.as_mut()?.front_mut()
    }

    fn pop_chunk(&mut self) -> Option<Bytes> {
        self.chunks.as_mut()?.pop_front()
    }

    /// This many bytes are taken.
    fn count(&mut self, len: usize) {
        self.len -= len;
        self.taken += len as u64;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { taken: self.taken, ..Self::default() };
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.chunks().next().map_or(&self.tail, |chunk| chunk)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "cannot advance past the end");
        self.count(count);
        while let Some(chunk) = self.first_chunk_mut() {
            if count < chunk.len() {
                chunk.advance(count);
                return;
            }
            count -= chunk.len();
            self.pop_chunk();
        }
        self.tail.advance(count);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&*self.tail);
        let chunks = self.chunks().map(|chunk| &**chunk).chain(tail);
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = std::io::IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        assert!(len <= self.len, "cannot copy past the end");
        if let Some(chunk) = self.first_chunk_mut() {
            if chunk.len() == len {
                self.count(len);
                return self.pop_chunk().unwrap_or_default();
            }
            if chunk.len() > len {
                let taken = chunk.split_to(len);
                self.count(len);
                return taken;
            }
        } else {
            self.count(len);
            return if len == self.tail.len() {
                mem::take(&mut self.tail).freeze()
            } else {
                self.tail.split_to(len).freeze()
            };
        }
        let mut out = BytesMut::with_capacity(len);
        while out.len() < len {
            let chunk = self.chunk();
            let count = chunk.len().min(len - out.len());
            out.extend_from_slice(&chunk[..count]);
            self.advance(count);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Publish, TopicName, Version};
    use alloc::vec;
    use alloc::vec::Vec;

    fn sample() -> (Transmit, Vec<u8>, Bytes) {
        let codec = Codec::new(Version::V311);
        let topic = TopicName::try_from("t").unwrap();
        let large = Bytes::from(vec![7; LARGE_PAYLOAD]);
        let mut transmit = Transmit::default();
        let mut expected = BytesMut::new();
        for payload in ["a".into(), large.clone(), "b".into(), "c".into()] {
            let publish = Publish::new(topic.clone(), payload);
            transmit.publish(&codec, publish.view()).unwrap();
            codec.encode(&publish, &mut expected).unwrap();
        }
        (transmit, expected.to_vec(), large)
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        for step in [1, 2, 7, 1000, 5000] {
            let (mut transmit, expected, _) = sample();
            let mut got = Vec::new();
            while transmit.has_remaining() {
                let count = step.min(transmit.remaining());
                if step % 2 == 0 {
                    got.extend_from_slice(&transmit.copy_to_bytes(count));
                } else {
                    let count = count.min(transmit.chunk().len());
                    got.extend_from_slice(&transmit.chunk()[..count]);
                    transmit.advance(count);
                }
            }
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let (transmit, _, large) = sample();
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = transmit.chunks_vectored(&mut slices);
        assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == large.as_ptr()));
    }
}
