//! When to connect again: a pure function from attempt, cause and seed to a delay.

use crate::connector::Failure;
use crate::error::{ConnectError, DisconnectCause};
use mqttkit_codec::ReasonCode;
use std::time::Duration;

/// How patient a client is between connections.
///
/// The wait before attempt *n* is `period` · 2ⁿ, at most `max`, of which a random part is taken, so that clients that lost
/// the same server do not come back in step.
///
/// ```
/// use mqttkit_client::{GiveUp, ReconnectPolicy};
/// use std::time::Duration;
///
/// let policy = ReconnectPolicy::new(Duration::from_millis(200), Duration::from_secs(30))
///     .max_attempts(10)
///     .give_up(GiveUp::OnLasting);
/// # drop(policy);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// The wait before the first attempt. Zero: never connect again. Default 1 s.
    pub period: Duration,
    /// The longest wait. Also the wait after a refusal that another attempt will hardly change, such as a wrong
    /// password. Never less than `period`. Default 60 s.
    pub max: Duration,
    /// How much of the wait is random. Default: all of it.
    pub jitter: Jitter,
    /// After so many attempts in a row that failed the client ends. A server that lets nothing through counts, one that
    /// was of use begins anew. Default: no limit.
    pub max_attempts: Option<u32>,
    /// Which refusals end the client. Default: none.
    pub give_up: GiveUp,
}

/// How much of a wait is random. After a refusal by a server that is busy, or for a lasting cause, it is the half at most,
/// whatever this says: such a client shall not come back at once by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Jitter {
    /// From nothing to the whole wait: what spreads best.
    #[default]
    Full,
    /// From the half of it to the whole.
    Half,
    /// Always the whole wait.
    None,
}

/// Which refusals end the client, as if it had been told never to connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GiveUp {
    /// None.
    #[default]
    Never,
    /// Those that only a human changes ([`Trouble::Lasting`]), in CONNACK or DISCONNECT.
    OnLasting,
    /// Those, and every other CONNACK with an error.
    OnRefusal,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(60))
    }
}

/// What made another attempt necessary, as far as it matters for the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The network or the server failed, which may pass soon.
    Passing,
    /// The server is overloaded or does not want this client for a while: the first wait is already four times longer.
    Busy,
    /// The server refused for a cause that only a human changes, or another client uses the same identifier: every
    /// wait is the longest one.
    Lasting,
}

impl ReconnectPolicy {
    /// A policy that never connects again.
    pub const NEVER: Self = Self::new(Duration::ZERO, Duration::ZERO);

    /// With this first wait and this longest one.
    pub const fn new(period: Duration, max: Duration) -> Self {
        Self { period, max, jitter: Jitter::Full, max_attempts: None, give_up: GiveUp::Never }
    }

    /// With this [`jitter`](Self::jitter).
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// With this [`max_attempts`](Self::max_attempts).
    #[must_use]
    pub fn max_attempts(self, attempts: u32) -> Self {
        Self { max_attempts: Some(attempts), ..self }
    }

    /// With this [`give_up`](Self::give_up).
    #[must_use]
    pub fn give_up(self, give_up: GiveUp) -> Self {
        Self { give_up, ..self }
    }

    /// How long to wait after this failure; `None` is for ever. As [`delay`](Self::delay), with what `give_up` says of
    /// refusals.
    pub fn after(&self, failure: &Failure, attempt: u32, seed: u64) -> Option<Duration> {
        if self.ends_by(failure) { None } else { self.delay(attempt, Trouble::of(failure), seed) }
    }

    /// Whether it is a refusal of a kind that ends the client, whatever its cause.
    pub(crate) fn ends_by(&self, failure: &Failure) -> bool {
        let is_refusal = matches!(failure, Failure::Connect(error) if error.reason().is_some());
        is_refusal && self.give_up == GiveUp::OnRefusal
    }

    /// How long to wait before the next attempt; `None` is for ever.
    ///
    /// `attempt` counts the attempts that failed since the last connection that was of use, from 0. `seed` is any
    /// random number. Same arguments, same delay.
    pub fn delay(&self, attempt: u32, trouble: Trouble, seed: u64) -> Option<Duration> {
        let gives_up = trouble == Trouble::Lasting && self.give_up != GiveUp::Never;
        if self.period.is_zero() || gives_up || self.max_attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        let max = self.max.max(self.period);
        let exponent = match trouble {
            Trouble::Passing => attempt,
            Trouble::Busy => attempt.saturating_add(2),
            Trouble::Lasting => u32::MAX,
        };
        let factor = 1u32.checked_shl(exponent).unwrap_or(u32::MAX);
        let full = if exponent > 31 { max } else { self.period.saturating_mul(factor).min(max) };
        let random = match (self.jitter, trouble) {
            (Jitter::None, _) => Duration::ZERO,
            (Jitter::Full, Trouble::Passing) => full,
            _ => full / 2,
        };
        Some(full.saturating_sub(random) + random.mul_f64(unit(seed)))
    }
}

impl Trouble {
    /// Sorts what made another attempt necessary.
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Connect(error) => Self::of_attempt(error),
            Failure::Disconnected(cause) => Self::of_end(cause),
        }
    }

    /// Sorts a failed attempt.
    pub fn of_attempt(error: &ConnectError) -> Self {
        match error {
            ConnectError::Refused { connack, .. } => Self::of_reason(connack.reason),
            ConnectError::Options(_) => Self::Lasting,
            ConnectError::Disconnected(cause) => Self::of_end(cause),
            _ => Self::Passing,
        }
    }

    /// Sorts the end of a connection.
    pub fn of_end(cause: &DisconnectCause) -> Self {
        match cause {
            DisconnectCause::Server(disconnect) => Self::of_reason(disconnect.reason),
            _ => Self::Passing,
        }
    }

    /// Sorts what the server says.
    pub fn of_reason(reason: ReasonCode) -> Self {
        use ReasonCode as R;
        match reason {
            R::UnsupportedProtocolVersion
            | R::ClientIdentifierNotValid
            | R::BadUserNameOrPassword
            | R::NotAuthorized
            | R::Banned
            | R::BadAuthenticationMethod
            | R::AdministrativeAction
            // Coming back at once would only throw the other client out, which then does the same.
            | R::SessionTakenOver
            | R::UseAnotherServer
            | R::ServerMoved => Self::Lasting,
            R::ServerUnavailable
            | R::ServerBusy
            | R::QuotaExceeded
            | R::MessageRateTooHigh
            | R::ConnectionRateExceeded => Self::Busy,
            _ => Self::Passing,
        }
    }
}

/// A number from 0 to 1 that looks random, from any seed.
fn unit(seed: u64) -> f64 {
    // The finaliser of splitmix64.
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    f64::from((z >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ReconnectPolicy = ReconnectPolicy::new(Duration::from_secs(1), Duration::from_secs(60));

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_as_much_of_it_is_random_as_wanted() {
        for (jitter, least) in [(Jitter::Full, 0.0), (Jitter::Half, 0.5), (Jitter::None, 1.0)] {
            let policy = POLICY.jitter(jitter);
            for attempt in [0, 1, 2, 3, 5, 6, 7, 31, 32, 64, u32::MAX] {
                let full = Duration::from_secs(1 << attempt.min(6)).min(Duration::from_secs(60));
                let (mut low, mut high) = (full, Duration::ZERO);
                for seed in 0..200 {
                    let delay = policy.delay(attempt, Trouble::Passing, seed).unwrap();
                    assert!(
                        delay >= full.mul_f64(least) && delay <= full,
                        "{attempt}, seed {seed}: {delay:?}"
                    );
                    (low, high) = (low.min(delay), high.max(delay));
                }
                assert!(low <= full.mul_f64(least + 0.05) && high >= full.mul_f64(0.95), "it is all used");
            }
        }
    }

    #[test]
    fn it_gives_up_when_it_shall() {
        let patient = POLICY.max_attempts(3);
        assert!(patient.delay(2, Trouble::Passing, 1).is_some());
        assert!(patient.delay(3, Trouble::Passing, 1).is_none());
        let failure = |reason| {
            let connack = Box::new(mqttkit_codec::ConnAck::refused(reason));
            Failure::Connect(std::sync::Arc::new(ConnectError::Refused { connack, text: None }))
        };
        let (wrong, busy) = (failure(ReasonCode::BadUserNameOrPassword), failure(ReasonCode::ServerBusy));
        let passing = Failure::Disconnected(std::sync::Arc::new(DisconnectCause::Ended));
        for (give_up, expected) in [
            (GiveUp::Never, [true, true, true]),
            (GiveUp::OnLasting, [false, true, true]),
            (GiveUp::OnRefusal, [false, false, true]),
        ] {
            let policy = POLICY.give_up(give_up);
            let goes_on = [&wrong, &busy, &passing].map(|failure| policy.after(failure, 0, 1).is_some());
            assert_eq!(goes_on, expected, "{give_up:?}");
        }
    }

    #[test]
    fn seeds_spread_the_waits() {
        let mut delays: Vec<_> =
            (0..100).map(|seed| POLICY.delay(4, Trouble::Passing, seed).unwrap()).collect();
        delays.sort_unstable();
        delays.dedup();
        assert_eq!(delays.len(), 100);
        assert!(delays[0] < Duration::from_millis(800) && delays[99] > Duration::from_millis(15_200));
    }

    #[test]
    fn a_wrong_password_does_not_hammer() {
        for reason in
            [ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized, ReasonCode::SessionTakenOver]
        {
            let delay = POLICY.delay(0, Trouble::of_reason(reason), 7).unwrap();
            assert!(delay >= Duration::from_secs(30), "{reason}: {delay:?}");
        }
        let busy = POLICY.delay(0, Trouble::of_reason(ReasonCode::ServerBusy), 7).unwrap();
        assert!(busy >= Duration::from_secs(2) && busy <= Duration::from_secs(4));
    }

    #[test]
    fn a_period_of_zero_never_connects_again() {
        assert_eq!(ReconnectPolicy::NEVER.delay(0, Trouble::Passing, 1), None);
        assert_eq!(ReconnectPolicy::new(Duration::ZERO, Duration::MAX).delay(9, Trouble::Lasting, 1), None);
    }

    #[test]
    fn odd_values_saturate() {
        let policy = ReconnectPolicy::new(Duration::MAX, Duration::ZERO);
        assert!(policy.delay(u32::MAX, Trouble::Busy, u64::MAX).unwrap() >= Duration::MAX / 3);
        assert!(policy.delay(u32::MAX, Trouble::Passing, u64::MAX).unwrap() <= Duration::MAX);
    }
}
