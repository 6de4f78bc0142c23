//! What the abstraction costs: our links, opened the way a program opens them, beside loops written by hand on tokio.
//!
//! `cargo bench -p mqttkit-ws-transport --features smol,async-std --bench plain`. Packets of 100 B over loopback TCP:
//! wall time per packet in batches of 1, 8 and 64 one way, and the time of one round trip. Everything takes turns, so
//! that a busy moment of the machine hits all alike; the median of the turns is told.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs, reason = "a program for developers")]

use bytes::{Bytes, BytesMut};
use futures_util::future::join;
use futures_util::{SinkExt, StreamExt};
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ConnectOptions, Endpoint, Link, LinkExt, ListenOptions, Listener,
    NetLink, Runtime, Scheme, TokioRuntime, connect,
};
use std::future::Future;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

const PACKET: usize = 100;
/// A CONNECT packet, which a listener wants to see first.
const HELLO: &[u8] = b"\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0";
const TURNS: usize = 15;

/// Packets per batch, batches; a batch of 0 is a round trip of one packet.
const LOADS: [(usize, usize); 4] = [(1, 20_000), (8, 10_000), (64, 3_000), (0, 8_000)];

fn main() {
    let contenders: Vec<(&str, Contender)> = vec![
        ("tcp: tokio by hand", |load| tokio(plain_tcp(load))),
        ("tcp: ours on tokio", |load| tokio(ours(TokioRuntime::new(), Scheme::Tcp, load))),
        #[cfg(feature = "smol")]
        ("tcp: ours on smol", |load| smol::block_on(ours(rt::smol(), Scheme::Tcp, load))),
        #[cfg(feature = "async-std")]
        ("tcp: ours on async-std", |load| {
            async_std::task::block_on(ours(rt::async_std(), Scheme::Tcp, load))
        }),
        ("ws: tokio-tungstenite, its defaults", |load| tokio(plain_ws(WebSocketConfig::default(), load))),
        ("ws: tokio-tungstenite, small buffers", |load| {
            tokio(plain_ws(
                WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(16 << 10),
                load,
            ))
        }),
        ("ws: ours on tokio", |load| tokio(ours(TokioRuntime::new(), Scheme::Ws, load))),
        #[cfg(feature = "smol")]
        ("ws: ours on smol", |load| smol::block_on(ours(rt::smol(), Scheme::Ws, load))),
        #[cfg(feature = "async-std")]
        ("ws: ours on async-std", |load| async_std::task::block_on(ours(rt::async_std(), Scheme::Ws, load))),
    ];
    let mut figures = vec![[const { Vec::new() }; LOADS.len()]; contenders.len()];
    for _ in 0..TURNS {
        for (l, load) in LOADS.into_iter().enumerate() {
            for (c, (_, contender)) in contenders.iter().enumerate() {
                figures[c][l].push(contender(load));
            }
        }
    }
    println!("ns, median of {TURNS} turns: per packet of {PACKET} B in batches of 1, 8, 64; per round trip");
    for ((name, _), loads) in contenders.iter().zip(figures) {
        let medians = loads.map(|mut turns| {
            turns.sort_by(f64::total_cmp);
            turns[TURNS / 2]
        });
        println!("{name:38} {medians:8.0?}");
    }
}

type Contender = fn((usize, usize)) -> f64;

#[cfg(any(feature = "smol", feature = "async-std"))]
mod rt {
    #[cfg(feature = "async-std")]
    pub(crate) fn async_std() -> mqttkit_ws_transport::AsyncStdRuntime {
        mqttkit_ws_transport::AsyncStdRuntime::new()
    }
    #[cfg(feature = "smol")]
    pub(crate) fn smol() -> mqttkit_ws_transport::SmolRuntime {
        mqttkit_ws_transport::SmolRuntime::new()
    }
}

fn tokio<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn pair<R: Runtime>(runtime: &R, scheme: Scheme) -> (NetLink<R::Stream>, NetLink<R::Stream>) {
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
    let endpoint: Endpoint = format!("{scheme}://{}", listener.local_addr().unwrap()).parse().unwrap();
    let acceptor = Acceptor::new(runtime.clone(), scheme, AcceptOptions::new()).unwrap();
    let options = ConnectOptions::new();
    let client = async {
        let mut link = connect(runtime, &endpoint, &options).await.unwrap();
        link.send_all(&mut &HELLO[..]).await.unwrap();
        link
    };
    let server = async {
        let (socket, address) = listener.accept().await.unwrap();
        match acceptor.accept(socket, Some(address)).await.unwrap() {
            Accepted::Link(mut link, _) => {
                let mut buf = BytesMut::new();
                while buf.len() < HELLO.len() {
                    link.recv(&mut buf).await.unwrap();
                }
                link
            }
            other => panic!("{other:?}"),
        }
    };
    join(client, server).await
}

async fn ours<R: Runtime>(runtime: R, scheme: Scheme, (batch, count): (usize, usize)) -> f64 {
    let (mut from, mut to) = pair(&runtime, scheme).await;
    let chunk = Bytes::from(vec![7; PACKET * batch.max(1)]);
    let began = Instant::now();
    if batch == 0 {
        let asking = async {
            let mut buf = BytesMut::new();
            for _ in 0..count {
                from.send_all(&mut chunk.clone()).await.unwrap();
                receive(&mut from, &mut buf, PACKET).await;
            }
        };
        let answering = async {
            let mut buf = BytesMut::new();
            for _ in 0..count {
                receive(&mut to, &mut buf, PACKET).await;
                to.send_all(&mut chunk.clone()).await.unwrap();
            }
        };
        join(asking, answering).await;
        return began.elapsed().as_nanos() as f64 / count as f64;
    }
    let sending = async {
        for _ in 0..count {
            from.send_all(&mut chunk.clone()).await.unwrap();
        }
    };
    let receiving = async {
        receive(&mut to, &mut BytesMut::new(), count * batch * PACKET).await;
    };
    join(sending, receiving).await;
    began.elapsed().as_nanos() as f64 / (count * batch) as f64
}

async fn receive(link: &mut impl Link, buf: &mut BytesMut, mut left: usize) {
    while left > 0 {
        left -= link.recv(buf).await.unwrap();
        buf.clear();
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

/// The loop that one would write by hand over TCP.
async fn plain_tcp((batch, count): (usize, usize)) -> f64 {
    let (mut from, mut to) = sockets().await;
    let chunk = Bytes::from(vec![7; PACKET * batch.max(1)]);
    let began = Instant::now();
    if batch == 0 {
        let asking = async {
            let mut buf = BytesMut::with_capacity(8 << 10);
            for _ in 0..count {
                from.write_all(&chunk).await.unwrap();
                read_some(&mut from, &mut buf, PACKET).await;
            }
        };
        let answering = async {
            let mut buf = BytesMut::with_capacity(8 << 10);
            for _ in 0..count {
                read_some(&mut to, &mut buf, PACKET).await;
                to.write_all(&chunk).await.unwrap();
            }
        };
        join(asking, answering).await;
        return began.elapsed().as_nanos() as f64 / count as f64;
    }
    let sending = async {
        for _ in 0..count {
            from.write_all(&chunk).await.unwrap();
        }
    };
    let receiving = read_some_all(&mut to, count * batch * PACKET);
    join(sending, receiving).await;
    began.elapsed().as_nanos() as f64 / (count * batch) as f64
}

async fn read_some_all(stream: &mut TcpStream, left: usize) {
    read_some(stream, &mut BytesMut::with_capacity(32 << 10), left).await;
}

async fn read_some(stream: &mut TcpStream, buf: &mut BytesMut, mut left: usize) {
    while left > 0 {
        left -= stream.read_buf(buf).await.unwrap();
        buf.clear();
    }
}

/// The loop that one would write by hand over tokio-tungstenite.
async fn plain_ws(config: WebSocketConfig, (batch, count): (usize, usize)) -> f64 {
    let (client, server) = sockets().await;
    let mut from = WebSocketStream::from_raw_socket(client, Role::Client, Some(config)).await;
    let mut to = WebSocketStream::from_raw_socket(server, Role::Server, Some(config)).await;
    let chunk = Bytes::from(vec![7; PACKET * batch.max(1)]);
    let began = Instant::now();
    if batch == 0 {
        let asking = async {
            for _ in 0..count {
                from.send(Message::Binary(chunk.clone())).await.unwrap();
                messages(&mut from, PACKET).await;
            }
        };
        let answering = async {
            for _ in 0..count {
                messages(&mut to, PACKET).await;
                to.send(Message::Binary(chunk.clone())).await.unwrap();
            }
        };
        join(asking, answering).await;
        return began.elapsed().as_nanos() as f64 / count as f64;
    }
    let sending = async {
        for _ in 0..count {
            from.send(Message::Binary(chunk.clone())).await.unwrap();
        }
    };
    let receiving = messages(&mut to, count * batch * PACKET);
    join(sending, receiving).await;
    began.elapsed().as_nanos() as f64 / (count * batch) as f64
}

async fn messages(ws: &mut WebSocketStream<TcpStream>, mut left: usize) {
    let mut buf = BytesMut::new();
    while left > 0 {
        if let Message::Binary(data) = ws.next().await.unwrap().unwrap() {
            left -= data.len();
            // A decoder needs the bytes in one buffer in either case.
            buf.extend_from_slice(&data);
            buf.clear();
        }
    }
}
