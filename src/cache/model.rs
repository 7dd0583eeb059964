//! The cache against a naive model, in one thread: random requests, fetches held open and ended in any order,
//! purges, sweeps run by hand a job at a time, evictions and clock steps.
//!
//! The model is a list of variants for each key, newest first, the step at which each variant's fetch began,
//! and the list of all purges, each with its step. Checked both ways at every step: what the cache serves
//! is the very variant that the model would, and what the model would serve is found, unless it may have been
//! evicted, or a fold of fences may have purged more than was asked. Joins and commits are predicted exactly,
//! by the same two exceptions. After each sequence nothing is left behind, and a walk over the index finds
//! nothing that a purge covers.
//!
//! `FRESHET_MODEL_SEQUENCES=10000` runs more of them, `FRESHET_MODEL_SEED=7` one alone, with its steps
//! printed. Interleavings within a step need threads: `races.rs`.
//!
//! Broken on purpose, one at a time, and who notices (`oracle.rs` is the one over sockets). `-`: what is broken is not
//! there, or it was not tried. `scripts/mutants` does most of it again, and fails where a model no longer notices.
//!
//! | broken                                                    | model | races   | loom   | shuttle | oracle |
//! |-----------------------------------------------------------|-------|---------|--------|---------|--------|
//! | a look-up reads the fences after the get                  | no    | yes     | yes (7)| yes     | no     |
//! | a look-up reads no fences                                 | yes   | yes     | -      | yes     | yes    |
//! | the epoch is taken at the commit                          | yes   | yes     | yes    | yes     | yes    |
//! | a join reads no fences                                    | yes   | yes     | -      | yes     | yes    |
//! | a commit judges its own variant by no fence               | yes   | no (1)  | -      | -       | (1)    |
//! | a commit keeps covered variants beside its own            | yes   | 1 of 3  | -      | yes     | no     |
//! | a commit reads the fences after the get                   | no    | 1 of 2  | -      | yes     | no     |
//! | a commit after the ticket has left the active set         | -     | -       | -      | -       | yes (2)|
//! | a discard judges nothing                                  | yes   | no      | -      | no      | no     |
//! | a fence retires without waiting for the active set        | yes   | yes     | yes    | yes     | yes    |
//! | a sweep only before the drain                             | no    | yes     | -      | yes     | no     |
//! | a sweep only after the drain                              | yes   | no (3)  | -      | -       | no (3) |
//! | a soft sweep makes nothing stale                          | -     | -       | -      | yes     | -      |
//! | a fetch that ends wakes no sweeper                        | -     | -       | -      | yes     | -      |
//! | a purge is acknowledged before its fence is published     | yes   | yes     | yes (7)| -       | yes    |
//! | a ticket leaves the active set before the flight closes   | no    | yes     | -      | yes     | no     |
//! | the index is told after the store                         | no    | yes     | -      | yes     | no     |
//! | the store's listener removes no pair                      | yes   | yes     | -      | yes     | yes    |
//! | one id for all writes                                     | (6)   | (6)     | -      | yes (6) | (6)    |
//! | a dangling pair is removed without the key's stripe       | -     | -       | -      | yes     | -      |
//! | a write without its key's stripe                          | no    | 2 of 3  | -      | yes     | no     |
//! | a soft fence absorbs a hard one                           | -     | -       | yes    | yes     | -      |
//! | `newest` is lowered by a slower publisher                 | -     | -       | yes    | -       | -      |
//! | `newest` is stored, or loaded, in relaxed order           | -     | -       | yes    | -       | -      |
//! | what supersedes is stored though a purge came             | -     | -       | yes    | yes     | -      |
//! | what supersedes takes its ticket after its fence is shown | -     | -       | yes    | -       | -      |
//! | an absorbed purge is told of no sweep                     | -     | -       | yes    | yes     | -      |
//! | no look-up reads a fence over a transformation, a pattern | yes   | -       | -      | yes     | -      |
//! | a sweep removes all that the index leads it to            | yes   | -       | -      | -       | -      |
//! | a newer fence is absorbed; a fold takes the older epoch   | (6)   | no      | -      | -       | -      |
//! | the walk to a shorter prefix is left out                  | yes   | no      | -      | -       | no     |
//! | a marker outlives its purge                               | yes   | no      | -      | -       | -      |
//! | `newest` is stored before the snapshot                    | no (4)| no (4)  | no (4) | no (4)  | no (4) |
//! | a 304 is stored under an epoch newer than its ticket      | -     | -       | -      | -       | yes (2)|
//! | the base of a revalidation is looked up before the ticket | -     | -       | -      | yes (7) | no (5) |
//!
//! 1. What it stores is never served: the fence waits for the fetch, and the last sweep removes it. The oracle
//!    notices it by a counter alone, that of fetches not stored for a purge.
//! 2. The oracle ran without the assertion in `Cache::commit` that forbids it.
//! 3. Nothing stale is served meanwhile: only memory and the purge's figures are late.
//! 4. Harmless: a purge is acknowledged after both, and before that either answer is right.
//! 5. A window of microseconds, and an entity tag that names the version gets no 304 for an older one. The model's
//!    origin confirms whatever it is asked about.
//! 6. Noticed by an assertion in `fence.rs` or `index.rs`; by shuttle without it.
//! 7. Of the model's own steps, which are those of `Cache::look_up`, `Cache::purge` and `proxy::fill`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::fence::Sweep;
use super::span::{Order, Reach, Span, Subject};
use super::store::Resource;
use super::*;
use crate::clock::{Clock, Moment};
use crate::key::{Endpoints, Key, examples};
use crate::limits::{FENCES_MAX, PASS_MARKER_TIME, VARIANTS_MAX};
use crate::semantics::policy::Policy;
use crate::semantics::{self, RequestFacts};
use crate::target::{AssetName, Mode, Tag, Tags, Target, Transformation};

/// Sequences of a normal run.
const SEQUENCES: u64 = 300;
/// Request fields that the model tells apart: more than a resource has room for.
const ACCEPTS: usize = VARIANTS_MAX + 4;

/// A small generator of numbers that look random (SplitMix64): the same for a seed everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What a purge by the account with this index names: a path below its endpoint, which may end in `*`; `everything`;
/// or the word for a kind, and a path or a name.
pub fn target(account: usize, text: &str) -> Target {
    let accounts = examples::accounts();
    let (endpoints, id) = (Endpoints::new(&accounts), &accounts[account].id);
    let url = |path| format!("http://img.test/{id}/{path}");
    match text.split_once(' ') {
        Some(("asset", path)) => Target::parse_asset(&url(path), account, &endpoints).unwrap(),
        Some(("folder", path)) => Target::parse_folder(&url(path), account, &endpoints).unwrap(),
        Some(("pattern", path)) => Target::parse_pattern(&url(path), account, &endpoints).unwrap(),
        Some(("tag", name)) => Target::Tag(Tag::new(id, name).unwrap()),
        Some(("transformation", name)) => Target::Transformation(Transformation::new(id, name).unwrap()),
        Some(("tree", path)) => Target::parse_tree(&url(path), account, &endpoints).unwrap(),
        Some((kind, _)) => panic!("{kind} is no kind"),
        None if text == "everything" => Target::Everything,
        None => Target::parse(&url(text), account, &endpoints).unwrap(),
    }
}

/// A key of that account.
pub fn key(account: usize, path: &str) -> Key {
    match target(account, path) {
        Target::Url(key) => key,
        other => panic!("{other} is no key"),
    }
}

/// The fields of a request that accepts this and nothing else.
pub fn fields(accept: usize) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("image/x{accept}")).unwrap();
    HeaderMap::from_iter([(header::ACCEPT, value)])
}

/// What is stored of a response to `fields`, with or without Vary.
pub fn planned(fields: &HeaderMap, vary: bool, clock: &Clock) -> semantics::Fill {
    let mut response = HeaderMap::new();
    response.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/webp"));
    response.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    response.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if vary {
        response.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    let req = RequestFacts { method: &Method::GET, headers: fields };
    semantics::plan(&req, StatusCode::OK, &response, &Policy::image(), clock.wall(), Duration::ZERO).unwrap()
}

/// Tags of the account that owns `key`.
pub fn tags(key: &Key, names: &[&str]) -> Tags {
    Tags::new(names.iter().map(|name| Tag::new(key.account(), name).unwrap())).unwrap()
}

/// A shared response's head.
pub fn head(fill: &semantics::Fill, stored: bool) -> Arc<Head> {
    Arc::new(Head {
        status: StatusCode::OK,
        origin_status: StatusCode::OK,
        fields: fill.fields.clone(),
        bytes: None,
        selection: fill.selection.clone(),
        age: 0,
        ttl: None,
        withheld: HeaderMap::new(),
        part: None,
        stored,
    })
}

pub fn text(body: &Body) -> String {
    body.read().map(|piece| String::from_utf8_lossy(&piece.unwrap()).into_owned()).collect()
}

/// The number that a body of one piece spells.
pub fn digits(body: &Body) -> u64 {
    text(body).parse().unwrap()
}

/// What a flight's landing is now, if it has landed.
pub fn landing(reader: &Reader) -> Option<Landing> {
    match std::pin::pin!(reader.landing()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(landing) => Some(landing),
        Poll::Pending => None,
    }
}

/// All that a reader gets of a flight that has ended.
fn read(reader: &mut Reader) -> Result<String, Failure> {
    let mut text = String::new();
    loop {
        match reader.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(piece))) => text.push_str(&String::from_utf8_lossy(&piece)),
            Poll::Ready(Some(Err(failure))) => return Err(failure),
            Poll::Ready(None) => return Ok(text),
            Poll::Pending => panic!("the flight has ended"),
        }
    }
}

/// A shape of sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Few keys, all the room they need: everything is predicted exactly.
    Roomy,
    /// Room for a handful of resources.
    Tight,
    /// More purges alive at once than there may be fences: some are folded.
    Storm,
    /// More keys than one slice of a sweep.
    Wide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    LookUp,
    Request,
    FetchAlone,
    Land,
    End,
    PurgeUrl,
    PurgePrefix,
    PurgeAsset,
    PurgeTag,
    PurgeWide,
    PurgeEverything,
    TakeJob,
    Work,
    Mark,
    Discard,
    TimePasses,
    Settle,
    FollowerLeaves,
}

/// Every step, with the least and the most weight that a seed may give it.
const STEPS: [(Step, usize, usize); 18] = [
    (Step::LookUp, 4, 20),
    (Step::Request, 4, 20),
    (Step::FetchAlone, 0, 3),
    (Step::Land, 1, 10),
    (Step::End, 2, 20),
    (Step::PurgeUrl, 1, 8),
    (Step::PurgePrefix, 1, 4),
    (Step::PurgeAsset, 0, 4),
    (Step::PurgeTag, 0, 3),
    (Step::PurgeWide, 0, 5),
    (Step::PurgeEverything, 0, 1),
    (Step::TakeJob, 0, 8),
    (Step::Work, 1, 8),
    (Step::Mark, 0, 2),
    (Step::Discard, 0, 3),
    (Step::TimePasses, 0, 2),
    (Step::Settle, 0, 2),
    (Step::FollowerLeaves, 0, 3),
];

/// A variant of the model's.
struct Known {
    variant: Arc<Variant>,
    text: String,
    /// The step at which its fetch began.
    begun: u64,
    /// Whether a soft purge had named it, or what it renewed, by any tag of either, when it was stored.
    softened: bool,
}

/// A fetch that is under way.
struct Fetch {
    key: usize,
    fields: HeaderMap,
    begun: u64,
    /// Whether a request may join it, as far as it alone is concerned.
    open: bool,
    /// What the origin answers.
    fill: semantics::Fill,
    landed: bool,
    /// What it found after its ticket.
    base: Option<Arc<Variant>>,
    /// What its head will tell.
    tags: Tags,
    text: String,
    lead: Lead,
    readers: Vec<Reader>,
}

/// The cache and what is known of it.
struct Model {
    random: Random,
    shape: Shape,
    clock: Clock,
    cache: Arc<Cache>,
    keys: Vec<Key>,
    urls: Vec<Target>,
    prefixes: Vec<Target>,
    /// Folders, transformations and patterns.
    wide: Vec<Target>,
    accepts: usize,
    /// Newest first.
    variants: Vec<Vec<Known>>,
    /// All purges, each with its step.
    purges: Vec<(u64, Mode, Target)>,
    markers: BTreeMap<usize, Moment>,
    fetches: Vec<Fetch>,
    job: Option<Sweep>,
    step: u64,
    told: Arc<AtomicUsize>,
    /// Whether a fold may have purged more than was asked.
    folded: bool,
    served: u64,
    loud: bool,
}

impl Model {
    fn new(seed: u64, loud: bool) -> Model {
        let mut random = Random::new(seed);
        let shape = match random.below(8) {
            0 => Shape::Storm,
            1 => Shape::Wide,
            2 | 3 => Shape::Tight,
            _ => Shape::Roomy,
        };
        let (demo, neighbour) = (examples::DEMO, 2);
        let mut paths: Vec<(usize, String)> = Vec::new();
        for folder in ["p/q/", "p/q/deep/", "p/qq/"] {
            for name in ["a.jpg", "a.jpg?tr=w-1,n-hero", "tr:n-hero:n-old/a.jpg", "b.jpg"] {
                paths.push((demo, format!("{folder}{name}")));
            }
        }
        paths.push((neighbour, "p/q/a.jpg".into()));
        let more = match shape {
            Shape::Wide => 2 * crate::limits::SWEEP_SLICE_KEYS + 100,
            Shape::Storm => 2 * FENCES_MAX,
            Shape::Roomy | Shape::Tight => 0,
        };
        paths.extend((0..more).map(|at| (demo, format!("p/many/{at:04}.jpg"))));
        let prefixes = ["p/q/*", "p/q/a*", "p/q/a.jpg*", "p/q/deep/*", "p/q*", "p/many/*", "p/many/00*"];
        let mut prefixes: Vec<Target> = prefixes.iter().map(|path| target(demo, path)).collect();
        prefixes.push(target(neighbour, "p/q/*"));
        let wide = [
            "folder p/q",
            "folder p/q/deep",
            "folder p/many",
            "transformation hero",
            "transformation old",
            "pattern p/*/a.jpg",
            "pattern p/q*.jpg",
            "pattern p/*a.jpg?tr=*",
            "pattern p/many/*5.jpg",
            "tree p/q",
            "tree p/q/a.jpg",
            "tree p/many",
        ];
        let wide: Vec<Target> = wide.iter().map(|text| target(demo, text)).collect();
        let clock = Clock::manual(1_700_000_000);
        let (parts, max_bytes) = if shape == Shape::Tight { (1, 8 * 1024) } else { (4, 64 * 1024 * 1024) };
        Model {
            accepts: if random.one_in(4) { ACCEPTS } else { 3 },
            random,
            shape,
            cache: Cache::in_parts(parts, max_bytes, clock.clone()),
            clock,
            keys: paths.iter().map(|(account, path)| key(*account, path)).collect(),
            urls: paths.iter().map(|(account, path)| target(*account, path)).collect(),
            prefixes,
            wide,
            variants: paths.iter().map(|_| Vec::new()).collect(),
            purges: Vec::new(),
            markers: BTreeMap::new(),
            fetches: Vec::new(),
            job: None,
            step: 1,
            told: Arc::default(),
            folded: false,
            served: 0,
            loud,
        }
    }

    fn run(&mut self, steps: usize) {
        let weights: Vec<usize> = STEPS
            .iter()
            .map(|(step, least, most)| match (step, self.shape) {
                (Step::PurgeUrl, Shape::Storm) => 60,
                (Step::Work, Shape::Storm) => 1,
                _ => least + self.random.below(most - least + 1),
            })
            .collect();
        if self.shape == Shape::Wide {
            (0..self.keys.len()).for_each(|key| self.fill(key));
        }
        let all: usize = weights.iter().sum();
        for _ in 0..steps {
            let mut drawn = self.random.below(all);
            let at = weights.iter().position(|weight| {
                let found = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                found
            });
            self.step += 1;
            self.take(STEPS[at.unwrap()].0);
        }
        self.come_to_rest();
    }

    fn take(&mut self, step: Step) {
        let anywhere = self.shape == Shape::Storm || self.random.one_in(4);
        let near = if anywhere { self.keys.len() } else { self.keys.len().min(16) };
        let key = self.random.below(near);
        let accept = self.random.below(self.accepts);
        if self.loud {
            println!("{:4} {step:?} {} x{accept}", self.step, self.keys[key]);
        }
        match step {
            Step::LookUp => self.look_up(key, accept),
            Step::Request => self.request(key, accept),
            Step::FetchAlone => {
                let fields = fields(accept);
                let (lead, reader) = self.cache.fetch_alone(&self.keys[key], &fields);
                self.lead(key, fields, false, lead, reader);
            }
            Step::Land => self.land(),
            Step::End if self.fetches.is_empty() => {}
            Step::End => {
                let at = self.random.below(self.fetches.len());
                let fetch = self.fetches.swap_remove(at);
                self.end(fetch);
            }
            Step::PurgeUrl => self.purge(self.urls[key].clone()),
            Step::PurgePrefix => {
                let at = self.random.below(self.prefixes.len());
                self.purge(self.prefixes[at].clone());
            }
            Step::PurgeAsset => self.purge(Target::Asset(AssetName::of(&self.keys[key]))),
            Step::PurgeTag => {
                let name = ["red", "blue"][self.random.below(2)];
                self.purge(Target::Tag(Tag::new(self.keys[key].account(), name).unwrap()));
            }
            Step::PurgeWide => {
                let at = self.random.below(self.wide.len());
                self.purge(self.wide[at].clone());
            }
            Step::PurgeEverything => self.purge(Target::Everything),
            Step::TakeJob => self.take_job(),
            Step::Work => {
                self.take_job();
                self.work();
            }
            Step::Mark => {
                self.cache.mark_not_storable(&self.keys[key]);
                self.markers.insert(key, self.clock.now().plus(PASS_MARKER_TIME));
            }
            Step::Discard => self.discard(key),
            Step::TimePasses => self.clock.advance(Duration::from_secs(self.random.below(90) as u64)),
            Step::Settle => self.cache.settle(),
            Step::FollowerLeaves => {
                if let Some(fetch) = self.fetches.iter_mut().find(|fetch| fetch.readers.len() > 1) {
                    fetch.readers.pop();
                }
            }
        }
    }

    /// Whether a purge of this mode names what began at that step. Where its tags are not known, each may be one.
    fn is_named(&self, mode: Mode, key: usize, tags: Option<&Tags>, begun: u64) -> bool {
        let key = &self.keys[key];
        self.purges.iter().any(|(step, of, target)| {
            let names = || match (target, tags) {
                (Target::Tag(tag), None) => tag.account() == key.account(),
                (_, None) => target.covers(key, Tags::NONE),
                (_, Some(tags)) => target.covers(key, tags),
            };
            *of == mode && *step > begun && names()
        })
    }

    fn is_purged(&self, key: usize, known: &Known) -> bool {
        self.is_named(Mode::Delete, key, Some(known.variant.tags()), known.begun)
    }

    /// Whether something may be gone that nobody asked to purge.
    fn may_lack(&self) -> bool {
        self.folded || self.shape == Shape::Tight
    }

    fn look_up(&mut self, key: usize, accept: usize) {
        let fields = fields(accept);
        let left: Vec<&Known> =
            self.variants[key].iter().filter(|known| !self.is_purged(key, known)).collect();
        let matching: Vec<&&Known> = left.iter().filter(|known| known.variant.selects(&fields)).collect();
        match self.cache.look_up(&self.keys[key], &fields) {
            Lookup::Found(found) => {
                let at = matching.iter().position(|known| Arc::ptr_eq(&known.variant, &found));
                let Some(at) = at else {
                    panic!("{}: {} was served, which a purge covers", self.keys[key], text(found.body()))
                };
                // A fold may have taken newer variants, whose fetches began earlier.
                assert!(at == 0 || self.folded, "{}: an older variant was served", self.keys[key]);
                assert_eq!(text(found.body()), matching[at].text, "{}", self.keys[key]);
                let Known { begun, softened, .. } = *matching[at];
                let is_soft = *softened || self.is_named(Mode::Stale, key, Some(found.tags()), *begun);
                assert!(found.is_stale() == is_soft || self.folded && !is_soft, "{}", matching[at].text);
                self.served += 1;
            }
            other if self.may_lack() => drop(other),
            Lookup::OtherVariants => {
                assert!(matching.is_empty() && !left.is_empty(), "{} is lost", self.keys[key]);
            }
            Lookup::Absent => assert!(left.is_empty(), "{} is lost", self.keys[key]),
        }
        // The index before the store: a get may make the store evict what it returned.
        let (text, asset) = (self.keys[key].as_str(), self.keys[key].asset());
        let pairs = [(Order::Url, text), (Order::Asset, &*asset)].map(|(order, text)| {
            let span = Span { order, reach: Reach::Exact, text: text.into() };
            self.cache.store().index().slice(&span, None)
        });
        if let Some(stored) = self.cache.store().get(text) {
            for pairs in pairs {
                assert!(pairs.iter().any(|pair| pair.id() == stored.id()), "{text} lacks a pair");
            }
        }
    }

    fn request(&mut self, key: usize, accept: usize) {
        let fields = fields(accept);
        let alike_alone = self.random.one_in(4);
        let now = self.clock.now();
        let marked = self.markers.get(&key).is_some_and(|until| *until > now);
        let joinable = self.fetches.iter().enumerate().filter(|(_, fetch)| {
            !marked
                && fetch.open
                && fetch.key == key
                && [Mode::Delete, Mode::Stale].into_iter().all(|mode| {
                    let tags = Some(&fetch.tags).filter(|_| fetch.landed);
                    !self.is_named(mode, key, tags, fetch.begun)
                })
                && match fetch.landed {
                    _ if fetch.fields == fields => true,
                    false => !alike_alone,
                    true => fetch.fill.selection.matches(&fields),
                }
        });
        let mut joinable: Vec<(usize, &Fetch)> = joinable.collect();
        joinable.sort_by_key(|(_, fetch)| fetch.begun);
        let several = joinable.len() > 1;
        let expected = joinable.first().map(|(at, _)| *at); // The one that was opened first.
        match (self.cache.join(&self.keys[key], &fields, alike_alone), expected) {
            // A fold may have closed the older ones: which was joined is not known.
            (Join::Follow(_), Some(_)) if self.folded && several => {}
            (Join::Follow(reader), Some(at)) => self.fetches[at].readers.push(reader),
            (Join::Follow(_), None) => panic!("{}: a fetch was joined that is too old", self.keys[key]),
            (Join::Lead(..), Some(_)) if !self.folded => panic!("{}: a fetch was not joined", self.keys[key]),
            (Join::Lead(lead, reader), _) => self.lead(key, fields, !marked, lead, reader),
        }
    }

    fn lead(&mut self, key: usize, fields: HeaderMap, open: bool, lead: Lead, reader: Reader) {
        let base = match self.cache.look_up(&self.keys[key], &fields) {
            Lookup::Found(found) => Some(found),
            Lookup::OtherVariants | Lookup::Absent => None,
        };
        let fill = planned(&fields, !self.random.one_in(4), &self.clock);
        let text = format!("{} at {}", self.keys[key], self.step);
        let begun = self.step;
        let readers = vec![reader];
        let names = [&[][..], &[], &["red"], &["blue", "red"]][self.random.below(4)];
        let (tags, landed) = (tags(&self.keys[key], names), false);
        self.fetches.push(Fetch { key, fields, begun, open, fill, landed, base, tags, text, lead, readers });
    }

    /// The head of one fetch comes.
    fn land(&mut self) {
        let stored = !self.random.one_in(5);
        let Some(fetch) = self.fetches.iter_mut().find(|fetch| !fetch.landed) else { return };
        fetch.lead.learn(fetch.tags.clone());
        fetch.lead.land(Landing::Shared(head(&fetch.fill, stored)));
        fetch.landed = true;
        fetch.open &= stored;
    }

    fn end(&mut self, mut fetch: Fetch) {
        if fetch.landed && !fetch.lead.is_active() {
            fetch.lead.append(Bytes::from(fetch.text.clone()));
            fetch.lead.show();
            fetch.lead.finish(Ok(()));
            return all_read(&mut fetch.readers, &Ok(fetch.text));
        }
        let renews = fetch.base.is_some() && !fetch.landed;
        match self.random.below(10) {
            0 => {
                drop(fetch.lead);
                all_read(&mut fetch.readers, &Err(Failure::Abandoned));
            }
            1 if !fetch.landed => {
                fetch.lead.land(Landing::Failed(Failure::Connect));
                fetch.lead.finish(Err(Failure::Connect));
                all_read(&mut fetch.readers, &Err(Failure::Connect));
            }
            2 => {
                fetch.lead.stop_storing();
                assert!(!fetch.lead.is_active());
            }
            3..6 if renews => self.renew(fetch),
            _ => self.store(fetch),
        }
    }

    /// The whole came.
    fn store(&mut self, mut fetch: Fetch) {
        if !fetch.landed {
            fetch.lead.learn(fetch.tags.clone());
            fetch.lead.land(Landing::Shared(head(&fetch.fill, true)));
        }
        fetch.lead.append(Bytes::from(fetch.text.clone()));
        let stored = self.variant(&fetch, fetch.lead.body());
        self.commit(fetch.key, fetch.begun, &fetch.lead, stored, fetch.text.clone());
        fetch.lead.show();
        fetch.lead.finish(Ok(()));
        all_read(&mut fetch.readers, &Ok(fetch.text));
    }

    /// The origin said that the base is still good: the same body, with the new ticket.
    fn renew(&mut self, mut fetch: Fetch) {
        let base = fetch.base.take().unwrap();
        fetch.lead.learn(base.tags().with(&fetch.tags));
        let renewed = self.variant(&fetch, base.body().clone());
        self.commit(fetch.key, fetch.begun, &fetch.lead, renewed.clone(), text(base.body()));
        fetch.lead.land(Landing::Renewed(renewed.clone()));
        fetch.lead.finish(Ok(()));
        for reader in &fetch.readers {
            let landed = landing(reader);
            assert!(matches!(landed, Some(Landing::Renewed(got)) if Arc::ptr_eq(&got, &renewed)));
        }
    }

    fn variant(&self, fetch: &Fetch, body: Body) -> Arc<Variant> {
        let (tags, now) = (fetch.tags.clone(), self.clock.now());
        self.cache.variant(&fetch.lead, StatusCode::OK, &fetch.fill, tags, body, now)
    }

    fn commit(&mut self, key: usize, begun: u64, lead: &Lead, variant: Arc<Variant>, text: String) {
        let purged = self.is_named(Mode::Delete, key, lead.tags(), begun);
        let softened = self.is_named(Mode::Stale, key, lead.tags(), begun);
        match self.cache.commit(lead, variant.clone()) {
            Commit::Stored => assert!(!purged, "{text} was stored, which a purge covers"),
            Commit::Purged if self.folded => return,
            Commit::Purged => return assert!(purged, "{text} was not stored"),
        }
        self.check_written(key);
        self.markers.remove(&key);
        let mut variants = std::mem::take(&mut self.variants[key]);
        variants.retain(|known| !self.is_purged(key, known) && !known.variant.selects_like(&variant));
        variants.insert(0, Known { variant, text, begun, softened });
        variants.truncate(VARIANTS_MAX);
        self.variants[key] = variants;
    }

    /// What a write puts into the store, beside its own variant too, is covered by no purge.
    fn check_written(&self, key: usize) {
        if let Some(stored) = self.cache.store().get(self.keys[key].as_str()) {
            let known = |variant: &Arc<Variant>| {
                self.variants[key].iter().find(|known| Arc::ptr_eq(&known.variant, variant))
            };
            let mut purged = stored.variants().iter().filter_map(known);
            let purged = purged.find(|known| self.is_purged(key, known));
            assert!(purged.is_none(), "{} was stored again, which a purge covers", purged.unwrap().text);
        }
    }

    /// A fetch from its start to its end.
    fn fill(&mut self, key: usize) {
        let fields = fields(0);
        let Join::Lead(lead, reader) = self.cache.join(&self.keys[key], &fields, false) else { return };
        self.lead(key, fields, true, lead, reader);
        let fetch = self.fetches.pop().unwrap();
        self.store(fetch);
    }

    fn purge(&mut self, target: Target) {
        let mode = if self.random.one_in(3) { Mode::Stale } else { Mode::Delete };
        let told = self.told.clone();
        self.cache.purge(
            &target,
            mode,
            Box::new(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            }),
        );
        self.purges.push((self.step, mode, target));
        self.folded |= self.cache.figures().fences >= FENCES_MAX;
        assert!(self.cache.figures().fences <= FENCES_MAX);
    }

    fn take_job(&mut self) {
        if self.job.is_none() {
            self.job = self.cache.fences().ready_sweep();
        }
    }

    fn work(&mut self) {
        let Some(sweep) = self.job.take() else { return };
        let Sweep { span, epoch, first, .. } = &sweep;
        if *first {
            let keys = &self.keys;
            self.markers.retain(|key, _| !span.covers(Subject { key: keys[*key].as_str(), tags: None }));
        } else {
            let mut older = self.fetches.iter().filter(|fetch| {
                let tags = fetch.lead.tags();
                fetch.lead.is_active()
                    && fetch.lead.epoch() < *epoch
                    && span.covers(Subject { key: self.keys[fetch.key].as_str(), tags })
            });
            assert!(older.next().is_none(), "{span:?} did not wait for a fetch");
        }
        let was_alive = self.cache.fences().is_alive(sweep.number);
        self.cache.work(&sweep);
        // A sweep ends early only where a wider fence has absorbed its own.
        if was_alive {
            for resource in self.stored(span) {
                for variant in resource.variants().iter().filter(|variant| variant.epoch() < *epoch) {
                    let is_named = span.covers(Subject::known(resource.key(), variant.tags()));
                    let is_clean = !is_named || sweep.mode == Mode::Stale && variant.is_stale();
                    assert!(is_clean, "{span:?} was swept, and is not clean");
                }
            }
        }
    }

    /// All that the index has under `span`.
    fn stored(&self, span: &Span) -> Vec<Resource> {
        let mut all: Vec<Resource> = Vec::new();
        loop {
            let slice = self.cache.store().index().slice(span, all.last());
            if slice.is_empty() {
                return all;
            }
            all.extend(slice);
        }
    }

    fn discard(&mut self, key: usize) {
        let variants = &mut self.variants[key];
        if !variants.is_empty() {
            let at = self.random.below(variants.len());
            let known = variants.remove(at);
            let (lead, _) = self.cache.fetch_alone(&self.keys[key], &HeaderMap::new());
            let before = self.cache.store().get(self.keys[key].as_str()).map(|stored| stored.id());
            self.cache.discard(&lead, &known.variant);
            if self.cache.store().get(self.keys[key].as_str()).map(|stored| stored.id()) != before {
                self.check_written(key);
            }
        }
    }

    fn come_to_rest(&mut self) {
        while let Some(fetch) = self.fetches.pop() {
            self.step += 1;
            self.end(fetch);
        }
        self.take_job();
        while self.job.is_some() {
            self.work();
            self.take_job();
        }
        self.cache.settle();
        let figures = self.cache.figures();
        assert_eq!((figures.fences, figures.tickets, figures.flights), (0, 0, 0), "something is left behind");
        assert_eq!(figures.entries, figures.indexed as u64, "index and store differ");
        let told = self.told.load(Ordering::SeqCst);
        assert_eq!(told, self.purges.len(), "every purge is told of its sweep, once");
        let audit = self.cache.audit();
        assert!(audit.is_clean() && audit.pending == 0, "{audit:?}");
        for order in [Order::Url, Order::Asset] {
            let everything = Span { order, reach: Reach::Prefix, text: "".into() };
            let stored = self.stored(&everything);
            assert_eq!(stored.len(), figures.indexed, "{order:?}");
            stored.iter().for_each(|resource| self.check_stored(resource));
        }
        for key in 0..self.keys.len() {
            for accept in 0..self.accepts.min(3) {
                self.look_up(key, accept);
            }
        }
    }

    fn check_stored(&self, resource: &Resource) {
        let stored = self.cache.store().get(resource.key()).unwrap();
        assert_eq!(stored.id(), resource.id(), "{}: a pair of what is not stored", resource.key());
        let key = self.keys.iter().position(|key| key.as_str() == resource.key()).unwrap();
        for variant in resource.variants() {
            let known = self.variants[key].iter().find(|known| Arc::ptr_eq(&known.variant, variant));
            let known = known.unwrap_or_else(|| panic!("{}: a variant from nowhere", resource.key()));
            assert!(!self.is_purged(key, known), "{} outlived its purge", known.text);
        }
    }
}

fn all_read(readers: &mut [Reader], expected: &Result<String, Failure>) {
    for reader in readers {
        assert!(landing(reader).is_some(), "who waits is told");
        assert_eq!(read(reader), *expected, "every reader of a fetch gets what it brought");
    }
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at seed {0}; alone: FRESHET_MODEL_SEED={0}", self.0);
        }
    }
}

/// A number of the environment's.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

#[test]
fn cache_serves_what_the_naive_model_serves() {
    let alone = number("FRESHET_MODEL_SEED");
    let seeds = match alone {
        Some(seed) => seed..seed + 1,
        None => 0..number("FRESHET_MODEL_SEQUENCES").unwrap_or(SEQUENCES),
    };
    // A sequence owns all that it touches, so that each core takes its share of them.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<[u64; 3]> = std::thread::scope(|scope| {
        let run = |share: usize| {
            let seeds = seeds.clone().skip(share).step_by(threads);
            scope.spawn(move || run_sequences(seeds, alone.is_some()))
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|share| share.join().unwrap()).collect()
    });
    let sum = |at: usize| shares.iter().map(|share| share[at]).sum::<u64>();
    let (served, purges, folds) = (sum(0), sum(1), sum(2));
    println!("{served} served, {purges} purges, fences folded in {folds} sequences");
    assert!(
        alone.is_some() || (served > 1000 && purges > 1000 && folds > 0),
        "the sequences are worth their time"
    );
}

/// What was served and purged, and in how many sequences fences were folded.
fn run_sequences(seeds: impl Iterator<Item = u64>, verbose: bool) -> [u64; 3] {
    let (mut served, mut purges, mut folds) = (0, 0_usize, 0);
    for number in seeds {
        let seed = Seed(number);
        let mut model = Model::new(seed.0, verbose);
        let steps = 200 + model.random.below(400);
        model.run(steps);
        served += model.served;
        purges += model.purges.len();
        folds += u64::from(model.folded);
    }
    [served, purges as u64, folds]
}
