//! `Run`: messages of QoS 0 that wait in a row, as the bytes that will be sent.

use bytes::BytesMut;
use mqttkit_codec::Codec;

use super::queued::OVERHEAD;
use crate::budget::PLACE;

/// Whole PUBLISH packets, one behind the other.
#[derive(Debug)]
pub(in crate::state) struct Run {
    packets: BytesMut,
    /// Where the first of them begins: those before it were dropped.
    start: usize,
    messages: usize,
}

/// The room that a run has from the start, in bytes: who gets one message mostly gets some more.
const FIRST: usize = 512;

impl Run {
    /// Without a message.
    pub(super) fn new() -> Self {
        Self { packets: BytesMut::with_capacity(FIRST), start: 0, messages: 0 }
    }

    /// Adds what is written. Returns its length, which is 0 if nothing was.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut BytesMut)) -> usize {
        let before = self.packets.len();
        write(&mut self.packets);
        let len = self.packets.len() - before;
        self.messages += usize::from(len > 0);
        len
    }

    /// Drops the oldest message.
    pub(super) fn drop_first(&mut self) {
        let len = Codec::peek_len(self.packets()).map_or(0, |len| len as usize);
        debug_assert!(len > 0, "there are whole packets only");
        self.start += len;
        self.messages -= 1;
    }

    pub(in crate::state) fn messages(&self) -> usize {
        self.messages
    }

    /// What is to be sent.
    pub(in crate::state) fn packets(&self) -> &[u8] {
        self.packets.get(self.start..).unwrap_or_default()
    }

    /// What its messages count for in the limits, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.packets().len() + self.messages * OVERHEAD
    }

    /// What it weighs in the budget.
    pub(super) fn weight(&self) -> usize {
        PLACE + self.packets.capacity()
    }
}
