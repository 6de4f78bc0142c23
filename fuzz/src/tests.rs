//! What the fuzzer does, in small, for a stable toolchain without coverage: vectors, and bytes of a fixed sequence.

use std::fs;
use std::path::Path;

use crate::{TARGETS, noise};

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../mqtt-codec/tests/vectors/parse.rs"]
mod parse;

#[test]
fn vectors_pass_every_target() {
    for vector in parse::load() {
        for (_, body) in TARGETS {
            body(&vector.bytes);
        }
    }
}

/// What looks like a program to the targets that take their input for one.
#[test]
fn arbitrary_bytes_pass_every_target() {
    let mut byte = noise();
    for round in 0..300 {
        let data: Vec<u8> = byte.by_ref().take(round * 5).collect();
        for (_, body) in TARGETS {
            body(&data);
        }
    }
}

#[test]
fn regressions_pass() {
    for (target, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
        // Most targets have none: what is wrong with bytes is a vector of the codec.
        let Ok(files) = fs::read_dir(folder) else { continue };
        for file in files {
            body(&fs::read(file.expect("an entry").path()).expect("a file"));
        }
    }
}

#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let programs = fs::read_dir(folder).expect("the folder").count();
    assert_eq!(programs, TARGETS.len());
}
