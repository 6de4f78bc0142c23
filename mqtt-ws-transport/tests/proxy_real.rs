//! Through the proxies that people run: Debian's tinyproxy (HTTP CONNECT) and microsocks (SOCKS5).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", any(feature = "aws-lc-rs", feature = "ring"), target_os = "linux"))]

#[path = "support/pki.rs"]
mod pki;
mod support;

use mqttkit_ws_transport::{
    AcceptOptions, ConnectError, ConnectOptions, Endpoint, Proxy, ProxyError, Scheme, SocksReply,
    TokioRuntime, connect,
};
use pki::{Ca, TempDir, check_echo};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::EchoServer;

/// A proxy as a child process; user `user`, password `secret`.
struct RealProxy {
    child: Child,
    port: u16,
    scheme: &'static str,
    _dir: TempDir,
}

impl RealProxy {
    async fn start(scheme: &'static str) -> Self {
        // Another program may take a free port before the proxy does; then it ends at once.
        for _ in 0..5 {
            let port = free_port();
            let dir = TempDir::new();
            let mut command = if scheme == "http" {
                let config = format!(
                    "Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 20\nBasicAuth user secret\n\
                     LogFile \"{}\"\n",
                    dir.0.join("log").display()
                );
                let mut command = Command::new("tinyproxy");
                command.arg("-d").arg("-c").arg(dir.write("tinyproxy.conf", &config));
                command
            } else {
                let mut command = Command::new("microsocks");
                command.args(["-i", "127.0.0.1", "-u", "user", "-P", "secret", "-p", &port.to_string()]);
                command
            };
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| {
                panic!("{error}: install Debian's packages tinyproxy-bin and microsocks, this test runs against them")
            });
            let mut proxy = Self { child, port, scheme, _dir: dir };
            if proxy.is_up().await {
                return proxy;
            }
        }
        panic!("the {scheme} proxy does not start");
    }

    async fn is_up(&mut self) -> bool {
        loop {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn proxy(&self, login: &str) -> Proxy {
        format!("{}://{login}127.0.0.1:{}", self.scheme, self.port).parse().unwrap()
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn through(proxy: Proxy, url: &str) -> ProxyError {
    let options = ConnectOptions::new().proxy(proxy);
    let endpoint: Endpoint = url.parse().unwrap();
    match connect(&TokioRuntime::new(), &endpoint, &options).await {
        Err(ConnectError::Proxy { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_scheme_goes_through_them() {
    let ca = Ca::new();
    for kind in ["http", "socks5"] {
        let proxy = RealProxy::start(kind).await;
        for scheme in Scheme::ALL {
            let options = AcceptOptions::new().tls(ca.server("localhost").build().unwrap());
            let server = EchoServer::start(scheme, options).await;
            let options =
                ConnectOptions::new().tls(ca.client().build().unwrap()).proxy(proxy.proxy("user:secret@"));
            // An address: `localhost` may be ::1 first for the proxy, where nobody listens.
            let url = server.url().replace("localhost", "127.0.0.1");
            let name = Some(mqttkit_ws_transport::Host::Name("localhost".to_owned()));
            let endpoint: Endpoint = url.parse().unwrap();
            let link = connect(&TokioRuntime::new(), &endpoint, &options.server_name(name)).await;
            check_echo(&mut link.unwrap_or_else(|error| panic!("{kind} {scheme}: {error}"))).await;
        }
    }
}

#[tokio::test]
async fn their_refusals_are_understood() {
    let closed = format!("mqtt://127.0.0.1:{}", free_port());
    let proxy = RealProxy::start("http").await;
    let error = through(proxy.proxy(""), &closed).await;
    assert!(matches!(error, ProxyError::AuthenticationRequired { refused: false, .. }), "{error:?}");
    let error = through(proxy.proxy("user:wrong@"), &closed).await;
    assert!(
        matches!(
            error,
            ProxyError::AuthenticationRequired { refused: true, .. } | ProxyError::Refused { .. }
        ),
        "{error:?}"
    );
    let error = through(proxy.proxy("user:secret@"), &closed).await;
    assert!(matches!(&error, ProxyError::Refused { status, .. } if status.is_server_error()), "{error:?}");

    let proxy = RealProxy::start("socks5").await;
    let error = through(proxy.proxy(""), &closed).await;
    assert!(matches!(error, ProxyError::AuthenticationRequired { refused: false, .. }), "{error:?}");
    let error = through(proxy.proxy("user:wrong@"), &closed).await;
    assert!(matches!(error, ProxyError::AuthenticationRequired { refused: true, .. }), "{error:?}");
    let error = through(proxy.proxy("user:secret@"), &closed).await;
    assert!(matches!(error, ProxyError::Socks(SocksReply::ConnectionRefused)), "{error:?}");
}
