//! Runs inputs through a target without a fuzzer: `cargo run --example replay -- pair FILE…`.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, body)) = mqttkit_fuzz::TARGETS.iter().find(|(target, _)| *target == name) else {
        return Err(io::Error::other(format!("there is no target {name:?}")));
    };
    for file in arguments {
        println!("{file}");
        body(&fs::read(file)?);
    }
    Ok(())
}
