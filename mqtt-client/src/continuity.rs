//! What a reconnect did to the session: nothing is lost silently.

use mqttkit_codec::ConnAck;
use std::sync::Arc;

/// What happened to messages and subscriptions when a connection was established.
///
/// What may arrive twice: a QoS 1 message that was `resent` or `republished`, as its acknowledgement may have been
/// what was lost; a QoS 2 message only if it was `republished`, since the server that knew that it had it has
/// forgotten. Incoming messages follow the same rule at the server's side: QoS 1 may come again after a reconnect, QoS
/// 2 not while the session lasts. A QoS 0 message is sent once; one that was not written yet waits for the next
/// connection, one that may have been sent is reported as [`PublishError::Lost`](crate::PublishError::Lost).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Continuity {
    /// Whether the server still had the session. MQTT 3.1 does not say; `false` there.
    pub session_present: bool,
    /// Which connection of this client it is, counting from 1.
    pub connection: u64,
    /// Messages in flight that are sent again within the session, under their identifiers.
    pub resent: usize,
    /// Messages that were in flight in a session which the server has lost, and are published anew, under their old
    /// tickets.
    pub republished: usize,
    /// QoS 2 messages that the server had taken over (PUBREC) in a session which it has lost. Their tickets say success,
    /// since the server was responsible for them; whether it delivered them is not known.
    pub unconfirmed: usize,
    /// Subscriptions that are made again because the session was lost. Messages published meanwhile are gone.
    pub resubscribed: usize,
    /// Subscriptions that the session still has. What was published meanwhile comes, if the server kept it.
    pub kept: usize,
    /// Requests to subscribe or unsubscribe whose answer was lost, and that are asked again.
    pub asked_again: usize,
    /// QoS 0 messages that were on their way when the connection before ended: whether they arrived is not known.
    pub lost: usize,
    /// Messages that expired since then, see [`Delivery::time_to_live`](crate::Delivery::time_to_live).
    pub expired: usize,
    /// Messages that were dropped since then, see [`Delivery`](crate::Delivery).
    pub dropped: usize,
    /// How many of those sent again, queued and to be completed now come from an earlier process, by the
    /// [`store`](crate::store); in the first connection only. [`Event::Restored`](crate::Event::Restored) has told which.
    pub restored: usize,
    /// How many of those `resent` or `republished` the server may have, and deliver, twice: those that were sent completely
    /// before, of QoS 1, and of QoS 2 as well if the session was lost.
    pub possibly_duplicated: usize,
    /// The server's answer, with what it can and cannot do.
    pub connack: Arc<ConnAck>,
}
