//! Whether the process is so short of memory that it takes nothing new on. `app` says so (`app/memory.rs`); asked where
//! a connection is accepted and where the origin would be. What is there is served all the same.

use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub struct Pressure(AtomicBool);

impl Pressure {
    /// Says whether new work is refused from now on; returns whether it was before.
    pub fn refuse(&self, refuse: bool) -> bool {
        self.0.swap(refuse, Ordering::Relaxed)
    }

    /// Whether new work is refused.
    pub fn refuses(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
