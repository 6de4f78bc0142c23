//! Our broker at the other end of pipes in memory.

use mqttkit_broker_core::Broker;
use mqttkit_client::transport::{MemoryLink, PeerInfo, Scheme, TokioRuntime, pipe};
use mqttkit_client::{Client, ConnectError, Connector, Messages, Options, Parts};
use std::future::Future;
use std::time::Duration;

/// Opens pipes to a broker.
pub struct ToBroker(pub Broker);

impl Connector for ToBroker {
    type Link = MemoryLink;

    fn connect(
        &mut self,
        _: Duration,
    ) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send + 'static {
        let (ours, theirs) = pipe(64 << 10);
        tokio::spawn(self.0.serve(theirs, PeerInfo::new(Scheme::Tcp, None)));
        async move { Ok(ours) }
    }
}

/// Connects to the broker.
pub async fn connect(broker: &Broker, options: Options) -> Result<(Client, Messages), ConnectError> {
    let Parts { client, messages, mut driver, .. } =
        options.connect_with(&TokioRuntime::new(), ToBroker(broker.clone()))?;
    driver.connect().await?;
    tokio::spawn(driver);
    Ok((client, messages))
}
