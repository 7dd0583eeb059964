//! Parts of the cache alone, for `benches/purge`: what no call of [`Cache`](super::Cache) shows by itself.
//!
//! Nothing else uses it, and it adds nothing to the parts: each type here is one of them, and its calls are theirs.

use std::sync::Arc;

use super::fence::Fences;
use super::index::Index;
use super::map::Map;
use super::snapshot::Verdict;
use super::span::{Span, Subject};
use super::store::Resource;
use super::variant::Variant;
use crate::key::Key;
use crate::target::{Mode, Tags, Target};

/// Fences that nobody sweeps: they stay alive.
pub struct FencesAlone(Arc<Fences>);

impl Default for FencesAlone {
    fn default() -> FencesAlone {
        FencesAlone(Fences::new())
    }
}

impl FencesAlone {
    /// Publishes one over each account that the target names.
    pub fn publish(&self, target: &Target, mode: Mode) {
        for span in Span::of(target) {
            self.0.publish(mode, span, Box::new(|_| {}));
        }
    }

    /// Fences alive.
    pub fn alive(&self) -> usize {
        self.0.counts().0
    }

    /// What a look-up asks of them: whether what is stored under `key`, before any of them stood, is gone or stale.
    pub fn cover(&self, key: &Key, tags: &Tags) -> bool {
        self.0.view().judge(Subject::known(key.as_str(), tags), 1) != Verdict::Live
    }
}

/// What is stored under a key, outside of any store.
#[derive(Clone)]
pub struct ResourceAlone(Resource);

impl ResourceAlone {
    /// With this one variant; or with none, for an index that does not look at it.
    pub fn new(number: u64, key: &Key, variant: Option<Arc<Variant>>) -> ResourceAlone {
        ResourceAlone(Resource::new(number, key.as_str(), variant.into_iter().collect()))
    }
}

/// Both orders of the index.
#[derive(Default)]
pub struct IndexAlone(Index);

impl IndexAlone {
    /// Adds a resource to both.
    pub fn add(&self, resource: &ResourceAlone) {
        self.0.add(&resource.0);
    }

    /// Removes it from both.
    pub fn remove(&self, resource: &ResourceAlone) {
        self.0.remove(&resource.0);
    }
}

/// The map alone, with room for all.
pub struct MapAlone(Map);

impl MapAlone {
    /// An empty one of so many parts.
    pub fn new(parts: usize) -> MapAlone {
        MapAlone(Map::new(parts, 1 << 46, |_, _| {}))
    }

    /// Puts a resource under a hash.
    pub fn insert(&self, hash: u64, resource: &ResourceAlone) {
        self.0.insert(hash, resource.0.clone());
    }

    /// Removes what is under it.
    pub fn remove(&self, hash: u64) {
        self.0.remove(hash);
    }
}
