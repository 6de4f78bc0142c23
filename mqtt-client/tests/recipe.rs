//! The recipe: each attempt of the client goes where, and shows what, the program says at that moment.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::codec::{ConnAck, Connect, Disconnect, ServerEvent};
use mqttkit_client::transport::http::{HeaderName, HeaderValue};
use mqttkit_client::transport::{
    AcceptOptions, Accepted, Acceptor, ListenOptions, Listener, PeerInfo, Runtime, Scheme, ServerLink,
    TokioRuntime,
};
use mqttkit_client::{
    Attempt, ConnectError, DisconnectCause, Event, Failure, Options, OptionsError, ReasonCode, Version,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::server::Server;
use support::{event, soon};

type Socket = <TokioRuntime as Runtime>::Stream;

/// A WebSocket port in the test's own hands.
struct Port {
    listener: <TokioRuntime as Runtime>::Listener,
    acceptor: Acceptor<TokioRuntime>,
}

impl Port {
    async fn open() -> Self {
        let runtime = TokioRuntime::new();
        let listener =
            runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
        Self { listener, acceptor: Acceptor::new(runtime, Scheme::Ws, AcceptOptions::new()).unwrap() }
    }

    fn url(&self) -> String {
        format!("ws://{}/mqtt", self.listener.local_addr().unwrap())
    }

    /// The next client and its CONNECT.
    async fn client(&self) -> (Server<ServerLink<Socket>>, PeerInfo, Connect) {
        soon("a client", async {
            let (socket, address) = self.listener.accept().await.unwrap();
            let Ok(Accepted::Link(link, peer)) = self.acceptor.accept(socket, Some(address)).await else {
                panic!("no upgrade")
            };
            let mut server = Server::new(link);
            let ServerEvent::Connect(connect) = server.event().await else { panic!("no CONNECT") };
            (server, peer, *connect)
        })
        .await
    }
}

fn credentials(connect: &Connect) -> (Option<&str>, Option<&[u8]>) {
    (connect.user_name.as_deref(), connect.password.as_deref())
}

fn options(url: &str) -> Options {
    Options::from_url(url).unwrap().reconnect_period(Duration::from_millis(10))
}

#[tokio::test]
async fn each_attempt_goes_where_the_recipe_says_and_is_told_why() {
    let (one, two) = (Port::open().await, Port::open().await);
    let second = two.url();
    let told = Arc::new(Mutex::new(Vec::new()));
    let recipe = {
        let told = Arc::clone(&told);
        move |attempt: Attempt| {
            let second = second.clone();
            told.lock().unwrap().push((attempt.number, attempt.last_failure));
            let (number, target) = (attempt.number, attempt.target);
            async move {
                match number {
                    1 => Ok(target),
                    2 => Err("the token service is down".into()),
                    _ => Ok(target
                        .url(&second)?
                        .header(HeaderName::from_static("x-attempt"), HeaderValue::from(number))
                        .credentials("device", format!("token {number}"))),
                }
            }
        }
    };
    let url = one.url().replace("ws://", "ws://ann:secret@");
    let (client, _messages) = options(&url).user_name("bob").recipe(recipe).connect_in_background().unwrap();
    let mut events = client.events();

    // The first attempt is what the options say, in which `bob` took the place of `ann`. It is refused.
    let (mut server, peer, connect) = one.client().await;
    assert_eq!(credentials(&connect), (Some("bob"), Some(&b"secret"[..])));
    assert!(!peer.upgrade.unwrap().headers().contains_key("x-attempt"));
    let now = server.now();
    server.connection.refuse(now, &ConnAck::refused(ReasonCode::BadUserNameOrPassword));
    server.flush().await;
    drop(server);

    // The second fails in the recipe, the third is accepted and cut off later, the fourth is anew.
    for number in [3, 4] {
        let (mut server, peer, connect) = two.client().await;
        let token = format!("token {number}");
        assert_eq!(credentials(&connect), (Some("device"), Some(token.as_bytes())));
        assert_eq!(peer.upgrade.unwrap().headers()["x-attempt"], number.to_string());
        server.accept(None).await;
        event(&mut events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
        let now = server.now();
        server.connection.disconnect(now, &Disconnect::new(ReasonCode::NotAuthorized));
        server.flush().await;
    }
    two.client().await;

    let told = told.lock().unwrap();
    let numbers: Vec<_> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let refused = |failure: &Option<Failure>| match failure {
        Some(Failure::Connect(error)) => error.reason(),
        _ => None,
    };
    assert!(told[0].1.is_none());
    assert_eq!(refused(&told[1].1), Some(ReasonCode::BadUserNameOrPassword));
    assert!(told[2].1.as_ref().unwrap().to_string().contains("the token service is down"));
    for (_, failure) in &told[3..] {
        assert!(
            matches!(failure, Some(Failure::Disconnected(cause)) if matches!(&**cause, DisconnectCause::Server(_))),
            "{failure:?}"
        );
    }
}

/// A wrong password is tried again after the longest wait only, half a minute at least; another may be right at once.
#[tokio::test]
async fn with_a_recipe_no_refusal_is_lasting() {
    for (with_recipe, seconds) in [(false, 30..=60), (true, 2..=4)] {
        let port = Port::open().await;
        let mut options = Options::from_url(&port.url()).unwrap().reconnect_period(Duration::from_secs(1));
        if with_recipe {
            options = options.recipe(|attempt| async move { Ok(attempt.target) });
        }
        let (client, _messages) = options.connect_in_background().unwrap();
        let mut events = client.events();
        let (mut server, _, _) = port.client().await;
        let now = server.now();
        server.connection.refuse(now, &ConnAck::refused(ReasonCode::BadUserNameOrPassword));
        server.flush().await;
        let delay = event(&mut events, |event| match event {
            Event::Reconnecting { delay, .. } => Some(delay),
            _ => None,
        });
        let delay = delay.await;
        assert!(seconds.contains(&delay.as_secs()), "{delay:?}");
    }
}

#[tokio::test]
async fn the_first_attempt_fails_with_the_error_of_the_recipe() {
    let options = options("ws://127.0.0.1:1").recipe(|_| async { Err("no network permitted".into()) });
    let error = options.connect().await.unwrap_err();
    assert!(error.to_string().contains("no network permitted"), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn credentials_that_cannot_be_sent_are_named() {
    let port = Port::open().await;
    let too_long = "x".repeat(65_536);
    let recipe = move |attempt: Attempt| {
        let too_long = too_long.clone();
        async move { Ok(attempt.target.credentials("device", too_long)) }
    };
    let (result, _) = tokio::join!(options(&port.url()).recipe(recipe).connect(), async {
        let (socket, address) = port.listener.accept().await.unwrap();
        port.acceptor.accept(socket, Some(address)).await.unwrap()
    });
    let error = result.map(|_| ()).unwrap_err();
    assert!(
        matches!(error, ConnectError::Options(OptionsError::Text { option: "password", .. })),
        "{error:?}"
    );
}

/// MQTT 3 says nothing about a password without a user name but that it must not be.
#[tokio::test]
async fn a_recipe_may_take_credentials_away() {
    use mqttkit_client::transport::Endpoint;
    let port = Port::open().await;
    let bare: Endpoint = port.url().parse().unwrap();
    let recipe = move |mut attempt: Attempt| {
        attempt.target.endpoint = bare.clone();
        async move { Ok(attempt.target) }
    };
    let url = port.url().replace("ws://", "ws://ann:secret@");
    let (_client, _messages) =
        options(&url).version(Version::V311).recipe(recipe).connect_in_background().unwrap();
    let (_server, _, connect) = port.client().await;
    assert_eq!(credentials(&connect), (None, None));
}
