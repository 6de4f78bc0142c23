//! Topics are checked and matched as a naive reading of section 4.7 does it, and a `FilterMap` finds the same.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use mqttkit_codec::{FilterMap, TopicFilter, TopicName, matches};

use crate::generate;

/// Builds filters and names from `data`, matches all with all, and compares a `FilterMap` with a plain list.
pub fn topic(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

/// More steps than this teach nothing new.
const STEPS: usize = 60;

fn run(from: &mut Unstructured<'_>) -> Result<()> {
    let mut map = FilterMap::new();
    let mut model = BTreeMap::new();
    for value in 0..STEPS {
        if from.is_empty() {
            break;
        }
        match from.int_in_range(0..=9)? {
            0 => check_text(&generate::topic_text(from, true)?),
            1..=4 => {
                let filter = generate::filter(from)?.pattern().to_owned();
                let key: u8 = from.int_in_range(0..=3)?;
                assert_eq!(map.insert(&filter, key, value), model.insert((filter, key), value));
            }
            5 => {
                let filter = generate::filter(from)?.pattern().to_owned();
                let key: u8 = from.int_in_range(0..=3)?;
                assert_eq!(map.remove(&filter, &key), model.remove(&(filter, key)));
            }
            6 if !model.is_empty() => {
                let at = from.choose_index(model.len())?;
                let (filter, key) = model.keys().nth(at).cloned().expect("it is below the length");
                let value = model.remove(&(filter.clone(), key));
                assert_eq!(map.get_mut(&filter, &key).copied(), value);
                assert_eq!(map.remove(&filter, &key), value);
                assert_eq!(map.get(&filter, &key), None);
            }
            // One that is no filter does no harm.
            7 => {
                let text = generate::topic_text(from, true)?;
                map.insert(&text, 9, value);
                map.for_each_match(&text, |_, _| {});
                map.remove(&text, &9);
            }
            _ => {
                let topic = generate::topic(from)?;
                check_found(&map, &model, topic.as_str());
            }
        }
        assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    }
    let mut all: Vec<_> =
        map.iter().map(|(filter, &key, &value)| ((filter.into_owned(), key), value)).collect();
    all.sort();
    assert!(all.iter().map(|(k, v)| (k, v)).eq(&model), "{all:?} is not {model:?}");
    Ok(())
}

fn check_found(map: &FilterMap<u8, usize>, model: &BTreeMap<(String, u8), usize>, topic: &str) {
    let mut found = Vec::new();
    map.for_each_match(topic, |&key, &value| found.push((key, value)));
    found.sort_unstable();
    let mut expected = Vec::new();
    for ((filter, key), &value) in model {
        let fits = naive_match(filter, topic);
        assert_eq!(matches(filter, topic), fits, "{filter:?} and {topic:?}");
        if fits {
            expected.push((*key, value));
        }
    }
    expected.sort_unstable();
    assert_eq!(found, expected, "{topic:?}");
}

/// Level by level, from the text of the specification.
fn naive_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) | (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([level, filter @ ..], [name, topic @ ..]) => level == name && levels(filter, topic),
            _ => false,
        }
    }
    let filter: Vec<_> = filter.split('/').collect();
    let topic: Vec<_> = topic.split('/').collect();
    // [MQTT-4.7.2-1]
    let hidden = topic[0].starts_with('$') && (filter[0] == "#" || filter[0] == "+");
    !hidden && levels(&filter, &topic)
}

/// What a text may be.
fn check_text(text: &str) {
    let fits = !text.is_empty() && text.len() <= 65_535 && !text.contains('\0');
    let name = TopicName::try_from(text);
    assert_eq!(name.is_ok(), fits && !text.contains(['+', '#']), "{text:?}: {name:?}");
    if let Ok(name) = name {
        assert!(name.levels().eq(text.split('/')) && name.is_dollar() == text.starts_with('$'));
    }

    let filter = TopicFilter::try_from(text);
    let parts: Vec<_> = text.splitn(3, '/').collect();
    let (share, pattern) = match parts[..] {
        ["$share", name, pattern] => (Some(name), pattern),
        ["$share", ..] if parts.len() > 1 => (Some(""), ""),
        _ => (None, text),
    };
    let good_share = share.is_none_or(|name| !name.is_empty() && !name.contains(['+', '#']));
    let count = pattern.split('/').count();
    let good_level = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at + 1 == count,
        _ => !level.contains(['+', '#']),
    };
    let good = fits && good_share && !pattern.is_empty() && pattern.split('/').enumerate().all(good_level);
    assert_eq!(filter.is_ok(), good, "{text:?}: {filter:?}");
    if let Ok(filter) = filter {
        assert_eq!((filter.share_name(), filter.pattern()), (share, pattern));
        assert_eq!(filter.is_shared(), share.is_some());
        assert_eq!(filter.has_wildcard(), text.contains(['+', '#']));
    }
}
