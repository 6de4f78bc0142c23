//! What a link costs beside a plain tokio-tungstenite loop, and what batching is worth.
//!
//! `cargo bench -p mqttkit-ws-transport --bench link`: nanoseconds per packet of 100 B from a client to a server over
//! loopback TCP, both on one thread.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs, reason = "a program for developers")]

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use mqttkit_ws_transport::ws::{WsFrames, WsLimits, WsLink, WsRole};
use mqttkit_ws_transport::{Link, LinkExt, StreamLink, TokioIo};
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

const PACKET: usize = 100;
const PACKETS: usize = 400_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("ns per packet of {PACKET} B, packets per batch: 1, 8, 64");
    let batches = [1, 8, 64];
    for round in ["warm-up", "figures"] {
        let mut lines =
            vec![("StreamLink over TCP", vec![]), ("WsLink", vec![]), ("tokio-tungstenite", vec![])];
        for batch in batches {
            let packets = if batch == 1 { PACKETS / 4 } else { PACKETS };
            let (client, server) = sockets().await;
            let tcp = (StreamLink::from_tokio(client), StreamLink::from_tokio(server));
            lines[0].1.push(links(tcp.0, tcp.1, batch, packets).await);
            let (client, server) = sockets().await;
            lines[1].1.push(
                links(ours(client, WsRole::Client), ours(server, WsRole::Server), batch, packets).await,
            );
            lines[2].1.push(plain_tungstenite(batch, packets).await);
        }
        if round == "figures" {
            for (name, figures) in &lines {
                println!("{name:20} {figures:6.0?}");
            }
            let ratios: Vec<f64> = lines[0].1.iter().zip(&lines[1].1).map(|(tcp, ws)| tcp / ws).collect();
            println!("throughput of WsLink in parts of TCP's: {ratios:.2?}");
        }
    }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

fn ours(stream: TcpStream, role: WsRole) -> WsLink<TokioIo<TcpStream>> {
    WsLink::new(WsFrames::new(TokioIo::new(stream), role, Vec::new(), WsLimits::default()))
}

/// Sends batches, each as one chunk and one flush, and receives all of it.
async fn links(mut from: impl Link, mut to: impl Link, batch: usize, packets: usize) -> f64 {
    let chunk = Bytes::from(vec![7; PACKET * batch]);
    let began = Instant::now();
    let send = async {
        for _ in 0..packets / batch {
            from.send_all(&mut chunk.clone()).await.unwrap();
        }
    };
    let receive = async {
        let mut buf = BytesMut::new();
        let mut left = packets * PACKET;
        while left > 0 {
            left -= to.recv(&mut buf).await.unwrap();
            buf.clear();
        }
    };
    tokio::join!(send, receive);
    began.elapsed().as_nanos() as f64 / packets as f64
}

/// The same with the loop that one would write by hand.
async fn plain_tungstenite(batch: usize, packets: usize) -> f64 {
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(16 << 10);
    let (client, server) = sockets().await;
    let mut from = WebSocketStream::from_raw_socket(client, Role::Client, Some(config)).await;
    let mut to = WebSocketStream::from_raw_socket(server, Role::Server, Some(config)).await;
    let chunk = Bytes::from(vec![7; PACKET * batch]);
    let began = Instant::now();
    let send = async {
        for _ in 0..packets / batch {
            from.send(Message::Binary(chunk.clone())).await.unwrap();
        }
    };
    let receive = async {
        let mut buf = BytesMut::new();
        let mut left = packets * PACKET;
        while left > 0 {
            if let Message::Binary(data) = to.next().await.unwrap().unwrap() {
                left -= data.len();
                // A decoder needs the bytes in one buffer in either case.
                buf.extend_from_slice(&data);
                buf.clear();
            }
        }
    };
    tokio::join!(send, receive);
    began.elapsed().as_nanos() as f64 / packets as f64
}
