//! Topic aliases: numbers that stand for a topic on one connection, in either direction.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use hashbrown::HashMap;

use super::closed::ProtocolError;
use crate::packet::Publish;
use crate::topic::TopicName;

/// The topics of the aliases that the peer has set.
#[derive(Debug, Default)]
pub(super) struct PeerAliases {
    /// Grows as far as the peer uses them, never above the maximum.
    topics: Vec<Option<TopicName>>,
    /// What the topics are long.
    bytes: usize,
}

impl PeerAliases {
    /// The memory that is taken, in bytes, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.topics.capacity() * size_of::<Option<TopicName>>()
    }

    /// Puts the topic in the place of its alias, which means nothing beyond this connection. The alias is one that is
    /// allowed.
    pub(super) fn resolve(&mut self, alias: u16, publish: &mut Publish) -> Result<(), ProtocolError> {
        let index = usize::from(alias) - 1;
        if publish.topic.is_aliased() {
            let known = self.topics.get(index).and_then(Option::as_ref);
            publish.topic = known.ok_or(ProtocolError::UnknownTopicAlias(alias))?.clone();
        } else {
            if self.topics.len() <= index {
                self.topics.resize(index + 1, None);
            }
            self.bytes += publish.topic.as_bytes().len();
            let old = self.topics[index].replace(publish.topic.detached());
            self.bytes -= old.map_or(0, |old| old.as_bytes().len());
        }
        publish.properties.remove(0x23);
        Ok(())
    }
}

/// The aliases that this side has set: the topics used last, so that the next message to one of them goes
/// without its name.
#[derive(Debug, Default)]
pub(super) struct OwnAliases {
    maximum: u16,
    numbers: HashMap<TopicName, NonZeroU16>,
    /// The entry of each alias; the alias is the index plus one.
    entries: Vec<Entry>,
    /// The entries as a ring, from the one used last to the one used least recently, which is before it.
    latest: usize,
    /// What the topics are long.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    topic: TopicName,
    newer: usize,
    older: usize,
}

/// How to send a message whose topic may have an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// By name: no alias is to be had.
    None,
    /// With its name, which the alias stands for from now on.
    New(NonZeroU16),
    /// By the alias alone.
    Known(NonZeroU16),
}

/// A shorter name is sent as it is: the property takes three bytes itself.
const SHORTEST_WORTH: usize = 4;

impl OwnAliases {
    /// Sets as many aliases as the peer allows, and this side wants.
    pub(super) fn new(maximum: u16) -> Self {
        Self { maximum, ..Self::default() }
    }

    /// The memory that is taken, in bytes, about: a topic is shared by an entry and its number.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.entries.capacity() * 2 * size_of::<Entry>()
    }

    /// What [`used`](Self::used) is to be told when the message was sent.
    pub(super) fn choose(&self, topic: &TopicName) -> Alias {
        if self.maximum == 0 || topic.as_bytes().len() < SHORTEST_WORTH {
            return Alias::None;
        }
        if let Some(&number) = self.numbers.get(topic) {
            return Alias::Known(number);
        }
        let number = if self.entries.len() < usize::from(self.maximum) {
            self.entries.len() + 1
        } else {
            self.oldest() + 1
        };
        u16::try_from(number).ok().and_then(NonZeroU16::new).map_or(Alias::None, Alias::New)
    }

    /// The peer was sent this: it knows the alias now.
    pub(super) fn used(&mut self, topic: &TopicName, alias: Alias) {
        match alias {
            Alias::None => {}
            Alias::Known(number) => self.touch(usize::from(number.get()) - 1),
            Alias::New(number) => {
                let index = usize::from(number.get()) - 1;
                let topic = topic.detached();
                self.bytes += topic.as_bytes().len();
                self.numbers.insert(topic.clone(), number);
                if index == self.entries.len() {
                    self.entries.push(Entry { topic, newer: index, older: index });
                    self.link_as_latest(index);
                } else {
                    let old = core::mem::replace(&mut self.entries[index].topic, topic);
                    self.bytes -= old.as_bytes().len();
                    self.numbers.remove(&old);
                    self.touch(index);
                }
            }
        }
    }

    /// What comes after the latest in the ring.
    fn oldest(&self) -> usize {
        self.entries[self.latest].newer
    }

    fn touch(&mut self, index: usize) {
        if index == self.latest {
            return;
        }
        let (newer, older) = (self.entries[index].newer, self.entries[index].older);
        self.entries[newer].older = older;
        self.entries[older].newer = newer;
        self.link_as_latest(index);
    }

    /// Puts an entry that is in no ring between the latest and the oldest.
    fn link_as_latest(&mut self, index: usize) {
        if index == self.latest {
            return;
        }
        let oldest = self.oldest();
        self.entries[index].older = self.latest;
        self.entries[index].newer = oldest;
        self.entries[self.latest].newer = index;
        self.entries[oldest].older = index;
        self.latest = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn send(aliases: &mut OwnAliases, name: &str) -> Alias {
        let topic = TopicName::try_from(name).unwrap();
        let alias = aliases.choose(&topic);
        aliases.used(&topic, alias);
        alias
    }

    fn number(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn the_topic_used_least_recently_gives_way() {
        let mut aliases = OwnAliases::new(3);
        for (index, name) in ["first", "second", "third"].into_iter().enumerate() {
            assert_eq!(send(&mut aliases, name), Alias::New(number(index as u16 + 1)));
        }
        assert_eq!(send(&mut aliases, "first"), Alias::Known(number(1)));
        assert_eq!(send(&mut aliases, "fourth"), Alias::New(number(2)), "in the place of the second");
        assert_eq!(send(&mut aliases, "second"), Alias::New(number(3)), "in the place of the third");
        assert_eq!(send(&mut aliases, "fourth"), Alias::Known(number(2)));
        assert_eq!(send(&mut aliases, "first"), Alias::Known(number(1)));
        assert_eq!(send(&mut aliases, "third"), Alias::New(number(3)));
    }

    #[test]
    fn one_alias_is_enough_to_work_with() {
        let mut aliases = OwnAliases::new(1);
        assert_eq!(send(&mut aliases, "first"), Alias::New(number(1)));
        assert_eq!(send(&mut aliases, "first"), Alias::Known(number(1)));
        assert_eq!(send(&mut aliases, "second"), Alias::New(number(1)));
        assert_eq!(send(&mut aliases, "first"), Alias::New(number(1)));
    }

    #[test]
    fn no_alias_where_none_is_allowed_or_worth_it() {
        assert_eq!(send(&mut OwnAliases::new(0), "a long enough name"), Alias::None);
        assert_eq!(send(&mut OwnAliases::new(9), "abc"), Alias::None);
    }

    /// Against the plain definition: what the peer resolves is what was meant.
    #[test]
    fn the_peer_always_resolves_what_was_meant() {
        let mut aliases = OwnAliases::new(5);
        let mut peer: HashMap<NonZeroU16, alloc::string::String> = HashMap::new();
        let mut state = 1u32;
        for _ in 0..5000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let name = format!("topic/{}", (state >> 16) % 9);
            match send(&mut aliases, &name) {
                Alias::None => panic!("long enough"),
                Alias::New(number) => {
                    peer.insert(number, name);
                }
                Alias::Known(number) => assert_eq!(peer[&number], name),
            }
            assert!(aliases.entries.len() <= 5 && aliases.numbers.len() <= 5);
        }
    }
}
