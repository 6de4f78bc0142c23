//! `ClientConfig`: what a client's connection waits for and takes.

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use crate::codec::MAX_PACKET_SIZE;
use crate::packet::Connect;
use crate::strictness::Strictness;

/// How patient a [`ClientConnection`](super::ClientConnection) is, and what it takes from its server.
///
/// The limits are told to an MQTT 5.0 server in CONNECT.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long the server may take for its CONNACK. Default 30 s.
    pub connect_timeout: Duration,
    /// How long the server may be silent after a PINGREQ. Default 10 s.
    pub ping_timeout: Duration,
    /// The largest packet that is taken, in bytes with its fixed header. Default: what MQTT can express.
    pub max_packet_size: u32,
    /// How many unacknowledged QoS 1 and 2 messages are taken at a time. Default 65,535.
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias the server may use. Default 0, none.
    pub topic_alias_maximum: u16,
    /// How many topic aliases are set for messages to the server, as far as it allows them; each costs the memory of
    /// a topic. Messages must not bring aliases of their own then. Default 0: none are set.
    pub automatic_topic_aliases: u16,
    /// Whether every message is acknowledged as soon as its event is taken, which then carries no token. Default
    /// false: the application acknowledges when the message is in safe hands.
    pub automatic_acknowledgement: bool,
    /// Whether [`ClientEvent::Received`](super::ClientEvent::Received) tells of each PUBREC. Default false.
    pub report_receipts: bool,
    /// Whether every rule is enforced when packets are decoded, or those that leave no doubt are overlooked. Default
    /// strict.
    pub strictness: Strictness,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            max_packet_size: MAX_PACKET_SIZE,
            receive_maximum: NonZeroU16::MAX,
            topic_alias_maximum: 0,
            automatic_topic_aliases: 0,
            automatic_acknowledgement: false,
            report_receipts: false,
            strictness: Strictness::Strict,
        }
    }
}

impl ClientConfig {
    /// Adds the limits that this side keeps to.
    pub(super) fn add_limits(&self, mut connect: Connect) -> Connect {
        if !connect.version.has_properties() {
            return connect;
        }
        if self.receive_maximum < NonZeroU16::MAX {
            connect.properties = connect.properties.with_receive_maximum(self.receive_maximum);
        }
        if let Some(limit) = NonZeroU32::new(self.max_packet_size)
            && limit.get() < MAX_PACKET_SIZE
        {
            connect.properties = connect.properties.with_maximum_packet_size(limit);
        }
        if self.topic_alias_maximum > 0 {
            connect.properties = connect.properties.with_topic_alias_maximum(self.topic_alias_maximum);
        }
        connect
    }
}
