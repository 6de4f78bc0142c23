pub fn topic(_: &[u8]) {}
