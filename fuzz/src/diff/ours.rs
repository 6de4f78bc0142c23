//! A packet as plain fields, to be compared by their names.

use std::collections::BTreeMap;

use mqttkit_codec::{Packet, PacketId, QoS, Will};

/// The value of each field, as bytes.
pub(super) type Fields = BTreeMap<&'static str, Vec<u8>>;

/// Everything that is compared with any peer.
pub(super) fn fields(packet: &Packet) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name, value: &[u8]| {
        fields.insert(name, value.to_vec());
    };
    put("type", &[packet.packet_type() as u8]);
    put("id", &packet.packet_id().map_or(0, PacketId::get).to_be_bytes());
    match packet {
        Packet::Connect(connect) => {
            put("clean", &[connect.clean_start.into()]);
            put("keep alive", &connect.keep_alive.to_be_bytes());
            put("client id", connect.client_id.as_bytes());
            put("properties", connect.properties.as_bytes());
            put("user", connect.user_name.as_deref().unwrap_or_default().as_bytes());
            put("password", connect.password.as_deref().unwrap_or_default());
            if let Some(Will { topic, payload, qos, retain, properties }) = &connect.will {
                put("will topic", topic.as_bytes());
                put("will payload", payload);
                put("will flags", &flags(false, *qos, *retain));
                put("will properties", properties.as_bytes());
            }
            let expiry = connect.properties.session_expiry_interval();
            put("session expiry", &expiry.map(u32::to_be_bytes).unwrap_or_default());
            put("receive maximum", &connect.properties.receive_maximum().map_or(0, u16::from).to_be_bytes());
        }
        Packet::Publish(publish) => {
            put("flags", &flags(publish.dup, publish.delivery.qos(), publish.retain));
            put("topic", publish.topic.as_bytes());
            put("payload", &publish.payload);
            put("properties", publish.properties.as_bytes());
            put("topic alias", &publish.properties.topic_alias().map_or(0, u16::from).to_be_bytes());
            let expiry = publish.properties.message_expiry_interval();
            put("expiry", &expiry.map(u32::to_be_bytes).unwrap_or_default());
            put("content type", publish.properties.content_type().unwrap_or_default().as_bytes());
            put("correlation", &publish.properties.correlation_data().unwrap_or_default());
            let response = publish.properties.response_topic();
            put("response", response.as_ref().map_or(&[], |topic| topic.as_bytes()));
            let user =
                pairs(publish.properties.user_properties().map(|(k, v)| (k.to_string(), v.to_string())));
            put("user properties", &user);
        }
        Packet::Subscribe(subscribe) => {
            put("properties", subscribe.properties.as_bytes());
            let mut all = Vec::new();
            for subscription in subscribe.subscriptions.iter() {
                let options = subscription.options;
                let byte = options.qos.as_u8()
                    | u8::from(options.no_local) << 2
                    | u8::from(options.retain_as_published) << 3
                    | (options.retain_handling as u8) << 4;
                all.extend(entry(subscription.filter.as_bytes(), byte));
            }
            put("filters", &all);
        }
        _ => {}
    }
    fields
}

pub(super) fn flags(dup: bool, qos: QoS, retain: bool) -> [u8; 3] {
    [dup.into(), qos.as_u8(), retain.into()]
}

/// A subscription in one piece.
pub(super) fn entry(filter: &[u8], options: u8) -> Vec<u8> {
    [&filter.len().to_be_bytes()[..], filter, &[options]].concat()
}

/// User properties in one piece.
pub(super) fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Vec<u8> {
    format!("{:?}", pairs.into_iter().collect::<Vec<_>>()).into_bytes()
}
