//! moka as a weighted map and nothing else: no expiry, no loading calls, no invalidation closures.
//!
//! Its key is a hash already. The listener is told of every value that leaves, whatever for: within the call
//! that replaces or removes it, under the key's lock; for want of room, at some later maintenance, within some
//! other call. It can't panic: moka never calls a listener again that panicked.

use std::hash::{BuildHasherDefault, Hasher};

use moka::notification::RemovalCause;

use super::store::{Leaving, Resource};

/// A map from hashes to resources that holds a bounded weight.
pub struct Map(moka::sync::Cache<u64, Resource, BuildHasherDefault<Hashed>>);

impl Map {
    /// A map that holds `max_bytes` of weight, and tells `left` which resource left it, and how.
    pub fn new(max_bytes: u64, left: impl Fn(&Resource, Leaving) + Send + Sync + 'static) -> Map {
        let map = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, resource: &Resource| resource.weight())
            .eviction_listener(move |_, resource: Resource, cause| match cause {
                RemovalCause::Size => left(&resource, Leaving::Evicted),
                _ => left(&resource, Leaving::Removed),
            })
            .build_with_hasher(BuildHasherDefault::default());
        Map(map)
    }

    /// What stands under `hash`.
    pub fn get(&self, hash: u64) -> Option<Resource> {
        self.0.get(&hash)
    }

    /// Puts a resource in the place of what stands under `hash`.
    pub fn insert(&self, hash: u64, resource: Resource) {
        self.0.insert(hash, resource);
    }

    /// Removes what stands under `hash`.
    pub fn remove(&self, hash: u64) {
        self.0.invalidate(&hash);
    }

    /// All that it holds, while others change it.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        self.0.iter().map(|(_, resource)| resource)
    }

    /// Resources, and their weight in bytes; both lag a little behind the last writes.
    pub fn figures(&self) -> (u64, u64) {
        (self.0.entry_count(), self.0.weighted_size())
    }

    /// Does pending work now: evictions, and the figures.
    pub fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

/// Passes a key through that is a hash already.
#[derive(Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
