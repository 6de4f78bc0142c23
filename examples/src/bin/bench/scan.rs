//! Counts the packets that a broker sends, and answers those that want an answer, without decoding them.

/// What some bytes from the broker brought.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// PUBLISH packets.
    pub(crate) messages: u64,
    /// Messages of ours that the broker has done with: PUBACK, PUBCOMP, and a PUBREC that refuses.
    pub(crate) acked: u64,
    /// Those of them that it refused.
    pub(crate) refused: u64,
    /// Filters that a SUBACK grants.
    pub(crate) granted: u64,
    /// Filters that a SUBACK refuses.
    pub(crate) denied: u64,
    /// PINGRESP packets.
    pub(crate) pongs: u64,
    /// A CONNACK or DISCONNECT, whole, to be decoded at leisure.
    pub(crate) packet: Option<Vec<u8>>,
    /// The broker has accepted the client.
    pub(crate) accepted: bool,
    /// The connection has ended without that.
    pub(crate) unaccepted: bool,
}

/// Where the scanner puts what it finds.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) tally: &'a mut Tally,
    /// The acknowledgements that are due, unframed.
    pub(crate) reply: &'a mut Vec<u8>,
    /// Gets the nanoseconds of the stamp that each payload begins with, if the payloads are stamped.
    pub(crate) stamps: Option<&'a mut Vec<u64>>,
}

/// The state between two reads: a packet whose beginning was too short to tell, or whose end is still to come.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    v5: bool,
    /// The beginning of a packet, `need` bytes of which tell more.
    tail: Vec<u8>,
    need: usize,
    /// Bytes that are still to come of a packet that is counted.
    skip: usize,
}

/// How much of a packet was looked at.
enum Look {
    /// All that is needed; the packet is so long, which may be more than there is.
    Took(usize),
    /// This many bytes from its beginning are needed.
    Need(usize),
    /// It is no packet of a server.
    Nonsense,
}

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

impl Scanner {
    pub(crate) fn new(v5: bool) -> Self {
        Self { v5, ..Self::default() }
    }

    /// Takes the next bytes of the stream. False: they are not MQTT.
    #[must_use]
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return true;
            }
            if self.tail.is_empty() {
                match self.look(bytes, sink) {
                    Look::Took(len) if len <= bytes.len() => bytes = &bytes[len..],
                    Look::Took(len) => {
                        self.skip = len - bytes.len();
                        return true;
                    }
                    Look::Need(need) => {
                        self.tail.extend_from_slice(bytes);
                        self.need = need;
                        return true;
                    }
                    Look::Nonsense => return false,
                }
            } else {
                let (more, rest) = bytes.split_at(bytes.len().min(self.need - self.tail.len()));
                self.tail.extend_from_slice(more);
                bytes = rest;
                if self.tail.len() < self.need {
                    return true;
                }
                let tail = std::mem::take(&mut self.tail);
                match self.look(&tail, sink) {
                    Look::Took(len) => self.skip = len - tail.len(),
                    Look::Need(need) => (self.tail, self.need) = (tail, need),
                    Look::Nonsense => return false,
                }
            }
        }
    }

    /// Looks at the packet that begins here. It never needs more bytes than the packet has.
    #[inline]
    fn look(&self, bytes: &[u8], sink: &mut Sink<'_>) -> Look {
        let (body, header) = match varint(bytes, 1) {
            Ok(found) => found,
            Err(look) => return look,
        };
        let total = header + body;
        let tally = &mut *sink.tally;
        match bytes[0] >> 4 {
            PUBLISH => {
                let qos = bytes[0] >> 1 & 3;
                if qos > 0 || sink.stamps.is_some() {
                    match self.inside(bytes, header, qos, sink) {
                        Ok(()) => {}
                        Err(Look::Need(need)) if need > total => return Look::Nonsense,
                        Err(look) => return look,
                    }
                }
                sink.tally.messages += 1;
            }
            kind @ (PUBACK | PUBREC | PUBREL | PUBCOMP) => {
                if body < 2 {
                    return Look::Nonsense;
                }
                let need = header + body.min(3);
                if bytes.len() < need {
                    return Look::Need(need);
                }
                let id = [bytes[header], bytes[header + 1]];
                let refused = body > 2 && bytes[header + 2] >= 0x80;
                match kind {
                    PUBREL => put_ack(sink.reply, PUBCOMP << 4, id),
                    PUBREC if !refused => put_ack(sink.reply, PUBREL << 4 | 2, id),
                    _ => {
                        tally.acked += 1;
                        tally.refused += u64::from(refused);
                    }
                }
            }
            PINGRESP => tally.pongs += 1,
            kind @ (CONNACK | SUBACK | UNSUBACK | DISCONNECT | AUTH) => {
                if bytes.len() < total {
                    return Look::Need(total);
                }
                if kind == SUBACK {
                    let Some(codes) = self.suback(&bytes[header..total]) else { return Look::Nonsense };
                    let denied = codes.iter().filter(|&&code| code >= 0x80).count();
                    tally.denied += denied as u64;
                    tally.granted += (codes.len() - denied) as u64;
                } else if kind != UNSUBACK {
                    tally.packet = Some(bytes[..total].to_vec());
                }
            }
            _ => return Look::Nonsense,
        }
        Look::Took(total)
    }

    /// Looks for the identifier of a message and for its stamp.
    #[inline]
    fn inside(&self, bytes: &[u8], header: usize, qos: u8, sink: &mut Sink<'_>) -> Result<(), Look> {
        let &[high, low] = span(bytes, header, header + 2)? else { return Err(Look::Nonsense) };
        let mut at = header + 2 + usize::from(u16::from_be_bytes([high, low]));
        let mut id = [0; 2];
        if qos > 0 {
            let &[high, low] = span(bytes, at, at + 2)? else { return Err(Look::Nonsense) };
            id = [high, low];
            at += 2;
        }
        if let Some(stamps) = &mut sink.stamps {
            if self.v5 {
                let (properties, end) = varint(bytes, at)?;
                at = end + properties;
            }
            let stamp = span(bytes, at, at + 8)?.try_into().map_err(|_| Look::Nonsense)?;
            stamps.push(u64::from_be_bytes(stamp));
        }
        match qos {
            0 => {}
            1 => put_ack(sink.reply, PUBACK << 4, id),
            _ => put_ack(sink.reply, PUBREC << 4, id),
        }
        Ok(())
    }

    /// The reason codes of a SUBACK.
    fn suback<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        let codes = if self.v5 {
            let (properties, end) = varint(body, 2).ok()?;
            end + properties
        } else {
            2
        };
        body.get(codes..)
    }
}

#[inline]
fn span(bytes: &[u8], from: usize, to: usize) -> Result<&[u8], Look> {
    bytes.get(from..to).ok_or(Look::Need(to))
}

/// A variable byte integer and where it ends.
#[inline]
fn varint(bytes: &[u8], at: usize) -> Result<(usize, usize), Look> {
    let mut value = 0;
    for index in 0..4 {
        let &byte = bytes.get(at + index).ok_or(Look::Need(at + index + 1))?;
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, at + index + 1));
        }
    }
    Err(Look::Nonsense)
}

#[inline]
fn put_ack(reply: &mut Vec<u8>, first_byte: u8, id: [u8; 2]) {
    reply.extend_from_slice(&[first_byte, 2, id[0], id[1]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream brings when it arrives in pieces of this size.
    fn scan(v5: bool, stream: &[u8], piece: usize) -> (Tally, Vec<u8>, Vec<u64>) {
        let (mut tally, mut reply, mut stamps) = (Tally::default(), Vec::new(), Vec::new());
        let mut scanner = Scanner::new(v5);
        for bytes in stream.chunks(piece) {
            let mut sink = Sink { tally: &mut tally, reply: &mut reply, stamps: Some(&mut stamps) };
            assert!(scanner.feed(bytes, &mut sink));
        }
        assert!(scanner.tail.is_empty() && scanner.skip == 0, "every packet was complete");
        (tally, reply, stamps)
    }

    #[test]
    fn however_the_bytes_arrive_the_count_is_the_same() {
        let stream = [
            &[0x30, 13, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 7, 1, 2][..],
            &[0x32, 13, 0, 1, b'b', 0, 9, 0, 0, 0, 0, 0, 0, 0, 8],
            &[0x34, 13, 0, 1, b'c', 1, 2, 0, 0, 0, 0, 0, 0, 0, 9],
            &[0x40, 2, 0, 1, 0x50, 2, 0, 2, 0x62, 2, 1, 2, 0x70, 2, 0, 2],
            &[0x90, 5, 0, 1, 0, 1, 0x80, 0xd0, 0],
        ]
        .concat();
        for piece in 1..=stream.len() {
            let (tally, reply, stamps) = scan(false, &stream, piece);
            assert_eq!((tally.messages, tally.acked, tally.refused), (3, 2, 0));
            assert_eq!((tally.granted, tally.denied, tally.pongs), (2, 1, 1));
            assert_eq!(stamps, [7, 8, 9]);
            assert_eq!(reply, [0x40, 2, 0, 9, 0x50, 2, 1, 2, 0x62, 2, 0, 2, 0x70, 2, 1, 2]);
        }
    }

    #[test]
    fn properties_and_reason_codes_of_version_5() {
        let stream = [
            &[0x30, 15, 0, 1, b'a', 3, 0x23, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7][..],
            &[0x40, 3, 0, 1, 0x10, 0x40, 4, 0, 1, 0x97, 0, 0x50, 3, 0, 1, 0x97],
            &[0x90, 4, 0, 1, 0, 2],
        ]
        .concat();
        for piece in 1..=stream.len() {
            let (tally, reply, stamps) = scan(true, &stream, piece);
            assert_eq!((tally.messages, tally.acked, tally.refused, tally.granted), (1, 3, 2, 1));
            assert_eq!((stamps, reply), (vec![7], vec![]));
        }
    }

    #[test]
    fn what_no_server_sends_is_nonsense() {
        for stream in [&[0x10, 0][..], &[0x30, 0xff, 0xff, 0xff, 0xff], &[0x32, 3, 0, 1, b'a', 0, 0]] {
            let mut sink = Sink { tally: &mut Tally::default(), reply: &mut Vec::new(), stamps: None };
            assert!(!Scanner::new(false).feed(stream, &mut sink), "{stream:?}");
        }
    }
}
