//! The four steps of the cache, each in the one order in which no race undoes a purge. See `mod.rs`.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use super::audit::{self, Audit};
use super::body::{Body, Filing};
use super::fence::{Fences, Job, OnSwept, Removed, Sweep, Swept};
use super::fields::Shapes;
use super::flight::{Flights, Join, Lead, Reader};
use super::hottest;
use super::markers::Markers;
use super::pages::Pages;
use super::snapshot::Verdict;
use super::span::{Span, Subject};
use super::store::{Resource, Store, Update};
use super::sync::{Mutex, pause};
use super::variant::Variant;
use crate::clock::{Clock, Moment};
use crate::key::Key;
use crate::limits;
use crate::semantics::Fill;
use crate::target::{Mode, Tags, Target};

/// The cache. Shared by every thread.
pub struct Cache {
    clock: Clock,
    fences: Arc<Fences>,
    flights: Arc<Flights>,
    markers: Markers,
    store: Store,
    shapes: Shapes,
    pages: Arc<Pages>,
    max_bytes: u64,
}

/// What is stored for a request.
#[derive(Debug)]
pub enum Lookup {
    /// A variant that its fields select, and that no purge has removed; perhaps stale.
    Found(Arc<Variant>),
    /// Variants, but none that its fields select.
    OtherVariants,
    /// Nothing.
    Absent,
}

/// What became of a fetched response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is stored.
    Stored,
    /// A purge came while it was fetched: its readers are answered, nothing is stored.
    Purged,
}

/// The cache's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Keys stored.
    pub entries: u64,
    /// Their weight in bytes.
    pub bytes: u64,
    /// Pairs in the index; equal to `entries` at rest.
    pub indexed: usize,
    /// Pairs that sweeps found without an entry, since the start.
    pub dangling: u64,
    /// Live fences.
    pub fences: usize,
    /// How long the oldest of them has been alive; nothing where none is.
    pub oldest_fence: Option<Duration>,
    /// Fetches that a fence would have to wait for.
    pub tickets: usize,
    /// Fetches that a request may join.
    pub flights: usize,
    /// Keys that there was no room for, since the start.
    pub evicted: u64,
    /// What the memory file takes, in bytes: in no resident set.
    pub file_bytes: u64,
}

impl Cache {
    /// An empty cache that holds `max_bytes`, in one table.
    pub fn new(max_bytes: u64, clock: Clock) -> Arc<Cache> {
        Cache::in_parts(1, max_bytes, clock)
    }

    /// The same in so many tables, a power of two, each of which has its share of the room (`map.rs` says what for).
    pub fn in_parts(parts: usize, max_bytes: u64, clock: Clock) -> Arc<Cache> {
        Cache::with(Pages::new(), parts, max_bytes, clock)
    }

    /// The same with a memory file of the caller's, or without one.
    pub(super) fn with(pages: Arc<Pages>, parts: usize, max_bytes: u64, clock: Clock) -> Arc<Cache> {
        let fences = Fences::by(clock.clone());
        let flights = Flights::new(fences.clone());
        let (markers, shapes) = (Markers::default(), Shapes::default());
        let store = Store::new(parts, max_bytes);
        Arc::new(Cache { clock, fences, flights, markers, store, shapes, pages, max_bytes })
    }

    /// What is stored for a request of `key` with these `fields`. Costs a hash, a look-up and a comparison
    /// of keys; while a purge is being swept, O(length of the key) more.
    pub fn look_up(&self, key: &Key, fields: &HeaderMap) -> Lookup {
        self.look_up_by(key, |variant| variant.selects(fields))
    }

    /// The same for a request that tells by itself which variants answer it.
    pub fn look_up_by(&self, key: &Key, mut answers: impl FnMut(&Variant) -> bool) -> Lookup {
        let view = self.fences.view(); // Before the get: see fence.rs.
        let Some(resource) = self.store.get(key.as_str()) else { return Lookup::Absent };
        let mut others = false;
        for variant in resource.variants() {
            if variant.body().is_lost() {
                continue; // Nobody can be answered from it; what is fetched in its place replaces it.
            }
            match view.judge(Subject::known(key.as_str(), variant.tags()), variant.epoch()) {
                Verdict::Gone => continue,
                Verdict::Stale(epoch) => {
                    variant.make_stale(epoch); // As the sweep will.
                }
                Verdict::Live => {}
            }
            if answers(variant) {
                return Lookup::Found(variant.clone());
            }
            others = true;
        }
        if others { Lookup::OtherVariants } else { Lookup::Absent }
    }

    /// Joins a fetch of `key` that is under way, or opens one. See [`Join`]; `alike_alone` is for a request
    /// that joined a flight which landed on a variant that it does not select.
    pub fn join(&self, key: &Key, fields: &HeaderMap, alike_alone: bool) -> Join {
        if self.markers.has(key, self.clock.now()) {
            let (lead, reader) = self.flights.alone(key, fields);
            return Join::Lead(lead, reader);
        }
        self.flights.join(key, fields, alike_alone)
    }

    /// Opens a fetch of `key` that nobody else joins.
    pub fn fetch_alone(&self, key: &Key, fields: &HeaderMap) -> (Lead, Reader) {
        self.flights.alone(key, fields)
    }

    /// Remembers that `key` is not storable, so that its next requests do not wait for each other.
    pub fn mark_not_storable(&self, key: &Key) {
        self.markers.set(key, self.clock.now());
    }

    /// Begins to put a body where it is to be stored: a large one into the memory file. Before the variant is made.
    pub fn filing(&self, body: Body) -> Filing {
        Filing::of(body, &self.pages)
    }

    /// Bytes of memory that stored bodies take beside the process's resident set.
    pub fn file_bytes(&self) -> u64 {
        self.pages.real_bytes()
    }

    /// The variant that `lead` fetched: it carries the ticket's epoch, and the tags that the lead has
    /// [learned](Lead::learn).
    pub fn variant(
        &self,
        lead: &Lead,
        status: StatusCode,
        fill: &Fill,
        tags: Tags,
        body: Body,
        received: Moment,
    ) -> Arc<Variant> {
        Arc::new(Variant::new(lead.epoch(), status, fill, tags, body, received, &self.shapes))
    }

    /// A variant with other fields: for an answer, not for the store.
    pub fn with_fields(&self, variant: &Variant, fields: &HeaderMap) -> Variant {
        variant.with_fields(fields, &self.shapes)
    }

    /// Stores what `lead` fetched, beside the other variants of its key, unless a purge came meanwhile. The
    /// lead is still in the active set, so no fence that covers it retires before this is done.
    ///
    /// The fences are read before the resource is got, as in a look-up. The stripe alone does not keep the
    /// sweep away: (1) get a resource with a covered variant; (2) it is evicted, and its pair with it, so the
    /// sweep finds nothing to wait for; (3) the fence retires; (4) read the fences, none; (5) store the
    /// covered variant again beside the new one. A fence published after the reading is newer than the lead,
    /// waits for it, and sweeps once more.
    pub fn commit(&self, lead: &Lead, variant: Arc<Variant>) -> Commit {
        assert_eq!(variant.epoch(), lead.epoch(), "what is fetched carries its fetch's epoch");
        assert!(lead.is_active(), "no fence waits for a fetch that has left the active set");
        let key = lead.key();
        let view = self.fences.view();
        // By all tags that the fetch may be purged by: a renewal's, and those of what it renews.
        match view.judge(Subject { key: key.as_str(), tags: lead.tags() }, variant.epoch()) {
            // The fence's own sweep removes what else it covers here.
            Verdict::Gone => return Commit::Purged,
            Verdict::Stale(epoch) => {
                variant.make_stale(epoch);
            }
            Verdict::Live => {}
        }
        let is_live = |other: &Variant| {
            view.judge(Subject::known(key.as_str(), other.tags()), other.epoch()) != Verdict::Gone
        };
        self.store.update(key.as_str(), |stored| {
            let kept = stored.iter().filter(|other| !other.selects_like(&variant) && is_live(other)).cloned();
            Update::Put(std::iter::once(variant.clone()).chain(kept).collect())
        });
        self.markers.clear(key);
        Commit::Stored
    }

    /// Removes a variant that its origin has disowned to `lead`; nothing where it is stored no longer. Reads
    /// the fences first, in the active set still, as a commit does: what is kept is stored anew.
    pub fn discard(&self, lead: &Lead, disowned: &Arc<Variant>) {
        assert!(lead.is_active(), "no fence waits for a fetch that has left the active set");
        let key = lead.key();
        let view = self.fences.view();
        let is_live = |variant: &Variant| {
            view.judge(Subject::known(key.as_str(), variant.tags()), variant.epoch()) != Verdict::Gone
        };
        self.store.update(key.as_str(), |stored| {
            let is_kept = |variant: &&Arc<Variant>| !Arc::ptr_eq(variant, disowned) && is_live(variant);
            let kept: Vec<_> = stored.iter().filter(is_kept).cloned().collect();
            if kept.len() == stored.len() { Update::Keep } else { Update::Put(kept) }
        });
    }

    /// Purges the key of a fetch whose answer makes all invalid that is older, of an unsafe request's success, and
    /// goes on with a lead that may store this answer. Nothing where a purge came since the fetch began.
    pub fn supersede(&self, lead: Lead) -> Option<(Lead, Reader)> {
        self.flights.supersede(lead)
    }

    /// Publishes a fence for each span of the target: when this returns, nothing that the target
    /// covers, stored or under way, answers a request that comes later (or, softly, answers it as fresh). Costs
    /// microseconds, however many entries match. `on_swept` runs once, on the sweeper's thread, when the matching
    /// entries are gone.
    pub fn purge(&self, target: &Target, mode: Mode, on_swept: OnSwept) {
        self.purge_gathering(target, mode, 0, on_swept);
    }

    /// The same for a purge that is to be told, with its figures, the `hottest` variants that its first sweep
    /// removed, or found under it where it made them stale: by the hits that they had, `HOTTEST_MAX` at most.
    pub fn purge_gathering(&self, target: &Target, mode: Mode, hottest: usize, on_swept: OnSwept) {
        let spans = Span::of(target);
        if let [span] = &spans[..] {
            self.fences.publish_gathering(mode, span.clone(), hottest, on_swept);
            return;
        }
        let together = Arc::new(Mutex::new((spans.len(), Removed::default(), Some(on_swept))));
        for span in spans {
            let together = together.clone();
            let counted = move |removed: Removed| {
                let mut state = together.lock();
                let (left, sum, caller) = &mut *state;
                *left -= 1;
                sum.swept.add(removed.swept);
                sum.swept.shared |= removed.swept.shared;
                hottest::merge(&mut sum.hottest, removed.hottest, hottest);
                let told = caller.take_if(|_| *left == 0).map(|caller| (caller, std::mem::take(sum)));
                drop(state);
                if let Some((caller, sum)) = told {
                    caller(sum);
                }
            };
            self.fences.publish_gathering(mode, span, hottest, Box::new(counted));
        }
    }

    /// Now, by the clock that ages are measured with.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The clock that ages are measured with.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What it may hold, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Figures for people and tests.
    pub fn figures(&self) -> Figures {
        let (entries, bytes) = self.store.figures();
        let (fences, tickets) = self.fences.counts();
        let (indexed, _) = self.store.index().lengths();
        let (dangling, flights) = (self.store.dangling(), self.flights.len());
        let oldest_fence = self.fences.oldest().map(|raised| self.clock.now().since(raised));
        let evicted = self.store.evicted();
        let file_bytes = self.file_bytes();
        Figures {
            entries,
            bytes,
            indexed,
            dangling,
            fences,
            oldest_fence,
            tickets,
            flights,
            evicted,
            file_bytes,
        }
    }

    /// Walks the store and the index, and counts what must not be there. See [`Audit`].
    pub fn audit(&self) -> Audit {
        audit::audit(&self.fences, &self.store)
    }

    /// Does the store's pending work now, so that its [`Figures`] are exact.
    pub fn settle(&self) {
        self.store.settle();
    }

    /// Removes purged entries in the background; ends after [`Cache::close`].
    pub fn start_sweeper(self: &Arc<Cache>) -> std::io::Result<thread::JoinHandle<()>> {
        let cache = self.clone();
        thread::Builder::new().name("sweeper".into()).spawn(move || cache.sweep_until_closed())
    }

    /// Ends the sweeper.
    pub fn close(&self) {
        self.fences.close();
    }

    fn sweep_until_closed(&self) {
        // Always allowed, and of this thread alone: elsewhere it would be of the whole process.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::nice(limits::SWEEPER_NICER) {
            tracing::debug!(%error, "sweeps have the priority of hits");
        }
        while let Job::Sweep(sweep) = self.fences.next_job() {
            self.work(&sweep);
        }
    }

    /// Does one sweep, and reports it.
    pub(super) fn work(&self, sweep: &Sweep) {
        if sweep.first {
            self.markers.clear_span(&sweep.span);
            let freed = self.sweep(sweep);
            let is_told = self.fences.swept(sweep.number, freed);
            if !is_told && sweep.mode == Mode::Stale {
                // The absorber's sweep comes by the same variants once more.
                sweep.gatherings.iter().for_each(|gathering| drop(gathering.take()));
            }
        } else {
            self.sweep(sweep);
            self.fences.retire(sweep.number);
        }
    }

    /// Removes, or makes stale, every variant that the sweep's fence covers, a slice of the index at a time;
    /// stops early where a wider fence has absorbed this one.
    fn sweep(&self, sweep: &Sweep) -> Swept {
        let mut freed = Swept::default();
        let mut cursor: Option<Resource> = None;
        loop {
            let slice = self.store.index().slice(&sweep.span, cursor.as_ref());
            for run in slice.chunks(limits::SWEEP_RUN_KEYS) {
                let began = Instant::now();
                run.iter().for_each(|indexed| freed.add(self.sweep_resource(sweep, indexed)));
                if run.len() == limits::SWEEP_RUN_KEYS {
                    pause(began.elapsed()); // Hits go first: as long a time is theirs.
                }
            }
            let Some(last) = slice.into_iter().next_back() else { return freed };
            cursor = Some(last);
            if !self.fences.is_alive(sweep.number) {
                return freed;
            }
        }
    }

    fn sweep_resource(&self, sweep: &Sweep, indexed: &Resource) -> Swept {
        let named = |variant: &Variant| {
            sweep.span.is_led_to() || sweep.span.covers(Subject::known(indexed.key(), variant.tags()))
        };
        let is_covered = |variant: &Variant| variant.epoch() < sweep.epoch && named(variant);
        // Immutable: where nothing in it is covered, a newer write has a pair of its own.
        let mut covered = indexed.variants().iter().filter(|variant| is_covered(variant));
        match sweep.mode {
            Mode::Delete if covered.next().is_none() => Swept::default(),
            Mode::Delete => {
                let freed = self.store.remove(indexed, is_covered);
                if freed.entries > 0 {
                    let covered = indexed.variants().iter().filter(|variant| is_covered(variant));
                    covered.for_each(|variant| sweep.offer(indexed.key(), variant));
                }
                freed
            }
            Mode::Stale => {
                let mut stale = Swept::default();
                for variant in covered {
                    if variant.make_stale(sweep.epoch) {
                        stale.add(Swept { entries: 1, bytes: variant.weight() as u64, shared: false });
                    }
                    // Counted or not: of all variants, a look-up has made the hottest stale before the sweep came.
                    sweep.offer(indexed.key(), variant);
                }
                stale
            }
        }
    }
}

/// For the reading door, and tests that drive a cache by hand.
impl Cache {
    pub(super) fn fences(&self) -> &Fences {
        &self.fences
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}
