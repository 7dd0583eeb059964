//! Refreshes behind stale answers: which keys had one lately.
//!
//! While an origin fails, every hit within `stale-while-revalidate` would try again; so a key has one refresh in
//! `REFRESH_PAUSE`, unless it ended in something stored. Lock: one mutex, a leaf, taken on stale hits and on
//! commits. Bounded by `REFRESHES_MAX`; a key is remembered by its seeded hash alone. A lost mark costs one fetch,
//! a collision one pause, and neither a wrong answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::key::Key;
use crate::limits::{REFRESH_PAUSE, REFRESHES_MAX};

/// See the module.
#[derive(Default)]
pub struct Refreshes {
    begun: Mutex<HashMap<u64, Moment>>,
    hasher: RandomState,
    /// How many there are, so that a commit takes no lock where there are none.
    count: AtomicUsize,
}

impl Refreshes {
    /// Begins a refresh; false where one of this key has begun lately.
    pub fn begin(&self, key: &Key, now: Moment) -> bool {
        let key = self.hasher.hash_one(key);
        let mut begun = self.begun.lock();
        if begun.get(&key).is_some_and(|at| now.since(*at) < REFRESH_PAUSE) {
            return false;
        }
        if begun.len() >= REFRESHES_MAX {
            begun.retain(|_, at| now.since(*at) < REFRESH_PAUSE);
        }
        if begun.len() < REFRESHES_MAX {
            begun.insert(key, now);
        }
        self.count.store(begun.len(), Ordering::Relaxed);
        true
    }

    /// Forgets a key: it was stored anew.
    pub fn succeeded(&self, key: &Key) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut begun = self.begun.lock();
        begun.remove(&self.hasher.hash_one(key));
        self.count.store(begun.len(), Ordering::Relaxed);
    }
}
