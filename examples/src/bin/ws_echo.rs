//! `ws_echo`: sends every WebSocket message back, as a server or as a client, so that others can judge our WebSocket.
//!
//! The Autobahn test suite is one who does: its fuzzing client talks to `ws_echo server`, its fuzzing server to
//! `ws_echo client`, which runs all of its cases one after the other. `interop/autobahn` does both.

use clap::{Parser, Subcommand};
use mqttkit_ws_transport::ws::{self, WsFrames, WsLink, WsMessage};
use mqttkit_ws_transport::{
    AcceptOptions, Acceptor, ByteStream, ConnectOptions, Endpoint, LinkError, LinkExt, ListenOptions,
    Listener, Runtime, Scheme, TokioRuntime,
};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Sends every WebSocket message back, text and binary.
#[derive(Debug, Parser)]
#[command(name = "ws_echo")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Waits for clients, on every path, with any sub-protocol of MQTT or none.
    Server {
        /// Where to listen. Port 0 picks a free one, which is printed.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
        listen: SocketAddr,
    },
    /// Connects to a fuzzing server of the Autobahn test suite and runs its cases.
    Client {
        /// The server, such as ws://127.0.0.1:9002/.
        url: Endpoint,
        /// The name in its report.
        #[arg(long, value_name = "NAME", default_value = "mqttkit")]
        agent: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.role {
        Role::Server { listen } => serve(listen).await,
        Role::Client { url, agent } => run_cases(&url, &agent).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ws_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let runtime = TokioRuntime::new();
    let listener = runtime.listen(address, &ListenOptions::default()).await?;
    println!("listening ws {}", listener.local_addr()?);
    let options = AcceptOptions::new().path_prefix("/").require_subprotocol(false);
    let acceptor = Acceptor::new(runtime, Scheme::Ws, options)?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Whoever is refused has been told why; the next one may do better.
            if let Ok(Some((mut socket, _))) = acceptor.accept_frames(stream, Some(peer)).await {
                echo(&mut socket).await.ok();
                finish(socket).await;
            }
        });
    }
}

async fn echo<S: ByteStream>(socket: &mut WsFrames<S>) -> Result<(), LinkError> {
    while let Some(message) = socket.recv_message().await? {
        socket.send_message(message).await?;
    }
    Ok(())
}

/// Says goodbye, or tells what was wrong, and waits a moment for the peer to do the same.
async fn finish<S: ByteStream>(socket: WsFrames<S>) {
    let mut link = WsLink::new(socket);
    tokio::time::timeout(Duration::from_secs(1), link.finish()).await.ok();
}

/// The fuzzing server tells on one path how many cases there are, runs one on each connection to another, and writes its
/// report when asked to on a third.
async fn run_cases(server: &Endpoint, agent: &str) -> Result<(), Box<dyn Error>> {
    let mut socket = open(server, "/getCaseCount").await?;
    let count: u32 = match socket.recv_message().await? {
        Some(WsMessage::Text(text)) => text.trim().parse()?,
        other => return Err(format!("expected the number of cases, got {other:?}").into()),
    };
    finish(socket).await;
    for case in 1..=count {
        let mut socket = open(server, &format!("/runCase?case={case}&agent={agent}")).await?;
        // How it ends is part of the case: the server judges.
        echo(&mut socket).await.ok();
        finish(socket).await;
    }
    finish(open(server, &format!("/updateReports?agent={agent}")).await?).await;
    println!("{count} cases run");
    Ok(())
}

async fn open(
    server: &Endpoint,
    target: &str,
) -> Result<WsFrames<<TokioRuntime as Runtime>::Stream>, Box<dyn Error>> {
    let runtime = TokioRuntime::new();
    let endpoint: Endpoint = format!("ws://{}{target}", server.authority()).parse()?;
    let addresses = runtime.resolve(&endpoint.host().to_string(), endpoint.port()).await?;
    let address = addresses.first().ok_or("the name has no address")?;
    let stream = runtime.connect(*address).await?;
    let options = ConnectOptions::new().protocols([""; 0]);
    Ok(ws::connect(&runtime, stream, &endpoint, &options).await?)
}
