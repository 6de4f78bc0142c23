//! A small proxy for HTTP CONNECT and SOCKS5, made by hand. It leads to one server, whatever it is asked for.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a client wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Host and port, as they were asked for.
    pub target: String,
    /// The request of an HTTP client.
    pub head: String,
}

pub struct FakeProxy {
    pub address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

type Login = Option<(&'static str, &'static str)>;

impl FakeProxy {
    /// A proxy that demands this login and leads to `server`.
    pub async fn start(login: Login, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let report = report.clone();
                tokio::spawn(async move {
                    let first = client.read_u8().await.unwrap();
                    let seen = if first == 5 {
                        socks(&mut client, login).await
                    } else {
                        http(&mut client, first, login).await
                    };
                    let Some(seen) = seen else { return };
                    report.send(seen).ok();
                    let mut server = TcpStream::connect(server).await.unwrap();
                    copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        Self { address, seen }
    }

    pub async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }
}

async fn http(client: &mut TcpStream, first: u8, login: Login) -> Option<Seen> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    // `user:secret`
    if login.is_some() && !head.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n") {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"test\"\r\n\
                      Content-Length: 5\r\n\r\nlogin";
        client.write_all(answer.as_bytes()).await.unwrap();
        return None;
    }
    let target = head.strip_prefix("CONNECT ").unwrap().split_once(" HTTP/1.1\r\n").unwrap().0.to_owned();
    assert!(head.contains(&format!("Host: {target}\r\n")), "{head}");
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    Some(Seen { target, head })
}

async fn socks(client: &mut TcpStream, login: Login) -> Option<Seen> {
    let methods = client.read_u8().await.unwrap();
    let methods = read(client, methods).await;
    let wanted = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&wanted) {
        client.write_all(&[5, 0xFF]).await.unwrap();
        return None;
    }
    client.write_all(&[5, wanted]).await.unwrap();
    if let Some((user, password)) = login {
        assert_eq!(client.read_u8().await.unwrap(), 1);
        let length = client.read_u8().await.unwrap();
        let got_user = read(client, length).await;
        let length = client.read_u8().await.unwrap();
        let got_password = read(client, length).await;
        let good = (got_user, got_password) == (user.as_bytes().to_vec(), password.as_bytes().to_vec());
        client.write_all(&[1, u8::from(!good)]).await.unwrap();
        if !good {
            return None;
        }
    }
    let request = read(client, 4).await;
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => IpAddr::from(<[u8; 4]>::try_from(read(client, 4).await).unwrap()).to_string(),
        4 => format!("[{}]", IpAddr::from(<[u8; 16]>::try_from(read(client, 16).await).unwrap())),
        3 => {
            let length = client.read_u8().await.unwrap();
            String::from_utf8(read(client, length).await).unwrap()
        }
        other => panic!("address type {other}"),
    };
    let port = client.read_u16().await.unwrap();
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    Some(Seen { target: format!("{host}:{port}"), head: String::new() })
}

async fn read(client: &mut TcpStream, length: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}
