//! How do I serve MQTT at a route of my axum application? On its port, with its cookies and its middleware.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use mqttkit_broker_core::transport::{AcceptOptions, TokioIo, TokioRuntime};
use mqttkit_broker_core::{Broker, Config, Mount};
use mqttkit_ws_transport::ws::WsLimits;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let config = Config::default();
    let limits = WsLimits::default().max_message_size(config.max_packet_size as usize + (64 << 10));
    // A policy set here sees the request with its cookies in `request.peer.upgrade`.
    let broker = Broker::builder().config(config).build();
    let mount = Mount::tokio(&broker, AcceptOptions::new().limits(limits));
    let app = Router::new()
        .route("/", get(|| async { "MQTT is at /mqtt\n" }))
        .route("/mqtt", any(mqtt))
        .with_state(mount);

    let listener = TcpListener::bind(address).await?;
    println!("listening http {0}, MQTT at ws://{0}/mqtt", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// The route: the broker judges the upgrade and gets the connection from hyper once the client has the answer.
async fn mqtt(
    State(mount): State<Mount<TokioRuntime>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let upgraded = hyper::upgrade::on(&mut request);
    let upgraded = async move {
        let upgraded = upgraded.await.map_err(std::io::Error::other)?;
        Ok(TokioIo::new(hyper_util::rt::TokioIo::new(upgraded)))
    };
    let (parts, _) = request.into_parts();
    mount.answer(Request::from_parts(parts, ()), Some(address), upgraded).await.map(Body::from)
}
