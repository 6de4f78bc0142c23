//! Enhanced authentication: SCRAM-SHA-256 and methods of one's own, against our broker's rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "scram")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use mqttkit_broker_core::{Admission, BoxFuture, Broker, ConnectRequest, Identity, Policy, Refusal};
use mqttkit_client::authentication::{
    AuthenticationError, Authenticator, Exchange, Occasion, ScramError, ScramSha256,
};
use mqttkit_client::codec::ServerEvent;
use mqttkit_client::transport::{BoxError, LinkExt};
use mqttkit_client::{
    ConnectError, DisconnectCause, Event, Options, OptionsError, QoS, ReasonCode, ReconnectPolicy, Version,
};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use support::broker::connect;
use support::server::{client, options};
use support::{event, next, soon};

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
}

/// The server's side of SCRAM-SHA-256, for the user `ann` with the password `secret`.
#[derive(Clone)]
struct ScramServer {
    iterations: u32,
    /// It only pretends to know the password.
    impostor: bool,
    /// From now on nobody is let in.
    closed: Arc<AtomicBool>,
    /// Those who have authenticated again.
    again: Arc<AtomicU32>,
}

impl ScramServer {
    fn new() -> Self {
        Self { iterations: 4096, impostor: false, closed: Arc::default(), again: Arc::default() }
    }

    fn broker(&self) -> Broker {
        Broker::builder().policy(self.clone()).build()
    }
}

impl Policy for ScramServer {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let refused = || Refusal::new(ReasonCode::NotAuthorized);
            let exchange = request.exchange.ok_or_else(refused)?;
            assert_eq!(exchange.method().as_str(), "SCRAM-SHA-256");
            if self.closed.load(Ordering::Relaxed) {
                return Err(refused());
            }
            let first = String::from_utf8(exchange.data().to_vec()).unwrap();
            let bare = first.strip_prefix("n,,").expect("no channel binding");
            let (user, nonce) = bare.split_once(",r=").unwrap();
            let salt = [7; 16];

            let nonce = format!("{nonce}and-mine");
            let challenge = format!("r={nonce},s={},i={}", BASE64.encode(salt), self.iterations);
            let answer = exchange.challenge(challenge.clone()).await;
            let answer = String::from_utf8(answer.to_vec()).unwrap();
            let (without_proof, proof) = answer.rsplit_once(",p=").ok_or_else(refused)?;
            assert_eq!(without_proof, format!("c=biws,r={nonce}"));

            let password = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(b"secret", &salt, self.iterations);
            let signed = format!("{bare},{challenge},{without_proof}");
            let stored = Sha256::digest(mac(&password, b"Client Key"));
            let signature = mac(&stored, signed.as_bytes());
            let key: Vec<u8> =
                BASE64.decode(proof).unwrap().iter().zip(&signature).map(|(p, s)| p ^ s).collect();
            if !self.impostor && (Sha256::digest(key) != stored || user != "n=ann") {
                return Err(refused());
            }
            if request.current.is_some() {
                self.again.fetch_add(1, Ordering::Relaxed);
            }
            let server_key = if self.impostor { vec![0; 32] } else { mac(&password, b"Server Key") };
            let last = format!("v={}", BASE64.encode(mac(&server_key, signed.as_bytes())));
            Ok(Admission::new(Identity::named("ann")).with_authentication_data(last))
        })
    }
}

fn scram(password: &str) -> Options {
    options().authenticator(ScramSha256::new("ann", password).unwrap())
}

/// Why the authenticator gave up.
fn scram_error(error: &AuthenticationError) -> Option<&ScramError> {
    match error {
        AuthenticationError::Authenticator(error) => error.downcast_ref(),
        _ => None,
    }
}

#[tokio::test]
async fn with_scram_both_sides_know_the_password() {
    let broker = ScramServer::new().broker();
    let (client, mut messages) = soon("connect", connect(&broker, scram("secret"))).await.unwrap();
    assert_eq!(broker.clients()[0].client.as_ref().unwrap().identity().name(), Some("ann"));
    client.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    client.publish("a", "x", QoS::AtLeastOnce).await.unwrap().await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "x");
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_the_server() {
    let broker = ScramServer::new().broker();
    let error = soon("refusal", connect(&broker, scram("wrong"))).await.unwrap_err();
    assert_eq!(error.reason(), Some(ReasonCode::NotAuthorized));
}

#[tokio::test]
async fn a_server_that_only_pretends_is_not_used() {
    let broker = ScramServer { impostor: true, ..ScramServer::new() }.broker();
    let mut spy = broker.local_client().unwrap();
    spy.subscribe("#".try_into().unwrap(), QoS::AtMostOnce).unwrap();
    let (client, _messages, driver) = {
        let parts = scram("secret")
            .connect_with(
                &mqttkit_client::transport::TokioRuntime::new(),
                support::broker::ToBroker(broker.clone()),
            )
            .unwrap();
        (parts.client, parts.messages, parts.driver)
    };
    let mut events = client.events();
    let secret = client.publish("a", "for the real server only", QoS::AtMostOnce).await.unwrap();
    tokio::spawn(driver);
    let error = event(&mut events, |event| match event {
        Event::ConnectFailed(error) => Some(error),
        _ => None,
    })
    .await;
    let ConnectError::Authentication(error) = &*error else { panic!("{error:?}") };
    assert_eq!(scram_error(error), Some(&ScramError::Signature));
    assert!(!secret.is_complete() && spy.try_recv().is_none(), "nothing was sent");
}

#[tokio::test]
async fn a_server_that_asks_for_too_little_or_too_much_work_gets_no_proof() {
    for iterations in [1, 4095, 1_000_001] {
        let broker = ScramServer { iterations, ..ScramServer::new() }.broker();
        let error = soon("an end", connect(&broker, scram("secret"))).await.unwrap_err();
        let ConnectError::Authentication(error) = &error else { panic!("{error:?}") };
        assert_eq!(scram_error(error), Some(&ScramError::Iterations(iterations)));
    }
}

#[tokio::test]
async fn a_client_authenticates_again_while_life_goes_on() {
    let server = ScramServer::new();
    let broker = server.broker();
    let (client, mut messages) = soon("connect", connect(&broker, scram("secret"))).await.unwrap();
    client.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    let ticket = client.publish("a", "x", QoS::AtLeastOnce).await.unwrap();
    let (one, two) =
        soon("twice at once", async { tokio::join!(client.reauthenticate(), client.reauthenticate()) }).await;
    one.unwrap();
    two.unwrap();
    ticket.await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "x");
    assert_eq!(server.again.load(Ordering::Relaxed), 1, "those who ask at the same time share it");
    soon("and again", client.reauthenticate()).await.unwrap();
    assert_eq!(server.again.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn to_be_refused_the_second_time_ends_the_connection_and_the_next_one_proves_itself_anew() {
    let server = ScramServer::new();
    let broker = server.broker();
    let soonest = Duration::from_millis(300);
    let options = scram("secret").reconnect(ReconnectPolicy::new(soonest, soonest));
    let (client, _messages) = soon("connect", connect(&broker, options)).await.unwrap();
    let mut events = client.events();
    server.closed.store(true, Ordering::Relaxed);
    let error = soon("a refusal", client.reauthenticate()).await.unwrap_err();
    assert!(matches!(error, AuthenticationError::ConnectionEnded), "{error}");
    let cause = event(&mut events, |event| match event {
        Event::Disconnected(cause) => Some(cause),
        _ => None,
    });
    let DisconnectCause::Server(goodbye) = &*cause.await else { panic!() };
    assert_eq!(goodbye.reason, ReasonCode::NotAuthorized);
    server.closed.store(false, Ordering::Relaxed);
    event(&mut events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
    soon("a welcome", client.reauthenticate()).await.unwrap();
}

/// Says what it is told to, and wants to hear what it expects.
#[derive(Debug, Clone, Default)]
struct Script {
    /// To be said, and whether the answer must be a challenge.
    lines: Vec<(&'static str, bool)>,
    /// It is not satisfied with the server when authenticating again.
    sulks: bool,
    /// It waits before it is satisfied.
    slow: Option<Arc<tokio::sync::Notify>>,
}

impl Authenticator for Script {
    fn method(&self) -> &'static str {
        "SCRIPT"
    }

    async fn authenticate(&self, mut exchange: Exchange) -> Result<(), BoxError> {
        for &(line, challenged) in &self.lines {
            let reply = exchange.send(line).await;
            if challenged {
                reply.challenge()?
            } else {
                reply.accepted()?
            };
        }
        if self.sulks && exchange.occasion() == Occasion::Again {
            return Err("not good enough".into());
        }
        if let Some(slow) = &self.slow {
            slow.notified().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_authenticator_is_satisfied() {
    let slow = Arc::new(tokio::sync::Notify::new());
    let script = Script { lines: vec![("hello", false)], slow: Some(Arc::clone(&slow)), ..Script::default() };
    let (client, _messages, mut listener) = client(options().authenticator(script));
    let ticket = client.publish("a", "x", QoS::AtMostOnce).await.unwrap();
    let (mut server, connect) = listener.connect().await;
    assert_eq!(connect.properties.authentication_method().unwrap().as_str(), "SCRIPT");
    assert_eq!(&*connect.properties.authentication_data().unwrap(), b"hello");
    server.accept(None).await;
    let early = tokio::time::timeout(Duration::from_secs(5), server.event()).await;
    assert!(early.is_err() && !client.is_connected(), "{early:?}");
    slow.notify_one();
    assert_eq!(soon("the message", server.message()).await.0.payload, "x");
    ticket.await.unwrap();
    assert!(client.is_connected());
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_never_comes_to_an_end_is_given_up() {
    // Before CONNECT, after CONNACK, and when authenticating again.
    #[derive(Debug)]
    struct Mute;
    impl Authenticator for Mute {
        fn method(&self) -> &'static str {
            "MUTE"
        }
        async fn authenticate(&self, _: Exchange) -> Result<(), BoxError> {
            std::future::pending().await
        }
    }
    let limit = Duration::from_secs(3);
    let (client, _messages, mut listener) =
        support::server::client(options().connect_timeout(limit).authenticator(Mute));
    let mut events = client.events();
    let _link = listener.link().await;
    let failed = |event| match event {
        Event::ConnectFailed(error) => Some(error),
        _ => None,
    };
    let error = event(&mut events, failed).await;
    assert!(matches!(&*error, ConnectError::NoAnswer { .. }), "{error:?}");

    let script = Script { lines: vec![("", false)], slow: Some(Arc::default()), ..Script::default() };
    let (client, _messages, mut listener) =
        support::server::client(options().connect_timeout(limit).authenticator(script));
    let mut events = client.events();
    let _server = listener.accept(None).await;
    let error = event(&mut events, failed).await;
    let ConnectError::Authentication(AuthenticationError::TimedOut { after }) = &*error else {
        panic!("{error:?}")
    };
    assert_eq!(*after, limit);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_follow_the_method_is_left() {
    // One that accepts too early; one that goes on when all is said.
    let script = Script { lines: vec![("one", true), ("two", false)], ..Script::default() };
    let (client, _messages, mut listener) = client(options().authenticator(script));
    let mut events = client.events();
    let _server = listener.accept(None).await;
    let failed = |event| match event {
        Event::ConnectFailed(error) => Some(error),
        _ => None,
    };
    let error = event(&mut events, failed).await;
    assert!(matches!(&*error, ConnectError::Authentication(AuthenticationError::AcceptedEarly)), "{error:?}");
    let (mut server, _) = listener.connect().await;
    let now = server.now();
    for answer in ["two", ""] {
        server.connection.auth(now, &auth(ReasonCode::ContinueAuthentication)).unwrap();
        server.flush().await;
        match server.event().await {
            ServerEvent::Auth(auth) => {
                assert_eq!(&*auth.properties.authentication_data().unwrap(), answer.as_bytes());
            }
            other => assert!(answer.is_empty() && matches!(other, ServerEvent::Closed(_)), "{other:?}"),
        }
    }
    let error = event(&mut events, failed).await;
    assert!(
        matches!(&*error, ConnectError::Authentication(AuthenticationError::ChallengedLate)),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_older_version_could_not_authenticate_and_is_not_tried() {
    let script = Script { lines: vec![("hello", false)], ..Script::default() };
    let (_client, _messages, mut listener) = client(options().authenticator(script).version_fallback(true));
    for _ in 0..3 {
        let mut link = listener.link().await;
        let mut bytes = bytes::BytesMut::new();
        link.recv(&mut bytes).await.unwrap();
        assert_eq!(bytes[8], 5);
        // As a server of MQTT 3 refuses it.
        link.send_all(&mut &b"\x20\x02\0\x01"[..]).await.unwrap();
    }
}

fn auth(reason: ReasonCode) -> mqttkit_client::codec::Auth {
    mqttkit_client::codec::Auth { reason, properties: mqttkit_client::codec::AuthProperties::new() }
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_is_not_satisfied_again_ends_the_connection() {
    let script = Script { lines: vec![("", false)], sulks: true, ..Script::default() };
    let (client, _messages, mut listener) = client(options().authenticator(script));
    let mut events = client.events();
    let mut server = listener.accept(None).await;
    event(&mut events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.reauthenticate().await }
    });
    let ServerEvent::Auth(first) = server.event().await else { panic!("no AUTH") };
    assert_eq!(first.reason, ReasonCode::ReAuthenticate);
    let now = server.now();
    server.connection.auth(now, &auth(ReasonCode::Success)).unwrap();
    server.flush().await;
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "authentication: not good enough");
    let cause = event(&mut events, |event| match event {
        Event::Disconnected(cause) => Some(cause),
        _ => None,
    });
    assert!(matches!(&*cause.await, DisconnectCause::Authentication(_)));
    assert!(matches!(server.event().await, ServerEvent::Closed(_)));
}

#[tokio::test]
async fn without_an_authenticator_there_is_none_and_before_mqtt_5_neither() {
    let broker = Broker::builder().build();
    let (client, _messages) = connect(&broker, options()).await.unwrap();
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::NotSet)));
    client.disconnect().await.unwrap();
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::NotConnected)));

    let error = connect(&broker, scram("secret").version(Version::V311)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Options(OptionsError::AuthenticationVersion)), "{error:?}");
}
