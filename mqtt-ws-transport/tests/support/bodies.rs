//! What must hold for the two ends of any link, whatever is below: real sockets on each runtime, an adversarial pipe.

use super::{Noise, recv_exact};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::join;
use mqttkit_ws_transport::{ByteStream, Link, LinkError, LinkExt, NetLink, Scheme};
use std::future::poll_fn;
use std::task::Poll;

/// What every client begins with, a CONNECT packet: a server that looks at the first bytes waits for it. It is sent
/// back, so that nothing else arrives together with it.
pub const HELLO: &[u8] = b"\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0";

/// Around every border that a frame, a TLS record or a buffer has.
pub const SIZES: [usize; 13] =
    [1, 2, 125, 126, 127, 4_095, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 150_000];

/// Sends `data` in random pieces while receiving what comes back.
pub async fn exchange<L: Link>(link: &mut L, data: &[u8], seed: u64) {
    let mut noise = Noise::new(seed);
    let mut waiting = Bytes::copy_from_slice(data);
    let mut piece = Bytes::new();
    let mut back = BytesMut::new();
    poll_fn(|cx| {
        // Sending must not wait for the echo, or both sides would fill their buffers.
        while piece.has_remaining() || !waiting.is_empty() {
            if piece.is_empty() {
                let most = if noise.below(2) == 0 { 20 } else { 50_000 };
                piece = waiting.split_to(waiting.len().min(1 + noise.below(most)));
            }
            if link.poll_send(cx, &mut piece).map(Result::unwrap).is_pending() {
                break;
            }
            if noise.below(3) == 0 && link.poll_flush(cx).map(Result::unwrap).is_pending() {
                break;
            }
        }
        let _ = link.poll_flush(cx).map(Result::unwrap);
        while back.len() < data.len() {
            match link.poll_recv(cx, &mut back) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(n) => assert!(n.unwrap() > 0, "ended after {} bytes", back.len()),
            }
        }
        Poll::Ready(())
    })
    .await;
    assert!(back == data, "the echo differs");
}

/// Receives until the end, which must be a clean one.
pub async fn recv_all<L: Link>(link: &mut L) -> Vec<u8> {
    let mut buf = BytesMut::new();
    while link.recv(&mut buf).await.unwrap() > 0 {}
    buf.to_vec()
}

/// Each size alone and flushed, both ways.
pub async fn every_size<A: Link, B: Link>(mut client: A, mut server: B, largest: usize) {
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let data = Noise::new(size as u64).bytes(size);
        for _ in 0..2 {
            let ((), got) =
                join(async { client.send_all(&mut &data[..]).await.unwrap() }, recv_exact(&mut server, size))
                    .await;
            assert!(got == data, "{size} bytes up");
            let ((), got) =
                join(async { server.send_all(&mut &data[..]).await.unwrap() }, recv_exact(&mut client, size))
                    .await;
            assert!(got == data, "{size} bytes down");
        }
    }
}

/// Both send at once, in pieces of all sizes.
pub async fn both_ways_at_once<A: Link, B: Link>(mut client: A, mut server: B, len: usize) {
    let (up, down) = (Noise::new(1).bytes(len), Noise::new(2).bytes(len));
    let crossing = async |link: &mut dyn Link, data: &[u8], expected: &[u8], seed| {
        let mut noise = Noise::new(seed);
        let mut waiting = Bytes::copy_from_slice(data);
        let mut piece = Bytes::new();
        let mut got = BytesMut::new();
        poll_fn(|cx| {
            loop {
                if piece.is_empty() {
                    if waiting.is_empty() {
                        break;
                    }
                    piece = waiting.split_to(waiting.len().min(1 + noise.below(3_000)));
                }
                if link.poll_send(cx, &mut piece).map(Result::unwrap).is_pending() {
                    break;
                }
            }
            let flushed = link.poll_flush(cx).map(Result::unwrap).is_ready();
            while got.len() < expected.len() {
                if link.poll_recv(cx, &mut got).map(Result::unwrap).is_pending() {
                    return Poll::Pending;
                }
            }
            if flushed && piece.is_empty() && waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(got == expected);
    };
    join(crossing(&mut client, &up, &down, 3), crossing(&mut server, &down, &up, 4)).await;
}

/// What was sent before a goodbye arrives, and the goodbye is a clean end.
pub async fn the_client_closes<S: ByteStream>(client: NetLink<S>, server: NetLink<S>) {
    goodbye(client, server).await;
}

/// The same the other way round.
pub async fn the_server_closes<S: ByteStream>(client: NetLink<S>, server: NetLink<S>) {
    goodbye(server, client).await;
}

async fn goodbye<S: ByteStream>(mut first: NetLink<S>, mut second: NetLink<S>) {
    let data = Noise::new(5).bytes(40_000);
    let leaving = async {
        first.send_all(&mut &data[..]).await.unwrap();
        first.finish().await.unwrap();
        let late = first.send_all(&mut &b"late"[..]).await;
        assert!(matches!(late, Err(LinkError::Closed)), "{late:?}");
    };
    let staying = async {
        let got = recv_all(&mut second).await;
        assert!(got == data, "{} bytes of {}", got.len(), data.len());
        second.finish().await.unwrap();
    };
    join(leaving, staying).await;
}

/// Goodbyes that cross each other are one clean end.
pub async fn both_close<S: ByteStream>(mut client: NetLink<S>, mut server: NetLink<S>) {
    let (a, b) = join(client.finish(), server.finish()).await;
    a.unwrap();
    b.unwrap();
}

/// TCP and TLS have two halves: the one ends, the other goes on. A WebSocket has one end for both.
pub async fn half_a_close<S: ByteStream>(mut client: NetLink<S>, mut server: NetLink<S>, scheme: Scheme) {
    if scheme.is_websocket() {
        return;
    }
    let data = Noise::new(6).bytes(30_000);
    let asking = async {
        client.send_all(&mut &b"question"[..]).await.unwrap();
        client.close().await.unwrap();
        let got = recv_all(&mut client).await;
        assert!(got == data, "{} bytes of {}", got.len(), data.len());
    };
    let answering = async {
        assert_eq!(recv_all(&mut server).await, b"question");
        for piece in data.chunks(1_000) {
            server.send_all(&mut &piece[..]).await.unwrap();
        }
        server.close().await.unwrap();
    };
    join(asking, answering).await;
}

/// A side that is dropped without a goodbye: TCP cannot tell it from one, the others can.
pub async fn a_drop_is_no_goodbye<S: ByteStream>(mut client: NetLink<S>, server: NetLink<S>, scheme: Scheme) {
    drop(server);
    let mut buf = BytesMut::new();
    let ended = client.recv(&mut buf).await;
    match scheme {
        Scheme::Tcp => assert_eq!(ended.unwrap(), 0),
        _ => assert!(matches!(ended, Err(LinkError::ClosedAbruptly)), "{ended:?}"),
    }
}
