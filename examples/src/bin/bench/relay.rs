//! The floor: what it costs to take bytes from one socket and write them to others, in the same frames, without MQTT.
//!
//! It answers CONNECT and SUBSCRIBE so that clients get going, and looks at the topic of a client's first PUBLISH to
//! learn where its bytes go: to whoever subscribed exactly that topic, or a filter that ends in `+` or `#` one level
//! up. From then on it copies what it reads, and, where there is one receiver, what that one answers. So QoS 1 and 2
//! are between the clients of a pair. Where many write to one it relies on reads that end where packets end, which they
//! do while a client's batches are smaller than its socket's buffer. No broker can be cheaper.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use mqttkit_codec::{Codec, ConnAck, EncodePacket, Packet, ReasonCode, SubAck, Version};

use crate::frame::{self, Frames, Piece};
use crate::target::{WS_ACCEPT, WS_KEY};

#[derive(Debug, Clone, Args)]
pub(crate) struct RelayOptions {
    /// Where to listen. Port 0 picks a free one, which is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    /// Expect WebSocket connections of this program.
    #[arg(long)]
    websocket: bool,
}

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER: usize = 256 << 10;
/// Nothing more is read from a client while so many bytes wait for a receiver.
const BACKLOG: usize = 1 << 20;

#[derive(Debug)]
struct Client {
    socket: TcpStream,
    /// The HTTP request, while it is awaited.
    request: Option<Vec<u8>>,
    frames: Option<Frames>,
    codec: Codec,
    /// MQTT bytes, until it is known where they go.
    input: BytesMut,
    /// Where bytes go, once it is known.
    targets: Vec<usize>,
    out: Vec<u8>,
    written: usize,
}

/// Runs until it is killed.
pub(crate) fn run(options: &RelayOptions) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(options.listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let scheme = if options.websocket { "ws" } else { "tcp" };
    println!("listening {scheme} {}", listener.local_addr()?);
    let mut relay = Relay {
        clients: Vec::new(),
        free: Vec::new(),
        filters: HashMap::new(),
        buffer: vec![0; READ_BUFFER],
        dirty: Vec::new(),
        held: Vec::new(),
        websocket: options.websocket,
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, Some(Duration::from_secs(1))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            done => done?,
        }
        for event in &events {
            if event.token() == LISTENER {
                relay.accept(&listener, &poll)?;
            } else {
                if event.is_writable() {
                    relay.flush(event.token().0);
                }
                if event.is_readable() {
                    relay.read(event.token().0);
                }
            }
        }
        for index in std::mem::take(&mut relay.dirty) {
            relay.flush(index);
        }
        for index in std::mem::take(&mut relay.held) {
            relay.read(index);
        }
    }
}

#[derive(Debug)]
struct Relay {
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    filters: HashMap<String, Vec<usize>>,
    buffer: Vec<u8>,
    /// Have something to write.
    dirty: Vec<usize>,
    /// Are readable, but somebody they write to is behind.
    held: Vec<usize>,
    websocket: bool,
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<(), Box<dyn Error>> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            self.clients[index] = Some(Client {
                socket,
                request: self.websocket.then(Vec::new),
                frames: self.websocket.then(Frames::default),
                codec: Codec::new(Version::V311),
                input: BytesMut::new(),
                targets: Vec::new(),
                out: Vec::new(),
                written: 0,
            });
        }
    }

    /// Reads until there is no more, and passes it on.
    fn read(&mut self, index: usize) {
        loop {
            if self.is_behind(index) {
                return;
            }
            let Some(client) = &mut self.clients[index] else { return };
            let count = match client.socket.read(&mut self.buffer) {
                Ok(0) => return self.end(index),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.end(index),
            };
            let buffer = std::mem::take(&mut self.buffer);
            let done = self.take(index, &buffer[..count]);
            self.buffer = buffer;
            if done.is_none() {
                return self.end(index);
            }
            if count < READ_BUFFER {
                return;
            }
        }
    }

    /// Whether somebody this client writes to is behind; then it is read from in a later turn.
    fn is_behind(&mut self, index: usize) -> bool {
        let Some(client) = &self.clients[index] else { return false };
        let behind = client.targets.iter().any(|&target| {
            self.clients[target].as_ref().is_some_and(|target| target.out.len() - target.written > BACKLOG)
        });
        if behind {
            self.held.push(index);
        }
        behind
    }

    /// `None`: it is nothing this relay understands.
    fn take(&mut self, index: usize, mut bytes: &[u8]) -> Option<()> {
        let client = self.clients[index].as_mut()?;
        if let Some(request) = &mut client.request {
            request.extend_from_slice(bytes);
            if !request.ends_with(b"\r\n\r\n") {
                return Some(());
            }
            // Only this program's own key has an answer here.
            let text = std::str::from_utf8(request).ok()?;
            let protocol = text.contains(WS_KEY).then_some("Sec-WebSocket-Protocol: mqtt\r\n")?;
            client.out.extend_from_slice(
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {WS_ACCEPT}\r\n{protocol}\r\n"
                )
                .as_bytes(),
            );
            client.request = None;
            self.dirty.push(index);
            return Some(());
        }
        let Some(mut frames) = client.frames.take() else { return self.pass_on(index, &[bytes]) };
        let mut pieces = Vec::new();
        while let Some(piece) = frames.next(&mut bytes) {
            match piece {
                Piece::Bytes(inside) => pieces.push(inside),
                Piece::Answer(_) => {}
                Piece::End => return None,
            }
        }
        let done = self.pass_on(index, &pieces);
        self.clients[index].as_mut()?.frames = Some(frames);
        done
    }

    fn pass_on(&mut self, index: usize, pieces: &[&[u8]]) -> Option<()> {
        let client = self.clients[index].as_mut()?;
        if client.targets.is_empty() {
            for piece in pieces {
                client.input.extend_from_slice(piece);
            }
            return self.understand(index);
        }
        let targets = std::mem::take(&mut client.targets);
        let total = pieces.iter().map(|piece| piece.len()).sum();
        for &target in &targets {
            let Some(client) = &mut self.clients[target] else { continue };
            if self.websocket {
                frame::put_server_header(&mut client.out, total);
            }
            for piece in pieces {
                client.out.extend_from_slice(piece);
            }
            self.dirty.push(target);
        }
        self.clients[index].as_mut()?.targets = targets;
        Some(())
    }

    /// The packets until it is known where the bytes go.
    fn understand(&mut self, index: usize) -> Option<()> {
        loop {
            let client = self.clients[index].as_mut()?;
            let whole = client.input.clone();
            let packet = client.codec.decode(&mut client.input).ok()?;
            match packet {
                None => return Some(()),
                Some(Packet::Connect(_)) => self.answer(index, &ConnAck::accepted(false))?,
                Some(Packet::Subscribe(subscribe)) => {
                    let mut reasons = Vec::new();
                    for subscription in subscribe.subscriptions.iter() {
                        let filter = subscription.filter.as_str().trim_end_matches(['+', '#']).to_owned();
                        self.filters.entry(filter).or_default().push(index);
                        reasons.push(ReasonCode::granted(subscription.options.qos));
                    }
                    self.answer(index, &SubAck::new(subscribe.packet_id, reasons))?;
                }
                Some(Packet::Publish(publish)) => {
                    let topic = publish.topic.as_str();
                    let above = topic.rfind('/').map_or("", |slash| &topic[..=slash]);
                    let targets = self.filters.get(topic).or_else(|| self.filters.get(above))?.clone();
                    if let &[target] = &targets[..] {
                        let back = self.clients[target].as_mut()?;
                        back.targets = vec![index];
                    }
                    let client = self.clients[index].as_mut()?;
                    client.targets = targets;
                    client.input = BytesMut::new();
                    return self.pass_on(index, &[&whole]);
                }
                Some(_) => {}
            }
        }
    }

    fn answer<P: EncodePacket>(&mut self, index: usize, packet: &P) -> Option<()> {
        let client = self.clients[index].as_mut()?;
        let mut bytes = BytesMut::new();
        client.codec.encode(packet, &mut bytes).ok()?;
        if self.websocket {
            frame::put_server_header(&mut client.out, bytes.len());
        }
        client.out.extend_from_slice(&bytes);
        self.dirty.push(index);
        Some(())
    }

    fn flush(&mut self, index: usize) {
        let Some(client) = &mut self.clients[index] else { return };
        while client.written < client.out.len() {
            match client.socket.write(&client.out[client.written..]) {
                Ok(count) => client.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.end(index),
            }
        }
        if client.written == client.out.len() {
            client.out.clear();
            client.written = 0;
        }
    }

    fn end(&mut self, index: usize) {
        self.clients[index] = None;
        self.free.push(index);
        for targets in self.filters.values_mut() {
            targets.retain(|&target| target != index);
        }
        self.filters.retain(|_, targets| !targets.is_empty());
        for client in self.clients.iter_mut().flatten() {
            client.targets.retain(|&target| target != index);
        }
    }
}
