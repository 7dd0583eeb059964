//! What holds for whatever a client or an origin sends: one function for each fuzz target. `scripts/fuzz` searches for
//! input that breaks one; `tests/suite/corpus.rs` feeds what is in `corpus/` to the same functions in every test run.
//!
//! That nothing panics is the least of it; each function says what more it asserts.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshet::config::{self, Config, Sources};
use freshet::key::Endpoints;
use freshet::limits::{KEY_BYTES_MAX, RANGES_MAX, SELECTION_BYTES_MAX, TARGET_BYTES_MAX};
use freshet::proxy::gate;
use freshet::semantics::cache_control::{RequestDirectives, ResponseDirectives, Scope};
use freshet::semantics::conditional::Validators;
use freshet::semantics::freshness::{State, Stated};
use freshet::semantics::policy::Policy;
use freshet::semantics::range::{self, Part, Selected};
use freshet::semantics::vary::Selection;
use freshet::semantics::{self, RequestFacts, date};
use freshet::target::{Tags, Target};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// A property, fed with arbitrary bytes.
pub type Property = fn(&[u8]);

/// Every property, by the name of its target and of its folder in `corpus/`.
pub const PROPERTIES: [(&str, Property); 7] = [
    ("key", key),
    ("cache_control", cache_control),
    ("range", range),
    ("vary", vary),
    ("date", date),
    ("structured", structured),
    ("gate", gate),
];

/// Nothing is told apart beyond it (RFC 9111 §1.2.2).
const SECONDS_MAX: Duration = Duration::from_secs(1 << 31);

/// Aliases, a neighbour whose name begins alike, an endpoint inside another, opaque URLs, ignored parameters.
const CONFIG: &str = r#"
[[accounts]]
id = "demo"
private_keys = ["private_demo_0123456789"]
url_endpoints = ["http://img.test/demo", "https://cdn.test"]
origin = "http://127.0.0.1:9"
[[accounts]]
id = "demo-2"
private_keys = ["private_demo2_0123456789"]
url_endpoints = ["http://img.test/demo-2", "http://cdn.test/in/side"]
origin = "http://127.0.0.1:9"
[[accounts]]
id = "raw"
private_keys = ["private_raw_0123456789"]
url_endpoints = ["http://raw.test"]
origin = "http://127.0.0.1:9"
urls = "opaque"
[[routes]]
match = "^/cut/"
ignore_query = ["utm_*", "fbclid"]
"#;

fn endpoints() -> &'static (Config, Endpoints) {
    static ENDPOINTS: OnceLock<(Config, Endpoints)> = OnceLock::new();
    ENDPOINTS.get_or_init(|| {
        let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        let config =
            config::parse(CONFIG, "the config above", &sources).unwrap_or_else(|error| panic!("{error}"));
        let endpoints = Endpoints::with_routes(&config.accounts, &config.routes);
        (config, endpoints)
    })
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// The lines of `text` as values of one field; those that are none are left out.
fn lines(name: HeaderName, text: &[u8]) -> HeaderMap {
    let values = text.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// The lines of `text` as `name: value`; those that are none are left out.
fn fields(text: &[u8]) -> HeaderMap {
    let line = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// A URL has one key: printed and read again it is the same, it is a request target that any origin's parser takes, and
/// what a purge names by the URL, by a beginning of it, or by a pattern made of it, covers it.
pub fn key(data: &[u8]) {
    let (config, endpoints) = endpoints();
    let text = String::from_utf8_lossy(data);
    for account in 0..config.accounts.len() {
        if let Ok(target) = Target::parse(&text, account, endpoints) {
            let inside = format!("{}/", config.accounts[account].id);
            assert!(target.to_string().starts_with(&inside), "{target} is not within {inside}");
            let url = target.url(endpoints).expect("its account has an endpoint that leads back");
            assert_eq!(Target::parse(&url, account, endpoints), Ok(target), "{url}");
        }
        for parse in [Target::parse_folder, Target::parse_pattern] {
            if let Ok(target) = parse(&text, account, endpoints) {
                let inside = format!(" {}/", config.accounts[account].id);
                assert!(target.to_string().contains(&inside), "{target} is not within {inside}");
            }
        }
    }
    let Ok(located) = endpoints.parse_url(&text) else { return };
    let key = &located.key;
    let url = endpoints.url_of(key).expect("one of its endpoints leads back");
    assert_eq!(endpoints.parse_url(&url).as_ref(), Ok(&located), "{url}");
    assert!(key.as_str().is_ascii() && key.as_str().len() <= KEY_BYTES_MAX, "{key}");
    assert_eq!(key.account(), config.accounts[located.account].id);
    let sent: PathAndQuery = key.path_and_query().parse().expect("a key is a request target");
    assert_eq!((sent.path(), sent.query()), (key.path(), key.query()));
    assert!(
        key.asset().len() <= key.as_str().len() && key.asset().starts_with(key.account()),
        "{}",
        key.asset()
    );
    // In opaque URLs a `*` is a byte as any, and in a purge a wildcard: such a one is purged by a prefix alone.
    let untagged = Tags::default();
    if !url.contains('*') {
        for parse in [Target::parse, Target::parse_asset] {
            let target =
                parse(&url, located.account, endpoints).unwrap_or_else(|refusal| panic!("{url}: {refusal}"));
            assert!(target.covers(key, &untagged), "{target} does not cover {key}");
        }
    }
    // In its own spelling a `*` may stand for nothing, and for all that follows it.
    for (cut, _) in url.char_indices().take(500) {
        for pattern in [format!("{}*{}", &url[..cut], &url[cut..]), format!("{}*", &url[..cut])] {
            if let Ok(target) = Target::parse_pattern(&pattern, located.account, endpoints) {
                assert!(target.covers(key, &untagged), "{target} does not cover {key}");
            }
        }
    }
    for (cut, _) in text.char_indices() {
        if let Ok(target) = Target::parse(&format!("{}*", &text[..cut]), located.account, endpoints) {
            assert!(target.covers(key, &untagged), "{target} does not cover {key}");
        }
    }
}

/// Nothing lasts longer than RFC 9111 can say; freshness only ever ends; what forbids storing does; and what was read
/// says the same again when it is written in its plainest form. The first line is the status, the others are a head.
pub fn cache_control(data: &[u8]) {
    let (status, head) = data.split_at(data.len().min(2));
    let headers = fields(head);
    let read = ResponseDirectives::read(&headers);
    for time in [read.max_age, read.s_maxage, read.stale_while_revalidate, read.stale_if_error] {
        assert!(time.is_none_or(|time| time <= SECONDS_MAX), "{read:?}");
    }
    let wanted = RequestDirectives::read(&headers);
    for time in [wanted.max_age, wanted.min_fresh] {
        assert!(time.is_none_or(|time| time <= SECONDS_MAX), "{wanted:?}");
    }
    let printed = HeaderValue::try_from(print(&read)).expect("directives are printable");
    let again: HeaderMap = [(header::CACHE_CONTROL, printed)].into_iter().collect();
    assert_eq!(ResponseDirectives::read(&again), read, "{again:?}");

    let status = StatusCode::from_bytes(&[
        b'2' + status.first().unwrap_or(&0) % 4,
        b'0',
        b'0' + status.get(1).unwrap_or(&0) % 9,
    ]);
    let status = status.expect("three digits");
    for policy in [Policy::image(), Policy::rfc()] {
        planned(&headers, status, &policy);
    }
}

/// What a head makes of a stored response.
fn planned(headers: &HeaderMap, status: StatusCode, policy: &Policy) {
    let request = HeaderMap::new();
    let facts = RequestFacts { method: &Method::GET, headers: &request };
    let stated = Stated::read(headers, policy, now());
    assert!(stated.lifetime.is_none_or(|lifetime| lifetime <= SECONDS_MAX), "{stated:?}");
    let Ok(fill) = semantics::plan(&facts, status, headers, policy, now(), Duration::ZERO) else { return };
    let directives = &stated.directives;
    assert!(!directives.no_store || directives.must_understand, "{headers:?}");
    assert!(directives.private != Scope::Whole, "{headers:?}");
    assert!(
        !fill.fields.contains_key(header::TRANSFER_ENCODING)
            && !fill.fields.contains_key(header::CONTENT_LENGTH)
    );
    assert!(!fill.fields.contains_key(header::CONNECTION) && !fill.fields.contains_key(header::AGE));
    let fresh = fill.freshness;
    assert!(fresh.lifetime <= SECONDS_MAX, "{fresh:?}");
    let (mut last, mut age) = (0, 0);
    for resident in [0, 1, 59, 60, 3600, 1 << 20, 1 << 31, 1 << 32, u64::MAX].map(Duration::from_secs) {
        let rank = match fresh.judge(resident) {
            State::Fresh { ttl } => {
                assert!(ttl > Duration::ZERO && ttl <= fresh.lifetime && !fresh.validate_always, "{fresh:?}");
                0
            }
            State::StaleWhileRevalidate => 1,
            State::Stale => 2,
        };
        assert!(rank >= last, "it became fresh again: {fresh:?}");
        assert!(fresh.age(resident) >= age && fresh.age(resident) <= SECONDS_MAX.as_secs(), "{fresh:?}");
        assert!(rank > 0 || fresh.ttl(resident) >= 0, "{fresh:?}");
        assert!(rank == 2 || resident <= 2 * SECONDS_MAX, "it never ends: {fresh:?}");
        (last, age) = (rank, fresh.age(resident));
    }
}

/// The plainest form of what a response says.
fn print(read: &ResponseDirectives) -> String {
    let mut parts: Vec<String> = [
        (read.no_store, "no-store"),
        (read.public, "public"),
        (read.must_revalidate, "must-revalidate"),
        (read.proxy_revalidate, "proxy-revalidate"),
        (read.must_understand, "must-understand"),
        (read.no_transform, "no-transform"),
        (read.immutable, "immutable"),
    ]
    .iter()
    .filter(|(said, _)| *said)
    .map(|(_, name)| (*name).to_owned())
    .collect();
    for (scope, name) in [(&read.no_cache, "no-cache"), (&read.private, "private")] {
        match scope {
            Scope::Nothing => {}
            Scope::Whole => parts.push(name.to_owned()),
            Scope::Fields(fields) => {
                let names: Vec<_> = fields.iter().map(HeaderName::as_str).collect();
                parts.push(format!("{name}=\"{}\"", names.join(",")));
            }
        }
    }
    for (time, name) in [
        (read.max_age, "max-age"),
        (read.s_maxage, "s-maxage"),
        (read.stale_while_revalidate, "stale-while-revalidate"),
        (read.stale_if_error, "stale-if-error"),
    ] {
        parts.extend(time.map(|time| format!("{name}={}", time.as_secs())));
    }
    parts.join(", ")
}

/// Every range that is given lies within the response and holds a byte; together they hold no more than the response;
/// and the Content-Range that is written for one is read as the same. The first eight bytes are the response's length,
/// the first line after them is Range, the others are If-Range.
pub fn range(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<8>() else { return };
    let length = u64::from_le_bytes(*length);
    let (asked, conditions) =
        rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    let mut request = lines(header::RANGE, asked);
    request.extend(lines(header::IF_RANGE, conditions.trim_ascii()));
    if let Some(part) = Part::read(&lines(header::CONTENT_RANGE, asked)) {
        assert!(part.range.start < part.range.end && part.range.end <= part.complete, "{part:?}");
    }
    let stored = fields(b"etag: \"v1\"\nlast-modified: Tue, 14 Nov 2023 00:00:00 GMT");
    let facts = RequestFacts { method: &Method::GET, headers: &request };
    let selected = range::select(&facts, StatusCode::OK, &Validators::read(&stored, now()), length, now());
    let parts = match selected {
        Selected::Full | Selected::Unsatisfiable => return,
        Selected::Single(part) => vec![part],
        Selected::Several(parts) => parts,
    };
    assert!(!parts.is_empty() && parts.len() <= RANGES_MAX, "{parts:?}");
    let mut sum: u64 = 0;
    for part in parts {
        assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
        sum = sum.checked_add(part.end - part.start).expect("together they are no longer than the response");
        let written: HeaderMap =
            [(header::CONTENT_RANGE, range::content_range(&part, length))].into_iter().collect();
        assert_eq!(Part::read(&written), Some(Part { range: part, complete: length }));
    }
    assert!(sum <= length, "{sum} of {length}");
}

/// A response answers the request that fetched it; one whose every named field has another value it does not; and what
/// selects it is bounded. The lines up to an empty one are Vary, the others the request's fields.
pub fn vary(data: &[u8]) {
    let cut = data.windows(2).position(|bytes| bytes == b"\n\n").unwrap_or(data.len());
    let (response, request) = (lines(header::VARY, &data[..cut]), fields(&data[cut..]));
    for policy in [Policy::image(), Policy::rfc()] {
        let Ok(selection) = Selection::new(&response, &request, &policy) else { continue };
        assert!(selection.matches(&request), "{response:?} {request:?}");
        assert_eq!(Selection::new(&response, &request, &policy), Ok(selection.clone()));
        assert!(selection.heap_bytes() <= 64 * 64 + SELECTION_BYTES_MAX, "{} bytes", selection.heap_bytes());
        let others: HeaderMap =
            request.keys().map(|name| (name.clone(), HeaderValue::from_static("another-value"))).collect();
        let again = Selection::new(&response, &others, &policy);
        assert!(
            selection.matches(&others) == again.is_ok_and(|again| again == selection),
            "{response:?} {request:?}"
        );
    }
}

/// A date that is read and written is one date, whatever it was written like. The first eight bytes are the time now.
pub fn date(data: &[u8]) {
    let Some((seconds, text)) = data.split_first_chunk::<8>() else { return };
    let now = UNIX_EPOCH + Duration::from_secs(u64::from_le_bytes(*seconds) % 253_402_300_800);
    let written = date::format(now);
    assert_eq!(written.len(), 29);
    assert_eq!(date::parse(&written, now), Some(now), "{written:?}");
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    if let Some(at) = date::parse(&value, now) {
        let written = date::format(at);
        assert_eq!(date::parse(&written, now), Some(at), "{value:?} is written {written:?}");
    }
}

/// A targeted field counts whole or not at all, and what it says is bounded and says the same again when it is written
/// in its plainest form.
pub fn structured(data: &[u8]) {
    let name = HeaderName::from_static("cdn-cache-control");
    let policy = Policy::image();
    let mut headers = lines(name.clone(), data);
    let absent = ResponseDirectives::default();
    let read = Stated::read(&headers, &policy, now()).directives;
    for time in [read.max_age, read.s_maxage, read.stale_while_revalidate, read.stale_if_error] {
        assert!(time.is_none_or(|time| time <= SECONDS_MAX), "{read:?}");
    }
    // What Cache-Control says beside it counts where the field does not, and only there.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1234567"));
    let beside = Stated::read(&headers, &policy, now()).directives;
    let is_ignored =
        beside == ResponseDirectives { max_age: Some(Duration::from_secs(1_234_567)), ..absent.clone() };
    assert!(beside == read || is_ignored && read == absent, "{headers:?}: {beside:?}");
    let printed = print(&read);
    if !printed.is_empty() {
        let again: HeaderMap =
            [(name, HeaderValue::try_from(printed).expect("directives are printable"))].into_iter().collect();
        assert_eq!(Stated::read(&again, &policy, now()).directives, read, "{again:?}");
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
    planned(&headers, StatusCode::OK, &policy);
}

/// A connection's bytes, as hyper reads them and the gate judges them. What is admitted is a key of the host that was
/// asked for, without a body where none may be; no request comes of another one's bytes; and every refusal is small and
/// quotes nothing.
pub fn gate(data: &[u8]) {
    let (_, endpoints) = endpoints();
    let requests = Cell::new(0);
    let mut written = Vec::new();
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        requests.set(requests.get() + 1);
        let response = judged(&request, endpoints);
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(tokio::io::join(data, &mut written));
    let serving = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true) // All bytes are there at once, and then their end.
        .max_headers(freshet::limits::REQUEST_FIELDS_MAX)
        .max_header_size(freshet::limits::REQUEST_HEAD_BYTES_MAX)
        .serve_connection(io, service);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let _ = runtime.block_on(serving); // An error is the end of bytes that are no request.
    // A request has a version in its line. More requests than versions would be some that nobody sent.
    let versions = data.windows(7).filter(|bytes| *bytes == b"HTTP/1.").count();
    assert!(requests.get() <= versions, "{} requests in {:?}", requests.get(), String::from_utf8_lossy(data));
    assert!(written.is_empty() || written.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&written));
}

fn judged(request: &Request<hyper::body::Incoming>, endpoints: &Endpoints) -> Response<Full<bytes::Bytes>> {
    let mut response = Response::new(Full::default());
    match gate::admit(request, endpoints, "freshet-fuzz") {
        Ok(located) => {
            let (fields, key) = (request.headers(), &located.key);
            let hosts: Vec<_> = fields.get_all(header::HOST).iter().collect();
            assert_eq!(hosts.len(), 1, "{request:?}");
            let host = hosts[0].to_str().expect("an admitted host is ASCII");
            let asked =
                format!("http://{host}{}", request.uri().path_and_query().map_or("", PathAndQuery::as_str));
            assert_eq!(endpoints.parse_url(&asked).as_ref(), Ok(&located), "{asked}");
            let sent: PathAndQuery = key.path_and_query().parse().expect("a key is a request target");
            assert!(sent.as_str().starts_with('/') && sent.as_str() == key.path_and_query(), "{key}");
            assert!(request.uri().path().len() <= TARGET_BYTES_MAX);
            if [Method::GET, Method::HEAD].contains(request.method()) {
                assert!(hyper::body::Body::is_end_stream(request.body()), "{request:?}");
                assert!(!fields.contains_key(header::TRANSFER_ENCODING), "{request:?}");
            }
            assert!(*request.method() != Method::CONNECT, "{request:?}");
            let codings: Vec<_> = fields.get_all(header::TRANSFER_ENCODING).iter().collect();
            assert!(
                codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")),
                "{request:?}"
            );
            assert!(codings.len() < 2, "{request:?}");
        }
        Err(refusal) => {
            assert!(refusal.status().is_client_error() || refusal.status() == StatusCode::LOOP_DETECTED);
            let message = refusal.message();
            assert!(
                message.len() < 200 && message.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{message}"
            );
            *response.status_mut() = refusal.status();
            if refusal.closes() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
    }
    response
}
