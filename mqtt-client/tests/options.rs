//! Options that show on the wire only, and transports of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use mqttkit_broker_core::Broker;
use mqttkit_client::codec::Packet;
use mqttkit_client::{Passed, QoS};
use support::broker::connect;
use support::server::options;
use support::{next, soon};

#[tokio::test]
async fn topics_get_aliases_in_both_directions() {
    let broker = Broker::builder().build();
    let options = options().topic_alias_maximum(4).automatic_topic_aliases(4);
    let (client, mut messages) = soon("connect", connect(&broker, options)).await.unwrap();
    client.subscribe("a/rather/long/topic", QoS::AtLeastOnce).await.unwrap();
    let mut packets = client.packets();
    for payload in ["one", "two"] {
        client.publish("a/rather/long/topic", payload, QoS::AtLeastOnce).await.unwrap().await.unwrap();
        let message = next(&mut messages).await;
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("a/rather/long/topic", payload.as_bytes())
        );
    }
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    while sent.len() < 2 || received.len() < 2 {
        match soon("a packet", packets.recv()).await.unwrap() {
            Passed::Sent(Packet::Publish(publish)) => sent.push(publish.topic.is_aliased()),
            Passed::Received(Packet::Publish(publish)) => received.push(publish.topic.is_aliased()),
            _ => {}
        }
    }
    assert_eq!((sent, received), (vec![false, true], vec![false, true]), "the second time without its name");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use mqttkit_client::transport::{StreamLink, TokioIo, TokioRuntime};
    use mqttkit_client::{ConnectError, Connector, Parts};
    use std::future::Future;
    use std::path::PathBuf;
    use std::time::Duration;
    use tokio::net::{UnixListener, UnixStream};

    /// Connects to a Unix socket.
    struct ToSocket(PathBuf);

    impl Connector for ToSocket {
        type Link = StreamLink<TokioIo<UnixStream>>;

        fn connect(
            &mut self,
            _: Duration,
        ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
            let path = self.0.clone();
            async move {
                let stream = UnixStream::connect(path).await;
                stream.map(StreamLink::from_tokio).map_err(|error| ConnectError::Custom(error.into()))
            }
        }
    }

    #[tokio::test]
    async fn a_unix_socket_is_a_connector_of_a_few_lines() {
        let path = std::env::temp_dir().join(format!("mqttkit-client-{}.sock", std::process::id()));
        std::fs::remove_file(&path).ok();
        let listener = UnixListener::bind(&path).unwrap();
        let broker = Broker::builder().build();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            broker.serve_stream(stream, None).await.unwrap();
        });
        let Parts { client, mut messages, driver, .. } =
            options().connect_with(&TokioRuntime::new(), ToSocket(path.clone())).unwrap();
        tokio::spawn(driver);
        soon("subscribe", client.subscribe("a", QoS::AtLeastOnce)).await.unwrap();
        client.publish("a", "through a file", QoS::AtLeastOnce).await.unwrap();
        assert_eq!(next(&mut messages).await.payload, "through a file");
        std::fs::remove_file(&path).ok();
    }
}
