#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqttkit_fuzz::diff_v4(data));
