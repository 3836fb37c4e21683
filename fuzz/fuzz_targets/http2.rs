#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wsclose::fuzzing::http2(input));
