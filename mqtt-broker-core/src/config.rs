//! `Config`: every limit of the broker, with its default and what happens beyond it.

use std::num::NonZeroU16;
use std::time::Duration;

use mqttkit_codec::QoS;

use crate::doorman::Tolerance;
use crate::rate::Rate;
#[cfg(feature = "serde")]
use crate::units;

/// The limits of a broker. Each is a bound on memory or time that a stranger could otherwise use up.
///
/// ```
/// use mqttkit_broker_core::{Config, Overflow};
///
/// let mut config = Config::default();
/// config.max_packet_size = 64 * 1024;
/// config.overflow = Overflow::DropOldest;
/// ```
///
/// With the feature `serde` it is read from and written to files, with these names in kebab case: a key that is missing
/// has its default, one that is unknown is an error.
///
/// | kind | written as |
/// | --- | --- |
/// | durations | `"1500ms"`, `"10s"`, `"1h 30m"`, `"30d"`, `"forever"`; a bare number is seconds |
/// | bytes | `"64 KiB"`, `"2 MiB"`, `"1 GiB"`; a bare number is bytes |
/// | rates | `"100/s"`, `"100/s, burst 1000"`, `"64 KiB/s"`; a bare number is per second |
/// | tolerances | `"15 in 1m, ban 5m"` |
/// | QoS | 0, 1 or 2 |
/// | what may be `None` | `"off"`; for a text the empty one |
/// | choices | in kebab case: `"drop-oldest"` |
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields, rename_all = "kebab-case")
)]
#[non_exhaustive]
pub struct Config {
    /// How long a connection may take until its CONNECT is complete. Then it is closed. Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub connect_timeout: Duration,
    /// How long [`Policy::authenticate`](crate::Policy::authenticate) may take, and how long a client may wait for
    /// the connection whose session it takes over, and for a [store](crate::store) to know its session. Then it is refused as if the server were unavailable.
    /// Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub authenticate_timeout: Duration,
    /// How long a connection may make no progress in writing. Then it is closed: its peer does not read, or is
    /// gone. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub write_timeout: Duration,
    /// How long the goodbye of a connection may take: the last bytes out, the peer's end of the stream in.
    /// Then it is cut. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub close_timeout: Duration,
    /// The longest keep-alive, in seconds, that an MQTT 5.0 client may ask for; more, or none at all, is replaced
    /// by this and the client is told. An older client cannot be told and keeps its own. Default `None`: as the
    /// client asks.
    #[cfg_attr(feature = "serde", serde(with = "units::number_or_off"))]
    pub max_keep_alive: Option<NonZeroU16>,

    /// The largest packet that is taken, in bytes with its header. A larger one ends the connection with 0x95.
    /// A connection may hold this much for a packet that is not complete. Default 2 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub max_packet_size: u32,
    /// The same for CONNECT and all that comes until the client is let in: what a stranger can make the broker keep. The
    /// smaller of both counts. A larger CONNECT ends the connection without an answer. Default 128 KiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub max_connect_size: u32,
    /// How many QoS 1 and 2 messages of one client may wait for our acknowledgement. An MQTT 5.0 client is told,
    /// and disconnected with 0x93 if it sends more. Default 1,024.
    pub receive_maximum: NonZeroU16,
    /// How many QoS 1 and 2 messages may wait for the acknowledgement of one client, if it does not itself allow
    /// less. Beyond it messages stay in the outbox. Default 1,024.
    pub max_in_flight: NonZeroU16,
    /// The same in bytes: topics, payloads and properties. The message that crosses it is still sent. Default 16 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub max_in_flight_bytes: usize,
    /// How many topic aliases one client may define, each of which keeps a topic in memory. A higher alias is
    /// answered with 0x94. Default 32.
    pub topic_alias_maximum: u16,
    /// How many topic aliases the broker itself sets for one client, as far as the client allows them: messages to the
    /// topics used last go without their names. Each keeps a topic in memory. Default 16.
    pub outgoing_topic_aliases: u16,
    /// The highest QoS that clients may publish with, told in CONNACK. A message or a will beyond it ends the
    /// connection with 0x9B; subscriptions get no more than this. Default QoS 2.
    #[cfg_attr(feature = "serde", serde(with = "units::qos"))]
    pub maximum_qos: QoS,
    /// Whether clients may publish retained messages, told in CONNACK. Otherwise such a message or will ends the
    /// connection with 0x9A. Default true.
    pub retain_available: bool,
    /// Whether filters may have wildcards, told in CONNACK. Otherwise such a subscription ends the connection with
    /// 0xA2; one of an MQTT 3 client, which cannot be told, fails. Default true.
    pub wildcard_subscriptions: bool,
    /// Whether subscriptions may be shared, told in CONNACK. Otherwise the same with 0x9E. Default true.
    pub shared_subscriptions: bool,
    /// Whether subscriptions may have identifiers, told in CONNACK. Otherwise one that has ends the connection with
    /// 0xA1. Default true.
    pub subscription_identifiers: bool,
    /// What a client that asks for Response Information is told: the beginning of the topics on which it may receive
    /// answers. `%c` stands for its client identifier. Default `None`: nothing.
    #[cfg_attr(feature = "serde", serde(with = "units::text_or_none"))]
    pub response_information: Option<String>,
    /// How many levels a topic name or filter may have. Beyond it a subscription is refused with 0x8F, a message
    /// with 0x90. Default 128.
    pub max_topic_levels: usize,

    /// Which member of a shared subscription gets a message. Default [`SharedStrategy::RoundRobin`].
    pub shared_strategy: SharedStrategy,

    /// The memory that all that is kept may take together, in bytes: messages that wait or are in flight, packets that are
    /// not complete, what is to be sent, retained messages, sessions with their subscriptions and wills. A message counts
    /// once, however many wait for it. What one client makes the broker keep in a queue, in flight or as subscriptions may
    /// take a sixteenth of what is free of three quarters, so that a crowd cannot take everything. An eighth is for those
    /// that need little: every queue may have 16 KiB of it, or its part if there are many sessions. In another eighth
    /// are packets that are not complete, in the same way.
    ///
    /// - a message that would take more in its queue is dropped, as `overflow` says;
    /// - messages stay in the outbox rather than in flight or encoded;
    /// - a client whose packet, aliases or CONNECT would take more is disconnected with 0x97;
    /// - sessions, subscriptions and retained messages together may take half: then new clients and new subscriptions
    ///   are refused with 0x97, and messages not retained.
    ///
    /// It does not count what the links have, TLS and WebSocket buffers above all, nor the program itself: set it to what
    /// you have less those. Default 2 GiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub max_memory: usize,

    /// Messages that wait for one connected client. Beyond it [`overflow`](Self::overflow) decides.
    /// Default 65,536.
    pub outbox_messages: usize,
    /// Bytes that wait for one connected client: topics, payloads, properties and an overhead of 64 for each
    /// message. One message is always taken, whatever its size. Beyond it [`overflow`](Self::overflow) decides.
    /// Default 16 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub outbox_bytes: usize,
    /// Messages that wait in the session of a client that is not connected. Beyond it
    /// [`overflow`](Self::overflow) decides. Default 1,000.
    pub offline_messages: usize,
    /// Bytes that wait there, counted as in [`outbox_bytes`](Self::outbox_bytes). Default 4 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub offline_bytes: usize,
    /// Whether QoS 0 messages wait for a client that is not connected. Default false: they are dropped.
    pub offline_qos0: bool,
    /// What happens to a QoS 1 or 2 message that has no room. A QoS 0 message without room is always dropped.
    /// Every message dropped is counted. Default [`Overflow::DropNewest`].
    pub overflow: Overflow,
    /// How long a connected client may be behind: from the first message that had no room for it until half of its
    /// outbox is free again. Then it is disconnected with 0x97. Default `None`: for as long as it reads at all, which
    /// [`write_timeout`](Self::write_timeout) bounds.
    #[cfg_attr(feature = "serde", serde(with = "units::duration_or_off"))]
    pub slow_consumer_timeout: Option<Duration>,
    /// Bytes encoded for one connection but not yet written. Above it messages stay in the outbox and nothing
    /// more is read from the client. Default 96 KiB: what three reads bring for it goes in one write.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub transmit_watermark: usize,

    /// Messages that one client may publish. One that is faster is not read from until it has room again: its messages
    /// wait at its own end. Then [`rate_patience`](Self::rate_patience) decides. [`Limits`](crate::Limits) can be
    /// stricter for one client. Default `None`: as many as it can.
    #[cfg_attr(feature = "serde", serde(with = "units::rate_or_off"))]
    pub message_rate: Option<Rate>,
    /// Bytes that one client may send once it is in, of all its packets, in the same way. Default `None`.
    #[cfg_attr(feature = "serde", serde(with = "units::rate_or_off"))]
    pub byte_rate: Option<Rate>,
    /// How long a client may be held back without having caught up. Then it is disconnected, with 0x96 for its messages
    /// and 0x97 for its bytes. A client that is held back does not hear of its pings either; give it less time than the
    /// keep-alive that is usual. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub rate_patience: Duration,

    /// Connections that may come from one address; of IPv6 from one /64. One more is closed at once and counted. It is
    /// the address that a trusted proxy tells, where there is one. Default `None`: any number.
    #[cfg_attr(feature = "serde", serde(with = "units::rate_or_off"))]
    pub connect_rate: Option<Rate>,
    /// How often one client identifier may connect. One that comes more often is banned for a while and refused with
    /// 0x8A: devices that fight for one identifier, or that crash on what they receive. Only connections that the
    /// policy let in count, so that strangers cannot get others banned. Default `None`: as often as it likes.
    #[cfg_attr(feature = "serde", serde(with = "units::tolerance_or_off"))]
    pub flapping: Option<Tolerance>,
    /// How often the policy may refuse clients from one address with 0x86 or 0x87. Then the address is banned for a
    /// while: its connections are closed at once. Think of those who share an address. Default `None`: any number.
    #[cfg_attr(feature = "serde", serde(with = "units::tolerance_or_off"))]
    pub authentication_failures: Option<Tolerance>,
    /// Bans at a time. For one more the one that would end first gives way. Default 10,000.
    pub max_bans: usize,
    /// Addresses whose connections and failures are counted, and client identifiers whose connections are: so many each.
    /// Beyond it those that were not seen for the longest time are forgotten. Default 65,536.
    pub max_tracked: usize,

    /// Connections at a time, over all listeners. One more is closed at once and counted. Default 100,000.
    pub max_connections: usize,
    /// Handshakes at a time on one listener, from the connection to the first MQTT packet's beginning. For one more, the
    /// oldest is given up: it has had more time than a good client needs. Default 16,384.
    pub max_handshakes: usize,

    /// Sessions at a time, of connected clients and others. A client that would need one more is refused with
    /// 0x97. Default 1,000,000.
    pub max_sessions: usize,
    /// The longest time a session outlives its connection. MQTT 5.0 clients that ask for more are told; MQTT 3
    /// sessions that are not clean get this. Default 30 days.
    #[cfg_attr(feature = "serde", serde(with = "units::duration"))]
    pub session_expiry: Duration,
    /// Subscriptions of one session. One more is refused with 0x97. Default 100,000.
    pub max_subscriptions: usize,

    /// How often the broker publishes what has changed of its figures, below `$SYS/broker/`: retained messages, which
    /// count among the others. Not more often than every 100 ms. Default `None`: it does not.
    #[cfg_attr(feature = "serde", serde(with = "units::duration_or_off"))]
    pub sys_interval: Option<Duration>,

    /// Retained messages. One more is delivered but not retained, and counted. Default 1,000,000.
    pub max_retained_messages: usize,
    /// Bytes of retained messages, counted as in [`outbox_bytes`](Self::outbox_bytes). A message beyond it is
    /// delivered but not retained, and counted. Default 256 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub max_retained_bytes: usize,

    /// Changes that may wait for a [store](crate::store) that is slower than the broker. Beyond it a client whose messages
    /// add to them, or that is new, is not read until half of them are kept, one with a session or a will to keep is
    /// refused with 0x89, and QoS 1 and 2 messages of the host are refused with 0x97. Default 65,536.
    pub store_ops: usize,
    /// Bytes of these changes: messages, once each, and an overhead for each change. Beyond it the same.
    /// Default 64 MiB.
    #[cfg_attr(feature = "serde", serde(with = "units::bytes"))]
    pub store_bytes: usize,
}

/// What happens to a message of QoS 1 or 2 for a client whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Overflow {
    /// The new message is dropped for this client.
    #[default]
    DropNewest,
    /// The oldest waiting messages, of any QoS, are dropped until the new one has room.
    DropOldest,
    /// The oldest waiting messages of QoS 0 are dropped until the new one has room; if there are none, it is dropped
    /// itself. Finding them in a long queue of others takes time.
    DropOldestQos0,
    /// The message is refused as a whole, before anybody gets it and before it is retained: its publisher is told 0x97
    /// and may publish it again later. All or nothing is what makes that sound: otherwise those who had room would get
    /// it twice. So one receiver of QoS 1 or 2 that is full, or away for long, stops its topics for everybody; this is
    /// for systems where to lose is worse than to wait. Who cannot be told is not refused: for a message of an MQTT 3
    /// client, and for a will, it is [`DropNewest`](Self::DropNewest).
    Refuse,
    /// The new message is dropped and the client is disconnected with 0x97; its session goes on, with what
    /// [`Config::offline_messages`] allows of its queue. For a client that is not connected the new message is
    /// dropped.
    Disconnect,
}

/// Which member of a shared subscription gets the next message. Whatever the strategy, members whose clients are not
/// connected get messages only if no other is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum SharedStrategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Anyone.
    Random,
    /// The one with the fewest messages that wait or are unacknowledged: the fastest works most.
    LeastOutstanding,
    /// The same for as long as it is connected: the others stand by.
    Sticky,
    /// The same for all messages of one publisher, so that they stay in order.
    HashPublisher,
    /// The same for all messages of one topic, so that they stay in order.
    HashTopic,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            authenticate_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(1),
            max_keep_alive: None,
            max_packet_size: 2 << 20,
            max_connect_size: 128 << 10,
            receive_maximum: NonZeroU16::MIN.saturating_add(1_023),
            max_in_flight: NonZeroU16::MIN.saturating_add(1_023),
            max_in_flight_bytes: 16 << 20,
            topic_alias_maximum: 32,
            outgoing_topic_aliases: 16,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscriptions: true,
            shared_subscriptions: true,
            subscription_identifiers: true,
            response_information: None,
            max_topic_levels: 128,
            shared_strategy: SharedStrategy::RoundRobin,
            max_memory: 2 << 30,
            outbox_messages: 65_536,
            outbox_bytes: 16 << 20,
            offline_messages: 1_000,
            offline_bytes: 4 << 20,
            offline_qos0: false,
            overflow: Overflow::DropNewest,
            slow_consumer_timeout: None,
            transmit_watermark: 96 << 10,
            message_rate: None,
            byte_rate: None,
            rate_patience: Duration::from_secs(30),
            connect_rate: None,
            flapping: None,
            authentication_failures: None,
            max_bans: 10_000,
            max_tracked: 65_536,
            max_connections: 100_000,
            max_handshakes: 16_384,
            max_sessions: 1_000_000,
            session_expiry: Duration::from_secs(30 * 24 * 60 * 60),
            max_subscriptions: 100_000,
            sys_interval: None,
            max_retained_messages: 1_000_000,
            max_retained_bytes: 256 << 20,
            store_ops: 65_536,
            store_bytes: 64 << 20,
        }
    }
}
