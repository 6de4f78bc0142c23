#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqttkit_fuzz::client_bytes(data));
