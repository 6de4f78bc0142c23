//! Masks: what a client lays over its frames (RFC 6455 section 5.3).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Lays `mask` over `data`, or takes it off, and turns the mask so that it fits the byte that comes next.
pub(super) fn apply(data: &mut [u8], mask: &mut [u8; 4]) {
    let word = u32::from_ne_bytes(*mask);
    let double = u64::from(word) << 32 | u64::from(word);
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ double).to_ne_bytes());
        }
    }
    let rest = chunks.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len() & 3);
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
    use super::{Masks, apply};

    #[test]
    fn parts_are_masked_like_the_whole() {
        let plain: Vec<u8> = (0..100).collect();
        let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ [9, 8, 7, 6][i % 4]).collect();
        for cut in 0..plain.len() {
            let mut data = plain.clone();
            let mut mask = [9, 8, 7, 6];
            let (a, b) = data.split_at_mut(cut);
            apply(a, &mut mask);
            apply(b, &mut mask);
            assert_eq!(data, expected, "cut at {cut}");
        }
    }

    #[test]
    fn masks_differ() {
        let mut masks = Masks::new();
        let all: std::collections::HashSet<_> = (0..1000).map(|_| masks.next()).collect();
        assert!(all.len() > 990, "{}", all.len());
    }
}
