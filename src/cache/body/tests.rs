//! Where bodies are stored, and that nobody who reads one can tell.

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::super::model::{fields, key, planned};
use super::super::{Cache, Commit, Lookup, Variant};
use super::*;
use crate::clock::Clock;
use crate::key::examples::DEMO;
use crate::limits::CHUNK_BYTES;
use crate::target::Tags;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}

/// In pieces, as a flight has them.
fn body(length: usize) -> Body {
    Body::new(bytes(length).chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect())
}

fn filed(body: Body, pages: &Arc<Pages>) -> Body {
    let mut filing = Filing::of(body, pages);
    while filing.step() {}
    filing.finish()
}

fn read(body: &Body, range: Range<u64>) -> Vec<u8> {
    let (mut range, mut bookmark) = (range, Bookmark::default());
    let mut read = Vec::new();
    while let Some(bytes) = body.next(&mut range, &mut bookmark) {
        let bytes = bytes.unwrap();
        assert!(!bytes.is_empty() && bytes.len() <= CHUNK_BYTES);
        read.extend_from_slice(&bytes);
    }
    read
}

#[test]
fn a_body_at_the_bound_is_in_the_file_and_one_below_it_is_in_the_heap() {
    let pages = Pages::new();
    let bound = PAGED_BODY_BYTES_MIN as usize;
    for (length, is_filed) in
        [(0, false), (1, false), (bound - 1, false), (bound, true), (3 * CHUNK_BYTES, true)]
    {
        let body = filed(body(length), &pages);
        assert_eq!(body.extent().is_some(), is_filed, "{length}");
        assert_eq!((body.bytes(), read(&body, 0..length as u64)), (length as u64, bytes(length)), "{length}");
        assert_eq!(pages.real_bytes() > 0, is_filed, "{length}");
    }
    assert_eq!(pages.real_bytes(), 0);
}

#[test]
fn a_body_is_filed_once_and_its_clones_share_the_extent() {
    let pages = Pages::new();
    let first = filed(body(100_000), &pages);
    let (clone, again) = (first.clone(), filed(first.clone(), &pages));
    let place = |body: &Body| body.extent().unwrap().start();
    assert_eq!((place(&clone), place(&again)), (place(&first), place(&first)));
    drop((first, clone));
    assert!(pages.real_bytes() >= 100_000);
    drop(again);
    assert_eq!(pages.real_bytes(), 0);
}

#[test]
fn a_part_keeps_its_place_in_the_whole() {
    let pages = Pages::new();
    let part = Part { range: 500..100_500, complete: 1_000_000 };
    for body in [body(100_000), filed(body(100_000), &pages)] {
        let body = filed(body.placed(part.clone()), &pages);
        assert_eq!((body.part(), body.complete_bytes()), (Some(&part), 1_000_000));
        assert!(body.extent().is_some() && read(&body, 0..100_000) == bytes(100_000));
    }
}

#[test]
fn without_a_file_or_where_it_takes_nothing_a_body_stays_in_the_heap() {
    let full = Pages::new();
    {
        let extent = full.store(&[Bytes::from_static(b"x")]).unwrap();
        rustix::fs::fcntl_add_seals(extent.file(), rustix::fs::SealFlags::WRITE).expect("it can be sealed");
    }
    for pages in [Pages::none(), full] {
        let body = filed(body(3 * CHUNK_BYTES), &pages);
        assert!(body.extent().is_none());
        assert_eq!(read(&body, 0..body.bytes()), bytes(3 * CHUNK_BYTES));
    }
}

#[test]
fn the_weight_is_what_the_file_takes_and_a_little_more() {
    let pages = Pages::new();
    for length in [65_536, 65_537, 300 * 1024, 5 * CHUNK_BYTES + 1] {
        let body = filed(body(length), &pages);
        let (real, counted) = (pages.real_bytes() as usize, body.weight());
        assert!((real + 600..real + 1024).contains(&counted), "{length}: {counted} for {real}");
    }
}

#[test]
fn a_mark_ahead_of_its_range_is_no_hindrance() {
    let body = body(2 * CHUNK_BYTES);
    let mut bookmark = Bookmark::default();
    for from in [CHUNK_BYTES as u64 + 7, 3] {
        let first = body.next(&mut (from..from + 10), &mut bookmark).unwrap().unwrap();
        assert_eq!(first, bytes(2 * CHUNK_BYTES)[from as usize..][..10]);
    }
}

proptest! {
    /// Ranges across the borders of pieces and of reads.
    #[test]
    fn whoever_reads_a_range_can_not_tell_where_it_is(
        length in (PAGED_BODY_BYTES_MIN as usize)..4 * CHUNK_BYTES,
        from in any::<usize>(),
        to in any::<usize>(),
    ) {
        let (heap, file) = (body(length), filed(body(length), &Pages::new()));
        let (from, to) = (from % (length + 1), to % (length + 1));
        let range = from.min(to) as u64..from.max(to) as u64;
        let expected = &bytes(length)[range.start as usize..range.end as usize];
        prop_assert!(read(&heap, range.clone()) == expected && read(&file, range) == expected);
    }
}

/// Stores a body as a fetch does.
fn store(cache: &Cache, clock: &Clock, path: &str, body: Body) -> Arc<Variant> {
    let (mut lead, _) = cache.fetch_alone(&key(DEMO, path), &fields(0));
    lead.learn(Tags::default());
    let mut filing = cache.filing(body);
    while filing.step() {}
    let fill = planned(&fields(0), true, clock);
    let variant = cache.variant(&lead, StatusCode::OK, &fill, Tags::default(), filing.finish(), clock.now());
    assert_eq!(cache.commit(&lead, variant.clone()), Commit::Stored);
    variant
}

/// The map lets go of what has left it a moment later.
fn wait_until_file_has(cache: &Cache, bytes: u64) {
    for _ in 0..1000 {
        cache.settle();
        if cache.figures().file_bytes == bytes {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the file has {} bytes, not {bytes}", cache.figures().file_bytes);
}

#[test]
fn what_leaves_the_store_leaves_the_file_and_the_store_keeps_its_bound() {
    let clock = Clock::manual(1_700_000_000);
    let cache = Cache::new(4 << 20, clock.clone());
    for number in 0..100 {
        store(&cache, &clock, &format!("/{number}.png"), body(200 * 1024));
    }
    cache.settle();
    let figures = cache.figures();
    assert!(figures.entries >= 10 && figures.bytes <= 4 << 20, "{figures:?}");
    wait_until_file_has(&cache, figures.entries * 200 * 1024);
    cache.shed(u64::MAX);
    wait_until_file_has(&cache, 0);
}

#[test]
fn a_renewal_keeps_the_extent() {
    let clock = Clock::manual(1_700_000_000);
    let cache = Cache::new(4 << 20, clock.clone());
    let first = store(&cache, &clock, "/a.png", body(200 * 1024));
    let renewed = store(&cache, &clock, "/a.png", first.body().clone());
    assert_eq!(renewed.body().extent().unwrap().start(), first.body().extent().unwrap().start());
    assert_eq!(cache.figures().file_bytes, 200 * 1024);
    drop(first);
    assert_eq!(read(renewed.body(), 0..200 * 1024), bytes(200 * 1024));
}

#[test]
fn a_body_that_can_not_be_read_answers_nobody_and_is_fetched_again() {
    let clock = Clock::manual(1_700_000_000);
    let cache = Cache::new(4 << 20, clock.clone());
    let look_up = || cache.look_up(&key(DEMO, "/a.png"), &fields(0));
    let lost = store(&cache, &clock, "/a.png", body(200 * 1024));
    assert!(matches!(look_up(), Lookup::Found(_)));
    lost.body().extent().unwrap().file().set_len(0).unwrap();
    assert!(lost.body().read().next().unwrap().is_err());
    assert!(matches!(look_up(), Lookup::Absent));
    store(&cache, &clock, "/a.png", body(100));
    let Lookup::Found(found) = look_up() else { panic!("it is stored anew") };
    assert_eq!(found.body().bytes(), 100);
}

#[test]
fn a_cache_without_a_file_stores_large_bodies_all_the_same() {
    let clock = Clock::manual(1_700_000_000);
    let cache = Cache::with(Pages::none(), 1, 4 << 20, clock.clone());
    store(&cache, &clock, "/a.png", body(200 * 1024));
    let Lookup::Found(found) = cache.look_up(&key(DEMO, "/a.png"), &fields(0)) else {
        panic!("it is stored")
    };
    assert_eq!((read(found.body(), 0..200 * 1024), cache.figures().file_bytes), (bytes(200 * 1024), 0));
}
