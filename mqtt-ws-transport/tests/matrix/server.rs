//! Our server on the runtime, against clients without a line of ours.

use crate::on::{joined, tls};
use crate::support::bodies::{HELLO, SIZES, recv_all};
use crate::support::peer::{LIMIT, Peer};
use crate::support::{Noise, echo, recv_exact};
use futures_util::future::join_all;
use mqttkit_ws_transport::{
    AcceptError, AcceptOptions, Accepted, Acceptor, LinkExt, ListenOptions, Listener, PeerInfo, Runtime,
    Scheme, ServerLink,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

struct Server<R: Runtime> {
    listener: R::Listener,
    acceptor: Acceptor<R>,
    address: SocketAddr,
    scheme: Scheme,
}

impl<R: Runtime> Server<R> {
    async fn start(runtime: &R, scheme: Scheme, options: AcceptOptions) -> Self {
        let any_port = "127.0.0.1:0".parse().unwrap();
        let listener = runtime.listen(any_port, &ListenOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(runtime.clone(), scheme, options).unwrap();
        Self { listener, acceptor, address, scheme }
    }

    async fn accept(&self) -> Result<(ServerLink<R::Stream>, PeerInfo), AcceptError> {
        let (socket, address) = self.listener.accept().await.unwrap();
        match self.acceptor.accept(socket, Some(address)).await? {
            Accepted::Link(mut link, peer) => {
                assert_eq!(recv_exact(&mut link, HELLO.len()).await, HELLO);
                link.send_all(&mut &HELLO[..]).await.unwrap();
                Ok((link, peer))
            }
            other => panic!("{other:?}"),
        }
    }

    /// A client on a thread, after the first words.
    fn client<T: Send + 'static>(&self, conduct: impl FnOnce(Peer) -> T + Send + 'static) -> JoinHandle<T> {
        let (address, scheme) = (self.address, self.scheme);
        std::thread::spawn(move || {
            let mut peer = Peer::connect(address, scheme, &tls().client);
            peer.send(HELLO);
            assert_eq!(peer.recv_exact(HELLO.len()), HELLO);
            conduct(peer)
        })
    }
}

fn ask_and_compare(mut peer: Peer) {
    for size in SIZES {
        let data = Noise::new(size as u64).bytes(size);
        peer.send(&data);
        assert!(peer.recv_exact(size) == data, "{size} bytes");
    }
    peer.close();
}

pub async fn every_size_comes_back<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let client = server.client(ask_and_compare);
    let (mut link, _) = server.accept().await.unwrap();
    echo(&mut link).await.unwrap();
    link.finish().await.unwrap();
    joined(&runtime, client).await;
}

pub async fn the_peer_is_described<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let client = server.client(Peer::close);
    let (mut link, peer) = server.accept().await.unwrap();
    assert_eq!(peer.scheme, scheme);
    assert!(peer.address.unwrap().ip().is_loopback());
    let protocol = peer.upgrade.as_ref().and_then(|upgrade| upgrade.protocol());
    assert_eq!(protocol, scheme.is_websocket().then_some("mqtt"));
    let name = peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    assert_eq!(name, scheme.is_tls().then_some("localhost"));
    assert_eq!(recv_all(&mut link).await, b"");
    link.finish().await.unwrap();
    joined(&runtime, client).await;
}

pub async fn we_close<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let client = server.client(|mut peer| {
        peer.send(b"go");
        let got = peer.recv_all();
        let code = peer.code();
        peer.close();
        (got, code)
    });
    let (mut link, _) = server.accept().await.unwrap();
    recv_exact(&mut link, 2).await;
    link.send_all(&mut &b"the last words"[..]).await.unwrap();
    link.finish().await.unwrap();
    drop(link);
    let (got, code) = joined(&runtime, client).await;
    assert_eq!(got, b"the last words");
    assert_eq!(code, scheme.is_websocket().then_some(1000));
}

pub async fn the_peer_closes<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let client = server.client(|mut peer| {
        peer.send(b"the last words");
        peer.close();
    });
    let (mut link, _) = server.accept().await.unwrap();
    assert_eq!(recv_all(&mut link).await, b"the last words");
    link.finish().await.unwrap();
    joined(&runtime, client).await;
}

/// The accept loop hands each connection to a task; one that says nothing costs the next one no time.
pub async fn a_silent_client_is_given_up_and_stalls_nobody<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(LIMIT)).unwrap();
    let (socket, address) = server.listener.accept().await.unwrap();
    let options = tls().accept.clone().handshake_timeout(Duration::from_millis(200));
    let acceptor = Acceptor::new(runtime.clone(), scheme, options).unwrap();
    let (given_up, ended) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        // Over TCP alone, without a look at the first bytes, there is no handshake to wait for.
        let result = acceptor.accept(socket, Some(address)).await.map(drop);
        given_up.send(result).unwrap();
    });
    // Its socket is let go: what comes is an explanation at most, then the end.
    let silent = std::thread::spawn(move || silent.read_to_end(&mut Vec::new()).unwrap());
    let client = server.client(ask_and_compare);
    let (mut link, _) = server.accept().await.unwrap();
    echo(&mut link).await.unwrap();
    link.finish().await.unwrap();
    joined(&runtime, client).await;
    joined(&runtime, silent).await;
    // Waited for on a thread of its own, since the task may need this one to end.
    let ended = std::thread::spawn(move || ended.recv_timeout(LIMIT).unwrap());
    let result = joined(&runtime, ended).await;
    assert!(result.is_err() || scheme == Scheme::Tcp, "{scheme}");
}

pub async fn a_client_that_leaves_is_an_error<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    drop(TcpStream::connect(server.address).unwrap());
    let (socket, address) = server.listener.accept().await.unwrap();
    match server.acceptor.accept(socket, Some(address)).await {
        Ok(Accepted::Link(mut link, _)) => {
            assert_eq!(scheme, Scheme::Tcp);
            assert_eq!(recv_all(&mut link).await, b"");
        }
        Ok(other) => panic!("{other:?}"),
        Err(_) => {}
    }
}

pub async fn a_client_that_speaks_something_else_is_an_error<R: Runtime>(runtime: R, scheme: Scheme) {
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let mut wrong = TcpStream::connect(server.address).unwrap();
    wrong.write_all(b"SSH-2.0-OpenSSH_9.9 and more, for those who wait for more\r\n").unwrap();
    let (socket, address) = server.listener.accept().await.unwrap();
    match server.acceptor.accept(socket, Some(address)).await {
        Ok(Accepted::Link(mut link, _)) => {
            assert_eq!(scheme, Scheme::Tcp, "TCP carries anything");
            assert_eq!(recv_exact(&mut link, 59).await[..4], *b"SSH-");
        }
        Ok(other) => panic!("{other:?}"),
        Err(_) => {}
    }
}

pub async fn many_at_once<R: Runtime>(runtime: R, scheme: Scheme) {
    const CLIENTS: usize = 12;
    let server = Server::start(&runtime, scheme, tls().accept.clone()).await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.client(ask_and_compare)).collect();
    let served = (0..CLIENTS).map(|_| async {
        let (mut link, _) = server.accept().await.unwrap();
        echo(&mut link).await.unwrap();
        link.finish().await.unwrap();
    });
    join_all(served).await;
    for client in clients {
        joined(&runtime, client).await;
    }
}
