//! The recipe: asked before each attempt, told of the last one, inside the deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[path = "support/pki.rs"]
mod pki;
mod support;

use mqttkit_ws_transport::http::{HeaderName, HeaderValue};
use mqttkit_ws_transport::{
    AcceptOptions, Attempt, ConnectError, ConnectOptions, Dialer, Endpoint, LinkExt, Phase, Scheme, Target,
    TokioRuntime, connect_by,
};
use std::time::Duration;
use support::{EchoServer, recv_exact};
use tokio::time::Instant;

#[tokio::test]
async fn the_recipe_is_asked_before_every_attempt() {
    let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new().path("/second")).await;
    let wrong: Endpoint = server.url().parse().unwrap();
    let url = server.url();
    let name = HeaderName::from_static("x-token");
    let recipe = move |attempt: Attempt| {
        let (url, name) = (url.clone(), name.clone());
        async move {
            let number = attempt.number;
            if number == 1 {
                assert!(attempt.last_error.is_none());
                return Ok(attempt.target);
            }
            let last = attempt.last_error.as_deref();
            assert_eq!(matches!(last, Some(ConnectError::WebSocket(_))), number == 2, "{number}: {last:?}");
            assert_eq!(matches!(last, Some(ConnectError::Recipe(_))), number == 4, "{number}: {last:?}");
            if number == 3 {
                return Err("no token today".into());
            }
            // What came of an earlier attempt does not accumulate.
            assert!(attempt.target.options.headers.is_empty());
            let value = HeaderValue::from(number);
            Ok(attempt.target.url(&format!("{url}/second"))?.header(name, value).credentials("me", "token"))
        }
    };
    let mut dialer = Dialer::new(TokioRuntime::new(), wrong, ConnectOptions::new()).recipe(recipe);
    let error = dialer.connect().await.unwrap_err();
    assert!(matches!(*error, ConnectError::WebSocket(_)), "{error:?}");
    server.refused().await;
    for number in [2, 4] {
        let (mut link, target) = dialer.connect().await.unwrap();
        assert_eq!((target.endpoint.username(), target.endpoint.password()), (Some("me"), Some("token")));
        let upgrade = server.link().await.upgrade.unwrap();
        assert_eq!(upgrade.path(), "/second");
        assert_eq!(upgrade.headers()["x-token"], number.to_string());
        link.send_all(&mut &b"x"[..]).await.unwrap();
        assert_eq!(recv_exact(&mut link, 1).await, b"x");
        link.finish().await.unwrap();
        server.ended().await.0.unwrap();
        if number == 2 {
            let error = dialer.connect().await.unwrap_err();
            assert_eq!(error.to_string(), "no recipe for this attempt: no token today");
            assert!(!error.hint().is_empty());
        }
    }
}

#[tokio::test]
async fn without_a_recipe_each_attempt_is_the_same() {
    let server = EchoServer::start(Scheme::Tcp, AcceptOptions::new()).await;
    let endpoint: Endpoint = server.url().parse().unwrap();
    let mut dialer = Dialer::new(TokioRuntime::new(), endpoint.clone(), ConnectOptions::new());
    for _ in 0..2 {
        assert_eq!(dialer.connect().await.unwrap().1.endpoint, endpoint);
    }
}

#[test]
fn another_url_keeps_the_credentials_unless_it_has_some() {
    let target = Target::new("mqtt://a:b@one".parse().unwrap(), ConnectOptions::new());
    let two = target.clone().url("ws://two").unwrap().endpoint;
    assert_eq!(
        (two.to_string().as_str(), two.username(), two.password()),
        ("ws://two:80/mqtt", Some("a"), Some("b"))
    );
    let three = target.clone().url("ws://c@three").unwrap().endpoint;
    assert_eq!((three.username(), three.password()), (Some("c"), None));
    assert!(target.url("three").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_recipe_that_takes_too_long_meets_the_deadline() {
    let began = Instant::now();
    let never = std::future::pending();
    let result = connect_by(&TokioRuntime::new(), Duration::from_secs(3), never).await;
    assert!(matches!(result, Err(ConnectError::TimedOut { phase: Phase::Recipe, .. })), "{result:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[tokio::test]
async fn a_recipe_may_change_the_tls_identity() {
    use mqttkit_ws_transport::tls::ClientAuth;
    let ca = pki::Ca::new();
    let tls = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Optional);
    let mut server = pki::start(Scheme::Tls, tls.build().unwrap()).await;
    let (client, issuer) = (ca.client(), std::sync::Arc::new(ca));
    let options = ConnectOptions::new().tls(client.build().unwrap());
    let recipe = move |attempt: Attempt| {
        let (client, issuer) = (client.clone(), std::sync::Arc::clone(&issuer));
        async move {
            if attempt.number == 1 {
                return Ok(attempt.target);
            }
            let device = issuer.sign(&format!("device-{}", attempt.number));
            Ok(attempt.target.tls(client.identity_pem(device.cert, device.key).build()?))
        }
    };
    let endpoint = server.url().parse().unwrap();
    let mut dialer = Dialer::new(TokioRuntime::new(), endpoint, options).recipe(recipe);
    for expected in [None, Some("device-2"), Some("device-3")] {
        let (mut link, _) = dialer.connect().await.unwrap();
        let tls = server.link().await.tls.unwrap();
        let names = tls.client_certificate().map(|certificate| certificate.unwrap().dns_names().to_vec());
        assert_eq!(names, expected.map(|name| vec![name.to_owned()]));
        link.finish().await.unwrap();
        server.ended().await.0.unwrap();
    }
}
