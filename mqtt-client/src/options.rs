//! `Options`: everything that can be said about a client before it connects.

mod connecting;

pub use connecting::Parts;

use crate::authentication::{Authenticator, Method};
use crate::connector::{Attempt, Recipe};
use crate::delivery::Delivery;
use crate::error::OptionsError;
use crate::inbox::SlowReader;
use crate::outbox::Load;
use crate::reconnect::ReconnectPolicy;
use crate::store::Store;
use bytes::Bytes;
use mqttkit_codec::{Binary, ClientConfig, Connect, ConnectProperties, QoS, Str, TopicName, Version, Will};
use mqttkit_ws_transport::http::header::{HeaderName, HeaderValue};
use mqttkit_ws_transport::{BoxError, ConnectOptions, Endpoint, Proxy, Target, UrlError};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// How to connect and how to behave.
///
/// A value that cannot be used is reported when connecting, so that the calls can be chained.
///
/// ```
/// use mqttkit_client::{Options, QoS, Version};
/// use std::time::Duration;
///
/// let options = Options::from_url("wss://user:secret@broker.example:8084/mqtt")?
///     .client_id("thermometer-7")
///     .version(Version::V311)
///     .clean_start(false)
///     .keep_alive(Duration::from_secs(30))
///     .last_will("status/thermometer-7", "offline", QoS::AtLeastOnce, true);
/// # drop(options);
/// # Ok::<(), mqttkit_client::OptionsError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    url: Result<Endpoint, UrlError>,
    /// Where to go when that fails.
    servers: Vec<Endpoint>,
    follow_redirects: bool,
    version_fallback: bool,
    resubscribe: bool,
    /// The first value that could not be taken.
    invalid: Option<Invalid>,
    connect: Connect,
    codec: ClientConfig,
    transport: ConnectOptions,
    recipe: Option<Recipe>,
    authentication: Option<Method>,
    connect_timeout: Duration,
    reconnect: ReconnectPolicy,
    send_queue: Load,
    receive_buffer: Load,
    max_in_flight: Option<usize>,
    disconnect_timeout: Duration,
    delivery: Delivery,
    slow_reader: SlowReader,
    manual_acknowledgement: bool,
    store: Option<Arc<dyn Store>>,
    /// The client identifier is not the random one.
    has_client_id: bool,
}

/// What the driver needs of the options.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) connect: Connect,
    pub(crate) codec: ClientConfig,
    pub(crate) authentication: Option<Method>,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) receive_buffer: Load,
    /// Default: what the version allows.
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) follow_redirects: bool,
    pub(crate) version_fallback: bool,
    pub(crate) resubscribe: bool,
    pub(crate) disconnect_timeout: Duration,
}

/// An [`OptionsError`] that can be cloned.
#[derive(Debug, Clone)]
enum Invalid {
    Text(&'static str, mqttkit_codec::TextError),
    WillTopic(mqttkit_codec::TopicError),
    Server(UrlError),
}

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

impl Options {
    /// For a URL: `mqtt://`, `mqtts://`, `ws://` or `wss://`. User name and password are taken from it.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        Ok(Self::new(url.parse()?))
    }

    /// For a URL that was parsed already.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_url(Ok(endpoint))
    }

    /// For a URL that may be wrong, which connecting will say.
    pub(crate) fn with_url(url: Result<Endpoint, UrlError>) -> Self {
        let (user_name, password) = match &url {
            Ok(endpoint) => (endpoint.username().map(str::to_owned), endpoint.password().map(str::to_owned)),
            Err(_) => (None, None),
        };
        let mut connect = Connect::new(Version::V5, Str::EMPTY);
        connect.keep_alive = 50;
        let mut codec = ClientConfig::default();
        codec.max_packet_size = 16 << 20;
        codec.receive_maximum = NonZeroU16::MIN.saturating_add(1023);
        codec.report_receipts = true;
        let mut options = Self {
            url,
            servers: Vec::new(),
            follow_redirects: false,
            version_fallback: false,
            resubscribe: true,
            invalid: None,
            connect,
            codec,
            transport: ConnectOptions::new(),
            recipe: None,
            authentication: None,
            connect_timeout: 30 * SECOND,
            reconnect: ReconnectPolicy::default(),
            send_queue: Load { entries: 1000, bytes: 32 * MIB },
            receive_buffer: Load { entries: 1000, bytes: 32 * MIB },
            max_in_flight: None,
            disconnect_timeout: 5 * SECOND,
            delivery: Delivery::new(),
            slow_reader: SlowReader::Wait,
            manual_acknowledgement: false,
            store: None,
            has_client_id: false,
        }
        .client_id(random_client_id());
        options.has_client_id = false;
        if let Some(user_name) = user_name {
            options = options.user_name(user_name);
        }
        if let Some(password) = password {
            options = options.password(password);
        }
        options
    }

    // ---- the session

    /// The client identifier; empty asks the server for one. Default `mqttkit-` and eight random digits.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        if let Some(id) = self.text("client identifier", id.into()) {
            self.has_client_id = !id.as_str().is_empty();
            self.connect.client_id = id;
        }
        self
    }

    /// The version to speak. Default 5.0.
    pub fn version(mut self, version: Version) -> Self {
        self.connect.version = version;
        self
    }

    /// Whether to try an older version when the server does not speak this one: 3.1.1 after 5.0, then 3.1. Default
    /// false.
    ///
    /// Tried at once, until the first connection is established, when the server refuses the version, answers
    /// with what is no answer in it, or ends the connection without an answer. What an older version cannot
    /// say is left out: properties, and with them the session expiry.
    pub fn version_fallback(mut self, fallback: bool) -> Self {
        self.version_fallback = fallback;
        self
    }

    /// Whether to begin without an old session. Default true.
    ///
    /// In MQTT 3 (Clean Session) true also means that the session ends with each connection: after a reconnect the
    /// client subscribes anew and publishes anew what was not acknowledged. In MQTT 5.0 it counts for the first
    /// connection; whether the session outlives a connection is [`session_expiry`](Self::session_expiry)'s matter.
    pub fn clean_start(mut self, clean: bool) -> Self {
        self.connect.clean_start = clean;
        self
    }

    /// How long the server keeps the session after a connection has ended, in whole seconds; from
    /// `u32::MAX` seconds on for ever. MQTT 5.0 only. Default zero.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self.connect.properties = self.connect.properties.with_session_expiry_interval(seconds);
        self
    }

    /// The longest silence before the client shows that it is alive, in whole seconds up to 18 hours; zero is never.
    /// Default 50 s, below the minute after which proxies cut idle sockets.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        // A part of a second must not become "never".
        let seconds = interval.as_secs().saturating_add(u64::from(interval.subsec_nanos() > 0));
        self.connect.keep_alive = u16::try_from(seconds).unwrap_or(u16::MAX);
        self
    }

    /// The user name. Default the one of the URL, if any.
    pub fn user_name(mut self, name: impl Into<String>) -> Self {
        self.connect.user_name = self.text("user name", name.into());
        self
    }

    /// The password. Default the one of the URL, if any. MQTT 3 demands a user name with it.
    pub fn password(mut self, password: impl Into<Bytes>) -> Self {
        match Binary::try_from(password.into()) {
            Ok(password) => self.connect.password = Some(password),
            Err(error) => self.invalid("password", error),
        }
        self
    }

    /// How to authenticate in rounds, MQTT 5.0: SCRAM, tokens, Kerberos. Default not at all.
    ///
    /// There is no [`version_fallback`](Self::version_fallback) then: an older version could not authenticate.
    ///
    /// It wins over an authentication method among the [`properties`](Self::properties).
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authentication = Some(Method::new(authenticator));
        self
    }

    /// What the server publishes when this client is gone without a goodbye.
    pub fn will(mut self, will: Will) -> Self {
        self.connect.will = Some(will);
        self
    }

    /// Like [`will`](Self::will), from its parts.
    pub fn last_will(mut self, topic: &str, payload: impl Into<Bytes>, qos: QoS, retain: bool) -> Self {
        match (TopicName::try_from(topic), Binary::try_from(payload.into())) {
            (Err(error), _) => {
                self.invalid.get_or_insert(Invalid::WillTopic(error));
            }
            (_, Err(error)) => self.invalid("payload of the will", error),
            (Ok(topic), Ok(payload)) => {
                self.connect.will = Some(Will { qos, retain, ..Will::new(topic, payload) });
            }
        }
        self
    }

    /// Changes the properties of CONNECT, MQTT 5.0: user properties, authentication and others. The limits have
    /// options of their own, which win.
    pub fn properties(mut self, change: impl FnOnce(ConnectProperties) -> ConnectProperties) -> Self {
        self.connect.properties = change(self.connect.properties);
        self
    }

    // ---- time

    /// The time for everything from resolving the name to CONNACK, for each attempt. Default 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may be silent after a ping. Default 10 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.codec.ping_timeout = timeout;
        self
    }

    /// The wait before the first attempt to connect again; `None` or zero is never. Default 1 s.
    ///
    /// See [`ReconnectPolicy`] for how it grows.
    pub fn reconnect_period(mut self, period: impl Into<Option<Duration>>) -> Self {
        self.reconnect.period = period.into().unwrap_or_default();
        self
    }

    /// How to wait between attempts to connect.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// Whether subscriptions are made again when the server has lost the session. Default true. Without it a stream of
    /// messages stays silent then, until the application, told by [`Event::Connected`](crate::Event::Connected),
    /// subscribes anew.
    pub fn resubscribe(mut self, resubscribe: bool) -> Self {
        self.resubscribe = resubscribe;
        self
    }

    /// How long [`Client::disconnect`](crate::Client::disconnect) waits for what is not acknowledged yet. Default 5 s.
    pub fn disconnect_timeout(mut self, timeout: Duration) -> Self {
        self.disconnect_timeout = timeout;
        self
    }

    // ---- bounds

    /// How many outgoing messages and requests may be incomplete at a time, queued and in flight together, and their
    /// size in bytes. When it is full [`Client::publish`](crate::Client::publish) waits. A message larger than the
    /// limit passes when it is
    /// alone. Default 1,000 and 32 MiB.
    pub fn send_queue(mut self, messages: usize, bytes: usize) -> Self {
        self.send_queue = Load { entries: messages, bytes };
        self
    }

    /// How outgoing messages are treated: time to live, priority, what happens at a full queue or without a
    /// connection. [`Client::publish_with`](crate::Client::publish_with) says it for one message.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// How many QoS 1 and 2 messages may be sent and not acknowledged. A small number also makes progress on a link
    /// that
    /// breaks often, where a large one sends the same again and again.
    ///
    /// Default 1,000 for MQTT 5.0, where the server's Receive Maximum holds besides, and 20 for MQTT 3, where a server
    /// cannot tell: it is what mosquitto takes by default, and 2.0.11 loses QoS 2 messages beyond it.
    pub fn max_in_flight(mut self, messages: NonZeroU16) -> Self {
        self.max_in_flight = Some(messages.get().into());
        self
    }

    /// How many incoming messages are held for [`Messages`](crate::Messages), and their size in bytes; up to twice as
    /// much where
    /// [`Messages`](crate::Messages) says so. Default 1,000 and 32 MiB.
    pub fn receive_buffer(mut self, messages: usize, bytes: usize) -> Self {
        self.receive_buffer = Load { entries: messages, bytes };
        self
    }

    /// What happens when [`Messages`](crate::Messages) is full. Default: the client stops reading, so that the server
    /// waits.
    pub fn slow_reader(mut self, slow_reader: SlowReader) -> Self {
        self.slow_reader = slow_reader;
        self
    }

    /// Whether what comes out of [`Messages`](crate::Messages) is acknowledged by the application, with the handle that
    /// [`Messages::recv_unacknowledged`](crate::Messages::recv_unacknowledged) gives;
    /// [`Messages::recv`](crate::Messages::recv) acknowledges by itself then. Otherwise a message is
    /// acknowledged when it is put in there. Streams have an option of their own. Default false.
    pub fn manual_acknowledgement(mut self, manual: bool) -> Self {
        self.manual_acknowledgement = manual;
        self
    }

    /// The largest packet taken, in bytes with its header. MQTT 5.0 servers are told and keep to it; an older one
    /// that sends a larger packet is disconnected. Default 16 MiB.
    pub fn max_packet_size(mut self, bytes: u32) -> Self {
        self.codec.max_packet_size = bytes;
        // Most servers put one packet into one WebSocket message.
        let limits = self.transport.limits.max_message_size(bytes as usize);
        self.transport.limits = limits;
        self
    }

    /// How many unacknowledged QoS 1 and 2 messages the server may send, MQTT 5.0. Default 1,024.
    pub fn receive_maximum(mut self, messages: NonZeroU16) -> Self {
        self.codec.receive_maximum = messages;
        self
    }

    /// The highest topic alias the server may use, MQTT 5.0; messages have their topics all the same. Default 0: none.
    pub fn topic_alias_maximum(mut self, aliases: u16) -> Self {
        self.codec.topic_alias_maximum = aliases;
        self
    }

    /// How many topic aliases this side uses, as far as the server allows: messages to the topics used last go without
    /// their names. Messages must not bring aliases of their own then. MQTT 5.0. Default 0: none.
    pub fn automatic_topic_aliases(mut self, aliases: u16) -> Self {
        self.codec.automatic_topic_aliases = aliases;
        self
    }

    // ---- the store

    /// Keeps messages of QoS 1 and 2 where they survive the process, so that the next one goes on with them: see
    /// [`store`](crate::store). Default: none; they survive connections only.
    ///
    /// It needs a session that lasts as long: a [`client_id`](Self::client_id) that is always the same,
    /// [`clean_start`](Self::clean_start) false, and in MQTT 5.0 a [`session_expiry`](Self::session_expiry) above zero.
    /// Otherwise connecting says [`OptionsError::StoreNeeds`].
    ///
    /// The store is opened, and read, when the client is made. That blocks. One client at a time can have it, also of those
    /// made from a clone of these options.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    // ---- the transport

    /// More servers, to be tried in turn when the one of the URL fails, without a wait before all have been tried. One
    /// whose URL names no user gets the user name and password of the first. A mistake is reported when connecting.
    ///
    /// ```
    /// use mqttkit_client::Options;
    ///
    /// let options = Options::from_url("mqtts://ann:secret@one.example")?
    ///     .servers(["mqtts://two.example", "wss://three.example:8084/mqtt"]);
    /// # drop(options);
    /// # Ok::<(), mqttkit_client::OptionsError>(())
    /// ```
    pub fn servers<'a>(mut self, urls: impl IntoIterator<Item = &'a str>) -> Self {
        for url in urls {
            match url.parse() {
                Ok(endpoint) => self.servers.push(endpoint),
                Err(error) => {
                    self.invalid.get_or_insert(Invalid::Server(error));
                }
            }
        }
        self
    }

    /// Whether to go where a server sends the client, MQTT 5.0: the reasons "use another server" and "server moved"
    /// with a
    /// Server Reference. Default false, since user name and password are shown there too.
    ///
    /// The reference is a URL, or a host with or without a port, which is reached with the scheme and path of the
    /// URL; the
    /// first of a list counts. From TLS it never leads to what is not. The first three of a row are followed at once,
    /// others after the wait of the [`ReconnectPolicy`]. After "use another server" the client comes back when that
    /// connection ends; "server moved" takes the place of the URL.
    pub fn follow_redirects(mut self, follow: bool) -> Self {
        self.follow_redirects = follow;
        self
    }

    /// A header in addition for the WebSocket upgrade, such as `Authorization`.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.transport = self.transport.header(name, value);
        self
    }

    /// The TLS configuration for `mqtts://` and `wss://`;
    /// [`ClientTls`](mqttkit_ws_transport::tls::ClientTls) makes one from PEM. Default: the usual roots.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: impl Into<Arc<mqttkit_ws_transport::rustls::ClientConfig>>) -> Self {
        self.transport = self.transport.tls(config);
        self
    }

    /// Everything else that the transport can be told.
    pub fn transport(mut self, change: impl FnOnce(ConnectOptions) -> ConnectOptions) -> Self {
        self.transport = change(self.transport);
        self
    }

    /// Through this proxy, HTTP or SOCKS5. Default none; [`transport`](Self::transport) can take it from the
    /// environment.
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.transport = self.transport.proxy(proxy);
        self
    }

    /// Asks `recipe` before every attempt to connect, within the connect timeout, where to and how: for signed URLs,
    /// tokens that expire, TLS identities that are renewed, several servers in turn.
    ///
    /// It gets what these options say and returns it changed. User name and password are those of the target's
    /// endpoint, when they differ from those of the URL given here; [`url`](Target::url) keeps them. An error of the
    /// recipe is an attempt that failed, and the recipe will be told of it. Since each attempt may be another, no
    /// refusal is taken for lasting (see [`Trouble`](crate::Trouble)).
    ///
    /// ```
    /// use mqttkit_client::Options;
    ///
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let options = Options::from_url("wss://eu.broker.example/mqtt")?.recipe(|attempt| async move {
    ///     // Every other attempt in another place, and always with a new token.
    ///     let target = match attempt.number % 2 {
    ///         0 => attempt.target.url("wss://us.broker.example/mqtt")?,
    ///         _ => attempt.target,
    ///     };
    ///     Ok(target.credentials("device-7", fresh_token().await?))
    /// });
    /// # drop(options);
    /// # Ok::<(), mqttkit_client::OptionsError>(())
    /// ```
    pub fn recipe<F, Fut>(mut self, recipe: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Target, BoxError>> + Send + 'static,
    {
        self.recipe = Some(Recipe::new(recipe));
        self
    }

    fn text(&mut self, option: &'static str, text: String) -> Option<Str> {
        match Str::try_from(text) {
            Ok(text) => Some(text),
            Err(error) => {
                self.invalid(option, error);
                None
            }
        }
    }

    fn invalid(&mut self, option: &'static str, error: mqttkit_codec::TextError) {
        self.invalid.get_or_insert(Invalid::Text(option, error));
    }
}

/// Different for each client, without a promise beyond that.
fn random_client_id() -> String {
    format!("mqttkit-{:08x}", random() as u32)
}

/// A number from the random keys of the standard library's hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let options = Options::from_url("ws://localhost:8083/mqtt").unwrap();
        assert_eq!(options.connect.version, Version::V5);
        assert!(options.connect.clean_start);
        assert_eq!(options.connect.keep_alive, 50);
        assert_eq!(options.codec.receive_maximum.get(), 1024);
        assert_eq!(options.connect.user_name, None);
        let id = options.connect.client_id.as_str();
        assert!(id.starts_with("mqttkit-") && id.len() == 16, "{id}");
        assert_ne!(options.connect.client_id, Options::from_url("ws://h").unwrap().connect.client_id);
    }

    #[test]
    fn credentials_come_from_the_url_and_options_win() {
        let options = Options::from_url("mqtt://ann:p%40ss@h").unwrap();
        assert_eq!(options.connect.user_name.as_deref(), Some("ann"));
        assert_eq!(options.connect.password.as_deref(), Some(&b"p@ss"[..]));
        let options = options.user_name("bob");
        assert_eq!(options.connect.user_name.as_deref(), Some("bob"));
    }

    #[test]
    fn durations_round_and_saturate() {
        let keep_alive = |d| Options::from_url("mqtt://h").unwrap().keep_alive(d).connect.keep_alive;
        assert_eq!(keep_alive(Duration::ZERO), 0);
        assert_eq!(keep_alive(Duration::from_millis(1)), 1);
        assert_eq!(keep_alive(Duration::from_secs(60)), 60);
        assert_eq!(keep_alive(Duration::MAX), u16::MAX);
        let expiry = |d| {
            Options::from_url("mqtt://h")
                .unwrap()
                .session_expiry(d)
                .connect
                .properties
                .session_expiry_interval()
        };
        assert_eq!(expiry(Duration::MAX), Some(u32::MAX));
        assert_eq!(expiry(Duration::from_secs(3)), Some(3));
    }
}
