//! Values as payloads: JSON by serde, and a format of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "json")]

mod support;

use bytes::Bytes;
use mqttkit_broker_core::Broker;
use mqttkit_client::typed::{Decode, Encode, Format, Json, ValueError, Values};
use mqttkit_client::{Message, PublishError, QoS};
use std::collections::BTreeMap;
use support::broker::connect;
use support::server::options;
use support::soon;

#[tokio::test]
async fn json_goes_there_and_back_with_its_content_type() {
    let broker = Broker::builder().build();
    let (client, messages) = connect(&broker, options()).await.unwrap();
    client.subscribe("values", QoS::AtLeastOnce).await.unwrap();
    let value = BTreeMap::from([("kitchen".to_owned(), 21.5), ("cellar".to_owned(), 12.0)]);
    client.publish_value("values", &value, &Json, QoS::AtLeastOnce).await.unwrap().await.unwrap();
    client.publish("values", "{ no json", QoS::AtLeastOnce).await.unwrap();

    let mut values = Values::<_, BTreeMap<String, f64>, _>::new(messages, Json);
    let (message, received) = soon("a value", values.recv()).await.unwrap();
    assert_eq!(received.unwrap(), value);
    assert_eq!(message.payload, r#"{"cellar":12.0,"kitchen":21.5}"#);
    assert_eq!(message.properties.content_type().as_deref(), Some("application/json"));
    assert_eq!(message.properties.payload_format_indicator(), Some(true));
    let (message, received) = soon("no value", values.recv()).await.unwrap();
    assert!(received.is_err());
    assert_eq!(message.payload, "{ no json", "and the message is there all the same");
    client.disconnect().await.unwrap();
    assert!(values.recv().await.is_none());
}

/// Big-endian numbers, of which zero cannot be written.
struct Numbers;

#[derive(Debug, thiserror::Error)]
#[error("no number")]
struct NoNumber;

impl Format for Numbers {
    type Error = NoNumber;
}

impl Encode<u32> for Numbers {
    fn encode(&self, value: &u32) -> Result<Bytes, NoNumber> {
        if *value == 0 { Err(NoNumber) } else { Ok(Bytes::copy_from_slice(&value.to_be_bytes())) }
    }
}

impl Decode<u32> for Numbers {
    fn decode(&self, payload: &[u8]) -> Result<u32, NoNumber> {
        payload.try_into().map(u32::from_be_bytes).map_err(|_| NoNumber)
    }
}

#[tokio::test]
async fn a_format_of_ones_own_is_a_few_lines() {
    let broker = Broker::builder().build();
    let (client, messages) = connect(&broker, options()).await.unwrap();
    client.subscribe("n", QoS::AtMostOnce).await.unwrap();
    client.publish_value("n", &7, &Numbers, QoS::AtMostOnce).await.unwrap();
    let mut values = Values::<_, u32, _>::new(messages, Numbers);
    let (message, number) = soon("a number", values.recv()).await.unwrap();
    assert_eq!(number.unwrap(), 7);
    assert_eq!(message.properties.content_type(), None);

    let error = client.publish_value("n", &0, &Numbers, QoS::AtMostOnce).await.unwrap_err();
    assert!(matches!(error, ValueError::Encode(NoNumber)), "{error}");
    let error = client.publish_value("a/#", &1, &Numbers, QoS::AtMostOnce).await.unwrap_err();
    assert!(matches!(error, ValueError::Publish(PublishError::Topic(_))), "{error}");
    let message = Message::new("n".try_into().unwrap(), "seven");
    assert!(Decode::<u32>::decode(&Numbers, &message.payload).is_err());
}
