//! How a client is let in or not: what its CONNECT says, and the CONNACK that answers.

use alloc::boxed::Box;
use core::num::{NonZeroU16, NonZeroU32};

use super::{Phase, ServerConnection};
use crate::codec::MAX_PACKET_SIZE;
use crate::connection::closed::Closed;
use crate::connection::outgoing::Limits;
use crate::packet::{ConnAck, Connect};
use crate::reason::ReasonCode;
use crate::session::Session;
use crate::text::Str;
use crate::types::{Instant, QoS};

/// What CONNECT said and is needed later.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) clean_start: bool,
    pub(super) keep_alive: u16,
    pub(super) session_expiry: u32,
    pub(super) response_information: bool,
    pub(super) authentication_method: Option<Box<Str>>,
}

impl ServerConnection {
    /// Accepts the client, with its session.
    ///
    /// The limits of the configuration are added to `connack`. What `session` has in flight is sent again, in
    /// its order and before anything else, if `connack` says that the session is present; else it is forgotten.
    /// After a clean start it is not present, whatever `connack` says. [MQTT-3.2.2-2], [MQTT-3.2.2-3]
    ///
    /// A `connack` with a reason of failure [refuses](Self::refuse). Nothing happens before CONNECT has arrived, and
    /// after an earlier answer. [MQTT-3.2.0-2]
    pub fn accept(&mut self, now: Instant, mut connack: ConnAck, session: Session) {
        if !self.core.is_open() || matches!(self.phase, Phase::AwaitConnect { .. } | Phase::Connected) {
            return;
        }
        // [MQTT-3.2.2-7]
        if connack.reason.is_error() {
            self.core.session = session;
            self.refuse(now, &connack);
            return;
        }
        connack.session_present &= !self.client.clean_start;
        let connack = self.config.add_limits(self.with_what_was_asked(connack));
        if let Some(seconds) = connack.properties.server_keep_alive()
            && self.version().has_properties()
        {
            self.client.keep_alive = seconds;
        }
        self.phase = Phase::Connected;
        self.core.codec.set_max_incoming(self.config.max_packet_size);
        self.core.says_goodbye = self.version().has_properties();
        self.core.session = session;
        if !connack.session_present {
            self.core.session.clear();
        }
        if self.core.send_with_text(now, &connack).is_err() {
            self.core.close(Closed::Local(ReasonCode::PacketTooLarge));
            return;
        }
        self.core.received_at = now;
        self.core.start(now);
    }

    /// Refuses the client and closes; without a CONNACK as long as there is no CONNECT. [MQTT-3.2.2-7]
    pub fn refuse(&mut self, now: Instant, connack: &ConnAck) {
        match self.phase {
            _ if !self.core.is_open() => return,
            Phase::Connected => return,
            Phase::AwaitConnect { .. } => {}
            Phase::AwaitAnswer | Phase::Authenticating { .. } => {
                let connack = self.with_what_was_asked(connack.clone());
                let _ = self.core.send_with_text(now, &connack);
            }
        }
        self.core.close(Closed::Local(connack.reason));
    }

    pub(super) fn remember(&mut self, connect: &Connect) {
        let properties = &connect.properties;
        self.client = Client {
            clean_start: connect.clean_start,
            keep_alive: connect.keep_alive,
            session_expiry: properties.session_expiry_interval().unwrap_or(0),
            response_information: properties.request_response_information().unwrap_or(false),
            authentication_method: properties.authentication_method().map(Box::new),
        };
        let topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        self.core.outgoing.limits = Limits {
            receive_maximum: properties.receive_maximum().map_or(u16::MAX, NonZeroU16::get),
            // What a client takes is bounded by its subscriptions only.
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            topic_alias_maximum,
            automatic_aliases: topic_alias_maximum.min(self.config.automatic_topic_aliases),
        };
        let limit = properties.maximum_packet_size().map_or(MAX_PACKET_SIZE, NonZeroU32::get);
        self.core.codec.set_max_outgoing(limit);
        self.core.problem_information = properties.request_problem_information().unwrap_or(true);
    }

    /// Leaves out what the client must not be told, and names the method by which it authenticated.
    fn with_what_was_asked(&self, mut connack: ConnAck) -> ConnAck {
        // [MQTT-3.1.2-28]
        if !self.client.response_information {
            connack.properties.remove(0x1A);
        }
        match self.client.authentication_method.as_deref() {
            // [MQTT-4.12.0-6]
            None => {
                connack.properties.remove(0x15);
                connack.properties.remove(0x16);
            }
            // [MQTT-4.12.0-5]
            Some(method) if !connack.reason.is_error() => {
                if connack.properties.authentication_method().as_ref() != Some(method) {
                    connack.properties = connack.properties.with_authentication_method(method);
                }
            }
            Some(_) => {}
        }
        connack
    }
}
