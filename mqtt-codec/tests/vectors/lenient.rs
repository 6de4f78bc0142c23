//! What a lenient codec makes of every vector: the same, but for the errors that it forgives.

use std::collections::BTreeSet;

use bytes::BytesMut;
use mqttkit_codec::{Codec, Strictness};

use crate::parse::{self, Vector};

fn lenient_codecs(vector: &Vector) -> impl Iterator<Item = Codec> {
    vector.codecs().map(|mut codec| {
        codec.set_strictness(Strictness::Lenient);
        codec
    })
}

#[test]
fn packets_without_a_fault_are_the_same() {
    for vector in parse::packets() {
        for (mut lenient, mut strict) in lenient_codecs(&vector).zip(vector.codecs()) {
            let packet = lenient.decode(&mut BytesMut::from(&vector.bytes[..]));
            assert_eq!(packet, strict.decode(&mut BytesMut::from(&vector.bytes[..])), "{}", vector.name);
            assert_eq!(lenient.take_forgiven(), None, "{}", vector.name);
        }
    }
}

/// An error is forgiven if the data says so, and then the packet has a canonical form. Whatever else is wrong stays
/// the error that it is.
#[test]
fn only_the_errors_of_the_list_are_forgiven() {
    for vector in parse::malformed() {
        for mut codec in lenient_codecs(&vector) {
            let (version, name) = (codec.version(), &vector.name);
            let mut input = BytesMut::from(&vector.bytes[..]);
            let strict = vector.codecs().find(|codec| codec.version() == version).unwrap();
            let error = strict.clone().decode(&mut input.clone()).unwrap_err();
            assert_eq!(error.is_forgivable(), vector.forgiven.is_some(), "{name} in {version}");

            let result = codec.decode(&mut input);
            let Some(canonical) = &vector.forgiven else {
                assert_eq!(result, Err(error), "{name} in {version}");
                assert_eq!(codec.take_forgiven(), None, "{name} in {version}");
                continue;
            };
            let packet = result.unwrap_or_else(|error| panic!("{name} in {version}: {error}")).unwrap();
            assert_eq!(codec.take_forgiven(), Some(error), "{name} in {version}");
            assert_eq!(codec.take_forgiven(), None, "it is told once");
            assert!(input.is_empty(), "{name} in {version}");

            let mut out = BytesMut::new();
            codec.encode(&packet, &mut out).unwrap();
            assert_eq!(out[..], canonical[..], "{name} in {version}");
            // What a strict codec would have read is what the lenient one has.
            assert_eq!(strict.clone().decode(&mut out), Ok(Some(packet)), "{name} in {version}");
        }
    }
}

/// The causes that can be forgiven stand in the source; each needs a vector that is.
#[test]
fn every_forgivable_cause_has_a_vector() {
    let source = include_str!("../../src/strictness.rs");
    let function = source.split_once("fn is_forgivable").unwrap().1.split_once("\n    }\n").unwrap().0;
    let listed: BTreeSet<_> = function
        .split("C::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap().to_owned())
        .collect();
    assert!(listed.len() > 8, "the list was not found");
    let forgiven: BTreeSet<_> = parse::malformed()
        .iter()
        .filter(|vector| vector.forgiven.is_some())
        .map(|vector| vector.error.as_ref().unwrap().split([' ', '(']).next().unwrap().to_owned())
        .collect();
    assert_eq!(listed, forgiven);
}

/// A packet that comes in pieces is forgiven once, when it is complete, and not when another fault is found in it.
#[test]
fn what_is_forgiven_is_told_with_the_packet() {
    for vector in parse::malformed() {
        for mut codec in lenient_codecs(&vector) {
            let mut input = BytesMut::new();
            for (index, &byte) in vector.bytes.iter().enumerate() {
                input.extend_from_slice(&[byte]);
                let result = codec.decode(&mut input);
                if matches!(result, Ok(None) | Err(_)) {
                    assert_eq!(codec.take_forgiven(), None, "{} after {index} bytes", vector.name);
                }
                if result.is_err() {
                    break;
                }
            }
            assert_eq!(codec.take_forgiven().is_some(), vector.forgiven.is_some(), "{}", vector.name);
        }
    }
}

/// The first fault is kept until somebody asks.
#[test]
fn the_first_fault_is_kept() {
    let vectors = parse::malformed();
    let named = |name: &str| vectors.iter().find(|vector| vector.name == name).unwrap();
    let first = named("trailing_puback");
    let second = named("two_faults_that_are_forgiven");
    let mut codec = lenient_codecs(first).find(|codec| second.versions.contains(&codec.version())).unwrap();
    for vector in [first, second] {
        codec.decode(&mut BytesMut::from(&vector.bytes[..])).unwrap().unwrap();
    }
    assert_eq!(codec.take_forgiven().map(|error| parse::describe(&error)), first.error);
    codec.decode(&mut BytesMut::from(&second.bytes[..])).unwrap().unwrap();
    assert_eq!(codec.take_forgiven().map(|error| parse::describe(&error)), second.error);
}
