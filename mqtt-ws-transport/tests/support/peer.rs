//! The other side of a test, with no line of ours in it: blocking sockets, rustls and tungstenite on a thread.

use super::bodies::HELLO;
use mqttkit_ws_transport::Scheme;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

trait ReadWrite: Read + Write + Send {
    /// Says goodbye as the kind of stream requires.
    fn end(&mut self);
}

impl ReadWrite for TcpStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).ok();
    }
}

impl ReadWrite for StreamOwned<ServerConnection, TcpStream> {
    fn end(&mut self) {
        self.conn.send_close_notify();
        self.flush().ok();
        self.sock.end();
    }
}

impl ReadWrite for StreamOwned<ClientConnection, TcpStream> {
    fn end(&mut self) {
        self.conn.send_close_notify();
        self.flush().ok();
        self.sock.end();
    }
}

/// One connection.
pub enum Peer {
    Bytes(Box<dyn ReadWriteAny>),
    Ws(Box<WebSocket<Box<dyn ReadWriteAny>>>, Option<u16>),
}

/// Hides the trait above from the public names of this module.
#[allow(private_bounds, reason = "tests only")]
pub trait ReadWriteAny: ReadWrite {}
impl<T: ReadWrite> ReadWriteAny for T {}

impl Peer {
    /// The server's side of the handshakes.
    pub fn accept(socket: TcpStream, scheme: Scheme, tls: &Arc<ServerConfig>) -> Self {
        socket.set_nodelay(true).unwrap();
        let stream: Box<dyn ReadWriteAny> = if scheme.is_tls() {
            Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(tls)).unwrap(), socket))
        } else {
            Box::new(socket)
        };
        if !scheme.is_websocket() {
            return Self::Bytes(stream);
        }
        #[allow(clippy::result_large_err, reason = "tungstenite's type")]
        let answer = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/mqtt");
            assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
            Ok(response)
        };
        Self::Ws(Box::new(tungstenite::accept_hdr(stream, answer).unwrap()), None)
    }

    /// The client's side of the handshakes.
    pub fn connect(address: SocketAddr, scheme: Scheme, tls: &Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let stream: Box<dyn ReadWriteAny> = if scheme.is_tls() {
            let name = ServerName::try_from("localhost").unwrap();
            Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).unwrap(), socket))
        } else {
            Box::new(socket)
        };
        if !scheme.is_websocket() {
            return Self::Bytes(stream);
        }
        let request = tungstenite::ClientRequestBuilder::new("ws://localhost/mqtt".parse().unwrap())
            .with_sub_protocol("mqtt");
        let (ws, response) = tungstenite::client::client_with_config(request, stream, None).unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
        Self::Ws(Box::new(ws), None)
    }

    /// Some bytes; none at the clean end.
    pub fn recv(&mut self) -> Vec<u8> {
        match self {
            Self::Bytes(stream) => {
                let mut buf = vec![0; 20_000];
                let n = stream.read(&mut buf).unwrap();
                buf.truncate(n);
                buf
            }
            Self::Ws(ws, code) => loop {
                match ws.read() {
                    Ok(Message::Binary(data)) if data.is_empty() => {}
                    Ok(Message::Binary(data)) => return data.into(),
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(frame)) => *code = frame.map(|frame| frame.code.into()),
                    Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                        return Vec::new();
                    }
                    other => panic!("{other:?}"),
                }
            },
        }
    }

    /// Everything until the clean end.
    pub fn recv_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let some = self.recv();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    pub fn recv_exact(&mut self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let some = self.recv();
            assert!(!some.is_empty(), "ended after {} of {len} bytes", all.len());
            all.extend(some);
        }
        assert_eq!(all.len(), len);
        all
    }

    pub fn send(&mut self, data: &[u8]) {
        match self {
            Self::Bytes(stream) => {
                stream.write_all(data).unwrap();
                stream.flush().unwrap();
            }
            Self::Ws(ws, _) => ws.send(Message::binary(data.to_vec())).unwrap(),
        }
    }

    /// Says goodbye and waits for the other side's.
    pub fn close(mut self) -> Option<u16> {
        match &mut self {
            Self::Bytes(stream) => stream.end(),
            // It may be closed already: tungstenite answers a close frame by itself.
            Self::Ws(ws, _) => drop(ws.close(None)),
        }
        self.recv_all();
        self.code()
    }

    /// The code of the close frame that has come.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Bytes(_) => None,
            Self::Ws(_, code) => *code,
        }
    }

    /// Sends everything back until the clean end, then says goodbye.
    pub fn echo(mut self) {
        loop {
            let data = self.recv();
            if data.is_empty() {
                self.close();
                return;
            }
            self.send(&data);
        }
    }
}

/// Nothing here takes that long, unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A server that treats its one connection as `conduct` says.
pub fn serve<T: Send + 'static>(
    conduct: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        conduct(socket)
    });
    (address, thread)
}

/// The same with the handshakes done and the first words exchanged.
pub fn serve_peer<T: Send + 'static>(
    scheme: Scheme,
    tls: Arc<ServerConfig>,
    conduct: impl FnOnce(Peer) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    serve(move |socket| {
        let mut peer = Peer::accept(socket, scheme, &tls);
        assert_eq!(peer.recv_exact(HELLO.len()), HELLO);
        peer.send(HELLO);
        conduct(peer)
    })
}
