//! The reading door against what was put in: exact pages, nothing that is purged, and no look that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::fence::Job;
use super::model::{fields, key, planned, tags, target};
use super::store::Resource;
use super::*;
use crate::clock::Clock;
use crate::key::examples::{DEMO, RAW};
use crate::key::{Endpoints, Key, KeyPrefix, examples};
use crate::limits::{PAGE_LOOKS_MAX, SWEEP_SLICE_KEYS};
use crate::target::{AssetName, Mode, Target};

struct Stored {
    cache: Arc<Cache>,
    clock: Clock,
}

impl Stored {
    fn new() -> Stored {
        let clock = Clock::manual(1_700_000_000);
        Stored { cache: Cache::new(1 << 30, clock.clone()), clock }
    }

    fn with(paths: &[&str]) -> Stored {
        let stored = Stored::new();
        paths.iter().for_each(|path| stored.fill(&key(DEMO, path)));
        stored
    }

    fn fill(&self, key: &Key) {
        self.fill_with(key, &fields(0), &[], "x");
    }

    /// A variant for these request fields, with these tags and this body.
    fn fill_with(&self, key: &Key, fields: &HeaderMap, names: &[&str], body: &'static str) {
        let (mut lead, _) = self.cache.fetch_alone(key, fields);
        let tags = tags(key, names);
        lead.learn(tags.clone());
        let body = Body::new(vec![Bytes::from_static(body.as_bytes())]);
        let fill = planned(fields, true, &self.clock);
        let variant = self.cache.variant(&lead, StatusCode::OK, &fill, tags, body, self.clock.now());
        assert_eq!(self.cache.commit(&lead, variant), Commit::Stored);
    }

    fn purge(&self, target: &Target, mode: Mode) {
        self.cache.purge(target, mode, Box::new(|_| {}));
    }

    /// Every page from the start, and how many there were.
    fn pages(&self, prefix: &str, most: usize) -> (Vec<String>, usize) {
        all_pages(|after| self.cache.list(&under(DEMO, prefix), after, most), most)
    }
}

fn all_pages(page_after: impl Fn(Option<&Key>) -> Page, most: usize) -> (Vec<String>, usize) {
    let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = page_after(after.as_ref());
        assert!(page.keys.len() <= most);
        keys.extend(page.keys.iter().map(|listed| listed.key.to_string()));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (keys, pages),
        }
    }
}

/// What the keys of URLs begin with that begin with this path.
fn under(account: usize, path: &str) -> KeyPrefix {
    let accounts = examples::accounts();
    let url = format!("http://img.test/{}/{path}", accounts[account].id);
    Endpoints::new(&accounts).parse_prefix(&url).unwrap().1
}

fn asset(path: &str) -> AssetName {
    AssetName::of(&key(DEMO, path))
}

const IMAGES: [&str; 6] =
    ["p/a.jpg", "p/a.jpg?tr=w-1", "p/a.jpgx", "p/tr:w-1/a.jpg", "p/tr:w-1/tr:h-1/a.jpg", "q/a.jpg"];

#[test]
fn pages_of_every_size_have_each_key_once_and_in_order() {
    let stored = Stored::with(&IMAGES);
    stored.fill(&key(RAW, "p/a.jpg"));
    let of_p = ["demo/p/a.jpg", "demo/p/a.jpg?tr=w-1", "demo/p/a.jpgx", "demo/p/tr:w-1/a.jpg"];
    let mut of_p: Vec<String> = of_p.map(String::from).into();
    of_p.push("demo/p/tr:w-1/tr:h-1/a.jpg".into());
    for most in 1..=6 {
        let (keys, pages) = stored.pages("p/", most);
        assert_eq!(keys, of_p, "{most} a page");
        assert_eq!(pages, of_p.len().div_ceil(most), "no page is there to be empty: {most} a page");
    }
    assert_eq!(stored.pages("p/a.jpg?", 10).0, ["demo/p/a.jpg", "demo/p/a.jpg?tr=w-1", "demo/p/a.jpgx"]);
    assert_eq!(stored.pages("", 10).0.len(), IMAGES.len(), "another account's keys are not below it");
    assert_eq!(stored.pages("nothing/", 10), (Vec::new(), 1));
}

#[test]
fn an_assets_transformations_are_listed_wherever_they_stand() {
    let stored = Stored::with(&IMAGES);
    for most in 1..=5 {
        let (keys, _) = all_pages(|after| stored.cache.transformations(&asset("p/a.jpg"), after, most), most);
        let expected =
            ["demo/p/a.jpg", "demo/p/a.jpg?tr=w-1", "demo/p/tr:w-1/a.jpg", "demo/p/tr:w-1/tr:h-1/a.jpg"];
        assert_eq!(keys, expected, "{most} a page");
    }
}

#[test]
fn a_place_in_a_list_outlives_its_key_and_whatever_comes_and_goes() {
    let stored = Stored::with(&["p/b", "p/d", "p/f"]);
    let first = stored.cache.list(&under(DEMO, "p/"), None, 2);
    assert_eq!(first.next.as_ref().map(Key::as_str), Some("demo/p/d"));
    stored.purge(&Target::Url(key(DEMO, "p/d")), Mode::Delete);
    for late in ["p/a", "p/b", "p/e"] {
        stored.fill(&key(DEMO, late));
    }
    let second = stored.cache.list(&under(DEMO, "p/"), first.next.as_ref(), 2);
    let keys: Vec<&str> = second.keys.iter().map(|listed| listed.key.as_str()).collect();
    assert_eq!((keys, second.next), (vec!["demo/p/e", "demo/p/f"], None));
}

#[test]
fn a_list_over_many_slices_is_whole() {
    let stored = Stored::new();
    let count = 2 * SWEEP_SLICE_KEYS + 7;
    for at in 0..count {
        stored.fill(&key(DEMO, &format!("p/{at:06}.jpg")));
    }
    for most in [1, SWEEP_SLICE_KEYS, SWEEP_SLICE_KEYS + 1, 1000] {
        let (keys, pages) = stored.pages("p/", most);
        assert_eq!((keys.len(), pages), (count, count.div_ceil(most)), "{most} a page");
        assert!(keys.is_sorted());
    }
}

#[test]
fn what_is_purged_is_shown_nowhere_though_no_sweep_has_removed_it() {
    let stored = Stored::with(&IMAGES);
    stored.purge(&target(DEMO, "p/a.jpg*"), Mode::Delete);
    assert_eq!(stored.cache.figures().indexed, IMAGES.len(), "nothing is removed yet");
    assert_eq!(stored.pages("p/", 10).0, ["demo/p/tr:w-1/a.jpg", "demo/p/tr:w-1/tr:h-1/a.jpg"]);
    let (keys, _) = all_pages(|after| stored.cache.transformations(&asset("p/a.jpg"), after, 9), 9);
    assert_eq!(keys, ["demo/p/tr:w-1/a.jpg", "demo/p/tr:w-1/tr:h-1/a.jpg"]);
    assert!(stored.cache.inspect(&key(DEMO, "p/a.jpg")).is_empty());
    assert_eq!(stored.cache.inspect(&key(DEMO, "q/a.jpg")).len(), 1);
    let survey = stored.cache.survey(&Target::Everything, 10, || true);
    assert_eq!(survey.entries, 3);
}

#[test]
fn a_page_looks_at_a_bounded_number_of_keys_however_many_are_purged() {
    let stored = Stored::new();
    let count = PAGE_LOOKS_MAX + 10;
    for at in 0..count {
        stored.fill(&key(DEMO, &format!("p/x/{at:06}.jpg")));
    }
    stored.purge(&target(DEMO, "p/x/*"), Mode::Delete);
    stored.fill(&key(DEMO, "p/z.jpg"));
    let first = stored.cache.list(&under(DEMO, "p/"), None, 10);
    assert!(first.keys.is_empty());
    assert_eq!(first.next, Some(key(DEMO, &format!("p/x/{:06}.jpg", PAGE_LOOKS_MAX - 1))));
    let (keys, pages) = stored.pages("p/", 10);
    assert_eq!((keys, pages), (vec!["demo/p/z.jpg".to_owned()], 2));
}

#[test]
fn a_soft_purge_shows_as_stale() {
    let stored = Stored::with(&["p/a.jpg"]);
    stored.purge(&Target::Url(key(DEMO, "p/a.jpg")), Mode::Stale);
    let variants = stored.cache.inspect(&key(DEMO, "p/a.jpg"));
    assert!(variants[0].is_stale() && !variants[0].is_fresh(stored.clock.now()));
}

#[test]
fn a_key_has_all_its_variants_newest_first_with_their_bytes() {
    let stored = Stored::new();
    let image = key(DEMO, "p/a.jpg");
    stored.fill_with(&image, &fields(0), &[], "four");
    stored.fill_with(&image, &fields(1), &["summer"], "eleven bytes");
    let variants = stored.cache.inspect(&image);
    let bodies: Vec<u64> = variants.iter().map(|variant| variant.body().bytes()).collect();
    assert_eq!(bodies, [12, 4]);
    let listed = stored.cache.list(&under(DEMO, "p/"), None, 9).keys.remove(0);
    let weight = variants.iter().map(|variant| variant.weight() as u64).sum();
    assert_eq!(listed, Listed { key: image, variants: 2, bytes: 16, weight });
}

/// The index is told before the store: for a moment a key stands there twice.
#[test]
fn a_key_that_is_being_written_is_listed_once_as_it_will_be() {
    let stored = Stored::with(&["p/a.jpg", "p/b.jpg"]);
    let image = key(DEMO, "p/a.jpg");
    let variant = stored.cache.inspect(&image).remove(0);
    let newer = Resource::new(u64::MAX - 1, image.as_str(), vec![variant.clone(), variant]);
    stored.cache.store().index().add(&newer);
    assert_eq!(stored.cache.inspect(&image).len(), 2);
    for most in 1..=3 {
        assert_eq!(stored.pages("p/", most).0, ["demo/p/a.jpg", "demo/p/b.jpg"], "{most} a page");
    }
    assert_eq!(stored.cache.list(&under(DEMO, "p/"), None, 1).keys[0].variants, 2);
}

/// For every target: what a survey counts is what the sweep of a purge then removes.
#[test]
fn a_survey_is_what_a_purge_then_does() {
    let image = key(DEMO, "p/a.jpg");
    for (named, expected, keys) in [
        (Target::Url(image.clone()), 2, 1),
        (target(DEMO, "p/a.jpg*"), 4, 2),
        (Target::Asset(AssetName::of(&image)), 5, 2),
        (Target::Tag(tags(&image, &["summer"]).as_slice()[0].clone()), 2, 2),
        (Target::Everything, 7, 2),
    ] {
        let stored = Stored::with(&IMAGES);
        stored.fill_with(&image, &fields(1), &["summer"], "more");
        stored.fill_with(&key(DEMO, "q/a.jpg"), &fields(0), &["summer"], "other");
        let survey = stored.cache.survey(&named, 2, || true);
        assert_eq!(survey.entries, expected, "{named}");
        assert_eq!((survey.keys.len(), survey.complete), (keys, true), "{named}");
        assert!(survey.keys.iter().all(|key| !stored.cache.inspect(key).is_empty()));

        let freed = Arc::new(parking_lot::Mutex::new(None));
        let told = freed.clone();
        stored.cache.purge(&named, Mode::Delete, Box::new(move |swept| *told.lock() = Some(swept.swept)));
        assert_eq!(stored.cache.survey(&named, 9, || true), Survey { complete: true, ..Survey::default() });
        let Job::Sweep(sweep) = stored.cache.fences().next_job() else { panic!("a sweep waits") };
        stored.cache.work(&sweep);
        let freed = freed.lock().expect("it was swept");
        assert_eq!((survey.entries, survey.bytes), (freed.entries, freed.bytes), "{named}");
    }
}

#[test]
fn a_survey_ends_where_it_is_told_to() {
    let stored = Stored::new();
    for at in 0..3 * SWEEP_SLICE_KEYS {
        stored.fill(&key(DEMO, &format!("p/{at:06}.jpg")));
    }
    let asked = AtomicUsize::new(0);
    let survey = stored.cache.survey(&Target::Everything, 1, || asked.fetch_add(1, Ordering::Relaxed) == 0);
    assert_eq!((survey.entries, survey.complete), (2 * SWEEP_SLICE_KEYS as u64, false));
}

/// Looks count for nothing when room is short: what is looked at a hundred times is no hotter for it.
#[test]
fn looking_makes_no_entry_hotter() {
    let probe = Stored::with(&["p/0000.jpg"]);
    let weight = u64::from(probe.cache.store().get("demo/p/0000.jpg").unwrap().weight());
    let cache = Cache::new(8 * weight, probe.clock.clone());
    let stored = Stored { cache, clock: probe.clock };
    let cold = key(DEMO, "p/cold.jpg");
    let hot: Vec<Key> = (0..7).map(|at| key(DEMO, &format!("p/{at:04}.jpg"))).collect();
    stored.fill(&cold);
    for key in &hot {
        stored.fill(key);
        for _ in 0..3 {
            assert!(matches!(stored.cache.look_up(key, &fields(0)), Lookup::Found(_)));
        }
    }
    stored.cache.settle();
    for _ in 0..100 {
        stored.cache.inspect(&cold);
        stored.cache.list(&under(DEMO, "p/"), None, 100);
        stored.cache.survey(&Target::Everything, 100, || true);
    }
    stored.cache.settle();
    let comer = key(DEMO, "p/comer.jpg");
    for _ in 0..2 {
        stored.cache.look_up(&comer, &fields(0));
    }
    stored.fill(&comer);
    stored.cache.settle();
    assert!(stored.cache.inspect(&cold).is_empty(), "two look-ups outdo a hundred looks");
}
