//! What a purge is told to be worth fetching again: the hottest of what it named itself, whatever became of its fence.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::hottest::{Gathering, merge};
use super::model::{Random, fields, key, planned, tags, target};
use super::span::Span;
use super::*;
use crate::clock::Clock;
use crate::key::Key;
use crate::key::examples::DEMO;
use crate::limits::{FENCES_MAX, HOTTEST_BYTES_MAX, HOTTEST_MAX};
use crate::target::{Mode, Target};

/// What a purge was told: a key, with the number of its fields' variant behind it, and its hits.
type Told = Arc<Mutex<Option<Vec<String>>>>;

struct Desk {
    cache: Arc<Cache>,
    clock: Clock,
}

impl Desk {
    fn new() -> Desk {
        let clock = Clock::manual(1_700_000_000);
        Desk { cache: Cache::new(1 << 30, clock.clone()), clock }
    }

    fn with(stored: &[(&str, u32)]) -> Desk {
        let desk = Desk::new();
        stored.iter().for_each(|(path, hits)| desk.fill(&key(DEMO, path), 0, &[], *hits));
        desk
    }

    /// Stores a variant that has answered so many requests.
    fn fill(&self, key: &Key, accept: usize, names: &[&str], hits: u32) {
        let (mut lead, _) = self.cache.fetch_alone(key, &fields(accept));
        let tags = tags(key, names);
        lead.learn(tags.clone());
        let (fill, now) = (planned(&fields(accept), true, &self.clock), self.clock.now());
        let body = Body::new(vec![Bytes::from_static(b"x")]);
        let variant = self.cache.variant(&lead, StatusCode::OK, &fill, tags, body, now);
        (0..hits).for_each(|_| variant.count_hit());
        assert_eq!(self.cache.commit(&lead, variant), Commit::Stored);
    }

    fn purge(&self, text: &str, mode: Mode, most: usize) -> Told {
        self.purge_target(&target(DEMO, text), mode, most)
    }

    fn purge_target(&self, target: &Target, mode: Mode, most: usize) -> Told {
        let told = Told::default();
        let tell = told.clone();
        let described = |hot: &Hot| {
            let accept = (0..9).find(|accept| hot.fields == fields(*accept)).expect("its fields select it");
            format!("{}#{accept} {}", hot.key, hot.hits)
        };
        let on_swept = move |removed: Removed| {
            *tell.lock() = Some(removed.hottest.iter().map(described).collect());
        };
        self.cache.purge_gathering(target, mode, most, Box::new(on_swept));
        told
    }

    fn sweep_all(&self) {
        while let Some(sweep) = self.cache.fences().ready_sweep() {
            self.cache.work(&sweep);
        }
    }
}

fn told(told: &Told) -> Vec<String> {
    told.lock().take().expect("it was swept")
}

const STORED: [(&str, u32); 5] =
    [("p/q/a.jpg", 3), ("p/q/tr:w-1/a.jpg", 9), ("p/q/b.jpg", 5), ("p/q/c.jpg", 5), ("p/r/d.jpg", 7)];

#[test]
fn the_hottest_come_first_and_as_many_as_were_asked_for() {
    for mode in [Mode::Delete, Mode::Stale] {
        let desk = Desk::with(&STORED);
        desk.fill(&key(DEMO, "p/q/b.jpg"), 1, &[], 6);
        let (some, none) = (desk.purge("p/q/*", mode, 4), desk.purge("p/r/*", mode, 0));
        desk.sweep_all();
        let expected =
            ["demo/p/q/tr:w-1/a.jpg#0 9", "demo/p/q/b.jpg#1 6", "demo/p/q/b.jpg#0 5", "demo/p/q/c.jpg#0 5"];
        assert_eq!(told(&some), expected, "{mode:?}");
        assert!(told(&none).is_empty());
    }
}

#[test]
fn what_a_look_up_has_made_stale_before_the_sweep_is_told_too() {
    let desk = Desk::with(&STORED);
    let purge = desk.purge("p/q/b.jpg", Mode::Stale, 9);
    let Lookup::Found(found) = desk.cache.look_up(&key(DEMO, "p/q/b.jpg"), &fields(0)) else {
        panic!("a soft purge removes nothing")
    };
    assert!(found.is_stale());
    desk.sweep_all();
    assert_eq!(told(&purge), ["demo/p/q/b.jpg#0 5"]);
}

#[test]
fn an_absorbed_purge_is_told_its_own_and_the_absorber_all() {
    for (first, second) in
        [(Mode::Delete, Mode::Delete), (Mode::Stale, Mode::Stale), (Mode::Stale, Mode::Delete)]
    {
        let desk = Desk::with(&STORED);
        let narrow = desk.purge("p/q/b*", first, 9);
        desk.fill(&key(DEMO, "p/q/bb.jpg"), 0, &[], 8); // Newer than the one, older than the other.
        let wide = desk.purge("p/q/*", second, 2);
        assert_eq!(desk.cache.figures().fences, 1);
        desk.sweep_all();
        assert_eq!(told(&narrow), ["demo/p/q/b.jpg#0 5"]);
        assert_eq!(told(&wide), ["demo/p/q/tr:w-1/a.jpg#0 9", "demo/p/q/bb.jpg#0 8"]);
    }
}

/// (1) A purge's sweep begins; (2) a wider one absorbs its fence; (3) the sweep ends early, with a part of what it
/// names behind it; (4) the absorber's sweep does the rest, and where nothing was removed it comes by all again.
#[test]
fn a_purge_that_is_absorbed_while_it_is_swept_is_told_everything_once() {
    for (first, second) in
        [(Mode::Delete, Mode::Delete), (Mode::Stale, Mode::Stale), (Mode::Stale, Mode::Delete)]
    {
        let desk = Desk::new();
        let keys: Vec<Key> = (0..600).map(|at| key(DEMO, &format!("p/q/deep/{at:03}.jpg"))).collect();
        keys.iter().zip(0..).for_each(|(key, hits)| desk.fill(key, 0, &[], hits % 100));
        let narrow = desk.purge("p/q/deep/*", first, 30);
        let sweep = desk.cache.fences().ready_sweep().expect("it waits");
        let wide = desk.purge("p/q/*", second, 0);
        desk.cache.work(&sweep);
        assert!(narrow.lock().is_none(), "its sweep did not get far");
        desk.sweep_all();
        let hottest =
            (0..30).map(|at| format!("demo/p/q/deep/{}{:02}.jpg#0 {}", at % 6, 99 - at / 6, 99 - at / 6));
        assert_eq!(told(&narrow), hottest.collect::<Vec<_>>(), "{first:?} {second:?}");
        assert!(told(&wide).is_empty());
    }
}

#[test]
fn a_folded_purge_is_told_its_own() {
    let desk = Desk::with(&STORED);
    let purges: Vec<Told> = (0..=FENCES_MAX)
        .map(|at| match at {
            0 => desk.purge("p/q/b.jpg", Mode::Delete, 9),
            1 => desk.purge("p/q/c.jpg", Mode::Stale, 9),
            _ => desk.purge(&format!("{at:03}/x/y.jpg"), Mode::Delete, 9),
        })
        .collect();
    assert!(desk.cache.figures().fences <= FENCES_MAX);
    desk.sweep_all();
    let mut all = purges.iter().map(told);
    assert_eq!(all.next().unwrap(), ["demo/p/q/b.jpg#0 5"]);
    assert_eq!(all.next().unwrap(), ["demo/p/q/c.jpg#0 5"]);
    assert!(all.all(|told| told.is_empty()));
}

#[test]
fn a_tag_tells_what_has_it_and_a_host_what_its_accounts_have_together() {
    let desk = Desk::with(&STORED);
    desk.fill(&key(DEMO, "p/q/b.jpg"), 1, &["summer"], 2);
    desk.fill(&key(2, "p/q/a.jpg"), 0, &["summer"], 6);
    let tagged = desk.purge("tag summer", Mode::Stale, 9);
    desk.sweep_all();
    assert_eq!(told(&tagged), ["demo/p/q/b.jpg#1 2"]);
    let host = crate::config::Authority::parse("img.test").unwrap();
    let endpoints = crate::key::Endpoints::new(&crate::key::examples::accounts());
    let host = desk.purge_target(&Target::host(&host, &endpoints).unwrap(), Mode::Delete, 3);
    desk.sweep_all();
    assert_eq!(told(&host), ["demo/p/q/tr:w-1/a.jpg#0 9", "demo/p/r/d.jpg#0 7", "demo-2/p/q/a.jpg#0 6"]);
}

/// (1) A soft sweep has come by a key; (2) another variant of it is stored, in a resource of its own that holds the
/// first one too; (3) the sweep comes by that.
#[test]
fn a_variant_that_a_sweep_meets_twice_is_told_once() {
    let desk = Desk::with(&STORED[..1]);
    let gathering = Gathering::new(Span::of(&target(DEMO, "p/q/*")).remove(0), 9, 9);
    let stored = desk.cache.inspect(&key(DEMO, "p/q/a.jpg"));
    for _ in 0..2 {
        gathering.offer("demo/p/q/a.jpg", &stored[0]);
    }
    gathering.offer("demo/p/q/b.jpg", &stored[0]);
    assert_eq!(gathering.take().len(), 2);
    assert!(gathering.take().is_empty());
}

#[test]
fn a_gathering_is_bounded_in_number_and_in_bytes() {
    let desk = Desk::new();
    desk.fill(&key(DEMO, "p/q/a.jpg"), 0, &[], 0);
    let variant = desk.cache.inspect(&key(DEMO, "p/q/a.jpg")).remove(0);
    let everything = Span::of(&Target::Everything).remove(0);
    let fill = |gathering: &Gathering, bytes: usize, count: usize| {
        for at in 0..count {
            gathering.offer(&format!("demo/{at:0bytes$}"), &variant);
        }
    };
    let short = Gathering::new(everything.clone(), 9, usize::MAX);
    fill(&short, 20, 2 * HOTTEST_MAX);
    let short = short.take();
    assert_eq!(short.len(), HOTTEST_MAX);
    let long = Gathering::new(everything, 9, usize::MAX);
    fill(&long, 20_000, 200);
    let mut long = long.take();
    let bytes = |hottest: &[Hot]| hottest.iter().map(|hot| hot.key.as_str().len()).sum::<usize>();
    assert!(bytes(&long) <= HOTTEST_BYTES_MAX && long.len() > 40, "{}", long.len());
    let again = long.clone();
    merge(&mut long, again, usize::MAX);
    assert!(bytes(&long) <= HOTTEST_BYTES_MAX);
    merge(&mut long, short, 7);
    assert_eq!(long.len(), 7);
}

/// Random variants, against a plain sort.
#[test]
fn what_is_told_is_what_a_sort_would_say() {
    let mut random = Random::new(7);
    for _ in 0..40 {
        let desk = Desk::new();
        let mut all: Vec<(u32, String)> = Vec::new();
        for at in 0..60 {
            let hits = random.below(20) as u32;
            desk.fill(&key(DEMO, &format!("p/q/{at:02}.jpg")), 0, &[], hits);
            all.push((hits, format!("demo/p/q/{at:02}.jpg#0 {hits}")));
        }
        let most = 1 + random.below(80);
        let purge = desk.purge("folder p/q", Mode::Delete, most);
        desk.sweep_all();
        all.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
        let expected: Vec<String> = all.into_iter().take(most).map(|(_, text)| text).collect();
        assert_eq!(told(&purge), expected);
    }
}

#[test]
fn the_fields_are_those_that_select_the_variant() {
    let desk = Desk::new();
    let key = key(DEMO, "p/q/a.jpg");
    desk.fill(&key, 3, &[], 1);
    let purge: Arc<Mutex<Vec<Hot>>> = Arc::default();
    let tell = purge.clone();
    let on_swept: OnSwept = Box::new(move |removed| *tell.lock() = removed.hottest);
    desk.cache.purge_gathering(&target(DEMO, "p/q/a.jpg"), Mode::Stale, 1, on_swept);
    desk.sweep_all();
    let hot = purge.lock().remove(0);
    assert!(matches!(desk.cache.look_up(&hot.key, &hot.fields), Lookup::Found(_)));
    assert!(!matches!(desk.cache.look_up(&hot.key, &HeaderMap::new()), Lookup::Found(_)));
}
