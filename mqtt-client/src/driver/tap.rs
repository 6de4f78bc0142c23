//! `Tap`: reads along what a link sends and receives, for those who watch the packets.

use crate::hub::Hub;
use crate::packets::Passed;
use bytes::{Buf, Bytes, BytesMut};
use mqttkit_codec::{Codec, Packet, Version};
use std::io::IoSlice;

/// Both directions have a codec of their own, beside the connection's: it does not hand out all packets.
#[derive(Debug)]
pub(super) struct Tap {
    codec: Codec,
    sent: BytesMut,
    received: BytesMut,
}

impl Tap {
    /// Begins between two packets, in both directions.
    pub(super) fn new(version: Version) -> Self {
        Self { codec: Codec::new(version), sent: BytesMut::new(), received: BytesMut::new() }
    }

    /// The bytes to send, which are read along as they are taken.
    pub(super) fn on<'a, B: Buf>(&'a mut self, data: &'a mut B) -> Tapped<'a, B> {
        Tapped { data, copy: &mut self.sent }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Tells of all packets that are complete. Returns whether what was read along makes sense.
    pub(super) fn tell(&mut self, hub: &Hub<Passed>) -> bool {
        let Self { codec, sent, received } = self;
        each(codec, sent, |packet| hub.tell(&Passed::Sent(packet)))
            && each(codec, received, |packet| hub.tell(&Passed::Received(packet)))
    }
}

fn each(codec: &mut Codec, bytes: &mut BytesMut, mut found: impl FnMut(Packet)) -> bool {
    loop {
        match codec.decode(bytes) {
            Ok(Some(packet)) => found(packet),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// A [`Buf`] of which a copy is taken.
pub(super) struct Tapped<'a, B> {
    data: &'a mut B,
    copy: &'a mut BytesMut,
}

impl<B: Buf> Buf for Tapped<'_, B> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let chunk = self.data.chunk();
            let step = chunk.len().min(count);
            self.copy.extend_from_slice(&chunk[..step]);
            self.data.advance(step);
            count -= step;
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        let bytes = self.data.copy_to_bytes(len);
        self.copy.extend_from_slice(&bytes);
        bytes
    }
}
