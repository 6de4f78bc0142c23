//! What two sides ask of each other on one connection; the next one may differ.

use std::num::NonZeroU16;

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{ClientConfig, MAX_PACKET_SIZE, Message, ServerConfig, Version};

use super::model::Way;

/// The limits of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) client: ClientConfig,
    pub(super) server: ServerConfig,
    /// What the client asks for, in seconds, and what the server says to it.
    pub(super) keep_alive: u16,
    pub(super) server_keep_alive: Option<u16>,
}

impl Limits {
    pub(super) fn arbitrary(from: &mut Unstructured<'_>, version: Version) -> Result<Self> {
        let mut limits = Self::default();
        let Self { client, server, .. } = &mut limits;
        client.receive_maximum = *from.choose(&RECEIVE_MAXIMA)?;
        client.topic_alias_maximum = from.int_in_range(0..=2)?;
        client.automatic_topic_aliases = from.int_in_range(0..=2)?;
        client.automatic_acknowledgement = from.ratio(1, 4)?;
        server.receive_maximum = *from.choose(&RECEIVE_MAXIMA)?;
        server.topic_alias_maximum = from.int_in_range(0..=2)?;
        server.automatic_topic_aliases = from.int_in_range(0..=2)?;
        server.automatic_acknowledgement = from.ratio(1, 4)?;
        limits.keep_alive = *from.choose(&KEEP_ALIVES)?;
        // Before MQTT 5.0 neither can be told.
        if version == Version::V5 {
            limits.client.max_packet_size = *from.choose(&PACKET_SIZES)?;
            limits.server.max_packet_size = *from.choose(&PACKET_SIZES)?;
            limits.server_keep_alive = from.ratio(1, 8)?.then_some(*from.choose(&KEEP_ALIVES)?);
        }
        Ok(limits)
    }

    /// How many messages may be in flight in a direction.
    pub(super) fn quota(&self, way: Way, version: Version) -> usize {
        let maximum = match way {
            _ if version != Version::V5 => u16::MAX,
            Way::Up => self.server.receive_maximum.get(),
            Way::Down => self.client.receive_maximum.get(),
        };
        maximum.into()
    }

    /// Whether a PUBLISH is larger than its receiver takes. The sizes of messages are so far from the limits that
    /// what a header takes is of no matter.
    pub(super) fn forbid(&self, way: Way, message: &Message) -> bool {
        let maximum = match way {
            Way::Up => self.server.max_packet_size,
            Way::Down => self.client.max_packet_size,
        };
        message.payload.len() > maximum as usize
    }
}

/// What the payloads of some messages are longer than others.
pub(super) const LARGER: [usize; 2] = [300, 3000];

const PACKET_SIZES: [u32; 4] = [MAX_PACKET_SIZE, MAX_PACKET_SIZE, 1000, 100];
const KEEP_ALIVES: [u16; 4] = [0, 0, 60, 10];
const RECEIVE_MAXIMA: [NonZeroU16; 3] = [NonZeroU16::MAX, NonZeroU16::MIN, NonZeroU16::MIN.saturating_add(1)];
