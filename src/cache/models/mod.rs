//! The purge's discipline under model checkers: the files that run, compiled once more with a checker's types in
//! the place of `../sync.rs`.
//!
//! `loom.rs` has the fences under every interleaving of a few threads, up to a bound of preemptions, and under
//! every value that a weakly ordered load may see. `shuttle.rs` has the whole cache under random interleavings, with
//! evictions. What both notice of code that is broken on purpose stands in the table of `model.rs`.
#![allow(dead_code, reason = "what is compiled once more is used in part")]
#![allow(clippy::duplicate_mod, reason = "it is what the models are")]

mod loom;
mod shuttle;

/// Says which part of a search failed.
struct Seed(u64, &'static str);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at seed {0}; alone: {1}={0}", self.0, self.1);
        }
    }
}
