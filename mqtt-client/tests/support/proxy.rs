//! A TCP proxy whose connections can be cut, at once or after so many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    port: u16,
    cuts: watch::Sender<u32>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Passes everything on to a local port. Connection `n` is cut after `budget(n)` bytes, both ways together.
    pub async fn start(target: u16, budget: impl Fn(usize) -> usize + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = watch::channel(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let n = count.fetch_add(1, Ordering::SeqCst);
                let budget = budget(n);
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    let left = Arc::new(AtomicUsize::new(budget));
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Whichever ends first drops all four halves.
                    tokio::select! {
                        () = copy(from_client, to_server, Arc::clone(&left)) => {}
                        () = copy(from_server, to_client, left) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, cuts, connections }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    left: Arc<AtomicUsize>,
) {
    let mut buffer = [0; 4096];
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
        let before = left.load(Ordering::SeqCst);
        let pass = n.min(before);
        left.store(before - pass, Ordering::SeqCst);
        if to.write_all(&buffer[..pass]).await.is_err() || pass < n {
            return;
        }
    }
}
