//! Questions and answers through our broker.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_broker_core::{Broker, Config};
use mqttkit_client::request::{OpenError, RequestError, RequestOptions, Requests, RespondError, Responder};
use mqttkit_client::{Client, Event, Message, QoS, Version};
use std::time::Duration;
use support::broker::connect;
use support::server::options;
use support::{event, soon};

async fn client(broker: &Broker, id: &str) -> Client {
    let (client, messages) = soon("connect", connect(broker, options().client_id(id))).await.unwrap();
    drop(messages);
    client
}

/// Answers with what it was asked, in capitals.
fn echo(mut responder: Responder) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(request) = responder.recv().await {
            let text = String::from_utf8(request.message.payload.to_vec()).unwrap();
            request.respond(text.to_uppercase()).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_a_time_get_their_own_answers() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    echo(Responder::open(&answering, "do/+", QoS::AtLeastOnce).await.unwrap());
    let requests = Requests::open(&asking, RequestOptions::new().outstanding(16)).await.unwrap();
    assert!(requests.response_topic().as_str().starts_with("responses/asking/"));
    let mut all = Vec::new();
    for number in 0..500 {
        let requests = requests.clone();
        all.push(tokio::spawn(async move {
            let answer = requests.request("do/this", format!("question {number}")).await.unwrap();
            assert_eq!(answer.payload, format!("QUESTION {number}"));
        }));
    }
    soon("all answers", async {
        for one in all {
            one.await.unwrap();
        }
    })
    .await;
    assert_eq!(requests.outstanding(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_time_and_not_longer() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    let mut responder = Responder::open(&answering, "slow", QoS::AtLeastOnce).await.unwrap();
    let requests =
        Requests::open(&asking, RequestOptions::new().timeout(Duration::from_secs(3))).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(requests.request("slow", "?").await.unwrap_err(), RequestError::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 3);
    // The server is told, so that nobody answers in vain.
    let request = responder.recv().await.unwrap();
    assert_eq!(request.message.properties.message_expiry_interval(), Some(3));
    // An answer that is late is for nobody, and does not disturb the next.
    request.respond("late").await.unwrap().await.unwrap();
    let (answer, ()) = tokio::join!(requests.request("slow", "again"), async {
        let request = responder.recv().await.unwrap();
        request.respond("in time").await.unwrap();
    });
    assert_eq!(answer.unwrap().payload, "in time");
}

#[tokio::test(start_paused = true)]
async fn the_time_runs_in_line_too() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    let mut responder = Responder::open(&answering, "slow", QoS::AtLeastOnce).await.unwrap();
    let options = RequestOptions::new().outstanding(1).timeout(Duration::from_secs(3));
    let requests = Requests::open(&asking, options).await.unwrap();
    let (first, second) = tokio::join!(requests.request("slow", "1"), requests.request("slow", "2"));
    assert_eq!((first, second), (Err(RequestError::TimedOut), Err(RequestError::TimedOut)));
    responder.recv().await.unwrap();
    let another = tokio::time::timeout(Duration::from_secs(5), responder.recv()).await;
    assert!(another.is_err(), "the second one had no place");
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let broker = Broker::builder().build();
    let asking = client(&broker, "asking").await;
    let requests = Requests::open(&asking, RequestOptions::new()).await.unwrap();
    let error = soon("an answer", requests.request("nobody", "?")).await.unwrap_err();
    assert_eq!(error, RequestError::NoResponder);
}

#[tokio::test]
async fn who_stops_waiting_does_not_leave_the_others_without_a_call() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    let mut responder = Responder::open(&answering, "do", QoS::AtLeastOnce).await.unwrap();
    let requests = Requests::open(&asking, RequestOptions::new()).await.unwrap();
    for _ in 0..20 {
        let ask = |text: &'static str| {
            let requests = requests.clone();
            tokio::spawn(async move { requests.request("do", text).await })
        };
        let first = ask("first");
        let one = responder.recv().await.unwrap();
        let second = ask("second");
        let two = responder.recv().await.unwrap();
        // The first is whom the stream would wake.
        two.respond("for the second").await.unwrap().await.unwrap();
        first.abort();
        one.respond("for nobody").await.unwrap().await.unwrap();
        let answer = soon("the answer", second).await.unwrap().unwrap();
        assert_eq!(answer.payload, "for the second");
    }
}

#[tokio::test]
async fn the_answers_come_where_the_server_says() {
    let mut config = Config::default();
    config.response_information = Some("answers/%c/".into());
    let broker = Broker::builder().config(config).build();
    let options = options().client_id("c").properties(|p| p.with_request_response_information(true));
    let (asking, _messages) = connect(&broker, options).await.unwrap();
    echo(Responder::open(&asking, "do", QoS::ExactlyOnce).await.unwrap());
    let requests = Requests::open(&asking, RequestOptions::new().qos(QoS::ExactlyOnce)).await.unwrap();
    assert!(requests.response_topic().as_str().starts_with("answers/c/"), "{requests:?}");
    assert_eq!(soon("an answer", requests.request("do", "x")).await.unwrap().payload, "X");
}

#[tokio::test(start_paused = true)]
async fn a_request_survives_a_reconnect() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    let mut responder = Responder::open(&answering, "do", QoS::AtLeastOnce).await.unwrap();
    let requests = Requests::open(&asking, RequestOptions::new()).await.unwrap();
    let mut events = asking.events();
    let waiting = tokio::spawn(async move { requests.request("do", "?").await });
    let request = responder.recv().await.unwrap();
    event(&mut events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
    broker.kick("asking", mqttkit_client::ReasonCode::ServerBusy).unwrap();
    event(&mut events, |event| matches!(event, Event::Connected(_)).then_some(())).await;
    // The subscription to the answers is made again.
    let one_more = Requests::open(&asking, RequestOptions::new()).await.unwrap();
    drop(one_more);
    request.respond("!").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().payload, "!");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_is_the_end_of_its_requests() {
    let broker = Broker::builder().build();
    let (asking, answering) = (client(&broker, "asking").await, client(&broker, "answering").await);
    let _responder = Responder::open(&answering, "do", QoS::AtLeastOnce).await.unwrap();
    let requests = Requests::open(&asking, RequestOptions::new()).await.unwrap();
    let (answer, _) = tokio::join!(requests.request("do", "?"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        asking.disconnect().await
    });
    assert_eq!(answer.unwrap_err(), RequestError::Closed);
}

#[tokio::test]
async fn what_asks_for_no_answer_gets_none_and_mqtt_3_cannot_ask() {
    let broker = Broker::builder().build();
    let answering = client(&broker, "answering").await;
    let mut responder = Responder::open(&answering, "do", QoS::AtLeastOnce).await.unwrap();
    let options = options().client_id("old").version(Version::V311);
    let (old, _messages) = connect(&broker, options).await.unwrap();
    let error = Requests::open(&old, RequestOptions::new()).await.unwrap_err();
    assert_eq!(error, OpenError::Version);
    let message = Message::new("do".try_into().unwrap(), "just so you know");
    old.publish_message(message).await.unwrap();
    let request = soon("the message", responder.recv()).await.unwrap();
    assert_eq!(request.respond("?").await.unwrap_err(), RespondError::NotAsked);
}
