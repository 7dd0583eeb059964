//! The reading door: what is stored, for people, dry runs and lists.
//!
//! Everything here walks the index, never the map, so that looking at an entry makes it no hotter: the store's own
//! counts of look-ups stay as they are, and so do a variant's hits. What a fence covers is judged as a look-up would
//! judge it: the fences are read before each slice, so what was purged before a call began is never shown.
//!
//! Costs: a page O(page + log n), whatever is stored: it looks at `PAGE_LOOKS_MAX` keys at most, and may end
//! early, with a place to go on, where what it looked at is being purged. A survey costs O(keys under the target),
//! a tag's those of its account. The index's lock is held for a slice at a time; hits never take it. For a blocking
//! thread where it may be long.

use std::sync::Arc;

use super::discipline::Cache;
use super::fence::View;
use super::snapshot::Verdict;
use super::span::{Order, Reach, Span, Subject};
use super::store::Resource;
use super::sync::yield_now;
use super::variant::Variant;
use crate::key::{Key, KeyPrefix};
use crate::limits::PAGE_LOOKS_MAX;
use crate::target::{AssetName, Target};

/// What a purge of a target would remove, or make stale, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Variants.
    pub entries: u64,
    /// Their weight in the store, in bytes: what a purge of them says that it freed.
    pub bytes: u64,
    /// The first keys that have one, in the order in which a sweep meets them.
    pub keys: Vec<Key>,
    /// Whether it was walked to the end.
    pub complete: bool,
}

/// One key of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the variants are stored under.
    pub key: Key,
    /// How many there are.
    pub variants: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Their weight in the store, in bytes.
    pub weight: u64,
}

/// Some of what is stored, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// As many as were asked for, or fewer.
    pub keys: Vec<Listed>,
    /// The key after which the next page begins; nothing at the end.
    pub next: Option<Key>,
}

impl Cache {
    /// What is stored under `key`, newest first; nothing of what is purged.
    pub fn inspect(&self, key: &Key) -> Vec<Arc<Variant>> {
        let view = self.fences().view();
        let span = Span { order: Order::Url, reach: Reach::Exact, text: key.as_str().into() };
        // Two for a moment, where a write is under way; the last is the newest.
        let newest = self.store().index().slice(&span, None).pop();
        newest.map_or(Vec::new(), |resource| live(&view, &resource).cloned().collect())
    }

    /// The keys with this beginning after the key `after`, by text, `most` at most.
    pub fn list(&self, prefix: &KeyPrefix, after: Option<&Key>, most: usize) -> Page {
        let span = Span { order: Order::Url, reach: Reach::Prefix, text: prefix.as_str().into() };
        self.page(&span, after, most)
    }

    /// The keys of an image's transformations, and of itself, after the key `after`, by text, `most` at most.
    pub fn transformations(&self, asset: &AssetName, after: Option<&Key>, most: usize) -> Page {
        let span = Span { order: Order::Asset, reach: Reach::Exact, text: asset.as_str().into() };
        self.page(&span, after, most)
    }

    /// Counts what a purge of `target` would find, with its first `keys_max` keys. Ends early, and says so, as
    /// soon as `goes_on` says no; it is asked after each slice.
    pub fn survey(&self, target: &Target, keys_max: usize, goes_on: impl Fn() -> bool) -> Survey {
        let mut survey = Survey { complete: true, ..Survey::default() };
        for span in Span::of(target) {
            let mut last: Option<Resource> = None;
            loop {
                let view = self.fences().view();
                let slice = self.store().index().slice(&span, last.as_ref());
                for resource in &slice {
                    survey.add(&span, &view, resource, keys_max);
                }
                let Some(end) = slice.into_iter().next_back() else { break };
                last = Some(end);
                if !goes_on() {
                    return Survey { complete: false, ..survey };
                }
                yield_now(); // Hits go first.
            }
        }
        survey
    }

    fn page(&self, span: &Span, after: Option<&Key>, most: usize) -> Page {
        let mut keys: Vec<Listed> = Vec::new();
        let mut last = after.map(|key| Resource::past(key.as_str()));
        let mut looks = 0;
        loop {
            let view = self.fences().view();
            let slice = self.store().index().slice(span, last.as_ref());
            if slice.is_empty() {
                return Page { keys, next: None };
            }
            for resource in slice {
                let is_new_key = last.as_ref().is_none_or(|last| last.key_bytes() != resource.key_bytes());
                if is_new_key && (keys.len() >= most || looks >= PAGE_LOOKS_MAX) {
                    let next = last.map(|last| Key::stored(last.key()));
                    return Page { keys, next };
                }
                looks += 1;
                if !is_new_key {
                    // A write was under way: this is the newer one, in the place of the older.
                    keys.pop_if(|listed| listed.key.as_str() == resource.key());
                }
                keys.extend(listed(&view, &resource));
                last = Some(resource);
            }
            yield_now(); // Hits go first.
        }
    }
}

impl Survey {
    fn add(&mut self, span: &Span, view: &View, resource: &Resource, keys_max: usize) {
        let key = resource.key();
        let before = self.entries;
        for variant in live(view, resource) {
            if span.covers(Subject::known(key, variant.tags())) {
                self.entries += 1;
                self.bytes += variant.weight() as u64;
            }
        }
        if self.entries > before && self.keys.len() < keys_max {
            self.keys.push(Key::stored(key));
        }
    }
}

/// A resource's variants that no purge has removed; those that one has made stale are stale from here on.
fn live<'a>(view: &'a View, resource: &'a Resource) -> impl Iterator<Item = &'a Arc<Variant>> {
    resource.variants().iter().filter(|variant| {
        match view.judge(Subject::known(resource.key(), variant.tags()), variant.epoch()) {
            Verdict::Gone => return false,
            Verdict::Stale(epoch) => {
                variant.make_stale(epoch); // As the sweep will.
            }
            Verdict::Live => {}
        }
        true
    })
}

fn listed(view: &View, resource: &Resource) -> Option<Listed> {
    let (mut variants, mut bytes, mut weight) = (0, 0, 0);
    for variant in live(view, resource) {
        variants += 1;
        bytes += variant.body().bytes();
        weight += variant.weight() as u64;
    }
    (variants > 0).then(|| Listed { key: Key::stored(resource.key()), variants, bytes, weight })
}
