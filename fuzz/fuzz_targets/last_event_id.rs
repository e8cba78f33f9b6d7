#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sarang_fuzz::last_event_id::run(data));
