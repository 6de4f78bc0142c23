//! What a policy answers: `Admission` or `Refusal` to a client, a `Decision` about what it does.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqttkit_codec::{ReasonCode, Str, TopicName};

use crate::rate::Rate;

/// As whom a client is allowed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    name: Option<Box<str>>,
    attributes: Vec<(Box<str>, Box<str>)>,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Somebody with a name: the user, the subject of a certificate.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.into()), attributes: Vec::new() }
    }

    /// With something else that is known: a role, a tenant, the claim of a token. A later value of a key replaces the
    /// earlier one.
    #[must_use]
    pub fn with_attribute(mut self, key: &str, value: &str) -> Self {
        self.attributes.retain(|(known, _)| &**known != key);
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// The name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// All attributes.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// How a client is allowed in: as whom, where, and within which limits.
///
/// An [`Identity`] becomes one, so that most policies need not name it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Admission {
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) mount_point: Option<Str>,
    pub(crate) client_id: Option<Str>,
    pub(crate) authentication_data: Option<Bytes>,
    pub(crate) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) undecided: bool,
}

impl Admission {
    /// Anonymous, everywhere, within the limits of the broker.
    pub(super) const EVERYBODYS: Self = Self {
        identity: Identity { name: None, attributes: Vec::new() },
        limits: Limits {
            valid_for: None,
            session_expiry: None,
            max_subscriptions: None,
            outbox_messages: None,
            outbox_bytes: None,
            message_rate: None,
            byte_rate: None,
        },
        mount_point: None,
        client_id: None,
        authentication_data: None,
        data: None,
        undecided: false,
    };

    /// For this client, everywhere, within the limits of the broker.
    pub fn new(identity: Identity) -> Self {
        Self { identity, ..Self::default() }
    }

    /// Anonymous, unless a later policy of a [`Chain`](super::Chain) knows better. Alone it lets everybody in.
    pub fn undecided() -> Self {
        Self { undecided: true, ..Self::default() }
    }

    /// With limits of its own.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Below this topic: all that the client publishes, subscribes to and receives, its will too, is put below the
    /// mount point without its knowing. `tenants/7` makes `a/b` to `tenants/7/a/b`. The policy itself sees the topics
    /// as the client names them.
    ///
    /// Client identifiers are those of the whole broker, whatever the mount point: who comes with the identifier of
    /// another takes its place. See [`with_client_id`](Self::with_client_id).
    #[must_use]
    pub fn with_mount_point(self, mount_point: &TopicName) -> Self {
        let path = format!("{}/", mount_point.as_str().trim_end_matches('/'));
        Self { mount_point: Str::try_from(path).ok(), ..self }
    }

    /// With the last word of an enhanced authentication.
    #[must_use]
    pub fn with_authentication_data(self, data: impl Into<Bytes>) -> Self {
        Self { authentication_data: Some(data.into()), ..self }
    }

    /// With a value of the policy's own that [`Client::data`](super::Client::data) gives back to
    /// [`authorise`](super::Policy::authorise): permissions that were read from a token, say.
    #[must_use]
    pub fn with_data<T: Any + Send + Sync>(self, data: T) -> Self {
        Self { data: Some(Arc::new(data)), ..self }
    }

    /// With another client identifier than it came with: its session, its events and [`Broker::kick`] know it by this.
    /// So clients of several tenants, say, can have identifiers that are the same, if the tenant is made a part of
    /// it. It must be the same for the same client, or the client does not find its session again. For a client that
    /// came without one, one is assigned all the same.
    ///
    /// [`Broker::kick`]: crate::Broker::kick
    #[must_use]
    pub fn with_client_id(self, client_id: Str) -> Self {
        Self { client_id: Some(client_id), ..self }
    }

    /// Whether it gives nothing that not everybody has.
    pub(super) fn is_everybodys(&self) -> bool {
        let everybodys = Self::EVERYBODYS;
        self.identity == everybodys.identity
            && self.limits == everybodys.limits
            && self.mount_point.is_none()
            && self.data.is_none()
    }

    pub(crate) fn is_undecided(&self) -> bool {
        self.undecided
    }

    /// As whom.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::EVERYBODYS
    }
}

impl From<Identity> for Admission {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("identity", &self.identity)
            .field("limits", &self.limits)
            .field("mount_point", &self.mount_point)
            .field("undecided", &self.undecided)
            .finish_non_exhaustive()
    }
}

/// Limits of one client. `None` leaves what [`Config`](crate::Config) says; more than that it cannot be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long it may stay connected without authenticating again, as long as its token is valid. Then an MQTT 5.0
    /// client is told 0xA0.
    pub valid_for: Option<Duration>,
    /// The longest time its session outlives its connection.
    pub session_expiry: Option<Duration>,
    /// Subscriptions of its session. One more is refused with 0x97.
    pub max_subscriptions: Option<usize>,
    /// Messages that wait for it while it is connected.
    pub outbox_messages: Option<usize>,
    /// Bytes that wait for it while it is connected.
    pub outbox_bytes: Option<usize>,
    /// Messages that it may publish. Beyond it the client is held back, as
    /// [`Config::message_rate`](crate::Config::message_rate) says.
    pub message_rate: Option<Rate>,
    /// Bytes that it may send, in the same way.
    pub byte_rate: Option<Rate>,
}

/// Why a client is not allowed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: ReasonCode,
    text: Option<Str>,
    server: Option<Str>,
    pub(super) undecided: bool,
}

impl Refusal {
    /// For this reason; one that is no failure of CONNACK is told as
    /// [`NotAuthorized`](ReasonCode::NotAuthorized). Older clients get the return code that says the same, as well
    /// as it can.
    pub fn new(reason: ReasonCode) -> Self {
        Self { reason, text: None, server: None, undecided: false }
    }

    /// The client is not known here: a later policy of a [`Chain`](super::Chain) may know it. Alone it is refused with
    /// [`BadUserNameOrPassword`](ReasonCode::BadUserNameOrPassword).
    pub fn unknown() -> Self {
        Self { undecided: true, ..Self::new(ReasonCode::BadUserNameOrPassword) }
    }

    /// The same of an authentication method, with
    /// [`BadAuthenticationMethod`](ReasonCode::BadAuthenticationMethod).
    pub fn unknown_method() -> Self {
        Self { undecided: true, ..Self::new(ReasonCode::BadAuthenticationMethod) }
    }

    /// The client is to go to another server: for now, or for good (`moved`). Text that MQTT cannot carry is left out,
    /// and so is the whole of it for clients older than MQTT 5.0.
    pub fn redirect(server: &str, moved: bool) -> Self {
        let reason = if moved { ReasonCode::ServerMoved } else { ReasonCode::UseAnotherServer };
        Self { server: Str::try_from(server).ok(), ..Self::new(reason) }
    }

    /// With a sentence for the logs of an MQTT 5.0 client. Text that MQTT cannot carry is left out.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self { text: Str::try_from(text).ok(), ..self }
    }

    /// The reason.
    pub fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// The sentence.
    pub fn text(&self) -> Option<&Str> {
        self.text.as_ref()
    }

    /// Where to go instead.
    pub fn server(&self) -> Option<&Str> {
        self.server.as_ref()
    }
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self::new(reason)
    }
}

/// Whether a client may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not. An MQTT 5.0 client is told the reason; one that does not fit the packet becomes
    /// [`NotAuthorized`](ReasonCode::NotAuthorized).
    Deny(ReasonCode),
    /// Says nothing about it: a later policy of a [`Chain`](super::Chain) may. Alone, or when nobody says anything, the
    /// client may.
    Undecided,
}

impl Decision {
    /// Denied with [`NotAuthorized`](ReasonCode::NotAuthorized).
    pub const NO: Self = Self::Deny(ReasonCode::NotAuthorized);
}

impl From<bool> for Decision {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::NO }
    }
}
