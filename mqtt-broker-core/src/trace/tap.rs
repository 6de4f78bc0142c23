//! `Tap`: reads along what goes over the connection of a traced client, and logs each packet.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use mqttkit_codec::{Codec, Connect, Packet, PacketId, Str, Transmit, Version};
use tracing::info;

use super::Traces;
use super::summary::Summary;
use crate::log::TRACE;

/// The packets of one connection.
#[derive(Debug)]
pub(crate) struct Tap {
    /// Until its CONNECT a connection may be anybody's.
    client_id: Option<Str>,
    inbound: Side,
    outbound: Side,
    /// What was sent in the middle of a packet is of no use: waits until nothing is under way.
    aligned: bool,
    /// What one send took.
    sent: BytesMut,
}

/// One direction: bytes on one side, packets on the other.
#[derive(Debug)]
struct Side {
    codec: Codec,
    /// A packet that is not complete.
    buffer: BytesMut,
    /// What comes makes no sense any more.
    lost: bool,
}

impl Tap {
    /// On a new connection, of which nothing is known.
    pub(crate) fn at_start(max_packet_size: u32) -> Self {
        let inbound = Side::new(Version::V5, max_packet_size);
        let outbound = Side::new(Version::V5, u32::MAX);
        Self { client_id: None, inbound, outbound, aligned: true, sent: BytesMut::new() }
    }

    /// On a connection of which this much has been received and not decoded yet, and with nothing left to send if it
    /// is `aligned`.
    pub(crate) fn midway(
        client_id: Str,
        version: Version,
        max_packet_size: u32,
        undecoded: &[u8],
        aligned: bool,
    ) -> Self {
        let mut inbound = Side::new(version, max_packet_size);
        inbound.buffer.extend_from_slice(undecoded);
        let outbound = Side::new(version, u32::MAX);
        Self { client_id: Some(client_id), inbound, outbound, aligned, sent: BytesMut::new() }
    }

    pub(crate) fn client_id(&self) -> Option<&Str> {
        self.client_id.as_ref()
    }

    /// These bytes came. Returns whether to go on: not with a client that is not traced.
    pub(crate) fn received(&mut self, bytes: &[u8], traces: &Traces) -> bool {
        let Self { client_id, inbound, outbound, .. } = self;
        let mut is_wanted = true;
        inbound.feed(bytes, |packet, len| {
            if let (Packet::Connect(connect), None) = (packet, &*client_id) {
                let Connect { client_id: id, version, .. } = &**connect;
                outbound.codec.set_version(*version);
                if !traces.has(id) {
                    is_wanted = false;
                    return;
                }
                *client_id = Some(id.detached());
            }
            if let Some(client_id) = client_id {
                say(client_id, "in", packet, len);
            }
        });
        // Before a CONNECT there is nothing to say, and after nonsense nothing to hear.
        is_wanted && (self.client_id.is_some() || !self.inbound.lost)
    }

    /// For one send: bytes that are taken from it are those that go out.
    pub(crate) fn copying<'a>(&'a mut self, transmit: &'a mut Transmit) -> Copying<'a> {
        Copying { transmit, sent: &mut self.sent }
    }

    /// After it. `all` says that nothing is left to send.
    pub(crate) fn sent(&mut self, all: bool) {
        let sent = self.sent.split();
        if self.aligned
            && let Some(client_id) = &self.client_id
        {
            self.outbound.feed(&sent, |packet, len| say(client_id, "out", packet, len));
        }
        self.aligned |= all;
    }
}

fn say(client_id: &Str, direction: &str, packet: &Packet, bytes: usize) {
    info!(
        target: TRACE,
        client = client_id.as_str(),
        direction,
        packet = packet.packet_type().name(),
        id = packet.packet_id().map(PacketId::get),
        bytes,
        "{}",
        Summary(packet)
    );
}

impl Side {
    fn new(version: Version, max_packet_size: u32) -> Self {
        let mut codec = Codec::new(version);
        codec.set_max_incoming(max_packet_size);
        Self { codec, buffer: BytesMut::new(), lost: false }
    }

    fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(&Packet, usize)) {
        if self.lost {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            let before = self.buffer.len();
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(packet)) => found(&packet, before - self.buffer.len()),
                Ok(None) => break,
                Err(error) => {
                    info!(target: TRACE, %error, "what follows is not MQTT");
                    self.lost = true;
                    break;
                }
            }
        }
        if self.lost || self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

/// What is to be sent, of which a copy is kept as it is taken.
pub(crate) struct Copying<'a> {
    transmit: &'a mut Transmit,
    sent: &'a mut BytesMut,
}

impl Buf for Copying<'_> {
    fn remaining(&self) -> usize {
        self.transmit.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.transmit.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.transmit.chunks_vectored(slices)
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let chunk = self.transmit.chunk();
            let taken = chunk.len().min(count);
            self.sent.extend_from_slice(&chunk[..taken]);
            self.transmit.advance(taken);
            count -= taken;
        }
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        let bytes = self.transmit.copy_to_bytes(len);
        self.sent.extend_from_slice(&bytes);
        bytes
    }
}
