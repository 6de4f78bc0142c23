//! Tokens fit into `Policy` as it is: they come in the password, the query of a WebSocket or an AUTH, carry what their
//! bearer may do, and end in time. What a real one has more is the mathematics of its signature.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use mqttkit_broker_core::transport::ws::Upgrade;
use mqttkit_broker_core::transport::{ConnectOptions, MemoryLink};
use mqttkit_broker_core::{
    Action, Admission, BoxFuture, Broker, Client, Closed, Connect, ConnectRequest, Decision, Identity,
    Limits, Listen, Policy, QoS, ReasonCode, Refusal, TopicFilter,
};
use mqttkit_codec::{Auth, AuthProperties, ClientEvent};
use support::{RawClient, dial, memory, v5};

/// `subject:filter:seconds:signature`
fn token(subject: &str, publish: &str, seconds: u64) -> String {
    let claims = format!("{subject}:{publish}:{seconds}");
    format!("{claims}:{}", sign(&claims))
}

fn sign(claims: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    ("the key", claims).hash(&mut hasher);
    hasher.finish()
}

/// What a token says.
struct Claims {
    publish: TopicFilter,
}

struct Tokens;

impl Tokens {
    fn verify(token: &str) -> Option<Admission> {
        let (claims, signature) = token.rsplit_once(':')?;
        if signature.parse() != Ok(sign(claims)) {
            return None;
        }
        let mut parts = claims.split(':');
        let (subject, publish, seconds) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let mut limits = Limits::default();
        limits.valid_for = Some(Duration::from_secs(seconds));
        let claims = Claims { publish: publish.try_into().ok()? };
        let identity = Identity::named(subject).with_attribute("issuer", "a test");
        Some(Admission::new(identity).with_limits(limits).with_data(claims))
    }
}

impl Policy for Tokens {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            // Where keys come from another server they are fetched here.
            tokio::task::yield_now().await;
            let token = match (request.exchange, &request.connect.password, &request.peer.upgrade) {
                (Some(exchange), ..) if exchange.method() == "TOKEN" => exchange.data().to_vec(),
                (Some(_), ..) => return Err(Refusal::unknown_method()),
                (None, Some(password), _) => password.to_vec(),
                (None, None, Some(upgrade)) => query(upgrade),
                (None, None, None) => return Err(Refusal::unknown()),
            };
            let admission = std::str::from_utf8(&token).ok().and_then(Self::verify);
            admission.ok_or_else(|| Refusal::new(ReasonCode::NotAuthorized).with_text("not a token of ours"))
        })
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        match (action, client.data::<Claims>()) {
            (Action::Publish(message), Some(claims)) => claims.publish.matches(&message.topic).into(),
            _ => Decision::NO,
        }
    }
}

fn query(upgrade: &Upgrade) -> Vec<u8> {
    upgrade.query_value("token").map(|token| token.as_bytes().to_vec()).unwrap_or_default()
}

fn broker() -> Broker {
    Broker::builder().policy(Tokens).build()
}

fn with_password(token: &str) -> Connect {
    let mut connect = v5("c");
    connect.password = Some(token.as_bytes().try_into().unwrap());
    connect.keep_alive = 0;
    connect
}

async fn publishes(client: &mut RawClient<MemoryLink>, topic: &str) -> bool {
    let now = client.now();
    let message =
        mqttkit_broker_core::Message::new(topic.try_into().unwrap(), "x").with_qos(QoS::AtLeastOnce);
    client.connection.publish(now, message).unwrap();
    match client.event().await {
        ClientEvent::Acknowledged { reason, .. } => !reason.is_error(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_password_says_what_may_be_done_and_for_how_long() {
    let broker = broker();
    let mut forger = RawClient::open(memory(&broker, 1024), with_password("ada:#:9999:1"));
    forger.closed().await;
    let mut ada = RawClient::connect(memory(&broker, 1024), with_password(&token("ada", "a/#", 5))).await;
    assert!(publishes(&mut ada, "a/b").await && !publishes(&mut ada, "b").await);
    let info = broker.clients().remove(0).client.unwrap();
    assert_eq!((info.identity().name(), info.identity().attribute("issuer")), (Some("ada"), Some("a test")));
    match ada.closed().await {
        Closed::Peer(disconnect) => assert_eq!(disconnect.reason, ReasonCode::MaximumConnectTime),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_brings_a_new_token_before_the_old_one_ends() {
    let broker = broker();
    let properties = |token: &str| {
        AuthProperties::new()
            .with_authentication_method(&"TOKEN".try_into().unwrap())
            .with_authentication_data(&token.as_bytes().try_into().unwrap())
    };
    let mut connect = v5("c");
    connect.keep_alive = 0;
    connect.properties = connect
        .properties
        .with_authentication_method(&"TOKEN".try_into().unwrap())
        .with_authentication_data(&token("ada", "a", 5).as_bytes().try_into().unwrap());
    let mut ada = RawClient::connect(memory(&broker, 1024), connect).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    let now = ada.now();
    let again = Auth { reason: ReasonCode::ReAuthenticate, properties: properties(&token("ada", "b", 60)) };
    ada.connection.auth(now, &again).unwrap();
    assert!(matches!(ada.event().await, ClientEvent::Auth(auth) if auth.reason == ReasonCode::Success));
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(publishes(&mut ada, "b").await && !publishes(&mut ada, "a").await);
}

#[tokio::test]
async fn a_token_in_the_query_of_a_web_socket() {
    let broker = broker();
    let listening = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("ws://{}/mqtt?token={}", listening.local_addr(), token("web", "w", 60));
    let mut client = RawClient::connect(dial(&url, &ConnectOptions::default()).await, v5("c")).await;
    client.publish("w", "x", QoS::AtLeastOnce).await;
    let info: Arc<Client> = broker.clients().remove(0).client.unwrap();
    assert_eq!(info.identity().name(), Some("web"));
    client.disconnect().await;
}
