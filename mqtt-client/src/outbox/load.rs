//! `Load`: what something takes of a bounded queue, and the bound itself.

use super::command::RequestKind;
use mqttkit_codec::Message;

/// A place in a queue, or a limit: a number of entries and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What an entry takes beside its texts and payload, roughly, in bytes.
const ENTRY_OVERHEAD: usize = 128;

impl Load {
    pub(crate) fn of(message: &Message) -> Self {
        let bytes =
            message.topic.as_bytes().len() + message.payload.len() + message.properties.as_bytes().len();
        Self { entries: 1, bytes: bytes + ENTRY_OVERHEAD }
    }

    /// Of something of which nothing but its place is left.
    pub(crate) fn entry() -> Self {
        Self { entries: 1, bytes: ENTRY_OVERHEAD }
    }

    pub(crate) fn of_request(kind: &RequestKind) -> Self {
        let bytes = match kind {
            RequestKind::Subscribe(list, properties) => {
                list.iter().map(|s| s.filter.as_bytes().len() + ENTRY_OVERHEAD).sum::<usize>()
                    + properties.as_bytes().len()
            }
            RequestKind::Unsubscribe(list, properties) => {
                list.iter().map(|f| f.as_bytes().len() + ENTRY_OVERHEAD).sum::<usize>()
                    + properties.as_bytes().len()
            }
        };
        Self { entries: 1, bytes: bytes + ENTRY_OVERHEAD }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Whether one more fits under `limit`. One that is larger than the whole limit fits when it is alone.
    pub(crate) fn takes(self, other: Self, limit: Self) -> bool {
        self.entries == 0
            || (self.entries + other.entries <= limit.entries && self.bytes + other.bytes <= limit.bytes)
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }
}
