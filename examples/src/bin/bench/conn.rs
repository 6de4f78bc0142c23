//! One connection: from the socket to the CONNACK, then packets in and out.

use std::error::Error;
use std::io::{self, ErrorKind};

use bytes::BytesMut;
use mio::{Interest, Registry, Token};
use mqttkit_codec::{Codec, Packet, ReasonCode};

use crate::frame::{self, Frames, Piece};
use crate::scan::{Scanner, Sink, Tally};
use crate::stream::Stream;
use crate::target::Target;

#[derive(Debug)]
pub(crate) struct Conn {
    stream: Stream,
    phase: Phase,
    scanner: Scanner,
    /// `None` without WebSocket.
    frames: Option<Frames>,
    /// What the socket did not take yet, from `written` on.
    out: Vec<u8>,
    written: usize,
    /// The CONNECT until it is sent, then the head of the HTTP response as far as it has come.
    hello: Vec<u8>,
    head: Vec<u8>,
    /// How many unacknowledged messages the broker takes.
    receive_maximum: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Upgrading,
    Greeting,
    Ready,
    Closed,
}

/// What all connections share while one of them reads.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) target: &'a Target,
    pub(crate) buffer: &'a mut [u8],
    pub(crate) reply: &'a mut Vec<u8>,
    /// Where the stamps of payloads go, if they are wanted.
    pub(crate) stamps: Option<&'a mut Vec<u64>>,
}

type Done = Result<(), Box<dyn Error>>;

impl Conn {
    /// Begins to connect. `number` makes the client identifier.
    pub(crate) fn open(
        target: &Target,
        number: usize,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, Box<dyn Error>> {
        let mut stream = Stream::connect(target.address, target.tls.as_ref())?;
        registry.register(stream.socket(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            phase: Phase::Opening,
            scanner: Scanner::new(target.version == mqttkit_codec::Version::V5),
            frames: target.is_websocket().then(Frames::default),
            out: Vec::new(),
            written: 0,
            hello: target.connect(number)?,
            head: Vec::new(),
            receive_maximum: u16::MAX,
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub(crate) fn receive_maximum(&self) -> u16 {
        self.receive_maximum
    }

    /// Bytes that wait for the socket.
    pub(crate) fn backlog(&self) -> usize {
        self.out.len() - self.written
    }

    pub(crate) fn close(&mut self, registry: &Registry) {
        self.phase = Phase::Closed;
        registry.deregister(self.stream.socket()).ok();
        self.stream.socket().shutdown(std::net::Shutdown::Both).ok();
    }

    /// Sends bytes that are framed already; what the socket does not take follows when it is writable.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.out.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends packets that are not framed yet.
    pub(crate) fn send_packets(&mut self, packets: &[u8]) -> io::Result<()> {
        if self.frames.is_none() {
            return self.send(packets);
        }
        frame::put_header(&mut self.out, packets.len());
        self.out.extend_from_slice(packets);
        self.flush()
    }

    /// The socket is writable.
    pub(crate) fn on_writable(&mut self, target: &Target) -> Done {
        if self.phase == Phase::Opening {
            if let Some(error) = self.stream.socket().take_error()? {
                return Err(error.into());
            }
            if self.stream.socket().peer_addr().is_err() {
                return Ok(());
            }
            self.stream.socket().set_nodelay(true)?;
            if let Some(request) = &target.upgrade {
                self.phase = Phase::Upgrading;
                self.send(request)?;
            } else {
                self.greet()?;
            }
        }
        Ok(self.flush()?)
    }

    /// The socket is readable: takes everything there is.
    pub(crate) fn on_readable(&mut self, shared: &mut Shared<'_>, tally: &mut Tally) -> Done {
        loop {
            let count = match self.stream.read(shared.buffer) {
                Ok(0) => return Err("the broker closed the connection".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let full = count == shared.buffer.len();
            let mut start = 0;
            if self.phase == Phase::Upgrading {
                let Some(rest) = self.upgraded(&shared.buffer[..count])? else { continue };
                start = rest;
                self.greet()?;
            }
            self.take(&shared.buffer[start..count], &mut shared.stamps, shared.reply, tally)?;
            if let Some(packet) = tally.packet.take() {
                self.understand(&packet, shared.target)?;
                tally.accepted = true;
            }
            if !shared.reply.is_empty() {
                self.send_packets(shared.reply)?;
                shared.reply.clear();
            }
            if !full && self.stream.short_read_is_last() {
                return Ok(());
            }
        }
    }

    fn take(
        &mut self,
        mut bytes: &[u8],
        stamps: &mut Option<&mut Vec<u64>>,
        reply: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Done {
        const NONSENSE: &str = "the broker sends what is not MQTT";
        let Some(frames) = &mut self.frames else {
            let mut sink = Sink { tally, reply, stamps: stamps.as_deref_mut() };
            return if self.scanner.feed(bytes, &mut sink) { Ok(()) } else { Err(NONSENSE.into()) };
        };
        while let Some(piece) = frames.next(&mut bytes) {
            match piece {
                Piece::Bytes(inside) => {
                    let mut sink = Sink { tally, reply, stamps: stamps.as_deref_mut() };
                    if !self.scanner.feed(inside, &mut sink) {
                        return Err(NONSENSE.into());
                    }
                }
                Piece::Answer(frame) => self.out.extend_from_slice(&frame),
                Piece::End => return Err("the broker closed the WebSocket".into()),
            }
        }
        Ok(self.flush()?)
    }

    /// Where the HTTP response ends, once it does.
    fn upgraded(&mut self, bytes: &[u8]) -> Result<Option<usize>, Box<dyn Error>> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if before > 16 << 10 { Err("an endless HTTP response".into()) } else { Ok(None) };
        };
        let line = self.head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        if !line.starts_with(b"HTTP/1.1 101") {
            return Err(format!("no WebSocket here: {}", String::from_utf8_lossy(line)).into());
        }
        self.head = Vec::new();
        Ok(Some(end + 4 - before))
    }

    fn greet(&mut self) -> Done {
        self.phase = Phase::Greeting;
        let hello = std::mem::take(&mut self.hello);
        Ok(self.send_packets(&hello)?)
    }

    /// A CONNACK or a DISCONNECT.
    fn understand(&mut self, packet: &[u8], target: &Target) -> Done {
        match Codec::new(target.version).decode(&mut BytesMut::from(packet))? {
            Some(Packet::ConnAck(connack)) if connack.reason == ReasonCode::Success => {
                self.phase = Phase::Ready;
                if let Some(maximum) = connack.properties.receive_maximum() {
                    self.receive_maximum = maximum.get();
                }
                Ok(())
            }
            Some(Packet::ConnAck(connack)) => {
                Err(format!("the broker refuses the client: {:?}", connack.reason).into())
            }
            Some(Packet::Disconnect(disconnect)) => {
                Err(format!("the broker says goodbye: {:?}", disconnect.reason).into())
            }
            other => Err(format!("an unexpected packet: {other:?}").into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.backlog() > 0 {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        self.stream.flush()
    }
}
