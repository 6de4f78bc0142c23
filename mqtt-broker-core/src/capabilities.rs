//! `Capabilities`: what the broker can be told not to offer, how a client learns of it, and what it gets for not minding.

use mqttkit_codec::{ConnAck, Connect, Message, QoS, ReasonCode, Subscribe, TopicFilter};

use crate::config::Config;

/// What clients may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    maximum_qos: QoS,
    retain: bool,
    wildcards: bool,
    shared: bool,
    identifiers: bool,
}

impl Capabilities {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            maximum_qos: config.maximum_qos,
            retain: config.retain_available,
            wildcards: config.wildcard_subscriptions,
            shared: config.shared_subscriptions,
            identifiers: config.subscription_identifiers,
        }
    }

    /// Says what there is not. What there is needs no words.
    pub(crate) fn announce(self, mut connack: ConnAck) -> ConnAck {
        let mut properties = connack.properties;
        if self.maximum_qos < QoS::ExactlyOnce {
            // [MQTT-3.2.2-9]
            properties = properties.with_maximum_qos(self.maximum_qos);
        }
        if !self.retain {
            properties = properties.with_retain_available(false);
        }
        if !self.wildcards {
            properties = properties.with_wildcard_subscription_available(false);
        }
        if !self.identifiers {
            properties = properties.with_subscription_identifier_available(false);
        }
        if !self.shared {
            properties = properties.with_shared_subscription_available(false);
        }
        connack.properties = properties;
        connack
    }

    /// A will that could not be published keeps its client out. [MQTT-3.2.2-12], [MQTT-3.2.2-13]
    pub(crate) fn check_will(self, connect: &Connect) -> Result<(), ReasonCode> {
        connect.will.as_ref().map_or(Ok(()), |will| self.check(will.qos, will.retain))
    }

    /// A message that is beyond what the client was told ends the connection.
    pub(crate) fn check_publish(self, message: &Message) -> Result<(), ReasonCode> {
        self.check(message.qos, message.retain)
    }

    /// The same for subscriptions. A client of MQTT 3 could not be told: its filters are refused one by one, by
    /// [`check_filter`](Self::check_filter).
    pub(crate) fn check_subscribe(self, subscribe: &Subscribe) -> Result<(), ReasonCode> {
        if !self.identifiers && subscribe.properties.subscription_identifier().is_some() {
            return Err(ReasonCode::SubscriptionIdentifiersNotSupported);
        }
        if self.wildcards && self.shared {
            return Ok(());
        }
        subscribe.subscriptions.iter().try_for_each(|subscription| self.check_filter(&subscription.filter))
    }

    pub(crate) fn check_filter(self, filter: &TopicFilter) -> Result<(), ReasonCode> {
        if !self.shared && filter.is_shared() {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if !self.wildcards && filter.has_wildcard() {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        Ok(())
    }

    fn check(self, qos: QoS, retain: bool) -> Result<(), ReasonCode> {
        if qos > self.maximum_qos {
            return Err(ReasonCode::QoSNotSupported);
        }
        if retain && !self.retain {
            return Err(ReasonCode::RetainNotSupported);
        }
        Ok(())
    }
}
