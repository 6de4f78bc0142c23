//! rumqttc 0.25: its own `mqttbytes` for MQTT 3.1.1 and for 5.0.

use bytes::BytesMut;
use mqttkit_codec::{DecodeCause as C, DecodeError, Packet, PacketType, QoS};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::Peer;
use super::ours::{Fields, entry, flags, pairs};

pub(super) const V4: Peer = Peer { name: "rumqttc v4", read: read_v4, lax: lax_v4, wrong: wrong_v4 };
pub(super) const V5: Peer = Peer { name: "rumqttc v5", read: read_v5, lax: lax_v5, wrong: wrong_v5 };

fn read_v4(frame: &[u8]) -> Option<Fields> {
    let packet = v4::Packet::read(&mut BytesMut::from(frame), usize::MAX).ok()?;
    let mut fields = Fields::new();
    let mut put = |name, value: &[u8]| {
        fields.insert(name, value.to_vec());
    };
    let qos = |qos: rumqttc::mqttbytes::QoS| QoS::from_u8(qos as u8).unwrap_or_default();
    match packet {
        v4::Packet::Connect(connect) => {
            put("type", &[1]);
            put("clean", &[connect.clean_session.into()]);
            put("keep alive", &connect.keep_alive.to_be_bytes());
            put("client id", connect.client_id.as_bytes());
            let login = connect.login.unwrap_or(v4::Login::new("", ""));
            put("user", login.username.as_bytes());
            put("password", login.password.as_bytes());
            if let Some(will) = connect.last_will {
                put("will topic", will.topic.as_bytes());
                put("will payload", &will.message);
                put("will flags", &flags(false, qos(will.qos), will.retain));
            }
        }
        v4::Packet::Publish(publish) => {
            put("type", &[3]);
            put("id", &publish.pkid.to_be_bytes());
            put("flags", &flags(publish.dup, qos(publish.qos), publish.retain));
            put("topic", publish.topic.as_bytes());
            put("payload", &publish.payload);
        }
        v4::Packet::Subscribe(subscribe) => {
            put("type", &[8]);
            put("id", &subscribe.pkid.to_be_bytes());
            let filters = subscribe.filters.iter().map(|it| entry(it.path.as_bytes(), it.qos as u8));
            put("filters", &filters.collect::<Vec<_>>().concat());
        }
        _ => {}
    }
    Some(fields)
}

fn lax_v4(error: &DecodeError) -> Option<&'static str> {
    Some(match (error.cause(), error.packet()) {
        (C::InvalidFlags(_), _) => "does not check the flags of the first byte",
        (C::VariableByteIntegerNotMinimal, _) => "takes long forms of the remaining length",
        (C::TrailingBytes(_), _) => "does not look behind the last field",
        (C::Nul | C::Topic(_) | C::MissingTopic, _) => "does not check what is in a text",
        (C::DupWithoutQoS, _) => "does not check DUP",
        (C::ZeroPacketId, _) => "checks the identifier of PUBLISH alone",
        (C::ReservedBits(_), _) => "does not check reserved bits",
        (C::PasswordWithoutUserName | C::EmptyClientId | C::NoClientId, _) => {
            "does not relate fields of CONNECT"
        }
        (C::SessionPresentWithError, _) => "does not relate fields of CONNACK",
        (C::EmptyList, Some(PacketType::Unsubscribe)) => "takes an empty UNSUBSCRIBE",
        _ => return None,
    })
}

fn wrong_v4(packet: &Packet) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.bridge => Some("does not know the mark of bridges"),
        Packet::Connect(connect) => bad_password(connect.password.as_deref()),
        _ => None,
    }
}

fn bad_password(password: Option<&[u8]>) -> Option<&'static str> {
    std::str::from_utf8(password?).is_err().then_some("takes a password for text")
}

fn read_v5(frame: &[u8]) -> Option<Fields> {
    let packet = v5::Packet::read(&mut BytesMut::from(frame), None).ok()?;
    let mut fields = Fields::new();
    let mut put = |name, value: &[u8]| {
        fields.insert(name, value.to_vec());
    };
    let qos = |qos: rumqttc::v5::mqttbytes::QoS| QoS::from_u8(qos as u8).unwrap_or_default();
    match packet {
        v5::Packet::Connect(connect, will, login) => {
            put("type", &[1]);
            put("clean", &[connect.clean_start.into()]);
            put("keep alive", &connect.keep_alive.to_be_bytes());
            put("client id", connect.client_id.as_bytes());
            let login = login.unwrap_or(v5::Login::new("", ""));
            put("user", login.username.as_bytes());
            put("password", login.password.as_bytes());
            if let Some(will) = will {
                put("will topic", &will.topic);
                put("will payload", &will.message);
                put("will flags", &flags(false, qos(will.qos), will.retain));
            }
            let properties = connect.properties.unwrap_or_default();
            let expiry = properties.session_expiry_interval;
            put("session expiry", &expiry.map(u32::to_be_bytes).unwrap_or_default());
            put("receive maximum", &properties.receive_maximum.unwrap_or_default().to_be_bytes());
        }
        v5::Packet::Publish(publish) => {
            put("type", &[3]);
            put("id", &publish.pkid.to_be_bytes());
            put("flags", &flags(publish.dup, qos(publish.qos), publish.retain));
            put("topic", &publish.topic);
            put("payload", &publish.payload);
            let properties = publish.properties.unwrap_or_default();
            put("topic alias", &properties.topic_alias.unwrap_or_default().to_be_bytes());
            let expiry = properties.message_expiry_interval;
            put("expiry", &expiry.map(u32::to_be_bytes).unwrap_or_default());
            put("content type", properties.content_type.unwrap_or_default().as_bytes());
            put("correlation", &properties.correlation_data.unwrap_or_default());
            put("response", properties.response_topic.unwrap_or_default().as_bytes());
            put("user properties", &pairs(properties.user_properties));
        }
        v5::Packet::Subscribe(subscribe) => {
            put("type", &[8]);
            put("id", &subscribe.pkid.to_be_bytes());
            let filters = subscribe.filters.iter().map(|it| {
                let handling = match it.retain_forward_rule {
                    v5::RetainForwardRule::OnEverySubscribe => 0,
                    v5::RetainForwardRule::OnNewSubscribe => 1,
                    v5::RetainForwardRule::Never => 2,
                };
                let flags = u8::from(it.nolocal) << 2 | u8::from(it.preserve_retain) << 3;
                entry(it.path.as_bytes(), it.qos as u8 | flags | handling << 4)
            });
            put("filters", &filters.collect::<Vec<_>>().concat());
        }
        _ => {}
    }
    Some(fields)
}

fn lax_v5(error: &DecodeError) -> Option<&'static str> {
    Some(match (error.cause(), error.packet()) {
        (C::InvalidUtf8, Some(PacketType::Publish | PacketType::Connect)) => {
            "does not check the text of topics"
        }
        (
            C::VariableByteIntegerTooLong | C::Truncated | C::UnknownProperty(_) | C::PropertyNotAllowed(_),
            _,
        ) if error.field() != "Remaining Length" => {
            "reads on behind the end of the properties, and counts a subscription identifier twice"
        }
        (C::DuplicateProperty(_) | C::InvalidPropertyValue(_), _) => {
            "does not check the values of properties"
        }
        (C::AuthenticationDataWithoutMethod, _) => "does not relate properties",
        (C::NoLocalOnSharedSubscription, _) => "does not know shared subscriptions",
        (C::EmptyList, Some(PacketType::Unsubscribe | PacketType::UnsubAck | PacketType::SubAck)) => {
            "takes empty lists"
        }
        (C::InvalidReasonCode(_), _) => "takes every reason in every packet",
        _ => return lax_v4(error),
    })
}

fn wrong_v5(packet: &Packet) -> Option<&'static str> {
    match packet {
        Packet::Auth(_) => Some("does not know AUTH"),
        Packet::Disconnect(_) => Some("does not know the short form of DISCONNECT"),
        Packet::Connect(connect) => bad_password(connect.password.as_deref()),
        Packet::Publish(publish) if publish.properties.subscription_identifiers().next().is_some() => {
            Some("counts a subscription identifier twice")
        }
        Packet::Subscribe(subscribe) if subscribe.properties.subscription_identifier().is_some() => {
            Some("counts a subscription identifier twice")
        }
        _ => None,
    }
}
