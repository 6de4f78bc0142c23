//! `Log`: what the broker says to `tracing`. All of it is said here, none of it under the lock of the state.
//!
//! What a stranger can cause at will is said a few times a second and no more; how often it was left out is said with
//! the next one. Text of clients goes out as values of fields, which subscribers quote.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mqttkit_codec::{Closed, Instant, ReasonCode, Str};
use mqttkit_ws_transport::PeerInfo;
use tracing::{debug, error, info, warn};

use crate::events::{DropCause, NotConnected};
use crate::policy::Client;
use crate::remarks::{Remark, Remarks};

/// The targets of the broker's events; they stand in the documentation of the crate.
const CLIENT: &str = "mqttkit_broker_core::client";
const REFUSED: &str = "mqttkit_broker_core::refused";
const VIOLATION: &str = "mqttkit_broker_core::violation";
const SUBSCRIPTION: &str = "mqttkit_broker_core::subscription";
const DROPPED: &str = "mqttkit_broker_core::dropped";
const LISTENER: &str = "mqttkit_broker_core::listener";
pub(crate) const TRACE: &str = "mqttkit_broker_core::trace";

/// What was said last, where that is to be said seldom.
#[derive(Debug, Default)]
pub(crate) struct Log {
    refused: Limiter,
    violations: Limiter,
    dropped: [Limiter; DropCause::ALL.len()],
}

/// How a connection ended, and whose it was.
pub(crate) struct Ended<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) peer: &'a PeerInfo,
    pub(crate) closed: &'a Closed,
    /// Since it was a client; `None` if it never was.
    pub(crate) lasted: Option<Duration>,
}

impl Log {
    pub(crate) fn connected(client: &Client) {
        let peer = client.peer();
        info!(
            target: CLIENT,
            client = client.client_id().as_str(),
            user = client.identity().name(),
            peer = peer.address.map(tracing::field::display),
            via = peer.via.as_deref().map(tracing::field::display),
            listener = peer.listener.as_deref(),
            scheme = %peer.scheme,
            version = %client.version(),
            mount_point = client.mount_point().map(Str::as_str),
            "connected"
        );
    }

    pub(crate) fn ended(&self, now: Instant, ended: &Ended<'_>) {
        let Ended { client_id, peer, closed, lasted } = *ended;
        let address = peer.address.map(tracing::field::display);
        let listener = peer.listener.as_deref();
        let reason = reason(closed).map(ReasonCode::as_u8);
        if let (Closed::Protocol(_), true) =
            (closed, tracing::enabled!(target: VIOLATION, tracing::Level::WARN))
        {
            if let Some(left_out) = self.violations.admit(now, 1) {
                warn!(
                    target: VIOLATION,
                    client = client_id,
                    peer = address,
                    listener,
                    reason,
                    cause = %closed,
                    left_out,
                    "protocol violation"
                );
            }
        } else if lasted.is_none() {
            self.not_connected(now, client_id, peer.address, listener, reason, closed);
        }
        if let Some(lasted) = lasted {
            info!(
                target: CLIENT,
                client = client_id,
                peer = peer.address.map(tracing::field::display),
                listener,
                reason,
                cause = %closed,
                seconds = lasted.as_secs_f64(),
                "disconnected"
            );
        }
    }

    /// A connection that came to nothing before there was anything of MQTT.
    pub(crate) fn refused(
        &self,
        now: Instant,
        address: Option<SocketAddr>,
        listener: Option<&str>,
        cause: &NotConnected,
    ) {
        self.not_connected(now, None, address, listener, None, cause);
    }

    fn not_connected(
        &self,
        now: Instant,
        client_id: Option<&str>,
        address: Option<SocketAddr>,
        listener: Option<&str>,
        reason: Option<u8>,
        cause: &dyn Display,
    ) {
        if !tracing::enabled!(target: REFUSED, tracing::Level::WARN) {
            return;
        }
        let Some(left_out) = self.refused.admit(now, 1) else { return };
        warn!(
            target: REFUSED,
            client = client_id,
            peer = address.map(tracing::field::display),
            listener,
            reason,
            cause = %cause,
            left_out,
            "refused"
        );
    }

    /// What happened under the lock.
    pub(crate) fn say(&self, now: Instant, remarks: Remarks) {
        for (index, &cause) in DropCause::ALL.iter().enumerate() {
            let count = remarks.dropped[index];
            if count > 0
                && let Some(earlier) = self.dropped[index].admit_one_a_second(now, count)
            {
                let client = remarks.loser.as_ref().map(Str::as_str);
                warn!(target: DROPPED, client, cause = ?cause, count = earlier + count, "messages dropped");
            }
        }
        for remark in remarks.list {
            say(&remark);
        }
        if remarks.left_out > 0 {
            info!(target: TRACE, left_out = remarks.left_out, "more than is logged at a time");
        }
    }

    pub(crate) fn listening(listener: &str, address: SocketAddr) {
        info!(target: LISTENER, listener, %address, "listening");
    }

    pub(crate) fn stopped(listener: &str) {
        info!(target: LISTENER, listener, "stopped listening");
    }

    /// It goes on after a while.
    pub(crate) fn accept_failed(listener: &str, error: &std::io::Error) {
        warn!(target: LISTENER, listener, %error, "cannot accept, trying again");
    }

    /// It does not go on.
    pub(crate) fn listener_failed(listener: &str, error: &std::io::Error) {
        error!(target: LISTENER, listener, %error, "the listener is unusable");
    }
}

fn say(remark: &Remark) {
    match remark {
        Remark::Subscribed { client_id, filter, reason } if reason.is_error() => {
            debug!(target: SUBSCRIPTION, client = client_id.as_str(), filter = filter.as_str(), reason = reason.as_u8(),
                "subscription refused");
        }
        Remark::Subscribed { client_id, filter, reason } => {
            debug!(target: SUBSCRIPTION, client = client_id.as_str(), filter = filter.as_str(), qos = reason.as_u8(),
                "subscribed");
        }
        Remark::Unsubscribed { client_id, filter } => {
            debug!(target: SUBSCRIPTION, client = client_id.as_str(), filter = filter.as_str(), "unsubscribed");
        }
        Remark::Published { topic, from, qos, retain, size, receivers } => {
            let publisher = from.as_ref().map(Str::as_str);
            info!(target: TRACE, topic = topic.as_str(), publisher, qos = *qos as u8, retain, size, receivers,
                "published");
        }
        Remark::Queued { topic, client_id, qos } => {
            info!(target: TRACE, topic = topic.as_str(), client = client_id.as_str(), qos = *qos as u8, "queued");
        }
        Remark::Lost { topic, client_id, cause } => {
            info!(target: TRACE, topic = topic.as_str(), client = client_id.as_str(), cause = ?cause, "dropped");
        }
        Remark::Delivered { topic, client_id, qos } => {
            info!(target: TRACE, topic = topic.as_str(), client = client_id.as_str(), qos = *qos as u8, "delivered");
        }
    }
}

fn reason(closed: &Closed) -> Option<ReasonCode> {
    match closed {
        Closed::Peer(disconnect) => Some(disconnect.reason),
        Closed::Refused(connack) => Some(connack.reason),
        Closed::Protocol(error) => Some(error.reason_code()),
        Closed::Local(reason) => Some(*reason),
        _ => None,
    }
}

/// Lets so much through and counts the rest.
#[derive(Debug, Default)]
struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    said: u32,
    left_out: u64,
}

/// How often the same kind of thing is said in a second.
const A_SECOND: u32 = 10;

impl Limiter {
    /// Whether to say it: then with how many that were left out.
    fn admit(&self, now: Instant, count: u64) -> Option<u64> {
        self.admit_up_to(now, count, A_SECOND)
    }

    fn admit_one_a_second(&self, now: Instant, count: u64) -> Option<u64> {
        self.admit_up_to(now, count, 1)
    }

    fn admit_up_to(&self, now: Instant, count: u64, limit: u32) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| since + Duration::from_secs(1) <= now) {
            window.since = Some(now);
            window.said = 0;
        }
        if window.said >= limit {
            window.left_out += count;
            return None;
        }
        window.said += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limiter_lets_a_few_through_and_remembers_the_rest() {
        let limiter = Limiter::default();
        let second = |number| Instant::new(Duration::from_secs(number));
        for _ in 0..A_SECOND {
            assert_eq!(limiter.admit(second(1), 1), Some(0));
        }
        assert_eq!((limiter.admit(second(1), 3), limiter.admit(second(1), 4)), (None, None));
        assert_eq!(limiter.admit(second(2), 1), Some(7));
        assert_eq!(limiter.admit(second(2), 1), Some(0));
    }
}
