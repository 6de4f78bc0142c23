//! mqtt-protocol-core 0.7: the bodies of MQTT 5.0 packets; it does not offer its reader of headers.

use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::packet::{Property, v5_0};
use mqttkit_codec::{DecodeCause as C, DecodeError, Packet, PacketType, QoS, ReasonCode};

use super::Peer;
use super::ours::{Fields, entry, flags};

pub(super) const V5: Peer = Peer { name: "mqtt-protocol-core", read, lax, wrong };

fn read(frame: &[u8]) -> Option<Fields> {
    let header = 2 + frame.get(1..)?.iter().position(|byte| byte & 0x80 == 0)?;
    let body = &frame[header..];
    let mut fields = Fields::new();
    let mut put = |name, value: &[u8]| {
        fields.insert(name, value.to_vec());
    };
    let qos = |qos: u8| QoS::from_u8(qos).unwrap_or_default();
    let consumed = match PacketType::from_first_byte(frame[0])? {
        PacketType::Connect => {
            let (connect, consumed) = v5_0::Connect::parse(body).ok()?;
            put("type", &[1]);
            put("clean", &[connect.clean_start().into()]);
            put("keep alive", &connect.keep_alive().to_be_bytes());
            put("client id", connect.client_id().as_bytes());
            put("user", connect.user_name().unwrap_or_default().as_bytes());
            put("password", connect.password().unwrap_or_default());
            put("properties", &raw(connect.props()));
            if let (Some(topic), Some(payload)) = (connect.will_topic(), connect.will_payload()) {
                put("will topic", topic.as_bytes());
                put("will payload", payload);
                put("will flags", &flags(false, qos(connect.will_qos() as u8), connect.will_retain()));
                put("will properties", &raw(connect.will_props()));
            }
            consumed
        }
        PacketType::Publish => {
            let (publish, consumed) = v5_0::Publish::parse(frame[0] & 0x0f, Arc::from(body)).ok()?;
            put("type", &[3]);
            put("id", &publish.packet_id().unwrap_or_default().to_be_bytes());
            put("flags", &flags(publish.dup(), qos(publish.qos() as u8), publish.retain()));
            put("topic", publish.topic_name().as_bytes());
            put("payload", publish.payload().as_slice());
            put("properties", &raw(publish.props()));
            consumed
        }
        PacketType::Subscribe => {
            let (subscribe, consumed) = v5_0::Subscribe::parse(body).ok()?;
            put("type", &[8]);
            put("id", &subscribe.packet_id().to_be_bytes());
            put("properties", &raw(subscribe.props()));
            let filters = subscribe
                .entries()
                .iter()
                .map(|it| entry(it.topic_filter().as_bytes(), it.sub_opts().to_buffer()[0]));
            put("filters", &filters.collect::<Vec<_>>().concat());
            consumed
        }
        PacketType::ConnAck => v5_0::Connack::parse(body).ok()?.1,
        PacketType::PubAck => v5_0::Puback::parse(body).ok()?.1,
        PacketType::PubRec => v5_0::Pubrec::parse(body).ok()?.1,
        PacketType::PubRel => v5_0::Pubrel::parse(body).ok()?.1,
        PacketType::PubComp => v5_0::Pubcomp::parse(body).ok()?.1,
        PacketType::SubAck => v5_0::Suback::parse(body).ok()?.1,
        PacketType::Unsubscribe => v5_0::Unsubscribe::parse(body).ok()?.1,
        PacketType::UnsubAck => v5_0::Unsuback::parse(body).ok()?.1,
        PacketType::PingReq => v5_0::Pingreq::parse(body).ok()?.1,
        PacketType::PingResp => v5_0::Pingresp::parse(body).ok()?.1,
        PacketType::Disconnect => v5_0::Disconnect::parse(body).ok()?.1,
        PacketType::Auth => v5_0::Auth::parse(body).ok()?.1,
    };
    // What is left is for its caller to refuse, and so are the flags.
    (consumed == body.len()).then_some(fields)
}

fn raw(properties: &[Property]) -> Vec<u8> {
    properties.iter().flat_map(Property::to_continuous_buffer).collect()
}

fn lax(error: &DecodeError) -> Option<&'static str> {
    let header = matches!(error.field(), "Flags" | "Remaining Length" | "DUP" | "QoS");
    Some(match (error.cause(), error.packet()) {
        _ if header => "is not given the header",
        (C::Nul | C::Topic(_) | C::MissingTopic, _) => "does not check what is in a text",
        (C::VariableByteIntegerNotMinimal, _) => "takes long forms of integers",
        (C::ZeroPacketId, _) => "leaves identifiers to its caller",
        (C::InvalidPropertyValue(0x08), _) => "does not check the response topic",
        (C::DuplicateProperty(0x0B), Some(PacketType::Subscribe)) => "takes two subscription identifiers",
        (C::NoLocalOnSharedSubscription, _) => "does not look for No Local on shared subscriptions",
        (C::ReservedBits(_), Some(PacketType::Connect | PacketType::ConnAck)) => {
            "does not check reserved bits"
        }
        (C::InvalidQoS | C::WillQoSWithoutWill | C::WillRetainWithoutWill, Some(PacketType::Connect)) => {
            "does not check the will's flags"
        }
        (C::AuthenticationDataWithoutMethod, Some(PacketType::Connect | PacketType::ConnAck)) => {
            "relates the properties of AUTH alone"
        }
        (C::SessionPresentWithError, _) => "does not relate fields of CONNACK",
        (C::Truncated, Some(PacketType::Publish | PacketType::Auth))
            if error.field() == "Property Length" =>
        {
            "takes a packet that ends before its properties"
        }
        _ => return None,
    })
}

fn wrong(packet: &Packet) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.password.is_some() && connect.user_name.is_none() => {
            Some("asks for a user name with a password, which MQTT 5.0 does not")
        }
        Packet::Disconnect(disconnect) if disconnect.reason == ReasonCode::BadAuthenticationMethod => {
            Some("goes by the list in section 3.14.2.1, which leaves out this code of section 2.4")
        }
        // Our connections ask for it too, with the method of CONNECT at hand.
        Packet::Auth(auth) if auth.properties.authentication_method().is_none() => {
            Some("asks for an authentication method when it decodes")
        }
        _ => None,
    }
}
