//! Resources, and the one place that writes to the store.
//!
//! The map's key is a seeded 64-bit hash; the full key stands in the resource and is compared on every get, so a
//! collision is a miss, and a write evicts the other.
//!
//! Invariants:
//! - Every write of a key happens under its stripe: index first, store after it, and a fresh id each time. So a
//!   sweep, which removes by the same step, never meets a pair whose insert is still to come, and index ⊇ store
//!   always.
//! - The map's listener removes from the index exactly the resource that it was told of.
//!
//! Locks, in order: a stripe, then the map's own, then the index's (in the listener). Costs: get O(1), a write
//! O(log n) for the index.

use std::sync::Arc;

use triomphe::ThinArc;

use super::fence::Swept;
use super::index::Index;
use super::map::Map;
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use super::variant::Variant;
use crate::key::{AssetPlace, AssetText};
use crate::limits::VARIANTS_MAX;

/// Stripes of the per-key lock; two keys share one with this chance, and then only wait.
const STRIPES: usize = 1024;

/// What a stored key costs beside its bytes and its variants: the map's entry, two places in the index and the
/// resource itself. Measured for the whole process: `cargo bench --bench memory`.
const OVERHEAD_BYTES: usize = 306;

/// What is stored under one key: its variants, newest first. Immutable: a change is a new resource with an id of
/// its own. One block of memory, with the key in it, so that whoever compares keys goes one step. Clones are
/// handles of it.
#[derive(Clone)]
pub struct Resource(ThinArc<Head, u8>);

struct Head {
    id: u64,
    variants: Variants,
    /// Of the slice's bytes, which are the key and, where its asset is scattered in it, the asset.
    key_bytes: u16,
    asset: AssetPlace,
}

enum Variants {
    One(Arc<Variant>),
    /// `VARIANTS_MAX` at most.
    Many(Box<[Arc<Variant>]>),
}

impl Resource {
    /// A write's resource: its first `VARIANTS_MAX` variants.
    pub fn new(id: u64, key: &str, mut variants: Vec<Arc<Variant>>) -> Resource {
        variants.truncate(VARIANTS_MAX);
        let variants = match variants.len() {
            1 => Variants::One(variants.remove(0)),
            _ => Variants::Many(variants.into()),
        };
        let asset = AssetPlace::of(key);
        match asset.behind(key) {
            None => Resource::packed(id, variants, asset, key, key),
            Some((asset, text)) => Resource::packed(id, variants, asset, key, &[key, &text].concat()),
        }
    }

    fn packed(id: u64, variants: Variants, asset: AssetPlace, key: &str, texts: &str) -> Resource {
        let key_bytes = u16::try_from(key.len()).expect("limits.rs: KEY_BYTES_MAX is below 65 536");
        Resource(ThinArc::from_header_and_slice(Head { id, variants, key_bytes, asset }, texts.as_bytes()))
    }

    /// None, at the place in every order before all that `text` begins.
    pub fn before(text: &str) -> Resource {
        Resource::packed(0, Variants::Many(Box::default()), AssetPlace::whole(text), text, text)
    }

    /// None, at the place in every order behind all that is stored under `key`.
    pub fn past(key: &str) -> Resource {
        Resource::packed(u64::MAX, Variants::Many(Box::default()), AssetPlace::of(key), key, key)
    }

    /// The number of the write that stored it, from 1.
    pub fn id(&self) -> u64 {
        self.0.header.header.id
    }

    /// What it is stored under.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key_bytes()).expect("it was made of a text")
    }

    /// The same as bytes, which compare as the text does.
    pub fn key_bytes(&self) -> &[u8] {
        &self.0.slice[..self.0.header.header.key_bytes.into()]
    }

    /// The asset of its key.
    pub fn asset(&self) -> AssetText<'_> {
        self.0.header.header.asset.within(&self.0.slice)
    }

    /// Newest first.
    pub fn variants(&self) -> &[Arc<Variant>] {
        match &self.0.header.header.variants {
            Variants::One(variant) => std::slice::from_ref(variant),
            Variants::Many(variants) => variants,
        }
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> u32 {
        let variants: usize = self.variants().iter().map(|variant| variant.weight()).sum();
        u32::try_from(OVERHEAD_BYTES + self.0.slice.len() + variants).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} #{} ×{}", self.key(), self.id(), self.variants().len())
    }
}

/// What [`Store::update`] is to do with a key.
pub enum Update {
    /// Nothing.
    Keep,
    /// Store these variants, newest first; none of them removes the resource.
    Put(Vec<Arc<Variant>>),
}

/// How a resource leaves the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Something else stands in its place, or it was removed.
    Removed,
    /// There was no room for it.
    Evicted,
}

/// The store and its index.
pub struct Store {
    map: Map,
    index: Arc<Index>,
    hasher: ahash::RandomState,
    stripes: Box<[Mutex<()>]>,
    ids: AtomicU64,
    /// Pairs that a sweep found without an entry.
    dangling: AtomicU64,
    /// Resources that there was no room for.
    evicted: Arc<AtomicU64>,
}

impl Store {
    /// An empty store that holds `max_bytes` of weight, in so many parts of the map.
    pub fn new(parts: usize, max_bytes: u64) -> Store {
        let index = Arc::new(Index::default());
        let evicted = Arc::new(AtomicU64::new(0));
        let (told, counted) = (index.clone(), evicted.clone());
        let map = Map::new(parts, max_bytes, move |resource, leaving| {
            told.remove(resource);
            if leaving == Leaving::Evicted {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Store {
            map,
            index,
            hasher: ahash::RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            ids: AtomicU64::new(1),
            dangling: AtomicU64::new(0),
            evicted,
        }
    }

    /// What is stored under `key`, whatever fences say.
    pub fn get(&self, key: &str) -> Option<Resource> {
        self.stored(self.hash(key), key)
    }

    /// The one atomic step per key: shows `step` what is stored, and does what it answers.
    pub fn update(&self, key: &str, step: impl FnOnce(&[Arc<Variant>]) -> Update) {
        let hash = self.hash(key);
        let _stripe = self.stripe(hash);
        let current = self.stored(hash, key);
        let update = step(current.as_ref().map_or(&[], Resource::variants));
        self.write(hash, key, current.is_some(), update);
    }

    /// The same for a sweep: of a resource that the index led to, what `is_gone` goes. What the index has and the
    /// store has no longer leaves the index: under the key's stripe, so that no insert of it can be under way.
    pub fn remove(&self, indexed: &Resource, is_gone: impl Fn(&Variant) -> bool) -> Swept {
        let mut freed = Swept::default();
        let key = indexed.key();
        let hash = self.hash(key);
        let _stripe = self.stripe(hash);
        if self.stored(hash, key).is_none_or(|stored| stored.id() != indexed.id()) {
            if self.index.remove(indexed) {
                self.dangling.fetch_add(1, Ordering::Relaxed);
            }
            return freed;
        }
        let mut kept = Vec::new();
        for variant in indexed.variants() {
            if is_gone(variant) {
                freed.add(Swept { entries: 1, bytes: variant.weight() as u64, shared: false });
            } else {
                kept.push(variant.clone());
            }
        }
        if freed.entries > 0 {
            self.write(hash, key, true, Update::Put(kept));
        }
        freed
    }

    fn write(&self, hash: u64, key: &str, is_stored: bool, update: Update) {
        match update {
            Update::Keep => {}
            Update::Put(variants) if variants.is_empty() => {
                if is_stored {
                    self.map.remove(hash);
                }
            }
            Update::Put(variants) => {
                let resource = Resource::new(self.ids.fetch_add(1, Ordering::Relaxed), key, variants);
                self.index.add(&resource);
                self.map.insert(hash, resource);
            }
        }
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, ()> {
        self.stripes[hash as usize % STRIPES].lock()
    }

    fn stored(&self, hash: u64, key: &str) -> Option<Resource> {
        self.map.get(hash).filter(|resource| resource.key_bytes() == key.as_bytes())
    }

    /// The sorted orders of what is stored.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// All that is stored, while others change it.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        self.map.iter()
    }

    /// Resources, and their weight in bytes; both lag a little behind the last writes.
    pub fn figures(&self) -> (u64, u64) {
        self.map.figures()
    }

    /// Pairs of the index that sweeps found without an entry, since the start.
    pub fn dangling(&self) -> u64 {
        self.dangling.load(Ordering::Relaxed)
    }

    /// Resources that there was no room for, since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Does the store's pending work now: evictions, and the figures.
    pub fn settle(&self) {
        self.map.settle();
    }
}
