//! What the fuzz targets do. Each is a function of bytes that panics when a promise of `mqttkit-codec` is broken.
//!
//! The bodies use nothing but the public API: what no user can reach needs no target, and the crate stays free of
//! code for tests.

mod bytes_in;
mod decode;
mod diff;
mod generate;
mod lenient;
mod pair;
mod round_trip;
mod split;
mod topic;

pub use bytes_in::{client_bytes, server_bytes};
pub use decode::decode;
pub use diff::{diff_v4, diff_v5};
pub use pair::pair;
pub use round_trip::round_trip;
pub use split::split;
pub use topic::topic;

use std::iter;

use mqttkit_codec::Version;

/// A body of a target.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Body); 9] = [
    ("decode", decode),
    ("split", split),
    ("round_trip", round_trip),
    ("server_bytes", server_bytes),
    ("client_bytes", client_bytes),
    ("pair", pair),
    ("topic", topic),
    ("diff_v4", diff_v4),
    ("diff_v5", diff_v5),
];

/// Bytes without end, always the same: programs to begin with for the targets that take their input for one.
pub fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
}

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

#[cfg(test)]
mod tests;
