//! rumqttc.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use mqttkit_client_peers::{BATCH, CREDIT, DATA, Job, WINDOW};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let job = Job::from_args()?;
    let (scheme, rest) = job.url.split_once("://").ok_or("no URL")?;
    let (host, port) = rest.split('/').next().and_then(|address| address.split_once(':')).ok_or("no port")?;
    let mut options = if scheme == "ws" {
        let mut options = MqttOptions::new("rumqttc", job.url.clone(), port.parse()?);
        options.set_transport(Transport::Ws);
        options
    } else {
        MqttOptions::new("rumqttc", host, port.parse()?)
    };
    options
        .set_inflight(WINDOW)
        .set_keep_alive(Duration::from_secs(50))
        .set_max_packet_size(16 << 20, 16 << 20);
    let (client, events) = AsyncClient::new(options, 1000);
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(job.qos)];
    let payload = Bytes::from(vec![b'x'; job.size]);
    match job.mode.as_str() {
        "first" => {
            client.publish_bytes(DATA, QoS::AtLeastOnce, false, payload).await?;
            complete(events, QoS::AtLeastOnce, 1).await?;
            println!("acknowledged");
        }
        "publish" => {
            let count = job.count;
            tokio::spawn(async move {
                for _ in 0..count {
                    if client.publish_bytes(DATA, qos, false, payload.clone()).await.is_err() {
                        return;
                    }
                }
                // The client ends when its last handle is dropped.
                std::future::pending::<()>().await;
            });
            complete(events, qos, count).await?;
        }
        "receive" => receive(client, events, qos, job.count).await?,
        other => return Err(format!("no such mode: {other}").into()),
    }
    Ok(())
}

/// Until so many messages are complete.
async fn complete(mut events: EventLoop, qos: QoS, count: u32) -> Result<(), Box<dyn Error>> {
    let mut left = count;
    while left > 0 {
        let done = match events.poll().await? {
            Event::Outgoing(Outgoing::Publish(_)) => qos == QoS::AtMostOnce,
            Event::Incoming(Packet::PubAck(_)) => qos == QoS::AtLeastOnce,
            Event::Incoming(Packet::PubComp(_)) => qos == QoS::ExactlyOnce,
            _ => false,
        };
        left -= u32::from(done);
    }
    Ok(())
}

async fn receive(
    client: AsyncClient,
    mut events: EventLoop,
    qos: QoS,
    count: u32,
) -> Result<(), Box<dyn Error>> {
    client.subscribe(DATA, qos).await?;
    let mut received = 0;
    while received < count {
        match events.poll().await? {
            Event::Incoming(Packet::SubAck(_)) => println!("ready"),
            Event::Incoming(Packet::Publish(_)) => {
                received += 1;
                if received % BATCH == 0 {
                    client.publish_bytes(CREDIT, QoS::AtMostOnce, false, Bytes::new()).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
