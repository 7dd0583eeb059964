//! The cache under threads: the interleavings within a step, which `model.rs` can't reach.
//!
//! Each key has a version, raised before a purge that names it and required of every request that begins after
//! the purge has returned. Requests look up, join, fetch (the version is read after the ticket, as an origin
//! would), supersede, renew and commit; the sweeper runs; the store is so small that it evicts. The machine's own
//! preemption finds the windows: more threads than cores, and every purge is a chance. What it finds it does not
//! find in every run; `FRESHET_RACES_REQUESTS=4000000` makes ten runs of one.
//!
//! What it notices of code that is broken on purpose stands in the table of `model.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::model::{Random, fields, head, key, landing, number, planned, tags, target, text};
use super::*;
use crate::clock::Clock;
use crate::key::Key;
use crate::key::examples::DEMO;
use crate::semantics::Fill;
use crate::target::{AssetName, Mode, Tag, Tags, Target};

const READERS: u64 = 4;
const PURGERS: u64 = 2;
/// Requests of all readers in a normal run.
const REQUESTS: u64 = 400_000;
/// The longest that so many may take, whatever the machine.
const TIME: Duration = Duration::from_secs(300);
/// Keys in each of two folders: three assets, two of them transformed.
const KEYS: usize = 6;
const NAMES: [&str; KEYS] =
    ["a.jpg", "a.jpg?tr=n-hero", "tr:w-1:n-hero/a.jpg", "b.jpg", "tr:w-1/b.jpg", "c.jpg"];
/// Which of them are made by the named transformation, and which the pattern stands for.
const HERO: [usize; 2] = [1, 2];
const B: [usize; 2] = [3, 4];
/// Variants of every other key.
const VARIANTS: usize = 3;
/// Room for a few resources, so that evictions race too.
const BYTES: u64 = 5 * 1024;

struct Races {
    clock: Clock,
    cache: Arc<Cache>,
    keys: Vec<Key>,
    urls: Vec<Target>,
    /// Each as a prefix, and as a folder.
    folders: [[Target; 2]; 2],
    hero: Target,
    pattern: Target,
    /// What the origin has.
    versions: Vec<AtomicU64>,
    /// What a request that begins now must get, at least.
    required: Vec<AtomicU64>,
    requests: AtomicU64,
    hits: AtomicU64,
    stale: Mutex<Vec<String>>,
    requests_wanted: u64,
    end: Instant,
}

impl Races {
    fn new() -> Races {
        let paths: Vec<String> =
            (0..2 * KEYS).map(|at| format!("p/folder-{}/{}", at / KEYS, NAMES[at % KEYS])).collect();
        let clock = Clock::manual(1_700_000_000);
        let requests_wanted = number("FRESHET_RACES_REQUESTS").unwrap_or(REQUESTS);
        Races {
            cache: Cache::new(BYTES, clock.clone()),
            clock,
            keys: paths.iter().map(|path| key(DEMO, path)).collect(),
            urls: paths.iter().map(|path| target(DEMO, path)).collect(),
            folders: [["p/folder-0/*", "p/folder-1/*"], ["folder p/folder-0", "folder p/folder-1"]]
                .map(|folders| folders.map(|folder| target(DEMO, folder))),
            hero: target(DEMO, "transformation hero"),
            pattern: target(DEMO, "pattern p/folder-*/b.jpg"),
            versions: paths.iter().map(|_| AtomicU64::new(1)).collect(),
            required: paths.iter().map(|_| AtomicU64::new(0)).collect(),
            requests: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            stale: Mutex::new(Vec::new()),
            requests_wanted,
            end: Instant::now() + TIME * u32::try_from(requests_wanted / REQUESTS + 1).unwrap(),
        }
    }

    fn goes_on(&self) -> bool {
        self.requests.load(Ordering::SeqCst) < self.requests_wanted
            && Instant::now() < self.end
            && self.stale.lock().unwrap().is_empty()
    }

    fn check(&self, at: usize, wanted: u64, got: &str, how: &str) {
        if got.parse::<u64>().unwrap() < wanted {
            let stale = format!("{}: wanted {wanted}, got {got} from {how}", self.keys[at]);
            self.stale.lock().unwrap().push(stale);
        }
    }

    fn request(&self, random: &mut Random) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (at, fields) = (random.below(self.keys.len()), fields(random.below(VARIANTS)));
        let wanted = self.required[at].load(Ordering::SeqCst);
        let key = &self.keys[at];
        if let Lookup::Found(found) = self.cache.look_up(key, &fields)
            && !random.one_in(8)
        {
            self.hits.fetch_add(1, Ordering::SeqCst);
            self.check(at, wanted, &text(found.body()), "the store");
            return;
        }
        match self.cache.join(key, &fields, false) {
            Join::Lead(lead, _) => self.fetch(at, &fields, lead, random),
            Join::Follow(reader) => self.follow(at, wanted, &reader),
        }
    }

    fn fetch(&self, at: usize, fields: &HeaderMap, mut lead: Lead, random: &mut Random) {
        let base = match self.cache.look_up(&self.keys[at], fields) {
            Lookup::Found(found) => Some(found),
            Lookup::OtherVariants | Lookup::Absent => None,
        };
        let version = self.versions[at].load(Ordering::SeqCst).to_string();
        if random.one_in(4) {
            std::thread::yield_now(); // Under way for a while.
        }
        if random.one_in(16) {
            // As the answer to an unsafe method would.
            match self.cache.supersede(lead) {
                Some((superseding, _)) => lead = superseding,
                None => return,
            }
        }
        if let Some(base) = base.as_ref().filter(|_| random.one_in(8)) {
            self.cache.discard(&lead, base);
        } else if let Some(base) = base.filter(|base| text(base.body()) == version) {
            lead.learn(base.tags().clone());
            let fill = planned(fields, at.is_multiple_of(2), &self.clock);
            self.cache.commit(&lead, self.variant(at, &lead, &fill, base.body().clone()));
            lead.land(Landing::Renewed(base));
            return lead.finish(Ok(()));
        }
        let mut fill = planned(fields, at.is_multiple_of(2), &self.clock);
        let value = http::HeaderValue::from_str(&version).unwrap();
        fill.fields.insert("version", value); // What the followers judge.
        lead.learn(self.tags(at));
        lead.land(Landing::Shared(head(&fill, true)));
        lead.append(Bytes::from(version));
        let whole = lead.body();
        self.cache.commit(&lead, self.variant(at, &lead, &fill, whole));
        lead.show();
        lead.finish(Ok(()));
    }

    /// Every third key has a tag.
    fn tags(&self, at: usize) -> Tags {
        tags(&self.keys[at], if at.is_multiple_of(3) { &["third"] } else { &[] })
    }

    fn variant(&self, at: usize, lead: &Lead, fill: &Fill, body: Body) -> Arc<Variant> {
        self.cache.variant(lead, StatusCode::OK, fill, self.tags(at), body, self.clock.now())
    }

    fn follow(&self, at: usize, wanted: u64, reader: &Reader) {
        loop {
            match landing(reader) {
                None => std::thread::yield_now(), // Its lead runs on.
                Some(Landing::Shared(head)) => {
                    let version = head.fields["version"].to_str().unwrap();
                    return self.check(at, wanted, version, "a fetch");
                }
                Some(Landing::Renewed(base) | Landing::Stored(base)) => {
                    return self.check(at, wanted, &text(base.body()), "a renewal");
                }
                Some(Landing::Alone | Landing::Failed(_)) => return,
            }
        }
    }

    fn purge(&self, random: &mut Random) {
        let at = random.below(self.keys.len());
        let all = 0..self.keys.len();
        let (target, named): (Target, Vec<usize>) = match random.below(9) {
            0 | 1 => {
                let folder = self.folders[random.below(2)][at / KEYS].clone();
                (folder, all.filter(|key| key / KEYS == at / KEYS).collect())
            }
            7 => (self.hero.clone(), all.filter(|key| HERO.contains(&(key % KEYS))).collect()),
            8 => (self.pattern.clone(), all.filter(|key| B.contains(&(key % KEYS))).collect()),
            2 => {
                let tag = Tag::new(self.keys[at].account(), "third").unwrap();
                (Target::Tag(tag), all.filter(|key| key.is_multiple_of(3)).collect())
            }
            3 => {
                let asset = self.keys[at].asset();
                let named = all.filter(|key| self.keys[*key].asset() == asset).collect();
                (Target::Asset(AssetName::of(&self.keys[at])), named)
            }
            _ => (self.urls[at].clone(), vec![at]),
        };
        let raised: Vec<(usize, u64)> =
            named.into_iter().map(|at| (at, self.versions[at].fetch_add(1, Ordering::SeqCst) + 1)).collect();
        self.cache.purge(&target, Mode::Delete, Box::new(|_| {}));
        for (at, version) in raised {
            self.required[at].fetch_max(version, Ordering::SeqCst);
        }
        // Between storms of purges there is rest: fences retire, and look-ups need no snapshot.
        while random.one_in(8) && self.cache.figures().fences > 0 && self.goes_on() {
            std::thread::yield_now();
        }
        for _ in 0..random.below(3) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn no_request_begun_after_a_purge_gets_what_it_covers() {
    let races = Races::new();
    let sweeper = races.cache.start_sweeper().unwrap();
    let purges = std::thread::scope(|scope| {
        let purgers: Vec<_> = (0..PURGERS)
            .map(|purger| {
                let races = &races;
                scope.spawn(move || {
                    let mut random = Random::new(100 + purger);
                    (0u64..).take_while(|_| races.goes_on()).map(|_| races.purge(&mut random)).count()
                })
            })
            .collect();
        for reader in 0..READERS {
            let races = &races;
            scope.spawn(move || {
                let mut random = Random::new(reader);
                while races.goes_on() {
                    races.request(&mut random);
                }
            });
        }
        purgers.into_iter().map(|purger| purger.join().unwrap()).sum::<usize>()
    });
    let stale = races.stale.lock().unwrap();
    assert!(stale.is_empty(), "{stale:#?}");
    let (requests, hits) = (races.requests.load(Ordering::SeqCst), races.hits.load(Ordering::SeqCst));
    println!("{requests} requests, {hits} hits, {purges} purges");
    assert!(requests >= races.requests_wanted && hits * 8 > requests && purges > 100, "it was no race");
    let end = Instant::now() + TIME;
    while races.cache.figures().fences > 0 {
        assert!(Instant::now() < end, "a fence never retired");
        std::thread::yield_now();
    }
    races.cache.close();
    sweeper.join().unwrap();
    races.cache.settle();
    let audit = races.cache.audit();
    assert!(audit.is_clean() && audit.pending == 0, "{audit:?}");
    let figures = races.cache.figures();
    assert_eq!((figures.tickets, figures.flights), (0, 0));
    assert_eq!(figures.entries, figures.indexed as u64, "index and store differ");
}
