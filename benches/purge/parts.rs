//! Parts alone: the check of the fences, the index in several shapes of URL, and what each block takes in memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet::cache::parts::{FencesAlone, IndexAlone, MapAlone, ResourceAlone};
use freshet::cache::{Body, Cache};
use freshet::clock::Clock;
use freshet::key::{Endpoints, Key};
use freshet::limits::FENCES_MAX;
use freshet::target::{Mode, Tag, Tags, Target, Transformation};
use http::{HeaderMap, StatusCode};

use crate::Figure;
use crate::support::{self, resident_bytes};
use crate::world::{World, median, micros, thread_time, url};

/// What the fences of a row are over.
#[derive(Clone, Copy)]
enum Of {
    Prefixes,
    Transformations,
    /// That begin as the entries do, and end in a `*`: each is looked for in the whole key.
    Patterns,
    All,
}

/// The check alone, of an entry older than every fence that none of them names: it is asked everything.
pub fn check() -> Vec<Figure> {
    let endpoints = support::endpoints();
    let target = |url: String| Target::parse(&url, 0, &endpoints).expect("it is eligible");
    let prefix = |at: usize| target(format!("http://img.test/photographs/m000/l0/k0/c{at:02}/other-*"));
    let tag = |name: &str| Tag::new("a", name).expect("a valid name");
    let tags = Tags::new(["harbour", "summer", "2024"].map(tag)).expect("few");
    let pattern = |at: usize| {
        let url = format!("http://img.test/photographs/*/c{at:02}/*/other-*.jpg?tr=*");
        Target::parse_pattern(&url, 0, &endpoints).expect("it is eligible")
    };
    let named = |at: usize| {
        Target::Transformation(Transformation::new("a", &format!("n-{at}")).expect("a valid name"))
    };
    let rows = [
        ("0", Of::Prefixes, 0, 5.0),
        ("1", Of::Prefixes, 1, 50.0),
        ("100", Of::Prefixes, 100, 150.0),
        ("100 over transformations,", Of::Transformations, 100, 150.0),
        ("1 over a pattern,", Of::Patterns, 1, 150.0),
        ("100 over patterns,", Of::Patterns, 100, 10_000.0),
        ("of all kinds, at the cap,", Of::All, FENCES_MAX, 250.0),
    ];
    rows.map(|(words, of, count, most)| {
        let fences = FencesAlone::default();
        for at in 0..count {
            // Hard and soft, by prefix, URL, asset and tag: most lists of the snapshot have some.
            let mode = if at % 2 == 0 { Mode::Delete } else { Mode::Stale };
            let image = format!("http://img.test/photographs/m000/l0/k0/c{at:02}/other.jpg?tr=w-{at}");
            match (of, at / 2 % 4) {
                (Of::Prefixes, _) => fences.publish(&prefix(at), Mode::Delete),
                (Of::Transformations, _) => fences.publish(&named(at), Mode::Delete),
                (Of::Patterns, _) => fences.publish(&pattern(at), Mode::Delete),
                (Of::All, 0) => fences.publish(&prefix(at), mode),
                (Of::All, 1) => fences.publish(&target(image), mode),
                (Of::All, 2) => {
                    fences.publish(&Target::parse_asset(&image, 0, &endpoints).expect("an image"), mode);
                }
                (Of::All, _) => fences.publish(&Target::Tag(tag(&format!("season-{at}"))), mode),
            }
        }
        assert_eq!(fences.alive(), count);
        let keys: Vec<Key> = (0..100).map(|at| key(&endpoints, &url(at * 100))).collect();
        let mut times: Vec<f64> = (0..101)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..50 {
                    for key in &keys {
                        assert!(!fences.cover(black_box(key), black_box(&tags)));
                    }
                }
                start.elapsed().as_secs_f64() * 1e9 / (50 * keys.len()) as f64
            })
            .collect();
        let name = format!("the fence check alone, {words} fences alive, ns");
        Figure::at_most(&name, "ns", most, median(&mut times), 1)
    })
    .into()
}

fn key(endpoints: &Endpoints, url: &str) -> Key {
    endpoints.parse_url(url).expect("a valid URL").key
}

/// Insertion into both orders where `entries` stand already, and what they take there.
pub fn index(shape: &str, entries: usize) -> Vec<Figure> {
    let endpoints = support::endpoints();
    let further = (entries / 10).clamp(100, 100_000);
    let url = |at: usize| match shape {
        "flat" => {
            format!("http://img.test/photographs/one-folder-of-all-pictures-{at:010}.jpg?tr=w-300,h-200,q-80")
        }
        "folders" => {
            format!("http://img.test/photographs/a-folder-each-{at:010}/the-picture.jpg?tr=w-300,h-200,q-80")
        }
        "path" => {
            format!("http://img.test/photographs/tr:w-300,h-200,q-80/the-pictures-{at:010}/a-picture.jpg")
        }
        _ => {
            format!("http://img.test/tr:w-300,h-200/photographs/tr:q-80/the-pictures-{at:010}/a-picture.jpg")
        }
    };
    // In no order, as requests come: a step that has no common divisor with their number meets each once.
    let all = entries + further;
    let step = (all as f64 * 0.618) as usize | 1;
    let step = (step..).find(|step| divisor(*step, all) == 1).expect("a prime comes");
    let resources: Vec<ResourceAlone> = (0..all)
        .map(|at| ResourceAlone::new(at as u64, &key(&endpoints, &url(at * step % all)), None))
        .collect();
    let index = IndexAlone::default();
    let before = resident_bytes();
    resources[..entries].iter().for_each(|resource| index.add(resource));
    let bytes = (resident_bytes() - before) as f64 / entries as f64;
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = thread_time(None);
            resources[entries..].iter().for_each(|resource| index.add(resource));
            let took = thread_time(None) - start;
            resources[entries..].iter().for_each(|resource| index.remove(resource));
            took.as_secs_f64() * 1e6 / further as f64
        })
        .collect();
    let words = match shape {
        "flat" => "a flat folder",
        "folders" => "a folder for each key",
        "path" => "`tr:` in the path",
        _ => "two runs of `tr:`",
    };
    vec![
        Figure::at_most(
            &format!("index: insertion into both orders, {words}, µs"),
            "µs",
            6.0,
            median(&mut times),
            1,
        ),
        Figure::at_most(&format!("index: bytes an entry in both orders, {words}"), "bytes", 40.0, bytes, 1),
    ]
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// What an entry takes beside its fields' values and its body, and the parts of that which are ours.
pub fn memory(entries: usize) -> Vec<Figure> {
    let response = support::plan(&support::response());
    let stored = response.fields.values().map(|value| value.len()).sum::<usize>() + 64;
    let before = resident_bytes();
    let world = World::new(entries);
    let whole = (resident_bytes() - before) as f64 / entries as f64 - stored as f64;
    let counted = world.cache.figures().bytes as f64 / entries as f64 - stored as f64;

    let cache = Cache::new(1 << 20, Clock::system());
    let key_bytes = world.key(&url(0)).as_str().len();
    let (mut lead, _reader) = cache.fetch_alone(&world.key(&url(0)), &HeaderMap::new());
    lead.learn(Tags::default());
    let mut variants = Vec::with_capacity(entries);
    variants.resize(1, variant(&cache, &lead, &response));
    let before = resident_bytes();
    variants.extend((1..entries).map(|_| variant(&cache, &lead, &response)));
    let variant_bytes = (resident_bytes() - before) as f64 / entries as f64 - stored as f64;
    // The vector's own pages are touched for the first time here too.
    let variant_bytes = variant_bytes - size_of::<Arc<freshet::cache::Variant>>() as f64;

    let keys: Vec<Key> = (0..entries).map(|at| world.key(&url(at))).collect();
    let before = resident_bytes();
    let resources: Vec<ResourceAlone> =
        (keys.iter().zip(variants)).map(|(key, variant)| ResourceAlone::new(1, key, Some(variant))).collect();
    let resource_bytes = (resident_bytes() - before) as f64 / entries as f64 - size_of::<usize>() as f64;
    drop(resources);
    let name = format!("bytes an entry beside its fields' values and its body, with its key of {key_bytes}");
    vec![
        Figure::at_most(&name, "bytes", 520.0, whole, 0),
        Figure::told("of these counted as its weight", format!("{counted:.0}")),
        Figure::told("of these the resource block, with the key", format!("{resource_bytes:.0}")),
        Figure::told("of these the variant's blocks", format!("{variant_bytes:.0}")),
    ]
}

fn variant(
    cache: &Cache,
    lead: &freshet::cache::Lead,
    response: &freshet::semantics::Fill,
) -> Arc<freshet::cache::Variant> {
    let body = Body::new(vec![Bytes::from(vec![7; 64])]);
    cache.variant(lead, StatusCode::OK, response, Tags::default(), body, cache.now())
}

/// The map alone, where a third of its entries are removed: whoever removes one now and then builds a table of moka's
/// anew, and who looks for a key in that table meanwhile waits.
pub fn map(entries: usize) -> Vec<Figure> {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let endpoints = support::endpoints();
    let resource = |at: usize| {
        let key = endpoints.parse_url(&url(at)).expect("a valid URL").key;
        (hasher.hash_one(key.as_str()), ResourceAlone::new(at as u64, &key, None))
    };
    let in_parts = |parts: usize| {
        let map = MapAlone::new(parts);
        (0..entries).map(resource).for_each(|(hash, resource)| map.insert(hash, &resource));
        let hashes: Vec<u64> = (0..entries / 3).map(|at| resource(at).0).collect();
        let timed = |hash| {
            let start = Instant::now();
            map.remove(hash);
            start.elapsed()
        };
        let times: Vec<Duration> = hashes.into_iter().map(timed).collect();
        let slow = times.iter().filter(|time| time.as_millis() >= 1);
        let slowest = times.iter().max().expect("there are some").as_secs_f64() * 1e3;
        let mean = micros(times.iter().sum()) / times.len() as f64;
        let value = format!("{mean:.1} µs; {} of over 1 ms; {slowest:.2} ms", slow.count());
        Figure::told(
            &format!("the map in {parts} parts, a third removed: mean; slow ones; the slowest"),
            value,
        )
    };
    [1, 4, 16].map(in_parts).into()
}

/// What moka itself takes for a hash and a handle.
pub fn moka_memory(entries: usize) -> Vec<Figure> {
    let value = Arc::new(());
    let before = resident_bytes();
    let moka: moka::sync::Cache<u64, Arc<()>, ahash::RandomState> = moka::sync::Cache::builder()
        .max_capacity(1 << 36)
        .weigher(|_, _| 600)
        .eviction_listener(|_, _, _| {})
        .build_with_hasher(ahash::RandomState::new());
    (0..entries as u64).for_each(|at| moka.insert(at, value.clone()));
    moka.run_pending_tasks();
    let bytes = (resident_bytes() - before) as f64 / entries as f64;
    vec![Figure::told("of these moka's own", format!("{bytes:.0}"))]
}
