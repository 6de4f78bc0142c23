//! `Metrics`: what a client has done and what it has to do, in numbers.

use mqttkit_codec::PacketId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A client in numbers, at one moment. Counts are of all connections together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Messages and requests that were accepted and are not complete, queued and in flight together.
    pub outgoing: usize,
    /// Their size, in bytes, as [`Options::send_queue`](crate::Options::send_queue) counts it.
    pub outgoing_bytes: usize,
    /// Those of them that are with no connection yet.
    pub queued: usize,
    /// QoS 1 and 2 messages that wait for PUBACK or PUBCOMP.
    pub in_flight: usize,
    /// Messages that arrived and wait in [`Messages`](crate::Messages).
    pub incoming: usize,
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections that were established.
    pub connections: u64,
    /// Messages sent, resends included.
    pub messages_sent: u64,
    /// Messages sent again after a reconnect, in the same session or anew.
    pub messages_resent: u64,
    /// Messages received, those that were dropped included.
    pub messages_received: u64,
    /// Bytes handed to the transport.
    pub bytes_sent: u64,
    /// Bytes received from the transport.
    pub bytes_received: u64,
    /// Outgoing messages dropped by their [`Delivery`](crate::Delivery): no room or no connection.
    pub dropped: u64,
    /// Outgoing messages dropped because their time was over.
    pub expired: u64,
    /// Outgoing messages taken back by their tickets.
    pub cancelled: u64,
    /// Incoming messages dropped because nobody took them in time.
    pub incoming_dropped: u64,
    /// The latest round trip: from a PUBLISH to its PUBACK or PUBREC. One message at a time is measured.
    pub round_trip: Option<Duration>,
    /// The same, smoothed over about eight.
    pub round_trip_smoothed: Option<Duration>,
    /// The packet identifier of the latest QoS 1 or 2 message.
    pub last_packet_id: Option<PacketId>,
}

/// What the driver counts, and a few others.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) in_flight: Counter,
    pub(crate) attempts: Counter,
    pub(crate) connections: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_resent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) dropped: Counter,
    pub(crate) expired: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) incoming_dropped: Counter,
    /// In nanoseconds; 0 is unknown.
    round_trip: Counter,
    round_trip_smoothed: Counter,
    pub(crate) last_packet_id: Counter,
}

/// A number that anybody may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// For the one who alone writes it: cheaper than [`increment`](Self::increment).
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get() + n);
    }

    /// For numbers that several may count.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn increase(&self, n: usize) {
        if n > 0 {
            self.0.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Counters {
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.get()
    }

    pub(crate) fn measured(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.round_trip.set(nanos);
        let smoothed = match self.round_trip_smoothed.get() {
            0 => nanos,
            smoothed => smoothed - smoothed / 8 + nanos / 8,
        };
        self.round_trip_smoothed.set(smoothed.max(1));
    }

    /// The numbers as they are now; those that stand elsewhere are left zero.
    pub(crate) fn snapshot(&self) -> Metrics {
        let time = |counter: &Counter| match counter.get() {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        };
        Metrics {
            in_flight: self.in_flight.get() as usize,
            attempts: self.attempts.get(),
            connections: self.connections.get(),
            messages_sent: self.messages_sent.get(),
            messages_resent: self.messages_resent.get(),
            messages_received: self.messages_received.get(),
            bytes_sent: self.bytes_sent.get(),
            bytes_received: self.bytes_received.get(),
            dropped: self.dropped.get(),
            expired: self.expired.get(),
            cancelled: self.cancelled.get(),
            incoming_dropped: self.incoming_dropped.get(),
            round_trip: time(&self.round_trip),
            round_trip_smoothed: time(&self.round_trip_smoothed),
            last_packet_id: PacketId::new(self.last_packet_id.get() as u16),
            ..Metrics::default()
        }
    }
}
