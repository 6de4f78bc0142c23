//! What the fuzzer does, in small, for a stable toolchain without coverage: vectors, and bytes of a fixed sequence.

use std::path::Path;
use std::{fs, iter};

use crate::TARGETS;

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
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut byte = iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
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
