//! What can go wrong, one type per question: connecting, an established connection, a message, a subscription.

use crate::authentication::AuthenticationError;
use crate::store::StoreError;
use mqttkit_codec::{
    ConnAck, Disconnect, EncodeError, ProtocolError, QoS, ReasonCode, TextError, TopicError,
};
use mqttkit_ws_transport as transport;
use std::time::Duration;

/// Why a connection could not be established. [`hint`](Self::hint) says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The transport could not be opened: name, TCP, TLS or WebSocket.
    #[error(transparent)]
    Transport(transport::ConnectError),
    /// The server answered CONNECT with a refusal.
    #[error("the server refused the connection: {}{}", connack.reason, Said(text.as_deref()))]
    Refused {
        /// The whole answer. Its `reason` says why, also for the return codes of MQTT 3.
        connack: Box<ConnAck>,
        /// The server's own words, MQTT 5.0.
        text: Option<String>,
    },
    /// The transport is open, but CONNACK did not come within the connect timeout.
    #[error("no MQTT answer after {after:?}")]
    NoAnswer {
        /// The time given for everything from the name to CONNACK.
        after: Duration,
    },
    /// The connection ended before CONNACK.
    #[error("the connection ended before the server's answer: {0}")]
    Disconnected(DisconnectCause),
    /// The enhanced authentication failed at this side: the server could not prove what it should, perhaps.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// The Unix socket could not be opened.
    #[error("cannot open the Unix socket {}: {error}", path.display())]
    Unix {
        /// Where it was looked for.
        path: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A [`Connector`](crate::Connector) of your own failed.
    #[error("cannot connect: {0}")]
    Custom(Box<dyn std::error::Error + Send + Sync>),
    /// The client was closed before it was connected.
    #[error("the client was closed")]
    Closed,
}

impl From<transport::ConnectError> for ConnectError {
    fn from(error: transport::ConnectError) -> Self {
        Self::Transport(error)
    }
}

impl ConnectError {
    /// The server's reason, if it was the server that refused.
    pub fn reason(&self) -> Option<ReasonCode> {
        if let Self::Refused { connack, .. } = self { Some(connack.reason) } else { None }
    }

    /// One sentence that says what to do, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            Self::Transport(error) => return Some(error.hint()),
            Self::Options(OptionsError::Url(error)) => return Some(error.hint()),
            Self::Refused { connack, .. } => match connack.reason {
                ReasonCode::BadUserNameOrPassword => "Check user name and password",
                ReasonCode::NotAuthorized => {
                    "The server wants a user name and password, or this user may not connect"
                }
                ReasonCode::UnsupportedProtocolVersion => {
                    "Choose another protocol version, 3.1.1 for example"
                }
                ReasonCode::ClientIdentifierNotValid => "Choose another client identifier",
                ReasonCode::ServerBusy
                | ReasonCode::ServerUnavailable
                | ReasonCode::ConnectionRateExceeded
                | ReasonCode::QuotaExceeded => "Try again later",
                _ => return None,
            },
            Self::Unix { error, .. } => match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "There is no such file: does the server run, and listen there?"
                }
                std::io::ErrorKind::ConnectionRefused => {
                    "The file is there, but no server listens at it any more"
                }
                std::io::ErrorKind::PermissionDenied => "This user may not write to the socket",
                _ => return None,
            },
            Self::NoAnswer { .. } => {
                "Is it an MQTT server that listens there? A port for TLS waits for mqtts:// or wss://"
            }
            Self::Disconnected(DisconnectCause::Link(transport::LinkError::Tls(error))) => {
                return Some(error.hint());
            }
            Self::Disconnected(DisconnectCause::Ended | DisconnectCause::Link(_)) => {
                "Is it an MQTT server that listens there, does it speak this protocol version, and does it want TLS?"
            }
            Self::Disconnected(DisconnectCause::Protocol(_)) => {
                "No MQTT server answers there: a WebSocket port wants ws:// or wss://"
            }
            _ => return None,
        };
        Some(fixed.to_owned())
    }
}

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL.
    #[error(transparent)]
    Url(#[from] transport::UrlError),
    /// A text or binary option.
    #[error("{option}: {error}")]
    Text {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        error: TextError,
    },
    /// The topic of the will.
    #[error("topic of the will: {0}")]
    WillTopic(TopicError),
    /// There is an authenticator, and the version is not 5.0.
    #[error("enhanced authentication is for MQTT 5.0 only")]
    AuthenticationVersion,
    /// The options do not go together.
    #[error(transparent)]
    Connect(EncodeError),
    /// The options do not go together with a [`store`](crate::Options::store), which is of use only in a session that
    /// outlives its connection and its process.
    #[error("a store needs {0}")]
    StoreNeeds(&'static str),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How an established connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The server said goodbye, MQTT 5.0.
    #[error("the server disconnected: {}{}", .0.reason, Said(.0.properties.reason_string().as_deref()))]
    Server(Disconnect),
    /// The server ended the transport without a DISCONNECT, which is all that MQTT 3 has.
    #[error("the server ended the connection")]
    Ended,
    /// The transport failed.
    #[error("{0}")]
    Link(transport::LinkError),
    /// The server did not answer a PINGREQ: the connection is dead.
    #[error("the server is silent: no answer to a ping")]
    Silent,
    /// The server broke a rule of the protocol. It was told so, where the version can.
    #[error("the server broke the protocol: {0}")]
    Protocol(ProtocolError),
    /// More QoS 1 and 2 messages arrived than this side can hold while the application, which waits for an answer of
    /// the server, takes none. See [`Options::receive_buffer`](crate::Options::receive_buffer).
    #[error("more messages arrived than can be held")]
    Overrun,
    /// To authenticate again failed at this side.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// This side closed, for this reason.
    #[error("closed by this side: {0}")]
    Local(ReasonCode),
}

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is not a topic name.
    #[error("topic: {0}")]
    Topic(TopicError),
    /// There was no room for the message, or others took its place, as its
    /// [`Delivery`](crate::Delivery::when_full) says. It was not sent.
    #[error("there was no room for the message in the queue")]
    Dropped,
    /// There was no connection, and its [`Delivery`](crate::Delivery::offline) says not to wait for one. It was not sent.
    #[error("there is no connection")]
    Offline,
    /// Its [`time_to_live`](crate::Delivery::time_to_live) was over before it could be sent.
    #[error("the message expired before it could be sent")]
    Expired,
    /// It was taken back by [`Ticket::cancel`](crate::Ticket::cancel) before a byte of it was sent.
    #[error("the message was cancelled")]
    Cancelled,
    /// The time given by [`Ticket::within`](crate::Ticket::within) is over.
    #[error("the message was not acknowledged in time{}", if *sent { "" } else { ", and was not sent" })]
    Deadline {
        /// Whether a connection had taken it: then it may arrive, or have arrived. Otherwise it never will.
        sent: bool,
    },
    /// The queue of outgoing messages is full; from [`try_publish`](crate::Client::try_publish) only.
    #[error("the queue of outgoing messages is full")]
    Full,
    /// The server refused the message, MQTT 5.0.
    #[error("the server refused the message: {0}")]
    Refused(ReasonCode),
    /// The server does not support this QoS but at most this one.
    #[error("the server supports QoS {} at most", .0.as_u8())]
    QoSNotSupported(QoS),
    /// The server does not support retained messages.
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// The message cannot be written, most likely because it is larger than the server takes.
    #[error(transparent)]
    Encode(EncodeError),
    /// The connection was lost while a QoS 0 message was on its way: it may have arrived or not.
    #[error("the connection was lost while the message was on its way")]
    Lost,
    /// The client was closed, or gave up, before the message was complete. One of QoS 1 or 2 may have arrived. If it is in a
    /// [`store`](crate::store) the next process goes on with it.
    #[error("the client was closed")]
    Closed,
    /// The store has failed, and with it the client. Whether the message was kept is not known.
    #[error(transparent)]
    Store(StoreError),
}

impl From<TopicError> for PublishError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<std::convert::Infallible> for PublishError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why a subscription was not made or not ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The filter is not a topic filter.
    #[error("topic filter: {0}")]
    Filter(TopicError),
    /// No filter was given.
    #[error("no topic filter was given")]
    Empty,
    /// The server refused. MQTT 3.1.1 knows "unspecified error" only, MQTT 3.1 nothing at all.
    #[error("the server refused the subscription: {0}")]
    Refused(ReasonCode),
    /// The request cannot be written, most likely because it is larger than the server takes.
    #[error(transparent)]
    Encode(EncodeError),
    /// The client was closed, or gave up, before the server answered.
    #[error("the client was closed")]
    Closed,
}

impl From<TopicError> for SubscribeError {
    fn from(error: TopicError) -> Self {
        Self::Filter(error)
    }
}

impl From<std::convert::Infallible> for SubscribeError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// What was left behind by [`disconnect`](crate::Client::disconnect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The time was over before everything was acknowledged. The tickets of these messages say
    /// [`PublishError::Closed`].
    #[error("not complete when the time was over: {0}")]
    Unfinished(Leftover),
    /// The goodbye sets a Session Expiry Interval although that of CONNECT was zero, or absent: the session ends with its
    /// connection, and nothing can change that any more (MQTT 5.0, chapter 3.14.2.2.2). Nothing was done: the client goes
    /// on. [`Options::session_expiry`](crate::Options::session_expiry) sets that of CONNECT.
    #[error("a goodbye cannot set a session expiry of {seconds} s where CONNECT had none")]
    SessionExpiry {
        /// The interval, in seconds.
        seconds: u32,
    },
}

/// What was not complete at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Leftover {
    /// Messages of which nothing was sent, but perhaps a part of one of QoS 0.
    pub queued: usize,
    /// QoS 1 and 2 messages that a connection had taken, without an answer: they may have arrived.
    pub unacknowledged: usize,
    /// QoS 2 messages that the server had taken over; only PUBCOMP was missing.
    pub received: usize,
    /// Requests to subscribe or unsubscribe without an answer.
    pub requests: usize,
}

impl Leftover {
    /// How much there is altogether.
    pub fn len(&self) -> usize {
        self.queued + self.unacknowledged + self.received + self.requests
    }

    /// Whether all was complete.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queued, unacknowledged, received, requests } = self;
        write!(
            f,
            "{queued} queued, {unacknowledged} unacknowledged, {received} received, {requests} requests"
        )
    }
}

/// The peer's own words behind the reason, if it gave any.
struct Said<'a>(Option<&'a str>);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |text| write!(f, " ({text})"))
    }
}
