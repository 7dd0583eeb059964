//! The hottest of what one purge removes, or makes stale: what is worth being fetched again first.
//!
//! A purge that asked for it has a gathering, which goes with its caller: to the fence that absorbs the purge's own,
//! and through each sweep of either. So what it keeps is what its own span names and is older than itself, whatever
//! else the same sweep removes for others. Bounded in number and in bytes; no bodies are held.
//!
//! Lock: one for each gathering, a leaf. The sweeper alone offers and takes. An offer costs O(log kept); one that is
//! colder than all that is kept, once there are as many as wanted, a comparison.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use http::HeaderMap;

use super::fence::Epoch;
use super::span::{Span, Subject};
use super::sync::Mutex;
use super::variant::Variant;
use crate::key::Key;
use crate::limits::{HOTTEST_BYTES_MAX, HOTTEST_MAX};

/// A variant that a purge removed, or made stale: what a request was like that it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hot {
    /// What it was stored under.
    pub key: Key,
    /// Requests that it has answered.
    pub hits: u32,
    /// The request fields that selected it; none where its origin named none in Vary.
    pub fields: HeaderMap,
}

impl Hot {
    fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.as_str().len() + value.len());
        size_of::<Ranked>() + self.key.as_str().len() + fields.sum::<usize>()
    }
}

/// See the module.
pub struct Gathering {
    span: Span,
    epoch: Epoch,
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The coldest on top.
    heap: BinaryHeap<Reverse<Ranked>>,
    bytes: usize,
    offered: u64,
    /// The last key that a variant was kept of, and the fields of those.
    last: Option<(Key, Vec<HeaderMap>)>,
}

/// By hits; of those that have as many, the first that was offered is the hotter.
struct Ranked {
    hot: Hot,
    offered: u64,
}

impl Gathering {
    /// Of the `most` hottest variants, `HOTTEST_MAX` at most, that `span` names and that are older than `epoch`.
    pub fn new(span: Span, epoch: Epoch, most: usize) -> Gathering {
        Gathering { span, epoch, most: most.min(HOTTEST_MAX), kept: Mutex::new(Kept::default()) }
    }

    /// Keeps a variant that a sweep has removed, or made stale, if it is one of the hottest.
    pub fn offer(&self, key: &str, variant: &Variant) {
        let hits = variant.hits();
        let mut kept = self.kept.lock();
        let is_full = kept.heap.len() >= self.most;
        if is_full && kept.heap.peek().is_none_or(|Reverse(coldest)| coldest.hot.hits >= hits) {
            return;
        }
        if variant.epoch() >= self.epoch || !self.span.covers(Subject::known(key, variant.tags())) {
            return;
        }
        let hot = Hot { key: Key::stored(key), hits, fields: variant.selecting_fields() };
        if kept.has_had(&hot) {
            return;
        }
        kept.offered += 1;
        kept.bytes += hot.bytes();
        let offered = kept.offered;
        kept.heap.push(Reverse(Ranked { hot, offered }));
        while kept.heap.len() > self.most || kept.bytes > HOTTEST_BYTES_MAX {
            let Some(Reverse(coldest)) = kept.heap.pop() else { break };
            kept.bytes -= coldest.hot.bytes();
        }
    }

    /// What was kept, the hottest first; nothing is kept any more.
    pub fn take(&self) -> Vec<Hot> {
        let kept = std::mem::take(&mut *self.kept.lock());
        kept.heap.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.hot).collect()
    }
}

impl Kept {
    /// Whether this variant was kept just now. Where its key is written while it is swept, a sweep comes by the key
    /// twice, one time after the other.
    fn has_had(&mut self, hot: &Hot) -> bool {
        match &mut self.last {
            Some((key, fields)) if *key == hot.key => {
                if fields.contains(&hot.fields) {
                    return true;
                }
                fields.push(hot.fields.clone());
            }
            last => *last = Some((hot.key.clone(), vec![hot.fields.clone()])),
        }
        false
    }
}

/// Adds what another gathering kept to `all`, within the bounds of one.
pub fn merge(all: &mut Vec<Hot>, more: Vec<Hot>, most: usize) {
    all.extend(more);
    all.sort_by_key(|hot| Reverse(hot.hits));
    all.truncate(most.min(HOTTEST_MAX));
    let mut bytes = 0;
    let fits = |hot: &Hot| {
        bytes += hot.bytes();
        bytes <= HOTTEST_BYTES_MAX
    };
    all.truncate(all.iter().map(fits).take_while(|fits| *fits).count());
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        (self.hot.hits, Reverse(self.offered)).cmp(&(other.hot.hits, Reverse(other.offered)))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}
