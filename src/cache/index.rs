//! The sorted orders of what is stored: they lead a sweep to what a span names.
//!
//! Two SETS of resources, never maps of key to id: when two fills of one key race, a map loses the live one. One
//! is sorted by key and id, the other by asset, key and id. Invariant: index ⊇ store. A resource is added before
//! the store's insert, and removed by the store's listener, which is told exactly which one left. A handle is
//! the resource itself (8 bytes), so no key is copied, and a comparison goes one step into memory.
//!
//! Locks: one mutex for each order, both leaves, never together: the store is never called under them (the
//! store's listener takes them under the store's own lock). Insert and remove cost O(log n); a slice holds one
//! for `SWEEP_SLICE_KEYS` keys at most.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Bound;

use super::span::{Order, Reach, Span, account};
use super::store::Resource;
use super::sync::Mutex;
use crate::limits::SWEEP_SLICE_KEYS;

/// See the module.
#[derive(Default)]
pub struct Index {
    by_url: Sorted<ByUrl>,
    by_asset: Sorted<ByAsset>,
}

impl Index {
    /// Adds a resource, before it goes into the store.
    pub fn add(&self, resource: &Resource) {
        self.by_url.add(resource);
        self.by_asset.add(resource);
    }

    /// Removes exactly this resource; whether it was there.
    pub fn remove(&self, resource: &Resource) -> bool {
        // Not short-circuited: both, always.
        self.by_url.remove(resource) | self.by_asset.remove(resource)
    }

    /// Whether both orders have exactly this resource.
    pub fn has(&self, resource: &Resource) -> bool {
        self.by_url.has(resource) && self.by_asset.has(resource)
    }

    /// The next resources after `cursor` that `span` may name, in its order; an empty slice is the end. A tag and a
    /// transformation are looked for in their whole account, a pattern behind its fixed beginning.
    pub fn slice(&self, span: &Span, cursor: Option<&Resource>) -> Vec<Resource> {
        match span.order {
            Order::Url => {
                let fixed = span.fixed().as_bytes();
                let exactly = span.reach == Reach::Exact;
                self.by_url.slice(span.fixed(), cursor, |resource| {
                    let key = resource.key_bytes();
                    if exactly { key == fixed } else { key.starts_with(fixed) }
                })
            }
            Order::Asset => {
                let named = |resource: &Resource| span.names_asset(&resource.asset());
                self.by_asset.slice(&span.text, cursor, named)
            }
            Order::Tag | Order::Transformation => {
                let account = account(&span.text);
                self.by_url.slice(account, cursor, |resource| resource.key().starts_with(account))
            }
        }
    }

    /// Resources in each order: by key, by asset.
    pub fn lengths(&self) -> (usize, usize) {
        (self.by_url.0.lock().len(), self.by_asset.0.lock().len())
    }
}

/// The resources in one order.
struct Sorted<S>(Mutex<BTreeSet<Handle<S>>>);

impl<S> Default for Sorted<S> {
    fn default() -> Sorted<S> {
        Sorted(Mutex::new(BTreeSet::new()))
    }
}

impl<S: Sorting> Sorted<S> {
    fn add(&self, resource: &Resource) {
        let added = self.0.lock().insert(Handle::of(resource));
        assert!(added, "every write to the store has an id of its own");
    }

    fn remove(&self, resource: &Resource) -> bool {
        let handle = Handle::of(resource);
        let removed = self.0.lock().take(&handle);
        removed.is_some() // The handle, and perhaps a large body with it, is dropped after the lock.
    }

    fn has(&self, resource: &Resource) -> bool {
        self.0.lock().contains(&Handle::of(resource))
    }

    fn slice(
        &self,
        text: &str,
        cursor: Option<&Resource>,
        named: impl Fn(&Resource) -> bool,
    ) -> Vec<Resource> {
        let start = Handle::of(&cursor.cloned().unwrap_or_else(|| Resource::before(text)));
        let sorted = self.0.lock();
        sorted
            .range((Bound::Excluded(&start), Bound::Unbounded))
            .map(|handle| &handle.resource)
            .take_while(|resource| named(resource))
            .take(SWEEP_SLICE_KEYS)
            .cloned()
            .collect()
    }
}

/// A resource's place in an order.
struct Handle<S> {
    resource: Resource,
    sorting: PhantomData<S>,
}

impl<S> Handle<S> {
    fn of(resource: &Resource) -> Handle<S> {
        Handle { resource: resource.clone(), sorting: PhantomData }
    }
}

/// An order of resources; two that are not the same one are never equal in it.
trait Sorting {
    fn order(left: &Resource, right: &Resource) -> Ordering;
}

/// By key and id.
struct ByUrl;

/// By asset, key and id.
struct ByAsset;

impl Sorting for ByUrl {
    fn order(left: &Resource, right: &Resource) -> Ordering {
        left.key_bytes().cmp(right.key_bytes()).then_with(|| left.id().cmp(&right.id()))
    }
}

impl Sorting for ByAsset {
    fn order(left: &Resource, right: &Resource) -> Ordering {
        left.asset().order(&right.asset()).then_with(|| ByUrl::order(left, right))
    }
}

impl<S: Sorting> Ord for Handle<S> {
    fn cmp(&self, other: &Handle<S>) -> Ordering {
        S::order(&self.resource, &other.resource)
    }
}

impl<S: Sorting> PartialOrd for Handle<S> {
    fn partial_cmp(&self, other: &Handle<S>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Sorting> PartialEq for Handle<S> {
    fn eq(&self, other: &Handle<S>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<S: Sorting> Eq for Handle<S> {}
