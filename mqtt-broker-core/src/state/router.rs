//! Router: which sessions a message is for.

use std::collections::HashMap;
use std::num::NonZeroU32;

use mqttkit_codec::{FilterMap, QoS, SubscriptionOptions, TopicFilter};
use slab::Slab;

/// What a session wants of a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) options: SubscriptionOptions,
    pub(super) id: Option<NonZeroU32>,
}

/// All subscriptions of all sessions. A session is named by its slot.
#[derive(Debug, Default)]
pub(super) struct Router {
    filters: FilterMap<Target, Wish>,
    groups: Slab<Group>,
    by_name: HashMap<TopicFilter, usize>,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Session(usize),
    Group(usize),
}

/// The sessions that share a subscription: each message goes to one of them. [MQTT-4.8.2-4]
#[derive(Debug)]
struct Group {
    members: Vec<(usize, Wish)>,
    /// Whose turn it is.
    next: usize,
}

/// Somebody a message is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Match {
    Session(usize, Wish),
    /// One of a group; [`Router::member`] says which.
    Group(usize),
}

impl Router {
    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Subscribes a session. Returns whether the subscription is new; an old one is replaced. [MQTT-3.8.4-3]
    pub(super) fn insert(&mut self, filter: &TopicFilter, slot: usize, wish: Wish) -> bool {
        let new = if filter.is_shared() {
            self.join(filter, slot, wish)
        } else {
            self.filters.insert(filter.pattern(), Target::Session(slot), wish).is_none()
        };
        self.len += usize::from(new);
        new
    }

    /// Ends a subscription. Returns whether there was one.
    pub(super) fn remove(&mut self, filter: &TopicFilter, slot: usize) -> bool {
        let removed = if filter.is_shared() {
            self.leave(filter, slot)
        } else {
            self.filters.remove(filter.pattern(), &Target::Session(slot)).is_some()
        };
        self.len -= usize::from(removed);
        removed
    }

    /// Calls `found` for each matching subscription; a session with several is found several times.
    pub(super) fn for_each_match(&self, topic: &str, mut found: impl FnMut(Match)) {
        self.filters.for_each_match(topic, |target, wish| {
            found(match *target {
                Target::Session(slot) => Match::Session(slot, *wish),
                Target::Group(group) => Match::Group(group),
            });
        });
    }

    /// The member of a group whose turn it is: the next one that `is_online`, or else the next one that takes
    /// messages in its absence.
    pub(super) fn member(
        &mut self,
        group: usize,
        is_online: impl Fn(usize) -> bool,
    ) -> Option<(usize, Wish)> {
        let group = self.groups.get_mut(group)?;
        let count = group.members.len();
        let turn = |step: usize| (group.next + step) % count;
        let chosen = (0..count).map(turn).find(|&index| is_online(group.members[index].0));
        let chosen = chosen.or_else(|| (count > 0).then(|| turn(0)))?;
        group.next = (chosen + 1) % count;
        Some(group.members[chosen])
    }

    fn join(&mut self, filter: &TopicFilter, slot: usize, wish: Wish) -> bool {
        let index = *self.by_name.entry(filter.clone()).or_insert_with(|| {
            let index = self.groups.insert(Group { members: Vec::new(), next: 0 });
            self.filters.insert(filter.pattern(), Target::Group(index), NO_WISH);
            index
        });
        let members = &mut self.groups[index].members;
        if let Some(member) = members.iter_mut().find(|(member, _)| *member == slot) {
            member.1 = wish;
            return false;
        }
        members.push((slot, wish));
        true
    }

    fn leave(&mut self, filter: &TopicFilter, slot: usize) -> bool {
        let Some(&index) = self.by_name.get(filter) else { return false };
        let group = &mut self.groups[index];
        let Some(at) = group.members.iter().position(|&(member, _)| member == slot) else { return false };
        group.members.remove(at);
        if at < group.next {
            group.next -= 1;
        }
        if group.members.is_empty() {
            self.groups.remove(index);
            self.by_name.remove(filter);
            self.filters.remove(filter.pattern(), &Target::Group(index));
        } else {
            group.next %= group.members.len();
        }
        true
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
        router.for_each_match(topic, |found| {
            if let Match::Group(group) = found {
                groups.push(group);
            }
        });
        groups.into_iter().filter_map(|group| router.member(group, online)).map(|(slot, _)| slot).collect()
    }

    #[test]
    fn members_of_a_group_take_turns() {
        let mut router = Router::default();
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
        let mut router = Router::default();
        router.insert(&filter("$share/g/a"), 7, NO_WISH);
        router.insert(&filter("a"), 7, NO_WISH);
        assert_eq!(router.len(), 2);
        assert!(router.remove(&filter("$share/g/a"), 7));
        assert!(!router.remove(&filter("$share/g/a"), 7));
        assert!(router.remove(&filter("a"), 7));
        assert_eq!(router.len(), 0);
        assert!(router.groups.is_empty() && router.by_name.is_empty() && router.filters.is_empty());
    }
}
