//! moka as a weighted map and nothing else: no expiry, no loading calls, no invalidation closures.
//!
//! Its key is a hash already. The listener is told of every value that leaves, whatever for: within the call
//! that replaces or removes it, under the key's lock; for want of room, at some later maintenance, within some
//! other call. It can't panic: moka never calls a listener again that panicked.
//!
//! A large map is made of several parts, each of them a moka of its own with a share of the room. moka's table is
//! 64 hash tables; one of them is built anew when a tenth of its slots are a removed key's, and then whoever looks for
//! a key in it waits. In one moka of a million entries that is milliseconds, a hundred times while a third of them is
//! removed; the parts' tables are small (`docs/performance.md`; `FRESHET_PURGE_ONLY=map cargo bench --bench purge`). Room
//! is kept for each part by itself, so they are large: one may be full before another.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use moka::notification::RemovalCause;

use super::store::{Leaving, Resource};

/// The hash's lowest bits choose a slot, its highest one of moka's 64 tables: so these choose the part.
const PART_SHIFT: u32 = 32;

/// A map from hashes to resources that holds a bounded weight.
pub struct Map(Box<[Part]>);

type Part = moka::sync::Cache<u64, Resource, BuildHasherDefault<Hashed>>;

impl Map {
    /// A map of so many parts, a power of two, that holds `max_bytes` of weight in equal shares, and tells `left`
    /// which resource left it, and how.
    pub fn new(
        parts: usize,
        max_bytes: u64,
        left: impl Fn(&Resource, Leaving) + Send + Sync + 'static,
    ) -> Map {
        assert!(parts.is_power_of_two(), "{parts} parts can't be chosen by bits");
        let left = Arc::new(left);
        let part = |_| {
            let left = left.clone();
            moka::sync::Cache::builder()
                .max_capacity(max_bytes / parts as u64)
                .weigher(|_, resource: &Resource| resource.weight())
                .eviction_listener(move |_, resource: Resource, cause| match cause {
                    RemovalCause::Size => left(&resource, Leaving::Evicted),
                    _ => left(&resource, Leaving::Removed),
                })
                .build_with_hasher(BuildHasherDefault::default())
        };
        Map((0..parts).map(part).collect())
    }

    /// What stands under `hash`.
    pub fn get(&self, hash: u64) -> Option<Resource> {
        self.part(hash).get(&hash)
    }

    /// Puts a resource in the place of what stands under `hash`.
    pub fn insert(&self, hash: u64, resource: Resource) {
        self.part(hash).insert(hash, resource);
    }

    /// Removes what stands under `hash`.
    pub fn remove(&self, hash: u64) {
        self.part(hash).invalidate(&hash);
    }

    /// All that it holds, while others change it.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        self.0.iter().flat_map(Part::iter).map(|(_, resource)| resource)
    }

    /// Resources, and their weight in bytes; both lag a little behind the last writes.
    pub fn figures(&self) -> (u64, u64) {
        let figures = self.0.iter().map(|part| (part.entry_count(), part.weighted_size()));
        figures.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    /// Does pending work now: evictions, and the figures.
    pub fn settle(&self) {
        self.0.iter().for_each(Part::run_pending_tasks);
    }

    fn part(&self, hash: u64) -> &Part {
        &self.0[(hash >> PART_SHIFT) as usize & (self.0.len() - 1)]
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;

    use super::super::model::Random;
    use super::*;

    const PARTS: usize = 8;

    fn resource(id: u64) -> Resource {
        Resource::new(id, "demo/http://img.test/demo/a.jpg", Vec::new())
    }

    /// Hashes as the store's are: every bit by chance.
    fn hashes(count: usize) -> Vec<u64> {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        (0..count).map(|at| hasher.hash_one(at)).collect()
    }

    #[test]
    fn parts_are_one_map_whose_listener_hears_of_each_value_once() {
        let left = Arc::new(Mutex::new(Vec::new()));
        let told = left.clone();
        let map =
            Map::new(PARTS, 1 << 30, move |resource, leaving| told.lock().push((resource.id(), leaving)));
        let (mut random, hashes) = (Random::new(1), hashes(200));
        let (mut model, mut gone) = (BTreeMap::new(), Vec::new());
        for id in 1..=5_000 {
            let hash = hashes[random.below(hashes.len())];
            let before = if random.one_in(3) {
                map.remove(hash);
                model.remove(&hash)
            } else {
                map.insert(hash, resource(id));
                model.insert(hash, id)
            };
            gone.extend(before.map(|id| (id, Leaving::Removed)));
            assert_eq!(map.get(hash).map(|found| found.id()), model.get(&hash).copied());
        }
        map.settle();
        let mut held: Vec<u64> = map.iter().map(|resource| resource.id()).collect();
        held.sort_unstable();
        let mut wanted: Vec<u64> = model.values().copied().collect();
        wanted.sort_unstable();
        assert_eq!(held, wanted);
        assert_eq!(
            map.figures(),
            (wanted.len() as u64, wanted.len() as u64 * u64::from(resource(1).weight()))
        );
        assert_eq!(*left.lock(), gone);
    }

    #[test]
    fn each_part_holds_its_share_of_the_weight() {
        let share = 100 * u64::from(resource(1).weight());
        let map = Map::new(PARTS, PARTS as u64 * share, |_, _| {});
        hashes(10_000).into_iter().for_each(|hash| map.insert(hash, resource(hash)));
        map.settle();
        for part in &map.0 {
            assert_eq!(part.weighted_size(), share, "of 1250, a hundred have room");
        }
    }

    #[test]
    fn hashes_are_spread_over_parts() {
        let map = Map::new(PARTS, 1 << 30, |_, _| {});
        hashes(8_000).into_iter().for_each(|hash| map.insert(hash, resource(hash)));
        map.settle();
        for part in &map.0 {
            assert!((850..=1150).contains(&part.entry_count()), "{} of 8000 in one of 8", part.entry_count());
        }
    }
}
