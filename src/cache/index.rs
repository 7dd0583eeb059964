//! The sorted order of what is stored: it leads a sweep to the keys under a prefix.
//!
//! A SET of (key, id), never a map of key to id: when two fills of one key race, a map loses the live one.
//! Invariant: index ⊇ store. A pair is added before the store's insert, and removed by the store's
//! listener, which is told exactly which value left. A handle is the resource itself (8 bytes), so no key is
//! copied.
//!
//! Lock: one mutex, a leaf: the store is never called under it (the store's listener takes it under the
//! store's own lock). Insert and remove cost O(log n); a slice holds it for `SWEEP_SLICE_KEYS` keys at most.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fence::Span;
use super::store::Resource;
use crate::limits::SWEEP_SLICE_KEYS;

/// See the module.
#[derive(Default)]
pub struct Index {
    by_key: Mutex<BTreeSet<Handle>>,
}

/// A resource, ordered by key and then by id.
struct Handle(Arc<Resource>);

/// A place in the order, of a handle or of none.
trait Place {
    fn place(&self) -> (&str, u64);
}

impl Place for Handle {
    fn place(&self) -> (&str, u64) {
        (self.0.key().as_str(), self.0.id())
    }
}

impl Place for (&str, u64) {
    fn place(&self) -> (&str, u64) {
        *self
    }
}

impl<'a> Borrow<dyn Place + 'a> for Handle {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Handle {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Handle {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Handle {}

impl Index {
    /// Adds a resource, before it goes into the store.
    pub fn add(&self, resource: &Arc<Resource>) {
        let added = self.by_key.lock().insert(Handle(resource.clone()));
        assert!(added, "every write to the store has an id of its own");
    }

    /// Removes exactly this resource; whether it was there.
    pub fn remove(&self, resource: &Resource) -> bool {
        let place = (resource.key().as_str(), resource.id());
        let removed = self.by_key.lock().take(&place as &dyn Place);
        removed.is_some() // The handle, and perhaps a large body with it, is dropped after the lock.
    }

    /// The next resources under `span` after the place of `cursor`, in order; an empty slice is the end.
    pub fn slice(&self, span: &Span, cursor: Option<&Resource>) -> Vec<Arc<Resource>> {
        let start: (&str, u64) = match cursor {
            None => (span.text(), 0),
            Some(resource) => (resource.key().as_str(), resource.id()),
        };
        let from: Bound<&dyn Place> = Bound::Excluded(&start); // Ids begin at 1: nothing stands at (text, 0).
        let set = self.by_key.lock();
        set.range::<dyn Place, _>((from, Bound::Unbounded))
            .map(|handle| &handle.0)
            .take_while(|resource| span.covers(resource.key().as_str()))
            .take(SWEEP_SLICE_KEYS)
            .cloned()
            .collect()
    }

    /// Resources in the order.
    pub fn len(&self) -> usize {
        self.by_key.lock().len()
    }
}
