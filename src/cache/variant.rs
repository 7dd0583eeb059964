//! One stored response, packed: an image cache holds millions.
//!
//! Its fields are kept by `fields.rs`; times are whole seconds where HTTP has no smaller ones; what a hit seldom
//! needs stands in a block of its own or is read from the fields when it is asked for. Immutable, but for the
//! epoch of the last soft purge over it, which is only raised, and for the count of its hits. No locks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::body::{BLOCK_OVERHEAD_BYTES, Body};
use super::fence::Epoch;
use super::fields::{Fields, Shapes, Stamp};
use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::clock::Moment;
use crate::semantics::Fill;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::conditional::Validators;
use crate::semantics::freshness::{Freshness, State};
use crate::semantics::vary::Selection;
use crate::target::Tags;

/// What a variant costs beside the bytes it points to. Measured for the whole process: `cargo bench --bench memory`.
const OVERHEAD_BYTES: usize = 224;

/// One stored response: what answers the requests that its selection matches.
#[derive(Debug)]
pub struct Variant {
    epoch: Epoch,
    /// The highest epoch of a soft purge that covers it; it is stale where that is newer than its own.
    stale_epoch: AtomicU64,
    /// See [`Variant::hits`].
    hits: AtomicU32,
    /// When it was made, by its own account of its age.
    born: Moment,
    times: Times,
    fields: Fields,
    rare: Option<Box<Rare>>,
    body: Body,
}

/// What many responses have nothing of.
#[derive(Clone, Debug, Default)]
struct Rare {
    selection: Selection,
    tags: Tags,
}

/// The status, and [`Freshness`] packed: whole seconds, 2^32 at most (RFC 9111 §1.2.2 asks for 2^31). Together, so
/// that the status fills what would be padding.
#[derive(Clone, Copy, Debug)]
struct Times {
    status: StatusCode,
    lifetime_s: u32,
    /// How old it was when it came; not used to judge it: `born` has it.
    age_at_store_s: u32,
    stale_while_revalidate_s: u32,
    stale_if_error_s: u32,
    must_revalidate: bool,
    validate_always: bool,
}

impl Times {
    /// A lifetime is rounded down, so that nothing is fresh for longer than it said.
    fn of(status: StatusCode, freshness: &Freshness) -> Times {
        let Freshness {
            lifetime,
            age_at_store,
            stale_while_revalidate,
            stale_if_error,
            must_revalidate,
            validate_always,
        } = *freshness;
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Times {
            status,
            lifetime_s: seconds(lifetime),
            age_at_store_s: seconds(age_at_store),
            stale_while_revalidate_s: seconds(stale_while_revalidate),
            stale_if_error_s: seconds(stale_if_error),
            must_revalidate,
            validate_always,
        }
    }

    fn freshness(self) -> Freshness {
        Freshness {
            lifetime: Duration::from_secs(self.lifetime_s.into()),
            age_at_store: Duration::ZERO,
            stale_while_revalidate: Duration::from_secs(self.stale_while_revalidate_s.into()),
            stale_if_error: Duration::from_secs(self.stale_if_error_s.into()),
            must_revalidate: self.must_revalidate,
            validate_always: self.validate_always,
        }
    }
}

impl Variant {
    /// The response that a fetch with the ticket `epoch` brought at `received`.
    pub fn new(
        epoch: Epoch,
        status: StatusCode,
        fill: &Fill,
        tags: Tags,
        body: Body,
        received: Moment,
        shapes: &Shapes,
    ) -> Variant {
        let rare = Rare { selection: fill.selection.clone(), tags };
        let is_plain = rare.selection == Selection::default() && rare.tags == Tags::default();
        Variant {
            epoch,
            stale_epoch: AtomicU64::new(0),
            hits: AtomicU32::new(0),
            born: received.before(fill.freshness.age_at_store),
            times: Times::of(status, &fill.freshness),
            fields: Fields::new(&fill.fields, shapes),
            rare: (!is_plain).then(|| Box::new(rare)),
            body,
        }
    }

    /// The same response with other fields: for an answer, not for the store.
    pub fn with_fields(&self, fields: &HeaderMap, shapes: &Shapes) -> Variant {
        Variant {
            epoch: self.epoch,
            stale_epoch: AtomicU64::new(self.stale_epoch.load(Ordering::Relaxed)),
            hits: AtomicU32::new(self.hits()),
            born: self.born,
            times: self.times,
            fields: Fields::new(fields, shapes),
            rare: self.rare.clone(),
            body: self.body.clone(),
        }
    }

    /// The ticket of the fetch that brought it, or last renewed it.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The status of the origin's response.
    pub fn status(&self) -> StatusCode {
        self.times.status
    }

    /// The whole body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Whether it answers a request with these fields.
    pub fn selects(&self, request: &HeaderMap) -> bool {
        self.selects_by(|| request)
    }

    /// The same for fields that are made when they are needed: many responses answer every request.
    pub fn selects_by<'a>(&self, request: impl FnOnce() -> &'a HeaderMap) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.selection.matches(request()))
    }

    /// Whether it answers the same requests as the other: then one replaces the other.
    pub fn selects_like(&self, other: &Variant) -> bool {
        match (&self.rare, &other.rare) {
            (None, None) => true,
            (Some(own), Some(other)) => own.selection == other.selection,
            (Some(rare), None) | (None, Some(rare)) => rare.selection == Selection::default(),
        }
    }

    /// The fields of a request that it answers: those that select it.
    pub fn selecting_fields(&self) -> HeaderMap {
        self.rare.as_ref().map_or_else(HeaderMap::new, |rare| rare.selection.fields())
    }

    /// What it may be purged by, beside its key.
    pub fn tags(&self) -> &Tags {
        self.rare.as_ref().map_or(Tags::NONE, |rare| &rare.tags)
    }

    /// The fields as they are sent, less those that depend on the answer. Costs a few small
    /// allocations: the answer's own map, and what lets its values be slices of the variant's.
    pub fn fields(self: &Arc<Variant>) -> HeaderMap {
        Fields::map(self, |variant: &Arc<Variant>| &variant.fields)
    }

    /// The fields of an answer that has the whole. Allocates for the map alone.
    pub fn answer(&self, stamp: &Stamp<'_>) -> HeaderMap {
        self.fields.answer(stamp)
    }

    /// The same as lines of HTTP/1.1.
    pub fn write_answer(&self, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        self.fields.write_answer(stamp, out);
    }

    /// What a client's copy, and the origin's, is compared with. Read from the fields each time.
    pub fn validators(self: &Arc<Variant>, now: SystemTime) -> Validators {
        Validators::read(&self.fields(), now)
    }

    /// Its age: what [`Freshness`] compares its lifetime with.
    pub fn age_at(&self, now: Moment) -> Duration {
        now.since(self.born)
    }

    /// When it came, or was last renewed; to a second.
    pub fn received(&self) -> Moment {
        self.born.plus(Duration::from_secs(self.times.age_at_store_s.into()))
    }

    /// How long it is fresh by its own account, counted from the age 0, whatever purges say.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.times.lifetime_s.into())
    }

    /// The request fields that select it, by name in lower case, with the values that they must have; nothing
    /// where the field must not be there.
    pub fn selected_by(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.rare.iter().flat_map(|rare| rare.selection.values())
    }

    /// How long it is fresh and may be used stale, counted from the age 0. A soft purge ends the lifetime now.
    pub fn freshness(&self, now: Moment) -> Freshness {
        let freshness = self.times.freshness();
        if self.is_stale() { freshness.ended(self.age_at(now)) } else { freshness }
    }

    /// What it is good for now, to a client whose directives are honoured.
    pub fn state(&self, now: Moment, wanted: &RequestDirectives) -> State {
        self.freshness(now).judge_for(self.age_at(now), wanted)
    }

    /// Whether it is fresh now.
    pub fn is_fresh(&self, now: Moment) -> bool {
        matches!(self.state(now, &RequestDirectives::default()), State::Fresh { .. })
    }

    /// Whether a soft purge covers it.
    pub fn is_stale(&self) -> bool {
        // Relaxed: who must see it has loaded a snapshot of the fences, or that there are none, before it got
        // the variant, and either comes after this was raised.
        self.stale_epoch.load(Ordering::Relaxed) > self.epoch
    }

    /// Makes it stale for a soft purge of this epoch; whether it was not.
    pub fn make_stale(&self, epoch: Epoch) -> bool {
        let before = self.stale_epoch.fetch_max(epoch, Ordering::Relaxed);
        before <= self.epoch && epoch > self.epoch
    }

    /// Requests that were answered from it as it is stored, and from what it has renewed: what people look at, and
    /// what says which of two is the hotter. Exact but for hits that came while it was renewed.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Counts an answer. Relaxed: nothing follows from the number but figures and an order of work.
    pub fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Goes on with the count of the variant that this one renews; before it is stored.
    pub fn count_on(&self, renewed: &Variant) {
        self.hits.store(renewed.hits(), Ordering::Relaxed);
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |rare| {
            size_of::<Rare>()
                + rare.selection.heap_bytes()
                + rare.tags.heap_bytes()
                + 2 * BLOCK_OVERHEAD_BYTES
        });
        OVERHEAD_BYTES + self.fields.heap_bytes() + rare + self.body.weight()
    }
}
