//! A small map that does what moka does, at the same places: its listener is told of what was replaced within the
//! insert and of what was removed within the call, both under the key's lock; and of what has no room, the newest
//! too, at some later maintenance, within some other call.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::checker::{Mutex, Rng, random};
use super::store::{Leaving, Resource};

thread_local! {
    /// What this test's maps had no room for: a checker runs its threads on one of the system's.
    pub static EVICTIONS: Cell<u64> = const { Cell::new(0) };
}

type Left = Box<dyn Fn(&Resource, Leaving) + Send + Sync>;

pub struct Map {
    /// Oldest first; each access is one step.
    table: Mutex<Vec<(u64, Resource)>>,
    /// Nobody holds this one when the thread changes.
    locks: std::sync::Mutex<HashMap<u64, Arc<Mutex<()>>>>,
    maintenance: Mutex<()>,
    max_bytes: u64,
    left: Left,
}

impl Map {
    pub fn new(
        _parts: usize,
        max_bytes: u64,
        left: impl Fn(&Resource, Leaving) + Send + Sync + 'static,
    ) -> Map {
        let (table, maintenance) = (Mutex::default(), Mutex::default());
        Map { table, locks: Default::default(), maintenance, max_bytes, left: Box::new(left) }
    }

    pub fn get(&self, hash: u64) -> Option<Resource> {
        let found = at(&self.table.lock().unwrap(), hash).map(|(_, resource)| resource);
        self.maintain_sometimes();
        found
    }

    pub fn insert(&self, hash: u64, resource: Resource) {
        let lock = self.lock_of(hash);
        let held = lock.lock().unwrap();
        let mut table = self.table.lock().unwrap();
        let replaced = at(&table, hash).map(|(at, _)| table.remove(at).1);
        table.push((hash, resource));
        drop(table);
        if let Some(replaced) = replaced {
            (self.left)(&replaced, Leaving::Removed);
        }
        drop(held);
        self.maintain_sometimes();
    }

    pub fn remove(&self, hash: u64) {
        let lock = self.lock_of(hash);
        let held = lock.lock().unwrap();
        let mut table = self.table.lock().unwrap();
        let removed = at(&table, hash).map(|(at, _)| table.remove(at).1);
        drop(table);
        if let Some(removed) = removed {
            (self.left)(&removed, Leaving::Removed);
        }
        drop(held);
        self.maintain_sometimes();
    }

    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        self.table.lock().unwrap().clone().into_iter().map(|(_, resource)| resource)
    }

    pub fn figures(&self) -> (u64, u64) {
        let table = self.table.lock().unwrap();
        (table.len() as u64, weight(&table))
    }

    pub fn settle(&self) {
        let _one_at_a_time = self.maintenance.lock().unwrap();
        loop {
            let table = self.table.lock().unwrap();
            if weight(&table) <= self.max_bytes {
                return;
            }
            let (hash, victim) = table[random().gen_range(0..table.len())].clone();
            drop(table);
            let lock = self.lock_of(hash);
            let _held = lock.lock().unwrap();
            let mut table = self.table.lock().unwrap();
            let found = at(&table, hash).filter(|(_, resource)| resource.id() == victim.id());
            let evicted = found.map(|(at, _)| table.remove(at).1);
            drop(table);
            if let Some(evicted) = evicted {
                EVICTIONS.set(EVICTIONS.get() + 1);
                (self.left)(&evicted, Leaving::Evicted);
            }
        }
    }

    fn maintain_sometimes(&self) {
        if random().gen_bool(0.25) {
            self.settle();
        }
    }

    fn lock_of(&self, hash: u64) -> Arc<Mutex<()>> {
        self.locks.lock().unwrap().entry(hash).or_default().clone()
    }
}

fn at(table: &[(u64, Resource)], hash: u64) -> Option<(usize, Resource)> {
    let at = table.iter().position(|(other, _)| *other == hash)?;
    Some((at, table[at].1.clone()))
}

fn weight(table: &[(u64, Resource)]) -> u64 {
    table.iter().map(|(_, resource)| u64::from(resource.weight())).sum()
}
