//! What cannot work, and how the error says so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_client::transport::{ConnectError as TransportError, Phase};
use mqttkit_client::{
    Client, ConnectError, OptionsError, PublishError, QoS, ReasonCode, SubscribeError, Version,
};
use std::process::Command;
use std::time::{Duration, Instant};
use support::mosquitto::Mosquitto;
use support::soon;
use tokio::net::TcpListener;

const BRIEF: Duration = Duration::from_millis(300);

async fn error(options: mqttkit_client::Options) -> ConnectError {
    soon("the failure", options.connect()).await.map(drop).expect_err("it cannot work")
}

#[tokio::test]
async fn wrong_credentials_are_a_refusal_with_its_reason() {
    let passwords = std::env::temp_dir().join(format!("mqttkit-client-passwords-{}", std::process::id()));
    let made =
        Command::new("mosquitto_passwd").args(["-c", "-b"]).arg(&passwords).args(["ann", "right"]).output();
    assert!(made.expect("Debian's package `mosquitto` has mosquitto_passwd").status.success());
    let broker = Mosquitto::with(&format!("allow_anonymous false\npassword_file {}", passwords.display()));
    for version in [Version::V31, Version::V311, Version::V5] {
        for url in [broker.tcp(), broker.ws()] {
            let options = Client::builder(&url).version(version);
            for wrong in [options.clone(), options.clone().user_name("ann").password("wrong")] {
                let error = error(wrong).await;
                let reason = error.reason().expect("a refusal");
                assert!(
                    matches!(reason, ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword),
                    "{reason}"
                );
                assert!(error.hint().is_some());
            }
            let (client, _) = options.user_name("ann").password("right").connect().await.unwrap();
            support::bye(&client).await;
        }
    }
    let url = broker.tcp().replace("mqtt://", "mqtt://ann:right@");
    support::bye(&Client::builder(&url).connect().await.unwrap().0).await;
    std::fs::remove_file(passwords).ok();
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_with_its_address() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for scheme in ["mqtt", "ws", "mqtts", "wss"] {
        let error = error(Client::builder(&format!("{scheme}://127.0.0.1:{port}"))).await;
        match &error {
            ConnectError::Transport(TransportError::Tcp { attempts }) => {
                assert_eq!(attempts[0].0.port(), port);
            }
            other => panic!("{other:?}"),
        }
        assert!(error.hint().unwrap().contains("Nothing listens"));
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_within_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The system accepts the connections; nobody answers.
    for scheme in ["mqtt", "ws", "mqtts"] {
        let start = Instant::now();
        let error =
            error(Client::builder(&format!("{scheme}://127.0.0.1:{port}")).connect_timeout(BRIEF)).await;
        assert!(start.elapsed() >= BRIEF);
        let phase = match error {
            ConnectError::NoAnswer { after } if scheme == "mqtt" => {
                assert_eq!(after, BRIEF);
                continue;
            }
            ConnectError::Transport(TransportError::TimedOut { phase, .. }) => phase,
            other => panic!("{scheme}: {other:?}"),
        };
        assert_eq!(phase, if scheme == "ws" { Phase::WebSocket } else { Phase::Tls });
    }
}

#[tokio::test]
async fn a_server_of_another_kind_is_no_mqtt_server() {
    let broker = Mosquitto::start();
    let web_socket_port = broker.ws().replace("ws://", "mqtt://");
    let answer = error(Client::builder(&web_socket_port)).await;
    assert!(matches!(answer, ConnectError::Disconnected(_)), "{answer:?}");
    assert!(answer.hint().is_some());
    let tcp_port = broker.tcp().replace("mqtt://", "ws://");
    assert!(matches!(error(Client::builder(&tcp_port)).await, ConnectError::Transport(_)));
}

#[tokio::test]
async fn options_that_cannot_be_used_are_told_before_anything_is_sent() {
    let url = "mqtt://127.0.0.1:1";
    let broken = [
        Client::builder("127.0.0.1:1883"),
        Client::builder(url).client_id("a\0b"),
        Client::builder(url).password(vec![0; 70_000]),
        Client::builder(url).last_will("a/+", "", QoS::AtMostOnce, false),
        Client::builder(url).version(Version::V311).password("without a user name"),
    ];
    for options in broken {
        let error = error(options).await;
        assert!(matches!(error, ConnectError::Options(_)), "{error:?}");
    }
    let error = error(Client::builder("localhost:8083")).await;
    assert!(matches!(error, ConnectError::Options(OptionsError::Url(_))));
    assert!(error.hint().unwrap().contains("ws://localhost:8083/mqtt"), "{:?}", error.hint());
}

#[tokio::test]
async fn what_the_server_does_not_take_fails_alone() {
    let broker = Mosquitto::with_listeners(
        "allow_anonymous true\nmax_packet_size 2000\nretain_available false",
        "max_qos 1",
    );
    let (client, _messages) = Client::builder(&broker.tcp()).connect().await.unwrap();
    let large = client.publish("t", vec![0; 5000], QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(large.await, Err(PublishError::Encode(_))));
    let exact = client.publish("t", "", QoS::ExactlyOnce).await.unwrap();
    assert_eq!(exact.await, Err(PublishError::QoSNotSupported(QoS::AtLeastOnce)));
    let message = mqttkit_client::Message::new("t".try_into().unwrap(), "").with_retain(true);
    let retained = client.publish_message(message).await.unwrap();
    assert_eq!(retained.await, Err(PublishError::RetainNotSupported));
    let wrong = client.publish("a/#", "", QoS::AtMostOnce).await.map(drop);
    assert!(matches!(wrong, Err(PublishError::Topic(_))));
    assert!(matches!(client.subscribe("a/#/b", QoS::AtMostOnce).await, Err(SubscribeError::Filter(_))));
    assert!(client.publish("t", "fits", QoS::AtLeastOnce).await.unwrap().await.is_ok());
    support::bye(&client).await;
}
