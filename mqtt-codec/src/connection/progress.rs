//! `Progress`: a packet that has arrived in part, and how long it may take to be complete.

use core::time::Duration;

use crate::codec::Codec;
use crate::types::Instant;

/// The part of a packet that stands unread in the input of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// How much of it there is.
    len: u32,
    partial: Option<Partial>,
}

#[derive(Clone, Copy, Debug)]
struct Partial {
    since: Instant,
    grown_at: Instant,
    /// How long it is altogether, as far as that is known.
    total: u32,
}

/// How slow a packet may arrive, in bytes per second: about 1 kbit/s, below any link that MQTT is used on.
const SLOWEST: u32 = 128;

impl Progress {
    /// A packet is complete; what stands behind it is the next.
    pub(super) fn complete(&mut self) {
        *self = Self::default();
    }

    /// Looks at the input when no more packets can be taken from it. Returns whether it has grown.
    pub(super) fn look(&mut self, now: Instant, input: &[u8]) -> bool {
        let len = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let has_grown = len > self.len;
        self.len = len;
        if has_grown {
            let since = self.partial.map_or(now, |partial| partial.since);
            self.partial = Some(Partial { since, grown_at: now, total: Codec::peek_len(input).unwrap_or(0) });
        }
        has_grown
    }

    /// When the peer counts as silent: this long after the last packet, or part of one. A packet that comes in parts
    /// must be complete in that time and what it takes at [`SLOWEST`].
    pub(super) fn deadline(&self, last_packet_at: Instant, patience: Duration) -> Instant {
        match self.partial {
            None => last_packet_at + patience,
            Some(Partial { since, grown_at, total }) => {
                let allowance = Duration::from_secs(u64::from(total / SLOWEST));
                (grown_at + patience).min(since + patience + allowance)
            }
        }
    }
}
