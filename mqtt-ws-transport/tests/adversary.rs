//! The bodies of the matrix over an adversarial pipe: every split, every merge, waits at odd moments, every cut.
//!
//! Time is paused, so that whoever waits for something that never comes fails at once instead of hanging.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    reason = "a test fails by panicking and need not be thrifty"
)]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

mod support;

use bytes::BytesMut;
use futures_util::future::join;
use mqttkit_ws_transport::tls::{ClientTls, ServerTls};
use mqttkit_ws_transport::{
    AcceptOptions, Accepted, Acceptor, ConnectOptions, Endpoint, LinkExt, NetLink, Scheme, TokioRuntime,
    connect_over,
};
use std::future::Future;
use std::time::Duration;
use support::adversary::{Adversary, Habits, adversary};
use support::{bodies, recv_exact};

fn options() -> (AcceptOptions, ConnectOptions) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let server = AcceptOptions::new().tls(ServerTls::from_pem(cert.clone(), key).build().unwrap());
    let client = ConnectOptions::new().tls(ClientTls::new().only_given_cas().ca_pem(cert).build().unwrap());
    (server, client)
}

type Ends = Result<(NetLink<Adversary>, NetLink<Adversary>), String>;

/// Both handshakes and the first words. A side that fails drops its stream, as a program would.
async fn handshakes(
    scheme: Scheme,
    (accept, options): &(AcceptOptions, ConnectOptions),
    (near, far): (Adversary, Adversary),
) -> Ends {
    let runtime = TokioRuntime::new();
    let acceptor = Acceptor::new(runtime, scheme, accept.clone()).unwrap();
    let endpoint: Endpoint = format!("{scheme}://localhost").parse().unwrap();
    let client = async move {
        let mut link =
            connect_over(&runtime, near, &endpoint, options).await.map_err(|error| format!("{error:?}"))?;
        link.send_all(&mut &bodies::HELLO[..]).await.map_err(|error| format!("{error:?}"))?;
        let answer = first_words(&mut link).await?;
        Ok::<_, String>((link, answer))
    };
    let server = async move {
        match acceptor.accept(far, None).await {
            Ok(Accepted::Link(mut link, _)) => {
                let words = first_words(&mut link).await?;
                link.send_all(&mut &bodies::HELLO[..]).await.map_err(|error| format!("{error:?}"))?;
                Ok((link, words))
            }
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(format!("{error:?}")),
        }
    };
    let (client, server): (_, Result<_, String>) = join(client, server).await;
    let ((client, answer), (server, words)) = (client?, server?);
    assert_eq!((&answer[..], &words[..]), (bodies::HELLO, bodies::HELLO));
    Ok((client, server))
}

async fn first_words(link: &mut NetLink<Adversary>) -> Result<Vec<u8>, String> {
    let mut buf = BytesMut::new();
    while buf.len() < bodies::HELLO.len() {
        match link.recv(&mut buf).await {
            Ok(0) => return Err("the end".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    Ok(buf.to_vec())
}

/// A whole short life: handshakes, some words each way, a goodbye.
async fn short_life(
    scheme: Scheme,
    options: &(AcceptOptions, ConnectOptions),
    up: Habits,
    down: Habits,
) -> (usize, usize) {
    let (near, far, read) = adversary(up, down);
    let (mut client, mut server) = handshakes(scheme, options, (near, far)).await.unwrap();
    client.send_all(&mut &b"question"[..]).await.unwrap();
    assert_eq!(recv_exact(&mut server, 8).await, b"question");
    server.send_all(&mut &b"answer"[..]).await.unwrap();
    assert_eq!(recv_exact(&mut client, 6).await, b"answer");
    let leaving = async { client.finish().await.unwrap() };
    let staying = async {
        assert_eq!(bodies::recv_all(&mut server).await, b"");
        server.finish().await.unwrap();
    };
    join(leaving, staying).await;
    read()
}

/// Fails at once when everybody waits: the paused clock jumps to the limit.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(3_600);
    let output = tokio::time::timeout(limit, Box::pin(future)).await;
    output.unwrap_or_else(|_| panic!("everybody waits: {what}"))
}

/// Every position of both streams is once where a read ends and the next one has to wait.
async fn every_split(scheme: Scheme) {
    let options = options();
    let (up, down) =
        within("whole", short_life(scheme, &options, Habits::default(), Habits::default())).await;
    assert!(up > 20 && down > 15);
    for at in 0..up.max(down) + 20 {
        let habits = Habits { split: Some(at), ..Habits::default() };
        within(&format!("split at {at}"), short_life(scheme, &options, habits.clone(), habits)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_split_over_tcp() {
    every_split(Scheme::Tcp).await;
}

#[tokio::test(start_paused = true)]
async fn every_split_over_tls() {
    every_split(Scheme::Tls).await;
}

#[tokio::test(start_paused = true)]
async fn every_split_over_ws() {
    every_split(Scheme::Ws).await;
}

#[tokio::test(start_paused = true)]
async fn every_split_over_wss() {
    every_split(Scheme::Wss).await;
}

/// From every byte alone to everything that a side writes before it waits in one read.
#[tokio::test(start_paused = true)]
async fn every_merge() {
    let options = options();
    for scheme in Scheme::ALL {
        for patience in [0, 1, 2, 3, 5, 10, 50] {
            let habits = Habits { patience, ..Habits::default() };
            within("merge", short_life(scheme, &options, habits.clone(), habits)).await;
        }
        let bytes = Habits { most: 1, ..Habits::default() };
        within("bytes", short_life(scheme, &options, bytes.clone(), bytes.clone())).await;
        let merged = Habits { patience: 20, ..Habits::default() };
        within("up in bytes", short_life(scheme, &options, bytes.clone(), merged.clone())).await;
        within("down in bytes", short_life(scheme, &options, merged, bytes)).await;
    }
}

/// Habits that differ both ways, of every kind but a cut.
fn odd(seed: u64, largest: usize) -> Habits {
    let mut noise = support::Noise::new(seed);
    Habits {
        split: Some(noise.below(3_000)),
        cut: None,
        most: [1, 7, 100, 5_000, usize::MAX][noise.below(5)].max(largest / 20_000),
        // Both sides of TLS write before they read (session tickets); with less room than that they would wait for
        // each other, as on no real socket.
        capacity: [4_096, 20_000, usize::MAX][noise.below(3)],
        stall: [0, 2, 3, 10][noise.below(4)],
        patience: [0, 0, 1, 4][noise.below(4)],
        seed,
    }
}

/// The bodies that run over the sockets of each runtime run over odd pipes, too.
#[tokio::test(start_paused = true)]
async fn the_bodies_of_the_matrix() {
    const LARGEST: usize = 65_537;
    let options = options();
    for scheme in Scheme::ALL {
        for seed in 0..12 {
            let what = format!("{scheme}, seed {seed}");
            let pair = async |n: u64| {
                let seed = seed * 100 + n * 2;
                let (near, far, _) = adversary(odd(seed, LARGEST), odd(seed + 1, LARGEST));
                within(&what, handshakes(scheme, &options, (near, far))).await.unwrap()
            };
            let (client, server) = pair(0).await;
            let largest = if seed < 3 { LARGEST } else { 4_095 };
            within(&what, bodies::every_size(client, server, largest)).await;
            let (client, server) = pair(1).await;
            within(&what, bodies::both_ways_at_once(client, server, 30_000)).await;
            let (client, server) = pair(2).await;
            within(&what, bodies::the_client_closes(client, server)).await;
            let (client, server) = pair(3).await;
            within(&what, bodies::the_server_closes(client, server)).await;
            let (client, server) = pair(4).await;
            within(&what, bodies::both_close(client, server)).await;
            let (client, server) = pair(5).await;
            within(&what, bodies::half_a_close(client, server, scheme)).await;
            let (client, server) = pair(6).await;
            within(&what, bodies::a_drop_is_no_goodbye(client, server, scheme)).await;
        }
    }
}

/// Wherever the stream from the client ends, the server is told, and so is the client for the other direction; only
/// TCP takes it for an end like any other. Whoever is told gets an error and no panic, and nobody waits for ever.
async fn every_cut(scheme: Scheme, step: usize) {
    let options = options();
    let (up, down) =
        within("whole", short_life(scheme, &options, Habits::default(), Habits::default())).await;
    for from_client in [true, false] {
        let total = if from_client { up } else { down };
        for at in (0..total).step_by(step) {
            let cut = Habits { cut: Some(at), ..Habits::default() };
            let (up, down) = if from_client { (cut, Habits::default()) } else { (Habits::default(), cut) };
            let (near, far, _) = adversary(up, down);
            let what = format!("{scheme} cut at {at} of {total}, from the client: {from_client}");
            let ends = within(&what, handshakes(scheme, &options, (near, far))).await;
            let Ok((client, server)) = ends else { continue };
            // The cut is behind the first words.
            let (mut cut_off, mut other) = if from_client { (server, client) } else { (client, server) };
            other.send_all(&mut &b"question"[..]).await.unwrap();
            let leaving = async { within(&what, other.close()).await };
            let told = async {
                let mut buf = BytesMut::new();
                loop {
                    match within(&what, cut_off.recv(&mut buf)).await {
                        Ok(0) => return (buf, true),
                        Ok(_) => {}
                        Err(_) => return (buf, false),
                    }
                }
            };
            let (_, (got, cleanly)) = join(leaving, told).await;
            assert!(b"question".starts_with(&got), "{what}: {got:?}");
            assert!(!cleanly || scheme == Scheme::Tcp || got[..] == *b"question", "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_cut_of_tcp_and_ws() {
    every_cut(Scheme::Tcp, 1).await;
    every_cut(Scheme::Ws, 1).await;
}

#[tokio::test(start_paused = true)]
async fn every_cut_of_tls() {
    every_cut(Scheme::Tls, 1).await;
}

#[tokio::test(start_paused = true)]
async fn cuts_of_wss() {
    every_cut(Scheme::Wss, 3).await;
}
