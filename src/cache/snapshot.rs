//! The covering part of the live fences, immutable: what a look-up judges by.
//!
//! A snapshot has a list for each mode, order and reach; one that did not change is the last snapshot's. A list
//! of whole texts has their seeded hashes alone: a publication copies numbers, and a look-up hashes its text once
//! and compares numbers. A collision is a miss, as in the store, while that fence lives. A list of prefixes is
//! sorted by text, one of patterns by epoch. No locks.
//!
//! To judge costs O(length of the text + fences). While patterns live it is O(patterns × length): those whose
//! fixed beginning is another one cost a comparison, the others one pass over the text. While a fence over a named
//! transformation lives, it is O(length) more to find a key's names, and O(fences) for each of these.

use std::cmp::Reverse;
use std::sync::Arc;

use super::fence::Epoch;
use super::span::{Order, Reach, Span, Subject, account, common_prefix};
use crate::key::{any_transformation_name, pattern_fixed, pattern_matches};
use crate::target::Mode;

/// Lists: one for each mode, order and reach.
pub const LISTS: usize = 2 * Order::ALL.len() * Reach::ALL.len();

/// The place of a list among them.
pub fn list(mode: Mode, order: Order, reach: Reach) -> usize {
    let of_mode = match mode {
        Mode::Delete => 0,
        Mode::Stale => LISTS / 2,
    };
    of_mode + Reach::ALL.len() * order as usize + reach as usize
}

/// See the module.
pub struct Snapshot {
    /// The highest epoch of a fence, 0 with none.
    pub newest: Epoch,
    lists: [List; LISTS],
    /// Whether an order has a fence.
    has: [bool; Order::ALL.len()],
    hasher: Hasher,
}

/// Of the texts that fences name; one for all snapshots.
pub type Hasher = ahash::RandomState;

/// What fences mean for a variant, or for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is newer than every fence that names it.
    Live,
    /// It is stale since this epoch.
    Stale(Epoch),
    /// It is gone.
    Gone,
}

/// The fences of one mode, order and reach.
#[derive(Clone, Default)]
pub enum List {
    /// None.
    #[default]
    Empty,
    /// In any order.
    Exact(Arc<[Exact]>),
    /// By text.
    Prefixes(Arc<[Prefix]>),
    /// The newest first.
    Patterns(Arc<[Pattern]>),
}

/// A fence over one text.
#[derive(Clone, Copy)]
pub struct Exact {
    text: u64,
    account: u64,
    epoch: Epoch,
}

/// A fence over all texts with a beginning.
pub struct Prefix {
    text: Arc<str>,
    epoch: Epoch,
    /// The longest other one that is a prefix of this one.
    parent: Option<usize>,
}

/// A fence over all texts that a pattern stands for.
pub struct Pattern {
    text: Arc<str>,
    /// Bytes before its first `*`: most texts differ there already.
    fixed: usize,
    epoch: Epoch,
}

impl Pattern {
    fn stands_for(&self, text: &str) -> bool {
        text.as_bytes().starts_with(&self.text.as_bytes()[..self.fixed]) && pattern_matches(&self.text, text)
    }
}

impl Exact {
    /// The fence's, whatever its reach: it costs two hashes, and they are worked out once.
    pub fn of(span: &Span, epoch: Epoch, hasher: &Hasher) -> Exact {
        Exact { text: hasher.hash_one(&*span.text), account: hasher.hash_one(account(&span.text)), epoch }
    }
}

impl List {
    /// Of fences over whole texts.
    pub fn exact(fences: impl Iterator<Item = Exact>) -> List {
        let fences: Arc<[Exact]> = fences.collect();
        if fences.is_empty() { List::Empty } else { List::Exact(fences) }
    }

    /// Of fences over prefixes, sorted by text.
    pub fn prefixes<'a>(fences: impl ExactSizeIterator<Item = (&'a Arc<str>, Epoch)>) -> List {
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(fences.len());
        for (text, epoch) in fences {
            let mut parent = prefixes.len().checked_sub(1);
            while let Some(candidate) = parent {
                if text.starts_with(&*prefixes[candidate].text) {
                    break;
                }
                parent = prefixes[candidate].parent;
            }
            prefixes.push(Prefix { text: text.clone(), epoch, parent });
        }
        if prefixes.is_empty() { List::Empty } else { List::Prefixes(prefixes.into()) }
    }

    /// Of patterns, in any order.
    pub fn patterns<'a>(fences: impl Iterator<Item = (&'a Arc<str>, Epoch)>) -> List {
        let pattern = |(text, epoch): (&Arc<str>, Epoch)| Pattern {
            text: text.clone(),
            fixed: pattern_fixed(text).len(),
            epoch,
        };
        let mut patterns: Vec<Pattern> = fences.map(pattern).collect();
        patterns.sort_unstable_by_key(|pattern| Reverse(pattern.epoch));
        if patterns.is_empty() { List::Empty } else { List::Patterns(patterns.into()) }
    }

    fn is_empty(&self) -> bool {
        matches!(self, List::Empty)
    }

    /// The highest epoch of one that names the text, or 0.
    fn over(&self, text: &str, hash: impl FnOnce() -> u64) -> Epoch {
        match self {
            List::Empty => 0,
            List::Exact(fences) => {
                let hash = hash();
                // No early end: it is branchless, and they are few.
                fences
                    .iter()
                    .fold(0, |newest, fence| newest.max(if fence.text == hash { fence.epoch } else { 0 }))
            }
            List::Prefixes(fences) => prefix_over(fences, text),
            List::Patterns(fences) => {
                fences.iter().find(|pattern| pattern.stands_for(text)).map_or(0, |pattern| pattern.epoch)
            }
        }
    }

    /// The highest epoch of one in the subject's account, or 0.
    fn within(&self, subject: Subject<'_>, hasher: &Hasher) -> Epoch {
        match self {
            List::Empty => 0,
            List::Exact(fences) => {
                let account = hasher.hash_one(subject.account());
                let own = fences.iter().filter(|fence| fence.account == account);
                own.map(|fence| fence.epoch).max().unwrap_or(0)
            }
            List::Prefixes(fences) => {
                let own = fences.iter().filter(|fence| fence.text.starts_with(subject.account()));
                own.map(|fence| fence.epoch).max().unwrap_or(0)
            }
            List::Patterns(_) => 0, // Of URLs alone, which are always known.
        }
    }
}

/// One binary search, one comparison, and a walk that compares lengths: of all prefixes not after the text, the
/// greatest, or one of its parents, is the longest that the text begins with; and the longest is the newest,
/// since a wider newer one would have absorbed it.
fn prefix_over(list: &[Prefix], text: &str) -> Epoch {
    let Some(mut at) = list.partition_point(|fence| *fence.text <= *text).checked_sub(1) else { return 0 };
    let alike = common_prefix(&list[at].text, text);
    loop {
        let fence = &list[at];
        if fence.text.len() <= alike {
            return fence.epoch;
        }
        match fence.parent {
            Some(parent) => at = parent,
            None => return 0,
        }
    }
}

impl Snapshot {
    /// No fence.
    pub fn empty(hasher: Hasher) -> Snapshot {
        Snapshot::new(0, Default::default(), hasher)
    }

    /// Of these lists, the newest of whose fences has this epoch.
    pub fn new(newest: Epoch, lists: [List; LISTS], hasher: Hasher) -> Snapshot {
        let has = Order::ALL.map(|order| {
            let of = |mode| Reach::ALL.map(|reach| !lists[list(mode, order, reach)].is_empty());
            of(Mode::Delete).into_iter().chain(of(Mode::Stale)).any(|has| has)
        });
        Snapshot { newest, lists, has, hasher }
    }

    /// A list.
    pub fn list(&self, at: usize) -> &List {
        &self.lists[at]
    }

    /// What the fences mean for what began at `epoch`.
    pub fn judge(&self, subject: Subject<'_>, epoch: Epoch) -> Verdict {
        if epoch >= self.newest {
            return Verdict::Live;
        }
        let mut newest = Newest::default();
        self.look(Order::Url, subject.key, &mut newest);
        if self.has(Order::Asset) {
            self.look(Order::Asset, &crate::key::asset_of(subject.key), &mut newest);
        }
        if self.has(Order::Tag) {
            match subject.tags {
                None => self.look_within(Order::Tag, subject, &mut newest),
                Some(tags) => {
                    tags.as_slice().iter().for_each(|tag| self.look(Order::Tag, tag.as_str(), &mut newest))
                }
            }
        }
        if self.has(Order::Transformation) {
            let mut text = String::from(subject.account());
            let account_bytes = text.len();
            any_transformation_name(subject.key, |name| {
                text.truncate(account_bytes);
                text.push_str(name);
                self.look(Order::Transformation, &text, &mut newest);
                false
            });
        }
        match newest {
            Newest { hard, .. } if hard > epoch => Verdict::Gone,
            Newest { soft, .. } if soft > epoch => Verdict::Stale(soft),
            _ => Verdict::Live,
        }
    }

    fn of(&self, mode: Mode, order: Order) -> &[List] {
        let first = list(mode, order, Reach::Exact);
        &self.lists[first..first + Reach::ALL.len()]
    }

    fn has(&self, order: Order) -> bool {
        self.has[order as usize]
    }

    /// Raises `newest` to the fences of an order that name a text of it.
    fn look(&self, order: Order, text: &str, newest: &mut Newest) {
        let mut known = None;
        for (mode, newest) in [(Mode::Delete, &mut newest.hard), (Mode::Stale, &mut newest.soft)] {
            for list in self.of(mode, order) {
                let hash = || *known.get_or_insert_with(|| self.hasher.hash_one(text));
                *newest = (*newest).max(list.over(text, hash));
            }
        }
    }

    /// Raises `newest` to the fences of an order in the subject's account.
    fn look_within(&self, order: Order, subject: Subject<'_>, newest: &mut Newest) {
        for (mode, newest) in [(Mode::Delete, &mut newest.hard), (Mode::Stale, &mut newest.soft)] {
            for list in self.of(mode, order) {
                *newest = (*newest).max(list.within(subject, &self.hasher));
            }
        }
    }
}

/// The highest epochs of fences that name a subject, 0 with none.
#[derive(Default)]
struct Newest {
    hard: Epoch,
    soft: Epoch,
}
