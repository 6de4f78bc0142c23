//! Messages of QoS 0 that go as they were published: encoded once, and copied to everybody they are for.

use std::ops::Range;

use bytes::BytesMut;
use mqttkit_codec::{Codec, Message, ServerConnection, Version};

use super::State;
use super::outbox::goes_as_published;
use super::publish::Delivery;
use super::session::{Encoding, LinkStatus};

/// The packets of one publication that is for many.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: BytesMut,
    /// Without and with properties, and each without and with RETAIN. An empty one could not be encoded.
    places: [Option<Range<usize>>; 4],
}

/// A larger packet is shared with others rather than copied to each, in bytes.
const LARGEST: usize = 1 << 10;
/// The most that a packet has beside topic, properties and payload, in bytes: of that size its length takes two.
const HEADER: usize = 1 + 2 + 2 + 2;

impl Packets {
    /// A new publication begins.
    fn clear(&mut self) {
        if !self.bytes.is_empty() {
            *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
            self.bytes.clear();
        }
    }

    /// The packet for clients of this version; empty if there is none.
    fn get(&mut self, message: &Message, version: Version, retain: bool) -> &[u8] {
        let place = usize::from(version.has_properties()) * 2 + usize::from(retain);
        let Self { bytes, places } = self;
        let range = places[place].get_or_insert_with(|| {
            let start = bytes.len();
            encode(message, version, retain, bytes);
            start..bytes.len()
        });
        bytes.get(range.clone()).unwrap_or_default()
    }
}

/// What is wrong with a message is told of where it is sent in the other way.
fn encode(message: &Message, version: Version, retain: bool, out: &mut BytesMut) {
    let _ = Codec::new(version).encode_at_most_once(message, retain, out);
}

impl State {
    /// Queues a message as a packet for those who get it like that, and leaves the others in `deliveries`.
    pub(super) fn push_encoded(&mut self, message: &Message, deliveries: &mut Vec<Delivery>) {
        let Message { topic, payload, properties, .. } = message;
        let most = HEADER + topic.as_bytes().len() + properties.as_bytes().len() + payload.len();
        // How long it waits may matter.
        if most > LARGEST || properties.message_expiry_interval().is_some() {
            return;
        }
        let Self { packets, sessions, budget, woken, .. } = self;
        let count = sessions.len();
        packets.clear();
        let is_for_one = deliveries.len() == 1;
        deliveries.retain(|&Delivery { slot, qos, retain, ref ids, group }| {
            // What is for a group may have to go to another member.
            if group != 0 {
                return true;
            }
            let Some(session) = sessions.get_mut(slot) else { return false };
            let Some(link) = session.presence.link_mut().filter(|link| link.kick.is_none()) else {
                return true;
            };
            let Some(Encoding { version, max_packet_size }) = link.encoding else { return true };
            let as_is = goes_as_published(qos, ids, false, version.has_properties());
            if !as_is || most > max_packet_size as usize {
                return true;
            }
            let room = link.room().within(budget, count);
            // If there is no room, whoever queues it in the other way does what is to be done.
            let is_queued = session.outbox.push_encoded(most, room, |out| {
                if is_for_one {
                    encode(message, version, retain, out);
                } else {
                    out.extend_from_slice(packets.get(message, version, retain));
                }
            });
            if is_queued && link.status == LinkStatus::Idle {
                link.status = LinkStatus::Woken;
                woken.push(slot);
            }
            !is_queued
        });
    }

    /// How a connection takes messages of QoS 0, unless they must be kept for when it is gone, or are not for it as they
    /// were published.
    pub(super) fn encoding(&self, slot: usize, connection: &ServerConnection) -> Option<Encoding> {
        let has_mount_point = self.sessions.get(slot).is_none_or(|session| session.mount_point.is_some());
        if has_mount_point || self.config.offline_qos0 {
            return None;
        }
        let codec = connection.shared_codec()?;
        Some(Encoding { version: codec.version(), max_packet_size: codec.max_outgoing() })
    }
}
