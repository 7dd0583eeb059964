//! A walk over what is stored, in search of what must not be there.
//!
//! For tests, and for an operator who wants to see it on a live server. Costs O(entries), a slice at a time,
//! and holds no lock for longer than a slice does; others go on meanwhile.

use super::fence::Fences;
use super::snapshot::Verdict;
use super::span::{Order, Reach, Span, Subject};
use super::store::{Resource, Store};

/// What an audit found. All but `entries` and `pending` must be zero; `pending` is, at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Keys stored.
    pub entries: u64,
    /// Variants that a purge covers whose fence has retired.
    pub purged: u64,
    /// Variants that a soft purge covers whose fence has retired, and that are not stale.
    pub not_stale: u64,
    /// Keys that an order of the index lacks.
    pub not_indexed: u64,
    /// Pairs of the index that the store has not: inserts and evictions on their way, and what a sweep will find.
    pub pending: u64,
}

impl Audit {
    /// Whether all is as it must be.
    pub fn is_clean(&self) -> bool {
        self.purged == 0 && self.not_stale == 0 && self.not_indexed == 0
    }
}

/// See the module.
pub fn audit(fences: &Fences, store: &Store) -> Audit {
    let mut audit = Audit::default();
    // Before the walk: what is found after a fence has retired can't be covered by it.
    let retired = fences.retired();
    for resource in store.iter() {
        audit.entries += 1;
        for variant in resource.variants() {
            match retired.judge(Subject::known(resource.key(), variant.tags()), variant.epoch()) {
                Verdict::Live => {}
                Verdict::Stale(_) => audit.not_stale += u64::from(!variant.is_stale()),
                Verdict::Gone => audit.purged += 1,
            }
        }
        audit.not_indexed += u64::from(!store.index().has(&resource) && is_stored(store, &resource));
    }
    let everything = Span { order: Order::Url, reach: Reach::Prefix, text: "".into() };
    let mut cursor: Option<Resource> = None;
    loop {
        let slice = store.index().slice(&everything, cursor.as_ref());
        audit.pending += slice.iter().filter(|resource| !is_stored(store, resource)).count() as u64;
        let Some(last) = slice.into_iter().next_back() else { return audit };
        cursor = Some(last);
    }
}

fn is_stored(store: &Store, resource: &Resource) -> bool {
    store.get(resource.key()).is_some_and(|stored| stored.id() == resource.id())
}
