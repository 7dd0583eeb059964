//! Epochs, tickets and fences: why a purge that was acknowledged is never undone by a race.
//!
//! Owns the epoch (a counter that every purge raises by one), the live fences, and the active set: the
//! ticket and key of every fetch under way. A variant is *covered* where a live fence with a higher epoch
//! than the variant's own names its key; a covered variant is never served and never stored.
//!
//! Invariants:
//! - Raising the epoch, publishing, folding and retiring happen under `state`; each makes a new immutable
//!   snapshot, and `newest` (the highest epoch of a live fence, 0 with none) is stored after the snapshot.
//! - A reader loads `newest`, then the snapshot, and only then looks into the store ([`Fences::view`]). The
//!   other order serves stale bytes: get the old variant; the sweep ends and the fence retires; load a
//!   snapshot without it.
//! - A ticket is the epoch read in the same critical section that enters the active set. So a fence finds
//!   in the set every older fetch that could still store something under it, and outlives them.
//! - A fence nested in a wider one is the newer of the two: a wider newer one absorbs it.
//!
//! Lock: `state`, taken last; nothing is called while it is held. A look-up takes no lock. Publishing costs
//! O(live fences), which are bounded by `FENCES_MAX`, and nothing per stored entry.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Condvar, Mutex};

use crate::key::Key;
use crate::limits::FENCES_MAX;
use crate::target::Target;

/// A count of purges; what began under an older epoch than a fence's is what the fence covers.
pub type Epoch = u64;

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Variants removed.
    pub entries: u64,
    /// Their weight in the store, in bytes.
    pub bytes: u64,
    /// Whether other purges are counted in these figures, because one fence served them all.
    pub shared: bool,
}

/// Called once, on the sweeper's thread, when the first sweep of a purge has ended.
pub type OnSwept = Box<dyn FnOnce(Swept) + Send>;

/// The fences, the epoch and the active set.
pub struct Fences {
    state: Mutex<State>,
    snapshot: ArcSwap<Snapshot>,
    newest: AtomicU64,
    work: Condvar,
}

struct State {
    epoch: Epoch,
    /// Sorted by text, which is unique: a fence absorbs an older one of its text.
    exact: Vec<Fence>,
    /// Sorted by text, which is unique.
    prefixes: Vec<Fence>,
    /// Fetches under way: (ticket, number) → key.
    active: BTreeMap<(Epoch, u64), Key>,
    numbers: u64,
    closed: bool,
}

struct Fence {
    number: u64,
    text: Arc<str>,
    epoch: Epoch,
    phase: Phase,
    swept: Swept,
    callers: Vec<OnSwept>,
    /// The fence that was being swept when this one absorbed it: its figures are added to these.
    took_over: Option<u64>,
}

enum Phase {
    /// For its first sweep.
    Queued,
    /// The sweeper is at it: a fold leaves it alone.
    Sweeping,
    /// Swept once; waits for these older fetches, which may still store what it covers.
    Draining(HashSet<u64>),
}

/// The covering part of the live fences, immutable.
#[derive(Default)]
struct Snapshot {
    exact: Vec<(Arc<str>, Epoch)>,
    prefixes: Vec<PrefixNode>,
}

struct PrefixNode {
    text: Arc<str>,
    epoch: Epoch,
    /// The longest other prefix that is a prefix of this one.
    parent: Option<usize>,
}

impl Snapshot {
    fn of(state: &State) -> Snapshot {
        let exact = state.exact.iter().map(|fence| (fence.text.clone(), fence.epoch)).collect();
        let mut prefixes: Vec<PrefixNode> = Vec::with_capacity(state.prefixes.len());
        for fence in &state.prefixes {
            let mut parent = prefixes.len().checked_sub(1);
            while let Some(candidate) = parent {
                if fence.text.starts_with(&*prefixes[candidate].text) {
                    break;
                }
                parent = prefixes[candidate].parent;
            }
            prefixes.push(PrefixNode { text: fence.text.clone(), epoch: fence.epoch, parent });
        }
        Snapshot { exact, prefixes }
    }

    /// The highest epoch of a fence that names `key`, or 0. Two binary searches and a walk to the longest
    /// prefix: of all prefixes not after the key, the greatest, or one of its parents, is the longest that
    /// the key begins with; and the longest is the newest, since a wider newer one would have absorbed it.
    fn newest_over(&self, key: &str) -> Epoch {
        let exact = match self.exact.binary_search_by(|(text, _)| (**text).cmp(key)) {
            Ok(at) => self.exact[at].1,
            Err(_) => 0,
        };
        let mut at = self.prefixes.partition_point(|node| *node.text <= *key).checked_sub(1);
        while let Some(candidate) = at {
            let node = &self.prefixes[candidate];
            if key.starts_with(&*node.text) {
                return exact.max(node.epoch);
            }
            at = node.parent;
        }
        exact
    }
}

/// The fences as they stood when the view was made: make it first, look into the store after it.
pub struct View(Option<Guard<Arc<Snapshot>>>);

impl View {
    /// Whether what began at `epoch` under `key` has been purged.
    pub fn covers(&self, key: &Key, epoch: Epoch) -> bool {
        match &self.0 {
            None => false,
            Some(snapshot) => snapshot.newest_over(key.as_str()) > epoch,
        }
    }
}

/// A fetch's place in the active set, and the epoch of whatever it brings. Leaves the set when dropped:
/// after the insert, or as soon as it is known that nothing will be stored.
pub struct Ticket {
    fences: Arc<Fences>,
    epoch: Epoch,
    number: u64,
}

impl Ticket {
    /// The epoch before anything was sent to the origin.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The fetch's own number, never given twice.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.fences.leave(self.epoch, self.number);
    }
}

/// What a fence names, for the sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// One key.
    Exact(Arc<str>),
    /// Every key that begins so.
    Prefix(Arc<str>),
}

/// What the sweeper is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// Remove what the fence covers; then report by [`Fences::swept`], or [`Fences::interrupted`].
    First {
        /// Names the fence in the report.
        number: u64,
        /// What it covers.
        span: Span,
        /// Variants older than this are covered.
        epoch: Epoch,
    },
    /// The same once more, now that no older fetch is under way; then [`Fences::retire`].
    Last {
        /// Names the fence in the report.
        number: u64,
        /// What it covers.
        span: Span,
        /// Variants older than this are covered.
        epoch: Epoch,
    },
    /// The process ends.
    Close,
}

impl Fences {
    /// No fence, epoch 1.
    pub fn new() -> Arc<Fences> {
        let state = State {
            epoch: 1,
            exact: Vec::new(),
            prefixes: Vec::new(),
            active: BTreeMap::new(),
            numbers: 0,
            closed: false,
        };
        Arc::new(Fences {
            state: Mutex::new(state),
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            newest: AtomicU64::new(0),
            work: Condvar::new(),
        })
    }

    /// The fences now. One atomic load while none is alive.
    pub fn view(&self) -> View {
        // Acquire: what is seen of the store after reading a retired fence's absence includes its sweep.
        match self.newest.load(Ordering::Acquire) {
            0 => View(None),
            _ => View(Some(self.snapshot.load())),
        }
    }

    /// Raises the epoch and publishes a fence over `target`. When this returns, no later look-up, join or
    /// commit accepts what the fence covers.
    pub fn publish(&self, target: &Target, on_swept: OnSwept) -> Epoch {
        let mut state = self.state.lock();
        state.epoch += 1;
        let epoch = state.epoch;
        let span = Span::of(target);
        state.raise(&span, epoch, vec![on_swept]);
        if state.count() > FENCES_MAX {
            state.fold();
        }
        self.show(&state);
        drop(state);
        self.work.notify_one();
        epoch
    }

    /// Enters a fetch of `key` into the active set; nothing may have been sent to the origin for it yet.
    pub fn enter(self: &Arc<Fences>, key: &Key) -> Ticket {
        let mut state = self.state.lock();
        state.numbers += 1;
        let (epoch, number) = (state.epoch, state.numbers);
        let previous = state.active.insert((epoch, number), key.clone());
        assert!(previous.is_none(), "a fetch's number is used once");
        drop(state);
        Ticket { fences: self.clone(), epoch, number }
    }

    fn leave(&self, epoch: Epoch, number: u64) {
        let mut state = self.state.lock();
        let known = state.active.remove(&(epoch, number)).is_some();
        assert!(known, "a ticket leaves the active set once");
        let mut drained = false;
        for fence in state.all_mut() {
            if let Phase::Draining(waiting) = &mut fence.phase {
                drained |= waiting.remove(&number) && waiting.is_empty();
            }
        }
        drop(state);
        if drained {
            self.work.notify_one();
        }
    }

    /// Waits for the sweeper's next job. For the one sweeper alone.
    pub fn next_job(&self) -> Job {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Job::Close;
            }
            if let Some(job) = state.next_job() {
                return job;
            }
            self.work.wait(&mut state);
        }
    }

    /// The sweeper's next job, if there is one: for tests that sweep by hand.
    #[cfg(test)]
    pub fn ready_job(&self) -> Option<Job> {
        self.state.lock().next_job()
    }

    /// Whether the fence is still alive, and not folded into a wider one.
    pub fn is_alive(&self, number: u64) -> bool {
        self.state.lock().find_mut(number).is_some()
    }

    /// Reports the first sweep of a fence as done, and tells its callers. It drains from here on.
    pub fn swept(&self, number: u64, freed: Swept) {
        let mut state = self.state.lock();
        let Some((span, epoch)) = state.find_mut(number).map(|(span, fence)| (span, fence.epoch)) else {
            drop(state);
            return self.interrupted(number, freed);
        };
        let older = state.active.range(..(epoch, 0)).filter(|(_, key)| span.covers(key.as_str()));
        let waiting: HashSet<u64> = older.map(|((_, number), _)| *number).collect();
        let (_, fence) = state.find_mut(number).expect("found above, under the same lock");
        fence.phase = Phase::Draining(waiting);
        fence.swept.entries += freed.entries;
        fence.swept.bytes += freed.bytes;
        let (swept, callers) = (fence.swept, std::mem::take(&mut fence.callers));
        drop(state);
        for caller in callers {
            caller(swept);
        }
    }

    /// Reports what was removed before the fence was absorbed by a wider one.
    pub fn interrupted(&self, number: u64, freed: Swept) {
        let mut state = self.state.lock();
        if let Some(fence) = state.all_mut().find(|fence| fence.took_over == Some(number)) {
            fence.swept.entries += freed.entries;
            fence.swept.bytes += freed.bytes;
            fence.took_over = None;
        }
    }

    /// Drops a fence after its last sweep.
    pub fn retire(&self, number: u64) {
        let mut state = self.state.lock();
        state.exact.retain(|fence| fence.number != number);
        state.prefixes.retain(|fence| fence.number != number);
        self.show(&state);
    }

    /// Ends [`Fences::next_job`] for good.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
    }

    /// Fences alive and fetches under way.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.count(), state.active.len())
    }

    /// Publishes the state: the snapshot first, `newest` after it.
    fn show(&self, state: &State) {
        let newest = state.all().map(|fence| fence.epoch).max().unwrap_or(0);
        self.snapshot.store(Arc::new(Snapshot::of(state)));
        self.newest.store(newest, Ordering::Release);
    }
}

impl State {
    fn count(&self) -> usize {
        self.exact.len() + self.prefixes.len()
    }

    fn all(&self) -> impl Iterator<Item = &Fence> {
        self.exact.iter().chain(&self.prefixes)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Fence> {
        self.exact.iter_mut().chain(&mut self.prefixes)
    }

    fn find_mut(&mut self, number: u64) -> Option<(Span, &mut Fence)> {
        if let Some(fence) = self.exact.iter_mut().find(|fence| fence.number == number) {
            return Some((Span::Exact(fence.text.clone()), fence));
        }
        let fence = self.prefixes.iter_mut().find(|fence| fence.number == number)?;
        Some((Span::Prefix(fence.text.clone()), fence))
    }

    /// Puts up a fence; it absorbs the older ones that it covers, with their callers.
    fn raise(&mut self, span: &Span, epoch: Epoch, callers: Vec<OnSwept>) {
        let mut fence = Fence {
            number: self.numbers + 1,
            text: span.text().clone(),
            epoch,
            phase: Phase::Queued,
            swept: Swept::default(),
            callers,
            took_over: None,
        };
        self.numbers += 1;
        let covered = |older: &Fence| older.epoch <= epoch && span.covers(&older.text);
        let text = span.text();
        let from = self.exact.partition_point(|older| *older.text < **text);
        while self.exact.get(from).is_some_and(covered) {
            fence.absorb(self.exact.remove(from));
        }
        let mut at = self.prefixes.partition_point(|older| *older.text < **text);
        match span {
            Span::Exact(_) => self.exact.insert(from, fence),
            Span::Prefix(_) => {
                // A narrower one that is newer (a fold can meet one) stays, and may stand between others.
                let from = at;
                while let Some(older) = self.prefixes.get(at)
                    && older.text.starts_with(&**text)
                {
                    if covered(older) {
                        fence.absorb(self.prefixes.remove(at));
                    } else {
                        at += 1;
                    }
                }
                self.prefixes.insert(from, fence);
            }
        }
    }

    /// Folds two neighbours of one account into a fence over what their texts begin with alike: the two
    /// that share most, so that least is purged beside what was asked. Leaves the one being swept alone,
    /// so that a storm of purges can't restart one sweep for ever.
    fn fold(&mut self) {
        let mut sorted: Vec<(&Fence, usize)> = self
            .all()
            .filter(|fence| !matches!(fence.phase, Phase::Sweeping))
            .map(|fence| (fence, fence.text.find('/').map_or(fence.text.len(), |slash| slash + 1)))
            .collect();
        sorted.sort_unstable_by(|a, b| a.0.text.cmp(&b.0.text));
        let best = sorted.windows(2).filter_map(|pair| {
            let [(left, account), (right, _)] = pair else { return None };
            let alike = common_prefix(&left.text, &right.text);
            (alike >= *account).then_some((alike, left.number, right.number))
        });
        // Accounts with one fence each can't be folded: then there are as many as accounts, which are bounded.
        let Some((alike, left, right)) = best.max_by_key(|(alike, ..)| *alike) else { return };
        let (left, right) = (self.take(left), self.take(right));
        let span = Span::Prefix(left.text[..alike].into());
        let epoch = left.epoch.max(right.epoch);
        self.raise(&span, epoch, Vec::new());
        let number = self.numbers;
        let (_, folded) = self.find_mut(number).expect("raised just now, under the same lock");
        folded.absorb(left);
        folded.absorb(right);
    }

    fn take(&mut self, number: u64) -> Fence {
        let of = |fences: &[Fence]| fences.iter().position(|fence| fence.number == number);
        if let Some(at) = of(&self.exact) {
            return self.exact.remove(at);
        }
        let at = of(&self.prefixes).expect("the number was read from these two lists");
        self.prefixes.remove(at)
    }

    fn next_job(&mut self) -> Option<Job> {
        let oldest = self.all().filter(|fence| fence.has_work()).min_by_key(|fence| fence.epoch)?.number;
        let (span, fence) = self.find_mut(oldest)?;
        let (number, epoch) = (fence.number, fence.epoch);
        match std::mem::replace(&mut fence.phase, Phase::Sweeping) {
            Phase::Draining(_) => Some(Job::Last { number, span, epoch }),
            Phase::Queued | Phase::Sweeping => Some(Job::First { number, span, epoch }),
        }
    }
}

impl Fence {
    fn has_work(&self) -> bool {
        match &self.phase {
            Phase::Queued => true,
            Phase::Sweeping => false,
            Phase::Draining(waiting) => waiting.is_empty(),
        }
    }

    fn absorb(&mut self, older: Fence) {
        assert!(older.epoch <= self.epoch, "a fence absorbs older ones alone");
        // One sweep runs at a time, so of these at most one still has figures to come.
        let swept_now = matches!(older.phase, Phase::Sweeping).then_some(older.number);
        self.took_over = swept_now.or(self.took_over).or(older.took_over);
        // One that was swept has told its callers already, and its figures are its own.
        if !older.callers.is_empty() {
            self.swept.entries += older.swept.entries;
            self.swept.bytes += older.swept.bytes;
            self.swept.shared |= older.swept.shared || !self.callers.is_empty();
            self.callers.extend(older.callers);
        }
    }
}

impl Span {
    fn of(target: &Target) -> Span {
        match target {
            Target::Url(key) => Span::Exact(key.as_str().into()),
            Target::Prefix(prefix) => Span::Prefix(prefix.as_str().into()),
        }
    }

    /// What it names, or what that begins with.
    pub fn text(&self) -> &Arc<str> {
        match self {
            Span::Exact(text) | Span::Prefix(text) => text,
        }
    }

    /// Whether it names `key`.
    pub fn covers(&self, key: &str) -> bool {
        match self {
            Span::Exact(text) => **text == *key,
            Span::Prefix(text) => key.starts_with(&**text),
        }
    }
}

fn common_prefix(left: &str, right: &str) -> usize {
    left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
