//! When to connect again: a pure function from attempt, cause and seed to a delay.

use crate::error::{ConnectError, DisconnectCause};
use mqttkit_codec::ReasonCode;
use std::time::Duration;

/// How patient a client is between connections.
///
/// The wait before attempt *n* is `period` · 2ⁿ, at most `max`, of which a random half to whole is taken, so that
/// clients that lost the same server do not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// The wait before the first attempt. Zero: never connect again. Default 1 s.
    pub period: Duration,
    /// The longest wait. Also the wait after a refusal that another attempt will hardly change, such as a wrong
    /// password. Never less than `period`. Default 60 s.
    pub max: Duration,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self { period: Duration::from_secs(1), max: Duration::from_secs(60) }
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
    pub const NEVER: Self = Self { period: Duration::ZERO, max: Duration::ZERO };

    /// With this first wait and this longest one.
    pub fn new(period: Duration, max: Duration) -> Self {
        Self { period, max }
    }

    /// How long to wait before the next attempt; `None` is for ever.
    ///
    /// `attempt` counts the attempts that failed since the last connection that was of use, from 0. `seed` is any
    /// random number. Same arguments, same delay.
    pub fn delay(&self, attempt: u32, trouble: Trouble, seed: u64) -> Option<Duration> {
        if self.period.is_zero() {
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
        Some(full / 2 + (full / 2).mul_f64(unit(seed)))
    }
}

impl Trouble {
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

    const POLICY: ReconnectPolicy =
        ReconnectPolicy { period: Duration::from_secs(1), max: Duration::from_secs(60) };

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_half_of_it_is_random() {
        for attempt in [0, 1, 2, 3, 5, 6, 7, 31, 32, 64, u32::MAX] {
            let full = Duration::from_secs(1 << attempt.min(6)).min(Duration::from_secs(60));
            for seed in 0..200 {
                let delay = POLICY.delay(attempt, Trouble::Passing, seed).unwrap();
                assert!(delay >= full / 2 && delay <= full, "attempt {attempt}, seed {seed}: {delay:?}");
            }
        }
    }

    #[test]
    fn seeds_spread_the_waits() {
        let mut delays: Vec<_> =
            (0..100).map(|seed| POLICY.delay(4, Trouble::Passing, seed).unwrap()).collect();
        delays.sort_unstable();
        delays.dedup();
        assert_eq!(delays.len(), 100);
        assert!(delays[0] < Duration::from_millis(8_500) && delays[99] > Duration::from_millis(15_500));
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
    }
}
