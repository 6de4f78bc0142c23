//! A broker inside another program, which publishes to it without a socket while browsers listen over WebSocket.

use std::time::Duration;

use mqttkit_broker_core::{Broker, Listen, Message, QoS};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().build();
    let listening = broker.listen(Listen::ws(([127, 0, 0, 1], 8083))).await?;
    println!("subscribe to uptime/# at ws://{}/mqtt; ctrl-c ends this", listening.local_addr());

    // What clients ask for arrives here, in this process.
    let mut orders = broker.local_client()?;
    orders.subscribe("orders/#".try_into()?, QoS::AtLeastOnce)?;

    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut seconds = 0_u64;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                // Retained, so that whoever comes later sees the latest at once.
                let message = Message::new("uptime/seconds".try_into()?, seconds.to_string()).with_retain(true);
                broker.publish(message);
                seconds += 1;
            }
            Some(order) = orders.recv() => println!("{}: {:?}", order.topic, order.payload),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    broker.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
