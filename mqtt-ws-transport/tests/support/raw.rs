//! A peer made by hand: HTTP as text, WebSocket frames as bytes.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A correct upgrade request for `path`.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: broker.example:8083\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CONTINUE: u8 = 0;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame, masked as a client must.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = header(fin, opcode, payload.len(), true);
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
    frame
}

pub fn header(fin: bool, opcode: u8, len: usize, masked: bool) -> Vec<u8> {
    let mut header = vec![u8::from(fin) << 7 | opcode];
    let bit = u8::from(masked) << 7;
    match len {
        0..126 => header.push(bit | len as u8),
        126..65536 => {
            header.push(bit | 0x7E);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(bit | 0x7F);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header
}

pub struct RawPeer {
    pub stream: TcpStream,
    buf: Vec<u8>,
}

impl RawPeer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buf: Vec::new() }
    }

    /// Connects and upgrades.
    pub async fn open(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(upgrade("/mqtt")).await;
        let head = peer.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    pub async fn send(&mut self, data: impl AsRef<[u8]>) {
        self.stream.write_all(data.as_ref()).await.unwrap();
    }

    /// Sends a request and gives everything the server answers until it closes.
    pub async fn ask(address: SocketAddr, request: &str) -> String {
        let mut peer = Self::connect(address).await;
        peer.send(request).await;
        peer.read_to_end().await
    }

    pub async fn read_to_end(&mut self) -> String {
        self.stream.read_to_end(&mut self.buf).await.unwrap();
        String::from_utf8(std::mem::take(&mut self.buf)).unwrap()
    }

    pub async fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.buf.windows(4).position(|w| w == b"\r\n\r\n") {
                return String::from_utf8(self.buf.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.stream.read_buf(&mut self.buf).await.unwrap() > 0, "no head");
        }
    }

    /// The next frame of the server: opcode and payload. `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, start, len)) = parse(&self.buf)
                && self.buf.len() >= start + len
            {
                let frame: Vec<u8> = self.buf.drain(..start + len).collect();
                return Some((opcode, frame[start..].to_vec()));
            }
            if self.stream.read_buf(&mut self.buf).await.unwrap() == 0 {
                assert!(self.buf.is_empty(), "the stream ends within a frame");
                return None;
            }
        }
    }

    /// The code of the close frame, before which the echo of what was good may come.
    pub async fn close_code_at_last(&mut self) -> u16 {
        loop {
            match self.frame().await.expect("a close frame, not the end") {
                (BINARY, _) => {}
                (CLOSE, payload) => return u16::from_be_bytes([payload[0], payload[1]]),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code of the close frame that must come next.
    pub async fn close_code(&mut self) -> u16 {
        let (opcode, payload) = self.frame().await.expect("a close frame, not the end");
        assert_eq!(opcode, CLOSE);
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

fn parse(buf: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = buf else { return None };
    assert_eq!(second & 0x80, 0, "a server must not mask");
    assert_eq!(first & 0x80, 0x80, "we never fragment");
    Some(match second {
        126 => (first & 15, 4, usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().unwrap()))),
        127 => (first & 15, 10, u64::from_be_bytes(rest.get(..8)?.try_into().unwrap()) as usize),
        len => (first & 15, 2, usize::from(*len)),
    })
}
