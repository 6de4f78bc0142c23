//! Writes the golden vectors of the codec, and programs for the other targets, as first inputs: `cargo run --example seed -- corpus`.

use std::path::Path;
use std::{env, fs, io};

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../mqtt-codec/tests/vectors/parse.rs"]
mod parse;

/// Longer vectors are repetitions of one byte, which teach a fuzzer nothing and slow it down.
const LONGEST: usize = 1024;

/// How many programs there are to begin with, each longer than the one before.
const PROGRAMS: usize = 48;

fn main() -> io::Result<()> {
    let corpus = env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    let mut stream = Vec::new();
    for vector in parse::load().iter().filter(|vector| vector.bytes.len() <= LONGEST) {
        let seed = |target: &str, before: &[u8], bytes: &[u8]| {
            let folder = Path::new(&corpus).join(target);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(&vector.name), [before, bytes].concat())
        };
        for target in ["decode", "diff_v4", "diff_v5"] {
            seed(target, &[], &vector.bytes)?;
        }
        // A stream of three, of which the last may be malformed.
        stream.push(vector.bytes.clone());
        let last = stream.len().saturating_sub(3);
        seed("split", &[0, 6, 2, 30], &stream[last..].concat())?;
        if vector.error.is_some() {
            stream.pop();
        }
    }
    // Without them the first minute goes by before a program is longer than a few steps.
    let mut noise = mqttkit_fuzz::noise();
    for target in ["round_trip", "server_bytes", "client_bytes", "pair", "topic"] {
        let folder = Path::new(&corpus).join(target);
        fs::create_dir_all(&folder)?;
        for number in 0..PROGRAMS {
            let program: Vec<u8> = noise.by_ref().take(16 * number).collect();
            fs::write(folder.join(format!("noise-{number}")), program)?;
        }
    }
    Ok(())
}
