//! What a connection takes that does nothing: measured by the allocator, so that nobody makes it more without noticing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use mqttkit_broker_core::{Broker, Listen};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// So many that what all of them share does not count, and that the tables are about as full as they are on average.
const COUNT: usize = 700;

const UPGRADE: &[u8] =
    b"GET /mqtt HTTP/1.1\r\nHost: broker.example:8083\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: mqtt\r\n\r\n";

struct Client {
    socket: TcpStream,
    websocket: bool,
}

impl Client {
    /// Connects with a keep-alive of a minute and subscribes to a topic of its own.
    fn new(address: SocketAddr, websocket: bool, number: usize) -> Self {
        let mut client = Self { socket: TcpStream::connect(address).unwrap(), websocket };
        if websocket {
            client.socket.write_all(UPGRADE).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.socket.read_exact(&mut byte).unwrap();
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
        }
        let text = format!("client-{number:05}");
        client.asks(&[b"\x10\x18\0\x04MQTT\x04\x02\0\x3c\0\x0c", text.as_bytes()], b"\x20\x02\0\0");
        client.asks(&[b"\x82\x11\0\x01\0\x0c", text.as_bytes(), b"\0"], b"\x90\x03\0\x01\0");
        client
    }

    fn asks(&mut self, packet: &[&[u8]], answer: &[u8]) {
        let packet = packet.concat();
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        if self.websocket {
            // A mask of zeros changes nothing.
            sent.extend([0x82, 0x80 | packet.len() as u8, 0, 0, 0, 0]);
            expected.extend([0x82, answer.len() as u8]);
        }
        sent.extend(packet);
        expected.extend(answer);
        self.socket.write_all(&sent).unwrap();
        let mut got = vec![0; expected.len()];
        self.socket.read_exact(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}

/// Bytes and allocations of one idle connection with one subscription.
fn measure(listen: Listen, websocket: bool) -> (usize, usize) {
    // The clients are on a thread of their own, and do not count.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let broker = Broker::builder().build();
    let listening = runtime.block_on(broker.listen(listen)).unwrap();
    let address = listening.local_addr();
    let mut clients = None;
    let taken = allocation_counter::measure(|| {
        let (done, all) = oneshot::channel();
        let connecting =
            move || (0..COUNT).map(|number| Client::new(address, websocket, number)).collect::<Vec<_>>();
        thread::spawn(move || done.send(connecting()));
        clients = Some(runtime.block_on(all).unwrap());
    });
    assert_eq!(broker.stats().clients, COUNT);
    assert_eq!(broker.stats().subscriptions, COUNT);
    let each = |all: i64| usize::try_from(all).unwrap() / COUNT;
    let (bytes, blocks) = (each(taken.bytes_current), each(taken.count_current));
    println!("{bytes} bytes in {blocks} allocations");
    drop(clients);
    (bytes, blocks)
}

#[test]
fn an_idle_connection_over_tcp_takes_little() {
    let (bytes, blocks) = measure(Listen::tcp(([127, 0, 0, 1], 0)), false);
    assert!(bytes <= 1824 && blocks <= 9, "{bytes} bytes in {blocks} allocations");
}

#[test]
fn an_idle_connection_over_websocket_takes_little_more() {
    let (bytes, blocks) = measure(Listen::ws(([127, 0, 0, 1], 0)), true);
    assert!(bytes <= 2640 && blocks <= 16, "{bytes} bytes in {blocks} allocations");
}
