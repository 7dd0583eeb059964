//! The fences alone: what they cover, how they absorb and fold, and when they retire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::fence::{Epoch, Fences, OnSwept, Swept};
use super::model;
use super::snapshot::Verdict;
use super::span::{Order, Reach, Span, Subject};
use crate::clock::Clock;
use crate::key::{Key, examples};
use crate::limits::FENCES_MAX;
use crate::target::{Mode, Tag, Tags, Target};

const ACCOUNT: &str = "demo";

/// What a purge by the account `demo` names. Paths here are long enough to be eligible.
fn target(text: &str) -> Target {
    model::target(examples::DEMO, text)
}

fn key(path: &str) -> Key {
    match target(path) {
        Target::Url(key) => key,
        other => panic!("{other} is no key"),
    }
}

fn tags(names: &[&str]) -> Tags {
    Tags::new(names.iter().map(|name| Tag::new(ACCOUNT, name).unwrap())).unwrap()
}

fn unheard() -> OnSwept {
    Box::new(|_| {})
}

/// Publishes a fence; its epoch.
fn purge(fences: &Fences, mode: Mode, text: &str, on_swept: OnSwept) -> Epoch {
    let [span] = &Span::of(&target(text))[..] else { panic!("one account") };
    fences.publish(mode, span.clone(), on_swept)
}

fn delete(fences: &Fences, text: &str) -> Epoch {
    purge(fences, Mode::Delete, text, unheard())
}

fn soften(fences: &Fences, text: &str) -> Epoch {
    purge(fences, Mode::Stale, text, unheard())
}

fn judge(fences: &Fences, path: &str, names: &[&str], epoch: Epoch) -> Verdict {
    let (key, tags) = (key(path), tags(names));
    fences.view().judge(Subject::known(key.as_str(), &tags), epoch)
}

fn is_gone(fences: &Fences, path: &str, epoch: Epoch) -> bool {
    judge(fences, path, &[], epoch) == Verdict::Gone
}

/// Does all sweeps there are; returns them.
fn work(fences: &Fences) -> Vec<String> {
    let mut done = Vec::new();
    while let Some(sweep) = fences.ready_sweep() {
        let pass = if sweep.first { "first" } else { "last" };
        done.push(format!("{pass} {}", sweep.span.text));
        if sweep.first {
            fences.swept(sweep.number, Swept { entries: 1, bytes: 10, shared: false });
        } else {
            fences.retire(sweep.number);
        }
    }
    done
}

#[test]
fn fence_covers_what_is_older_and_named_and_nothing_else() {
    let fences = Fences::new();
    let old = fences.enter(&key("p/q/a.jpg"));
    assert!(!is_gone(&fences, "p/q/a.jpg", old.epoch()), "no fence");
    let epoch = delete(&fences, "p/q/a*");
    assert!(is_gone(&fences, "p/q/a.jpg", old.epoch()) && is_gone(&fences, "p/q/abc", epoch - 1));
    assert!(!is_gone(&fences, "p/q/b.jpg", old.epoch()) && !is_gone(&fences, "p/q", old.epoch()));
    assert!(!is_gone(&fences, "p/q/a.jpg", epoch), "what began after it is not covered");
    assert_eq!(fences.enter(&key("p/q/a.jpg")).epoch(), epoch);
}

#[test]
fn oldest_fence_keeps_its_age_in_what_has_taken_it_over() {
    let clock = Clock::manual(1_700_000_000);
    let fences = Fences::by(clock.clone());
    let age = || fences.oldest().map(|raised| clock.now().since(raised).as_secs());
    assert_eq!(age(), None);
    let waits = fences.enter(&key("p/q/a.jpg"));
    delete(&fences, "p/q/a.jpg");
    clock.advance(Duration::from_secs(7));
    delete(&fences, "p/r/b*");
    assert_eq!(age(), Some(7));
    delete(&fences, "p/q/a*"); // It takes over the first.
    assert_eq!((fences.counts().0, age()), (2, Some(7)));
    work(&fences);
    assert_eq!((fences.counts().0, age()), (1, Some(7)), "a fetch is older than it");
    drop(waits);
    work(&fences);
    assert_eq!(age(), None);
}

#[test]
fn superseding_fetch_is_newer_than_its_own_fence_and_older_than_every_other() {
    let (fences, of) = (Fences::new(), key("p/q/a.jpg"));
    let (other, first) = (fences.enter(&of), fences.enter(&of));
    let old = first.epoch();
    let renewed = fences.supersede(first, &of).expect("no purge came");
    assert!(is_gone(&fences, "p/q/a.jpg", other.epoch()) && !is_gone(&fences, "p/q/a.jpg", renewed.epoch()));
    assert!(renewed.epoch() > old && !is_gone(&fences, "p/q/b.jpg", old));
    delete(&fences, "p/q/a*");
    assert!(is_gone(&fences, "p/q/a.jpg", renewed.epoch()), "a purge after it");
    for before in ["p/q/a.jpg", "p/q/a*", "asset p/q/a.jpg", "tag any", "everything"] {
        let first = fences.enter(&of);
        delete(&fences, before);
        let old = fences.enter(&of);
        assert!(fences.supersede(first, &of).is_none(), "{before}");
        assert!(is_gone(&fences, "p/q/a.jpg", old.epoch()), "it invalidates all the same");
    }
    let first = fences.enter(&of);
    soften(&fences, "p/q/a.jpg");
    assert!(fences.supersede(first, &of).is_none(), "what is stale from the start is not stored");
    drop((other, renewed));
    work(&fences);
    assert_eq!(fences.counts(), (0, 0));
}

#[test]
fn asset_fence_covers_every_transformation_and_version_of_it() {
    let fences = Fences::new();
    let epoch = delete(&fences, "asset p/q/tr:w-1/a.jpg?v=1");
    let spellings = ["p/q/a.jpg", "p/q/a.jpg?tr=w-9", "tr:h-1/p/q/a.jpg", "p/tr:h-1/q/tr:w-2/a.jpg?ik-s=x"];
    for path in spellings {
        assert!(is_gone(&fences, path, epoch - 1), "{path}");
        assert!(!is_gone(&fences, path, epoch), "{path}");
    }
    for path in ["p/q/a.jpg.webp", "p/q/b.jpg", "p/q", "q/a.jpg?x=/p/q/a.jpg"] {
        assert!(!is_gone(&fences, path, epoch - 1), "{path}");
    }
}

/// Which of these are gone that are older, and that nothing newer is.
fn gone_of<'a>(fences: &Fences, paths: &[&'a str], epoch: Epoch) -> Vec<&'a str> {
    for path in paths {
        assert!(!is_gone(fences, path, epoch), "{path} is newer");
    }
    paths.iter().copied().filter(|path| is_gone(fences, path, epoch - 1)).collect()
}

#[test]
fn folder_fence_covers_every_transformation_of_all_that_lies_below() {
    let fences = Fences::new();
    let epoch = delete(&fences, "folder p/tr:w-1/q");
    let inside = ["p/q/a.jpg", "p/tr:h-1/q/a.jpg?v=1", "tr:w-9/p/q/deep/a.jpg", "p/q/tr:x/a.jpg", "p/q/"];
    let outside = ["p/q", "p/qq/a.jpg", "p/a.jpg", "x/p/q/a.jpg", "p/tr:q/a.jpg", "x?y=/p/q/a.jpg"];
    assert_eq!(gone_of(&fences, &[&inside[..], &outside].concat(), epoch), inside);
}

#[test]
fn transformation_fence_covers_what_is_made_by_it_wherever_its_name_stands() {
    let fences = Fences::new();
    let epoch = delete(&fences, "transformation n-hero");
    let inside = [
        "tr:n-hero/p/a.jpg",
        "p/tr:w-1,n-hero:rt-9/a.jpg",
        "p/a.jpg?v=1&tr=w-1%3An-hero",
        "p/tr:n-x/tr:n-hero/a.jpg",
    ];
    let outside = ["p/a.jpg", "p/tr:n-heroes/a.jpg", "p/n-hero/a.jpg", "p/a.jpg?tr=n-her", "a?n-hero"];
    assert_eq!(gone_of(&fences, &[&inside[..], &outside].concat(), epoch), inside);
    let (subject, view) = (Subject::known("demo-2/tr:n-hero/p/a.jpg", Tags::NONE), fences.view());
    assert_eq!(view.judge(subject, epoch - 1), Verdict::Live, "another account's");
}

#[test]
fn pattern_fence_covers_what_it_stands_for_and_the_newest_of_several_counts() {
    let fences = Fences::new();
    let older = delete(&fences, "pattern p/*/a.jpg");
    let inside = ["p/q/a.jpg", "p/q/r/a.jpg", "p//a.jpg", "p/q?v=/a.jpg"];
    let outside = ["p/a.jpg", "p/q/a.jpg?v=1", "p/q/b.jpg", "x/p/q/a.jpg", "pp/q/a.jpg"];
    assert_eq!(gone_of(&fences, &[&inside[..], &outside].concat(), older), inside);
    let newer = delete(&fences, "pattern p/q*.jpg");
    assert!(is_gone(&fences, "p/q/a.jpg", newer - 1) && !is_gone(&fences, "p/q/a.jpg", newer));
    assert!(is_gone(&fences, "p/r/a.jpg", older - 1) && !is_gone(&fences, "p/r/a.jpg", older));
    let soft = soften(&fences, "pattern p/*/a.jpg");
    assert_eq!(judge(&fences, "p/r/a.jpg", &[], older), Verdict::Stale(soft));
}

#[test]
fn pattern_that_is_wild_at_its_end_alone_is_a_prefix() {
    let span = |text: &str| Span::of(&target(text)).remove(0);
    assert_eq!(span("pattern p/q/*"), span("p/q/*"));
    assert_eq!(span("pattern p/*/*").reach, Reach::Pattern);
}

#[test]
fn wider_newer_fence_absorbs_those_that_it_certainly_covers_and_no_others() {
    #[rustfmt::skip]
    let table = [
        // older                    newer                     one fence
        ("pattern p/q/*/a.jpg",     "p/q/*",                  true),
        ("pattern p/q*/a.jpg",      "p/q*",                   true),
        ("pattern p/q*/a.jpg",      "p/q/*",                  false),
        ("pattern p/*/a.jpg",       "p/q/*",                  false),
        ("pattern p/*/a.jpg",       "pattern p/*/a.jpg",      true),
        ("pattern p/*/a.jpg",       "pattern p/*/a.jpg*",     false),
        ("p/q/a.jpg",               "pattern p/*/a.jpg",      false),
        ("p/q/*",                   "pattern p/*/a.jpg",      false),
        ("asset p/q/a.jpg",         "folder p/q",             true),
        ("folder p/q/deep",         "folder p/q",             true),
        ("folder p/q",              "folder p/q",             true),
        ("folder p/qq",             "folder p/q",             false),
        ("folder p",                "folder p/q",             false),
        ("p/q/*",                   "folder p/q",             false),
        ("folder p/q",              "p/q/*",                  false),
        ("transformation hero",     "transformation n-hero",  true),
        ("transformation hero",     "transformation heroes",  false),
        ("transformation heroes",   "transformation hero",    false),
        ("transformation hero",     "tag hero",               false),
        ("transformation hero",     "everything",             true),
        ("pattern p/*/a.jpg",       "everything",             true),
        ("folder p/q",              "everything",             true),
    ];
    for (older, newer, absorbs) in table {
        for (of_older, of_newer) in
            [(Mode::Delete, Mode::Delete), (Mode::Stale, Mode::Delete), (Mode::Delete, Mode::Stale)]
        {
            let fences = Fences::new();
            purge(&fences, of_older, older, unheard());
            purge(&fences, of_newer, newer, unheard());
            let is_one = absorbs && (of_older, of_newer) != (Mode::Delete, Mode::Stale);
            assert_eq!(fences.counts().0 == 1, is_one, "{older} {of_older:?}, {newer} {of_newer:?}");
        }
    }
}

/// In an opaque account's keys a `*` is a byte as any: two that begin so may be folded over it. A pattern that begins
/// with the same text stands for other keys.
#[test]
fn folded_fence_with_a_star_in_its_text_absorbs_no_pattern_that_goes_further() {
    let span = |reach, text: &str| Span { order: Order::Url, reach, text: text.into() };
    let fences = Fences::new();
    let pattern = span(Reach::Pattern, "raw/a*bc");
    let other = Subject::known("raw/axbc", Tags::NONE);
    assert!(pattern.covers(other));
    fences.publish(Mode::Delete, pattern, unheard());
    let epoch = fences.publish(Mode::Delete, span(Reach::Prefix, "raw/a*b"), unheard());
    assert_eq!(fences.counts().0, 2);
    assert_eq!(fences.view().judge(other, epoch - 2), Verdict::Gone);
}

#[test]
fn patterns_fold_over_their_fixed_beginnings_and_transformations_over_their_names() {
    let fences = Fences::new();
    for at in 0..=FENCES_MAX {
        delete(&fences, &format!("pattern p/folder-{at:03}/*/a.jpg"));
    }
    assert!(fences.counts().0 <= FENCES_MAX);
    for at in 0..=FENCES_MAX {
        assert!(is_gone(&fences, &format!("p/folder-{at:03}/x/a.jpg"), at as Epoch + 1), "{at}");
    }
    let others = (0..=FENCES_MAX).filter(|at| is_gone(&fences, &format!("p/folder-{at:03}/x/b.jpg"), 1));
    assert_eq!(others.count(), 10, "two of them became the ten with one beginning");
    assert!(!is_gone(&fences, "p/folder/x/a.jpg", 1));
    work(&fences);

    let before = delete(&fences, "elsewhere.jpg");
    for at in 0..FENCES_MAX {
        delete(&fences, &format!("transformation hero-{at:03}"));
    }
    assert!(fences.counts().0 <= FENCES_MAX);
    for at in 0..FENCES_MAX {
        assert!(is_gone(&fences, &format!("tr:n-hero-{at:03}/a.jpg"), before + at as Epoch), "{at}");
    }
    assert!(is_gone(&fences, "a.jpg?tr=w-1:n-hero-00x", before), "of the two whose fences were folded");
    assert!(!is_gone(&fences, "a.jpg?tr=n-hero", before) && !is_gone(&fences, "hero-00x", before));
    work(&fences);
    assert_eq!(fences.counts().0, 0);
}

#[test]
fn fence_of_each_kind_waits_for_the_older_fetches_that_it_covers_and_no_others() {
    #[rustfmt::skip]
    let table = [
        ("folder p/q",             "p/tr:w-1/q/a.jpg",     "p/qq/a.jpg"),
        ("transformation hero",    "p/a.jpg?tr=n-hero",    "p/tr:n-heroes/a.jpg"),
        ("pattern p/*/a.jpg",      "p/q/a.jpg",            "p/q/b.jpg"),
    ];
    for (named, inside, outside) in table {
        let fences = Fences::new();
        let (covered, other) = (fences.enter(&key(inside)), fences.enter(&key(outside)));
        delete(&fences, named);
        assert_eq!(work(&fences).len(), 1, "{named}: it waits");
        drop(covered);
        assert_eq!(work(&fences).len(), 1, "{named}");
        assert_eq!(fences.counts(), (0, 1));
        drop(other);
    }
}

#[test]
fn tag_fence_covers_what_has_the_tag_and_what_may_have_it() {
    let fences = Fences::new();
    let epoch = delete(&fences, "tag summer");
    assert_eq!(judge(&fences, "p/a.jpg", &["spring", "summer"], epoch - 1), Verdict::Gone);
    for names in [&["spring"][..], &["Summer"], &[]] {
        assert_eq!(judge(&fences, "p/a.jpg", names, epoch - 1), Verdict::Live, "{names:?}");
    }
    let (key, view) = (key("p/a.jpg"), fences.view());
    let unknown = Subject { key: key.as_str(), tags: None };
    assert_eq!(view.judge(unknown, epoch - 1), Verdict::Gone, "before its head it may be of any tag");
    assert_eq!(view.judge(unknown, epoch), Verdict::Live);
    let elsewhere = Subject { key: "demo-2/p/a.jpg", tags: None };
    assert_eq!(view.judge(elsewhere, epoch - 1), Verdict::Live, "another account's");
}

#[test]
fn soft_fence_makes_stale_and_a_hard_one_removes_whichever_is_newer() {
    let fences = Fences::new();
    let soft = soften(&fences, "p/q/*");
    assert_eq!(judge(&fences, "p/q/a.jpg", &[], soft - 1), Verdict::Stale(soft));
    let hard = delete(&fences, "p/q/a.jpg");
    assert_eq!(judge(&fences, "p/q/a.jpg", &[], hard - 1), Verdict::Gone);
    assert_eq!(judge(&fences, "p/q/b.jpg", &[], soft - 1), Verdict::Stale(soft));
    let later = soften(&fences, "p/q/*");
    assert_eq!(judge(&fences, "p/q/a.jpg", &[], soft), Verdict::Gone, "a soft one absorbs no hard one");
    assert_eq!(judge(&fences, "p/q/a.jpg", &[], hard), Verdict::Stale(later));
    assert_eq!(fences.counts().0, 2, "the soft ones are one");
    delete(&fences, "p/q*");
    assert_eq!(fences.counts().0, 1, "a hard one absorbs both");
}

#[test]
fn fence_over_everything_absorbs_every_order() {
    let fences = Fences::new();
    for text in ["p/q/a.jpg", "p/q/*", "asset p/q/a.jpg", "tag summer"] {
        delete(&fences, text);
        soften(&fences, text);
    }
    let epoch = delete(&fences, "everything");
    assert_eq!(fences.counts().0, 1);
    assert!(is_gone(&fences, "anything", epoch - 1) && !is_gone(&fences, "anything", epoch));
    work(&fences);
    assert_eq!(fences.counts().0, 0);
}

#[test]
fn fence_retires_after_the_older_fetches_that_it_covers_and_no_others() {
    let fences = Fences::new();
    let covered = fences.enter(&key("p/q/a.jpg"));
    let elsewhere = fences.enter(&key("x/y/z.jpg"));
    delete(&fences, "p/q/*");
    let newer = fences.enter(&key("p/q/b.jpg"));
    assert_eq!(work(&fences), ["first demo/p/q/"]);
    assert!(is_gone(&fences, "p/q/a.jpg", covered.epoch()), "it drains, and still covers");
    drop(covered);
    assert_eq!(work(&fences), ["last demo/p/q/"]);
    assert_eq!(fences.counts(), (0, 2), "neither the other key's fetch nor the newer one held it");
    assert!(fences.view().is_clear(), "at rest a look-up reads one atomic");
    drop((elsewhere, newer));
}

#[test]
fn tag_fence_waits_for_fetches_until_their_heads_tell_their_tags() {
    let fences = Fences::new();
    let tagged = fences.enter(&key("p/a.jpg"));
    let other = fences.enter(&key("p/b.jpg"));
    let silent = fences.enter(&key("p/c.jpg"));
    other.learn(&tags(&["winter"]));
    delete(&fences, "tag summer");
    assert_eq!(work(&fences), ["first demo/summer"]);
    tagged.learn(&tags(&["summer"]));
    silent.learn(&tags(&[]));
    assert!(work(&fences).is_empty(), "one has the tag");
    drop(tagged);
    assert_eq!(work(&fences), ["last demo/summer"]);
    drop((other, silent));
}

#[test]
fn wider_newer_fence_absorbs_and_answers_for_the_absorbed() {
    let fences = Fences::new();
    let told = Arc::new(AtomicUsize::new(0));
    let caller = |expected: Swept| -> OnSwept {
        let told = told.clone();
        Box::new(move |removed| {
            assert_eq!(removed.swept, expected);
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    let shared = Swept { entries: 1, bytes: 10, shared: true };
    purge(&fences, Mode::Delete, "p/q/a.jpg", caller(shared));
    purge(&fences, Mode::Stale, "p/q/deep/*", caller(shared));
    purge(&fences, Mode::Delete, "p/q/*", caller(shared));
    purge(&fences, Mode::Delete, "p/other/*", caller(Swept { shared: false, ..shared }));
    assert_eq!(fences.counts().0, 2);
    work(&fences);
    assert_eq!(told.load(Ordering::SeqCst), 4);
}

#[test]
fn narrower_newer_fence_stands_beside_the_wider_older_one() {
    let fences = Fences::new();
    let wide = delete(&fences, "p/q/*");
    let narrow = delete(&fences, "p/q/a/*");
    assert!(is_gone(&fences, "p/q/a/x.jpg", wide) && !is_gone(&fences, "p/q/a/x.jpg", narrow));
    assert!(is_gone(&fences, "p/q/b/x.jpg", wide - 1) && !is_gone(&fences, "p/q/b/x.jpg", wide));
}

#[test]
fn figures_of_an_interrupted_sweep_are_the_absorbers() {
    let fences = Fences::new();
    delete(&fences, "p/q/a*");
    let interrupted = fences.ready_sweep().unwrap().number;
    let told = Arc::new(AtomicUsize::new(0));
    let heard = told.clone();
    let on_swept: OnSwept = Box::new(move |removed| {
        assert_eq!(removed.swept, Swept { entries: 8, bytes: 80, shared: true });
        heard.fetch_add(1, Ordering::SeqCst);
    });
    purge(&fences, Mode::Delete, "p/q/*", on_swept);
    assert!(!fences.is_alive(interrupted));
    fences.swept(interrupted, Swept { entries: 7, bytes: 70, shared: false });
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
        let on_swept: OnSwept = Box::new(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        });
        let path = format!("p{}/q{at}.jpg", at % 11);
        let text = match at % 4 {
            0 => format!("{path}*"),
            1 => format!("asset {path}"),
            _ => path,
        };
        let mode = if at % 5 == 0 { Mode::Stale } else { Mode::Delete };
        purge(&fences, mode, &text, on_swept);
        assert!(fences.counts().0 <= FENCES_MAX);
    }
    for at in 0..count {
        let verdict = judge(&fences, &format!("p{}/q{at}.jpg", at % 11), &[], at as Epoch + 1);
        let is_judged = if at % 5 == 0 { verdict != Verdict::Live } else { verdict == Verdict::Gone };
        assert!(is_judged, "{at} is {verdict:?}");
    }
    assert_eq!(judge(&fences, "somewhere/else.jpg", &[], 1), Verdict::Live, "what is far from all of them");
    work(&fences);
    assert_eq!((told.load(Ordering::SeqCst), fences.counts().0), (count, 0));
}

#[test]
fn what_has_retired_is_remembered_for_audits() {
    let fences = Fences::new();
    let wide = delete(&fences, "p/q/*");
    work(&fences);
    let soft = soften(&fences, "p/q/a.jpg");
    work(&fences);
    let (key, tags) = (key("p/q/a.jpg"), Tags::default());
    let subject = Subject::known(key.as_str(), &tags);
    let retired = fences.retired();
    assert_eq!(retired.judge(subject, wide - 1), Verdict::Gone);
    assert_eq!(retired.judge(subject, wide), Verdict::Stale(soft));
    assert_eq!(retired.judge(subject, soft), Verdict::Live);
    assert!(fences.view().is_clear());
}

/// A purge of each kind.
fn named(path: &str, kind: usize) -> String {
    let (first, last) = path.split_once('/').unwrap();
    match kind {
        0 | 1 => path.into(),
        2 => format!("{path}*"),
        3 => format!("asset {path}"),
        4 => format!("folder {first}"),
        5 => format!("transformation {last}"),
        6 => format!("pattern {first}/*{last}"),
        7 => format!("pattern {path}*/*a*"),
        _ => format!("tag {}", &path[..1]),
    }
}

proptest! {
    /// Over the cap they are folded: nothing that a purge covers is missed, whatever else is covered too.
    #[test]
    fn no_purge_is_missed_over_the_cap(
        purges in prop::collection::vec(("[a-f]{1,2}/[a-f]{1,3}", 0..9usize, any::<bool>()), 90..140),
        keys in prop::collection::vec(
            ("[a-f]{1,2}(/tr:(n-)?[a-f]{1,3},n-b)?/[a-f]{1,3}(/[a-f]a?)?([?]tr=n-[a-f])?", "[a-f]?", 0u64..140),
            60,
        ),
    ) {
        let fences = Fences::new();
        let mut plain: Vec<(Mode, Target, Epoch)> = Vec::new();
        for (path, kind, soft) in purges {
            let text = named(&path, kind);
            let mode = if soft { Mode::Stale } else { Mode::Delete };
            plain.push((mode, target(&text), purge(&fences, mode, &text, unheard())));
            prop_assert!(fences.counts().0 <= FENCES_MAX);
        }
        let view = fences.view();
        for (path, tag, epoch) in keys {
            let (key, tags) = (key(&path), tags(&[tag.as_str()][..tag.len()]));
            let verdict = view.judge(Subject::known(key.as_str(), &tags), epoch);
            for (mode, target, of) in &plain {
                if *of > epoch && target.covers(&key, &tags) {
                    let holds = match (mode, verdict) {
                        (_, Verdict::Gone) => true,
                        (Mode::Stale, Verdict::Stale(since)) => since >= *of,
                        _ => false,
                    };
                    prop_assert!(holds, "{} ({:?}) over {}: {:?}", target, mode, key, verdict);
                }
            }
        }
    }

    /// What one span certainly contains, it covers.
    #[test]
    fn a_span_covers_what_one_covers_that_it_contains(
        wide in ("[ab]{0,2}/[ab]{0,2}", 0..12usize),
        narrow in ("[ab]{0,2}/[ab*]{0,3}", 0..12usize),
        keys in prop::collection::vec("[ab*]{0,2}(/tr:n-[ab]{1,2})?/[ab*]{0,3}", 20),
    ) {
        let span = |(text, at): (String, usize)| Span {
            order: Order::ALL[at % Order::ALL.len()],
            reach: match at / Order::ALL.len() {
                0 => Reach::Exact,
                2 if at % Order::ALL.len() == Order::Url as usize => Reach::Pattern,
                _ => Reach::Prefix,
            },
            text: text.into(),
        };
        let (wide, narrow) = (span(wide), span(narrow));
        for key in keys {
            let subject = Subject::known(&key, Tags::NONE);
            if wide.contains(&narrow) && narrow.covers(subject) {
                prop_assert!(wide.covers(subject), "{:?} {:?} {}", wide, narrow, key);
            }
        }
    }

    /// The snapshot answers as the plain list of purges would.
    #[test]
    fn verdicts_are_those_of_the_plain_list_of_purges_below_the_cap(
        purges in prop::collection::vec(("[ab]{1,2}/[ab]{1,3}", 0..9usize, any::<bool>()), 0..60),
        keys in prop::collection::vec(
            ("[ab]{1,2}(/tr:(n-)?[ab],n-b)?/[ab]{1,3}(/[ab])?([?]tr=n-[ab])?", "[ab]?", 0u64..65),
            0..40,
        ),
    ) {
        let fences = Fences::new();
        let mut plain: Vec<(Mode, Target, Epoch)> = Vec::new();
        for (path, kind, soft) in purges {
            let text = named(&path, kind);
            let mode = if soft { Mode::Stale } else { Mode::Delete };
            plain.push((mode, target(&text), purge(&fences, mode, &text, unheard())));
        }
        let view = fences.view();
        for (path, tag, epoch) in keys {
            let (key, tags) = (key(&path), tags(&[tag.as_str()][..tag.len()]));
            let newest = |wanted: Mode| plain.iter().filter(|(mode, target, of)| {
                *mode == wanted && target.covers(&key, &tags) && *of > epoch
            }).map(|(.., of)| *of).max();
            let expected = match (newest(Mode::Delete), newest(Mode::Stale)) {
                (Some(_), _) => Verdict::Gone,
                (None, Some(soft)) => Verdict::Stale(soft),
                (None, None) => Verdict::Live,
            };
            let verdict = view.judge(Subject::known(key.as_str(), &tags), epoch);
            prop_assert_eq!(verdict, expected, "{} {:?} at {}", key, tags, epoch);
        }
    }
}
