//! Chapter 4.7 and 4.8.2: topic names, topic filters and shared subscriptions.

use mqttkit_codec::{DecodeCause, FilterMap, TopicError, TopicFilter, TopicName, Version};

use crate::common::{NUMBERED, accepted, field, filter, frame, packet, refused, topic};

/// A SUBSCRIBE to one filter.
fn subscribe(version: Version, filter: &[u8]) -> Vec<u8> {
    let head: &[u8] = if version == Version::V5 { &[0, 1, 0] } else { &[0, 1] };
    frame(0x82, &[head, &field(filter), &[0]].concat())
}

fn unsubscribe(version: Version, filter: &[u8]) -> Vec<u8> {
    let head: &[u8] = if version == Version::V5 { &[0, 1, 0] } else { &[0, 1] };
    frame(0xa2, &[head, &field(filter)].concat())
}

/// The filter is refused on the wire, in both packets, and cannot be built.
#[track_caller]
fn not_a_filter(text: &str, error: TopicError, v311: &str, v5: &str) {
    assert_eq!(TopicFilter::try_from(text), Err(error), "{text}");
    for (version, statement) in [(Version::V311, v311), (Version::V5, v5)] {
        for wire in [subscribe(version, text.as_bytes()), unsubscribe(version, text.as_bytes())] {
            refused(version, &wire, DecodeCause::Topic(error), statement);
        }
    }
}

fn is_filter(text: &str) {
    filter(text);
    for version in NUMBERED {
        accepted(version, &subscribe(version, text.as_bytes()));
        accepted(version, &unsubscribe(version, text.as_bytes()));
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut map = FilterMap::new();
    map.insert(pattern, (), ());
    let mut found = false;
    map.for_each_match(name, |(), ()| found = true);
    assert_eq!(found, filter(pattern).matches(&topic(name)), "the map and the filter agree");
    found
}

/// [MQTT-3.3.2-2]; [MQTT-4.7.1-1] of 3.1.1, [MQTT-4.7.0-1] of 5.0
#[test]
fn a_topic_name_has_no_wildcards() {
    for name in ["+", "#", "a/+", "a/#/b", "a+b", "#a"] {
        assert_eq!(TopicName::try_from(name), Err(TopicError::WildcardInName));
        for version in NUMBERED {
            let properties = if version == Version::V5 { "00" } else { "" };
            let publish = packet(0x30, &format!("<{name}> {properties}"));
            refused(version, &publish, DecodeCause::Topic(TopicError::WildcardInName), "MQTT-3.3.2-2");
        }
        // A will is published, too.
        let cause = DecodeCause::Topic(TopicError::WildcardInName);
        let will = packet(0x10, &format!("<MQTT> 04 06 003c <c> <{name}> <bye>"));
        refused(Version::V311, &will, cause, "MQTT-4.7.1-1");
        let will = packet(0x10, &format!("<MQTT> 05 06 003c 00 <c> 00 <{name}> <bye>"));
        refused(Version::V5, &will, cause, "MQTT-4.7.0-1");
    }
}

/// [MQTT-4.7.1-2] of 3.1.1, [MQTT-4.7.1-1] of 5.0
#[test]
fn the_multi_level_wildcard_is_a_whole_level_and_the_last() {
    for text in ["#", "sport/tennis/player1/#", "sport/#", "/#", "+/#"] {
        is_filter(text);
    }
    for text in ["sport/tennis#", "sport/tennis/#/ranking", "#/", "a#", "##", "#a"] {
        not_a_filter(text, TopicError::MultiLevelWildcard, "MQTT-4.7.1-2", "MQTT-4.7.1-1");
    }
    assert!(matches("sport/#", "sport") && matches("sport/#", "sport/a") && matches("sport/#", "sport/a/b"));
    assert!(!matches("sport/#", "sports"));
}

/// [MQTT-4.7.1-3] of 3.1.1, [MQTT-4.7.1-2] of 5.0
#[test]
fn the_single_level_wildcard_is_a_whole_level() {
    for text in ["+", "+/tennis/#", "sport/+/player1", "/+", "+/+", "a/+"] {
        is_filter(text);
    }
    for text in ["sport+", "+sport", "a/b+/c", "++", "a/+b"] {
        not_a_filter(text, TopicError::SingleLevelWildcard, "MQTT-4.7.1-3", "MQTT-4.7.1-2");
    }
    assert!(matches("sport/+", "sport/") && matches("+/+", "/finance") && matches("/+", "/finance"));
    assert!(!matches("sport/+", "sport") && !matches("+", "/finance") && !matches("sport/+", "sport/a/b"));
}

/// [MQTT-4.7.2-1]
#[test]
fn a_filter_that_starts_with_a_wildcard_matches_no_dollar_topic() {
    for pattern in ["#", "+", "+/monitor/Clients", "+/#"] {
        assert!(!matches(pattern, "$SYS/monitor/Clients") && !matches(pattern, "$SYS"), "{pattern}");
    }
    assert!(matches("$SYS/#", "$SYS/monitor/Clients"));
    assert!(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
    assert!(matches("#", "a/$SYS") && matches("+/+", "a/$SYS"), "only the first character counts");
}

/// [MQTT-4.7.3-1]
#[test]
fn a_topic_has_at_least_one_character() {
    not_a_filter("", TopicError::Empty, "MQTT-4.7.3-1", "MQTT-4.7.3-1");
    assert_eq!(TopicName::try_from(""), Err(TopicError::Empty));
    refused(Version::V311, &packet(0x30, "<>"), DecodeCause::MissingTopic, "MQTT-4.7.3-1");
    let empty = DecodeCause::Topic(TopicError::Empty);
    refused(Version::V311, &packet(0x10, "<MQTT> 04 06 003c <c> <> <>"), empty, "MQTT-4.7.3-1");
    refused(Version::V5, &packet(0x10, "<MQTT> 05 06 003c 00 <c> 00 <> <>"), empty, "MQTT-4.7.3-1");
    for text in ["/", " ", "a"] {
        is_filter(text);
        topic(text);
    }
}

/// [MQTT-4.7.3-2]
#[test]
fn a_topic_has_no_u0000() {
    assert_eq!(TopicFilter::try_from("a\0"), Err(TopicError::Nul));
    assert_eq!(TopicName::try_from("a\0"), Err(TopicError::Nul));
    for (version, statement) in [(Version::V311, "MQTT-1.5.3-2"), (Version::V5, "MQTT-1.5.4-2")] {
        for wire in [subscribe(version, b"a\0"), unsubscribe(version, b"a\0")] {
            refused(version, &wire, DecodeCause::Nul, statement);
        }
    }
}

/// [MQTT-4.7.3-3]
#[test]
fn a_topic_has_at_most_65535_bytes() {
    let longest = "é".repeat(32_767) + "x";
    assert!(TopicName::try_from(&longest).is_ok() && TopicFilter::try_from(&longest).is_ok());
    let longer = longest + "x";
    assert_eq!(TopicName::try_from(&longer), Err(TopicError::TooLong(65_536)));
    assert_eq!(TopicFilter::try_from(&longer), Err(TopicError::TooLong(65_536)));
}

/// [MQTT-4.7.3-4]
#[test]
fn matching_compares_characters_as_they_are() {
    for (pattern, name) in [
        ("ACCOUNTS", "Accounts"),
        ("/finance", "finance"),
        ("a//b", "a/b"),
        ("a/", "a"),
        ("e\u{301}", "é"),
        (" a", "a"),
        ("a/../b", "b"),
        ("\u{feff}a", "a"),
        ("%41", "A"),
    ] {
        assert!(!matches(pattern, name) && !matches(name, pattern), "{pattern} is not {name}");
        assert!(matches(pattern, pattern) && matches(name, name));
    }
}

/// [MQTT-4.8.2-1]
#[test]
fn a_share_has_a_name_of_at_least_one_character() {
    for text in ["$share/g/a", "$share/g/#", "$share/g//a", "$share/g/+/b"] {
        is_filter(text);
    }
    assert_eq!((filter("$share/g//a").share_name(), filter("$share/g//a").pattern()), (Some("g"), "/a"));
    for version in NUMBERED {
        let statement = if version == Version::V5 { "MQTT-4.8.2-1" } else { "none" };
        for text in ["$share//a", "$share/", "$share//"] {
            let cause = DecodeCause::Topic(TopicError::ShareName);
            refused(version, &subscribe(version, text.as_bytes()), cause, statement);
        }
    }
    assert!(!filter("$shared/g/a").is_shared() && !filter("$share").is_shared());
}

/// [MQTT-4.8.2-2]
#[test]
fn a_share_name_has_no_wildcard_and_a_filter_behind_it() {
    for text in ["$share/a+/b", "$share/#/b", "$share/+/b"] {
        let cause = DecodeCause::Topic(TopicError::WildcardInShareName);
        refused(Version::V5, &subscribe(Version::V5, text.as_bytes()), cause, "MQTT-4.8.2-2");
    }
    for text in ["$share/g", "$share/g/"] {
        let cause = DecodeCause::Topic(TopicError::ShareWithoutFilter);
        refused(Version::V5, &subscribe(Version::V5, text.as_bytes()), cause, "MQTT-4.8.2-2");
    }
    assert!(TopicFilter::try_from("$share/g/a#").is_err(), "and that filter follows the rules of filters");
}
