//! The world that shuttle runs: the cache, an origin with versions, and what requests and purges do.
//!
//! Each key has a version, raised before a purge that names it and required of every request that begins after the
//! purge has returned: of a hard one of whatever is served, of a soft one of what is served as fresh. A fetch reads
//! the version after its ticket, and a renewal may confirm any base, as an origin does whose validators tell little.

use std::sync::atomic::AtomicU64 as Counter;
use std::sync::{Arc, LazyLock, Mutex as Plain};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::Body;
use super::checker::{Rng, random};
use super::discipline::{Cache, Commit, Lookup};
use super::fence::Job;
use super::flight::{Head, Join, Landing, Lead, Reader};
use super::span::{Order, Reach, Span};
use super::store::Resource;
use super::sync::Ordering;
use super::variant::Variant;
use crate::cache::model;
use crate::clock::Clock;
use crate::key::Key;
use crate::key::examples::DEMO;
use crate::semantics::Fill;
use crate::target::{AssetName, Mode, Tag, Tags, Target};

/// Two transformations of one image; the first one varies, and has a tag.
const PATHS: [&str; 2] = ["p/q/a.jpg", "p/q/tr:w-1:n-hero/a.jpg"];
const ACCEPTS: usize = 2;
const TAG: &str = "summer";

/// What does not differ from one execution to the next.
pub struct Given {
    pub clock: Clock,
    pub keys: [Key; 2],
    pub tags: [Tags; 2],
    pub accepts: [HeaderMap; ACCEPTS],
    /// For each key and Accept.
    pub fills: [[Fill; ACCEPTS]; 2],
    pub targets: Vec<Target>,
}

pub static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let clock = Clock::manual(1_700_000_000);
    let keys = PATHS.map(|path| model::key(DEMO, path));
    let accepts = [0, 1].map(model::fields);
    let fills =
        [true, false].map(|vary| accepts.each_ref().map(|accept| model::planned(accept, vary, &clock)));
    let tags = [model::tags(&keys[0], &[TAG]), Tags::default()];
    let targets = vec![
        Target::Url(keys[0].clone()),
        Target::Url(keys[0].clone()),
        Target::Url(keys[1].clone()),
        model::target(DEMO, "p/q/*"),
        Target::Asset(AssetName::of(&keys[1])),
        model::target(DEMO, "folder p/q"),
        Target::Tag(Tag::new(keys[0].account(), TAG).unwrap()),
        model::target(DEMO, "transformation hero"),
        model::target(DEMO, "pattern p/*/tr:*.jpg"),
        Target::Everything,
    ];
    Given { clock, keys, tags, accepts, fills, targets }
});

/// What one execution does.
#[derive(Clone, Copy)]
pub struct Storm {
    pub keys: usize,
    pub readers: usize,
    pub requests: usize,
    pub purgers: usize,
    pub purges: usize,
    pub max_bytes: u64,
}

/// What happened in all executions of a run.
#[derive(Debug, Default)]
pub struct Seen {
    pub hits: Counter,
    pub follows: Counter,
    pub renewals: Counter,
    pub purged_commits: Counter,
    pub dangling: Counter,
}

pub struct World {
    pub storm: Storm,
    pub seen: Arc<Seen>,
    pub cache: Arc<Cache>,
    /// What the origin has.
    pub versions: [Counter; 2],
    /// What a request that begins now must get, at least.
    pub required: [Counter; 2],
    /// The same where it is served as fresh.
    pub required_fresh: [Counter; 2],
    pub purges: Counter,
    pub told: Arc<Counter>,
    pub wrong: Plain<Vec<String>>,
}

/// What a request must get.
#[derive(Clone, Copy)]
struct Wanted {
    key: usize,
    version: u64,
    confirmed: u64,
}

impl World {
    pub fn new(storm: Storm, seen: &Arc<Seen>) -> Arc<World> {
        Arc::new(World {
            storm,
            seen: seen.clone(),
            cache: Cache::new(storm.max_bytes, GIVEN.clock.clone()),
            versions: [1, 1].map(Counter::new),
            required: Default::default(),
            required_fresh: Default::default(),
            purges: Counter::new(0),
            told: Arc::default(),
            wrong: Plain::default(),
        })
    }

    fn wanted(&self, key: usize) -> Wanted {
        let version = self.required[key].load(Ordering::SeqCst);
        Wanted { key, version, confirmed: self.required_fresh[key].load(Ordering::SeqCst) }
    }

    /// Judges what was served: the version that was fetched, and that of the last confirmation.
    fn check(&self, wanted: Wanted, version: u64, confirmed: u64, is_stale: bool, how: &str) {
        if version < wanted.version || !is_stale && confirmed < wanted.confirmed {
            let Wanted { key, version: least, confirmed: fresh } = wanted;
            let served = format!("{}: wanted {least}, fresh {fresh}", GIVEN.keys[key]);
            let served = format!("{served}; {how} served {version}, confirmed {confirmed}");
            self.wrong.lock().unwrap().push(served);
        }
    }

    fn check_variant(&self, wanted: Wanted, variant: &Arc<Variant>, how: &str) {
        // Its mark last: what a soft purge makes stale in the meantime is not wrong.
        let (version, confirmed) = (version(variant), number(&variant.fields(), "confirmed"));
        self.check(wanted, version, confirmed, variant.is_stale(), how);
    }

    pub fn request(&self) {
        let (key, accept) = (random().gen_range(0..self.storm.keys), random().gen_range(0..ACCEPTS));
        let wanted = self.wanted(key);
        let fields = &GIVEN.accepts[accept];
        if let Lookup::Found(found) = self.cache.look_up(&GIVEN.keys[key], fields)
            && random().gen_bool(0.6)
        {
            self.seen.hits.fetch_add(1, Ordering::Relaxed);
            return self.check_variant(wanted, &found, "the store");
        }
        match self.cache.join(&GIVEN.keys[key], fields, false) {
            Join::Lead(lead, _) => self.fetch(key, accept, lead),
            Join::Follow(reader) => {
                self.seen.follows.fetch_add(1, Ordering::Relaxed);
                self.follow(wanted, &reader);
            }
        }
    }

    /// Fetches each key and variant.
    pub fn fill_all(&self) {
        for (key, accept) in (0..self.storm.keys).flat_map(|key| [(key, 0), (key, 1)]) {
            let (lead, _) = self.cache.fetch_alone(&GIVEN.keys[key], &GIVEN.accepts[accept]);
            self.answer(key, accept, lead, None);
        }
    }

    /// A fetch as `proxy::fill` makes it: the ticket, then the base, then the origin.
    fn fetch(&self, key: usize, accept: usize, lead: Lead) {
        let base = match self.cache.look_up(&GIVEN.keys[key], &GIVEN.accepts[accept]) {
            Lookup::Found(found) => Some(found),
            Lookup::OtherVariants | Lookup::Absent => None,
        };
        self.answer(key, accept, lead, base);
    }

    /// What the origin says.
    pub fn answer(&self, key: usize, accept: usize, mut lead: Lead, base: Option<Arc<Variant>>) {
        let now = self.versions[key].load(Ordering::SeqCst);
        match (base, random().gen_range(0..8)) {
            (_, 0) => {} // It fails.
            (Some(base), 1) => self.cache.discard(&lead, &base),
            (Some(base), 2..6) => {
                lead.learn(base.tags().with(&GIVEN.tags[key]));
                let fill = fill(key, accept, version(&base), now);
                let renewed = self.variant(key, &lead, &fill, base.body().clone());
                self.seen.renewals.fetch_add(1, Ordering::Relaxed);
                self.cache.commit(&lead, renewed.clone());
                lead.land(Landing::Renewed(renewed));
                lead.finish(Ok(()));
            }
            _ => {
                if random().gen_bool(0.1) {
                    // As the answer to an unsafe method does.
                    match self.cache.supersede(lead) {
                        Some((superseding, _)) => lead = superseding,
                        None => return,
                    }
                }
                let fill = fill(key, accept, now, now);
                lead.learn(GIVEN.tags[key].clone());
                lead.land(Landing::Shared(head(&fill)));
                lead.append(Bytes::from(now.to_string()));
                let whole = lead.body();
                let commit = self.cache.commit(&lead, self.variant(key, &lead, &fill, whole));
                self.seen.purged_commits.fetch_add(u64::from(commit == Commit::Purged), Ordering::Relaxed);
                lead.show();
                lead.finish(Ok(()));
            }
        }
    }

    fn variant(&self, key: usize, lead: &Lead, fill: &Fill, body: Body) -> Arc<Variant> {
        let tags = GIVEN.tags[key].clone();
        self.cache.variant(lead, StatusCode::OK, fill, tags, body, GIVEN.clock.now())
    }

    fn follow(&self, wanted: Wanted, reader: &Reader) {
        match shuttle::future::block_on(reader.landing()) {
            Landing::Shared(head) => {
                let (version, confirmed) =
                    (number(&head.fields, "version"), number(&head.fields, "confirmed"));
                self.check(wanted, version, confirmed, false, "a fetch");
            }
            Landing::Renewed(variant) | Landing::Stored(variant) => {
                self.check_variant(wanted, &variant, "a renewal");
            }
            Landing::Alone | Landing::Failed(_) => {}
        }
    }

    pub fn purge(&self) {
        let target = &GIVEN.targets[random().gen_range(0..GIVEN.targets.len())];
        let mode = if random().gen_bool(0.3) { Mode::Stale } else { Mode::Delete };
        self.purge_target(target, mode);
    }

    pub fn purge_target(&self, target: &Target, mode: Mode) {
        let named = (0..PATHS.len()).filter(|key| target.covers(&GIVEN.keys[*key], &GIVEN.tags[*key]));
        let raised: Vec<(usize, u64)> =
            named.map(|key| (key, self.versions[key].fetch_add(1, Ordering::SeqCst) + 1)).collect();
        self.purges.fetch_add(1, Ordering::SeqCst);
        let told = self.told.clone();
        let on_swept = Box::new(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        });
        self.cache.purge(target, mode, on_swept);
        let required = match mode {
            Mode::Delete => &self.required,
            Mode::Stale => &self.required_fresh,
        };
        for (key, version) in raised {
            required[key].fetch_max(version, Ordering::SeqCst);
        }
    }

    pub fn sweep(&self) {
        while let Job::Sweep(sweep) = self.cache.fences().next_job() {
            self.cache.work(&sweep);
        }
    }

    /// All sweeps that have something to do.
    pub fn sweep_ready(&self) {
        while let Some(sweep) = self.cache.fences().ready_sweep() {
            self.cache.work(&sweep);
        }
    }

    /// When all threads have ended, and all fences have retired.
    pub fn check_at_rest(&self) {
        let audit = self.cache.audit();
        assert!(audit.is_clean() && audit.pending == 0, "{audit:?}");
        for (key, accept) in (0..self.storm.keys).flat_map(|key| [(key, 0), (key, 1)]) {
            if let Lookup::Found(found) = self.cache.look_up(&GIVEN.keys[key], &GIVEN.accepts[accept]) {
                self.check_variant(self.wanted(key), &found, "the store, at rest,");
            }
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        self.cache.settle();
        let figures = self.cache.figures();
        self.seen.dangling.fetch_add(figures.dangling, Ordering::Relaxed);
        assert_eq!((figures.fences, figures.tickets, figures.flights), (0, 0, 0), "something is left behind");
        let told = self.told.load(Ordering::SeqCst);
        assert_eq!(told, self.purges.load(Ordering::SeqCst), "every purge is told of its sweep, once");
        for order in [Order::Url, Order::Asset] {
            let everything = Span { order, reach: Reach::Prefix, text: "".into() };
            let pairs: Vec<Resource> = self.cache.store().index().slice(&everything, None);
            assert_eq!(pairs.len() as u64, figures.entries, "index and store differ: {pairs:?}");
        }
    }
}

/// The version that was fetched.
fn version(variant: &Variant) -> u64 {
    model::digits(variant.body())
}

fn number(fields: &HeaderMap, name: &str) -> u64 {
    fields[name].to_str().unwrap().parse().unwrap()
}

fn fill(key: usize, accept: usize, version: u64, confirmed: u64) -> Fill {
    let mut fill = GIVEN.fills[key][accept].clone();
    fill.fields.insert("version", HeaderValue::from(version));
    fill.fields.insert("confirmed", HeaderValue::from(confirmed));
    fill
}

fn head(fill: &Fill) -> Arc<Head> {
    Arc::new(Head {
        status: StatusCode::OK,
        origin_status: StatusCode::OK,
        fields: fill.fields.clone(),
        withheld: HeaderMap::new(),
        bytes: None,
        part: None,
        selection: fill.selection.clone(),
        age: 0,
        ttl: None,
        stored: true,
    })
}
