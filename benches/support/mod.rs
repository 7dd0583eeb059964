//! What the benches share: a cache filled as the proxy fills it, and what the process takes.

#![allow(dead_code)] // Each bench compiles it, and uses a part of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use freshet::cache::{Cache, Commit, Head, Join, Landing};
use freshet::config::{self, Config, Sources};
use freshet::key::{Endpoints, Key};
use freshet::semantics::policy::Policy;
use freshet::semantics::{self, Fill, RequestFacts};
use freshet::target::Tags;
use http::{HeaderMap, Method, StatusCode};

/// Stores a response under `key`, by all the steps of a fetch that went well.
pub fn fill(cache: &Cache, key: &Key, plan: &Fill, piece: &Bytes) {
    let fields = HeaderMap::new();
    let Join::Lead(mut lead, reader) = cache.join(key, &fields, false) else { panic!("nobody else fetches") };
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
    let mut filing = cache.filing(lead.body());
    while filing.step() {}
    let variant = cache.variant(&lead, StatusCode::OK, plan, Tags::default(), filing.finish(), cache.now());
    assert_eq!(cache.commit(&lead, variant), Commit::Stored);
    lead.show();
    lead.finish(Ok(()));
    drop(reader);
}

/// What is to be stored of [`response`].
pub fn plan(response: &HeaderMap) -> Fill {
    let fields = HeaderMap::new();
    let request = RequestFacts { method: &Method::GET, headers: &fields };
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    semantics::plan(&request, StatusCode::OK, response, &Policy::image(), at, Duration::ZERO)
        .expect("it is storable")
}

/// One account, `a`, at `http://img.test`, whose origin is never reached.
pub fn config() -> Config {
    let text = "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
                url_endpoints = [\"http://img.test\"]\norigin = \"http://127.0.0.1:9\"\n";
    let sources = Sources { variable: &|_| None, folder: std::path::Path::new("/"), cores: 1 };
    config::parse(text, "the bench's config", &sources).expect("it is valid")
}

/// Its URLs.
pub fn endpoints() -> Endpoints {
    Endpoints::new(&config().accounts)
}

/// The fields of a usual image origin.
pub fn response() -> HeaderMap {
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

/// Bytes of the process that are in memory, without the file of large bodies ([`Cache::file_bytes`]).
pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = status.split(' ').nth(1).expect("two numbers").parse().expect("a number");
    pages * 4096
}
