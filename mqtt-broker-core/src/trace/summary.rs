//! A packet in words for the log: what it asks and answers, and neither passwords nor payloads.

use std::fmt::{self, Display};

use mqttkit_codec::{Connect, Packet, Publish, ReasonCode, Subscription};

/// Writes names and values behind each other. Text of the peer is quoted.
pub(super) struct Summary<'a>(pub(super) &'a Packet);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason =
            |f: &mut fmt::Formatter<'_>, reason: ReasonCode| write!(f, "reason={:#04x}", reason.as_u8());
        match self.0 {
            Packet::Connect(packet) => connect(f, packet),
            Packet::ConnAck(packet) => {
                write!(f, "session_present={} ", packet.session_present)?;
                reason(f, packet.reason)
            }
            Packet::Publish(packet) => publish(f, packet),
            Packet::PubAck(packet) => reason(f, packet.reason),
            Packet::PubRec(packet) => reason(f, packet.reason),
            Packet::PubRel(packet) => reason(f, packet.reason),
            Packet::PubComp(packet) => reason(f, packet.reason),
            Packet::Subscribe(packet) => {
                if let Some(id) = packet.properties.subscription_identifier() {
                    write!(f, "subscription_identifier={id} ")?;
                }
                each(f, packet.subscriptions.iter(), |f, asked| subscription(f, &asked))
            }
            Packet::SubAck(packet) => each(f, packet.reasons.iter(), reason),
            Packet::Unsubscribe(packet) => {
                each(f, packet.filters.iter(), |f, filter| write!(f, "filter={:?}", filter.as_str()))
            }
            Packet::UnsubAck(packet) => each(f, packet.reasons.iter(), reason),
            Packet::PingReq | Packet::PingResp => Ok(()),
            Packet::Disconnect(packet) => {
                reason(f, packet.reason)?;
                let text = packet.properties.reason_string();
                text.map_or(Ok(()), |text| write!(f, " text={:?}", text.as_str()))
            }
            Packet::Auth(packet) => {
                reason(f, packet.reason)?;
                let method = packet.properties.authentication_method();
                method.map_or(Ok(()), |method| write!(f, " method={:?}", method.as_str()))
            }
        }
    }
}

fn connect(f: &mut fmt::Formatter<'_>, packet: &Connect) -> fmt::Result {
    let Connect { version, clean_start, keep_alive, client_id, .. } = packet;
    write!(f, "version={version} client_id={:?} clean_start={clean_start} ", client_id.as_str())?;
    write!(f, "keep_alive={keep_alive} password={}", packet.password.is_some())?;
    if let Some(user) = &packet.user_name {
        write!(f, " user={:?}", user.as_str())?;
    }
    if let Some(seconds) = packet.properties.session_expiry_interval() {
        write!(f, " session_expiry={seconds}")?;
    }
    if let Some(will) = &packet.will {
        write!(f, " will={:?} will_qos={}", will.topic.as_str(), will.qos as u8)?;
    }
    Ok(())
}

fn publish(f: &mut fmt::Formatter<'_>, packet: &Publish) -> fmt::Result {
    let Publish { dup, retain, delivery, topic, properties, payload } = packet;
    write!(f, "topic={:?} ", topic.as_str())?;
    if let Some(alias) = properties.topic_alias() {
        write!(f, "alias={alias} ")?;
    }
    write!(f, "qos={} retain={retain} dup={dup} payload={} bytes", delivery.qos() as u8, payload.len())
}

fn subscription(f: &mut fmt::Formatter<'_>, subscription: &Subscription) -> fmt::Result {
    write!(f, "filter={:?} qos={}", subscription.filter.as_str(), subscription.options.qos as u8)
}

fn each<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
