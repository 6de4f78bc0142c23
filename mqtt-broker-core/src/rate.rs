//! `Rate`: how often something may happen.

use std::num::NonZeroU32;
use std::time::Duration;

use mqttkit_codec::Instant;

/// How often something may happen: so many times per second in the long run, and so many at once after a pause.
///
/// ```
/// use mqttkit_broker_core::{Config, Rate};
///
/// let mut config = Config::default();
/// // A hundred messages per second from each client, after a pause a thousand at once.
/// config.message_rate = Some(Rate::per_second(100).with_burst(1_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// So many per second, and as many at once. No rate is lower than one per second.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        let count = at_least_one(count);
        Self { per_second: count, burst: count }
    }

    /// The same with so many at once, at least one.
    #[must_use]
    pub const fn with_burst(self, burst: u32) -> Self {
        Self { burst: at_least_one(burst), ..self }
    }

    /// How many per second.
    pub const fn count(&self) -> u32 {
        self.per_second.get()
    }

    /// How many at once.
    pub const fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// The stricter of two, in both respects.
    pub(crate) fn stricter(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self { per_second: self.per_second.min(other.per_second), burst: self.burst.min(other.burst) }
    }

    /// All that must be remembered is when the whole burst is to be had again. Something happens `amount` times:
    /// that time moves.
    pub(crate) fn spend(self, full_at: Instant, now: Instant, amount: usize) -> Instant {
        full_at.max(now) + self.time_for(amount as u64)
    }

    /// From when on there is room for one more.
    pub(crate) fn free_at(self, full_at: Instant) -> Instant {
        let rest = self.time_for(u64::from(self.burst.get() - 1));
        Instant::new(full_at.since_origin().saturating_sub(rest))
    }

    fn time_for(self, amount: u64) -> Duration {
        const SECOND: u128 = 1_000_000_000;
        let nanos = u128::from(amount) * SECOND / u128::from(self.per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `tries`, one each `every` milliseconds, are let through.
    fn passes(rate: Rate, every: u64, tries: u64) -> usize {
        let mut full_at = Instant::ZERO;
        (0..tries)
            .filter(|number| {
                let now = Instant::new(Duration::from_secs(100) + Duration::from_millis(number * every));
                let free = rate.free_at(full_at) <= now;
                if free {
                    full_at = rate.spend(full_at, now, 1);
                }
                free
            })
            .count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        assert_eq!(passes(Rate::per_second(10), 0, 100), 10);
        assert_eq!(passes(Rate::per_second(10).with_burst(1), 0, 100), 1);
        assert_eq!(passes(Rate::per_second(10).with_burst(1), 100, 100), 100);
        assert_eq!(passes(Rate::per_second(10).with_burst(1), 50, 100), 50);
        assert_eq!(passes(Rate::per_second(10), 10, 1_000), 109, "ten at once and ten in each second");
        assert_eq!(passes(Rate::per_second(0).with_burst(0), 1_000, 10), 10);
    }

    #[test]
    fn what_was_too_much_is_a_debt() {
        let rate = Rate::per_second(1_000);
        let now = Instant::new(Duration::from_secs(5));
        let full_at = rate.spend(Instant::ZERO, now, 3_000);
        assert_eq!(rate.free_at(full_at) - now, Duration::from_millis(2_001));
    }
}
