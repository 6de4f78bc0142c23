//! serde: what is written can be read, and what is not allowed cannot.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use mqttkit_codec::{
    Binary, Message, PacketId, PublishProperties, QoS, ReasonCode, Str, TopicFilter, TopicName, Version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, json: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
}

fn refused<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
    serde_json::from_str::<T>(json).unwrap_err().to_string()
}

#[test]
fn values_stand_for_themselves() {
    round_trip(&QoS::ExactlyOnce, "2");
    round_trip(&ReasonCode::NotAuthorized, "135");
    round_trip(&PacketId::new(7).unwrap(), "7");
    for version in [Version::V31, Version::V311, Version::V5] {
        round_trip(&version, &format!("\"{version}\""));
    }
    round_trip(&Str::try_from("°C").unwrap(), "\"°C\"");
    round_trip(&TopicName::try_from("a/b").unwrap(), "\"a/b\"");
    round_trip(&TopicFilter::try_from("$share/g/a/#").unwrap(), "\"$share/g/a/#\"");
    round_trip(&Binary::try_from("AB").unwrap(), "[65,66]");
}

#[test]
fn a_message_keeps_its_properties() {
    let topic = TopicName::try_from("a").unwrap();
    let properties = PublishProperties::new().with_message_expiry_interval(1);
    let message = Message::new(topic, "AB").with_qos(QoS::AtLeastOnce).with_properties(properties);
    let json = r#"{"topic":"a","payload":[65,66],"qos":1,"retain":false,"properties":[2,0,0,0,1]}"#;
    round_trip(&message, json);
    let read: Message = serde_json::from_str(json).unwrap();
    assert_eq!(read.properties.message_expiry_interval(), Some(1));
}

#[test]
fn what_is_not_allowed_is_refused() {
    assert!(refused::<QoS>("3").contains("0 to 2"));
    assert!(refused::<PacketId>("0").contains("not 0"));
    assert!(refused::<ReasonCode>("3").contains("reason code"));
    assert!(refused::<Version>("\"4\"").contains("3.1.1"));
    assert!(refused::<Str>("\"\\u0000\"").contains("U+0000"));
    assert!(refused::<TopicName>("\"a/+\"").contains("wildcards"));
    assert!(refused::<TopicFilter>("\"a/#/b\"").contains("'#'"));
    assert!(refused::<PublishProperties>("[2,0,0]").contains("Message Expiry Interval"));
    assert!(refused::<PublishProperties>("[17,0,0,0,1]").contains("not allowed"));
}
