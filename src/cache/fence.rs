//! Epochs, tickets and fences: why a purge that was acknowledged is never undone by a race.
//!
//! Owns the epoch (a counter that every purge raises by one), the live fences, and the active set: the
//! ticket and key of every fetch under way. A variant is *covered* where a live fence with a higher epoch
//! than the variant's own names it. What a hard fence covers is never served and never stored; what a soft
//! one covers is stale.
//!
//! Invariants:
//! - Raising the epoch, publishing, folding and retiring happen under `state`; each makes a new immutable
//!   snapshot, and `newest` (the highest epoch of a live fence, 0 with none) is stored after the snapshot.
//! - A reader loads `newest`, then the snapshot, and only then looks into the store ([`Fences::view`]). The
//!   other order serves stale bytes: get the old variant; the sweep ends and the fence retires; load a
//!   snapshot without it.
//! - A ticket is the epoch read in the same critical section that enters the active set. So a fence finds
//!   in the set every older fetch that could still store something under it, and outlives them.
//! - Fences are kept in lists, one for each mode, order and reach. Within a list of prefixes a fence nested in
//!   a wider one is the newer of the two: a wider newer one absorbs it. A hard one absorbs older ones of both
//!   modes, a soft one only soft ones, and a fold of both modes is hard.
//!
//! Lock: `state`, taken last; nothing is called while it is held. A look-up takes no lock. Publishing costs
//! O(live fences), which are bounded by `FENCES_MAX`, and nothing per stored entry; a look-up O(key length).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::span::{Order, Reach, Span, Subject, account};
use super::sync::{AtomicU64, Condvar, Loaded, Mutex, Ordering, Published};
use crate::key::Key;
use crate::limits::{FENCES_MAX, FENCES_REMEMBERED};
use crate::target::{Mode, Tags};

/// A count of purges; what began under an older epoch than a fence's is what the fence covers.
pub type Epoch = u64;

/// What a sweep removed, or made stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Variants.
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
    snapshot: Published<Snapshot>,
    newest: AtomicU64,
    work: Condvar,
}

/// Lists of fences: one for each mode, order and reach.
const LISTS: usize = 2 * Order::ALL.len() * 2;

fn list(mode: Mode, order: Order, reach: Reach) -> usize {
    let of_mode = match mode {
        Mode::Delete => 0,
        Mode::Stale => LISTS / 2,
    };
    of_mode + 2 * order as usize + usize::from(reach == Reach::Prefix)
}

struct State {
    epoch: Epoch,
    /// Each sorted by text.
    lists: [Vec<Fence>; LISTS],
    /// Those that differ from the snapshot's.
    changed: [bool; LISTS],
    /// Fetches under way: (ticket, number) → what it fetches.
    active: BTreeMap<(Epoch, u64), Fetch>,
    numbers: u64,
    /// The newest fences that have retired, for audits.
    retired: VecDeque<Retired>,
    closed: bool,
}

/// A fetch under way.
struct Fetch {
    key: Key,
    /// Nothing before its head has come.
    tags: Option<Tags>,
}

impl Fetch {
    fn subject(&self) -> Subject<'_> {
        Subject { key: self.key.as_str(), tags: self.tags.as_ref() }
    }
}

/// A fence that has retired: nothing older than it exists under its span.
#[derive(Clone, Debug)]
struct Retired {
    mode: Mode,
    span: Span,
    epoch: Epoch,
}

struct Fence {
    number: u64,
    mode: Mode,
    span: Span,
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

/// The covering part of the live fences, immutable. A list that did not change is the last snapshot's.
struct Snapshot {
    newest: Epoch,
    lists: [Arc<[Node]>; LISTS],
}

struct Node {
    text: Arc<str>,
    epoch: Epoch,
    /// In a list of prefixes: the longest other one that is a prefix of this one.
    parent: Option<usize>,
}

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

impl Snapshot {
    fn empty() -> Snapshot {
        Snapshot { newest: 0, lists: std::array::from_fn(|_| Arc::from([])) }
    }

    /// The state after `last`.
    fn of(state: &State, last: &Snapshot) -> Snapshot {
        let lists = std::array::from_fn(|at| match state.changed[at] {
            false => last.lists[at].clone(),
            true => nodes(&state.lists[at]),
        });
        Snapshot { newest: state.all().map(|fence| fence.epoch).max().unwrap_or(0), lists }
    }

    fn judge(&self, subject: Subject<'_>, epoch: Epoch) -> Verdict {
        if epoch >= self.newest {
            return Verdict::Live;
        }
        if self.newest_over(Mode::Delete, subject) > epoch {
            return Verdict::Gone;
        }
        match self.newest_over(Mode::Stale, subject) {
            stale if stale > epoch => Verdict::Stale(stale),
            _ => Verdict::Live,
        }
    }

    /// The highest epoch of a fence of this mode that names the subject, or 0.
    fn newest_over(&self, mode: Mode, subject: Subject<'_>) -> Epoch {
        let lists = |order| (self.list(mode, order, Reach::Exact), self.list(mode, order, Reach::Prefix));
        let (exact, prefixes) = lists(Order::Url);
        let mut newest = exact_over(exact, subject.key).max(prefix_over(prefixes, subject.key));
        let (exact, prefixes) = lists(Order::Asset);
        if !exact.is_empty() || !prefixes.is_empty() {
            let asset = crate::key::asset_of(subject.key);
            newest = newest.max(exact_over(exact, &asset)).max(prefix_over(prefixes, &asset));
        }
        let (exact, prefixes) = lists(Order::Tag);
        if exact.is_empty() && prefixes.is_empty() {
            return newest;
        }
        match subject.tags {
            None => newest.max(newest_within(exact, subject)).max(newest_within(prefixes, subject)),
            Some(tags) => tags.as_slice().iter().fold(newest, |newest, tag| {
                newest.max(exact_over(exact, tag.as_str())).max(prefix_over(prefixes, tag.as_str()))
            }),
        }
    }

    fn list(&self, mode: Mode, order: Order, reach: Reach) -> &[Node] {
        &self.lists[list(mode, order, reach)]
    }
}

fn nodes(fences: &[Fence]) -> Arc<[Node]> {
    let mut nodes: Vec<Node> = Vec::with_capacity(fences.len());
    for fence in fences {
        let text = fence.span.text.clone();
        let mut parent = nodes.len().checked_sub(1).filter(|_| fence.span.reach == Reach::Prefix);
        while let Some(candidate) = parent {
            if text.starts_with(&*nodes[candidate].text) {
                break;
            }
            parent = nodes[candidate].parent;
        }
        nodes.push(Node { text, epoch: fence.epoch, parent });
    }
    nodes.into()
}

fn exact_over(list: &[Node], text: &str) -> Epoch {
    list.binary_search_by(|node| (*node.text).cmp(text)).map_or(0, |at| list[at].epoch)
}

/// One binary search, one comparison, and a walk that compares lengths: of all prefixes not after the text, the
/// greatest, or one of its parents, is the longest that the text begins with; and the longest is the newest,
/// since a wider newer one would have absorbed it.
fn prefix_over(list: &[Node], text: &str) -> Epoch {
    let Some(mut at) = list.partition_point(|node| *node.text <= *text).checked_sub(1) else { return 0 };
    let alike = common_prefix(&list[at].text, text);
    loop {
        let node = &list[at];
        if node.text.len() <= alike {
            return node.epoch;
        }
        match node.parent {
            Some(parent) => at = parent,
            None => return 0,
        }
    }
}

/// The highest epoch in the subject's account.
fn newest_within(list: &[Node], subject: Subject<'_>) -> Epoch {
    let from = list.partition_point(|node| *node.text < *subject.account());
    let own = list[from..].iter().take_while(|node| node.text.starts_with(subject.account()));
    own.map(|node| node.epoch).max().unwrap_or(0)
}

/// The fences as they stood when the view was made: make it first, look into the store after it.
pub struct View(Option<Loaded<Snapshot>>);

impl View {
    /// Whether no fence was alive.
    #[cfg(test)]
    pub fn is_clear(&self) -> bool {
        self.0.is_none()
    }

    /// What purges mean for what began at `epoch`.
    pub fn judge(&self, subject: Subject<'_>, epoch: Epoch) -> Verdict {
        match &self.0 {
            None => Verdict::Live,
            Some(snapshot) => snapshot.judge(subject, epoch),
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

    /// Tells by which tags the fetch may be purged: its head has come. Fences over other tags wait no longer.
    pub fn learn(&self, tags: &Tags) {
        self.fences.learn(self.epoch, self.number, tags);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.fences.leave(self.epoch, self.number);
    }
}

/// What the sweeper is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// A sweep of a fence.
    Sweep(Sweep),
    /// The process ends.
    Close,
}

/// A sweep of what a fence covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Names the fence in the report.
    pub number: u64,
    /// Whether what is covered goes, or goes stale.
    pub mode: Mode,
    /// What it covers.
    pub span: Span,
    /// Variants older than this are covered.
    pub epoch: Epoch,
    /// The first one: report it by [`Fences::swept`]. Else no older fetch is under way any more: after this one
    /// comes [`Fences::retire`].
    pub first: bool,
}

impl Fences {
    /// No fence, epoch 1.
    pub fn new() -> Arc<Fences> {
        Arc::new(Fences {
            state: Mutex::new(State::new()),
            snapshot: Published::new(Snapshot::empty()),
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

    /// Raises the epoch and publishes a fence over `span`. When this returns, no later look-up, join or
    /// commit accepts what the fence covers.
    pub fn publish(&self, mode: Mode, span: Span, on_swept: OnSwept) -> Epoch {
        let mut state = self.state.lock();
        let epoch = state.publish(mode, span, on_swept);
        self.show(&mut state);
        drop(state);
        self.work.notify_one();
        epoch
    }

    /// Enters a fetch of `key` into the active set; nothing may have been sent to the origin for it yet.
    pub fn enter(self: &Arc<Fences>, key: &Key) -> Ticket {
        let (epoch, number) = self.state.lock().enter(key);
        Ticket { fences: self.clone(), epoch, number }
    }

    /// Publishes a fence over `key` for a fetch of it whose answer makes all invalid that is older. The fetch gets
    /// a new ticket, so that the fence does not cover what it brings; both happen in one critical section, so
    /// that no other fence comes between. Where one has named `key` since the first ticket was taken there is
    /// none, for what the fetch brings is as old as that.
    pub fn supersede(self: &Arc<Fences>, first: Ticket, key: &Key) -> Option<Ticket> {
        let span = Span { order: Order::Url, reach: Reach::Exact, text: key.as_str().into() };
        let mut state = self.state.lock();
        // By any tag: it may turn out to have it.
        let verdict = self.view().judge(Subject { key: key.as_str(), tags: None }, first.epoch);
        state.publish(Mode::Delete, span, Box::new(|_| {}));
        self.show(&mut state);
        let entered = (verdict == Verdict::Live).then(|| state.enter(key));
        drop(state);
        self.work.notify_one();
        entered.map(|(epoch, number)| Ticket { fences: self.clone(), epoch, number })
    }

    fn learn(&self, epoch: Epoch, number: u64, tags: &Tags) {
        let mut state = self.state.lock();
        let fetch =
            state.active.get_mut(&(epoch, number)).expect("a ticket is in the set until it is dropped");
        fetch.tags = Some(tags.clone());
        let key = fetch.key.clone();
        let subject = Subject::known(key.as_str(), tags);
        let drained = state.wait_no_longer(number, |span| !span.covers(subject));
        drop(state);
        if drained {
            self.work.notify_one();
        }
    }

    fn leave(&self, epoch: Epoch, number: u64) {
        let mut state = self.state.lock();
        let left = state.active.remove(&(epoch, number));
        assert!(left.is_some(), "a ticket leaves the active set once");
        let drained = state.wait_no_longer(number, |_| true);
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
            if let Some(sweep) = state.next_sweep() {
                return Job::Sweep(sweep);
            }
            self.work.wait(&mut state);
        }
    }

    /// The next sweep, if there is one: for tests that sweep by hand.
    #[cfg(test)]
    pub fn ready_sweep(&self) -> Option<Sweep> {
        self.state.lock().next_sweep()
    }

    /// Whether the fence is still alive, and not absorbed by another one.
    pub fn is_alive(&self, number: u64) -> bool {
        self.state.lock().all().any(|fence| fence.number == number)
    }

    /// Reports the first sweep of a fence as done, and tells its callers. It drains from here on. Where a wider
    /// fence has absorbed it meanwhile, the figures are that one's.
    pub fn swept(&self, number: u64, freed: Swept) {
        let mut state = self.state.lock();
        let State { lists, active, .. } = &mut *state;
        let Some(fence) = lists.iter_mut().flatten().find(|fence| fence.number == number) else {
            if let Some(absorber) = lists.iter_mut().flatten().find(|fence| fence.took_over == Some(number)) {
                absorber.swept.add(freed);
                absorber.took_over = None;
            }
            return;
        };
        let older = active.range(..(fence.epoch, 0)).filter(|(_, fetch)| fence.span.covers(fetch.subject()));
        fence.phase = Phase::Draining(older.map(|((_, number), _)| *number).collect());
        fence.swept.add(freed);
        let (swept, callers) = (fence.swept, std::mem::take(&mut fence.callers));
        drop(state);
        for caller in callers {
            caller(swept);
        }
    }

    /// Drops a fence after its last sweep.
    pub fn retire(&self, number: u64) {
        let mut state = self.state.lock();
        let Some(fence) = state.take(number) else { return }; // Absorbed: the wider one retires for it.
        if state.retired.len() == FENCES_REMEMBERED {
            state.retired.pop_front();
        }
        state.retired.push_back(Retired { mode: fence.mode, span: fence.span, epoch: fence.epoch });
        self.show(&mut state);
    }

    /// What the fences that retired last would say of the store: nothing in it may be covered, but what has been
    /// made stale already. Make it before the store is walked.
    pub fn retired(&self) -> Retirements {
        let mut retired: Vec<Retired> = self.state.lock().retired.iter().cloned().collect();
        retired.sort_by_key(|fence| fence.epoch);
        let mut state = State::new();
        for Retired { mode, span, epoch } in retired {
            state.raise(mode, span, epoch, Vec::new());
        }
        Retirements(Snapshot::of(&state, &Snapshot::empty()))
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
    fn show(&self, state: &mut State) {
        let snapshot = Snapshot::of(state, &self.snapshot.load());
        state.changed = [false; LISTS];
        let newest = snapshot.newest;
        self.snapshot.store(Arc::new(snapshot));
        self.newest.store(newest, Ordering::Release);
    }
}

/// See [`Fences::retired`].
pub struct Retirements(Snapshot);

impl Retirements {
    /// What they say of a stored variant.
    pub fn judge(&self, subject: Subject<'_>, epoch: Epoch) -> Verdict {
        self.0.judge(subject, epoch)
    }
}

impl State {
    /// Raises the epoch and adds a fence; the epoch.
    fn publish(&mut self, mode: Mode, span: Span, on_swept: OnSwept) -> Epoch {
        self.epoch += 1;
        let epoch = self.epoch;
        self.raise(mode, span, epoch, vec![on_swept]);
        if self.count() > FENCES_MAX {
            self.fold();
        }
        epoch
    }

    /// Adds a fetch; its ticket's epoch and number.
    fn enter(&mut self, key: &Key) -> (Epoch, u64) {
        self.numbers += 1;
        let entry = (self.epoch, self.numbers);
        let previous = self.active.insert(entry, Fetch { key: key.clone(), tags: None });
        assert!(previous.is_none(), "a fetch's number is used once");
        entry
    }

    fn new() -> State {
        State {
            epoch: 1,
            lists: Default::default(),
            changed: [true; LISTS],
            active: BTreeMap::new(),
            numbers: 0,
            retired: VecDeque::new(),
            closed: false,
        }
    }

    fn count(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Fence> {
        self.lists.iter().flatten()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Fence> {
        self.lists.iter_mut().flatten()
    }

    /// Takes a fetch from what the fences wait for that `which` names; whether one of them waits for none now.
    fn wait_no_longer(&mut self, number: u64, which: impl Fn(&Span) -> bool) -> bool {
        let mut drained = false;
        for fence in self.all_mut() {
            if let Phase::Draining(waiting) = &mut fence.phase {
                drained |= which(&fence.span) && waiting.remove(&number) && waiting.is_empty();
            }
        }
        drained
    }

    /// Puts up a fence; it absorbs the older ones that it covers, with their callers. Its number.
    fn raise(&mut self, mode: Mode, span: Span, epoch: Epoch, callers: Vec<OnSwept>) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        let (phase, swept) = (Phase::Queued, Swept::default());
        let mut fence = Fence { number, mode, span, epoch, phase, swept, callers, took_over: None };
        let modes = match mode {
            Mode::Delete => &[Mode::Delete, Mode::Stale][..],
            Mode::Stale => &[Mode::Stale][..],
        };
        let (own_order, everywhere) = (fence.span.order, fence.span.names_accounts());
        for order in Order::ALL.into_iter().filter(|order| everywhere || *order == own_order) {
            for mode in modes {
                self.absorb(&mut fence, list(*mode, order, Reach::Exact));
                if fence.span.reach == Reach::Prefix {
                    self.absorb(&mut fence, list(*mode, order, Reach::Prefix));
                }
            }
        }
        let own = list(mode, fence.span.order, fence.span.reach);
        let at = self.lists[own].partition_point(|older| older.span.text < fence.span.text);
        self.lists[own].insert(at, fence);
        self.changed[own] = true;
        number
    }

    /// Takes from a list what `fence` covers. A newer one (a fold can meet one) stays.
    fn absorb(&mut self, fence: &mut Fence, list: usize) {
        let fences = &mut self.lists[list];
        let mut at = fences.partition_point(|older| older.span.text < fence.span.text);
        while let Some(older) = fences.get(at).filter(|older| fence.span.names(&older.span.text)) {
            if older.epoch <= fence.epoch {
                fence.absorb(fences.remove(at));
                self.changed[list] = true;
            } else {
                at += 1;
            }
        }
    }

    /// Folds two neighbours of one order and account into a fence over what their texts begin with alike: of
    /// one mode if there are such, and the two that share most, so that least is purged beside what was asked.
    /// Leaves the one being swept alone, so that a storm of purges can't restart one sweep for ever.
    fn fold(&mut self) {
        let mut best: Option<((bool, usize), u64, u64)> = None;
        for order in Order::ALL {
            let mut sorted: Vec<&Fence> = self
                .all()
                .filter(|fence| fence.span.order == order && !matches!(fence.phase, Phase::Sweeping))
                .collect();
            sorted.sort_by(|a, b| a.span.text.cmp(&b.span.text)); // Stable: it merges lists that are sorted.
            for pair in sorted.windows(2) {
                let [left, right] = pair else { continue };
                let alike = common_prefix(&left.span.text, &right.span.text);
                let closeness = (left.mode == right.mode, alike);
                let same_account = alike >= account(&left.span.text).len() && alike > 0;
                if same_account && best.as_ref().is_none_or(|(so_far, ..)| *so_far < closeness) {
                    best = Some((closeness, left.number, right.number));
                }
            }
        }
        // Accounts with one fence an order can't be folded: then there are three an account, which are bounded.
        let Some(((same_mode, alike), left, right)) = best else { return };
        let taken = "they were found just now, under the same lock";
        let (left, right) = (self.take(left).expect(taken), self.take(right).expect(taken));
        let mode = if same_mode { left.mode } else { Mode::Delete };
        let text = left.span.text[..alike].into();
        let span = Span { order: left.span.order, reach: Reach::Prefix, text };
        let number = self.raise(mode, span, left.epoch.max(right.epoch), Vec::new());
        let folded = self.all_mut().find(|fence| fence.number == number).expect("it was raised just now");
        folded.absorb(left);
        folded.absorb(right);
    }

    fn take(&mut self, number: u64) -> Option<Fence> {
        for (fences, changed) in self.lists.iter_mut().zip(&mut self.changed) {
            if let Some(at) = fences.iter().position(|fence| fence.number == number) {
                *changed = true;
                return Some(fences.remove(at));
            }
        }
        None
    }

    fn next_sweep(&mut self) -> Option<Sweep> {
        let fence = self.all_mut().filter(|fence| fence.has_work()).min_by_key(|fence| fence.epoch)?;
        let first = !matches!(fence.phase, Phase::Draining(_));
        fence.phase = Phase::Sweeping;
        let Fence { number, mode, span, epoch, .. } = fence;
        Some(Sweep { number: *number, mode: *mode, span: span.clone(), epoch: *epoch, first })
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
            self.swept.shared |= older.swept.shared || !self.callers.is_empty();
            self.swept.add(older.swept);
            self.callers.extend(older.callers);
        }
    }
}

impl Swept {
    /// Counts what another sweep, or another part of this one, freed.
    pub fn add(&mut self, other: Swept) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// Bytes that two texts begin with alike, eight at a time as long as they can.
fn common_prefix(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let words = left.chunks_exact(8).zip(right.chunks_exact(8)).take_while(|(a, b)| a == b).count() * 8;
    words + left[words..].iter().zip(&right[words..]).take_while(|(a, b)| a == b).count()
}
