//! The broker that all clients are measured against. Prints its two URLs, and ends with its standard input.

use std::error::Error;

use mqttkit_broker_core::{Broker, Config, Listen};
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.outbox_bytes = 256 << 20;
    let broker = Broker::builder().config(config).build();
    let tcp = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await?;
    let ws = broker.listen(Listen::ws(([127, 0, 0, 1], 0))).await?;
    println!("mqtt://{} ws://{}/mqtt", tcp.local_addr(), ws.local_addr());
    tokio::io::stdin().read(&mut [0]).await?;
    Ok(())
}
