//! What an idle WebSocket costs: heap and size of the link, on top of the stream below, under 2 KiB.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::BytesMut;
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ByteStream, ConnectOptions, Endpoint, Link, LinkExt, MemoryStream,
    NetLink, Scheme, TokioRuntime, connect_over,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use support::raw::{BINARY, PING, frame, upgrade};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LINKS: usize = 200;
const BOUND: usize = 2 * 1024;

fn heap() -> usize {
    let stats = HEAP.stats();
    // Growth and shrinking in place is in both figures already.
    stats.bytes_allocated - stats.bytes_deallocated
}

async fn write(stream: &mut MemoryStream, mut data: &[u8]) {
    while !data.is_empty() {
        let n = poll_fn(|cx| stream.poll_write(cx, data)).await.unwrap();
        data = &data[n..];
    }
}

/// Takes what there is.
fn drain(stream: &mut MemoryStream) {
    let mut buf = [0; 4096];
    let mut cx = Context::from_waker(Waker::noop());
    while stream.poll_read(&mut cx, &mut buf).is_ready() {}
}

/// Whether a look finds nothing to receive.
async fn waits(link: &mut NetLink<MemoryStream>) -> bool {
    let mut buf = BytesMut::new();
    poll_fn(|cx| Poll::Ready(link.poll_recv(cx, &mut buf).is_pending())).await
}

/// One test, so that nothing else allocates meanwhile.
#[tokio::test(flavor = "current_thread")]
async fn an_idle_websocket_holds_under_2_kib() {
    let runtime = TokioRuntime::new();
    let acceptor =
        Acceptor::new(runtime, Scheme::Ws, AcceptOptions::new().max_connections(10 * LINKS)).unwrap();
    let mut streams: Vec<_> = (0..=LINKS).map(|_| MemoryStream::pair(256 * 1024)).collect();
    let mut links = Vec::with_capacity(LINKS + 1);
    let mut peers = Vec::with_capacity(LINKS + 1);
    let mut before = 0;
    for round in 0..=LINKS {
        // The first one pays for what is shared: the thread's read buffer, the timer's wheel.
        if round == 1 {
            before = heap();
        }
        let (mut near, far) = streams.pop().unwrap();
        write(&mut near, upgrade("/mqtt").as_bytes()).await;
        let Accepted::Link(mut link, _) = acceptor.accept(far, None).await.unwrap() else {
            panic!("no link")
        };
        drain(&mut near);
        // It has had its day: a large message there and back, fragments, a ping.
        write(&mut near, &frame(true, BINARY, &vec![7; 100_000])).await;
        write(&mut near, &frame(false, BINARY, &[7; 10])).await;
        write(&mut near, &frame(true, PING, b"x")).await;
        let mut buf = BytesMut::new();
        while buf.len() < 100_010 {
            assert!(link.recv(&mut buf).await.unwrap() > 0);
        }
        link.send_all(&mut buf).await.unwrap();
        drain(&mut near);
        // Waiting, with its keep-alive running, as in a broker.
        assert!(waits(&mut link).await);
        links.push(link);
        peers.push(near);
    }
    // The task of a connection that accepts and then serves keeps room for the larger of the two for ever.
    let accepting = size_of_val(&acceptor.accept(MemoryStream::pair(1).0, None));
    assert!(accepting < 1024, "accepting takes {accepting} bytes in place");
    let on_heap = (heap() - before) / LINKS;
    let in_place = size_of::<NetLink<MemoryStream>>() - size_of::<MemoryStream>();
    println!("server: {on_heap} bytes on the heap, {in_place} in the link's place");
    assert!(on_heap + in_place <= BOUND, "{on_heap} + {in_place} bytes");

    // A client's link, as it comes from connect, in the same way.
    let endpoint: Endpoint = "ws://broker.example/mqtt".parse().unwrap();
    let mut clients = Vec::with_capacity(LINKS);
    let mut servers = Vec::with_capacity(LINKS);
    let mut pairs: Vec<_> = (0..LINKS).map(|_| MemoryStream::pair(64 * 1024)).collect();
    let before = heap();
    for _ in 0..LINKS {
        let (near, far) = pairs.pop().unwrap();
        let options = ConnectOptions::new();
        let (client, server) =
            tokio::join!(connect_over(&runtime, near, &endpoint, &options), acceptor.accept(far, None));
        let mut client = client.unwrap();
        assert!(waits(&mut client).await);
        clients.push(client);
        let Accepted::Link(server, _) = server.unwrap() else { panic!("no link") };
        servers.push(server);
    }
    let both = (heap() - before) / LINKS;
    println!("client: {} bytes on the heap", both.saturating_sub(on_heap));
    assert!(both + 2 * in_place <= 2 * BOUND, "{both} + 2 · {in_place} bytes");
}
