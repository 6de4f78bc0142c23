//! Asking the policy who a client is, when it comes and when it authenticates again. (4.12)
//!
//! ```text
//!   ask ──▶ poll_verdict ──▶ allow, renew or refuse
//!              │     ▲
//!       AUTH to the  AUTH of the
//!         client       client
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use mqttkit_codec::{Auth, AuthProperties, Binary, Connect, Disconnect, Instant, PacketType, ReasonCode};

use super::{Peer, Work};
use crate::policy::{Admission, BoxFuture, Client, ConnectRequest, Exchange, Refusal};

/// The policy thinks about a client.
pub(crate) type Asking = BoxFuture<'static, (Box<Connect>, Result<Admission, Refusal>)>;

impl Peer {
    /// Asks the policy about a client.
    pub(crate) fn ask(&self, connect: Box<Connect>) -> Option<Asking> {
        let policy = Arc::clone(self.rules.policy.as_ref()?);
        let info = Arc::clone(&self.info);
        let exchange = self.rare.as_ref().and_then(|rare| rare.exchange.clone());
        let current = self.client.clone().filter(|_| self.is_open());
        Some(Box::pin(async move {
            let mut request = ConnectRequest::new(&info, &connect);
            request.exchange = exchange.as_deref();
            request.current = current.as_deref();
            let verdict = policy.authenticate(request).await;
            (connect, verdict)
        }))
    }

    /// Lets the policy think, and does what it has come to. Returns whether anything happened. Not to be called under
    /// the lock.
    pub(crate) fn poll_verdict(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        asking: &mut Option<Box<Asking>>,
    ) -> bool {
        let Some(thinks) = asking else { return false };
        let Poll::Ready((connect, verdict)) = (**thinks).as_mut().poll(cx) else {
            return self.challenge(now);
        };
        *asking = None;
        let exchange = self.rare.as_mut().and_then(|rare| {
            rare.challenged = false;
            rare.exchange.take()
        });
        let ignored = exchange.as_ref().is_some_and(|exchange| !exchange.was_noticed());
        match verdict {
            // [MQTT-4.12.0-1]: nobody looked at the method, or whoever did has not decided by it: nobody supports it.
            Ok(admission) if ignored || (exchange.is_some() && admission.is_undecided()) => {
                self.refuse(now, &Refusal::new(ReasonCode::BadAuthenticationMethod));
            }
            Ok(admission) if self.is_open() => self.renew(now, admission),
            Ok(admission) => self.allow(now, connect, admission),
            Err(refusal) => {
                if matches!(refusal.reason(), ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized) {
                    self.rare().ban = self.rules.doorman.fails(now, self.address());
                }
                self.refuse(now, &refusal);
            }
        }
        true
    }

    /// A client comes in, or wants to authenticate again: ask about it, then [`allow`](Self::allow) or
    /// [`refuse`](Self::refuse) it.
    pub(crate) fn take_newcomer(&mut self) -> Option<Box<Connect>> {
        self.rare.as_mut()?.newcomer.take()
    }

    /// Begins an exchange if CONNECT asks for one. Returns whether that can be.
    pub(super) fn begin_exchange(&mut self, connect: &Connect) -> bool {
        let Some(method) = connect.properties.authentication_method() else { return true };
        // Not to pin what it was read into.
        let data = connect.properties.authentication_data().unwrap_or_default();
        let exchange = Exchange::new(method.detached(), Bytes::copy_from_slice(&data));
        self.rare().exchange = Some(Arc::new(exchange));
        self.rules.policy.is_some()
    }

    /// A step of the client.
    pub(super) fn on_auth(&mut self, auth: &Auth, work: &mut Vec<Work>) {
        let data = auth.properties.authentication_data().unwrap_or_default();
        let exchange = self.rare.as_ref().and_then(|rare| rare.exchange.clone());
        let fits = match (auth.reason, exchange, &self.client) {
            (ReasonCode::ContinueAuthentication, Some(exchange), _) => {
                self.rare().challenged = false;
                exchange.answer(Bytes::copy_from_slice(&data))
            }
            (ReasonCode::ReAuthenticate, None, Some(client)) if self.rules.policy.is_some() => {
                let mut connect = Connect::new(client.version(), client.client_id().clone());
                if let Some(method) = auth.properties.authentication_method() {
                    connect.properties = connect.properties.with_authentication_method(&method);
                }
                if !data.is_empty() {
                    connect.properties = connect.properties.with_authentication_data(&data);
                }
                self.begin_exchange(&connect);
                self.rare().newcomer = Some(Box::new(connect));
                true
            }
            _ => false,
        };
        if !fits {
            work.push(Work::Violation(ReasonCode::ProtocolError));
        }
    }

    /// Sends the client what the policy wants to ask it.
    fn challenge(&mut self, now: Instant) -> bool {
        let exchange = self.rare.as_ref().and_then(|rare| rare.exchange.as_ref());
        let Some(data) = exchange.and_then(|exchange| exchange.take_challenge()) else {
            return false;
        };
        self.rare().challenged = true;
        self.say(now, ReasonCode::ContinueAuthentication, Some(&data));
        true
    }

    /// The client has authenticated again.
    fn renew(&mut self, now: Instant, admission: Admission) {
        let last_word = admission.authentication_data.clone();
        if let Some(client) = &mut self.client {
            Arc::<Client>::make_mut(client).renew(admission);
            let valid_until = client.limits().valid_for.map(|valid| now + valid);
            let rare = self.rare();
            rare.valid_until = valid_until;
            rare.renewed = true;
        }
        self.say(now, ReasonCode::Success, last_word.as_ref());
    }

    fn say(&mut self, now: Instant, reason: ReasonCode, data: Option<&Bytes>) {
        let mut properties = AuthProperties::new();
        let data = data.filter(|data| !data.is_empty());
        let data = data.map(|data| Binary::try_from(data.clone())).transpose();
        if let Ok(Some(data)) = &data {
            properties = properties.with_authentication_data(data);
        }
        if data.is_err() || self.connection.auth(now, &Auth { reason, properties }).is_err() {
            // Larger than MQTT can say or the client takes: it cannot be authenticated.
            self.refuse(now, &Refusal::new(ReasonCode::PacketTooLarge));
        }
    }

    /// Ends the connection of a client that is in, with all there is to say about it.
    pub(super) fn dismiss(&mut self, now: Instant, refusal: &Refusal) {
        let reason = refusal.reason();
        let fits = reason.is_allowed_in(PacketType::Disconnect);
        let mut disconnect = Disconnect::new(if fits { reason } else { ReasonCode::NotAuthorized });
        if let Some(text) = refusal.text() {
            disconnect.properties = disconnect.properties.with_reason_string(text);
        }
        if let Some(server) = refusal.server() {
            disconnect.properties = disconnect.properties.with_server_reference(server);
        }
        self.connection.disconnect(now, &disconnect);
    }
}
