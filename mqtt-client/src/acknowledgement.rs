//! `Acknowledgement`: tells the server that a message is in safe hands, when the application says so.

use crate::shared::Shared;
use mqttkit_codec::{AckToken, ReasonCode};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Acknowledges one received message: PUBACK or PUBREC. Small, owned, sendable; it does not hold the payload.
///
/// Acknowledgements leave in the order in which the messages came, as the specification demands \[MQTT-4.6.0-2\],
/// \[MQTT-4.6.0-3\]: one that is given early waits for those before it. So to drop one without a word holds up those
/// behind it as well, until the server, at its Receive Maximum, sends no more; after the next reconnect it sends the
/// messages again. That is what at-least-once means for a handler that fails.
///
/// It stands for this delivery: a message of QoS 1 that is acknowledged after its connection has ended comes again all
/// the same; of QoS 2 it is remembered, and the message does not come again. A message that went to several streams is
/// acknowledged when all of them have, with the worst reason. For QoS 0 there is nothing to acknowledge.
#[must_use = "a message that is not acknowledged holds up those behind it"]
pub struct Acknowledgement {
    shared: Arc<Shared>,
    ack: Option<Ack>,
}

impl Acknowledgement {
    pub(crate) fn new(shared: Arc<Shared>, ack: Option<Ack>) -> Self {
        Self { shared, ack }
    }

    /// The message is in safe hands.
    pub fn accept(self) {
        self.answer(ReasonCode::Success);
    }

    /// Answers with this reason, MQTT 5.0. One that is an error (0x80 and above) refuses the message: the server does
    /// not send it again. Before MQTT 5.0 there are no reasons, and this is the same as [`accept`](Self::accept).
    ///
    /// A reason that PUBACK and PUBREC do not know is sent as "success" or "unspecified error".
    pub fn answer(mut self, reason: ReasonCode) {
        if let Some(ack) = self.ack.take() {
            ack.give(&self.shared, reason);
        }
    }

    /// Whether there is something to acknowledge: the QoS is 1 or 2, and it has not been done by the stream.
    pub fn is_needed(&self) -> bool {
        self.ack.is_some()
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.ack.as_ref().map(|ack| ack.token);
        f.debug_struct("Acknowledgement")
            .field("packet_id", &token.map(|token| token.packet_id()))
            .finish_non_exhaustive()
    }
}

/// One reader's part in an acknowledgement.
#[derive(Debug)]
pub(crate) struct Ack {
    token: AckToken,
    /// Those who have to acknowledge it together.
    party: Option<Arc<Party>>,
}

#[derive(Debug)]
struct Party {
    /// How many have not yet.
    left: AtomicUsize,
    /// The worst reason so far.
    reason: AtomicU8,
}

impl Ack {
    /// For so many readers.
    pub(crate) fn for_readers(token: AckToken, readers: usize) -> impl Iterator<Item = Self> {
        let party = (readers > 1)
            .then(|| Arc::new(Party { left: AtomicUsize::new(readers), reason: AtomicU8::new(0) }));
        std::iter::repeat_n(party, readers).map(move |party| Self { token, party })
    }

    /// Gives the driver the acknowledgement, if this is the last part of it.
    pub(crate) fn give(self, shared: &Shared, reason: ReasonCode) {
        if let Some((token, reason)) = self.complete(reason) {
            shared.outbox.acknowledge(token, reason);
        }
    }

    /// The acknowledgement, if this is the last part of it.
    pub(crate) fn complete(self, reason: ReasonCode) -> Option<(AckToken, ReasonCode)> {
        let Some(party) = &self.party else { return Some((self.token, reason)) };
        let reason = party.reason.fetch_max(reason as u8, Ordering::AcqRel).max(reason as u8);
        let is_last = party.left.fetch_sub(1, Ordering::AcqRel) == 1;
        let reason = ReasonCode::from_u8(reason).unwrap_or(ReasonCode::UnspecifiedError);
        is_last.then_some((self.token, reason))
    }
}
