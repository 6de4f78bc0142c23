//! Broker and client over a Unix socket: any stream of bytes carries MQTT, here one of tokio's.

#[cfg(unix)]
mod unix {
    use mqttkit_broker_core::Broker;
    use mqttkit_client::transport::{StreamLink, TokioIo, TokioRuntime};
    use mqttkit_client::{Client, ConnectError, Connector, Parts, QoS};
    use std::error::Error;
    use std::path::PathBuf;
    use std::time::Duration;
    use tokio::net::{UnixListener, UnixStream};

    /// Opens the socket anew for each attempt to connect.
    struct UnixSocket(PathBuf);

    impl Connector for UnixSocket {
        type Link = StreamLink<TokioIo<UnixStream>>;

        fn connect(
            &mut self,
            _timeout: Duration,
        ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
            let path = self.0.clone();
            async move {
                let stream = UnixStream::connect(path).await;
                // The driver limits the time and connects again; all that is left to say is what went wrong.
                let stream = stream.map_err(|error| ConnectError::Custom(error.into()))?;
                Ok(StreamLink::from_tokio(stream))
            }
        }
    }

    pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
        let path = std::env::temp_dir().join(format!("mqttkit-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path)?;
        let broker = Broker::builder().build();
        let serving = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.serve_stream(stream, None));
            }
        });

        let runtime = TokioRuntime::new();
        let Parts { client, mut messages, mut driver, .. } =
            Client::builder("mqtt://unix-socket").connect_with(&runtime, UnixSocket(path.clone()))?;
        driver.connect().await?;
        tokio::spawn(driver);

        client.subscribe("greetings", QoS::AtLeastOnce).await?;
        client.publish("greetings", "hello through a Unix socket", QoS::AtLeastOnce).await?.await?;
        if let Some(message) = messages.recv().await {
            println!("received {:?} on {}", message.payload, message.topic);
        }
        client.disconnect().await?;
        broker.shutdown(Duration::from_secs(1)).await;
        std::fs::remove_file(path)?;
        Ok(())
    }
}

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main().await
}

#[cfg(not(unix))]
fn main() {
    println!("there are no Unix sockets here");
}
