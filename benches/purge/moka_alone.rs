//! What a user of moka would do for a prefix: its predicate, or a walk over all keys. A plain cache of the same keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Figure;
use crate::support;
use crate::world::{MATCHES, url};

/// How long what is left is waited for.
const GIVE_UP: Duration = Duration::from_secs(10);

type Moka = moka::sync::Cache<Arc<str>, Arc<[u8]>, ahash::RandomState>;

pub fn figures(entries: usize) -> Vec<Figure> {
    let matches =
        MATCHES.into_iter().rev().find(|matches| *matches <= 100_000.min(entries / 2)).expect("a small one");
    let endpoints = support::endpoints();
    let key =
        |at: usize| -> Arc<str> { endpoints.parse_url(&url(at)).expect("a valid URL").key.as_str().into() };
    let moka: Moka = moka::sync::Cache::builder()
        .max_capacity(1 << 36)
        .support_invalidation_closures()
        .build_with_hasher(ahash::RandomState::new());
    let fill = |range: std::ops::Range<usize>| {
        range.for_each(|at| moka.insert(key(at), Arc::from([7; 64].as_slice())));
        moka.run_pending_tasks();
    };
    fill(0..entries);
    // All keys of the first `matches` entries begin alike, and no other one does.
    let folders = &url(0)["http://img.test/".len()..];
    let depth = MATCHES.iter().rev().position(|step| *step == matches).expect("it is one of them");
    let mut slashes = folders.match_indices('/').map(|(at, _)| at);
    let beginning = format!("a/{}", &folders[..=slashes.nth(depth + 1).expect("a folder")]);
    let is_named = |key: &Arc<str>| key.starts_with(&beginning);
    let named = moka.iter().filter(|(key, _)| is_named(key)).count();

    let start = Instant::now();
    for (key, _) in moka.iter() {
        if is_named(&key) {
            moka.invalidate(&*key);
        }
    }
    let walk = start.elapsed();
    assert_eq!(moka.iter().filter(|(key, _)| is_named(key)).count(), 0);

    assert_eq!(named, matches);
    fill(0..matches);
    let hit = hit_time(&moka, &key(entries - 1));
    let own = beginning.clone();
    let start = Instant::now();
    moka.invalidate_entries_if(move |key, _| key.starts_with(&own)).expect("it is supported");
    let call = start.elapsed();
    let pending = hit_time(&moka, &key(entries - 1));
    let mut left = named;
    while start.elapsed() < GIVE_UP {
        moka.run_pending_tasks();
        left = moka.iter().filter(|(key, _)| is_named(key)).count();
        if left == 0 {
            break;
        }
    }
    let gone = start.elapsed();
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    vec![
        Figure::told(&format!("moka alone: walk over all keys, {named} removed, ms until visible"), ms(walk)),
        Figure::told(
            "moka alone: `invalidate_entries_if`, µs for the call",
            format!("{:.1}", call.as_secs_f64() * 1e6),
        ),
        Figure::told(
            "the same, a get before it and while it is pending, µs",
            format!("{hit:.1} and {pending:.1}"),
        ),
        Figure::told(
            "the same, ms until all are gone (and how many of them are left for good)",
            format!("{} ({left})", ms(gone)),
        ),
    ]
}

/// Microseconds of a get of one key.
fn hit_time(moka: &Moka, key: &Arc<str>) -> f64 {
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(moka.get(key).is_some());
    }
    start.elapsed().as_secs_f64() * 1e6 / 1000.0
}
