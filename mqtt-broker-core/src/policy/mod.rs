//! `Policy`: who may connect, and what they may do.

mod acl;
mod certificate;
mod chain;
mod client;
#[cfg(feature = "passwords")]
mod password;
mod place;
mod replaceable;
mod request;
mod verdict;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use mqttkit_codec::{TopicFilter, TopicName};

pub use acl::{Acl, AclError, AclProblem};
pub use certificate::{CertificateIdentity, CertificateName};
pub use chain::Chain;
pub use client::{Action, Client};
#[cfg(feature = "passwords")]
pub use password::{Job, PasswordError, PasswordFile, hash_password, set_password};
pub(crate) use place::{mounted_filter, mounted_topic, unmounted_topic};
pub use replaceable::Replaceable;
pub use request::{ConnectRequest, Exchange};
pub use verdict::{Admission, Decision, Identity, Limits, Refusal};

/// A future in a box, so that a [`Policy`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides who may connect, and what they may do. By default everybody may do everything.
///
/// ```
/// use mqttkit_broker_core::{Action, Admission, BoxFuture, Client, ConnectRequest, Decision, Identity, Policy};
/// use mqttkit_broker_core::{ReasonCode, Refusal};
///
/// /// Guests may listen; whoever knows the password may speak.
/// struct Lectern;
///
/// impl Policy for Lectern {
///     fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
///         Box::pin(async move {
///             match (&request.connect.user_name, &request.connect.password) {
///                 (None, None) => Ok(Identity::anonymous().into()),
///                 (Some(name), Some(password)) if **password == *b"secret" => Ok(Identity::named(name).into()),
///                 _ => Err(Refusal::new(ReasonCode::BadUserNameOrPassword)),
///             }
///         })
///     }
///
///     fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
///         match action {
///             Action::Publish(_) => Decision::from(client.identity().name().is_some()),
///             _ => Decision::Allow,
///         }
///     }
/// }
/// ```
///
/// # Why it is shaped like this
///
/// Who a client is may have to be asked of a database, another server or, round by round, the client itself, so
/// [`authenticate`](Self::authenticate) is asynchronous. What a client may do is asked for every message, and a
/// message that waits holds up all that follow it, so [`authorise`](Self::authorise) is not. What it needs to know is
/// found out once: permissions out of a token's claims, or of another server's answer, travel with the client as
/// [attributes](Identity::with_attribute) or as a value of the policy's own type ([`Admission::with_data`]), and are
/// good for as long as the policy says ([`Limits::valid_for`]). That is all that tokens and callbacks need. The types
/// of all answers are `#[non_exhaustive]` or opaque, so that there can be more answers without another trait.
pub trait Policy: Send + Sync + 'static {
    /// Decides whether a client may connect, as whom and within which limits.
    ///
    /// It may wait for a database, another server or the client ([`Exchange::challenge`]), for up to
    /// [`Config::authenticate_timeout`](crate::Config::authenticate_timeout); only this client waits with it. The
    /// future is dropped when the client gives up. It runs on the client's task: work that takes long goes elsewhere.
    ///
    /// An MQTT 5.0 client with an authentication method may authenticate again while it is connected; then
    /// [`ConnectRequest::current`] says who it is, and a refusal disconnects it.
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = match request.exchange {
            None => Ok(Admission::undecided()),
            Some(_) => Err(Refusal::unknown_method()),
        };
        Box::pin(std::future::ready(verdict))
    }

    /// Decides whether a client may publish a message, as its will too, or make a subscription: each filter of a
    /// SUBSCRIBE has its own decision.
    ///
    /// It is asked for every message, so it must be quick and must not block. A message that is refused is
    /// acknowledged and dropped.
    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        let _ = (client, action);
        Decision::Undecided
    }

    /// Another topic for a message that a client publishes, or its will; `None` leaves it. The new topic is what
    /// [`authorise`](Self::authorise) and the receivers see. Must be as quick.
    fn rewrite_topic(&self, client: &Client, topic: &TopicName) -> Option<TopicName> {
        let _ = (client, topic);
        None
    }

    /// Another filter for what a client subscribes to or unsubscribes from; `None` leaves it. It must always be the
    /// same for the same filter, or the client cannot unsubscribe.
    fn rewrite_filter(&self, client: &Client, filter: &TopicFilter) -> Option<TopicFilter> {
        let _ = (client, filter);
        None
    }
}

/// Everybody may do everything. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        let verdict = if request.exchange.is_some() {
            Err(Refusal::unknown_method())
        } else {
            let name = request.connect.user_name.as_ref();
            Ok(name.map_or_else(Identity::anonymous, |name| Identity::named(name)).into())
        };
        Box::pin(std::future::ready(verdict))
    }

    fn authorise(&self, _: &Client, _: &Action<'_>) -> Decision {
        Decision::Allow
    }
}

impl fmt::Debug for dyn Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policy")
    }
}
