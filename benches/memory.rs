//! What a stored entry really takes, against what the store counts for it.
//!
//! Goal: `cache.max_bytes` is what the process takes. For several shapes of entry this fills a cache below
//! its bound, and divides the growth of the resident set and of the memory file by the entries, beside the weight counted for them.
//! No goal: speed. Run: `cargo bench --bench memory`. Once under `cargo test --benches`, with few entries.

mod support;

use bytes::Bytes;
use freshet::cache::Cache;
use freshet::clock::Clock;
use support::{endpoints, fill, plan, resident_bytes, response};

/// Chosen by measurement: an entry takes less with it (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    if let Ok(shape) = std::env::var("FRESHET_MEMORY_SHAPE") {
        let (body, entries) = shape.split_once(' ').expect("two numbers");
        return measure(body.parse().expect("a number"), entries.parse().expect("a number"));
    }
    let real = std::env::args().any(|argument| argument == "--bench");
    println!(
        "{:>10} {:>10} {:>10} {:>12} {:>12} {:>7}",
        "body", "key", "entries", "bytes/entry", "counted", "ratio"
    );
    for (body, entries) in [(64, 400_000), (1 << 10, 400_000), (20 << 10, 40_000), (300 << 10, 3_000)] {
        let entries = if real { entries } else { 200 };
        // A process of its own for each shape: what one leaves in the allocator is not the next one's.
        let output = std::process::Command::new(std::env::current_exe().expect("it runs"))
            .env("FRESHET_MEMORY_SHAPE", format!("{body} {entries}"))
            .output()
            .expect("it starts again");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{}", text.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
    }
}

fn measure(body: usize, entries: usize) {
    let cache = Cache::new(1 << 34, Clock::system());
    let endpoints = endpoints();
    let plan = plan(&response());
    let piece = Bytes::from(vec![7; body]);
    let before = resident_bytes();
    let mut key_bytes = 0;
    for at in 0..entries {
        let url =
            format!("http://img.test/photos/{:04}/some-picture-{at:09}.jpg?tr=w-300,h-200,q-80", at % 1000);
        let key = endpoints.parse_url(&url).expect("a valid URL").key;
        key_bytes = key.as_str().len();
        fill(&cache, &key, &plan, &piece);
    }
    cache.settle();
    let figures = cache.figures();
    assert_eq!(figures.entries, entries as u64);
    let real = (resident_bytes() - before) as u64 + figures.file_bytes;
    let real = real as f64 / entries as f64;
    let counted = figures.bytes as f64 / entries as f64;
    println!("{body:>10} {key_bytes:>10} {entries:>10} {real:>12.0} {counted:>12.0} {:>7.3}", counted / real);
}
