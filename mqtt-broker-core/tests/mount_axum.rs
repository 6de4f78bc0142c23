//! MQTT at a route of an axum application.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get};
use mqttkit_broker_core::transport::{AcceptOptions, ConnectOptions, TokioIo, TokioRuntime};
use mqttkit_broker_core::{
    Admission, BoxFuture, Broker, ConnectRequest, Identity, Mount, Policy, QoS, ReasonCode, Refusal,
};
use support::{PATIENCE, RawClient, dial, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Clients are who the application's cookie says.
struct ByCookie;

impl Policy for ByCookie {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let user = request.peer.upgrade.as_deref().and_then(|upgrade| upgrade.cookie("user"));
        let verdict = match user {
            Some(user) if request.peer.address.is_some() => Ok(Identity::named(user).into()),
            _ => Err(Refusal::new(ReasonCode::NotAuthorized)),
        };
        Box::pin(std::future::ready(verdict))
    }
}

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
    let request = Request::from_parts(parts, ());
    mount.answer(request, Some(address), upgraded).await.map(Body::from)
}

/// The application's own middleware: nobody comes without a cookie.
async fn cookies_only(request: Request, next: Next) -> Result<Response, StatusCode> {
    if request.headers().contains_key("cookie") {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

async fn app() -> (Broker, SocketAddr) {
    let broker = Broker::builder().policy(ByCookie).build();
    let options = AcceptOptions::new().origins(["https://app.example"]);
    let app = Router::new()
        .route("/mqtt", any(mqtt))
        .with_state(Mount::tokio(&broker, options))
        .route("/hello", get(|| async { "hello" }))
        .layer(middleware::from_fn(cookies_only));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (broker, address)
}

/// What the application answers to a request with these headers.
async fn ask(address: SocketAddr, target: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, async {
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
        }
    })
    .await
    .expect("an answer in time");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn clients_come_through_the_route_with_their_cookies() {
    let (broker, address) = app().await;
    let mut inside = broker.local_client().unwrap();
    inside.subscribe("#".try_into().unwrap(), QoS::AtLeastOnce).unwrap();
    let options = ConnectOptions::default()
        .header(axum::http::header::COOKIE, axum::http::HeaderValue::from_static("a=b; user=alice"));
    let link = dial(&format!("ws://{address}/mqtt"), &options).await;
    let mut client = RawClient::connect(link, v5("c")).await;
    client.subscribe("x/#", QoS::ExactlyOnce).await;
    let large = vec![7; 300_000];
    client.publish("x/y", large.clone(), QoS::ExactlyOnce).await;
    assert_eq!(client.message().await.payload, large);
    assert_eq!(timeout(PATIENCE, inside.recv()).await.unwrap().unwrap().payload, large);
    assert!(broker.shutdown(PATIENCE).await);
    assert!(matches!(client.closed().await, mqttkit_codec::Closed::Peer(_)));
}

#[tokio::test]
async fn middleware_origins_and_subprotocols_are_heeded() {
    let (broker, address) = app().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mqtt = "Sec-WebSocket-Protocol: mqtt\r\n";
    let ours = "Cookie: user=alice\r\n";
    let good = ask(address, "/mqtt", &format!("{upgrade}{mqtt}{ours}")).await;
    assert!(good.starts_with("HTTP/1.1 101 "), "{good}");
    assert!(good.to_lowercase().contains("sec-websocket-protocol: mqtt\r\n"), "{good}");
    assert!(good.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{good}");
    for (headers, status) in [
        (format!("{upgrade}{mqtt}"), "401"),
        (format!("{upgrade}{mqtt}{ours}Origin: https://evil.example\r\n"), "403"),
        (format!("{upgrade}{mqtt}{ours}Origin: https://app.example\r\n"), "101"),
        (format!("{upgrade}{ours}"), "400"),
        (ours.to_owned(), "426"),
    ] {
        let answer = ask(address, "/mqtt", &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers} {answer}");
    }
    let hello = ask(address, "/hello", ours).await;
    assert!(hello.starts_with("HTTP/1.1 200 "), "{hello}");
    broker.shutdown(PATIENCE).await;
}
