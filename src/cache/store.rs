//! Resources and variants, their weight, and the one place that writes to the store.
//!
//! moka is a weighted map here and nothing else: no expiry, no loading calls, no invalidation closures. Its
//! key is a seeded 64-bit hash; the full key stands in the resource and is compared on every get, so a
//! collision is a miss, and a write evicts the other.
//!
//! Invariants:
//! - Every write of a key happens under its stripe ([`Store::update`]): index first, store after it, and a
//!   fresh id each time. So a sweep, which removes by the same step, never meets a pair whose insert is
//!   still to come, and index ⊇ store always.
//! - The listener removes from the index exactly the resource that it was told of. It can't panic: a
//!   listener that panics is never called again.
//!
//! Locks, in order: a stripe, then moka's own, then the index's (in the listener). Costs: get O(1), update
//! O(log n) for the index.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::fence::Epoch;
use super::index::Index;
use crate::clock::Moment;
use crate::key::Key;
use crate::limits::VARIANTS_MAX;
use crate::semantics::conditional::Validators;
use crate::semantics::freshness::Freshness;
use crate::semantics::range::Part;
use crate::semantics::vary::Selection;

/// Stripes of the per-key lock; two keys share one with this chance, and then only wait.
const STRIPES: usize = 1024;

/// What a stored entry costs beside its bytes: moka's entry, the hash, two `Arc`s, a place in the index and
/// the resource itself. This and the next are measured for the whole process: `cargo bench --bench memory`.
const RESOURCE_OVERHEAD_BYTES: usize = 600;
/// A variant's own fields, beside the bytes it points to.
const VARIANT_OVERHEAD_BYTES: usize = 490;
/// A header field's place in its map, beside name and value.
const FIELD_OVERHEAD_BYTES: usize = 104;

/// A body or a part of one, in pieces of `CHUNK_BYTES` and a last shorter one.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Arc<[Bytes]>,
    bytes: u64,
    /// Its place in the whole; nothing where it is the whole.
    part: Option<Box<Part>>,
}

impl Body {
    /// The body made of `pieces`.
    pub fn new(pieces: Vec<Bytes>) -> Body {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Body { pieces: pieces.into(), bytes, part: None }
    }

    /// The same bytes, as a part of a longer body.
    ///
    /// # Panics
    /// If the part has another length.
    pub fn placed(self, part: Part) -> Body {
        assert_eq!(part.range.end - part.range.start, self.bytes, "a part has the length that it states");
        let whole = part.range == (0..part.complete);
        Body { part: (!whole).then(|| Box::new(part)), ..self }
    }

    /// Its place in the whole; nothing where it is the whole.
    pub fn part(&self) -> Option<&Part> {
        self.part.as_deref()
    }

    /// The length of the whole, in bytes.
    pub fn complete_bytes(&self) -> u64 {
        self.part.as_ref().map_or(self.bytes, |part| part.complete)
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }
}

/// One stored response: what answers the requests that its selection matches. Immutable.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The ticket of the fetch that brought it, or last renewed it.
    pub epoch: Epoch,
    /// When its head arrived.
    pub received: Moment,
    /// How long it is fresh, and may be used stale.
    pub freshness: Freshness,
    /// Which request fields it depends on, and their values.
    pub selection: Selection,
    /// What a client's copy, and the origin's, is compared with.
    pub validators: Validators,
    /// The status of the origin's response.
    pub status: StatusCode,
    /// The fields as they are sent, less those that depend on the answer.
    pub fields: HeaderMap,
    /// The whole body, or the part of it that is held.
    pub body: Body,
}

impl Variant {
    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        let fields: usize = self
            .fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
            .sum();
        let body = usize::try_from(self.body.bytes()).unwrap_or(usize::MAX);
        VARIANT_OVERHEAD_BYTES + self.selection.heap_bytes() + fields + body + size_of_val(self.body.pieces())
    }
}

/// What is stored under one key. Immutable: a change is a new resource with an id of its own.
#[derive(Debug)]
pub struct Resource {
    id: u64,
    key: Key,
    /// Newest first, `VARIANTS_MAX` at most.
    variants: Box<[Arc<Variant>]>,
    weight: u32,
}

impl Resource {
    /// The number of the write that stored it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it is stored under.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Newest first.
    pub fn variants(&self) -> &[Arc<Variant>] {
        &self.variants
    }
}

/// What [`Store::update`] is to do with a key.
pub enum Update {
    /// Nothing.
    Keep,
    /// Store these variants, newest first; none of them removes the resource.
    Put(Vec<Arc<Variant>>),
}

/// The store and its index.
pub struct Store {
    map: moka::sync::Cache<u64, Arc<Resource>, BuildHasherDefault<Hashed>>,
    index: Arc<Index>,
    hasher: ahash::RandomState,
    stripes: Box<[Mutex<()>]>,
    ids: AtomicU64,
}

impl Store {
    /// An empty store that holds `max_bytes` of [weight](Variant).
    pub fn new(max_bytes: u64) -> Store {
        let index = Arc::new(Index::default());
        let told = index.clone();
        let map = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, resource: &Arc<Resource>| resource.weight)
            .eviction_listener(move |_, resource: Arc<Resource>, _| {
                told.remove(&resource);
            })
            .build_with_hasher(BuildHasherDefault::default());
        Store {
            map,
            index,
            hasher: ahash::RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            ids: AtomicU64::new(1),
        }
    }

    /// A key's place in the store.
    pub fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key.as_str())
    }

    /// What is stored under `key`, whatever fences say.
    pub fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.map.get(&self.hash(key)).filter(|resource| resource.key == *key)
    }

    /// The one atomic step per key: shows `step` what is stored, and does what it answers.
    pub fn update(&self, key: &Key, step: impl FnOnce(Option<&Resource>) -> Update) {
        let hash = self.hash(key);
        let _stripe = self.stripes[hash as usize % STRIPES].lock();
        let current = self.map.get(&hash).filter(|resource| resource.key == *key);
        match step(current.as_deref()) {
            Update::Keep => {}
            Update::Put(variants) if variants.is_empty() => {
                if current.is_some() {
                    self.map.invalidate(&hash);
                }
            }
            Update::Put(mut variants) => {
                variants.truncate(VARIANTS_MAX);
                let resource = Arc::new(self.resource(key, variants));
                self.index.add(&resource);
                self.map.insert(hash, resource);
            }
        }
    }

    /// Removes the index's pair of a resource that the store does not hold (any more); whether it did so.
    /// Under the key's stripe, so that no insert of it can be under way.
    pub fn drop_dangling(&self, resource: &Arc<Resource>) -> bool {
        let hash = self.hash(resource.key());
        let _stripe = self.stripes[hash as usize % STRIPES].lock();
        let stored = self.map.get(&hash).is_some_and(|stored| stored.id == resource.id);
        !stored && self.index.remove(resource)
    }

    /// The sorted order of what is stored.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Resources, and their weight in bytes; both lag a little behind the last writes.
    pub fn figures(&self) -> (u64, u64) {
        (self.map.entry_count(), self.map.weighted_size())
    }

    /// Does the store's pending work now: evictions, and the figures.
    pub fn settle(&self) {
        self.map.run_pending_tasks();
    }

    fn resource(&self, key: &Key, variants: Vec<Arc<Variant>>) -> Resource {
        let variants_weight: usize = variants.iter().map(|variant| variant.weight()).sum();
        let weight = RESOURCE_OVERHEAD_BYTES + key.as_str().len() + variants_weight;
        Resource {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            key: key.clone(),
            variants: variants.into(),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        }
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
