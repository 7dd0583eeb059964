//! A hit, part by part and whole: nanoseconds, and allocations counted.
//!
//! - `key`: a request's URL → its key, canonical already and not;
//! - `semantics`: what a hit decides by fields alone;
//! - `cache`: the look-up, hot and over many keys, and the fields of what it finds;
//! - `request`: a whole request over a loopback socket, client and server on one thread, through the data plane and
//!   through a bare hyper server with as many fields. The kernel's part is the same in both: their difference is ours.
//!
//! Run: `cargo bench --bench hit`. Each once under `cargo test --benches`. The allocator that counts costs some
//! nanoseconds an allocation, in both.

mod support;

use std::alloc::System;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use criterion::Criterion;
use freshet::cache::{Cache, Lookup};
use freshet::clock::Clock;
use freshet::config::{Config, Origin};
use freshet::key::{Endpoints, Key};
use freshet::proxy::{Proxy, listener};
use freshet::semantics::cache_control::RequestDirectives;
use freshet::semantics::cache_status::{CacheStatus, Outcome};
use freshet::semantics::conditional::Validators;
use freshet::semantics::policy::Policy;
use freshet::semantics::{self, RequestFacts, fields, range};
use freshet::telemetry::Metrics;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BODY_BYTES: usize = 1024;
const KEYS: usize = 100_000;
const PATH: &str = "/photos/2024/harbour.jpg";
const QUERY: &str = "tr=w-300,h-200,q-80";
/// What browsers ask for an image with.
const CLIENT: [(&str, &str); 3] = [
    ("accept", "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    keys(&mut criterion);
    semantics_of_a_hit(&mut criterion);
    cache(&mut criterion);
    requests(&mut criterion);
    criterion.final_summary();
}

/// Measures a step, and says how often it allocates.
fn bench<T>(criterion: &mut Criterion, name: &str, mut step: impl FnMut() -> T) {
    const STEPS: usize = 100;
    black_box(step());
    let region = Region::new(ALLOCATOR);
    for _ in 0..STEPS {
        black_box(step());
    }
    say_allocations(name, allocations(&region) / STEPS as f64);
    criterion.bench_function(name, |bencher| bencher.iter(&mut step));
}

fn allocations(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    (change.allocations + change.reallocations) as f64
}

fn say_allocations(name: &str, count: f64) {
    println!("{name:<40} allocations: {count:.1}");
}

fn keys(criterion: &mut Criterion) {
    let endpoints = support::endpoints();
    for (name, path) in [
        ("key/canonical", PATH),
        ("key/with escapes", "/photos/caf%c3%a9/%7Eharbour%20at%2dnight.jpg"),
        ("key/tr in the path", "/tr:w-300%2Ch-200/photos/harbour.jpg"),
    ] {
        bench(criterion, name, || endpoints.locate("img.test", black_box(path), Some(QUERY)));
    }
}

fn semantics_of_a_hit(criterion: &mut Criterion) {
    let (policy, now) = (Policy::image(), SystemTime::now());
    let (response, client) = (support::response(), client_fields());
    let plain = RequestFacts { method: &Method::GET, headers: &client };
    bench(criterion, "semantics/plan (of a fill)", || {
        semantics::plan(&plain, StatusCode::OK, &response, &policy, now, Duration::ZERO).is_ok()
    });
    bench(criterion, "semantics/request fields", || fields::cacheable_request(&client, &policy));
    bench(criterion, "semantics/validators", || Validators::read(&response, now));

    let plan = semantics::plan(&plain, StatusCode::OK, &response, &policy, now, Duration::ZERO);
    let freshness = plan.expect("it is storable").freshness;
    let validators = Validators::read(&response, now);
    bench(criterion, "semantics/judge", || freshness.judge(black_box(Duration::from_secs(60))));
    bench(criterion, "semantics/conditional, none", || validators.answer(&plain, StatusCode::OK, now));
    let mut revalidating = client.clone();
    revalidating.insert(header::IF_NONE_MATCH, response[header::ETAG].clone());
    let revalidating = RequestFacts { method: &Method::GET, headers: &revalidating };
    bench(criterion, "semantics/conditional, 304", || validators.answer(&revalidating, StatusCode::OK, now));
    bench(criterion, "semantics/range, none", || {
        range::select(&plain, StatusCode::OK, &validators, 20_480, now)
    });
    let mut ranged = client.clone();
    ranged.insert(header::RANGE, HeaderValue::from_static("bytes=1024-4095"));
    let ranged = RequestFacts { method: &Method::GET, headers: &ranged };
    bench(criterion, "semantics/range, one", || {
        range::select(&ranged, StatusCode::OK, &validators, 20_480, now)
    });
    let told = CacheStatus { outcome: Outcome::Hit, ttl: Some(31_535_983), detail: None };
    bench(criterion, "semantics/Cache-Status", || told.value());
}

fn cache(criterion: &mut Criterion) {
    let (cache, keys) = filled(if is_bench() { KEYS } else { 100 });
    let forwarded = fields::cacheable_request(&client_fields(), &Policy::image());
    let look_up = |key: &Key| match cache.look_up(key, &forwarded) {
        Lookup::Found(variant) => variant,
        Lookup::OtherVariants | Lookup::Absent => panic!("it is stored"),
    };
    bench(criterion, "cache/look-up, one hot key", || look_up(&keys[0]));
    let mut at = 0;
    bench(criterion, "cache/look-up, over all keys", || {
        at = (at + 7919) % keys.len(); // A prime: every key, none near the last one.
        look_up(&keys[at])
    });
    let (variant, wanted) = (look_up(&keys[0]), RequestDirectives::default());
    bench(criterion, "cache/state", || variant.state(cache.now(), &wanted));
    bench(criterion, "cache/fields", || variant.fields());
}

/// Through the data plane, and through hyper alone.
fn requests(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = support::config();
    let (cache, _) = filled(1);
    let mut whole = vec![("request/Freshet, a hit", runtime.block_on(Client::of_freshet(&config, cache)))];
    let fields = whole[0].1.fields(&runtime);
    whole.push(("request/bare hyper", runtime.block_on(Client::of_bare(fields))));
    assert_eq!(whole[1].1.fields(&runtime), fields, "both give as many fields");
    let mut counts = Vec::new();
    for (name, client) in &mut whole {
        const REQUESTS: u64 = 200;
        client.ask(&runtime, REQUESTS);
        let region = Region::new(ALLOCATOR);
        client.ask(&runtime, REQUESTS);
        counts.push(allocations(&region) / REQUESTS as f64);
        say_allocations(name, counts[counts.len() - 1]);
        criterion.bench_function(name, |bencher| bencher.iter_custom(|count| client.ask(&runtime, count)));
    }
    say_allocations("a hit, in our own code", counts[0] - counts[1]);
}

/// A client's connection to a server on the same thread.
struct Client {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    async fn of_freshet(config: &Config, cache: Arc<Cache>) -> Client {
        let endpoints = Arc::new(Endpoints::new(&config.accounts));
        let Origin::Servers(origins) = &config.accounts[0].origin else { panic!("it is an address") };
        let metrics = Arc::new(Metrics::default());
        let proxy = Proxy::new(config, endpoints, cache, vec![origins.clone()], None, metrics, "bench");
        let (listener, client) = Client::before().await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            listener::serve(listener, listener::Entrance::Clear, Arc::new(ArcSwap::new(proxy)), stopped)
                .await;
            drop(stop);
        });
        client.connect().await
    }

    /// A server whose answer is ready: its fields are cloned, as a look-up's result would be.
    async fn of_bare(count: usize) -> Client {
        let mut fields = support::response();
        fields.remove(header::CONTENT_LENGTH); // hyper adds it, and Date where it is missing.
        for at in fields.len()..count - 1 {
            let name = HeaderName::try_from(format!("x-field-{at}")).expect("a token");
            fields.insert(name, HeaderValue::from_static("Freshet; hit; ttl=31535983"));
        }
        let body = Bytes::from(vec![7; BODY_BYTES]);
        let (listener, client) = Client::before().await;
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("the bench's own client");
            socket.set_nodelay(true).expect("a socket can be");
            let service = service_fn(|_: Request<Incoming>| {
                let mut answer = Response::new(Full::new(body.clone()));
                *answer.headers_mut() = fields.clone();
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        client.connect().await
    }

    async fn before() -> (TcpListener, Unconnected) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        (listener, Unconnected(address))
    }

    /// How many fields the answer has.
    fn fields(&mut self, runtime: &Runtime) -> usize {
        self.ask(runtime, 1);
        let head = memchr::memmem::find(&self.answer, b"\r\n\r\n").expect("a whole answer");
        let text = String::from_utf8_lossy(&self.answer[..head]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        text.lines().count() - 1
    }

    /// Asks so many times, one after the other; how long that took. Allocates nothing.
    fn ask(&mut self, runtime: &Runtime, count: u64) -> Duration {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..count {
                self.socket.write_all(&self.request).await.expect("it goes on");
                self.answer.clear();
                loop {
                    let bytes = self.socket.read_buf(&mut self.answer).await.expect("it goes on");
                    assert!(bytes > 0, "the server closed");
                    let head = memchr::memmem::find(&self.answer, b"\r\n\r\n");
                    if head.is_some_and(|head| self.answer.len() >= head + 4 + BODY_BYTES) {
                        break;
                    }
                }
            }
            start.elapsed()
        })
    }
}

struct Unconnected(std::net::SocketAddr);

impl Unconnected {
    async fn connect(self) -> Client {
        let socket = TcpStream::connect(self.0).await.expect("it listens");
        socket.set_nodelay(true).expect("a socket can be");
        let fields: String = CLIENT.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {PATH}?{QUERY} HTTP/1.1\r\nhost: img.test\r\n{fields}\r\n").into();
        Client { socket, request, answer: Vec::with_capacity(64 * 1024) }
    }
}

/// A cache with so many entries, and their keys.
fn filled(count: usize) -> (Arc<Cache>, Vec<Key>) {
    let cache = Cache::new(1 << 32, Clock::system());
    let endpoints = support::endpoints();
    let (plan, body) = (support::plan(&support::response()), Bytes::from(vec![7; BODY_BYTES]));
    let more = (1..count).map(|at| format!("http://img.test/photos/{:03}/{at}.jpg?{QUERY}", at % 1000));
    let urls = std::iter::once(format!("http://img.test{PATH}?{QUERY}")).chain(more);
    let keys: Vec<Key> = urls.map(|url| endpoints.parse_url(&url).expect("a valid URL").key).collect();
    keys.iter().for_each(|key| support::fill(&cache, key, &plan, &body));
    cache.settle();
    (cache, keys)
}

fn client_fields() -> HeaderMap {
    let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    CLIENT.into_iter().map(pair).collect()
}

/// Whether it measures, or is tried once.
fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
