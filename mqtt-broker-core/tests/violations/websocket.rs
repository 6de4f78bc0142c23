//! What MQTT asks of WebSockets.

use mqttkit_broker_core::{Broker, Listen, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::connect_bytes;
use crate::support::PATIENCE;

const BINARY: u8 = 2;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

struct Socket(TcpStream);

impl Socket {
    /// Asks for the upgrade. Returns the answer's head too.
    async fn upgrade(address: std::net::SocketAddr, protocols: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{protocols}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").unwrap());
        }
        (Self(stream), String::from_utf8(head).unwrap().to_ascii_lowercase())
    }

    /// One frame, whole, with a mask that changes nothing.
    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let head = [0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        self.0.write_all(&[&head[..], payload].concat()).await.unwrap();
    }

    /// The next frame.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let opcode = self.0.read_u8().await.unwrap() & 0x0f;
            let mut payload = vec![0; usize::from(self.0.read_u8().await.unwrap())];
            self.0.read_exact(&mut payload).await.unwrap();
            (opcode, payload)
        };
        timeout(PATIENCE, read).await.expect("a frame in time")
    }
}

/// [MQTT-6.0.0-1]
#[tokio::test]
async fn a_text_frame_ends_the_connection() {
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
    for connected in [false, true] {
        let (mut socket, _) =
            Socket::upgrade(listening.local_addr(), "Sec-WebSocket-Protocol: mqtt\r\n").await;
        if connected {
            socket.send(BINARY, &connect_bytes(Version::V311, "c")).await;
            assert_eq!(socket.frame().await, (BINARY, vec![0x20, 2, 0, 0]));
        }
        socket.send(TEXT, b"\xc0\0").await;
        let (opcode, payload) = socket.frame().await;
        assert_eq!((opcode, &payload[..2]), (CLOSE, &1003u16.to_be_bytes()[..]));
    }
}

/// [MQTT-6.0.0-2]
#[tokio::test]
async fn packets_and_frames_have_borders_of_their_own() {
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
    let (mut socket, _) = Socket::upgrade(listening.local_addr(), "Sec-WebSocket-Protocol: mqtt\r\n").await;
    let mut stream = connect_bytes(Version::V311, "c");
    // SUBSCRIBE to "t", PUBLISH to it, PINGREQ.
    stream.extend_from_slice(b"\x82\x06\0\x01\0\x01t\0\x30\x04\0\x01tx\xc0\0");
    for frame in [&stream[..1], &[], &stream[1..5], &stream[5..]] {
        socket.send(BINARY, frame).await;
    }
    let expected = b"\x20\x02\0\0\x90\x03\0\x01\0\x30\x04\0\x01tx\xd0\0";
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let (opcode, payload) = socket.frame().await;
        assert_eq!(opcode, BINARY);
        got.extend(payload);
    }
    // The answer to PINGREQ comes before or behind the message.
    let mut sorted = (got.clone(), expected.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "{got:02x?}");
}

/// [MQTT-6.0.0-4]
#[tokio::test]
async fn the_sub_protocol_is_mqtt_or_there_is_no_connection() {
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
    for offer in ["mqtt", "chat, mqtt", "mqttv3.1, mqtt"] {
        let offer = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let (_, head) = Socket::upgrade(listening.local_addr(), &offer).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{head}");
    }
    let (_, head) = Socket::upgrade(listening.local_addr(), "Sec-WebSocket-Protocol: chat\r\n").await;
    assert!(head.starts_with("http/1.1 4"), "{head}");
}
