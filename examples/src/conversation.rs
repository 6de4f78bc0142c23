//! One client for every runtime: what `client_tokio`, `client_async_std` and `client_smol` do.

use mqttkit_client::transport::Runtime;
use mqttkit_client::{Client, QoS};
use std::error::Error;

/// Connects to `url`, subscribes, publishes, receives its own message and leaves.
pub async fn conversation<R: Runtime>(runtime: &R, url: &str) -> Result<(), Box<dyn Error>> {
    let (client, mut messages) = Client::builder(url).connect_on(runtime).await?;
    println!("connected to {url} as {}", client.client_id());

    let topic = format!("conversation/{}", client.client_id());
    client.subscribe(topic.as_str(), QoS::AtLeastOnce).await?;
    let ticket = client.publish(topic.as_str(), "hello", QoS::AtLeastOnce).await?;
    ticket.await?;
    println!("the server has it");

    if let Some(message) = messages.recv().await {
        println!("received {:?} on {}", message.payload, message.topic);
    }
    client.disconnect().await?;
    Ok(())
}

/// The URL on the command line, or that of a broker on this machine.
pub fn url() -> String {
    std::env::args().nth(1).unwrap_or_else(|| "ws://localhost:8083/mqtt".to_owned())
}
