//! Reads the vectors of `data/`.
//!
//! ```text
//! [name] 3.1.1 5.0 limit 100   for each of these versions, with a limit for incoming packets
//! 30 07                        bytes in hex …                # a comment
//! 00 03 "a/b" 78*20            … as text, and repeated
//! -> 30 07 …                   what an encoder writes, if that is not the bytes above
//! ! InvalidQoS | MQTT-3.3.1-4 | QoS | 0   cause, statement, field and offset of the error
//! ~ 30 07 …                    what an encoder writes of it if a lenient codec forgives the error
//! ```

use mqttkit_codec::{Codec, DecodeError, Version};

pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
    pub(crate) limit: Option<u32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) canonical: Option<Vec<u8>>,
    pub(crate) error: Option<String>,
    pub(crate) forgiven: Option<Vec<u8>>,
}

impl Vector {
    /// A codec for each version of the vector.
    pub(crate) fn codecs(&self) -> impl Iterator<Item = Codec> {
        self.versions.iter().map(|&version| {
            let mut codec = Codec::new(version);
            if let Some(limit) = self.limit {
                codec.set_max_incoming(limit);
            }
            codec
        })
    }

    /// What an encoder writes.
    pub(crate) fn canonical(&self) -> &[u8] {
        self.canonical.as_deref().unwrap_or(&self.bytes)
    }
}

/// All vectors.
pub(crate) fn load() -> Vec<Vector> {
    let files = [
        include_str!("data/connect.hex"),
        include_str!("data/connack.hex"),
        include_str!("data/publish.hex"),
        include_str!("data/acks.hex"),
        include_str!("data/subscribe.hex"),
        include_str!("data/unsubscribe.hex"),
        include_str!("data/rest.hex"),
        include_str!("data/malformed.hex"),
    ];
    files.into_iter().flat_map(parse).collect()
}

/// The vectors that are packets.
pub(crate) fn packets() -> Vec<Vector> {
    load().into_iter().filter(|vector| vector.error.is_none()).collect()
}

/// The vectors that are errors.
pub(crate) fn malformed() -> Vec<Vector> {
    load().into_iter().filter(|vector| vector.error.is_some()).collect()
}

/// An error as it stands in the data.
pub(crate) fn describe(error: &DecodeError) -> String {
    let statement = error.statement().unwrap_or("-");
    format!("{:?} | {statement} | {} | {}", error.cause(), error.field(), error.offset())
}

fn parse(text: &str) -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            vectors.push(parse_header(header));
        } else if let Some(bytes) = line.strip_prefix("-> ") {
            vectors.last_mut().unwrap().canonical = Some(parse_bytes(bytes));
        } else if let Some(error) = line.strip_prefix("! ") {
            vectors.last_mut().unwrap().error = Some(error.to_owned());
        } else if let Some(bytes) = line.strip_prefix("~ ") {
            vectors.last_mut().unwrap().forgiven = Some(parse_bytes(bytes));
        } else if !line.is_empty() && !line.starts_with('#') {
            vectors.last_mut().unwrap().bytes.extend(parse_bytes(line));
        }
    }
    vectors
}

fn parse_header(header: &str) -> Vector {
    let (name, rest) = header.split_once(']').unwrap();
    let (mut versions, mut limit) = (Vec::new(), None);
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "3.1" => versions.push(Version::V31),
            "3.1.1" => versions.push(Version::V311),
            "5.0" => versions.push(Version::V5),
            "limit" => limit = Some(words.next().unwrap().parse().unwrap()),
            other => panic!("{name}: what is {other:?}?"),
        }
    }
    assert!(!versions.is_empty(), "{name}: no version");
    Vector {
        name: name.to_owned(),
        versions,
        limit,
        bytes: Vec::new(),
        canonical: None,
        error: None,
        forgiven: None,
    }
}

fn parse_bytes(mut line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            return bytes;
        }
        let part;
        if let Some(quoted) = line.strip_prefix('"') {
            let (text, rest) = quoted.split_once('"').unwrap();
            part = text.as_bytes().to_vec();
            line = rest;
        } else {
            part = vec![u8::from_str_radix(&line[..2], 16).unwrap()];
            line = &line[2..];
        }
        let mut times = 1;
        if let Some(rest) = line.strip_prefix('*') {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            times = rest[..end].parse().unwrap();
            line = &rest[end..];
        }
        bytes.extend(part.repeat(times));
    }
}
