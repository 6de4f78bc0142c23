//! `Policy`: who may connect, and what they may do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mqttkit_codec::{Connect, Message, ReasonCode, Str, Subscription, Version};
use mqttkit_ws_transport::PeerInfo;

/// A future in a box, so that a [`Policy`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides who may connect, and what they may do. By default everybody may do everything.
///
/// ```
/// use mqttkit_broker_core::{Action, BoxFuture, Client, ConnectRequest, Identity, Policy, ReasonCode, Refusal};
///
/// /// Guests may listen; whoever knows the password may speak.
/// struct Lectern;
///
/// impl Policy for Lectern {
///     fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Identity, Refusal>> {
///         Box::pin(async move {
///             match (&request.connect.user_name, &request.connect.password) {
///                 (None, None) => Ok(Identity::anonymous()),
///                 (Some(name), Some(password)) if **password == *b"secret" => Ok(Identity::named(name.as_str())),
///                 _ => Err(Refusal::new(ReasonCode::BadUserNameOrPassword)),
///             }
///         })
///     }
///
///     fn authorise(&self, client: &Client, action: &Action<'_>) -> Result<(), ReasonCode> {
///         match action {
///             Action::Publish(_) if client.identity().name().is_none() => Err(ReasonCode::NotAuthorized),
///             _ => Ok(()),
///         }
///     }
/// }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// Decides whether a client may connect, and as whom.
    ///
    /// It may wait for a database or another server, for up to
    /// [`Config::authenticate_timeout`](crate::Config::authenticate_timeout); only this client waits with it. The
    /// future is dropped when the client gives up.
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Identity, Refusal>> {
        let _ = request;
        Box::pin(std::future::ready(Ok(Identity::anonymous())))
    }

    /// Decides whether a client may publish a message, as its will too, or make a subscription.
    ///
    /// It is asked for every message, so it must be quick and must not block. The reason of a refusal is what an
    /// MQTT 5.0 client is told; one that does not fit the packet becomes
    /// [`NotAuthorized`](ReasonCode::NotAuthorized). A message that is refused is acknowledged and dropped.
    fn authorise(&self, client: &Client, action: &Action<'_>) -> Result<(), ReasonCode> {
        let _ = (client, action);
        Ok(())
    }
}

/// Somebody who wants to connect.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectRequest<'a> {
    /// Where from, with what certificate, through which HTTP request.
    pub peer: &'a PeerInfo,
    /// The CONNECT: client identifier, user name, password, properties.
    pub connect: &'a Connect,
}

impl<'a> ConnectRequest<'a> {
    pub(crate) fn new(peer: &'a PeerInfo, connect: &'a Connect) -> Self {
        Self { peer, connect }
    }
}

/// As whom a client is allowed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    name: Option<Box<str>>,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Somebody with a name: the user, the subject of a certificate.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.into()) }
    }

    /// The name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// Why a client is not allowed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: ReasonCode,
    text: Option<Str>,
}

impl Refusal {
    /// For this reason; one that is no failure of CONNACK is told as
    /// [`NotAuthorized`](ReasonCode::NotAuthorized). Older clients get the return code that says the same, as well
    /// as it can.
    pub fn new(reason: ReasonCode) -> Self {
        Self { reason, text: None }
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
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self::new(reason)
    }
}

/// A client that was allowed in.
#[derive(Clone, Debug)]
pub struct Client {
    id: Str,
    version: Version,
    identity: Identity,
    peer: Arc<PeerInfo>,
}

impl Client {
    pub(crate) fn new(connect: &Connect, identity: Identity, peer: Arc<PeerInfo>) -> Self {
        Self { id: connect.client_id.detached(), version: connect.version, identity, peer }
    }

    pub(crate) fn set_id(&mut self, client_id: Str) {
        self.id = client_id;
    }

    /// The client identifier; an assigned one if the client had none. For the will of such a client it is empty.
    pub fn client_id(&self) -> &Str {
        &self.id
    }

    /// The version it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// As whom it was allowed in.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it comes from.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Publish this message, now or as its will.
    Publish(&'a Message),
    /// Make this subscription.
    Subscribe(&'a Subscription),
}

/// Everybody may do everything. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {}

impl fmt::Debug for dyn Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policy")
    }
}
