//! Whether index and store drift apart: every way in which moka lets an entry go, provoked and seen to happen, and
//! all of them at once in several threads while a sweeper runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use http::{HeaderMap, StatusCode};

use super::model::{Random, fields, key, planned, target};
use super::store::Resource;
use super::*;
use crate::clock::Clock;
use crate::key::Key;
use crate::key::examples::DEMO;
use crate::target::{Mode, Tags, Target};

/// Keys that are asked for again and again, and have all the room.
const HOT: usize = 16;
/// Look-ups that make a key hot: moka counts no more than 15.
const LOOK_UPS: usize = 20;
/// Fills of each thread.
const FILLS: usize = 5_000;
/// Times that all threads fill one key at once.
const RACES: usize = 300;
const THREADS: u64 = 4;

struct Drift {
    clock: Clock,
    cache: Arc<Cache>,
    fields: HeaderMap,
    hot: Vec<Key>,
    /// Fills of a key that was stored, and had the very content.
    replacements: AtomicU64,
}

impl Drift {
    /// The hot keys are stored; one more has no room.
    fn new() -> Drift {
        let clock = Clock::manual(1_700_000_000);
        let hot: Vec<Key> = (0..HOT).map(|at| key(DEMO, &format!("p/hot/{at:05}.jpg"))).collect();
        let weight = {
            let drift = Drift::with(u64::MAX, clock.clone(), hot.clone());
            drift.fill(&drift.hot[0]);
            drift.stored(&drift.hot[0]).expect("there is room").weight()
        };
        let drift = Drift::with(HOT as u64 * u64::from(weight) + u64::from(weight) / 2, clock, hot);
        drift.heat();
        drift
    }

    fn with(max_bytes: u64, clock: Clock, hot: Vec<Key>) -> Drift {
        let cache = Cache::new(max_bytes, clock.clone());
        Drift { clock, cache, fields: fields(0), hot, replacements: AtomicU64::new(0) }
    }

    fn cold(at: usize) -> Key {
        key(DEMO, &format!("p/one/{at:05}.jpg"))
    }

    fn fill(&self, key: &Key) {
        let (mut lead, _) = self.cache.fetch_alone(key, &self.fields);
        let fill = planned(&self.fields, false, &self.clock);
        lead.learn(Tags::default());
        let (body, now) = (Body::default(), self.clock.now());
        let variant = self.cache.variant(&lead, StatusCode::OK, &fill, Tags::default(), body, now);
        if self.stored(key).is_some() {
            self.replacements.fetch_add(1, Ordering::Relaxed);
        }
        self.cache.commit(&lead, variant);
    }

    fn stored(&self, key: &Key) -> Option<Resource> {
        self.cache.store().get(key.as_str())
    }

    fn look_up_often(&self, key: &Key) {
        for _ in 0..LOOK_UPS {
            self.stored(key);
        }
        self.cache.settle(); // It counts look-ups by and by.
    }

    /// Stores the hot keys, and nothing else.
    fn heat(&self) {
        for _ in 0..3 {
            for key in &self.hot {
                self.look_up_often(key);
                if self.stored(key).is_none() {
                    self.fill(key);
                }
                self.cache.settle();
            }
        }
        assert!(self.hot.iter().all(|key| self.stored(key).is_some()), "what is hot is stored");
    }

    /// At rest, both orders of the index have what the store has.
    fn assert_equal(&self) {
        self.cache.settle();
        let figures = self.cache.figures();
        let entries = usize::try_from(figures.entries).unwrap();
        assert_eq!(self.cache.store().index().lengths(), (entries, entries), "index and store differ");
        assert_eq!(self.cache.store().iter().count(), entries);
        let audit = self.cache.audit();
        assert!(audit.is_clean() && audit.pending == 0, "{audit:?}");
        assert_eq!((figures.tickets, figures.flights), (0, 0));
    }
}

#[test]
fn refused_entry_leaves_no_pair() {
    let drift = Drift::new();
    for at in 0..100 {
        drift.fill(&Drift::cold(at));
        drift.assert_equal();
        assert!(drift.stored(&Drift::cold(at)).is_none(), "one request outdoes no hot key");
    }
    assert!(drift.hot.iter().all(|key| drift.stored(key).is_some()), "nothing else made room");
}

#[test]
fn evicted_entry_leaves_no_pair() {
    let drift = Drift::new();
    drift.cache.purge(&target(DEMO, "p/hot/*"), Mode::Delete, Box::new(|_| {}));
    while let Some(sweep) = drift.cache.fences().ready_sweep() {
        drift.cache.work(&sweep);
    }
    drift.assert_equal();
    let (cool, wanted) = (0..HOT, HOT..2 * HOT);
    cool.clone().for_each(|at| drift.fill(&Drift::cold(at)));
    drift.cache.settle();
    assert_eq!(drift.cache.figures().entries, HOT as u64, "there is room for all of them");
    for at in wanted {
        let key = Drift::cold(at);
        drift.look_up_often(&key);
        drift.fill(&key);
        drift.cache.settle(); // No walk: it would make the others hot.
        assert!(drift.stored(&key).is_some(), "what is asked for more often makes room for itself");
    }
    let evicted = cool.filter(|at| drift.stored(&Drift::cold(*at)).is_none()).count();
    assert_eq!(evicted, HOT, "one left for each");
    drift.assert_equal();
}

#[test]
fn replaced_entry_leaves_no_pair() {
    let drift = Drift::new();
    for key in &drift.hot {
        let before = drift.stored(key).unwrap().id();
        drift.fill(key);
        assert!(drift.stored(key).unwrap().id() > before, "it was replaced");
        drift.assert_equal();
    }
}

#[test]
fn fills_that_race_for_one_key_leave_one_pair() {
    let drift = Drift::new();
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for race in 0..RACES {
                    start.wait();
                    drift.fill(&drift.hot[race % HOT]);
                    start.wait();
                    drift.assert_equal();
                }
            });
        }
    });
    assert!(drift.replacements.load(Ordering::Relaxed) >= RACES as u64 * (THREADS - 1));
}

#[test]
fn all_of_them_at_once_leave_index_and_store_equal() {
    let drift = Drift::new();
    let sweeper = drift.cache.start_sweeper().unwrap();
    let named = ["p/hot/*", "p/one/*", "folder p/hot", "pattern p/*7.jpg", "transformation hero"];
    let named: [Target; 5] = named.map(|text| target(DEMO, text));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (drift, named) = (&drift, &named);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for fill in 0..FILLS {
                    let hot = &drift.hot[random.below(HOT)];
                    match random.below(4) {
                        0 => drift.fill(hot),
                        1 => drift.look_up_often(hot),
                        _ => drift.fill(&Drift::cold(thread as usize * FILLS + fill)),
                    }
                    if random.one_in(200) {
                        drift.cache.purge(&named[random.below(5)], Mode::Delete, Box::new(|_| {}));
                    }
                }
            });
        }
    });
    while drift.cache.figures().fences > 0 {
        std::thread::yield_now();
    }
    drift.cache.close();
    sweeper.join().unwrap();
    drift.assert_equal();
    let gone = (0..THREADS as usize * FILLS).filter(|at| drift.stored(&Drift::cold(*at)).is_none()).count();
    let replacements = drift.replacements.load(Ordering::Relaxed);
    println!("{gone} gone, {replacements} replaced, {} dangling", drift.cache.figures().dangling);
    assert!(replacements > 100 && gone > FILLS, "it was no storm");
    drift.heat();
    drift.assert_equal();
}
