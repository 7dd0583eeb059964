//! One of something for each thread: what many threads count does not move from core to core.
//!
//! A thread keeps the place that it gets with its first count. Places are fewer than threads may be: then some
//! share one, so what stands there is atomic all the same. No locks.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::TELEMETRY_SHARDS;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % TELEMETRY_SHARDS;
}

/// See the module.
#[derive(Debug)]
pub struct Shards<T>(Box<[Alone<T>]>);

/// In cache lines of its own; two, since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

impl<T> Shards<T> {
    /// As `make` makes each.
    pub fn new(make: impl Fn() -> T) -> Shards<T> {
        Shards((0..TELEMETRY_SHARDS).map(|_| Alone(make())).collect())
    }

    /// This thread's.
    pub fn own(&self) -> &T {
        &self.0[PLACE.with(|place| *place)].0
    }

    /// Every thread's.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|alone| &alone.0)
    }
}
