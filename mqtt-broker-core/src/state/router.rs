//! Router: which sessions a message is for.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use mqttkit_codec::{FilterMap, QoS, SubscriptionOptions, TopicFilter, TopicName};
use slab::Slab;

use super::group::{Group, Pick, Serial};
use super::routes::Routes;
use crate::budget::Budget;

/// What a session wants of a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) options: SubscriptionOptions,
    pub(super) id: Option<NonZeroU32>,
}

/// All subscriptions of all sessions. A session is named by its slot.
#[derive(Debug)]
pub(super) struct Router {
    filters: FilterMap<Target, Wish>,
    routes: Routes<(Target, Wish)>,
    /// Memory for what is found for one topic, used again for the next.
    found: Vec<(Target, Wish)>,
    groups: Slab<Group>,
    by_name: HashMap<TopicFilter, usize>,
    by_serial: HashMap<Serial, usize>,
    last_serial: Serial,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Session(u32),
    Group(u32),
}

impl Target {
    fn session(slot: usize) -> Self {
        Self::Session(slot as u32)
    }

    fn group(index: usize) -> Self {
        Self::Group(index as u32)
    }
}

/// Somebody a message is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Match {
    Session(usize, Wish),
    /// One of a group; [`Router::member`] says which.
    Group(usize),
}

impl Router {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            filters: FilterMap::new(),
            routes: Routes::new(budget),
            found: Vec::new(),
            groups: Slab::new(),
            by_name: HashMap::new(),
            by_serial: HashMap::new(),
            last_serial: 0,
            len: 0,
        }
    }

    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left of any subscription.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.by_name.is_empty()
            && self.by_serial.is_empty()
            && self.filters.is_empty()
    }

    /// Subscribes a session. Returns whether the subscription is new; an old one is replaced. [MQTT-3.8.4-3]
    pub(super) fn insert(&mut self, filter: &TopicFilter, slot: usize, wish: Wish) -> bool {
        let new = if filter.is_shared() {
            self.join(filter, slot, wish)
        } else {
            self.filters.insert(filter.pattern(), Target::session(slot), wish).is_none()
        };
        self.len += usize::from(new);
        self.forget(filter);
        new
    }

    /// Ends a subscription. Returns whether there was one.
    pub(super) fn remove(&mut self, filter: &TopicFilter, slot: usize) -> bool {
        let removed = if filter.is_shared() {
            self.leave(filter, slot)
        } else {
            self.filters.remove(filter.pattern(), &Target::session(slot)).is_some()
        };
        self.len -= usize::from(removed);
        self.forget(filter);
        removed
    }

    /// What was found may be different now.
    fn forget(&mut self, filter: &TopicFilter) {
        if self.len == 0 {
            self.routes.clear();
        } else if filter.has_wildcard() {
            self.routes.forget_all();
        } else {
            self.routes.forget(filter.pattern().as_bytes());
        }
    }

    /// Calls `found` for each matching subscription; a session with several is found several times.
    pub(super) fn for_each_match(&mut self, topic: &TopicName, mut found: impl FnMut(Match)) {
        let mut tell = |&(target, wish): &(Target, Wish)| {
            found(match target {
                Target::Session(slot) => Match::Session(slot as usize, wish),
                Target::Group(group) => Match::Group(group as usize),
            });
        };
        if let Some(known) = self.routes.get(topic.as_bytes()) {
            return known.iter().for_each(tell);
        }
        let mut all = std::mem::take(&mut self.found);
        self.filters.for_each_match(topic.as_str(), |&target, &wish| {
            tell(&(target, wish));
            all.push((target, wish));
        });
        if self.len > 0 {
            self.routes.note(topic.as_bytes(), &all);
        }
        all.clear();
        self.found = all;
    }

    /// What is known of topics weighs, in bytes.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.routes.weight()
    }

    /// The member of a group that gets the next message, with the name of the group.
    pub(super) fn member(
        &mut self,
        group: usize,
        pick: Pick,
        is_online: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> usize,
    ) -> Option<(usize, Wish, Serial)> {
        let group = self.groups.get_mut(group)?;
        let (slot, wish) = group.pick(pick, is_online, outstanding)?;
        Some((slot, wish, group.serial))
    }

    /// The same for a group by its name, if it still exists.
    pub(super) fn member_of(
        &mut self,
        group: Serial,
        pick: Pick,
        is_online: impl Fn(usize) -> bool,
        outstanding: impl Fn(usize) -> usize,
    ) -> Option<(usize, Wish)> {
        let &index = self.by_serial.get(&group)?;
        self.groups.get_mut(index)?.pick(pick, is_online, outstanding)
    }

    /// What a group is called for as long as a message of it is under way, by the filter all its members share.
    pub(super) fn serial_of(&self, name: &TopicFilter) -> Option<Serial> {
        Some(self.groups.get(*self.by_name.get(name)?)?.serial)
    }

    /// The filter of a group that still exists.
    pub(super) fn name_of(&self, serial: Serial) -> Option<&TopicFilter> {
        Some(&self.groups.get(*self.by_serial.get(&serial)?)?.name)
    }

    fn join(&mut self, filter: &TopicFilter, slot: usize, wish: Wish) -> bool {
        let index = if let Some(&index) = self.by_name.get(filter) {
            index
        } else {
            let serial = self.new_serial();
            let index = self.groups.insert(Group::new(serial, filter.clone()));
            self.by_name.insert(filter.clone(), index);
            self.by_serial.insert(serial, index);
            self.filters.insert(filter.pattern(), Target::group(index), NO_WISH);
            index
        };
        self.groups[index].join(slot, wish)
    }

    fn leave(&mut self, filter: &TopicFilter, slot: usize) -> bool {
        let Some(&index) = self.by_name.get(filter) else { return false };
        let group = &mut self.groups[index];
        if !group.leave(slot) {
            return false;
        }
        if group.is_empty() {
            self.by_serial.remove(&group.serial);
            self.groups.remove(index);
            self.by_name.remove(filter);
            self.filters.remove(filter.pattern(), &Target::group(index));
        }
        true
    }

    fn new_serial(&mut self) -> Serial {
        loop {
            self.last_serial = self.last_serial.wrapping_add(1);
            if self.last_serial != 0 && !self.by_serial.contains_key(&self.last_serial) {
                return self.last_serial;
            }
        }
    }
}

/// Stands in the filters for a group, whose members have wishes of their own.
const NO_WISH: Wish = Wish { options: SubscriptionOptions::new(QoS::AtMostOnce), id: None };

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn turns(router: &mut Router, topic: &str, online: impl Fn(usize) -> bool + Copy) -> Vec<usize> {
        let mut groups = Vec::new();
        router.for_each_match(&TopicName::try_from(topic).unwrap(), |found| {
            if let Match::Group(group) = found {
                groups.push(group);
            }
        });
        groups
            .into_iter()
            .filter_map(|group| router.member(group, Pick::Next, online, |_| 0))
            .map(|(slot, ..)| slot)
            .collect()
    }

    #[test]
    fn members_of_a_group_take_turns() {
        let mut router = Router::new(Arc::new(Budget::new(1 << 20)));
        for slot in 0..3 {
            assert!(router.insert(&filter("$share/g/a/+"), slot, NO_WISH));
        }
        assert!(!router.insert(&filter("$share/g/a/+"), 1, NO_WISH));
        let mut seen: Vec<_> = (0..6).flat_map(|_| turns(&mut router, "a/b", |_| true)).collect();
        assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
        seen = (0..3).flat_map(|_| turns(&mut router, "a/b", |slot| slot != 1)).collect();
        assert_eq!(seen, [0, 2, 0]);
        assert!(router.remove(&filter("$share/g/a/+"), 0));
        seen = (0..3).flat_map(|_| turns(&mut router, "a/b", |_| false)).collect();
        assert_eq!(seen.len(), 3, "somebody gets it though nobody is there: {seen:?}");
    }

    #[test]
    fn nothing_is_left_of_a_group_without_members() {
        let mut router = Router::new(Arc::new(Budget::new(1 << 20)));
        router.insert(&filter("$share/g/a"), 7, NO_WISH);
        router.insert(&filter("a"), 7, NO_WISH);
        assert_eq!(router.len(), 2);
        assert!(router.remove(&filter("$share/g/a"), 7));
        assert!(!router.remove(&filter("$share/g/a"), 7));
        assert!(router.remove(&filter("a"), 7));
        assert_eq!(router.len(), 0);
        assert!(router.is_empty());
    }
}
