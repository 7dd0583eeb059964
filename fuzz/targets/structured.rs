//! Feeds [`freshet_fuzz::structured`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::structured(data));
