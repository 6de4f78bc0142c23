//! The WebSocket frames of a client: headers to write, and a server's frames taken apart as they arrive.

/// The longest header that a client writes.
const LONGEST: usize = 14;
/// The longest payload of a control frame.
const LONGEST_CONTROL: usize = 125;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Appends the header of a binary frame, whose mask is zero and changes nothing.
pub(crate) fn put_header(out: &mut Vec<u8>, payload: usize) {
    put(out, BINARY, payload, true);
}

/// Appends the header of a binary frame of a server.
pub(crate) fn put_server_header(out: &mut Vec<u8>, payload: usize) {
    put(out, BINARY, payload, false);
}

fn put(out: &mut Vec<u8>, opcode: u8, payload: usize, client: bool) {
    let mask = if client { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload {
        0..=125 => out.push(mask | payload as u8),
        126..=0xffff => {
            out.push(mask | 0x7e);
            out.extend_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 0x7f);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    if client {
        out.extend_from_slice(&[0; 4]);
    }
}

/// Takes the peer's frames apart. Masks must be zero, as ours are.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: Vec<u8>,
    opcode: u8,
    left: u64,
    control: Vec<u8>,
}

/// A piece of what arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The next bytes of the stream inside.
    Bytes(&'a [u8]),
    /// A PING: this frame, whole, answers it.
    Answer(Vec<u8>),
    /// The peer closes, or what it sends is no frame for MQTT.
    End,
}

impl Frames {
    /// Takes the next piece from the front of `input`; `None` when it is used up.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        loop {
            if self.left > 0 {
                if input.is_empty() {
                    return None;
                }
                let count = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(count);
                (*input, self.left) = (rest, self.left - count as u64);
                if self.opcode < CLOSE {
                    return Some(Piece::Bytes(bytes));
                }
                self.control.extend_from_slice(bytes);
                if self.left > 0 {
                    continue;
                }
            } else if !self.take_header(input)? {
                return Some(Piece::End);
            }
            if self.left == 0 && self.opcode >= CLOSE {
                let payload = std::mem::take(&mut self.control);
                match self.opcode {
                    PING => {
                        let mut answer = Vec::with_capacity(LONGEST + payload.len());
                        put(&mut answer, PONG, payload.len(), true);
                        answer.extend_from_slice(&payload);
                        return Some(Piece::Answer(answer));
                    }
                    PONG => {}
                    _ => return Some(Piece::End),
                }
            }
        }
    }

    /// Reads a header: `None` while it is not complete, false when it cannot be.
    fn take_header(&mut self, input: &mut &[u8]) -> Option<bool> {
        loop {
            let length = self.header.get(1).map_or(0, |byte| byte & 0x7f);
            let extended = match length {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let mask = if self.header.get(1).is_some_and(|byte| byte & 0x80 != 0) { 4 } else { 0 };
            if self.header.len() == 2 + extended + mask {
                let number =
                    self.header[2..2 + extended].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
                self.left = if extended == 0 { length.into() } else { number };
                self.opcode = self.header[0] & 0x0f;
                let unmasked = self.header[2 + extended..].iter().all(|&byte| byte == 0);
                self.header.clear();
                let control = self.opcode >= CLOSE && self.left <= LONGEST_CONTROL as u64;
                return Some(unmasked && (control || matches!(self.opcode, CONTINUATION | BINARY)));
            }
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            self.header.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(stream: &[u8], size: usize) -> (Vec<u8>, Vec<Vec<u8>>, bool) {
        let (mut frames, mut inside, mut answers) = (Frames::default(), Vec::new(), Vec::new());
        for mut input in stream.chunks(size) {
            while let Some(piece) = frames.next(&mut input) {
                match piece {
                    Piece::Bytes(bytes) => inside.extend_from_slice(bytes),
                    Piece::Answer(frame) => answers.push(frame),
                    Piece::End => return (inside, answers, true),
                }
            }
        }
        (inside, answers, false)
    }

    #[test]
    fn however_the_frames_arrive_the_bytes_are_the_same() {
        let long = vec![7; 70_000];
        let mut stream = vec![0x82, 2, 1, 2, 0x89, 1, b'x', 0x02, 1, 3, 0x80, 1, 4, 0x8a, 0, 0x82, 0];
        put_server_header(&mut stream, 300);
        stream.extend_from_slice(&[5; 300]);
        put_header(&mut stream, long.len());
        stream.extend_from_slice(&long);
        let expected = [&[1, 2, 3, 4][..], &[5; 300], &long].concat();
        for size in [1, 2, 3, 5, 7, 1000, stream.len()] {
            let (inside, answers, end) = pieces(&stream, size);
            assert!(inside == expected && !end, "in pieces of {size}");
            assert_eq!(answers, [[0x8a, 0x81, 0, 0, 0, 0, b'x']]);
        }
    }

    #[test]
    fn a_close_or_a_text_is_the_end() {
        for stream in [&[0x88, 2, 3, 0xe8][..], &[0x88, 0], &[0x81, 1, b'x'], &[0x82, 0x81, 1, 2, 3, 4, 0]] {
            assert!(pieces(stream, 1).2, "{stream:?}");
        }
    }
}
