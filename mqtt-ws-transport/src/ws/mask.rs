//! Masks: what a client lays over its frames (RFC 6455 section 5.3).

use bytes::BytesMut;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// What [`append`] takes at a time, in bytes: it stays in registers and the nearest cache.
const BLOCK: usize = 256;

/// Copies `data` behind `out` and lays `mask` over the copy, or takes it off, as [`apply`] does, but in one pass: what is
/// large is not fetched from memory a second time.
pub(super) fn append(out: &mut BytesMut, data: &[u8], mask: &mut [u8; 4]) {
    out.reserve(data.len());
    let double = double(*mask);
    let (blocks, rest) = data.as_chunks::<BLOCK>();
    let mut masked = [0; BLOCK];
    for block in blocks {
        for (to, from) in masked.as_chunks_mut().0.iter_mut().zip(block.as_chunks().0) {
            *to = (u64::from_ne_bytes(*from) ^ double).to_ne_bytes();
        }
        out.extend_from_slice(&masked);
    }
    let start = out.len();
    out.extend_from_slice(rest);
    apply(&mut out[start..], mask);
}

/// Lays `mask` over `data`, or takes it off, and turns the mask so that it fits the byte that comes next.
pub(super) fn apply(data: &mut [u8], mask: &mut [u8; 4]) {
    let double = double(*mask);
    let (words, rest) = data.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ double).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len() & 3);
}

fn double(mask: [u8; 4]) -> u64 {
    let word = u64::from(u32::from_ne_bytes(mask));
    word << 32 | word
}

/// Masks that nobody outside can foresee: the keyed hash of a counter, the key from the system's entropy.
///
/// A mask protects proxies from content that a stranger chose, so that it must not be guessable; it keeps no secret.
#[derive(Debug, Clone)]
pub(super) struct Masks {
    key: RandomState,
    count: u64,
}

impl Masks {
    pub(super) fn new() -> Self {
        Self { key: RandomState::new(), count: 0 }
    }

    pub(super) fn next(&mut self) -> [u8; 4] {
        self.count = self.count.wrapping_add(1);
        let mut hasher = self.key.build_hasher();
        hasher.write_u64(self.count);
        let [a, b, c, d, ..] = hasher.finish().to_ne_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::{Masks, append, apply};
    use bytes::BytesMut;

    #[test]
    fn parts_are_masked_like_the_whole() {
        let plain: Vec<u8> = (0..600_u32).map(|i| (i * 7 % 256) as u8).collect();
        let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ [9, 8, 7, 6][i % 4]).collect();
        for cut in 0..plain.len() {
            let mut data = plain.clone();
            let mut mask = [9, 8, 7, 6];
            let (a, b) = data.split_at_mut(cut);
            apply(a, &mut mask);
            apply(b, &mut mask);
            assert_eq!(data, expected, "cut at {cut}");

            let mut out = BytesMut::from(&b"before"[..]);
            let mut mask = [9, 8, 7, 6];
            let (a, b) = plain.split_at(cut);
            append(&mut out, a, &mut mask);
            append(&mut out, b, &mut mask);
            assert_eq!(out, [b"before", &expected[..]].concat(), "cut at {cut}");
        }
    }

    #[test]
    fn masks_differ() {
        let mut masks = Masks::new();
        let all: std::collections::HashSet<_> = (0..1000).map(|_| masks.next()).collect();
        assert!(all.len() > 990, "{}", all.len());
    }
}
