//! How MQTT packets are laid into frames: many into one, or one into each.

use bytes::{Buf, Bytes, BytesMut};

/// What goes into one WebSocket frame.
///
/// The specification lets packets share and straddle frames as they like [MQTT-6.0.0-2], and many in one frame cost
/// a tenth of one in each. Some programs take a frame for a packet nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PacketsPerFrame {
    /// Everything that is ready, up to 16 KiB.
    #[default]
    Many,
    /// Exactly one whole MQTT packet, whatever its length. A packet that was handed over in part waits for its rest.
    Single,
}

/// Cuts a stream of bytes where MQTT packets end. It reads only the length in the fixed header.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    packet: BytesMut,
}

impl Cutter {
    /// Moves bytes from `data` until a packet is complete and gives it. `None` when `data` is used up before.
    pub(super) fn next(&mut self, data: &mut dyn Buf) -> Option<Bytes> {
        while data.has_remaining() {
            let want = match packet_len(&self.packet) {
                Len::Known(len) => len - self.packet.len(),
                Len::Unknown => 1,
            };
            let n = want.min(data.chunk().len());
            self.packet.extend_from_slice(&data.chunk()[..n]);
            data.advance(n);
            if matches!(packet_len(&self.packet), Len::Known(len) if len == self.packet.len()) {
                return Some(std::mem::take(&mut self.packet).freeze());
            }
        }
        None
    }
}

enum Len {
    Unknown,
    /// With the fixed header.
    Known(usize),
}

/// The length of the packet that begins with `head`: one byte, then seven bits a byte, the least first, at most four.
fn packet_len(head: &[u8]) -> Len {
    let mut len = 0;
    for (i, byte) in head.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * i);
        // A fifth byte would be malformed. That is for the peer to find; here the packet ends somewhere.
        if byte & 0x80 == 0 || i == 3 {
            return Len::Known(2 + i + len);
        }
    }
    Len::Unknown
}

#[cfg(test)]
mod tests {
    use super::Cutter;

    #[test]
    fn packets_are_cut_at_their_ends_however_they_come() {
        let mut long = vec![0x30, 0xC8, 0x01];
        long.extend([7; 200]);
        let packets = [vec![0xC0, 0], vec![0x30, 3, 0, 1, b'a'], long, vec![0xD0, 0]];
        let stream = packets.concat();
        for step in 1..stream.len() {
            let mut cutter = Cutter::default();
            let mut got = Vec::new();
            for mut part in stream.chunks(step) {
                while let Some(packet) = cutter.next(&mut part) {
                    got.push(packet.to_vec());
                }
                assert!(part.is_empty());
            }
            assert_eq!(got, packets, "{step} bytes at a time");
        }
    }

    #[test]
    fn a_malformed_length_still_ends() {
        let mut data = &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3][..];
        let mut cutter = Cutter::default();
        assert!(cutter.next(&mut data).is_none());
        assert!(data.is_empty());
    }
}
