//! `Alarms`: when a member of the house is to be woken though nothing has come for it.
//!
//! One list for all, which the keeper looks after, instead of a timer of the runtime for each: an idle connection has four
//! bytes here. Times are rounded up by less than a 64th of the wait, so that those that wait long are woken together. An
//! entry is never taken back. Whoever is woken for nothing looks at the clock, and sets another.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttkit_codec::Instant;

#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Members by the millisecond in which they are woken.
    rings: BTreeMap<u64, Vec<u32>>,
}

/// Nothing is noted for longer, or members that are gone would leave something behind.
const HORIZON: u64 = 64_000;
/// What is rounded, as a part of the wait.
const GRAIN: u64 = 64;

impl Alarms {
    /// Has a member woken at this time or a little later, or after a minute if that is earlier. Returns when.
    pub(crate) fn set(&mut self, now: Instant, deadline: Instant, member: usize) -> Instant {
        let now = millis(now);
        // Up, not to come before the time.
        let at = (millis(deadline) + 1).min(now + HORIZON);
        let grain = at.saturating_sub(now) / GRAIN;
        let grain = grain.checked_ilog2().map_or(1, |exponent| 1 << exponent);
        let at = at.next_multiple_of(grain);
        self.rings.entry(at).or_default().push(member as u32);
        instant(at)
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.rings.first_key_value().map(|(&at, _)| instant(at))
    }

    /// Takes some that are due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Vec<u32>> {
        let first = self.rings.first_entry()?;
        (*first.key() <= millis(now)).then(|| first.remove())
    }
}

fn millis(at: Instant) -> u64 {
    u64::try_from(at.since_origin().as_millis()).unwrap_or(u64::MAX / 2)
}

fn instant(millis: u64) -> Instant {
    Instant::new(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::new(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn nobody_is_woken_too_early_or_much_too_late() {
        let now = at(1_000.000_3);
        for wait in [0.0, 0.000_1, 0.001, 0.01, 0.5, 1.5, 10.0, 60.0] {
            let mut alarms = Alarms::default();
            let deadline = now + Duration::from_secs_f64(wait);
            let rings = alarms.set(now, deadline, 7);
            let late = (rings - deadline).as_secs_f64();
            assert!(rings >= deadline && late <= 0.001 + wait / 64.0, "{wait}: {late}");
            assert_eq!(alarms.next(), Some(rings));
            let before = rings.since_origin().checked_sub(Duration::from_nanos(1)).unwrap();
            assert_eq!(alarms.pop(Instant::new(before)), None);
            assert_eq!(alarms.pop(rings), Some(vec![7]));
            assert_eq!(alarms.pop(rings), None);
        }
    }

    #[test]
    fn whoever_waits_for_long_is_woken_within_a_minute_or_so() {
        let mut alarms = Alarms::default();
        for hours in 1..20 {
            let rings = alarms.set(at(5.0), at(3_600.0 * f64::from(hours)), 1);
            assert!(rings <= at(71.0), "{rings:?}");
        }
        assert_eq!(alarms.rings.len(), 1);
        alarms.set(at(5.0), Instant::new(Duration::MAX), 1);
        assert_eq!(alarms.rings.len(), 1);
    }

    #[test]
    fn many_that_wait_are_few_alarms() {
        let mut alarms = Alarms::default();
        for number in 0..10_000u32 {
            let now = at(100.0 + f64::from(number) / 1_000.0);
            alarms.set(now, now + Duration::from_secs(90), number as usize);
        }
        assert!(alarms.rings.len() < 30, "{}", alarms.rings.len());
    }
}
