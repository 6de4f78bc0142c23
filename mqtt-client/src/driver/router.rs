//! `Router`: which streams a message is for.

use crate::inbox::{Inbox, StreamEnd};
use crate::outbox::Reader;
use crate::subscription::OnDrop;
use mqttkit_codec::{FilterMap, Message, TopicFilter};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Streams by their filters and Subscription Identifiers.
///
/// An identifier is worth more than a filter, since the server says with it for which subscriptions a copy of a message
/// is: with overlapping subscriptions it may send several. But it is believed only where the filter matches, because a
/// session may be older than this program, and its identifiers with it.
#[derive(Debug, Default)]
pub(super) struct Router {
    map: FilterMap<u64, Arc<Inbox>>,
    routes: BTreeMap<TopicFilter, Route>,
    identifiers: BTreeMap<u32, Vec<TopicFilter>>,
    last_identifier: u32,
}

#[derive(Debug, Default)]
struct Route {
    readers: Vec<Reader>,
    /// The one that the latest SUBSCRIBE gave it.
    identifier: Option<u32>,
}

/// Identifiers up to this are left to the application.
const FIRST_IDENTIFIER: u32 = 8192;
/// The highest there is.
const MAX_IDENTIFIER: u32 = 268_435_455;

impl Router {
    /// Puts the streams into `targets` that a message is for; none if it is for whoever takes the rest.
    pub(super) fn route(&self, message: &Message, targets: &mut Vec<Arc<Inbox>>) {
        if self.routes.is_empty() {
            return;
        }
        if !message.properties.is_empty() {
            for identifier in message.properties.subscription_identifiers() {
                let filters = self.identifiers.get(&identifier.get()).map_or(&[][..], Vec::as_slice);
                for filter in filters.iter().filter(|filter| filter.matches(&message.topic)) {
                    let readers = self.routes.get(filter).into_iter().flat_map(|route| &route.readers);
                    readers.for_each(|reader| add(targets, &reader.inbox));
                }
            }
        }
        if targets.is_empty() {
            self.map.for_each_match(message.topic.as_str(), |_, inbox| add(targets, inbox));
        }
    }

    /// An identifier that is not in use.
    pub(super) fn next_identifier(&mut self) -> u32 {
        loop {
            self.last_identifier = match self.last_identifier {
                FIRST_IDENTIFIER..MAX_IDENTIFIER => self.last_identifier + 1,
                _ => FIRST_IDENTIFIER,
            };
            if !self.identifiers.contains_key(&self.last_identifier) {
                return self.last_identifier;
            }
        }
    }

    /// A stream wants what comes by this filter, or has it already.
    pub(super) fn add(&mut self, filter: &TopicFilter, reader: &Reader) {
        let route = self.routes.entry(filter.clone()).or_default();
        if !route.readers.iter().any(|known| known.id == reader.id) {
            route.readers.push(reader.clone());
            self.map.insert(filter.pattern(), reader.id, Arc::clone(&reader.inbox));
        }
    }

    /// From now on messages by this filter carry this identifier, or none.
    pub(super) fn identify(&mut self, filter: &TopicFilter, identifier: Option<u32>) {
        let Some(route) = self.routes.get_mut(filter) else { return };
        let old = std::mem::replace(&mut route.identifier, identifier);
        if old != identifier {
            self.forget_identifier(old, filter);
        }
        if let Some(identifier) = identifier {
            let filters = self.identifiers.entry(identifier).or_default();
            if !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
    }

    fn forget_identifier(&mut self, identifier: Option<u32>, filter: &TopicFilter) {
        let Some(identifier) = identifier else { return };
        if let Some(filters) = self.identifiers.get_mut(&identifier) {
            filters.retain(|known| known != filter);
            if filters.is_empty() {
                self.identifiers.remove(&identifier);
            }
        }
    }

    /// A stream wants nothing any more. Returns its filters that no other stream reads, with what to do about them.
    pub(super) fn remove_reader(&mut self, id: u64) -> Vec<(TopicFilter, OnDrop)> {
        let mut idle = Vec::new();
        for (filter, route) in &mut self.routes {
            let Some(at) = route.readers.iter().position(|reader| reader.id == id) else { continue };
            let reader = route.readers.swap_remove(at);
            self.map.remove(filter.pattern(), &id);
            if route.readers.is_empty() {
                idle.push((filter.clone(), reader.on_drop));
            }
        }
        for (filter, _) in &idle {
            if let Some(route) = self.routes.remove(filter) {
                self.forget_identifier(route.identifier, filter);
            }
        }
        idle
    }

    /// Whether a stream has this filter.
    pub(super) fn reads(&self, filter: &TopicFilter) -> bool {
        self.routes.contains_key(filter)
    }

    /// A stream gets nothing by this filter: it was refused.
    pub(super) fn detach(&mut self, filter: &TopicFilter, id: u64) {
        let Some(route) = self.routes.get_mut(filter) else { return };
        route.readers.retain(|reader| reader.id != id);
        self.map.remove(filter.pattern(), &id);
        if route.readers.is_empty() {
            let identifier = route.identifier;
            self.routes.remove(filter);
            self.forget_identifier(identifier, filter);
        }
    }

    /// Nothing comes by this filter any more: streams that have no other end.
    pub(super) fn remove_filter(&mut self, filter: &TopicFilter) {
        let Some(route) = self.routes.remove(filter) else { return };
        self.forget_identifier(route.identifier, filter);
        for reader in route.readers {
            let others = |other: &TopicFilter| {
                self.routes.get(other).is_some_and(|route| route.readers.iter().any(|r| r.id == reader.id))
            };
            let (mut reads_on, mut same_pattern) = (false, false);
            for other in self.routes.keys().filter(|other| others(other)) {
                reads_on = true;
                same_pattern |= other.pattern() == filter.pattern();
            }
            if !same_pattern {
                self.map.remove(filter.pattern(), &reader.id);
            }
            if !reads_on {
                reader.inbox.end(StreamEnd::Unsubscribed);
            }
        }
    }

    /// All streams, each once for each of its filters.
    pub(super) fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.routes.values().flat_map(|route| &route.readers).map(|reader| &reader.inbox)
    }
}

/// Each stream gets a message once, however many of its filters match.
fn add(targets: &mut Vec<Arc<Inbox>>, inbox: &Arc<Inbox>) {
    if !targets.iter().any(|known| Arc::ptr_eq(known, inbox)) {
        targets.push(Arc::clone(inbox));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::SlowReader;
    use crate::outbox::Load;
    use mqttkit_codec::{PublishProperties, TopicName};

    fn filter(text: &str) -> TopicFilter {
        text.try_into().unwrap()
    }

    fn reader(id: u64) -> Reader {
        let limit = Load { entries: 1, bytes: 1 };
        let inbox = Arc::new(Inbox::new(limit, SlowReader::Wait, false, None));
        Reader { id, inbox, on_drop: OnDrop::Unsubscribe }
    }

    fn routed(router: &Router, topic: &str, identifiers: &[u32], readers: &[&Reader]) -> Vec<u64> {
        let properties = identifiers.iter().fold(PublishProperties::new(), |properties, &identifier| {
            properties.with_subscription_identifier(identifier.try_into().unwrap())
        });
        let message = Message::new(TopicName::try_from(topic).unwrap(), "").with_properties(properties);
        let mut targets = Vec::new();
        router.route(&message, &mut targets);
        let id = |inbox| readers.iter().find(|reader| Arc::ptr_eq(&reader.inbox, inbox)).unwrap().id;
        targets.iter().map(id).collect()
    }

    #[test]
    fn identifiers_decide_where_they_can_be_true() {
        let (one, two) = (reader(1), reader(2));
        let both = [&one, &two];
        let mut router = Router::default();
        router.add(&filter("a/#"), &one);
        router.add(&filter("a/b"), &two);
        router.identify(&filter("a/#"), Some(11));
        router.identify(&filter("a/b"), Some(22));
        assert_eq!(routed(&router, "a/b", &[11], &both), [1]);
        assert_eq!(routed(&router, "a/b", &[22], &both), [2]);
        assert_eq!(routed(&router, "a/b", &[22, 11], &both), [2, 1]);
        assert_eq!(routed(&router, "a/x", &[22], &both), [1], "an identifier of another time");
        assert_eq!(routed(&router, "a/b", &[33], &both), [2, 1], "one of somebody else");
        assert_eq!(routed(&router, "b", &[], &both), [0; 0]);
        // The second subscription to a filter replaces the identifier of the first.
        router.add(&filter("a/#"), &two);
        router.identify(&filter("a/#"), Some(33));
        assert_eq!(routed(&router, "a/x", &[33], &both), [1, 2]);
        assert_eq!(router.remove_reader(1).len(), 0, "the other reads on");
        assert_eq!(routed(&router, "a/x", &[], &both), [2]);
        router.remove_filter(&filter("a/b"));
        assert_eq!(two.inbox.ended(), None);
        assert_eq!(router.remove_reader(2), [(filter("a/#"), OnDrop::Unsubscribe)]);
        assert!(router.routes.is_empty() && router.map.is_empty() && router.identifiers.is_empty());
    }

    #[test]
    fn a_shared_filter_matches_by_its_pattern_and_the_last_filter_ends_the_stream() {
        let one = reader(1);
        let mut router = Router::default();
        router.add(&filter("$share/g/jobs/+"), &one);
        router.add(&filter("jobs/+"), &one);
        assert_eq!(routed(&router, "jobs/7", &[], &[&one]), [1], "once");
        router.remove_filter(&filter("jobs/+"));
        assert_eq!(routed(&router, "jobs/7", &[], &[&one]), [1]);
        router.remove_filter(&filter("$share/g/jobs/+"));
        assert_eq!(one.inbox.ended(), Some(StreamEnd::Unsubscribed));
        assert_eq!(routed(&router, "jobs/7", &[], &[&one]), [0; 0]);
    }
}
