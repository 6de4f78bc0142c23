//! The router against a naive matcher: any subscriptions of any sessions, and for every message whom it reaches, how
//! often and with what.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use mqttkit_codec::{
    Closed, Instant, Message, QoS, ReasonCode, RetainHandling, Session as InFlight, Subscription,
    TopicFilter, TopicName,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::handover::InFlightForGroups;
use super::{ClientKey, State};
use crate::config::Config;
use crate::notify::Notify;
use crate::rules::Rules;

const SESSIONS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize, Subscription, Option<NonZeroU32>),
    Unsubscribe(usize, TopicFilter),
    /// The session ends, and another begins in its place.
    End(usize),
    Publish {
        from: Option<usize>,
        topic: TopicName,
        qos: QoS,
        retain: bool,
    },
}

/// What one receiver gets: QoS, RETAIN, the identifiers in ascending order.
type Copy = (QoS, bool, Vec<u32>);

/// All subscriptions, in a list.
#[derive(Default)]
struct Naive {
    subscriptions: BTreeMap<(usize, TopicFilter), (Subscription, Option<NonZeroU32>)>,
}

impl Naive {
    fn subscribe(&mut self, session: usize, subscription: &Subscription, id: Option<NonZeroU32>) {
        let filter = subscription.filter.clone();
        self.subscriptions.insert((session, filter), (subscription.clone(), id));
    }

    fn unsubscribe(&mut self, session: usize, filter: &TopicFilter) -> bool {
        self.subscriptions.remove(&(session, filter.clone())).is_some()
    }

    fn end(&mut self, session: usize) {
        self.subscriptions.retain(|(of, _), _| *of != session);
    }

    /// What each session gets for its own subscriptions.
    fn own(&self, from: Option<usize>, message: &Message) -> BTreeMap<usize, Copy> {
        let mut copies: BTreeMap<usize, Copy> = BTreeMap::new();
        for ((session, filter), (subscription, id)) in &self.subscriptions {
            let options = subscription.options;
            let echo = options.no_local && from == Some(*session);
            if filter.is_shared() || echo || !matches(filter.pattern(), message.topic.as_str()) {
                continue;
            }
            let (qos, retain) = (message.qos.min(options.qos), message.retain && options.retain_as_published);
            let copy = copies.entry(*session).or_insert((QoS::AtMostOnce, false, Vec::new()));
            copy.0 = copy.0.max(qos);
            copy.1 |= retain;
            copy.2.extend(id.map(NonZeroU32::get));
            copy.2.sort_unstable();
        }
        copies
    }

    /// What each member of each group would get.
    fn shared(&self, message: &Message) -> BTreeMap<TopicFilter, BTreeMap<usize, Copy>> {
        let mut groups: BTreeMap<TopicFilter, BTreeMap<usize, Copy>> = BTreeMap::new();
        for ((session, filter), (subscription, id)) in &self.subscriptions {
            if filter.is_shared() && matches(filter.pattern(), message.topic.as_str()) {
                let options = subscription.options;
                let retain = message.retain && options.retain_as_published;
                let copy = (message.qos.min(options.qos), retain, id.iter().map(|id| id.get()).collect());
                groups.entry(filter.clone()).or_default().insert(*session, copy);
            }
        }
        groups
    }
}

/// As the specification says it, and not as anybody would program it. (4.7)
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    match filter.split_last() {
        // "The multi-level wildcard represents the parent and any number of child levels."
        Some((&"#", parents)) => topic.len() >= parents.len() && same(parents, &topic[..parents.len()]),
        _ => topic.len() == filter.len() && same(&filter, &topic),
    }
}

fn same(filter: &[&str], topic: &[&str]) -> bool {
    filter.iter().zip(topic).all(|(wanted, level)| wanted == &"+" || wanted == level)
}

/// A state with its clients.
struct Real {
    state: State,
    clients: Vec<ClientKey>,
}

impl Real {
    fn new() -> Self {
        let mut state = State::new(&Rules::new(Config::default(), None), "model".into(), 1);
        let clients = (0..SESSIONS).map(|_| join(&mut state)).collect();
        Self { state, clients }
    }

    fn end(&mut self, session: usize) {
        let (closed, none) = (Closed::Local(ReasonCode::NORMAL_DISCONNECTION), InFlightForGroups::new());
        self.state.disconnected(Instant::ZERO, self.clients[session], InFlight::new(), none, &closed);
        self.clients[session] = join(&mut self.state);
    }

    /// Whom the message is for: the session, whether for a group, and what it gets.
    fn find(&mut self, from: Option<usize>, message: &Message) -> Vec<(usize, bool, Copy)> {
        self.state.sequence += 1;
        let from = from.map(|session| self.clients[session].slot);
        self.state.find(from, message);
        let found = std::mem::take(&mut self.state.matches);
        let of = |slot| self.clients.iter().position(|client| client.slot == slot).expect("a client");
        let copies = found.into_iter().map(|delivery| {
            let mut ids: Vec<u32> = delivery.ids.as_slice().iter().map(|id| id.get()).collect();
            ids.sort_unstable();
            (of(delivery.slot), delivery.group != 0, (delivery.qos, delivery.retain, ids))
        });
        copies.collect()
    }
}

fn join(state: &mut State) -> ClientKey {
    let (key, _) = state.connect_local(Instant::ZERO, None, &Arc::new(Notify::default())).expect("a session");
    key
}

/// Few levels, so that filters meet topics and each other.
fn topic() -> impl Strategy<Value = TopicName> {
    vec(select(vec!["a", "b", "", "$x"]), 1..4)
        .prop_filter_map("empty", |levels| TopicName::try_from(levels.join("/")).ok())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let levels = vec(select(vec!["a", "b", "", "$x", "+", "+"]), 0..4);
    let share = select(vec!["", "", "$share/g/", "$share/h/"]);
    (share, levels, any::<bool>()).prop_filter_map("no filter", |(share, mut levels, multi)| {
        levels.extend(multi.then_some("#"));
        TopicFilter::try_from(format!("{share}{}", levels.join("/"))).ok()
    })
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn subscription() -> impl Strategy<Value = Subscription> {
    (filter(), qos(), any::<bool>(), any::<bool>()).prop_map(|(filter, qos, no_local, as_published)| {
        let mut subscription = Subscription::new(filter, qos);
        subscription.options.no_local = no_local && !subscription.filter.is_shared();
        subscription.options.retain_as_published = as_published;
        subscription.options.retain_handling = RetainHandling::DoNotSend;
        subscription
    })
}

fn step() -> impl Strategy<Value = Step> {
    let id = of((1..5u32).prop_map(|id| NonZeroU32::new(id).expect("not 0")));
    prop_oneof![
        6 => (0..SESSIONS, subscription(), id).prop_map(|(session, wish, id)| Step::Subscribe(session, wish, id)),
        3 => (0..SESSIONS, filter()).prop_map(|(session, filter)| Step::Unsubscribe(session, filter)),
        1 => (0..SESSIONS).prop_map(Step::End),
        8 => (of(0..SESSIONS), topic(), qos(), any::<bool>())
            .prop_map(|(from, topic, qos, retain)| Step::Publish { from, topic, qos, retain }),
    ]
}

fn check(real: &mut Real, naive: &Naive, from: Option<usize>, message: &Message) {
    let mut own = BTreeMap::new();
    let mut shared = Vec::new();
    for (session, is_shared, copy) in real.find(from, message) {
        if is_shared {
            shared.push((session, copy));
        } else {
            assert_eq!(own.insert(session, copy), None, "one copy for all of a client's own subscriptions");
        }
    }
    assert_eq!(own, naive.own(from, message), "{message:?}");

    // One of each group, which gets what it asked for. Which copy is for which group is not seen: match them up.
    let groups = naive.shared(message);
    assert_eq!(shared.len(), groups.len(), "{message:?}");
    assert!(fits(&groups.values().collect::<Vec<_>>(), &mut shared), "{shared:?} for {groups:?}");
}

/// Whether each group can be given one of the copies.
fn fits(groups: &[&BTreeMap<usize, Copy>], copies: &mut Vec<(usize, Copy)>) -> bool {
    let Some((group, rest)) = groups.split_first() else { return true };
    (0..copies.len()).any(|at| {
        let (session, copy) = copies.remove(at);
        let found = group.get(&session) == Some(&copy) && fits(rest, copies);
        copies.insert(at, (session, copy));
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// [MQTT-3.3.2-3] [MQTT-3.3.4-2] [MQTT-3.3.4-4] [MQTT-3.8.3-3] [MQTT-4.8.2-3]
    #[test]
    fn the_router_finds_whom_the_specification_says(steps in vec(step(), 1..120)) {
        let (mut real, mut naive) = (Real::new(), Naive::default());
        for step in steps {
            match step {
                Step::Subscribe(session, subscription, id) => {
                    let reason = real.state.subscribe(real.clients[session], &subscription, id);
                    prop_assert_eq!(reason, ReasonCode::granted(subscription.options.qos));
                    naive.subscribe(session, &subscription, id);
                }
                Step::Unsubscribe(session, filter) => {
                    let reason = real.state.unsubscribe(real.clients[session], &filter);
                    let there_was = naive.unsubscribe(session, &filter);
                    prop_assert_eq!(reason == ReasonCode::Success, there_was);
                }
                Step::End(session) => {
                    real.end(session);
                    naive.end(session);
                }
                Step::Publish { from, topic, qos, retain } => {
                    let message = Message::new(topic, "x").with_qos(qos).with_retain(retain);
                    check(&mut real, &naive, from, &message);
                }
            }
            prop_assert_eq!(real.state.router.len(), naive.subscriptions.len());
        }
        // Nothing is left when everybody has gone.
        for session in 0..SESSIONS {
            real.end(session);
        }
        prop_assert!(real.state.router.is_empty());
    }

    /// With everybody there, the members of a group take turns: none is a message ahead by more than one.
    #[test]
    fn members_of_a_group_take_turns(
        members in 1..SESSIONS,
        others in vec((0..SESSIONS, filter()), 0..10),
        count in 1..40usize,
    ) {
        let mut real = Real::new();
        for (session, filter) in others {
            real.state.subscribe(real.clients[session], &Subscription::new(filter, QoS::AtMostOnce), None);
        }
        let turns = TopicFilter::try_from("$share/turns/t/+").unwrap();
        for session in 0..members {
            real.state.subscribe(real.clients[session], &Subscription::new(turns.clone(), QoS::AtLeastOnce), None);
        }
        let message = Message::new("t/x".try_into().unwrap(), "x").with_qos(QoS::AtLeastOnce);
        let mut got = vec![0; members];
        for _ in 0..count {
            // Of all groups only this one has granted QoS 1.
            let found = real.find(None, &message);
            let turn = found.iter().find(|(_, shared, copy)| *shared && copy.0 == QoS::AtLeastOnce);
            got[turn.expect("one of them").0] += 1;
        }
        prop_assert_eq!(got.iter().sum::<usize>(), count);
        prop_assert!(got.iter().max().unwrap() - got.iter().min().unwrap() <= 1, "{:?}", got);
    }
}

#[test]
fn the_naive_matcher_knows_the_examples_of_the_specification() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "/finance", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/x", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}
