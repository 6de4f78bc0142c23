//! The enhanced authentication of one connection: between the codec, the authenticator and those who ask for it again.

use crate::authentication::{AuthenticationError, Method, Occasion, Progress, Reply, Running};
use crate::shared::Asker;
use bytes::Bytes;
use mqttkit_codec::{Auth, AuthProperties, Binary, Instant, ReasonCode};
use std::task::{Context, Poll};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Authentication {
    method: Method,
    /// What is going on, and when it must be over.
    running: Option<(Running, Instant)>,
    timeout: Duration,
    askers: Vec<Asker>,
}

impl Authentication {
    /// One that CONNECT has begun.
    pub(super) fn new(method: Method, running: Running, deadline: Instant, timeout: Duration) -> Self {
        Self { method, running: Some((running, deadline)), timeout, askers: Vec::new() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.as_ref().map(|&(_, deadline)| deadline)
    }

    /// Begins again, unless that is going on.
    pub(super) fn again(&mut self, now: Instant, askers: impl IntoIterator<Item = Asker>) {
        self.askers.extend(askers);
        self.running.get_or_insert_with(|| (self.method.begin(Occasion::Again), now + self.timeout));
    }

    /// The server has accepted the connection.
    pub(super) fn accepted(&mut self, data: Option<Binary>) -> Result<(), AuthenticationError> {
        self.hear(Reply::Accepted(bytes(data)))
    }

    /// The server has sent an AUTH.
    pub(super) fn received(&mut self, auth: &Auth) -> Result<(), AuthenticationError> {
        let data = bytes(auth.properties.authentication_data());
        self.hear(match auth.reason {
            ReasonCode::Success => Reply::Accepted(data),
            _ => Reply::Challenge(data),
        })
    }

    fn hear(&mut self, reply: Reply) -> Result<(), AuthenticationError> {
        let Some((running, _)) = &mut self.running else { return Err(AuthenticationError::ChallengedLate) };
        running.hear(reply)
    }

    /// The next AUTH to send; `None` when the authentication is complete.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Result<Option<Auth>, AuthenticationError>> {
        let Some((running, deadline)) = &mut self.running else { return Poll::Pending };
        match running.poll(cx) {
            Poll::Pending if now >= *deadline => {
                Poll::Ready(Err(AuthenticationError::TimedOut { after: self.timeout }))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(Progress::Say(data))) => {
                let again = running.is_first() && running.occasion() == Occasion::Again;
                let reason =
                    if again { ReasonCode::ReAuthenticate } else { ReasonCode::ContinueAuthentication };
                Poll::Ready(auth(reason, data).map(Some))
            }
            Poll::Ready(Ok(Progress::Satisfied)) => {
                self.running = None;
                self.askers.drain(..).for_each(|asker| asker.resolve(Ok(())));
                Poll::Ready(Ok(None))
            }
        }
    }

    /// It has failed.
    pub(super) fn fail(&mut self, error: &AuthenticationError) {
        self.running = None;
        self.askers.drain(..).for_each(|asker| asker.resolve(Err(error.clone())));
    }
}

fn auth(reason: ReasonCode, data: Bytes) -> Result<Auth, AuthenticationError> {
    let properties = match data_property(data)? {
        Some(data) => AuthProperties::new().with_authentication_data(&data),
        None => AuthProperties::new(),
    };
    Ok(Auth { reason, properties })
}

/// Data as a packet holds it: up to 65,535 bytes, or none.
pub(super) fn data_property(data: Bytes) -> Result<Option<Binary>, AuthenticationError> {
    if data.is_empty() {
        return Ok(None);
    }
    Binary::try_from(data).map(Some).map_err(|error| AuthenticationError::of(error.into()))
}

fn bytes(data: Option<Binary>) -> Bytes {
    data.map(Binary::into_bytes).unwrap_or_default()
}
