pub fn diff_v4(_: &[u8]) {}
pub fn diff_v5(_: &[u8]) {}
