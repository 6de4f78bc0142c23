//! What the tests share: an echo server over any scheme, a raw HTTP and WebSocket peer, hostile streams.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod adversary;
pub mod bodies;
pub mod hostile;
#[cfg(feature = "tls")]
pub mod peer;
pub mod raw;

use bytes::BytesMut;
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Accepted, Acceptor, CloseReason, LinkError, LinkExt, ListenOptions, Listener,
    PeerInfo, Runtime, Scheme, TokioRuntime,
};
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// What happened to one connection of an [`EchoServer`].
#[derive(Debug)]
pub enum Seen {
    /// It became a link.
    Link(PeerInfo),
    /// It got an HTTP answer.
    Http(u16),
    /// It was refused.
    Refused(AcceptError),
    /// The link ended.
    Ended(Result<(), LinkError>, Option<CloseReason>),
}

/// Sends everything back. Handshakes run off the accept loop, as in a broker.
pub struct EchoServer {
    pub address: SocketAddr,
    pub scheme: Scheme,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl EchoServer {
    pub async fn start(scheme: Scheme, options: AcceptOptions) -> Self {
        let runtime = TokioRuntime::new();
        let listener =
            runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(runtime, scheme, options).unwrap();
        let (report, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (acceptor, report) = (acceptor.clone(), report.clone());
                tokio::spawn(async move {
                    match acceptor.accept(stream, Some(peer)).await {
                        Ok(Accepted::Link(mut link, info)) => {
                            report.send(Seen::Link(info)).ok();
                            let result = echo(&mut link).await;
                            let reason = link.close_reason().cloned();
                            link.finish().await.ok();
                            report.send(Seen::Ended(result, reason)).ok();
                        }
                        Ok(Accepted::HttpServed { status }) => {
                            report.send(Seen::Http(status.as_u16())).ok();
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(error) => {
                            report.send(Seen::Refused(error)).ok();
                        }
                    }
                });
            }
        });
        Self { address, scheme, seen }
    }

    /// The URL with `localhost`, the name that the test certificates carry.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    pub async fn link(&mut self) -> PeerInfo {
        match self.next().await {
            Seen::Link(info) => info,
            other => panic!("expected a link, saw {other:?}"),
        }
    }

    pub async fn refused(&mut self) -> AcceptError {
        match self.next().await {
            Seen::Refused(error) => error,
            other => panic!("expected a refusal, saw {other:?}"),
        }
    }

    pub async fn ended(&mut self) -> (Result<(), LinkError>, Option<CloseReason>) {
        match self.next().await {
            Seen::Ended(result, reason) => (result, reason),
            other => panic!("expected an end, saw {other:?}"),
        }
    }
}

/// Sends back what comes until the clean end.
pub async fn echo<L: LinkExt>(link: &mut L) -> Result<(), LinkError> {
    let mut buf = BytesMut::new();
    while link.recv(&mut buf).await? > 0 {
        link.send_all(&mut buf).await?;
    }
    Ok(())
}

/// Receives exactly `len` bytes.
pub async fn recv_exact<L: LinkExt>(link: &mut L, len: usize) -> Vec<u8> {
    let mut buf = BytesMut::new();
    while buf.len() < len {
        assert!(link.recv(&mut buf).await.unwrap() > 0, "ended after {} of {len} bytes", buf.len());
    }
    assert_eq!(buf.len(), len);
    buf.to_vec()
}

/// A small generator of reproducible noise.
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 to `n - 1`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
