//! Listeners of every scheme, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "aws-lc-rs"))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mqttkit_broker_core::transport::tls::{ClientTls, SelfSigned, ServerTls, self_signed};
use mqttkit_broker_core::transport::{
    AcceptOptions, ClientLink, ConnectOptions, LinkError, PeerInfo, Scheme, StreamLink, TokioRuntime,
};
use mqttkit_broker_core::{
    Admission, BanCause, Banned, BoxFuture, Broker, Closed, Config, ConnectRequest, Event, Listen,
    ListenError, Listening, Message, Policy, QoS, Rate, ReasonCode, Refusal, ServeError, TopicName,
};
use support::{PATIENCE, RawClient, dial, until, v5, v311};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A certificate for localhost, with options for both sides.
fn tls() -> (AcceptOptions, ConnectOptions) {
    let SelfSigned { certificate_pem, key_pem, .. } = self_signed(&["localhost", "127.0.0.1"]).unwrap();
    let server = ServerTls::from_pem(certificate_pem.clone(), key_pem).build().unwrap();
    let client = ClientTls::new().only_given_cas().ca_pem(certificate_pem).build().unwrap();
    (AcceptOptions::new().tls(server), ConnectOptions::new().tls(client))
}

async fn listen(broker: &Broker, scheme: Scheme, options: &AcceptOptions) -> (Listening, String) {
    let listen = Listen::new(scheme, ([127, 0, 0, 1], 0)).options(options.clone());
    let listening = broker.listen(listen).await.unwrap();
    let path = if scheme.is_websocket() { "/mqtt" } else { "" };
    let url = format!("{}://localhost:{}{path}", scheme.as_str(), listening.local_addr().port());
    (listening, url)
}

async fn connect(url: &str, options: &ConnectOptions, id: &str) -> RawClient<ClientLink<TokioRuntime>> {
    RawClient::connect(dial(url, options).await, v5(id)).await
}

async fn all_schemes() {
    let broker = Broker::builder().build();
    let (server, client) = tls();
    let mut urls = Vec::new();
    for scheme in Scheme::ALL {
        let (listening, url) = listen(&broker, scheme, &server).await;
        assert_eq!(listening.scheme(), scheme);
        urls.push(url);
    }
    for from in &urls {
        for to in &urls {
            let (mut sender, mut receiver) =
                (connect(from, &client, "s").await, connect(to, &client, "r").await);
            receiver.subscribe("a", QoS::ExactlyOnce).await;
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for size in [0, 1, 64 * 1024, 1024 * 1024] {
                    sender.publish("a", vec![7; size], qos).await;
                    let message = receiver.message().await;
                    assert_eq!((message.payload.len(), message.qos), (size, qos), "{from} to {to}");
                }
            }
            sender.disconnect().await;
            receiver.disconnect().await;
            until("both have left", || broker.stats().connections == 0).await;
        }
    }
    assert!(broker.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn every_scheme_reaches_every_other_on_one_thread() {
    Box::pin(all_schemes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scheme_reaches_every_other_on_two_threads() {
    Box::pin(all_schemes()).await;
}

#[tokio::test]
async fn silent_sockets_delay_nobody() {
    let broker = Broker::builder().build();
    let (server, client) = tls();
    for scheme in Scheme::ALL {
        let (listening, url) = listen(&broker, scheme, &server).await;
        connect(&url, &client, "warm").await.disconnect().await;
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(TcpStream::connect(listening.local_addr()).await.unwrap());
        }
        let started = Instant::now();
        connect(&url, &client, "quick").await.disconnect().await;
        let took = started.elapsed();
        // Some milliseconds alone; the bound leaves room for a busy machine, not for one silent socket's deadline.
        assert!(took < Duration::from_secs(1), "{scheme:?} took {took:?}");
    }
    broker.shutdown(PATIENCE).await;
}

async fn a_hundred_say_goodbye(scheme: Scheme) {
    let broker = Broker::builder().build();
    let (server, client) = tls();
    let (_listening, url) = listen(&broker, scheme, &server).await;
    let mut clients = Vec::new();
    for number in 0..100 {
        let id = format!("c{number}");
        let link = dial(&url, &client).await;
        let connect = if number % 2 == 0 { v5(&id) } else { v311(&id) };
        let mut client = RawClient::connect(link, connect).await;
        clients.push(tokio::spawn(async move {
            let closed = client.closed().await;
            (closed, client.link_end().await)
        }));
    }
    let started = Instant::now();
    assert!(broker.shutdown(Duration::from_secs(2)).await, "everybody had left in time");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    for (number, client) in clients.into_iter().enumerate() {
        let (closed, end) = timeout(PATIENCE, client).await.unwrap().unwrap();
        match closed {
            Closed::Peer(disconnect) if number % 2 == 0 => {
                assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
            }
            // MQTT 3 has no goodbye for servers: the transport's own must do.
            Closed::Transport if number % 2 == 1 => {}
            other => panic!("{other:?}"),
        }
        assert!(end.is_ok(), "{scheme:?}: {end:?}");
    }
    assert_eq!((broker.stats().connections, broker.stats().clients), (0, 0));
}

#[tokio::test]
async fn shutdown_with_a_hundred_clients_over_tcp() {
    a_hundred_say_goodbye(Scheme::Tcp).await;
}

#[tokio::test]
async fn shutdown_with_a_hundred_clients_over_websocket() {
    a_hundred_say_goodbye(Scheme::Ws).await;
}

#[tokio::test]
async fn shutdown_with_a_hundred_clients_over_websocket_and_tls() {
    a_hundred_say_goodbye(Scheme::Wss).await;
}

#[tokio::test]
async fn shutdown_cuts_those_that_do_not_leave() {
    let mut config = Config::default();
    config.close_timeout = Duration::from_secs(3600);
    let broker = Broker::builder().config(config).build();
    let (listening, url) = listen(&broker, Scheme::Tcp, &AcceptOptions::new()).await;
    // Connected and deaf: the broker's goodbye is never answered.
    let deaf = connect(&url, &ConnectOptions::new(), "deaf").await;
    // In the middle of a handshake, on another listener.
    let (ws, _) = listen(&broker, Scheme::Ws, &AcceptOptions::new()).await;
    let _shaking = TcpStream::connect(ws.local_addr()).await.unwrap();
    until("both are there", || broker.stats().connections == 2).await;
    let started = Instant::now();
    assert!(!broker.shutdown(Duration::from_millis(300)).await);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(broker.stats().connections, 0);
    drop(deaf);

    assert!(TcpStream::connect(listening.local_addr()).await.is_err(), "nobody listens");
    let again = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await;
    assert!(matches!(again, Err(ListenError::ShuttingDown)));
    let (_near, far) = tokio::io::duplex(64);
    assert_eq!(broker.serve_stream(far, None).await, Err(ServeError::ShuttingDown));
    assert!(broker.local_client().is_err());
}

#[tokio::test]
async fn a_listener_can_be_stopped_and_its_address_used_again() {
    let broker = Broker::builder().build();
    let (listening, url) = listen(&broker, Scheme::Tcp, &AcceptOptions::new()).await;
    let mut client = connect(&url, &ConnectOptions::new(), "c").await;
    let address = listening.local_addr();
    listening.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(client.subscribe("a", QoS::AtMostOnce).await, ReasonCode::GRANTED_QOS_0, "it goes on");
    let again = broker.listen(Listen::tcp(address)).await.unwrap();
    assert_eq!(again.local_addr(), address);
    let in_use = broker.listen(Listen::tcp(address)).await.unwrap_err();
    assert!(matches!(in_use, ListenError::Io { .. }), "{in_use}");
}

#[tokio::test]
async fn tls_without_a_certificate_is_an_error_at_once() {
    let broker = Broker::builder().build();
    let error = broker.listen(Listen::wss(([127, 0, 0, 1], 0))).await.unwrap_err();
    assert!(matches!(error, ListenError::Tls(_)), "{error}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let mut config = Config::default();
    config.max_connections = 2;
    let broker = Broker::builder().config(config).build();
    let (listening, url) = listen(&broker, Scheme::Tcp, &AcceptOptions::new()).await;
    let clients =
        [connect(&url, &ConnectOptions::new(), "a").await, connect(&url, &ConnectOptions::new(), "b").await];
    let mut third = TcpStream::connect(listening.local_addr()).await.unwrap();
    let mut byte = [0];
    assert_eq!(timeout(PATIENCE, third.read(&mut byte)).await.unwrap().unwrap_or(0), 0);
    assert_eq!(broker.stats().connections_refused, 1);
    for client in clients {
        client.disconnect().await;
    }
    until("there are seats", || broker.stats().connections == 0).await;
    connect(&url, &ConnectOptions::new(), "c").await.disconnect().await;
}

/// Lets one client wait until it is told otherwise.
struct SlowDoor {
    asked: Arc<AtomicUsize>,
}

impl Policy for SlowDoor {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(request.peer.address.is_some());
        Box::pin(async move {
            if request.connect.client_id == "slow" {
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            Ok(Admission::default())
        })
    }
}

#[tokio::test]
async fn a_policy_that_takes_its_time_delays_one_client_and_not_for_ever() {
    let mut config = Config::default();
    config.authenticate_timeout = Duration::from_millis(300);
    let asked = Arc::new(AtomicUsize::new(0));
    let broker = Broker::builder().config(config).policy(SlowDoor { asked: Arc::clone(&asked) }).build();
    let (_listening, url) = listen(&broker, Scheme::Ws, &AcceptOptions::new()).await;
    let mut slow = RawClient::open(dial(&url, &ConnectOptions::new()).await, v5("slow"));
    slow.flush().await;
    until("the policy was asked", || asked.load(Ordering::Relaxed) == 1).await;
    connect(&url, &ConnectOptions::new(), "quick").await.disconnect().await;
    let Closed::Refused(connack) = slow.closed().await else { panic!() };
    assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
}

/// [MQTT-3.1.2-8]: what a peer breaks below MQTT publishes its will, too.
#[tokio::test]
async fn a_websocket_that_ends_without_a_goodbye_publishes_the_will() {
    let broker = Broker::builder().build();
    let mut local = broker.local_client().unwrap();
    local.subscribe("will".try_into().unwrap(), QoS::AtMostOnce).unwrap();
    let (_listening, url) = listen(&broker, Scheme::Ws, &AcceptOptions::new()).await;
    let mut connect = v5("tab");
    connect.will = Some(mqttkit_codec::Will::new("will".try_into().unwrap(), "closed".try_into().unwrap()));
    let client = RawClient::connect(dial(&url, &ConnectOptions::new()).await, connect).await;
    drop(client);
    assert_eq!(timeout(PATIENCE, local.recv()).await.unwrap().unwrap().payload, "closed");
}

#[tokio::test]
async fn a_broken_protocol_closes_a_websocket_with_1002() {
    let broker = Broker::builder().build();
    let (_listening, url) = listen(&broker, Scheme::Ws, &AcceptOptions::new()).await;
    let mut client = connect(&url, &ConnectOptions::new(), "c").await;
    mqttkit_broker_core::transport::LinkExt::send_all(&mut client.link, &mut &[0xffu8, 0xff][..])
        .await
        .unwrap();
    let Closed::Peer(disconnect) = client.closed().await else { panic!() };
    assert_eq!(disconnect.reason, ReasonCode::MalformedPacket);
    match client.link_end().await {
        Err(LinkError::ClosedByPeer(reason)) => assert_eq!(reason.code(), 1002),
        other => panic!("{other:?}"),
    }
}

/// One publisher as fast as it can, one subscriber that keeps up: nothing is lost, though both share one thread.
#[tokio::test]
async fn a_flood_of_qos_0_reaches_a_subscriber_that_reads() {
    const COUNT: usize = 50_000;
    let broker = Broker::builder().build();
    let (listening, url) = listen(&broker, Scheme::Tcp, &AcceptOptions::new()).await;
    let mut receiver = connect(&url, &ConnectOptions::new(), "r").await;
    receiver.subscribe("a", QoS::AtMostOnce).await;
    let mut raw = TcpStream::connect(listening.local_addr()).await.unwrap();
    let flood = tokio::spawn(async move {
        let mut bytes = vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b's'];
        for _ in 0..COUNT {
            bytes.extend_from_slice(&[0x30, 7, 0, 1, b'a', b'b', b'c', b'd', b'e']);
        }
        raw.write_all(&bytes).await.unwrap();
        raw
    });
    for number in 0..COUNT {
        assert_eq!(receiver.message().await.payload, "bcde", "message {number}");
    }
    drop(flood.await.unwrap());
    assert_eq!(broker.stats().dropped.total(), 0);
}

/// What a host's own connection looks like: any address, any stream.
#[tokio::test]
async fn sockets_of_the_host_are_served_too() {
    let broker = Broker::builder().build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = broker.clone();
    tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        host.serve_stream(stream, Some(peer)).await
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = RawClient::connect(StreamLink::from_tokio(stream), v5("c")).await;
    client.subscribe("a", QoS::AtMostOnce).await;
    broker.publish(Message::new(TopicName::try_from("a").unwrap(), "x"));
    assert_eq!(client.message().await.payload, "x");
}

/// The whole answer to some bytes.
async fn answer(listening: &Listening, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(listening.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn wrong_clients_are_told_the_right_url() {
    let broker = Broker::builder().build();
    let (tcp, _) = listen(&broker, Scheme::Tcp, &AcceptOptions::new()).await;
    let (ws, _) = listen(&broker, Scheme::Ws, &AcceptOptions::new().path("/live")).await;
    let (tcp_port, ws_port) = (tcp.local_addr().port(), ws.local_addr().port());
    let get = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n";
    let text = String::from_utf8(answer(&tcp, get).await).unwrap();
    assert!(text.contains(&format!("Connect to ws://box:{ws_port}/live or mqtt://box:{tcp_port}")), "{text}");
    assert_eq!(answer(&ws, b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0").await, b"\x20\x02\0\x03");
    // A listener that is stopped is no longer named.
    ws.stop().await;
    let text = String::from_utf8(answer(&tcp, get).await).unwrap();
    assert!(!text.contains("ws://") && text.contains(&format!("mqtt://box:{tcp_port}")), "{text}");
    let quiet = broker.listen(Listen::tcp(([127, 0, 0, 1], 0)).sniff(false)).await.unwrap();
    let mut stream = TcpStream::connect(quiet.local_addr()).await.unwrap();
    stream.write_all(get).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().ok();
    assert!(!bytes.starts_with(b"HTTP"), "it was not to look");
}

#[tokio::test]
async fn one_port_serves_every_scheme() {
    let broker = Broker::builder().build();
    let (server, client) = tls();
    let listening = broker.listen(Listen::any(([127, 0, 0, 1], 0)).options(server)).await.unwrap();
    let port = listening.local_addr().port();
    for url in [
        format!("mqtt://localhost:{port}"),
        format!("mqtts://localhost:{port}"),
        format!("ws://localhost:{port}/mqtt"),
        format!("wss://localhost:{port}/mqtt"),
    ] {
        let mut both = connect(&url, &client, "c").await;
        both.subscribe("a", QoS::AtLeastOnce).await;
    }
}

/// Those that begin a handshake and stop have the places; the oldest of them give way.
#[tokio::test]
async fn half_open_handshakes_do_not_keep_a_good_client_out() {
    let mut config = Config::default();
    config.max_handshakes = 8;
    let broker = Broker::builder().config(config).build();
    for scheme in [Scheme::Tcp, Scheme::Ws] {
        let (listening, url) = listen(&broker, scheme, &AcceptOptions::new()).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(listening.local_addr()).await.unwrap());
        }
        let began = Instant::now();
        let mut good = connect(&url, &ConnectOptions::new(), "good").await;
        good.subscribe("a", QoS::AtMostOnce).await;
        // The deadline of a handshake is ten seconds: nobody has waited for one.
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        // An oldest one was closed.
        let mut byte = [0];
        let read = timeout(PATIENCE, silent[0].read(&mut byte)).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}

/// How a connection ends that is not let in: before it has said anything.
async fn is_turned_away(address: std::net::SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return true };
    let ended = timeout(Duration::from_millis(300), stream.read(&mut [0; 1])).await;
    matches!(ended, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn a_listener_has_limits_of_its_own() {
    let broker = Broker::builder().build();
    let small = broker.listen(Listen::tcp(([127, 0, 0, 1], 0)).max_connections(1)).await.unwrap();
    let large = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let url = |listening: &Listening| format!("mqtt://{}", listening.local_addr());
    let first = connect(&url(&small), &ConnectOptions::new(), "first").await;
    assert!(is_turned_away(small.local_addr()).await);
    assert_eq!(broker.stats().connections_refused, 1);
    connect(&url(&large), &ConnectOptions::new(), "second").await.disconnect().await;
    first.disconnect().await;
    until("there is a place", || broker.stats().connections == 0).await;
    connect(&url(&small), &ConnectOptions::new(), "third").await.disconnect().await;
}

#[tokio::test]
async fn a_crowd_is_let_in_one_by_one() {
    let broker = Broker::builder().build();
    let rate = Rate::per_second(10).with_burst(2);
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0)).connect_rate(rate)).await.unwrap();
    let url = format!("mqtt://{}", listening.local_addr());
    let started = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..5 {
        crowd.push(connect(&url, &ConnectOptions::new(), &number.to_string()).await);
    }
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
    assert_eq!(broker.stats().clients, 5, "nobody is refused");
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_turned_away() {
    let mut config = Config::default();
    config.connect_rate = Some(Rate::per_second(1).with_burst(2));
    let broker = Broker::builder().config(config).build();
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let mut away = 0;
    let started = Instant::now();
    for _ in 0..6 {
        away += u64::from(is_turned_away(listening.local_addr()).await);
    }
    let passed = started.elapsed().as_secs() + 3;
    assert!(away >= 1 && away + passed >= 6, "{away} after {:?}", started.elapsed());
    assert_eq!(broker.stats().connections_too_often, away);
}

#[tokio::test]
async fn a_banned_address_is_turned_away_and_put_out() {
    let broker = Broker::builder().build();
    let mut events = broker.events(10);
    let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("mqtt://{}", listening.local_addr());
    let mut inside = connect(&url, &ConnectOptions::new(), "inside").await;
    let here = Banned::Address([127, 0, 0, 1].into());
    broker.ban(here.clone(), None).unwrap();
    let Closed::Peer(bye) = inside.closed().await else { panic!() };
    assert_eq!(bye.reason, ReasonCode::AdministrativeAction);
    assert!(is_turned_away(listening.local_addr()).await);
    assert_eq!(broker.stats().connections_banned, 1);
    assert_eq!((broker.bans().len(), &broker.bans()[0].subject), (1, &here));
    let mut told = false;
    while let Ok(Some(event)) = timeout(Duration::from_millis(50), events.recv()).await {
        told |= matches!(event, Event::Banned { cause: BanCause::Host, .. });
    }
    assert!(told);
    let (_, far) = mqttkit_broker_core::transport::pipe(64);
    let peer = PeerInfo::new(Scheme::Tcp, Some(([127, 0, 0, 1], 9).into()));
    assert_eq!(broker.serve(far, peer).await, Err(ServeError::Banned));
    assert!(broker.unban(here));
    connect(&url, &ConnectOptions::new(), "inside").await.disconnect().await;
}
