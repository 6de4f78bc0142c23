//! Frames: from bytes to payload and events by the rules of RFC 6455 section 5, and back. No IO.
//!
//! The headers are tungstenite's. Its codec is not used: it keeps a read buffer for the whole life of a connection
//! that grows to the largest frame seen, and gives a frame only when all of it has arrived. Here payload goes
//! straight to whoever wants it, as it comes.

use super::close::{CloseReason, Violation};
use super::mask::{self, Masks};
use bytes::{Buf, BufMut, BytesMut};
use std::io::Cursor;
use tungstenite::error::{Error as WsError, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;
/// The most a control frame carries.
pub(super) const MAX_CONTROL: usize = 125;

/// Takes the frames of one direction apart.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Whether the peer must mask what it sends; otherwise it must not.
    masked: bool,
    max_frame: usize,
    max_message: usize,
    /// A header of which a part has arrived.
    header: [u8; MAX_HEADER],
    header_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    /// The kind of the latest message.
    kind: Kind,
    /// The payload of a control frame of which a part has arrived.
    control: Vec<u8>,
}

/// A frame whose header is complete.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    left: usize,
    mask: Option<[u8; 4]>,
}

/// A message whose first frame has begun.
#[derive(Debug, Clone, Copy)]
struct Message {
    kind: Kind,
    /// Bytes announced by its frames so far.
    len: usize,
}

/// The two kinds of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Binary,
    Text,
}

#[derive(Debug)]
pub(super) enum Event {
    /// A message is complete, its payload has been given.
    Message(Kind),
    Ping(Vec<u8>),
    Pong,
    Close(CloseReason),
}

/// Why nothing more can be taken from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Violation(Violation),
    TooLarge { size: usize, limit: usize },
    Text,
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Decoder {
    pub(super) fn new(masked: bool, max_frame: usize, max_message: usize) -> Self {
        Self {
            masked,
            max_frame,
            max_message,
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            message: None,
            kind: Kind::Binary,
            control: Vec::new(),
        }
    }

    /// The kind of the message that arrives or has arrived last.
    pub(super) fn last_kind(&self) -> Kind {
        self.kind
    }

    /// Takes bytes off `input`, appending the payload of messages to `out`, up to the next event. `None` when the
    /// input is used up. After an error no more may be decoded.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        out: &mut BytesMut,
        text_allowed: bool,
    ) -> Result<Option<Event>, Fault> {
        loop {
            if self.frame.is_none() {
                let Some((header, len)) = self.header(input)? else { return Ok(None) };
                self.frame = Some(self.begin(&header, len, text_allowed)?);
            }
            let Some(frame) = &mut self.frame else { return Ok(None) };
            let n = frame.left.min(input.len());
            let (payload, rest) = input.split_at(n);
            *input = rest;
            frame.left -= n;
            if matches!(frame.opcode, OpCode::Control(_)) {
                let start = self.control.len();
                self.control.extend_from_slice(payload);
                if let Some(mask) = &mut frame.mask {
                    mask::apply(&mut self.control[start..], mask);
                }
            } else if let Some(mask) = &mut frame.mask {
                mask::append(out, payload, mask);
            } else {
                out.extend_from_slice(payload);
            }
            if frame.left > 0 {
                return Ok(None);
            }
            let (opcode, is_final) = (frame.opcode, frame.is_final);
            self.frame = None;
            match opcode {
                OpCode::Control(control) => {
                    let payload = std::mem::take(&mut self.control);
                    return Ok(Some(match control {
                        Control::Ping => Event::Ping(payload),
                        Control::Close => Event::Close(close_reason(&payload)?),
                        _ => Event::Pong,
                    }));
                }
                OpCode::Data(_) if is_final => {
                    if let Some(message) = self.message.take() {
                        return Ok(Some(Event::Message(message.kind)));
                    }
                }
                OpCode::Data(_) => {}
            }
        }
    }

    /// The next header with the length it announces, once it is complete.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<(FrameHeader, u64)>, Fault> {
        if self.header_len == 0 {
            // Mostly a header lies in one piece.
            let mut cursor = Cursor::new(*input);
            if let Some(found) = parse(&mut cursor)? {
                *input = &input[usize::try_from(cursor.position()).unwrap_or(input.len())..];
                return Ok(Some(found));
            }
        }
        while let [byte, rest @ ..] = *input {
            self.header[self.header_len] = *byte;
            self.header_len += 1;
            *input = rest;
            if let Some(found) = parse(&mut Cursor::new(&self.header[..self.header_len]))? {
                self.header_len = 0;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Checks a header: RFC 6455 sections 5.1 (mask), 5.2 (reserved bits), 5.4 (fragments), 5.5 (control frames).
    fn begin(&mut self, header: &FrameHeader, len: u64, text_allowed: bool) -> Result<Frame, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBits.into());
        }
        match (self.masked, header.mask.is_some()) {
            (true, false) => return Err(Violation::NotMasked.into()),
            (false, true) => return Err(Violation::Masked.into()),
            _ => {}
        }
        // A length beyond what this machine can address is beyond every limit.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(Violation::FragmentedControl.into()),
            OpCode::Control(_) if len > MAX_CONTROL => return Err(Violation::LongControl.into()),
            OpCode::Control(Control::Close) if len == 1 => return Err(Violation::BadClose.into()),
            OpCode::Control(_) => {}
            OpCode::Data(data) => {
                let so_far = match (data, self.message) {
                    (Data::Continue, None) => return Err(Violation::NothingToContinue.into()),
                    (Data::Continue, Some(message)) => message,
                    (_, Some(_)) => return Err(Violation::Interleaved.into()),
                    (Data::Text, None) if !text_allowed => return Err(Fault::Text),
                    (Data::Text, None) => Message { kind: Kind::Text, len: 0 },
                    (_, None) => Message { kind: Kind::Binary, len: 0 },
                };
                if len > self.max_frame {
                    return Err(Fault::TooLarge { size: len, limit: self.max_frame });
                }
                let size = so_far.len.saturating_add(len);
                if size > self.max_message {
                    return Err(Fault::TooLarge { size, limit: self.max_message });
                }
                self.kind = so_far.kind;
                self.message = Some(Message { len: size, ..so_far });
            }
        }
        Ok(Frame { opcode: header.opcode, is_final: header.is_final, left: len, mask: header.mask })
    }
}

fn parse(cursor: &mut Cursor<impl AsRef<[u8]>>) -> Result<Option<(FrameHeader, u64)>, Fault> {
    FrameHeader::parse(cursor).map_err(|error| {
        Fault::Violation(match error {
            WsError::Protocol(ProtocolError::InvalidOpcode(code)) => Violation::Opcode(code),
            _ => Violation::Other,
        })
    })
}

/// RFC 6455 section 5.5.1: nothing, or a code that may be sent and UTF-8.
fn close_reason(payload: &[u8]) -> Result<CloseReason, Fault> {
    let [high, low, text @ ..] = payload else { return Ok(CloseReason::NO_STATUS) };
    let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
    if !code.is_allowed() {
        return Err(Violation::BadClose.into());
    }
    let text = std::str::from_utf8(text).map_err(|_| Violation::InvalidUtf8)?;
    Ok(CloseReason::received(code.into(), text))
}

/// The header of an unmasked frame with a whole binary message in it, and how long it is.
pub(super) fn binary_header(payload: usize) -> ([u8; MAX_HEADER], usize) {
    let header = FrameHeader { is_final: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    let mut bytes = [0; MAX_HEADER];
    let mut room = &mut bytes[..];
    // There is room for the longest.
    header.format(payload as u64, &mut room).ok();
    let len = MAX_HEADER - room.len();
    (bytes, len)
}

/// Puts frames together.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Only a client masks.
    masks: Option<Box<Masks>>,
}

impl Encoder {
    pub(super) fn new(masked: bool) -> Self {
        Self { masks: masked.then(|| Box::new(Masks::new())) }
    }

    /// Whether something is laid over what is sent.
    pub(super) fn masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Appends a whole message of the next `len` bytes of `data` to `out`.
    pub(super) fn message(&mut self, kind: Kind, data: &mut dyn Buf, len: usize, out: &mut BytesMut) {
        let opcode = match kind {
            Kind::Binary => Data::Binary,
            Kind::Text => Data::Text,
        };
        self.frame(OpCode::Data(opcode), data, len, out);
    }

    pub(super) fn ping(&mut self, mut payload: &[u8], out: &mut BytesMut) {
        let len = payload.len();
        self.frame(OpCode::Control(Control::Ping), &mut payload, len, out);
    }

    pub(super) fn pong(&mut self, mut payload: &[u8], out: &mut BytesMut) {
        let len = payload.len();
        self.frame(OpCode::Control(Control::Pong), &mut payload, len, out);
    }

    pub(super) fn close(&mut self, reason: &CloseReason, out: &mut BytesMut) {
        let mut payload = Vec::new();
        if reason.code() != CloseReason::NO_STATUS.code() {
            payload.extend_from_slice(&reason.code().to_be_bytes());
            payload.extend_from_slice(reason.reason().as_bytes());
        }
        self.frame(OpCode::Control(Control::Close), &mut payload.as_slice(), payload.len(), out);
    }

    fn frame(&mut self, opcode: OpCode, data: &mut dyn Buf, len: usize, out: &mut BytesMut) {
        let mask = self.masks.as_mut().map(|masks| masks.next());
        let header = FrameHeader { is_final: true, opcode, mask, ..FrameHeader::default() };
        out.reserve(MAX_HEADER + len);
        // Writing to memory does not fail.
        header.format(len as u64, &mut out.writer()).ok();
        let mut data = data.take(len);
        let Some(mut mask) = mask else { return out.put(data) };
        while data.has_remaining() {
            let chunk = data.chunk();
            let n = chunk.len();
            mask::append(out, chunk, &mut mask);
            data.advance(n);
        }
    }
}
