//! `Config` in a file: every key is there, says what it means, and cannot be misspelt.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "serde")]

use std::time::Duration;

use mqttkit_broker_core::{Config, Overflow, QoS, Rate, SharedStrategy};
use toml::{Table, Value};

#[test]
fn what_is_written_is_read() {
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
}

/// A duration that somebody forgot to give a form of its own would be a table, and an option would be missing.
#[test]
fn every_key_is_written_and_has_a_form_for_people() {
    let table = Table::try_from(Config::default()).unwrap();
    let fields = format!("{:#?}", Config::default());
    let fields = fields.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let fields: Vec<_> =
        fields.filter_map(|line| Some(line.trim().split_once(':')?.0.replace('_', "-"))).collect();
    let keys: Vec<_> = table.keys().cloned().collect();
    let mut sorted = fields.clone();
    sorted.sort();
    assert!(fields.len() > 30 && sorted == keys, "{sorted:?}\n{keys:?}");
    for (key, value) in table {
        assert!(!matches!(value, Value::Table(_) | Value::Array(_) | Value::Float(_)), "{key} = {value:?}");
        let named_for_bytes = key.ends_with("-bytes") || key.ends_with("-size") || key.ends_with("watermark");
        assert!(!named_for_bytes || value.is_str(), "{key} = {value:?} is to have a unit");
    }
}

#[test]
fn people_may_write_as_they_like() {
    let config: Config = toml::from_str(
        r#"
        connect-timeout = 5
        session-expiry = "1h 30m"
        sys-interval = "10s"
        max-keep-alive = 60
        max-packet-size = "64 KiB"
        offline-bytes = 1_000
        maximum-qos = 1
        overflow = "drop-oldest"
        shared-strategy = "least-outstanding"
        response-information = "answers/%c/"
        message-rate = "100/s, burst 1000"
        byte-rate = "64 KiB/s"
        connect-rate = 5
        flapping = "15 in 1m, ban 5m"
        "#,
    )
    .unwrap();
    assert_eq!(config.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.session_expiry, Duration::from_secs(5400));
    assert_eq!(config.sys_interval, Some(Duration::from_secs(10)));
    assert_eq!(config.max_keep_alive.unwrap().get(), 60);
    assert_eq!((config.max_packet_size, config.offline_bytes), (65_536, 1_000));
    assert_eq!(config.maximum_qos, QoS::AtLeastOnce);
    assert_eq!(
        (config.overflow, config.shared_strategy),
        (Overflow::DropOldest, SharedStrategy::LeastOutstanding)
    );
    assert_eq!(config.response_information.as_deref(), Some("answers/%c/"));
    assert_eq!(config.message_rate, Some(Rate::per_second(100).with_burst(1_000)));
    assert_eq!(
        (config.byte_rate, config.connect_rate),
        (Some(Rate::per_second(65_536)), Some(Rate::per_second(5)))
    );
    assert_eq!(config.flapping.map(|tolerance| tolerance.ban), Some(Duration::from_secs(300)));
    assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    let off: Config =
        toml::from_str("sys-interval = 'off'\nmax-keep-alive = 'off'\nresponse-information = ''").unwrap();
    assert_eq!(off, Config::default());
}

#[test]
fn mistakes_are_named() {
    for (text, culprit) in [
        ("max-packet-sise = 1", "max-packet-sise"),
        ("connect-timeout = 'soon'", "soon"),
        ("connect-timeout = -1", "-1"),
        ("max-packet-size = '5 GiB'", "5 GiB"),
        ("maximum-qos = 3", "3"),
        ("receive-maximum = 0", "0"),
        ("max-keep-alive = 70000", "70000"),
        ("overflow = 'explode'", "explode"),
        ("connect-rate = '5 per minute'", "5 per minute"),
        ("flapping = 15", "15"),
        ("retain-available = 'yes'", "yes"),
    ] {
        let error = toml::from_str::<Config>(text).unwrap_err();
        assert!(error.message().contains(culprit), "{text}: {}", error.message());
        assert!(error.span().is_some(), "{text} has a place");
    }
}
