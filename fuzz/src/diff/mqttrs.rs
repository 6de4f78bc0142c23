//! mqttrs 0.4: MQTT 3.1.1.

use mqttkit_codec::{DecodeCause as C, DecodeError, Packet, PacketType, QoS};
use mqttrs::Packet as Theirs;

use super::Peer;
use super::ours::{Fields, entry, flags};

pub(super) const V4: Peer = Peer { name: "mqttrs", read, lax, wrong };

fn read(frame: &[u8]) -> Option<Fields> {
    let packet = mqttrs::decode_slice(frame).ok()??;
    let mut fields = Fields::new();
    let mut put = |name, value: &[u8]| {
        fields.insert(name, value.to_vec());
    };
    match packet {
        Theirs::Connect(connect) => {
            put("type", &[1]);
            put("clean", &[connect.clean_session.into()]);
            put("keep alive", &connect.keep_alive.to_be_bytes());
            put("client id", connect.client_id.as_bytes());
            put("user", connect.username.unwrap_or_default().as_bytes());
            put("password", connect.password.unwrap_or_default());
            if let Some(will) = connect.last_will {
                put("will topic", will.topic.as_bytes());
                put("will payload", will.message);
                put("will flags", &flags(false, qos(will.qos), will.retain));
            }
        }
        Theirs::Publish(publish) => {
            put("type", &[3]);
            put("id", &publish.qospid.pid().map_or(0, mqttrs::Pid::get).to_be_bytes());
            put("flags", &flags(publish.dup, qos(publish.qospid.qos()), publish.retain));
            put("topic", publish.topic_name.as_bytes());
            put("payload", publish.payload);
        }
        Theirs::Subscribe(subscribe) => {
            put("type", &[8]);
            put("id", &subscribe.pid.get().to_be_bytes());
            let filters =
                subscribe.topics.iter().map(|it| entry(it.topic_path.as_bytes(), qos(it.qos).as_u8()));
            put("filters", &filters.collect::<Vec<_>>().concat());
        }
        _ => {}
    }
    Some(fields)
}

fn qos(qos: mqttrs::QoS) -> QoS {
    match qos {
        mqttrs::QoS::AtMostOnce => QoS::AtMostOnce,
        mqttrs::QoS::AtLeastOnce => QoS::AtLeastOnce,
        mqttrs::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn lax(error: &DecodeError) -> Option<&'static str> {
    Some(match (error.cause(), error.packet()) {
        (C::VariableByteIntegerNotMinimal, _) => "takes long forms of the remaining length",
        (C::TrailingBytes(_), _) => "does not look behind the last field",
        (C::Nul | C::Topic(_) | C::MissingTopic, _) => "does not check what is in a text",
        (C::DupWithoutQoS, _) => "does not check DUP",
        (C::ReservedBits(_), _) => "does not check reserved bits",
        (C::InvalidQoS | C::WillQoSWithoutWill | C::WillRetainWithoutWill, Some(PacketType::Connect)) => {
            "does not look at the will's flags without a will"
        }
        (C::PasswordWithoutUserName | C::EmptyClientId | C::NoClientId, _) => {
            "does not relate fields of CONNECT"
        }
        (C::SessionPresentWithError, _) => "does not relate fields of CONNACK",
        (C::EmptyList, _) => "takes empty lists",
        _ => return None,
    })
}

fn wrong(packet: &Packet) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.bridge => Some("does not know the mark of bridges"),
        _ => None,
    }
}
