//! `Bans`: who is banned, until when and why.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use mqttkit_codec::{Instant, Str};

use super::customer;
use crate::policy::Client;

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Banned {
    /// Everybody with this client identifier.
    ClientId(Str),
    /// Everybody whose CONNECT has this user name.
    UserName(Str),
    /// Everybody from this address. Of an IPv6 address the first 64 bits count, since that is what one customer is
    /// given.
    Address(IpAddr),
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ban {
    /// Who is banned.
    pub subject: Banned,
    /// Why.
    pub cause: BanCause,
    /// For how much longer; `None` for a ban without an end.
    pub ends_in: Option<Duration>,
}

/// Why there is a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BanCause {
    /// The host wanted it: [`Broker::ban`](crate::Broker::ban).
    Host,
    /// It came and went too often: [`Config::flapping`](crate::Config::flapping).
    Flapping,
    /// It failed to authenticate too often:
    /// [`Config::authentication_failures`](crate::Config::authentication_failures).
    AuthenticationFailures,
}

/// Why somebody could not be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BanError {
    /// There are [`Config::max_bans`](crate::Config::max_bans) without an end already.
    #[error("there are as many bans without an end as the configuration allows")]
    TooMany,
}

impl Banned {
    /// Whether it means this client.
    pub(crate) fn is_about(&self, client: &Client) -> bool {
        match self {
            Self::ClientId(id) => client.client_id() == id,
            Self::UserName(name) => client.user_name() == Some(name),
            Self::Address(address) => {
                client.peer().address.is_some_and(|other| customer(other.ip()) == customer(*address))
            }
        }
    }

    /// The form in which it is compared.
    pub(super) fn normal(self) -> Self {
        match self {
            Self::Address(address) => Self::Address(customer(address)),
            // Not to pin what it came in.
            Self::ClientId(id) => Self::ClientId(id.detached()),
            Self::UserName(name) => Self::UserName(name.detached()),
        }
    }
}

/// At most so many bans. Those that have ended are forgotten; for one more the ban that would end first gives way.
#[derive(Debug)]
pub(super) struct Bans {
    by_subject: HashMap<Banned, Entry>,
    /// Those with an end, the first to end first.
    by_end: BTreeMap<(Instant, u64), Banned>,
    limit: usize,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    until: Option<Instant>,
    number: u64,
    cause: BanCause,
}

impl Bans {
    pub(super) fn new(limit: usize) -> Self {
        Self { by_subject: HashMap::new(), by_end: BTreeMap::new(), limit, next: 0 }
    }

    /// A later ban replaces an earlier one, unless that is longer.
    pub(super) fn put(
        &mut self,
        now: Instant,
        subject: Banned,
        until: Option<Instant>,
        cause: BanCause,
    ) -> Result<(), BanError> {
        self.forget_ended(now);
        if let Some(known) = self.by_subject.get(&subject) {
            let lasts = known.until.is_none_or(|known| until.is_some_and(|until| until < known));
            if lasts && cause != BanCause::Host {
                return Ok(());
            }
            self.remove(&subject);
        }
        if self.by_subject.len() >= self.limit {
            let (_, first) = self.by_end.pop_first().ok_or(BanError::TooMany)?;
            self.by_subject.remove(&first);
        }
        self.next += 1;
        let number = self.next;
        if let Some(until) = until {
            self.by_end.insert((until, number), subject.clone());
        }
        self.by_subject.insert(subject, Entry { until, number, cause });
        Ok(())
    }

    pub(super) fn has(&mut self, now: Instant, subject: &Banned) -> bool {
        self.forget_ended(now);
        self.by_subject.contains_key(subject)
    }

    pub(super) fn remove(&mut self, subject: &Banned) {
        if let Some(Entry { until: Some(until), number, .. }) = self.by_subject.remove(subject) {
            self.by_end.remove(&(until, number));
        }
    }

    pub(super) fn list(&mut self, now: Instant) -> Vec<Ban> {
        self.forget_ended(now);
        let ban = |(subject, entry): (&Banned, &Entry)| Ban {
            subject: subject.clone(),
            cause: entry.cause,
            ends_in: entry.until.map(|until| until - now),
        };
        self.by_subject.iter().map(ban).collect()
    }

    fn forget_ended(&mut self, now: Instant) {
        while let Some(entry) = self.by_end.first_entry().filter(|entry| entry.key().0 <= now) {
            self.by_subject.remove(&entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn user(number: u64) -> Banned {
        Banned::UserName(Str::try_from(number.to_string()).unwrap())
    }

    #[test]
    fn the_ban_that_would_end_first_gives_way() {
        let mut bans = Bans::new(3);
        for number in 0..3 {
            bans.put(at(0), user(number), Some(at(10 - number)), BanCause::Host).unwrap();
        }
        bans.put(at(0), user(3), None, BanCause::Host).unwrap();
        let has: Vec<bool> = (0..4).map(|number| bans.has(at(0), &user(number))).collect();
        assert_eq!(has, [true, true, false, true]);
        assert_eq!((bans.by_subject.len(), bans.by_end.len()), (3, 2));
        for number in 4..6 {
            bans.put(at(0), user(number), None, BanCause::Host).unwrap();
        }
        assert_eq!(bans.put(at(0), user(6), None, BanCause::Host), Err(BanError::TooMany));
        assert!(bans.by_end.is_empty());
    }

    #[test]
    fn only_the_host_makes_a_ban_shorter() {
        let mut bans = Bans::new(3);
        bans.put(at(0), user(0), None, BanCause::Host).unwrap();
        bans.put(at(0), user(0), Some(at(5)), BanCause::Flapping).unwrap();
        assert_eq!(bans.list(at(0))[0].ends_in, None);
        bans.put(at(0), user(0), Some(at(5)), BanCause::Host).unwrap();
        bans.put(at(0), user(0), Some(at(9)), BanCause::Flapping).unwrap();
        assert_eq!(bans.list(at(1))[0].ends_in, Some(Duration::from_secs(8)));
        assert!(bans.list(at(9)).is_empty());
        assert!(bans.by_end.is_empty());
    }
}
