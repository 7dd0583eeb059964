//! Feeds [`freshet_fuzz::gate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::gate(data));
