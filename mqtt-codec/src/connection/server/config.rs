//! `ServerConfig`: what a server's connection waits for and takes.

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use crate::codec::MAX_PACKET_SIZE;
use crate::packet::ConnAck;
use crate::strictness::Strictness;

/// What a [`ServerConnection`](super::ServerConnection) allows its client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// How long a client may take for its CONNECT, and for each step of an enhanced authentication. Default 10 s.
    pub connect_timeout: Duration,
    /// The largest packet that is taken, in bytes with its fixed header. Default: what MQTT can express.
    pub max_packet_size: u32,
    /// The same for CONNECT and all that comes until the client is accepted: what a stranger can make this side keep. The
    /// smaller of both counts. Default: what MQTT can express.
    pub max_connect_size: u32,
    /// How many unacknowledged QoS 1 and 2 messages are taken from an MQTT 5.0 client. Default 65,535.
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias a client may use; each costs the memory of a topic. Default 0, none.
    pub topic_alias_maximum: u16,
    /// How many topic aliases are set for messages to the client, as far as it allows them; each costs the memory of
    /// a topic. Messages must not bring aliases of their own then. Default 0: none are set.
    pub automatic_topic_aliases: u16,
    /// Whether every message is acknowledged as soon as its event is taken, which then carries no token. Default
    /// false: the application acknowledges when the message is in safe hands.
    pub automatic_acknowledgement: bool,
    /// Whether the application takes each step of a QoS 2 exchange itself, for a broker that writes it down first. A
    /// QoS 2 message that was [published](super::ServerConnection::publish) waits for
    /// [`send`](super::ServerConnection::send), a PUBREC makes [`Received`](super::ServerEvent::Received), a PUBREL
    /// [`Released`](super::ServerEvent::Released). Default false.
    pub stepwise: bool,
    /// Whether every rule is enforced when packets are decoded, or those that leave no doubt are overlooked. Default
    /// strict.
    pub strictness: Strictness,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_packet_size: MAX_PACKET_SIZE,
            max_connect_size: MAX_PACKET_SIZE,
            receive_maximum: NonZeroU16::MAX,
            topic_alias_maximum: 0,
            automatic_topic_aliases: 0,
            automatic_acknowledgement: false,
            stepwise: false,
            strictness: Strictness::Strict,
        }
    }
}

impl ServerConfig {
    /// Adds the limits that this side keeps to.
    pub(super) fn add_limits(&self, mut connack: ConnAck) -> ConnAck {
        if self.receive_maximum < NonZeroU16::MAX {
            connack.properties = connack.properties.with_receive_maximum(self.receive_maximum);
        }
        if let Some(limit) = NonZeroU32::new(self.max_packet_size)
            && limit.get() < MAX_PACKET_SIZE
        {
            connack.properties = connack.properties.with_maximum_packet_size(limit);
        }
        if self.topic_alias_maximum > 0 {
            connack.properties = connack.properties.with_topic_alias_maximum(self.topic_alias_maximum);
        }
        connack
    }
}
