//! Feeds [`freshet_fuzz::range`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::range(data));
