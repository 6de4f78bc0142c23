//! Broker and client in one process without a socket: MQTT through a pipe in memory, here on smol.
//!
//! The same two calls, `Broker::serve` and `Options::connect_with`, take any transport of your own.

use mqttkit_broker_core::Broker;
use mqttkit_client::transport::{MemoryLink, PeerInfo, Runtime, Scheme, SmolRuntime, pipe};
use mqttkit_client::{Client, ConnectError, Connector, Parts, QoS};
use std::error::Error;
use std::time::Duration;

/// Each attempt to connect is a new pipe, the far end of which the broker serves.
struct Through {
    broker: Broker,
    runtime: SmolRuntime,
}

impl Connector for Through {
    type Link = MemoryLink;

    fn connect(
        &mut self,
        _timeout: Duration,
    ) -> impl Future<Output = Result<MemoryLink, ConnectError>> + Send + 'static {
        // Each way holds so many bytes; a full pipe makes the sender wait, like a socket.
        let (near, far) = pipe(16 * 1024);
        let served = self.broker.serve(far, PeerInfo::new(Scheme::Tcp, None));
        self.runtime.spawn(async { drop(served.await) });
        async { Ok(near) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(async {
        let runtime = SmolRuntime::new();
        let broker = Broker::builder().build_with(runtime.clone());

        // The URL of the options is not used with a transport of one's own.
        let connector = Through { broker: broker.clone(), runtime: runtime.clone() };
        let Parts { client, mut messages, mut driver, .. } =
            Client::builder("mqtt://in-memory").connect_with(&runtime, connector)?;
        driver.connect().await?;
        runtime.spawn(driver);

        client.subscribe("greetings", QoS::AtLeastOnce).await?;
        client.publish("greetings", "hello through memory", QoS::AtLeastOnce).await?.await?;
        if let Some(message) = messages.recv().await {
            println!("received {:?} on {}", message.payload, message.topic);
        }
        client.disconnect().await?;
        broker.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
}
