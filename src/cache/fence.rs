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
//! - Fences are kept in lists, one for each mode, order and reach. A newer one absorbs the older ones that it
//!   certainly contains ([`Span::contains`]), so that within a list of prefixes a fence nested in a wider one is the
//!   newer of the two. A hard one absorbs older ones of both modes, a soft one only soft ones, and a fold of
//!   both modes is hard. What is folded covers all that either did: of a pattern, what begins as it does.
//! - A caller is told once, by the sweep of the fence that has it then, and its gathering goes with it.
//!
//! Lock: `state`, taken last; nothing is called while it is held. A look-up takes no lock. Publishing costs
//! O(live fences), which are bounded by `FENCES_MAX`, and nothing per stored entry; a look-up O(key length).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::hottest::{Gathering, Hot};
use super::snapshot::{Exact, Hasher, LISTS, List, Snapshot, Verdict, list};
use super::span::{Order, Reach, Span, Subject, account};
use super::sync::{AtomicU64, Condvar, Loaded, Mutex, Ordering, Published, pause};
use super::variant::Variant;
use crate::clock::{Clock, Moment};
use crate::key::Key;
use crate::limits::{FENCES_MAX, FENCES_REMEMBERED, SWEEP_DELAY};
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

/// What a purge did, as far as its first sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How much it removed, or made stale.
    pub swept: Swept,
    /// The hottest of it, those first: as many as were asked for, if there were so many.
    pub hottest: Vec<Hot>,
}

/// Called once, on the sweeper's thread, when the first sweep of a purge has ended.
pub type OnSwept = Box<dyn FnOnce(Removed) + Send>;

/// Who is told of the end of a purge's first sweep.
struct Caller {
    gathering: Option<Arc<Gathering>>,
    on_swept: OnSwept,
}

/// The fences, the epoch and the active set.
pub struct Fences {
    clock: Clock,
    state: Mutex<State>,
    snapshot: Published<Snapshot>,
    newest: AtomicU64,
    work: Condvar,
}

struct State {
    epoch: Epoch,
    hasher: Hasher,
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
    /// When it was published, or the oldest of those that it has absorbed.
    raised: Moment,
    /// Itself in a snapshot, where it names a whole text.
    exact: Exact,
    /// Bytes that its text and the next one's in its list begin with alike.
    alike: usize,
    phase: Phase,
    swept: Swept,
    callers: Vec<Caller>,
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
pub enum Job {
    /// A sweep of a fence.
    Sweep(Sweep),
    /// The process ends.
    Close,
}

/// A sweep of what a fence covers.
#[derive(Clone)]
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
    /// Of the purges that the first sweep is for, if they want to know what was hot. Offer them what it removes.
    pub gatherings: Vec<Arc<Gathering>>,
}

impl Sweep {
    /// Shows a variant to the gatherings.
    pub fn offer(&self, key: &str, variant: &Variant) {
        self.gatherings.iter().for_each(|gathering| gathering.offer(key, variant));
    }
}

impl Fences {
    /// No fence, epoch 1.
    pub fn new() -> Arc<Fences> {
        Fences::by(Clock::system())
    }

    /// The same, by this clock.
    pub fn by(clock: Clock) -> Arc<Fences> {
        let state = State::new();
        let snapshot = Snapshot::empty(state.hasher.clone());
        Arc::new(Fences {
            clock,
            state: Mutex::new(state),
            snapshot: Published::new(snapshot),
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
        self.publish_gathering(mode, span, 0, on_swept)
    }

    /// The same for a purge that is to be told the `hottest` variants that it removes.
    pub fn publish_gathering(&self, mode: Mode, span: Span, hottest: usize, on_swept: OnSwept) -> Epoch {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let epoch = state.publish(mode, span, hottest, on_swept, now);
        self.show(&mut state, epoch);
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
        let now = self.clock.now();
        let mut state = self.state.lock();
        // By any tag: it may turn out to have it.
        let verdict = self.view().judge(Subject { key: key.as_str(), tags: None }, first.epoch);
        let newest = state.publish(Mode::Delete, span, 0, Box::new(|_| {}), now);
        self.show(&mut state, newest);
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
            if !state.closed {
                // A thread that is woken may set aside the one that woke it, which still has to answer.
                drop(state);
                pause(SWEEP_DELAY);
                state = self.state.lock();
            }
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
    /// fence has absorbed it meanwhile, the figures are that one's, and the callers are told by its sweep: then
    /// this is false.
    pub fn swept(&self, number: u64, freed: Swept) -> bool {
        let mut state = self.state.lock();
        let State { lists, active, .. } = &mut *state;
        let Some(fence) = lists.iter_mut().flatten().find(|fence| fence.number == number) else {
            if let Some(absorber) = lists.iter_mut().flatten().find(|fence| fence.took_over == Some(number)) {
                absorber.swept.add(freed);
                absorber.took_over = None;
            }
            return false;
        };
        let older = active.range(..(fence.epoch, 0)).filter(|(_, fetch)| fence.span.covers(fetch.subject()));
        fence.phase = Phase::Draining(older.map(|((_, number), _)| *number).collect());
        fence.swept.add(freed);
        let (swept, callers) = (fence.swept, std::mem::take(&mut fence.callers));
        drop(state);
        for Caller { gathering, on_swept } in callers {
            let hottest = gathering.map_or_else(Vec::new, |gathering| gathering.take());
            on_swept(Removed { swept, hottest });
        }
        true
    }

    /// Drops a fence after its last sweep.
    pub fn retire(&self, number: u64) {
        let mut state = self.state.lock();
        let Some(fence) = state.take(number) else { return }; // Absorbed: the wider one retires for it.
        if state.retired.len() == FENCES_REMEMBERED {
            state.retired.pop_front();
        }
        state.retired.push_back(Retired { mode: fence.mode, span: fence.span, epoch: fence.epoch });
        let newest = state.newest();
        self.show(&mut state, newest);
    }

    /// What the fences that retired last would say of the store: nothing in it may be covered, but what has been
    /// made stale already. Make it before the store is walked.
    pub fn retired(&self) -> Retirements {
        let mut retired: Vec<Retired> = self.state.lock().retired.iter().cloned().collect();
        retired.sort_by_key(|fence| fence.epoch);
        let mut state = State::new();
        for Retired { mode, span, epoch } in retired {
            state.raise(mode, span, epoch, Vec::new(), self.clock.now());
        }
        Retirements(state.snapshot(&Snapshot::empty(state.hasher.clone()), state.newest()))
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

    /// When the oldest that is alive was published; nothing where none is.
    pub fn oldest(&self) -> Option<Moment> {
        self.state.lock().all().map(|fence| fence.raised).min()
    }

    /// Publishes the state: the snapshot first, `newest` after it.
    fn show(&self, state: &mut State, newest: Epoch) {
        let snapshot = state.snapshot(&self.snapshot.load(), newest);
        state.changed = [false; LISTS];
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
    fn publish(&mut self, mode: Mode, span: Span, hottest: usize, on_swept: OnSwept, now: Moment) -> Epoch {
        self.epoch += 1;
        let epoch = self.epoch;
        let gathering = (hottest > 0).then(|| Arc::new(Gathering::new(span.clone(), epoch, hottest)));
        self.raise(mode, span, epoch, vec![Caller { gathering, on_swept }], now);
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
            hasher: Hasher::new(),
            lists: Default::default(),
            changed: [true; LISTS],
            active: BTreeMap::new(),
            numbers: 0,
            retired: VecDeque::new(),
            closed: false,
        }
    }

    /// The highest epoch of a live fence, or 0.
    fn newest(&self) -> Epoch {
        self.all().map(|fence| fence.epoch).max().unwrap_or(0)
    }

    /// What covers, after `last`; `newest` is the highest epoch of a live fence.
    fn snapshot(&self, last: &Snapshot, newest: Epoch) -> Snapshot {
        let lists = std::array::from_fn(|at| {
            let fences = &self.lists[at];
            let texts = || fences.iter().map(|fence| (&fence.span.text, fence.epoch));
            match fences.first().map(|first| first.span.reach) {
                None => List::Empty,
                Some(_) if !self.changed[at] => last.list(at).clone(),
                Some(Reach::Exact) => List::exact(fences.iter().map(|fence| fence.exact)),
                Some(Reach::Prefix) => List::prefixes(texts()),
                Some(Reach::Pattern) => List::patterns(texts()),
            }
        });
        debug_assert_eq!(newest, self.newest());
        Snapshot::new(newest, lists, self.hasher.clone())
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

    /// Puts up a fence; it absorbs the older ones that it covers, with their callers.
    fn raise(
        &mut self,
        mode: Mode,
        span: Span,
        epoch: Epoch,
        callers: Vec<Caller>,
        raised: Moment,
    ) -> &mut Fence {
        self.numbers += 1;
        let number = self.numbers;
        let (phase, swept) = (Phase::Queued, Swept::default());
        let exact = Exact::of(&span, epoch, &self.hasher);
        let (alike, took_over) = (0, None);
        let mut fence =
            Fence { number, mode, span, epoch, raised, exact, alike, phase, swept, callers, took_over };
        let modes = match mode {
            Mode::Delete => &[Mode::Delete, Mode::Stale][..],
            Mode::Stale => &[Mode::Stale][..],
        };
        let (own_order, everywhere) = (fence.span.order, fence.span.names_accounts());
        for order in Order::ALL.into_iter().filter(|order| everywhere || *order == own_order) {
            for mode in modes {
                for reach in Reach::ALL {
                    self.absorb(&mut fence, list(*mode, order, reach));
                }
            }
        }
        let own = list(mode, fence.span.order, fence.span.reach);
        let at = self.lists[own].partition_point(|older| older.span.text < fence.span.text);
        self.lists[own].insert(at, fence);
        self.changed(own, at);
        &mut self.lists[own][at]
    }

    /// Notes that a fence of a list has come to this place, or has left it.
    fn changed(&mut self, list: usize, at: usize) {
        self.changed[list] = true;
        let fences = &mut self.lists[list];
        for at in at.saturating_sub(1)..(at + 1).min(fences.len()) {
            if let [fence, next, ..] = &mut fences[at..] {
                fence.alike = fence.span.alike(&next.span);
            }
        }
    }

    fn remove(&mut self, list: usize, at: usize) -> Fence {
        let fence = self.lists[list].remove(at);
        self.changed(list, at);
        fence
    }

    /// Takes from a list what `fence` covers. A newer one (a fold can meet one) stays.
    fn absorb(&mut self, fence: &mut Fence, list: usize) {
        let mut at = self.lists[list].partition_point(|older| older.span.text < fence.span.text);
        // What it names, whatever its reach, stands side by side in a list that is sorted by text.
        while let Some(older) =
            self.lists[list].get(at).filter(|older| older.span.text.starts_with(&*fence.span.text))
        {
            if older.epoch <= fence.epoch && fence.span.contains(&older.span) {
                let older = self.remove(list, at);
                fence.absorb(older);
            } else {
                at += 1;
            }
        }
    }

    /// Folds two fences of one order and account into one over what their texts begin with alike: the two
    /// neighbours in a list that share most, so that least is purged beside what was asked; where no list has two
    /// of one account, neighbours in the whole order. Leaves the one being swept alone, so that a storm of purges
    /// can't restart one sweep for ever.
    fn fold(&mut self) {
        // Accounts with one fence an order can't be folded: then there are three an account, which are bounded.
        let Some((alike, left, right)) = self.closest_in_a_list().or_else(|| self.closest_in_an_order())
        else {
            return;
        };
        let taken = "they were found just now, under the same lock";
        let (left, right) = (self.take(left).expect(taken), self.take(right).expect(taken));
        let mode = if left.mode == right.mode { left.mode } else { Mode::Delete };
        let text = left.span.text[..alike].into();
        let span = Span { order: left.span.order, reach: Reach::Prefix, text };
        let folded =
            self.raise(mode, span, left.epoch.max(right.epoch), Vec::new(), left.raised.min(right.raised));
        folded.absorb(left);
        folded.absorb(right);
    }

    /// Bytes alike, and the numbers of the two. Costs a look at each fence, and no text but the few best.
    fn closest_in_a_list(&self) -> Option<(usize, u64, u64)> {
        let mut best: Option<(usize, u64, u64)> = None;
        for fences in &self.lists {
            for pair in fences.windows(2) {
                let [left, right] = pair else { continue };
                let is_closer = left.alike > best.map_or(0, |(alike, ..)| alike);
                if is_closer && may_fold(left, right, left.alike) {
                    best = Some((left.alike, left.number, right.number));
                }
            }
        }
        best
    }

    /// The same among the fences of both modes and reaches; of one mode if there are such.
    fn closest_in_an_order(&self) -> Option<(usize, u64, u64)> {
        let mut best: Option<((bool, usize), u64, u64)> = None;
        for order in Order::ALL {
            let mut sorted: Vec<&Fence> = self.all().filter(|fence| fence.span.order == order).collect();
            sorted.retain(|fence| !matches!(fence.phase, Phase::Sweeping));
            sorted.sort_by(|a, b| a.span.text.cmp(&b.span.text)); // Stable: it merges lists that are sorted.
            for pair in sorted.windows(2) {
                let [left, right] = pair else { continue };
                let alike = left.span.alike(&right.span);
                let closeness = (left.mode == right.mode, alike);
                let is_closer = best.as_ref().is_none_or(|(so_far, ..)| *so_far < closeness);
                if is_closer && may_fold(left, right, alike) {
                    best = Some((closeness, left.number, right.number));
                }
            }
        }
        best.map(|((_, alike), left, right)| (alike, left, right))
    }

    fn take(&mut self, number: u64) -> Option<Fence> {
        let places = self.lists.iter().enumerate();
        let (list, at) = places
            .filter_map(|(list, fences)| {
                Some((list, fences.iter().position(|fence| fence.number == number)?))
            })
            .next()?;
        Some(self.remove(list, at))
    }

    fn next_sweep(&mut self) -> Option<Sweep> {
        let fence = self.all_mut().filter(|fence| fence.has_work()).min_by_key(|fence| fence.epoch)?;
        let first = !matches!(fence.phase, Phase::Draining(_));
        fence.phase = Phase::Sweeping;
        let Fence { number, mode, span, epoch, callers, .. } = fence;
        // Told after the first, so the last has none. An absorber gets more while it is queued alone.
        let gatherings = callers.iter().filter_map(|caller| caller.gathering.clone()).collect();
        Some(Sweep { number: *number, mode: *mode, span: span.clone(), epoch: *epoch, first, gatherings })
    }
}

/// Whether two fences of one order may become one: they are of one account, and neither is being swept.
fn may_fold(left: &Fence, right: &Fence, alike: usize) -> bool {
    let is_swept_now = |fence: &Fence| matches!(fence.phase, Phase::Sweeping);
    alike > 0 && alike >= account(&left.span.text).len() && !is_swept_now(left) && !is_swept_now(right)
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
        self.raised = self.raised.min(older.raised);
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
