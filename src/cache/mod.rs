//! State and concurrency; this file is the folder's only door.
//!
//! Four steps, each in the one order in which no race undoes a purge:
//! - **Look-up** ([`Cache::look_up`]): the fences first, the store after them, then each variant is judged.
//! - **Fetch** ([`Cache::join`]): the ticket first, the request to the origin after it; what may be the base
//!   of a revalidation is looked up after the ticket.
//! - **Commit** ([`Cache::commit`]): the fences are read; then, under the key's stripe, covered variants are
//!   dropped, the new one too, and what is left is written: index first, store after it.
//! - **Purge** ([`Cache::purge`]): the fence is published, then the purge is acknowledged; the sweeper
//!   removes, waits for older fetches, removes again, and drops the fence.
//!
//! `fence.rs` has the first half of the discipline, `store.rs` the per-key step, `flight.rs` the sharing,
//! `index.rs` the order that a sweep follows, `markers.rs` what does not wait.

mod fence;
mod flight;
mod index;
mod markers;
#[cfg(test)]
mod model;
#[cfg(test)]
mod races;
mod store;

use std::sync::Arc;
use std::thread;

use http::HeaderMap;

pub use fence::{Epoch, OnSwept, Swept};
pub use flight::{Failure, Head, Join, Landing, Lead, Reader};
pub use store::{Body, Variant};

use crate::clock::{Clock, Moment};
use crate::key::Key;
use crate::target::Target;
use fence::{Fences, Job, Span};
use flight::Flights;
use markers::Markers;
use store::{Resource, Store, Update};

/// The cache. Shared by every thread.
pub struct Cache {
    clock: Clock,
    fences: Arc<Fences>,
    flights: Arc<Flights>,
    markers: Markers,
    store: Store,
}

/// What is stored for a request.
#[derive(Debug)]
pub enum Lookup {
    /// A variant that its fields select, and that no purge covers; perhaps stale.
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
    /// Live fences.
    pub fences: usize,
    /// Fetches that a fence would have to wait for.
    pub tickets: usize,
    /// Fetches that a request may join.
    pub flights: usize,
}

impl Cache {
    /// An empty cache that holds `max_bytes`.
    pub fn new(max_bytes: u64, clock: Clock) -> Arc<Cache> {
        let fences = Fences::new();
        let flights = Flights::new(fences.clone());
        Arc::new(Cache { clock, fences, flights, markers: Markers::default(), store: Store::new(max_bytes) })
    }

    /// What is stored for a request of `key` with these `fields`. Costs a hash, a look-up and a comparison
    /// of keys; while a purge is being swept, O(length of the key) more.
    pub fn look_up(&self, key: &Key, fields: &HeaderMap) -> Lookup {
        let view = self.fences.view(); // Before the get: see fence.rs.
        let Some(resource) = self.store.get(key) else { return Lookup::Absent };
        let mut others = false;
        for variant in resource.variants() {
            if view.covers(key, variant.epoch) {
                continue;
            }
            if variant.selection.matches(fields) {
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

    /// Stores what `lead` fetched, beside the other variants of its key, unless a purge came meanwhile. The
    /// lead is still in the active set, so no fence that covers it retires before this is done.
    ///
    /// The fences are read before the resource is got, as in a look-up. The stripe alone does not keep the
    /// sweep away: (1) get a resource with a covered variant; (2) it is evicted, and its pair with it, so the
    /// sweep finds nothing to wait for; (3) the fence retires; (4) read the fences, none; (5) store the
    /// covered variant again beside the new one. A fence published after the reading is newer than the lead,
    /// waits for it, and sweeps once more.
    pub fn commit(&self, lead: &Lead, variant: Arc<Variant>) -> Commit {
        assert_eq!(variant.epoch, lead.epoch(), "what is fetched carries its fetch's epoch");
        assert!(lead.is_active(), "no fence waits for a fetch that has left the active set");
        let key = lead.key();
        let mut outcome = Commit::Purged;
        let view = self.fences.view();
        self.store.update(key, |stored| {
            if view.covers(key, variant.epoch) {
                return Update::Keep; // The fence's own sweep removes what else it covers here.
            }
            outcome = Commit::Stored;
            let replaced = |other: &Variant| other.selection == variant.selection;
            let older = stored.map_or(&[][..], Resource::variants).iter();
            let kept = older.filter(|other| !replaced(other) && !view.covers(key, other.epoch)).cloned();
            let kept: Vec<_> = kept.collect();
            Update::Put(std::iter::once(variant).chain(kept).collect())
        });
        if outcome == Commit::Stored {
            self.markers.clear(key);
        }
        outcome
    }

    /// Removes a variant that its origin has disowned to `lead`; nothing where it is stored no longer. Reads
    /// the fences first, in the active set still, as a commit does: what is kept is stored anew.
    pub fn discard(&self, lead: &Lead, disowned: &Arc<Variant>) {
        assert!(lead.is_active(), "no fence waits for a fetch that has left the active set");
        let key = lead.key();
        let view = self.fences.view();
        self.store.update(key, |stored| {
            let variants = stored.map_or(&[][..], Resource::variants);
            let kept: Vec<_> = variants
                .iter()
                .filter(|variant| !Arc::ptr_eq(variant, disowned) && !view.covers(key, variant.epoch))
                .cloned()
                .collect();
            if kept.len() == variants.len() { Update::Keep } else { Update::Put(kept) }
        });
    }

    /// Publishes a fence: when this returns, nothing that the target covers, stored or under way, answers a
    /// request that comes later. Costs microseconds, however many entries match. `on_swept` runs once, on
    /// the sweeper's thread, when the matching entries are gone.
    pub fn purge(&self, target: Target, on_swept: OnSwept) {
        self.fences.publish(&target, on_swept);
    }

    /// Now, by the clock that ages are measured with.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The clock that ages are measured with.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Figures for people and tests.
    pub fn figures(&self) -> Figures {
        let (entries, bytes) = self.store.figures();
        let (fences, tickets) = self.fences.counts();
        let (indexed, flights) = (self.store.index().len(), self.flights.len());
        Figures { entries, bytes, indexed, fences, tickets, flights }
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
        loop {
            match self.fences.next_job() {
                Job::Close => return,
                job => self.work(job),
            }
        }
    }

    /// Does one job of the sweeper's, and reports it.
    fn work(&self, job: Job) {
        match job {
            Job::Close => {}
            Job::First { number, span, epoch } => {
                self.markers.clear_span(&span);
                let freed = self.sweep(number, &span, epoch);
                self.fences.swept(number, freed);
            }
            Job::Last { number, span, epoch } => {
                self.sweep(number, &span, epoch);
                self.fences.retire(number);
            }
        }
    }

    /// Removes every variant under `span` that is older than `epoch`, a slice of the index at a time; stops
    /// early where a wider fence has absorbed this one.
    fn sweep(&self, number: u64, span: &Span, epoch: Epoch) -> Swept {
        let mut freed = Swept::default();
        let mut cursor: Option<Arc<Resource>> = None;
        loop {
            let slice = self.store.index().slice(span, cursor.as_deref());
            let Some(last) = slice.last() else { return freed };
            cursor = Some(last.clone());
            for indexed in &slice {
                self.remove_older(indexed, epoch, &mut freed);
            }
            if !self.fences.is_alive(number) {
                return freed;
            }
            thread::yield_now(); // Hits go first.
        }
    }

    fn remove_older(&self, indexed: &Arc<Resource>, epoch: Epoch, freed: &mut Swept) {
        if indexed.variants().iter().all(|variant| variant.epoch >= epoch) {
            return; // Immutable: nothing in it is covered, and a newer write has a pair of its own.
        }
        self.store.update(indexed.key(), |stored| {
            let Some(stored) = stored.filter(|stored| stored.id() == indexed.id()) else {
                return Update::Keep;
            };
            let (gone, kept): (Vec<_>, Vec<_>) =
                stored.variants().iter().cloned().partition(|variant| variant.epoch < epoch);
            freed.entries += gone.len() as u64;
            freed.bytes += gone.iter().map(|variant| variant.weight() as u64).sum::<u64>();
            if gone.is_empty() { Update::Keep } else { Update::Put(kept) }
        });
        self.store.drop_dangling(indexed);
    }
}
