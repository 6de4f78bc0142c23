//! `ConnectRequest`: somebody who wants in, and `Exchange`: what more can be asked of them.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use mqttkit_codec::{Connect, Str};
use mqttkit_ws_transport::PeerInfo;

use super::Client;

/// Somebody who wants to connect, or who is in and authenticates again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectRequest<'a> {
    /// Where from, with what certificate, through which HTTP request.
    pub peer: &'a PeerInfo,
    /// The CONNECT: client identifier, user name, password, properties. When a client authenticates again it has the
    /// client identifier and the authentication method, and nothing else.
    pub connect: &'a Connect,
    /// The enhanced authentication of MQTT 5.0, if the client began one. A policy that does not know the
    /// [method](Exchange::method) refuses with
    /// [`BadAuthenticationMethod`](mqttkit_codec::ReasonCode::BadAuthenticationMethod); for one that does not look at the
    /// exchange at all, that is done.
    pub exchange: Option<&'a Exchange>,
    /// Who the client is, when it authenticates again.
    pub current: Option<&'a Client>,
}

impl<'a> ConnectRequest<'a> {
    /// A first authentication without an exchange, as for a test of a policy.
    pub fn new(peer: &'a PeerInfo, connect: &'a Connect) -> Self {
        Self { peer, connect, exchange: None, current: None }
    }

    /// With an enhanced authentication.
    #[must_use]
    pub fn with_exchange(self, exchange: &'a Exchange) -> Self {
        Self { exchange: Some(exchange), ..self }
    }

    /// Of a client that is in already.
    #[must_use]
    pub fn with_current(self, current: &'a Client) -> Self {
        Self { current: Some(current), ..self }
    }
}

/// The rounds of an enhanced authentication, such as SCRAM or Kerberos. (4.12)
///
/// ```text
///   client                            policy
///     CONNECT or AUTH, method, data ──▶ authenticate begins: data()
///     AUTH 0x18, data ◀──────────────── challenge(data)
///     AUTH 0x18, data ────────────────▶ … .await
///     CONNACK or AUTH 0x00 ◀─────────── Ok(Admission::…with_authentication_data(…))
/// ```
///
/// What is known between the rounds lives in the variables of the policy's future.
#[derive(Debug)]
pub struct Exchange {
    method: Str,
    data: Bytes,
    rounds: Mutex<Rounds>,
    /// The policy has looked at it.
    noticed: AtomicBool,
}

#[derive(Debug, Default)]
struct Rounds {
    /// Asked by the policy and not yet sent.
    challenge: Option<Bytes>,
    /// The client owes an answer.
    asked: bool,
    answer: Option<Bytes>,
    waker: Option<Waker>,
}

impl Exchange {
    /// Begun by a client with this method and data.
    pub fn new(method: Str, data: Bytes) -> Self {
        Self { method, data, rounds: Mutex::default(), noticed: AtomicBool::new(false) }
    }

    /// The name of the method.
    pub fn method(&self) -> &Str {
        self.noticed.store(true, Ordering::Relaxed);
        &self.method
    }

    /// The data that the client began with; empty if it sent none.
    pub fn data(&self) -> &Bytes {
        self.noticed.store(true, Ordering::Relaxed);
        &self.data
    }

    /// Sends `data` to the client and waits for its answer, which is empty if it has no data. It waits no longer than
    /// the whole authentication may take; when the client leaves, the policy's future is dropped.
    ///
    /// One at a time. Cancel-safe, but for the question that is on its way.
    pub async fn challenge(&self, data: impl Into<Bytes>) -> Bytes {
        {
            let mut rounds = self.lock();
            self.noticed.store(true, Ordering::Relaxed);
            rounds.challenge = Some(data.into());
            rounds.asked = true;
            rounds.answer = None;
        }
        poll_fn(|cx| {
            let mut rounds = self.lock();
            if let Some(answer) = rounds.answer.take() {
                return Poll::Ready(answer);
            }
            rounds.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether the policy has looked at it. One that has not cannot have authenticated anybody by it.
    pub(crate) fn was_noticed(&self) -> bool {
        self.noticed.load(Ordering::Relaxed)
    }

    /// Another policy is asked: it has not looked at it yet.
    pub(crate) fn forget_notice(&self) {
        self.noticed.store(false, Ordering::Relaxed);
    }

    /// What is to be sent to the client. For the connection, after it has polled the policy.
    pub(crate) fn take_challenge(&self) -> Option<Bytes> {
        self.lock().challenge.take()
    }

    /// The client has answered. Returns false if it was not asked, which is a violation.
    pub(crate) fn answer(&self, data: Bytes) -> bool {
        let mut rounds = self.lock();
        if !rounds.asked || rounds.challenge.is_some() {
            return false;
        }
        rounds.asked = false;
        rounds.answer = Some(data);
        let waker = rounds.waker.take();
        drop(rounds);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn a_challenge_is_sent_once_and_its_answer_taken_once() {
        let exchange = Exchange::new(Str::try_from("SCRAM").unwrap(), Bytes::from_static(b"first"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!exchange.answer(Bytes::new()), "nobody asked");
        let mut asking = pin!(exchange.challenge("nonce"));
        assert!(asking.as_mut().poll(&mut cx).is_pending());
        assert!(!exchange.answer(Bytes::new()), "not sent yet");
        assert_eq!(exchange.take_challenge(), Some(Bytes::from_static(b"nonce")));
        assert_eq!(exchange.take_challenge(), None);
        assert!(exchange.answer(Bytes::from_static(b"proof")));
        assert!(!exchange.answer(Bytes::from_static(b"again")));
        assert_eq!(asking.as_mut().poll(&mut cx), Poll::Ready(Bytes::from_static(b"proof")));
    }
}
