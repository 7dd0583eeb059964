//! What a stored entry really takes, against what the store counts for it.
//!
//! Goal: `cache.max_bytes` is what the process takes. For several shapes of entry this fills a cache below
//! its bound, and divides the growth of the resident set by the entries, beside the weight counted for them.
//! No goal: speed. Run: `cargo bench --bench memory`. Once under `cargo test --benches`, with few entries.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use freshet::cache::{Cache, Commit, Head, Join, Landing};
use freshet::clock::Clock;
use freshet::config::{self, Sources};
use freshet::key::Endpoints;
use freshet::semantics::policy::Policy;
use freshet::semantics::{self, RequestFacts};
use freshet::target::Tags;
use http::{HeaderMap, Method, StatusCode};

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
    let response = response();
    let piece = Bytes::from(vec![7; body]);
    let before = resident_bytes();
    let mut key_bytes = 0;
    for at in 0..entries {
        let url =
            format!("http://img.test/photos/{:04}/some-picture-{at:09}.jpg?tr=w-300,h-200,q-80", at % 1000);
        let key = endpoints.parse_url(&url).expect("a valid URL").key;
        key_bytes = key.as_str().len();
        fill(&cache, &key, &response, &piece);
    }
    cache.settle();
    let figures = cache.figures();
    assert_eq!(figures.entries, entries as u64);
    let real = (resident_bytes() - before) as f64 / entries as f64;
    let counted = figures.bytes as f64 / entries as f64;
    println!("{body:>10} {key_bytes:>10} {entries:>10} {real:>12.0} {counted:>12.0} {:>7.3}", counted / real);
}

fn fill(cache: &Cache, key: &freshet::key::Key, response: &HeaderMap, piece: &Bytes) {
    let fields = HeaderMap::new();
    let Join::Lead(mut lead, reader) = cache.join(key, &fields, false) else { panic!("nobody else fetches") };
    let request = RequestFacts { method: &Method::GET, headers: &fields };
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let plan = semantics::plan(&request, StatusCode::OK, response, &Policy::image(), at, Duration::ZERO)
        .expect("it is storable");
    lead.learn(Tags::default());
    lead.land(Landing::Shared(Arc::new(Head {
        status: StatusCode::OK,
        origin_status: StatusCode::OK,
        fields: plan.fields.clone(),
        bytes: Some(piece.len() as u64),
        selection: plan.selection.clone(),
        age: 0,
        ttl: None,
        withheld: HeaderMap::new(),
        part: None,
        stored: true,
    })));
    lead.append(piece.clone());
    let variant = cache.variant(&lead, StatusCode::OK, &plan, Tags::default(), lead.body(), cache.now());
    assert_eq!(cache.commit(&lead, variant), Commit::Stored);
    lead.show();
    lead.finish(Ok(()));
    drop(reader);
}

fn endpoints() -> Endpoints {
    let text = "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
                url_endpoints = [\"http://img.test\"]\norigin = \"demo\"\n";
    let sources = Sources { variable: &|_| None, folder: std::path::Path::new("/"), cores: 1 };
    Endpoints::new(&config::parse(text, "the bench's config", &sources).expect("it is valid").accounts)
}

/// The fields of a usual image origin.
fn response() -> HeaderMap {
    let mut fields = HeaderMap::new();
    let pairs: [(&'static str, String); 6] = [
        ("content-type", "image/jpeg".into()),
        ("cache-control", "public, max-age=31536000".into()),
        ("etag", "\"5f3a-60d5ec49b2a1c\"".into()),
        ("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT".into()),
        ("date", httpdate::fmt_http_date(SystemTime::now())),
        ("content-length", "1".into()),
    ];
    for (name, value) in pairs {
        fields.insert(name, http::HeaderValue::from_str(&value).expect("visible ASCII"));
    }
    fields
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = status.split(' ').nth(1).expect("two numbers").parse().expect("a number");
    pages * 4096
}
