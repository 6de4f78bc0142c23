//! `Doorman`: who is not let in: the banned, and those that come or fail too often.

mod bans;
mod recent;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqttkit_codec::{Connect, Instant, Str};

use self::bans::Bans;
use self::recent::Recent;
use crate::config::Config;
use crate::rate::Rate;

pub use bans::{Ban, BanCause, BanError, Banned};

/// How often something may go wrong: more than so many times within a while, and it is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tolerance {
    /// So many times are tolerated.
    pub times: u32,
    /// Within this time, from the first one on.
    pub within: Duration,
    /// For how long the ban is.
    pub ban: Duration,
}

/// Looks at everybody who comes. What it remembers is bounded: see [`Config::max_bans`] and [`Config::max_tracked`].
#[derive(Debug)]
pub(crate) struct Doorman {
    config: Arc<Config>,
    books: Mutex<Books>,
    /// Whether there may be bans. While there are none nobody looks.
    has_bans: AtomicBool,
    turned_away: AtomicU64,
    too_often: AtomicU64,
}

#[derive(Debug)]
struct Books {
    bans: Bans,
    /// When each address has its whole burst of connections again.
    connects: Recent<IpAddr, Instant>,
    failures: Recent<IpAddr, Strikes>,
    arrivals: Recent<Str, Strikes>,
}

/// How often something happened since when.
#[derive(Clone, Copy, Debug)]
struct Strikes {
    count: u32,
    since: Instant,
}

/// Why somebody is turned away at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Banned,
    TooOften,
}

impl Doorman {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let books = Books {
            bans: Bans::new(config.max_bans),
            connects: Recent::new(config.max_tracked),
            failures: Recent::new(config.max_tracked),
            arrivals: Recent::new(config.max_tracked),
        };
        let (turned_away, too_often) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { config, books: Mutex::new(books), has_bans: AtomicBool::new(false), turned_away, too_often }
    }

    /// Somebody connects, and has not said a word yet. Without an address there is nothing to go by.
    pub(crate) fn admit(&self, now: Instant, address: Option<IpAddr>) -> Result<(), Denied> {
        let Some(address) = address.map(customer) else { return Ok(()) };
        let rate = self.config.connect_rate;
        if rate.is_none() && !self.has_bans() {
            return Ok(());
        }
        let mut books = self.lock();
        if books.bans.has(now, &Banned::Address(address)) {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(Denied::Banned);
        }
        let passes = rate.is_none_or(|rate| {
            let full_at = books.connects.entry(address, || Instant::ZERO);
            take_one(rate, full_at, now)
        });
        if !passes {
            self.too_often.fetch_add(1, Ordering::Relaxed);
            return Err(Denied::TooOften);
        }
        Ok(())
    }

    /// Whether somebody who has said who it is is banned.
    pub(crate) fn is_banned(&self, now: Instant, connect: &Connect, address: Option<IpAddr>) -> bool {
        if !self.has_bans() {
            return false;
        }
        let mut books = self.lock();
        let user = connect.user_name.clone().map(Banned::UserName);
        let address = address.map(|address| Banned::Address(customer(address)));
        let banned = [Some(Banned::ClientId(connect.client_id.clone())), user, address]
            .iter()
            .flatten()
            .any(|subject| books.bans.has(now, subject));
        if banned {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        banned
    }

    /// Somebody was allowed in under this name. The ban is what it gets for having come too often; then it is not let in.
    pub(crate) fn arrives(&self, now: Instant, client_id: &Str) -> Option<Ban> {
        // An identifier that the broker assigns is new each time.
        let tolerance = self.config.flapping.filter(|_| !client_id.is_empty())?;
        let mut books = self.lock();
        let strikes = books.arrivals.entry(client_id.detached(), || Strikes { count: 0, since: now });
        if !strikes.strike(now, tolerance) {
            return None;
        }
        let subject = Banned::ClientId(client_id.detached());
        self.put(&mut books, now, subject, tolerance.ban, BanCause::Flapping)
    }

    /// Somebody was refused by the policy. The ban is what its address gets for having failed too often.
    pub(crate) fn fails(&self, now: Instant, address: Option<IpAddr>) -> Option<Ban> {
        let tolerance = self.config.authentication_failures?;
        let address = customer(address?);
        let mut books = self.lock();
        let strikes = books.failures.entry(address, || Strikes { count: 0, since: now });
        if !strikes.strike(now, tolerance) {
            return None;
        }
        self.put(&mut books, now, Banned::Address(address), tolerance.ban, BanCause::AuthenticationFailures)
    }

    /// The host bans somebody, for this long or for good.
    pub(crate) fn ban(&self, now: Instant, subject: Banned, time: Option<Duration>) -> Result<(), BanError> {
        let until = time.map(|time| now + time);
        self.has_bans.store(true, Ordering::Relaxed);
        self.lock().bans.put(now, subject.normal(), until, BanCause::Host)
    }

    /// Ends a ban. Returns whether there was one.
    pub(crate) fn unban(&self, now: Instant, subject: Banned) -> bool {
        let mut books = self.lock();
        let subject = subject.normal();
        let banned = books.bans.has(now, &subject);
        books.bans.remove(&subject);
        // What it has done is forgiven as well, or the next time would be one too many.
        match &subject {
            Banned::ClientId(id) => books.arrivals.forget(id),
            Banned::Address(address) => books.failures.forget(address),
            Banned::UserName(_) => {}
        }
        banned
    }

    pub(crate) fn bans(&self, now: Instant) -> Vec<Ban> {
        self.lock().bans.list(now)
    }

    /// Connections of the banned that were turned away, and those that came too often.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.turned_away.load(Ordering::Relaxed), self.too_often.load(Ordering::Relaxed))
    }

    fn has_bans(&self) -> bool {
        self.has_bans.load(Ordering::Relaxed)
    }

    fn put(
        &self,
        books: &mut Books,
        now: Instant,
        subject: Banned,
        time: Duration,
        cause: BanCause,
    ) -> Option<Ban> {
        self.has_bans.store(true, Ordering::Relaxed);
        books.bans.put(now, subject.clone(), Some(now + time), cause).ok()?;
        Some(Ban { subject, cause, ends_in: Some(time) })
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strikes {
    /// Once more. Returns whether that is too much; then the count begins anew, for the time after the ban.
    fn strike(&mut self, now: Instant, tolerance: Tolerance) -> bool {
        if now - self.since >= tolerance.within {
            *self = Self { count: 0, since: now };
        }
        self.count = self.count.saturating_add(1);
        let too_often = self.count > tolerance.times;
        if too_often {
            self.count = 0;
        }
        too_often
    }
}

/// Takes one of what a rate allows, if there is one.
fn take_one(rate: Rate, full_at: &mut Instant, now: Instant) -> bool {
    let free = rate.free_at(*full_at) <= now;
    if free {
        *full_at = rate.spend(*full_at, now, 1);
    }
    free
}

/// Of IPv6 the first 64 bits, since that is what one customer is given.
fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttkit_codec::Version;

    fn doorman(change: impl FnOnce(&mut Config)) -> Doorman {
        let mut config = Config::default();
        change(&mut config);
        Doorman::new(Arc::new(config))
    }

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(1_000 + seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn named(client_id: &str) -> Connect {
        Connect::new(Version::V5, client_id.try_into().unwrap())
    }

    #[test]
    fn each_address_has_its_own_rate() {
        let doorman = doorman(|config| config.connect_rate = Some(Rate::per_second(2)));
        let try_it = |now, who| doorman.admit(now, Some(address(who)));
        assert_eq!(try_it(at(0), "10.0.0.1"), Ok(()));
        assert_eq!(try_it(at(0), "::ffff:10.0.0.1"), Ok(()));
        assert_eq!(try_it(at(0), "10.0.0.1"), Err(Denied::TooOften));
        assert_eq!(try_it(at(0), "10.0.0.2"), Ok(()));
        assert_eq!(try_it(at(0), "2001:db8::1"), Ok(()));
        assert_eq!(try_it(at(0), "2001:db8::2"), Ok(()));
        assert_eq!(try_it(at(0), "2001:db8::3"), Err(Denied::TooOften));
        assert_eq!(try_it(at(0), "2001:db8:0:1::3"), Ok(()));
        assert_eq!(try_it(at(1), "10.0.0.1"), Ok(()));
        assert_eq!(doorman.admit(at(0), None), Ok(()));
        assert_eq!(doorman.counts(), (0, 2));
    }

    #[test]
    fn a_ban_holds_until_it_ends() {
        let doorman = doorman(|_| {});
        let mut connect = named("c");
        connect.user_name = Some("u".try_into().unwrap());
        let banned = |now| doorman.is_banned(now, &connect, Some(address("10.0.0.1")));
        for subject in [
            Banned::ClientId("c".try_into().unwrap()),
            Banned::UserName("u".try_into().unwrap()),
            Banned::Address("10.0.0.1".parse().unwrap()),
        ] {
            assert!(!banned(at(0)));
            doorman.ban(at(0), subject.clone(), Some(Duration::from_secs(10))).unwrap();
            assert!(banned(at(9)));
            assert!(!banned(at(10)), "{subject:?}");
            doorman.ban(at(20), subject.clone(), None).unwrap();
            assert!(banned(at(1_000_000)));
            assert!(doorman.unban(at(1_000_000), subject.clone()));
            assert!(!doorman.unban(at(1_000_000), subject));
        }
    }

    #[test]
    fn who_comes_too_often_is_banned_for_a_while() {
        let tolerance =
            Tolerance { times: 3, within: Duration::from_secs(60), ban: Duration::from_secs(100) };
        let doorman = doorman(|config| config.flapping = Some(tolerance));
        let id = |text: &str| Str::try_from(text).unwrap();
        for second in [0, 10, 20] {
            assert_eq!(doorman.arrives(at(second), &id("c")), None);
        }
        assert_eq!(doorman.arrives(at(30), &id("other")), None);
        assert_eq!(doorman.arrives(at(61), &id("c")), None, "the first is long ago");
        for second in [62, 63] {
            assert_eq!(doorman.arrives(at(second), &id("c")), None);
        }
        let ban = doorman.arrives(at(64), &id("c")).unwrap();
        assert_eq!((ban.cause, ban.ends_in), (BanCause::Flapping, Some(Duration::from_secs(100))));
        assert!(doorman.is_banned(at(163), &named("c"), None));
        assert!(!doorman.is_banned(at(164), &named("c"), None));
        assert!(doorman.bans(at(164)).is_empty());
        for _ in 0..10 {
            assert_eq!(doorman.arrives(at(200), &id("")), None, "nobody in particular");
        }
    }

    #[test]
    fn an_address_that_fails_too_often_is_banned() {
        let tolerance =
            Tolerance { times: 2, within: Duration::from_secs(60), ban: Duration::from_secs(100) };
        let doorman = doorman(|config| config.authentication_failures = Some(tolerance));
        for second in [0, 1] {
            assert_eq!(doorman.fails(at(second), Some(address("10.0.0.1"))), None);
        }
        assert_eq!(doorman.fails(at(1), None), None);
        let ban = doorman.fails(at(2), Some(address("10.0.0.1"))).unwrap();
        assert_eq!(ban.subject, Banned::Address("10.0.0.1".parse().unwrap()));
        assert_eq!(doorman.admit(at(3), Some(address("10.0.0.1"))), Err(Denied::Banned));
        assert_eq!(doorman.admit(at(3), Some(address("10.0.0.2"))), Ok(()));
        assert_eq!(doorman.admit(at(102), Some(address("10.0.0.1"))), Ok(()));
        assert_eq!(doorman.counts(), (1, 0));
    }
}
