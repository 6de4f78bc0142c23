//! mqttkit-client.

use std::error::Error;
use std::num::NonZeroU16;

use bytes::Bytes;
use mqttkit_client::{Client, Message, QoS, TopicName, Version};
use mqttkit_client_peers::{BATCH, CREDIT, DATA, Job, WINDOW};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let job = Job::from_args()?;
    let options = Client::builder(&job.url)
        .version(Version::V311)
        .max_in_flight(NonZeroU16::new(WINDOW).ok_or("no window")?);
    let (client, mut messages) = options.connect().await?;
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(job.qos)];
    let payload = Bytes::from(vec![b'x'; job.size]);
    let message = || -> Result<Message, Box<dyn Error>> {
        Ok(Message::new(TopicName::try_from(DATA)?, payload.clone()).with_qos(qos))
    };
    match job.mode.as_str() {
        "first" => {
            client.publish(DATA, payload, QoS::AtLeastOnce).await?.await?;
            println!("acknowledged");
        }
        "publish" => {
            let message = message()?;
            for _ in 1..job.count {
                client.publish_message(message.clone()).await?;
            }
            client.publish_message(message).await?.await?;
            client.disconnect().await?;
        }
        "receive" => {
            client.subscribe(DATA, qos).await?;
            println!("ready");
            for received in 1..=job.count {
                messages.recv().await.ok_or("the end")?;
                if received % BATCH == 0 {
                    client.publish(CREDIT, "", QoS::AtMostOnce).await?;
                }
            }
            client.disconnect().await?;
        }
        "feed" => {
            client.subscribe(CREDIT, QoS::AtMostOnce).await?;
            let message = message()?;
            let mut credit = job.lead();
            for _ in 0..job.count {
                if credit == 0 {
                    messages.recv().await.ok_or("the end")?;
                    credit += BATCH;
                }
                credit -= 1;
                client.publish_message(message.clone()).await?;
            }
            client.disconnect().await?;
        }
        other => return Err(format!("no such mode: {other}").into()),
    }
    Ok(())
}
