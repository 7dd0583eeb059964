//! The fences alone: what they cover, how they absorb and fold, and when they retire.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::key::{Endpoints, examples};

/// A target of the account `demo`; one that ends in `*` is a prefix. Paths here are long enough to be eligible.
fn target(path: &str) -> Target {
    let endpoints = Endpoints::new(&examples::accounts());
    Target::parse(&format!("http://img.test/demo/{path}"), examples::DEMO, &endpoints).unwrap()
}

fn key(path: &str) -> Key {
    match target(path) {
        Target::Url(key) => key,
        Target::Prefix(_) => panic!("{path} is no key"),
    }
}

fn unheard() -> OnSwept {
    Box::new(|_| {})
}

/// Does all jobs there are; returns them.
fn work(fences: &Fences) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let job = fences.state.lock().next_job();
        match job {
            None => return done,
            Some(Job::First { number, span, .. }) => {
                done.push(format!("first {}", span.text()));
                fences.swept(number, Swept { entries: 1, bytes: 10, shared: false });
            }
            Some(Job::Last { number, span, .. }) => {
                done.push(format!("last {}", span.text()));
                fences.retire(number);
            }
            Some(Job::Close) => panic!("never closed here"),
        }
    }
}

#[test]
fn fence_covers_what_is_older_and_named_and_nothing_else() {
    let fences = Fences::new();
    let old = fences.enter(&key("p/q/a.jpg"));
    assert!(!fences.view().covers(&key("p/q/a.jpg"), old.epoch()), "no fence");
    let epoch = fences.publish(&target("p/q/a*"), unheard());
    let view = fences.view();
    assert!(view.covers(&key("p/q/a.jpg"), old.epoch()) && view.covers(&key("p/q/abc"), epoch - 1));
    assert!(!view.covers(&key("p/q/b.jpg"), old.epoch()) && !view.covers(&key("p/q"), old.epoch()));
    assert!(!view.covers(&key("p/q/a.jpg"), epoch), "what began after it is not covered");
    assert_eq!(fences.enter(&key("p/q/a.jpg")).epoch(), epoch);
}

#[test]
fn fence_retires_after_the_older_fetches_that_it_covers_and_no_others() {
    let fences = Fences::new();
    let covered = fences.enter(&key("p/q/a.jpg"));
    let elsewhere = fences.enter(&key("x/y/z.jpg"));
    fences.publish(&target("p/q/*"), unheard());
    let newer = fences.enter(&key("p/q/b.jpg"));
    assert_eq!(work(&fences), ["first demo/p/q/"]);
    assert!(fences.view().covers(&key("p/q/a.jpg"), covered.epoch()), "it drains, and still covers");
    drop(covered);
    assert_eq!(work(&fences), ["last demo/p/q/"]);
    assert_eq!(fences.counts(), (0, 2), "neither the other key's fetch nor the newer one held it");
    assert!(fences.view().0.is_none(), "at rest a look-up reads one atomic");
    drop((elsewhere, newer));
}

#[test]
fn wider_newer_fence_absorbs_and_answers_for_the_absorbed() {
    let fences = Fences::new();
    let told = Arc::new(AtomicUsize::new(0));
    let caller = |expected: Swept| -> OnSwept {
        let told = told.clone();
        Box::new(move |swept| {
            assert_eq!(swept, expected);
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    let shared = Swept { entries: 1, bytes: 10, shared: true };
    fences.publish(&target("p/q/a.jpg"), caller(shared));
    fences.publish(&target("p/q/deep/*"), caller(shared));
    fences.publish(&target("p/q/*"), caller(shared));
    fences.publish(&target("p/other/*"), caller(Swept { shared: false, ..shared }));
    assert_eq!(fences.counts().0, 2);
    work(&fences);
    assert_eq!(told.load(Ordering::SeqCst), 4);
}

#[test]
fn narrower_newer_fence_stands_beside_the_wider_older_one() {
    let fences = Fences::new();
    let wide = fences.publish(&target("p/q/*"), unheard());
    let narrow = fences.publish(&target("p/q/a/*"), unheard());
    let view = fences.view();
    assert!(view.covers(&key("p/q/a/x.jpg"), wide) && !view.covers(&key("p/q/a/x.jpg"), narrow));
    assert!(view.covers(&key("p/q/b/x.jpg"), wide - 1) && !view.covers(&key("p/q/b/x.jpg"), wide));
}

#[test]
fn figures_of_an_interrupted_sweep_are_the_absorbers() {
    let fences = Fences::new();
    fences.publish(&target("p/q/a*"), unheard());
    let Job::First { number, .. } = fences.next_job() else { panic!() };
    let told = Arc::new(AtomicUsize::new(0));
    let heard = told.clone();
    fences.publish(
        &target("p/q/*"),
        Box::new(move |swept| {
            assert_eq!(swept, Swept { entries: 8, bytes: 80, shared: true });
            heard.fetch_add(1, Ordering::SeqCst);
        }),
    );
    assert!(!fences.is_alive(number));
    fences.swept(number, Swept { entries: 7, bytes: 70, shared: false });
    work(&fences);
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn fences_stay_bounded_by_folding_and_every_caller_is_told() {
    let fences = Fences::new();
    let told = Arc::new(AtomicUsize::new(0));
    let count = 20 * FENCES_MAX;
    for at in 0..count {
        let told = told.clone();
        let wildcard = if at % 3 == 0 { "*" } else { "" };
        let target = target(&format!("p{}/q{at}.jpg{wildcard}", at % 11));
        fences.publish(
            &target,
            Box::new(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            }),
        );
        assert!(fences.counts().0 <= FENCES_MAX);
    }
    let view = fences.view();
    for at in 0..count {
        assert!(view.covers(&key(&format!("p{}/q{at}.jpg", at % 11)), at as Epoch + 1), "{at}");
    }
    assert!(!view.covers(&key("somewhere/else.jpg"), 1), "what is far from all of them is not purged");
    work(&fences);
    assert_eq!((told.load(Ordering::SeqCst), fences.counts().0), (count, 0));
}

proptest! {
    /// The snapshot answers as the plain list of purges would; where fences were folded, it may cover more.
    #[test]
    fn covers_at_least_what_was_purged_and_exactly_that_below_the_cap(
        purges in prop::collection::vec(("[ab]{1,2}/[ab]{1,3}", any::<bool>()), 0..40),
        keys in prop::collection::vec(("[ab]{1,2}/[ab]{1,3}(/[ab])?", 0u64..45), 0..40),
    ) {
        let fences = Fences::new();
        let mut plain: Vec<(Target, Epoch)> = Vec::new();
        for (path, wildcard) in purges {
            let target = target(&format!("{path}{}", if wildcard { "*" } else { "" }));
            let epoch = fences.publish(&target, unheard());
            plain.push((target, epoch));
        }
        let view = fences.view();
        for (path, epoch) in keys {
            let key = key(&path);
            let purged = plain.iter().any(|(target, of)| target.covers(&key) && *of > epoch);
            prop_assert_eq!(view.covers(&key, epoch), purged, "{} at {}", key, epoch);
        }
    }
}
