//! Client and server over every scheme: what goes in comes back, in whatever pieces.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

mod support;

use bytes::{Buf, Bytes, BytesMut};
use mqttkit_ws_transport::tls::{ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ConnectOptions, Endpoint, Link, LinkExt, MemoryStream, Scheme,
    TokioRuntime, connect, connect_over,
};
use std::future::poll_fn;
use std::task::Poll;
use support::hostile::Hostile;
use support::{EchoServer, Noise, echo, recv_exact};

fn certificate() -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn options() -> (AcceptOptions, ConnectOptions) {
    let (cert, key) = certificate();
    let server = AcceptOptions::new().tls(ServerTls::from_pem(cert.clone(), key).build().unwrap());
    let client = ConnectOptions::new().tls(ClientTls::new().only_given_cas().ca_pem(cert).build().unwrap());
    (server, client)
}

/// Sends `data` in random pieces while receiving what comes back.
async fn exchange<L: Link>(link: &mut L, data: &[u8], seed: u64) {
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

async fn every_scheme() {
    let (server_options, client_options) = options();
    let data = Noise::new(7).bytes(700_000);
    for scheme in Scheme::ALL {
        let mut server = EchoServer::start(scheme, server_options.clone()).await;
        let endpoint: Endpoint = server.url().parse().unwrap();
        let mut link = connect(&TokioRuntime::new(), &endpoint, &client_options).await.unwrap();

        let info = server.link().await;
        assert_eq!(info.scheme, scheme);
        assert_eq!(info.address, Some(link.socket().get_ref().local_addr().unwrap()));
        assert!(link.socket().get_ref().nodelay().unwrap());
        let protocol = info.upgrade.as_ref().and_then(|upgrade| upgrade.protocol());
        assert_eq!(protocol, scheme.is_websocket().then_some("mqtt"));
        let tls = info.tls.as_ref();
        assert_eq!(tls.and_then(|tls| tls.server_name.as_deref()), scheme.is_tls().then_some("localhost"));
        let alpn = tls.and_then(|tls| tls.alpn.as_deref());
        assert_eq!(alpn, (scheme == Scheme::Wss).then_some(&b"http/1.1"[..]));

        for seed in 0..3 {
            exchange(&mut link, &data, seed).await;
        }
        link.send_all(&mut &b"x"[..]).await.unwrap();
        assert_eq!(recv_exact(&mut link, 1).await, b"x");

        // A close is a clean end for the other side, on every scheme.
        link.finish().await.unwrap();
        let (result, _) = server.ended().await;
        result.unwrap_or_else(|error| panic!("{scheme}: {error}"));
    }
}

#[tokio::test]
async fn every_scheme_on_the_current_thread_runtime() {
    Box::pin(every_scheme()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scheme_on_the_multi_thread_runtime() {
    Box::pin(every_scheme()).await;
}

/// The same over a stream with tiny buffers, short reads and writes and spurious pending: no byte may be lost and no
/// wake-up missed.
#[tokio::test]
async fn every_scheme_over_a_hostile_stream() {
    let (server_options, client_options) = options();
    let data = Noise::new(3).bytes(60_000);
    for scheme in Scheme::ALL {
        for (seed, max, capacity) in [(1, 1, 7), (2, 100, 64), (3, 5_000, 4_096)] {
            let data = if max == 1 { &data[..6_000] } else { &data[..] };
            // Both sides of TLS write before they read (session tickets, the first request); with less room than that
            // they would wait for each other, as on no real socket.
            let capacity = if scheme.is_tls() { capacity.max(4_096) } else { capacity };
            let (near, far) = MemoryStream::pair(capacity);
            let acceptor = Acceptor::new(TokioRuntime::new(), scheme, server_options.clone()).unwrap();
            let server = tokio::spawn(async move {
                match acceptor.accept(Hostile::new(far, seed, max), None).await.unwrap() {
                    Accepted::Link(mut link, _) => {
                        let result = echo(&mut link).await;
                        link.finish().await.unwrap();
                        result
                    }
                    other => panic!("{:?}", std::mem::discriminant(&other)),
                }
            });
            let endpoint = format!("{scheme}://localhost").parse().unwrap();
            let stream = Hostile::new(near, seed + 10, max);
            let mut link = connect_over(&TokioRuntime::new(), stream, &endpoint, &client_options)
                .await
                .unwrap_or_else(|error| panic!("{scheme}, {max} bytes at a time: {error}"));
            exchange(&mut link, data, seed).await;
            link.finish().await.unwrap();
            server.await.unwrap().unwrap_or_else(|error| panic!("{scheme}, {max} bytes at a time: {error}"));
        }
    }
}

/// All that is ready goes into one frame, whatever its pieces.
#[tokio::test]
async fn a_batch_is_one_frame() {
    let (near, far) = MemoryStream::pair(1 << 20);
    let acceptor = Acceptor::new(TokioRuntime::new(), Scheme::Ws, AcceptOptions::new()).unwrap();
    let server = tokio::spawn(async move { acceptor.accept(far, None).await.map_err(drop) });
    let endpoint: Endpoint = "ws://localhost".parse().unwrap();
    let mut client =
        connect_over(&TokioRuntime::new(), near, &endpoint, &ConnectOptions::new()).await.unwrap();
    let Ok(Accepted::Link(mut server, _)) = server.await.unwrap() else { panic!() };

    let mut batch =
        Bytes::from_static(b"one").chain(Bytes::from_static(b"two")).chain(Bytes::from_static(b"three"));
    client.send_all(&mut batch).await.unwrap();
    let mut buf = BytesMut::new();
    assert_eq!(server.recv(&mut buf).await.unwrap(), 11);
    assert_eq!(&buf[..], b"onetwothree");
}
