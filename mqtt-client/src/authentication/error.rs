//! What can go wrong with an enhanced authentication.

use mqttkit_ws_transport::BoxError;
use std::sync::Arc;
use std::time::Duration;

/// Why an enhanced authentication failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The authenticator gave up: the server did not prove what it should, perhaps.
    #[error("authentication: {0}")]
    Authenticator(Arc<dyn std::error::Error + Send + Sync>),
    /// The server accepted before the method was at its end.
    #[error("the server accepted before the authentication was complete")]
    AcceptedEarly,
    /// The server wants to know more than the method has to say.
    #[error("the server goes on when the authentication is complete")]
    ChallengedLate,
    /// The authenticator ended before it had said anything.
    #[error("the authenticator said nothing")]
    SaidNothing,
    /// It was not complete in time.
    #[error("the authentication was not complete after {after:?}")]
    TimedOut {
        /// The connect timeout.
        after: Duration,
    },
    /// There is no authenticator, see [`Options::authenticator`](crate::Options::authenticator).
    #[error("there is no authenticator")]
    NotSet,
    /// There is no connection now. The next one authenticates in any case.
    #[error("there is no connection")]
    NotConnected,
    /// The connection ended meanwhile: with a refusal, perhaps, which the events tell of.
    #[error("the connection ended before the authentication was complete")]
    ConnectionEnded,
}

impl AuthenticationError {
    /// Of an authenticator. One of ours that it passed on stays what it was.
    pub(crate) fn of(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::Authenticator(other.into()),
        }
    }
}
